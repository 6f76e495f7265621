"""The statements for a page of the history, newest entry first.

The cost of a page grows with the entries of one day, not with the history. The counts give the total.
Far from the newest entry they also give the day on which the page begins, so that the page steps over
entries of that day only.
"""

from sqlalchemy import text

from src.database.json_rows import wire_columns
from src.database.statement import PLAN_FOR_ANY_PARAMETERS, Statement
from src.models import TaskHistory
from src.schemas.history import HistoryResponse
from src.services.counting import ENTRY_KINDS, count_by_day, total
from src.utils.cursors import EntryPosition

# From here on, finding the day of an offset is faster than stepping over the entries before it.
_FAR = 1000

_ITEM = [TaskHistory.__table__.c[name] for name in HistoryResponse.model_fields]

# The filters. Each is the first column of an index; the first filter given decides which index a page uses.
_VALUES = {"task_id": "CAST(:task_id AS uuid)", "action_type": "CAST(:action_type AS varchar)"}
_FILTERS: dict[tuple[str, ...], str] = {
    (): "",
    ("action_type",): " of one action",
    ("task_id",): " of one task",
    ("task_id", "action_type"): " of one task and one action",
}

LIMIT, OFFSET = "CAST(:limit AS integer)", "CAST(:offset AS bigint)"
NEWEST_FIRST = "timestamp DESC, history_id DESC"
_CURSOR = "(CAST(:after_timestamp AS timestamptz), CAST(:after_history_id AS uuid))"
AFTER_CURSOR = f"(timestamp, history_id) < {_CURSOR}"
UNTIL_CURSOR = f"(timestamp, history_id) >= {_CURSOR}"

# All text below is made of the constants above, so no caller's input gets into it.
# ruff: noqa: S608


def _page(filters: tuple[str, ...]) -> Statement:
    """The page at `offset`."""
    return history_statement(
        _name("history_page", filters),
        f"A page of the history{_FILTERS[filters]}.",
        total_count=_total(filters),
        entries=f"{_entries(filters)} LIMIT {LIMIT} OFFSET {OFFSET}",
        entries_before=OFFSET,
    )


def _deep_page(filters: tuple[str, ...]) -> Statement:
    """The page at an `offset` far from the newest entry."""
    return history_statement(
        _name("deep_history_page", filters),
        f"A page of the history{_FILTERS[filters]}, far from the newest entry.",
        before=day_of_offset(_kinds(filters), OFFSET),
        total_count=_total(filters),
        entries=f"{_entries(filters, 'timestamp < (SELECT ends FROM day_of_offset)')}"
        f" LIMIT {LIMIT} OFFSET (SELECT remaining FROM day_of_offset)",
        entries_before=OFFSET,
    )


def _next_page(filters: tuple[str, ...]) -> Statement:
    """The page after a cursor: the position of an entry, which need not exist any more."""
    until_cursor = [*_conditions(filters), UNTIL_CURSOR]
    if "task_id" in filters:
        entries_before = f"(SELECT count(*) FROM task_history WHERE {' AND '.join(until_cursor)})"
    else:
        entries_before = count_since("CAST(:after_timestamp AS timestamptz)", _kinds(filters), *until_cursor)
    return history_statement(
        _name("next_history_page", filters),
        f"A page of the history{_FILTERS[filters]}, after a cursor.",
        total_count=_total(filters),
        entries=f"{_entries(filters, AFTER_CURSOR)} LIMIT {LIMIT}",
        entries_before=entries_before,
    )


def day_of_offset(kinds: str, offset: str) -> str:
    """Return CTEs of which the last, `day_of_offset`, has when the day `ends` that holds the entry at an `offset`.

    It also has the offset that is `remaining` in that day, and it has no row if there is no such entry.
    """
    return f"""
        day_total AS (
            SELECT day, CAST(sum(count) AS bigint) AS count FROM ({count_by_day(kinds)}) part GROUP BY day
        ),
        running_total AS (
            SELECT day, count, CAST(sum(count) OVER (ORDER BY day DESC) AS bigint) - count AS newer FROM day_total
        ),
        day_of_offset AS (
            SELECT timezone('UTC', CAST(day + 1 AS timestamp)) AS ends, {offset} - newer AS remaining
            FROM running_total
            WHERE {offset} >= newer AND {offset} < newer + count
        ),
    """


