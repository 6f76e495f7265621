"""The tables of the counts, which triggers keep; why they are exact is in alembic/versions/0002_counts.py."""

from sqlalchemy import BigInteger, Column, Date, Table, Text, UniqueConstraint

from src.database.base import Base

# Entries are counted under their action, and the tasks that exist under these.
TASK_CREATED = "task created"
TASK_COMPLETED = "task completed"

# A row for each kind and day in UTC, and one for each kind on all days, whose day is null.
counts = Table(
    "counts",
    Base.metadata,
    Column("kind", Text, nullable=False),
    Column("day", Date),
    Column("count", BigInteger, nullable=False),
    UniqueConstraint("day", "kind", postgresql_nulls_not_distinct=True),
)

# What is not in `counts` yet.
count_changes = Table(
    "count_changes",
    Base.metadata,
    Column("kind", Text, nullable=False),
    Column("day", Date, nullable=False),
    Column("change", BigInteger, nullable=False),
)
