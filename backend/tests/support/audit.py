"""The audit: acknowledged changes, the history, the tasks and the counts must agree with each other."""

import json
import re
from collections import Counter, defaultdict
from typing import Any, NamedTuple

from sqlalchemy import URL, Row

from tests.support.client import Json
from tests.support.contract_model import OPPOSITES
from tests.support.databases import execute
from tests.support.writer import Change

_AT = "to_char(timezone('UTC', {}), 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')"
# The state of a task, as the `changes` of its entries have it; null in an entry.
_STATE = f"""
    json_build_object(
        'title', title, 'description', description, 'is_completed', is_completed,
        'completed_at', {_AT.format("completed_at")}, 'created_at', {_AT.format("created_at")}
    )::text
"""
_EVERYTHING = f"""
    SELECT task_id::text AS id, history_id::text, action_type, undoes::text, task_title, changes::text,
        NULL AS state, {_AT.format("timestamp")} AS at
    FROM task_history
    UNION ALL
    SELECT id::text, NULL, NULL, NULL, NULL, NULL, {_STATE}, {_AT.format("updated_at")} FROM tasks ORDER BY at
"""
# Each title of a Writer ends in a UUID.
_UNIQUE = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")

# A time as its day in UTC and the number of its quarter of an hour.
_MOMENT = """
    ({0} AT TIME ZONE 'UTC')::date AS day,
    (extract(hour FROM {0} AT TIME ZONE 'UTC') * 4 + div(extract(minute FROM {0} AT TIME ZONE 'UTC'), 15))::integer
        AS quarter
"""
# Returns the differences between the maintained counts and the rows: by kind and quarter of an hour, by kind and day,
# and by kind.
MISCOUNTED = f"""
    WITH there AS (
        SELECT action_type AS kind, {_MOMENT.format("timestamp")} FROM task_history
        UNION ALL SELECT 'task created', {_MOMENT.format("created_at")} FROM tasks
        UNION ALL SELECT 'task completed', {_MOMENT.format("completed_at")} FROM tasks WHERE is_completed
    ), change AS (
        SELECT kind, day, quarter, change FROM count_changes
        UNION ALL SELECT kind, day, quarter, -count(*) FROM there GROUP BY 1, 2, 3
    )
    SELECT kind, day, quarter, sum(change) FROM (
        SELECT kind, day, (number - 1)::integer AS quarter, so_far - coalesce(quarters[number - 1], 0) AS change
        FROM counts, unnest(quarters) WITH ORDINALITY AS running (so_far, number)
        UNION ALL SELECT kind, day, quarter, change FROM change
    ) AS difference GROUP BY 1, 2, 3 HAVING sum(change) <> 0
    UNION ALL
    SELECT kind, day, NULL, sum(change) FROM (
        SELECT kind, day, count AS change FROM counts WHERE day IS NOT NULL
        UNION ALL SELECT kind, day, change FROM change
    ) AS difference GROUP BY 1, 2 HAVING sum(change) <> 0
    UNION ALL
    SELECT kind, NULL, NULL, sum(change) FROM (
        SELECT kind, count AS change FROM counts WHERE day IS NULL
        UNION ALL SELECT kind, change FROM change
    ) AS difference GROUP BY 1 HAVING sum(change) <> 0
    UNION ALL
    SELECT kind, day, cardinality(quarters), count FROM counts
    WHERE CASE WHEN day IS NULL THEN quarters IS NOT NULL ELSE cardinality(quarters) IS DISTINCT FROM 96 END
"""


class Findings(NamedTuple):
    """What an audit found wrong. If every list is empty, nothing is."""

    lost: list[Change]
    illegal: list[str]
    orphans: list[str]
    miscounted: list[Any]
    twice: list[str]


def audit(url: URL, acknowledged: list[Change], abandoned: int | None = None) -> Findings:
    """Compare acknowledged changes, the history and the tasks with each other.

    `abandoned` counts the requests without an answer; with it, each entry must be acknowledged or abandoned.
    One statement reads everything. A killed service may leave a change in flight, and one snapshot
    has either all of that change or nothing of it.
    """
    history: dict[str, list[Row[Any]]] = defaultdict(list)
    tasks: dict[str, Any] = {}
    for row in execute(url, _EVERYTHING):
        if row.action_type is None:
            tasks[row.id] = row
        else:
            history[row.id].append(row)
    log = {entry.history_id: entry for entries in history.values() for entry in entries}
    undos = {entry.undoes: entry for entry in log.values()}
    twice = _made_twice(list(log.values()))
    if abandoned is not None and len(log) > len(set(acknowledged)) + abandoned:
        twice.append(f"{len(log)} entries, {len(set(acknowledged))} acknowledged changes, {abandoned} abandoned ones")
    return Findings(
        lost=[change for change in acknowledged if not _is_logged(change, log, undos)],
        illegal=[*_illegal(history), *_wrong_undos(log)],
        orphans=[
            task_id
            for task_id in tasks.keys() | history.keys()
            if not _agree(tasks.get(task_id), history.get(task_id, []))
        ],
        miscounted=list(execute(url, MISCOUNTED)),
        twice=twice,
    )


