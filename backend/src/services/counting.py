"""Counts: totals that the database maintains, plus the changes that it has not added to them yet.

alembic/versions/0003_cheap_counts.py explains why the sum is exact at every moment.
"""

from sqlalchemy import text

from src.database.database import Database
from src.database.statement import PLAN_FOR_ANY_PARAMETERS, Statement
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


WEEKLY_COUNTS = Statement(
    "weekly_counts",
    "Counts the tasks created and completed in the week of `now`, by default the present, and all tasks.",
    # The database's clock, as for `created_at`: the service's might already be in the next week.
    text("""
        WITH week AS (
            SELECT CAST(date_trunc('week', timezone('UTC', coalesce(CAST(:now AS timestamptz), now()))) AS date)
                AS first_day
        ),
        part AS (
            SELECT kind, count, true AS of_all, false AS of_week
            FROM counts
            WHERE kind IN ('task created', 'task completed') AND day IS NULL
            UNION ALL
            SELECT kind, count, false, true
            FROM counts
            WHERE kind IN ('task created', 'task completed')
                AND day BETWEEN (SELECT first_day FROM week) AND (SELECT first_day + 6 FROM week)
            UNION ALL
            SELECT kind, change, true, day BETWEEN (SELECT first_day FROM week) AND (SELECT first_day + 6 FROM week)
            FROM count_changes
            WHERE kind IN ('task created', 'task completed')
        )
        SELECT
            (SELECT first_day FROM week) AS first_day,
            CAST(coalesce(sum(count) FILTER (WHERE kind = 'task created' AND of_week), 0) AS bigint)
                AS created_this_week,
            CAST(coalesce(sum(count) FILTER (WHERE kind = 'task completed' AND of_week), 0) AS bigint)
                AS completed_this_week,
            CAST(coalesce(sum(count) FILTER (WHERE kind = 'task created' AND of_all), 0) AS bigint) AS all_tasks,
            CAST(coalesce(sum(count) FILTER (WHERE kind = 'task completed' AND of_all), 0) AS bigint)
                AS all_completed,
            count(*) AS parts
        FROM part
    """),
    prefix=PLAN_FOR_ANY_PARAMETERS,
)

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
