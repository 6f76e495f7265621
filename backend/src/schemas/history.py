"""Response bodies of `/history`."""

from typing import Self
from uuid import UUID

from pydantic import BaseModel, Field
from typing_extensions import TypedDict

from src.models.task_history import ActionType
from src.schemas.envelope import Popup, Success
from src.schemas.task import TaskResponse
from src.utils.timestamps import Timestamp
from src.utils.validators import LIMIT_MAX


class HistoryResponse(BaseModel):
    """One entry of the audit log: one change of one task."""

    history_id: UUID
    task_id: UUID
    action_type: ActionType
    description: str
    timestamp: Timestamp
    task_title: str | None = Field(
        description="The title as the change left it; null in entries of versions that did not keep it."
    )


class TextChange(BaseModel):
    """A text before and after a change."""

    before: str | None
    after: str | None


class FlagChange(BaseModel):
    """A flag before and after a change."""

    before: bool | None
    after: bool | None


class TimeChange(BaseModel):
    """A time before and after a change."""

    before: Timestamp | None
    after: Timestamp | None


class Changes(TypedDict, total=False):
    """The fields that a change set. A creation and a deletion set all of them."""

    title: TextChange
    description: TextChange
    is_completed: FlagChange
    completed_at: TimeChange
    created_at: TimeChange


class HistoryEntry(HistoryResponse):
    """One entry of the audit log, with its change."""

    changes: Changes | None = Field(description="Null in entries of versions that did not keep it.")
    undoes: UUID | None = Field(description="The `history_id` of the entry that this one undid.")
    undone_by: UUID | None = Field(description="The `history_id` of the entry that undid this one.")


class EntryFetched(Success[HistoryEntry, None]):
    """One entry of the audit log."""


class ChangeUndone(Success[TaskResponse | None, Popup]):
    """The change was undone. The task as it is now; null if its creation was undone."""


class Pagination(BaseModel):
    """The position of a page among all entries that match."""

    total_count: int = Field(ge=0)
    total_pages: int = Field(ge=0)
    current_page: int = Field(ge=1)
    page_size: int = Field(ge=1, le=LIMIT_MAX)
    has_next: bool
    has_prev: bool

    @classmethod
    def of(cls, *, total_count: int, offset: int, limit: int) -> Self:
        """Describe the page that skips `offset` of `total_count` entries and holds at most `limit`."""
        return cls(
            total_count=total_count,
            total_pages=-(-total_count // limit),
            current_page=offset // limit + 1,
            page_size=limit,
            has_next=offset + limit < total_count,
            has_prev=offset > 0,
        )


class PaginatedHistory(BaseModel):
    """A page of the audit log, newest entries first."""

    items: list[HistoryResponse]
    pagination: Pagination


class HistoryFetched(Success[PaginatedHistory, None]):
    """A page of the audit log."""
