"""The tables behind the counts.

alembic/versions/0003_cheap_counts.py explains why the counts are exact, and 0006_quarters_of_days.py what quarters are.
"""

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Column,
    Date,
    DateTime,
    Identity,
    Integer,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
)

from src.database.base import Base

# One row for each kind and UTC day, and for each kind one row with its total, whose day is null. The kinds are
# the actions, for entries of the history, and "task created" and "task completed", for the tasks that exist.
counts = Table(
    "counts",
    Base.metadata,
    Column("kind", Text, nullable=False),
    Column("day", Date),
    Column("count", BigInteger, nullable=False),
    # Of a day: running totals at the end of each of its 96 quarters of an hour.
    Column("quarters", ARRAY(Integer)),
    UniqueConstraint("day", "kind", postgresql_nulls_not_distinct=True),
)

# A single row: how far `counts` has counted.
counted = Table(
    "counted",
    Base.metadata,
    Column("entries_until", DateTime(timezone=True), nullable=False),
    Column("task_changes", BigInteger, nullable=False),
)

# Entries that were written after `counts` had counted past their timestamp.
late_entries = Table(
    "late_entries",
    Base.metadata,
    Column("kind", Text, nullable=False),
    Column("timestamp", DateTime(timezone=True), nullable=False),
)

# Changes of the number of existing tasks, in the order of their numbers, until a fold adds them to `counts`.
task_count_changes = Table(
    "task_count_changes",
    Base.metadata,
    Column("number", BigInteger, Identity(always=True), primary_key=True),
    Column("kind", Text, nullable=False),
    Column("day", Date, nullable=False),
    Column("change", BigInteger, nullable=False),
    # The quarter of an hour of the day, 0 to 95.
    Column("quarter", SmallInteger, nullable=False),
)
