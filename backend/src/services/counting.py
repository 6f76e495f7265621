"""Counts: totals that the database maintains, plus the changes that it has not added to them yet.

alembic/versions/0003_cheap_counts.py explains why the sum is exact at every moment.
"""

from sqlalchemy import text

from src.database.database import Database
from src.database.statement import Statement
from src.models import ActionType

# The kinds that count entries of the history.
ENTRY_KINDS = f"kind IN {tuple(map(str, ActionType))}"

# A part is a row of `counts` or `count_changes`. Adding up more than these takes longer than the rest of a query.
_MANY_PARTS = 200


def total(kinds: str) -> str:
    """Return the SELECT of the `total_count` of `kinds`, and of the number of `parts` that it is the sum of."""
    return f"""
        SELECT CAST(coalesce(sum(count), 0) AS bigint) AS total_count, count(*) AS parts
        FROM (
            SELECT count FROM counts WHERE {kinds} AND day IS NULL
            UNION ALL
            SELECT change FROM count_changes WHERE {kinds}
        ) part
    """  # noqa: S608  # Constants.


def count_by_day(kinds: str) -> str:
    """Return the SELECT of each `day` and the `count` of its `kinds`, in one row or several."""
    return f"""
        SELECT day, count FROM counts WHERE {kinds} AND day IS NOT NULL
        UNION ALL
        SELECT day, change FROM count_changes WHERE {kinds}
    """  # noqa: S608  # Constants.


FOLD_COUNTS = Statement(
    "fold_counts",
    "Adds recent changes to the totals, in the background.",
    text("SELECT fold_counts()"),
    # It must see what was committed a moment ago, whatever isolation level the database defaults to.
    prefix="SET TRANSACTION ISOLATION LEVEL READ COMMITTED; ",
)


def fold_many(database: Database, parts: int) -> None:
    """Fold the counts in the background if a count had many `parts`."""
    if parts > _MANY_PARTS:
        database.maintain(FOLD_COUNTS)
