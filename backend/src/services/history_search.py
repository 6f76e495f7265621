"""The statements for searches of the history: by time, by several actions, by words, and these together.

PostgreSQL plans each for its values. The maintained totals count the entries of a period, and tell where a page of it
begins. What has to be counted entry by entry takes the longer the more there are.
"""

from src.database.search_indexes import ENTRY_TEXT
from src.database.statement import PLAN_FOR_THESE_PARAMETERS, Statement
from src.services.conditions import holds_words, if_given
from src.services.counting import ENTRY_KINDS
from src.services.history_page import (
    AFTER_CURSOR,
    LIMIT,
    NEWEST_FIRST,
    OFFSET,
    UNTIL_CURSOR,
    count_since,
    day_of_offset,
    history_statement,
)

# The condition on the entries of a search.
ENTRY_CONDITION = " AND ".join(
    [
        if_given("task_id", "uuid", "task_id = {}"),
        if_given("action_types", "varchar[]", "action_type = ANY ({})"),
        if_given("since", "timestamptz", "timestamp >= {}"),
        if_given("until", "timestamptz", "timestamp < {}"),
        holds_words(ENTRY_TEXT),
    ]
)

# Up to here, sorting all entries that match takes less time than stepping over those between them may take.
_FEW = 10_000

_NO_CURSOR = "CAST(:after_timestamp AS timestamptz) IS NULL"

_SINCE = "coalesce(CAST(:since AS timestamptz), '-infinity')"
_UNTIL = "coalesce(CAST(:until AS timestamptz), 'infinity')"
_ACTIONS = "CAST(:action_types AS varchar[])"

# All text below is made of the constants above, so no caller's input gets into it.
# ruff: noqa: S608


def _search() -> Statement:
    """A page of the entries that match, which this counts one by one."""
    entries = f"""
        SELECT * FROM task_history
        WHERE {ENTRY_CONDITION} AND ({_NO_CURSOR} OR {AFTER_CURSOR})
            AND (SELECT total_count FROM total) > {OFFSET} AND (SELECT total_count FROM total)
    """
    here = f"LIMIT {LIMIT} OFFSET {OFFSET}"
    return history_statement(
        "search_history",
        "A page of the entries that a search finds.",
        total_count=f"SELECT count(*) AS total_count, 1 AS parts FROM task_history WHERE {ENTRY_CONDITION}",
        # The planner cannot know how often words occur together. If they are rare, it must not walk through the
        # history in the order of time to meet them. So that order is one that no index has.
        entries=f"""
            ({entries} <= {_FEW} ORDER BY timestamp + interval '0' DESC, history_id DESC {here})
            UNION ALL
            ({entries} > {_FEW} ORDER BY {NEWEST_FIRST} {here})
        """,
        entries_before=f"""
            CASE WHEN {_NO_CURSOR} THEN {OFFSET}
            ELSE (SELECT count(*) FROM task_history WHERE {ENTRY_CONDITION} AND {UNTIL_CURSOR}) END
        """,
        prefix=PLAN_FOR_THESE_PARAMETERS,
        may_be_slow=True,
    )


def _period(name: str, purpose: str, entries: str, kinds: str, *conditions: str) -> Statement:
    """A page of `entries`, of those from `since` until before `until`."""
    until_cursor = count_since("CAST(:after_timestamp AS timestamptz)", kinds, *conditions, UNTIL_CURSOR)
    return history_statement(
        name,
        purpose,
        before=f"""
            until AS (SELECT {count_since(_UNTIL, kinds, *conditions, f"timestamp >= {_UNTIL}")} AS newer),
            {day_of_offset(kinds, f"({OFFSET} + (SELECT newer FROM until))")}
        """,
        total_count=f"""
            SELECT
                {count_since(_SINCE, kinds, *conditions, f"timestamp >= {_SINCE}")} - newer AS total_count,
                (SELECT count(*) FROM count_changes WHERE {kinds}) AS parts
            FROM until
        """,
        entries=f"{entries} ORDER BY {NEWEST_FIRST} LIMIT {LIMIT} OFFSET {_REMAINING}",
        # A cursor of another search may lie outside.
        entries_before=f"""
            CASE WHEN {_NO_CURSOR} THEN {OFFSET}
            ELSE least(greatest({until_cursor} - (SELECT newer FROM until), 0), total_count) END
        """,
        prefix=PLAN_FOR_THESE_PARAMETERS,
    )


# A page begins after a cursor, or in the day of its offset, which also counts the entries since `until`.
_HERE = f"""
    timestamp >= {_SINCE}
    AND ({_NO_CURSOR} OR timestamp < {_UNTIL} AND {AFTER_CURSOR})
    AND (NOT ({_NO_CURSOR}) OR timestamp < (SELECT ends FROM day_of_offset))
"""
_REMAINING = f"CASE WHEN {_NO_CURSOR} THEN (SELECT remaining FROM day_of_offset) ELSE 0 END"

SEARCH = _search()
PERIOD = _period(
    "history_of_period",
    "A page of the history of a period.",
    f"SELECT * FROM task_history WHERE {_HERE}",
    ENTRY_KINDS,
)
# The index on the action has the order of time for one action, so this merges the pages of each. `= ANY` and the
# action in the ORDER BY make the planner use that index, as in history_page.py.
PERIOD_OF_ACTIONS = _period(
    "history_of_period_by_action_types",
    "A page of the history of a period, of several actions.",
    f"""
        SELECT entry.* FROM unnest({_ACTIONS}) AS given (action), LATERAL (
            SELECT * FROM task_history WHERE action_type = ANY (ARRAY[action]) AND {_HERE}
            ORDER BY action_type, {NEWEST_FIRST} LIMIT {LIMIT} + {_REMAINING}
        ) entry
    """,
    f"kind = ANY ({_ACTIONS})",
    f"action_type = ANY ({_ACTIONS})",
)
