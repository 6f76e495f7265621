"""The `tasks` table."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, DateTime, Index, Text
from sqlalchemy.orm import Mapped, mapped_column

from src.database.base import Base, expressible
from src.utils.validators import DESCRIPTION_MAX_LENGTH, TITLE_MAX_LENGTH, VISIBLE_CHARACTER


class Task(Base):
    """The current state of a task; `TaskHistory` has its changes."""

    __tablename__ = "tasks"

    # In the order of the JSON. Add columns at the end: a migration cannot put one in between.
    id: Mapped[UUID] = mapped_column(primary_key=True)
    # TEXT with a check: VARCHAR(n) would silently cut trailing spaces beyond its length.
    title: Mapped[str] = mapped_column(Text)
    description: Mapped[str | None] = mapped_column(Text)
    is_completed: Mapped[bool]
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    updated_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    completed_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))

    __table_args__ = (
        CheckConstraint(f"char_length(title) <= {TITLE_MAX_LENGTH}", name="title_length"),
        # Most titles begin with a visible ASCII character, which spares PostgreSQL the regular expression.
        CheckConstraint(f"ascii(title) BETWEEN 33 AND 126 OR title ~ '{VISIBLE_CHARACTER}'", name="title_visible"),
        CheckConstraint(f"char_length(description) <= {DESCRIPTION_MAX_LENGTH}", name="description_length"),
        CheckConstraint("is_completed = (completed_at IS NOT NULL)", name="completed_at_consistent"),
        *(expressible(column) for column in ("created_at", "updated_at", "completed_at")),
        # In the order of the task list.
        Index("ix_tasks_is_completed_created_at_id", "is_completed", created_at.desc(), "id"),
    )
