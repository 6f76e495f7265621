"""Callers who keep reading and changing tasks, and note what they are told."""

import random
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import NamedTuple, Self

import httpx

from tests.support.waiting import PATIENCE_S, wait_until


class Change(NamedTuple):
    """An acknowledged change. The answer to a deletion has no timestamp."""

    task_id: str
    action: str
    timestamp: str | None


class Callers:
    """Callers, each on its own thread, who call the service at `address` until the block ends."""

    def __init__(self, address: str, count: int, call: Callable[[int], None]) -> None:
        # Every answer that was not a success.
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
    """Callers of the endpoints that a replica may serve."""

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
    """Callers who each change tasks of their own."""

    def __init__(self, address: str, count: int = 8, *, keep_alive: bool = True) -> None:
        super().__init__(address, count, self._write)
        self.acknowledged: list[Change] = []
        # Connections that the service refused, and errors of connections that broke.
        self.refused = 0
        self.broken: list[str] = []
        # The longest time without an acknowledged change.
        self.longest_gap_s = 0.0
        self._told_at: float | None = None
        self._keep_alive = keep_alive

    def wait_for_changes(self, count: int) -> None:
        """Wait for `count` more acknowledged changes."""
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
                    # Nobody knows whether the change was made, so this caller continues with new tasks.
                    self.broken.append(repr(error))
                    tasks.clear()
        self._note_gap()

    def _note_gap(self) -> None:
        now = time.monotonic()
        self.longest_gap_s = max(self.longest_gap_s, now - (self._told_at or now))
        self._told_at = now

    def _change(self, client: httpx.Client, chance: random.Random, tasks: dict[str, bool]) -> None:
        """Change a task and note the answer. `tasks` maps the caller's tasks to whether they are complete."""
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
