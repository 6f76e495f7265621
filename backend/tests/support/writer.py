"""A caller who changes tasks of its own, and therefore knows what each answer must say."""

import random
from dataclasses import dataclass, field
from typing import NamedTuple
from uuid import uuid4

import httpx

from tests.support.client import Json, data_of
from tests.support.contract_model import POPUPS, action_of


class Change(NamedTuple):
    """An acknowledged change.

    The answer to a deletion has no timestamp. The answer to an undo that was sent twice may have no `history_id`.
    """

    task_id: str
    action: str
    timestamp: str | None
    history_id: str | None
    undoes: str | None


@dataclass
class OwnTask:
    """A task as its only writer knows it: its state, null if it is deleted, and its last entry.

    `entry` is None if the writer was not told of it. `before` is the state before that entry.
    """

    id: str
    now: Json
    before: Json = None
    entry: str | None = None


@dataclass
class Request:
    """A request that writes an entry of the kind `action`, unless it was made before.

    `expected` are fields of the task afterwards, or null.
    """

    action: str
    method: str
    path: str
    expected: Json
    task: OwnTask | None = None
    undoes: str | None = None
    body: Json = None
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def is_repeatable(self) -> bool:
        """Whether this may be sent again although the first one may have been made."""
        return self.undoes is not None or "Idempotency-Key" in self.headers

    def send(self, client: httpx.Client) -> httpx.Response:
        """Send this request. To send it again uses the same Idempotency-Key."""
        return client.request(self.method, self.path, json=self.body, headers=self.headers)


class Writer:
    """Chooses changes that must succeed, and checks the answers."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)  # noqa: S311  # No secret.
        self._tasks: dict[str, OwnTask] = {}

    def next_request(self) -> Request:
        """Return the next request: a creation, a change of a task, or the undo of its last change."""
        if sum(task.now is not None for task in self._tasks.values()) < 5:
            return self._guarded(self._creation())
        task = self._chance.choice(list(self._tasks.values()))
        if task.entry is not None and self._chance.random() < 0.3:
            return _undo(task, task.entry)
        if task.now is None:
            # Some deletions stay.
            self._tasks.pop(task.id)
            return self.next_request()
        return self._guarded(self._change(task))

    def learn(self, request: Request, response: httpx.Response) -> Change:
        """Note the answer. Raises AssertionError if it is not the success of this very change."""
        data = data_of(
            response, 201 if request.method == "POST" and not request.undoes else 200, POPUPS[request.action]
        )
        history_id = response.headers.get("History-ID")
        assert history_id or request.undoes, f"{request} has no History-ID"
        if request.expected is None:
            assert data is None, f"{request} left {data}"
        else:
            assert request.expected.items() <= data.items(), f"{request} left {data}"
        task = request.task or OwnTask(data["id"], None)
        self._tasks[task.id] = OwnTask(task.id, now=data, before=task.now, entry=history_id)
        timestamp = None if data is None else data["updated_at"]
        return Change(task.id, request.action, timestamp, history_id, request.undoes)

    def forget(self, request: Request) -> None:
        """Forget the task of a request that may have been made or not."""
        if request.task is not None:
            self._tasks.pop(request.task.id)

    def _creation(self) -> Request:
        # Each title is unique, so the audit sees a creation or an edit that was made twice.
        new = {"title": f"New {uuid4()}", "description": None}
        return Request("CREATED", "POST", "/tasks", new | {"is_completed": False, "completed_at": None}, body=new)

    def _change(self, task: OwnTask) -> Request:
        path = f"/tasks/{task.id}"
        kept = {name: value for name, value in task.now.items() if name not in ("updated_at", "completed_at")}
        match self._chance.randrange(5):
            case 0:
                return Request("DELETED", "DELETE", path, None, task)
            case 1 | 2:
                title = {"title": f"Title {uuid4()}"}
                expected = kept | {"completed_at": task.now["completed_at"]} | title
                return Request("UPDATED", "PUT", path, expected, task, body=title)
            case _ if task.now["is_completed"]:
                expected = kept | {"is_completed": False, "completed_at": None}
                return Request("INCOMPLETED", "PATCH", f"{path}/incomplete", expected, task)
            case _:
                return Request("COMPLETED", "PATCH", f"{path}/complete", kept | {"is_completed": True}, task)

    def _guarded(self, request: Request) -> Request:
        """Add an Idempotency-Key to most requests, and If-Match to half of those that change a task."""
        if self._chance.random() < 0.7:
            request.headers["Idempotency-Key"] = str(uuid4())
        if request.task is not None and self._chance.random() < 0.5:
            request.headers["If-Match"] = f'"{request.task.now["updated_at"]}"'
        return request


def _undo(task: OwnTask, entry: str) -> Request:
    expected = None
    if task.before is not None:
        expected = {name: value for name, value in task.before.items() if name != "updated_at"}
    return Request(action_of(task.now, task.before), "POST", f"/history/{entry}/undo", expected, task, entry)
