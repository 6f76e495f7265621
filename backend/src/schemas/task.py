"""Request and response bodies of `/tasks`."""

from typing import Literal, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from src.schemas.envelope import Popup, Success
from src.utils.timestamps import Timestamp
from src.utils.validators import DESCRIPTION_MAX_LENGTH, TITLE_MAX_LENGTH, Description, Title


class TaskCreate(BaseModel):
    """A task to create."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"title": "Buy groceries", "description": "Milk, bread and cheese"}]},
    )

    title: Title = Field(description="At least one character must be visible.")
    description: Description | None = None


class TaskUpdate(BaseModel):
    """The changes to a task. A field that is absent or null keeps its value."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"title": "Buy groceries and flowers"}],
            # The rule of `_set_something`, as JSON Schema.
            "anyOf": [
                {"required": [field], "properties": {field: {"type": "string"}}} for field in ("title", "description")
            ],
        },
    )

    title: Title | None = Field(default=None, description="At least one character must be visible.")
    description: Description | None = Field(default=None, description="An empty string clears the description.")

    @model_validator(mode="after")
    def _set_something(self) -> Self:
        if self.title is None and self.description is None:
            raise PydanticCustomError("empty_update", "must set title or description")
        return self


class TaskResponse(BaseModel):
    """A task."""

    id: UUID
    title: str = Field(min_length=1, max_length=TITLE_MAX_LENGTH)
    description: str | None = Field(max_length=DESCRIPTION_MAX_LENGTH)
    is_completed: bool
    created_at: Timestamp
    updated_at: Timestamp
    completed_at: Timestamp | None = Field(description="Null unless the task is complete.")


class TaskFetched(Success[TaskResponse, None]):
    """One task."""


class TasksListed(Success[list[TaskResponse], None]):
    """Tasks, incomplete first, then newest first."""


class TaskCreated(Success[TaskResponse, Literal[Popup.TASK_CREATED]]):
    """The task that was created."""


class TaskUpdated(Success[TaskResponse, Literal[Popup.TASK_UPDATED]]):
    """The task after the change."""


class TaskCompleted(Success[TaskResponse, Literal[Popup.TASK_COMPLETED]]):
    """The task, which is now complete."""


class TaskIncomplete(Success[TaskResponse, Literal[Popup.TASK_INCOMPLETE]]):
    """The task, which is now incomplete."""


class TaskDeleted(Success[None, Literal[Popup.TASK_DELETED]]):
    """The task was deleted."""
