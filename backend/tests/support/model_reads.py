"""The reads of the API, compared with the model of its contract."""

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from uuid import uuid4

from fastapi import FastAPI
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from sqlalchemy import URL

from src.database.database import Database
from tests.support.client import Api, data_of, error_of
from tests.support.contract_model import POPUPS, Guard, Model
from tests.support.databases import settings_for

# For `pick`.
which_ones = st.integers(0, 7)


class TaskReads(RuleBasedStateMachine):
    """Compares what the API and the model show."""

    app: FastAPI
    address: str
    clone: Callable[[], AbstractContextManager[URL]]

    def __init__(self) -> None:
        super().__init__()
        self._open = ExitStack()
        url = self._open.enter_context(type(self).clone())
        database = Database(settings_for(url, database_pool_size=2))
        self._open.callback(database.close)
        self.app.state.database = database
        self.api = self._open.enter_context(Api(base_url=self.address))
        self.model = Model()

    def teardown(self) -> None:
        self._open.close()

    def pick(self, which: int) -> str:
        """Return the id of a task: usually of one that is there, else of the last one that was deleted."""
        deleted = [entry.task_id for entry in self.model.log if entry.task_id not in self.model.tasks]
        task_ids = [*self.model.tasks, *deleted[-1:]]
        return task_ids[which % len(task_ids)]

    @precondition(lambda self: self.model.log)
    @rule(which=st.integers(0, 30))
    def read_entry(self, which: int) -> None:
        entry = self.model.log[-1 - which % len(self.model.log)]
        assert data_of(self.api.get(f"/history/{entry.history_id}")) == vars(entry)

    @precondition(lambda self: self.model.log)
    @rule(which=which_ones, tags=st.sampled_from(["current", "stale", "list", "weak", "any"]))
    def read_task(self, which: int, tags: str) -> None:
        task_id = self.pick(which)
        task = self.model.tasks.get(task_id)
        header = Guard.of(tags, task).header
        response = self.api.get(f"/tasks/{task_id}", headers={"If-None-Match": str(header)})
        if task is None:
            assert error_of(response, 404) == "Task not found"
            return
        assert response.headers["ETag"] == f'"{task["updated_at"]}"'
        # A read takes weak tags for strong ones.
        if tags == "stale":
            assert data_of(response) == task
        else:
            assert (response.status_code, response.content) == (304, b"")

    @rule(call=st.sampled_from(["DELETE /tasks/", "PATCH /tasks/ /complete", "GET /history/", "POST /history/ /undo"]))
    def miss(self, call: str) -> None:
        method, prefix, *rest = call.split()
        response = self.api.request(method, f"{prefix}{uuid4()}{''.join(rest)}")
        assert error_of(response, 404) == ("Task not found" if "tasks" in prefix else "History entry not found")

    @rule(
        limit=st.integers(1, 10),
        page=st.none() | st.integers(1, 5),
        offset=st.none() | st.integers(0, 20),
        action=st.none() | st.sampled_from(list(POPUPS)),
        which=st.none() | st.integers(0, 5),
    )
    def read_history(
        self, limit: int, page: int | None, offset: int | None, action: str | None, which: int | None
    ) -> None:
        log = self.model.log
        task_id = log[which].task_id if which is not None and which < len(log) else None
        given = {"limit": limit, "page": page, "offset": offset, "action_type": action, "task_id": task_id}
        history = self.api.history(**{name: value for name, value in given.items() if value is not None})
        matching = [
            entry.item
            for entry in reversed(log)
            if task_id in (None, entry.task_id) and action in (None, entry.action_type)
        ]
        first = (page - 1) * limit if page is not None else offset or 0
        assert history["items"] == matching[first : first + limit]
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
        completed = sum(task["is_completed"] for task in self.model.tasks.values())
        totals = (stats["total_tasks"], stats["total_completed"], stats["total_incomplete"])
        assert totals == (len(self.model.tasks), completed, len(self.model.tasks) - completed)
        assert stats["tasks_created_this_week"] <= len(self.model.tasks)
        assert stats["tasks_completed_this_week"] <= completed

    @invariant()
    def the_list_is_the_model(self) -> None:
        newest_first = sorted(self.model.tasks.values(), key=lambda task: str(task["created_at"]), reverse=True)
        assert self.api.list_tasks() == sorted(newest_first, key=lambda task: bool(task["is_completed"]))
