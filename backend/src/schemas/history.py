"""Response bodies of `/history`."""

from typing import Self
from uuid import UUID

from pydantic import BaseModel, Field

from src.models.task_history import ActionType
from src.schemas.envelope import Success
from src.utils.timestamps import Timestamp
from src.utils.validators import LIMIT_MAX


class HistoryResponse(BaseModel):
    """One entry of the audit log: one change of one task."""

    history_id: UUID
    task_id: UUID
    action_type: ActionType
    description: str
    timestamp: Timestamp


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