def _is_logged(change: Change, log: dict[str, Row[Any]], undos: dict[str, Row[Any]]) -> bool:
    """Tell whether the log has the entry that the answer to a change named, or the undo that it asked for."""
    entry = undos.get(change.undoes or "") if change.history_id is None else log.get(change.history_id)
    return entry is not None and (
        (entry.id, entry.action_type, entry.undoes) == (change.task_id, change.action, change.undoes)
        and change.timestamp in (None, entry.at)
    )


def _made_twice(log: list[Row[Any]]) -> list[str]:
    """Return the undos of one entry, and the creations and edits with one title: each caller's title is unique."""
    undone = Counter(entry.undoes for entry in log if entry.undoes is not None)
    titled = Counter(
        (entry.action_type, entry.task_title)
        for entry in log
        if entry.undoes is None
        and entry.action_type in ("CREATED", "UPDATED")
        and _UNIQUE.search(entry.task_title or "")
    )
    return [str(what) for what, count in [*undone.items(), *titled.items()] if count > 1]


def _illegal(history: dict[str, list[Row[Any]]]) -> list[str]:
    return [
        f"{task_id}: {entries}"
        for task_id, entries in history.items()
        if not (is_legal([(entry.action_type, entry.at) for entry in entries]) and _is_chain(entries))
    ]


def _is_chain(entries: list[Row[Any]]) -> bool:
    """Tell whether each entry of one task changed the values that the one before it had left."""
    state: Json = {}
    for entry in entries:
        if entry.changes is None:
            # An older version wrote this entry, and nobody knows what it changed.
            return True
        changes = json.loads(entry.changes)
        if any(change["before"] != state.get(name) for name, change in changes.items()):
            return False
        after = {name: change["after"] for name, change in changes.items()}
        title = state.get("title") if entry.action_type == "DELETED" else {**state, **after}.get("title")
        if entry.task_title != title:
            return False
        state = {} if entry.action_type == "DELETED" else state | after
    return True


def _wrong_undos(log: dict[str, Row[Any]]) -> list[str]:
    """Return the undos that did not reverse exactly what their entry had changed."""
    return [str(entry) for entry in log.values() if entry.undoes is not None and not _reverses(entry, log)]


def _reverses(undo: Row[Any], log: dict[str, Row[Any]]) -> bool:
    undone = log.get(undo.undoes)
    if undone is None or (undo.id, undo.action_type) != (undone.id, OPPOSITES[undone.action_type]):
        return False
    swapped = {
        name: {"before": change["after"], "after": change["before"]}
        for name, change in json.loads(undone.changes).items()
    }
    return bool(json.loads(undo.changes) == swapped)


def is_legal(entries: list[tuple[str, str]]) -> bool:
    """Tell whether each entry of one task may follow the previous one, and is later.

    A restored task begins again with CREATED, as complete as it was when it was deleted.
    """
    exists, complete = False, False
    for action, _ in entries:
        legal = {
            "CREATED": not exists,
            "UPDATED": exists,
            "COMPLETED": exists and not complete,
            "INCOMPLETED": exists and complete,
            "DELETED": exists,
        }
        if not legal[action]:
            return False
        exists = action != "DELETED"
        complete = {"COMPLETED": True, "INCOMPLETED": False}.get(action, complete)
    times = [timestamp for _, timestamp in entries]
    return times == sorted(set(times)) and entries[0][0] == "CREATED"


def _agree(task: Any, entries: list[Row[Any]]) -> bool:
    """Tell whether a task, or its absence, matches its history."""
    if not entries or task is None:
        return bool(entries) and entries[-1].action_type == "DELETED"
    state = json.loads(task.state)
    completions = [entry.action_type for entry in entries if entry.action_type in ("COMPLETED", "INCOMPLETED")]
    is_completed = completions[-1:] == ["COMPLETED"]
    last = json.loads(entries[-1].changes or "{}")
    holds = all(change["after"] == state[name] for name, change in last.items())
    return bool(state["is_completed"] == is_completed and task.at == entries[-1].at and holds)
