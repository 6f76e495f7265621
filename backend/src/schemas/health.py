"""What `/health` answers."""

from typing import Literal

from pydantic import BaseModel

from src.schemas.envelope import Success


class Health(BaseModel):
    """The process is up; this says nothing about the database."""

    status: Literal["healthy"] = "healthy"
    service: Literal["task-management-backend"] = "task-management-backend"


class Healthy(Success[Health, None]):
    """The process is up."""
