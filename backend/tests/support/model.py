"""The contract as a model in plain Python, and a state machine that compares the API with it."""

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from typing import Any
from uuid import uuid4

from fastapi import FastAPI
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import URL

from src.database.database import Database
from tests.support.client import Api, Json, error_of
from tests.support.databases import settings_for

_texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30)
_titles = _texts.map(lambda text: f"{text}!")
_actions = st.sampled_from(["CREATED", "UPDATED", "COMPLETED", "INCOMPLETED", "DELETED"])


class TaskMachine(RuleBasedStateMachine):
    """Makes the same changes to the API and to the model, and compares what both show afterwards."""

    app: FastAPI
    address: str
    clone: Callable[[], AbstractContextManager[URL]]

    tasks = Bundle("tasks")

    def __init__(self) -> None:
        super().__init__()
        self._open = ExitStack()
        url = self._open.enter_context(type(self).clone())
        database = Database(settings_for(url, database_pool_size=2))
        self._open.callback(database.close)
        self.app.state.database = database
        self.api = self._open.enter_context(Api(base_url=self.address))
        # The tasks as the API last showed them, and the history; both oldest first.
        self.model: dict[str, Json] = {}
        self.log: list[tuple[str, str, str]] = []

    def teardown(self) -> None:
        self._open.close()

    def _record(self, task: Json, action: str, description: str) -> None:
        self.log.append((task["id"], action, description))
        self.model[task["id"]] = task

    @rule(target=tasks, title=_titles, description=st.none() | _texts)
    def create(self, title: str, description: str | None) -> str:
        task = self.api.create_task(title=title, description=description)
        assert (task["title"], task["description"], task["is_completed"]) == (title, description, False)
        assert task["created_at"] == task["updated_at"]
        self._record(task, "CREATED", f"Task created: '{title}'")
        return str(task["id"])

    @rule(task_id=tasks, title=st.none() | _titles, description=st.none() | _texts, repeat=st.booleans())
    def edit(self, task_id: str, title: str | None, description: str | None, repeat: bool) -> None:
        before = self.model[task_id]
        if repeat:
            title, description = before["title"], before["description"]
        if title is None and description is None:
            error_of(self.api.put(f"/tasks/{task_id}", json={}), 400)
            return
        after = self.api.update_task(task_id, title=title, description=description)
        new_title = before["title"] if title is None else title
        new_description = before["description"] if description is None else description
        changes = []
        if new_title != before["title"]:
            changes.append(f"Title changed from '{before['title']}' to '{new_title}'")
        if new_description != before["description"]:
            changes.append("description changed" if changes else "Description changed")
        self._expect(before, after, changes, "UPDATED", title=new_title, description=new_description)

    @rule(task_id=tasks)
    def complete(self, task_id: str) -> None:
        before = self.model[task_id]
        after = self.api.complete_task(task_id)
        changes = [] if before["is_completed"] else ["Task marked as completed"]
        completed_at = before["completed_at"] or after["updated_at"]
        self._expect(before, after, changes, "COMPLETED", is_completed=True, completed_at=completed_at)

    @rule(task_id=tasks)
    def reopen(self, task_id: str) -> None:
        before = self.model[task_id]
        changes = ["Task marked as incomplete"] if before["is_completed"] else []
        after = self.api.reopen_task(task_id)
        self._expect(before, after, changes, "INCOMPLETED", is_completed=False, completed_at=None)

    def _expect(self, before: Json, after: Json, changes: list[str], action: str, **fields: Any) -> None:
        assert after == before | fields | {"updated_at": after["updated_at"]}
        assert (after["updated_at"] > before["updated_at"]) == bool(changes)
        if changes:
            self._record(after, action, "; ".join(changes))

    @rule(task_id=consumes(tasks))
    def delete(self, task_id: str) -> None:
        self.api.delete_task(task_id)
        self.log.append((task_id, "DELETED", f"Task deleted: '{self.model.pop(task_id)['title']}'"))
        for response in (self.api.get(f"/tasks/{task_id}"), self.api.delete(f"/tasks/{task_id}")):
            assert error_of(response, 404) == "Task not found"

    @rule(path=st.sampled_from(["", "/complete", "/incomplete"]), target=tasks)
    def miss(self, path: str) -> Any:
        response = self.api.request("PATCH" if path else "DELETE", f"/tasks/{uuid4()}{path}")
        assert error_of(response, 404) == "Task not found"
        return multiple()

    @rule(
        limit=st.integers(1, 10),
        page=st.none() | st.integers(1, 5),
        offset=st.none() | st.integers(0, 20),
        action=st.none() | _actions,
        which=st.none() | st.integers(0, 5),
    )
    def read_history(
        self, limit: int, page: int | None, offset: int | None, action: str | None, which: int | None
    ) -> None:
        task_id = self.log[which][0] if which is not None and which < len(self.log) else None
        given = {"limit": limit, "page": page, "offset": offset, "action_type": action, "task_id": task_id}
        history = self.api.history(**{name: value for name, value in given.items() if value is not None})
        matching = [entry for entry in reversed(self.log) if task_id in (None, entry[0]) and action in (None, entry[1])]
        first = (page - 1) * limit if page is not None else offset or 0
        items = [(item["task_id"], item["action_type"], item["description"]) for item in history["items"]]
        assert items == matching[first : first + limit]
        assert history["pagination"] == {
            "total_count": len(matching),
            "total_pages": -(-len(matching) // limit),
            "current_page": first // limit + 1,
            "page_size": limit,
            "has_next": first + limit < len(matching),
            "has_prev": first > 0,
        }

    @rule()
    def read_stats(self) -> None:
        stats = self.api.stats()
        completed = sum(task["is_completed"] for task in self.model.values())
        totals = (stats["total_tasks"], stats["total_completed"], stats["total_incomplete"])
        assert totals == (len(self.model), completed, len(self.model) - completed)
        assert stats["tasks_created_this_week"] <= len(self.model)
        assert stats["tasks_completed_this_week"] <= completed

    @invariant()
    def the_list_is_the_model(self) -> None:
        newest_first = sorted(self.model.values(), key=lambda task: str(task["created_at"]), reverse=True)
        assert self.api.list_tasks() == sorted(newest_first, key=lambda task: bool(task["is_completed"]))


def hold_to_model(
    app: FastAPI, address: str, clone: Callable[[], AbstractContextManager[URL]], runs: int, steps: int
) -> None:
    """Run the state machine `runs` times, for at most `steps` steps each.

    Raises AssertionError if the API and the model differ.
    """
    TaskMachine.app, TaskMachine.address, TaskMachine.clone = app, address, clone
    run_state_machine_as_test(
        TaskMachine,
        settings=settings(
            max_examples=runs,
            stateful_step_count=steps,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
