"""What callers get about the audit log."""

from typing import Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from src.models.task_history import ActionType
from src.schemas.envelope import Success
from src.utils.timestamps import Timestamp
from src.utils.validators import LIMIT_MAX


class HistoryResponse(BaseModel):
    """One entry of the audit log: one change of one task."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "history_id": "c3ed48d6-bc8d-48d6-a03b-cedac0848d32",
                    "task_id": "0b7e1f0a-6f0e-4c2b-9d0e-2f6a5f1c9a11",
                    "action_type": "UPDATED",
                    "description": "Title changed from 'Buy' to 'Buy groceries'; description changed",
                    "timestamp": "2026-11-20T16:45:12.345678Z",
                }
            ]
        }
    )

    history_id: UUID
    task_id: UUID
    action_type: ActionType
    description: str
    timestamp: Timestamp


class Pagination(BaseModel):
    """Where a page lies in all entries that match."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "total_count": 42,
                    "total_pages": 5,
                    "current_page": 2,
                    "page_size": 10,
                    "has_next": True,
                    "has_prev": True,
                }
            ]
        }
    )

    total_count: int = Field(ge=0)
    total_pages: int = Field(ge=0)
    current_page: int = Field(ge=1)
    page_size: int = Field(ge=1, le=LIMIT_MAX)
    has_next: bool
    has_prev: bool

    @classmethod
    def of(cls, *, total_count: int, offset: int, limit: int) -> Self:
        """Describe the page of at most `limit` entries that follows the first `offset` of `total_count`."""
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
