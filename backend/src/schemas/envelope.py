"""The envelope of every response body, as the OpenAPI document describes it."""

from enum import StrEnum
from typing import Generic, Literal, TypeVar

from pydantic import BaseModel, Field


class Popup(StrEnum):
    """The code of the toast that the frontend shows."""

    TASK_CREATED = "TASK_CREATED"
    TASK_UPDATED = "TASK_UPDATED"
    TASK_COMPLETED = "TASK_COMPLETED"
    TASK_INCOMPLETE = "TASK_INCOMPLETE"
    TASK_DELETED = "TASK_DELETED"


DataT = TypeVar("DataT")
PopupT = TypeVar("PopupT")


class Success(BaseModel, Generic[DataT, PopupT]):
    """The body of a successful response."""

    success: Literal[True]
    data: DataT
    popup: PopupT
    error: None


class Failure(BaseModel):
    """The body of a failed response."""

    success: Literal[False]
    data: None
    popup: None
    error: str = Field(description="One readable sentence; for bad input it names the field.")
