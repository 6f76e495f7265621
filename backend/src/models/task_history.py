"""The `task_history` table: the audit log."""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import JSON, BigInteger, DateTime, Enum, Index, Text
from sqlalchemy.orm import Mapped, mapped_column

from src.database.base import Base, expressible


class ActionType(StrEnum):
    """The kind of change that a history entry records."""

    CREATED = "CREATED"
    UPDATED = "UPDATED"
    COMPLETED = "COMPLETED"
    INCOMPLETED = "INCOMPLETED"
    DELETED = "DELETED"


class TaskHistory(Base):
    """One change of one task. Triggers refuse to change or delete entries.

    It has no foreign key to `tasks`, because entries outlive their task.
    """

    __tablename__ = "task_history"

    history_id: Mapped[UUID] = mapped_column(primary_key=True)
    task_id: Mapped[UUID]
    action_type: Mapped[ActionType] = mapped_column(
        Enum(ActionType, native_enum=False, create_constraint=True, name="action_type", length=11)
    )
    description: Mapped[str] = mapped_column(Text)
    timestamp: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    # The title as the change left it. This and `changes` are null in entries from before revision 0005.
    task_title: Mapped[str | None] = mapped_column(Text)
    # For each field that the change set, its values `before` and `after`, as the API shows them. Not JSONB: that
    # takes longer to write, and only an undo looks inside.
    changes: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    # The entry whose change this one undid. The `history_id` of an undo is derived from it, so the primary key
    # lets each entry be undone once (see src/utils/derived_ids.py).
    undoes: Mapped[UUID | None]
    # Of the transaction that wrote the entry. A trigger sets it; null in entries from before revision 0007.
    transaction_id: Mapped[int | None] = mapped_column(BigInteger)

    __table_args__ = (
        expressible("timestamp"),
        # In the order of the log: of one task, of one action, and of all. history_id breaks ties of the timestamp.
        Index("ix_task_history_task_id_timestamp_history_id", "task_id", timestamp.desc(), history_id.desc()),
        Index("ix_task_history_action_type_timestamp_history_id", "action_type", timestamp.desc(), history_id.desc()),
        Index("ix_task_history_timestamp_history_id", timestamp.desc(), history_id.desc()),
        # In the order of transactions, for listeners.
        Index("ix_task_history_transaction_id", "transaction_id", postgresql_where=transaction_id.is_not(None)),
    )