def count_since(moment: str, kinds: str, *conditions: str) -> str:
    """Return the number of the entries of `kinds` since a `moment`: those of later days, and of its day by row.

    Of its UTC day, those count that meet the `conditions`.
    """
    day = f"CAST(timezone('UTC', {moment}) AS date)"
    return f"""
        (
            (SELECT CAST(coalesce(sum(count), 0) AS bigint) FROM ({count_by_day(kinds)}) part WHERE day > {day})
            + (
                SELECT count(*) FROM task_history
                WHERE {" AND ".join(conditions)} AND timestamp < timezone('UTC', CAST({day} + 1 AS timestamp))
            )
        )
    """


def history_statement(
    name: str,
    purpose: str,
    *,
    total_count: str,
    entries: str,
    entries_before: str,
    before: str = "",
    prefix: str = PLAN_FOR_ANY_PARAMETERS,
    may_be_slow: bool = False,
) -> Statement:
    """Return the statement for a page of `entries`.

    It returns one row: the `total_count` of all that match, the number of `parts` that this is the sum of,
    the number of `entries_before` the page, its `items` as a JSON array, and the position of the last item.
    """
    statement = f"""
        WITH {before} total AS ({total_count}),
        page AS (SELECT {wire_columns(_ITEM)} FROM ({entries}) entry),
        listed AS (
            SELECT
                concat('[', string_agg(CAST(row_to_json(page) AS text), ','), ']') AS items,
                (array_agg(timestamp))[count(*)] AS last_timestamp,
                (array_agg(history_id))[count(*)] AS last_history_id
            FROM page
        )
        SELECT total_count, parts, {entries_before} AS entries_before, items, last_timestamp, last_history_id
        FROM total, listed
    """
    return Statement(name, purpose, text(statement), prefix=prefix, may_be_slow=may_be_slow)


def _entries(filters: tuple[str, ...], *conditions: str) -> str:
    """Return the SELECT of the entries that match, newest first, by the index that the first filter leads."""
    matching, order = [*_conditions(filters), *conditions], NEWEST_FIRST
    if filters:
        # `= ANY` and the filter in the ORDER BY make the planner use the filter's index. With a plain `=`, the index
        # on the time has the right order too, and for a rare value the planner might scan the whole history by it.
        matching[0] = f"{filters[0]} = ANY (ARRAY[{_VALUES[filters[0]]}])"
        order = f"{filters[0]}, {order}"
    where = f"WHERE {' AND '.join(matching)}" if matching else ""
    return f"SELECT * FROM task_history {where} ORDER BY {order}"


def _conditions(filters: tuple[str, ...]) -> list[str]:
    return [f"{name} = {_VALUES[name]}" for name in filters]


def _total(filters: tuple[str, ...]) -> str:
    if "task_id" not in filters:
        return total(_kinds(filters))
    # The entries of one task are few and adjacent in its index. They need no counts.
    return f"SELECT count(*) AS total_count, 1 AS parts FROM task_history WHERE {' AND '.join(_conditions(filters))}"


def _kinds(filters: tuple[str, ...]) -> str:
    return "kind = CAST(:action_type AS text)" if filters else ENTRY_KINDS


def _name(kind: str, filters: tuple[str, ...]) -> str:
    return "_by_".join([kind, *filters])


_PAGES = {filters: _page(filters) for filters in _FILTERS}
_DEEP_PAGES = {filters: _deep_page(filters) for filters in _FILTERS if "task_id" not in filters}
_NEXT_PAGES = {filters: _next_page(filters) for filters in _FILTERS}


def page_of_history(filters: tuple[str, ...], offset: int, after: EntryPosition | None) -> Statement:
    """Return the statement for a page of the entries that match `filters`, `task_id` before `action_type`.

    Its parameters are the filters, `limit`, and either `offset` or, for the page `after` a position,
    `after_timestamp` and `after_history_id`.
    """
    if after is not None:
        return _NEXT_PAGES[filters]
    return (_DEEP_PAGES if offset >= _FAR and filters in _DEEP_PAGES else _PAGES)[filters]
