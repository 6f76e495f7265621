"""The audit: acknowledged changes, the history, the tasks and the counts must agree with each other."""

from collections import defaultdict
from typing import Any, NamedTuple

from sqlalchemy import URL

from tests.support.databases import execute
from tests.support.load import Change

_AT = "to_char(timezone('UTC', {}), 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')"
_EVERYTHING = (
    f"SELECT task_id::text AS id, action_type, NULL AS is_completed, {_AT.format('timestamp')} AS at FROM task_history"
    f" UNION ALL SELECT id::text, NULL, is_completed, {_AT.format('updated_at')} FROM tasks ORDER BY at"
)


# Returns the differences between the maintained counts and the rows: by kind and day, and by kind.
MISCOUNTED = """
    WITH counted AS (
        SELECT kind, day, count FROM counts WHERE day IS NOT NULL UNION ALL SELECT kind, day, change FROM count_changes
    ), there AS (
        SELECT action_type AS kind, (timestamp AT TIME ZONE 'UTC')::date AS day FROM task_history
        UNION ALL SELECT 'task created', (created_at AT TIME ZONE 'UTC')::date FROM tasks
        UNION ALL SELECT 'task completed', (completed_at AT TIME ZONE 'UTC')::date FROM tasks WHERE is_completed
    )
    SELECT kind, day, sum(count) FROM (
        SELECT kind, day, count FROM counted UNION ALL SELECT kind, day, -count(*) FROM there GROUP BY 1, 2
    ) AS difference GROUP BY 1, 2 HAVING sum(count) <> 0
    UNION ALL
    SELECT kind, NULL, sum(count) FROM (
        SELECT kind, count FROM counts WHERE day IS NULL UNION ALL SELECT kind, change FROM count_changes
        UNION ALL SELECT kind, -count(*) FROM there GROUP BY 1
    ) AS difference GROUP BY 1 HAVING sum(count) <> 0
"""


class Findings(NamedTuple):
    """What an audit found wrong. If every list is empty, nothing is."""

    lost: list[Change]
    illegal: list[str]
    orphans: list[str]
    miscounted: list[Any]


def audit(url: URL, acknowledged: list[Change]) -> Findings:
    """Compare acknowledged changes, the history and the tasks with each other.

    One statement reads everything. A killed service may leave a change in flight, and one snapshot
    has either all of that change or nothing of it.
    """
    history: dict[str, list[tuple[str, str]]] = defaultdict(list)
    tasks: dict[str, Any] = {}
    for row in execute(url, _EVERYTHING):
        if row.action_type is None:
            tasks[row.id] = row
        else:
            history[row.id].append((row.action_type, row.at))
    known = {Change(task_id, *entry) for task_id, entries in history.items() for entry in entries}
    known |= {Change(task_id, action, None) for task_id, action, _ in known if action == "DELETED"}
    return Findings(
        lost=[change for change in acknowledged if change not in known],
        illegal=[f"{task_id}: {entries}" for task_id, entries in history.items() if not is_legal(entries)],
        orphans=[
            task_id
            for task_id in tasks.keys() | history.keys()
            if not _agree(tasks.get(task_id), history.get(task_id, []))
        ],
        miscounted=list(execute(url, MISCOUNTED)),
    )


def is_legal(entries: list[tuple[str, str]]) -> bool:
    """Tell whether each entry of one task may follow the previous one, and is later."""
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


def _agree(task: Any, entries: list[tuple[str, str]]) -> bool:
    """Tell whether a task, or its absence, matches its history."""
    if not entries or task is None:
        return bool(entries) and entries[-1][0] == "DELETED"
    completions = [action for action, _ in entries if action in ("COMPLETED", "INCOMPLETED")]
    is_completed = completions[-1:] == ["COMPLETED"]
    return bool(task.is_completed == is_completed and task.at == entries[-1][1])
