"""Callers who keep changing tasks, and the audit of what became of what they were told."""

import random
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from types import TracebackType
from typing import Any, NamedTuple, Self

import httpx
from sqlalchemy import URL

from tests.support.databases import execute
from tests.support.waiting import PATIENCE_S, wait_until

_AT = "to_char(timezone('UTC', {}), 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')"
_EVERYTHING = (
    f"SELECT task_id::text AS id, action_type, NULL AS is_completed, {_AT.format('timestamp')} AS at FROM task_history"
    f" UNION ALL SELECT id::text, NULL, is_completed, {_AT.format('updated_at')} FROM tasks ORDER BY at"
)


# Returns the differences between what is counted and what there is: by kind and day, and by kind.
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


class Change(NamedTuple):
    """A change that a caller was told of. The time of a deletion is not told."""

    task_id: str
    action: str
    timestamp: str | None


class Callers:
    """Callers, each on a thread of its own, who call the service at `address` until the block is left."""

    def __init__(self, address: str, count: int, call: Callable[[int], None]) -> None:
        # What came back that was no success.
        self.errors: list[str] = []
        self._address = address
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=call, args=(number,)) for number in range(count)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()


class Readers(Callers):
    """Callers who read what may come from a replica."""

    def __init__(self, address: str, count: int = 8) -> None:
        super().__init__(address, count, self._read)
        self.answers = 0

    def _read(self, number: int) -> None:
        with httpx.Client(base_url=self._address, timeout=PATIENCE_S) as client:
            while not self._stop.is_set():
                for path in ("/tasks?limit=20", "/history", "/stats/weekly"):
                    try:
                        response = client.get(path)
                    except httpx.TransportError as error:
                        self.errors.append(f"{path}: {error!r}")
                        continue
                    self.answers += 1
                    if not response.is_success:
                        self.errors.append(f"{path}: {response.status_code} {response.text}")


class Writers(Callers):
    """Callers who change tasks of their own."""

    def __init__(self, address: str, count: int = 8, *, keep_alive: bool = True) -> None:
        super().__init__(address, count, self._write)
        self.acknowledged: list[Change] = []
        # Connections that were refused or that broke.
        self.refused = 0
        self.broken: list[str] = []
        # How long nobody was told of a change.
        self.longest_gap_s = 0.0
        self._told_at: float | None = None
        self._keep_alive = keep_alive

    def wait_for_changes(self, count: int) -> None:
        """Wait until callers have been told of so many more changes."""
        enough = len(self.acknowledged) + count
        wait_until(lambda: len(self.acknowledged) >= enough, lambda: (self.errors, self.broken))

    def _write(self, number: int) -> None:
        chance = random.Random(number)  # noqa: S311  # No secret.
        tasks: dict[str, bool] = {}
        limits = httpx.Limits(max_keepalive_connections=None if self._keep_alive else 0)
        with httpx.Client(base_url=self._address, timeout=PATIENCE_S, limits=limits) as client:
            while not self._stop.is_set():
                try:
                    self._change(client, chance, tasks)
                except httpx.ConnectError:
                    self.refused += 1
                    self._stop.wait(0.02)
                except httpx.TransportError as error:
                    # Whether the change was made is not known: these tasks are left alone.
                    self.broken.append(repr(error))
                    tasks.clear()
        self._note_gap()

    def _note_gap(self) -> None:
        now = time.monotonic()
        self.longest_gap_s = max(self.longest_gap_s, now - (self._told_at or now))
        self._told_at = now

    def _change(self, client: httpx.Client, chance: random.Random, tasks: dict[str, bool]) -> None:
        """Change a task, and note what the caller is told. `tasks` are its own, and whether they are complete."""
        if len(tasks) < 5:
            action, response = "CREATED", client.post("/tasks", json={"title": "New"})
        else:
            task_id = chance.choice(list(tasks))
            match chance.randrange(5):
                case 0:
                    action, response = "DELETED", client.delete(f"/tasks/{task_id}")
                    tasks.pop(task_id)
                case 1 | 2:
                    title = f"Title {chance.random()}"
                    action, response = "UPDATED", client.put(f"/tasks/{task_id}", json={"title": title})
                case _ if tasks[task_id]:
                    action, response = "INCOMPLETED", client.patch(f"/tasks/{task_id}/incomplete")
                case _:
                    action, response = "COMPLETED", client.patch(f"/tasks/{task_id}/complete")
        if not response.is_success:
            self.errors.append(f"{action}: {response.status_code} {response.text}")
            tasks.clear()
            return
        self._note_gap()
        if action == "DELETED":
            self.acknowledged.append(Change(task_id, action, None))
            return
        task = response.json()["data"]
        tasks[task["id"]] = task["is_completed"]
        self.acknowledged.append(Change(task["id"], action, task["updated_at"]))


class Findings(NamedTuple):
    """What an audit found wrong; nothing, where everything is empty."""

    lost: list[Change]
    illegal: list[str]
    orphans: list[str]
    miscounted: list[Any]


def audit(url: URL, acknowledged: list[Change]) -> Findings:
    """Compare what callers were told, the history and the tasks, each with the others.

    One statement reads it all, so that a change which a killed service left in flight is seen
    whole or not at all.
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
    """Tell whether each entry of one task follows from the one before it, at a later time."""
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
    """Tell whether a task, or its absence, is what its history says."""
    if not entries or task is None:
        return bool(entries) and entries[-1][0] == "DELETED"
    completions = [action for action, _ in entries if action in ("COMPLETED", "INCOMPLETED")]
    is_completed = completions[-1:] == ["COMPLETED"]
    return bool(task.is_completed == is_completed and task.at == entries[-1][1])
