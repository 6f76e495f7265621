"""Response bodies of `/health` and `/health/ready`."""

from typing import Literal

from pydantic import BaseModel

from src.schemas.envelope import Success


class Health(BaseModel):
    """The process is up; this says nothing about its database."""

    status: Literal["healthy"]
    service: Literal["task-management-backend"]


class Healthy(Success[Health, None]):
    """The process is up."""


class Readiness(BaseModel):
    """The service can serve: its database answers, has the schema of this version, and has room on its disk."""

    status: Literal["ready"]


class Ready(Success[Readiness, None]):
    """The service can serve."""
