"""The tables of the counts; why they are exact is in alembic/versions/0003_cheap_counts.py."""

from sqlalchemy import BigInteger, Column, Date, DateTime, Identity, Table, Text, UniqueConstraint

from src.database.base import Base

# A row for each kind and day in UTC, and one for each kind on all days, whose day is null. The kinds are the
# actions, for entries of the history, and "task created" and "task completed", for the tasks that exist.
counts = Table(
    "counts",
    Base.metadata,
    Column("kind", Text, nullable=False),
    Column("day", Date),
    Column("count", BigInteger, nullable=False),
    UniqueConstraint("day", "kind", postgresql_nulls_not_distinct=True),
)

# Up to where `counts` has counted, in one row.
counted = Table(
    "counted",
    Base.metadata,
    Column("entries_until", DateTime(timezone=True), nullable=False),
    Column("task_changes", BigInteger, nullable=False),
)

# Entries that were written when `counts` had counted their time already.
late_entries = Table(
    "late_entries",
    Base.metadata,
    Column("kind", Text, nullable=False),
    Column("timestamp", DateTime(timezone=True), nullable=False),
)

task_count_changes = Table(
    "task_count_changes",
    Base.metadata,
    Column("number", BigInteger, Identity(always=True), primary_key=True),
    Column("kind", Text, nullable=False),
    Column("day", Date, nullable=False),
    Column("change", BigInteger, nullable=False),
)
