"""The reads of the API, compared with the model of its contract."""

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from typing import Any
from uuid import uuid4

from fastapi import FastAPI
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from sqlalchemy import URL

from src.database.database import Database
from tests.support.client import Api, Json, data_of, error_of
from tests.support.contract_model import POPUPS, Entry, Guard, Model, holds_words
from tests.support.databases import settings_for
from tests.support.exports import export, items_of_ndjson, rows_for, rows_of_csv

# For `pick`.
which_ones = st.integers(0, 7)

# Searches, of characters whose case every locale knows. The titles have the same ones, among others.
SEARCHED = "aAbB1%_\\'\"! \n\N{SHOPPING TROLLEY}"
_searches = st.none() | st.text(SEARCHED, max_size=4) | st.sampled_from(["task CREATED", "TITLE a", "marked", "undo"])
# Each of them, and some more.
_common_searches = [*(each for each in SEARCHED if not each.isspace()), "A B", "b 1", "a !", "deleted A", "from b"]
_formats = st.sampled_from([None, None, "csv", "ndjson"])
# Which entry's time is a bound of a range.
_bounds = st.none() | st.integers(0, 9)


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
        actions=st.lists(st.sampled_from(list(POPUPS)), max_size=3),
        which=st.none() | st.integers(0, 5),
        q=_searches,
        bounds=st.tuples(_bounds, _bounds),
        file_format=_formats,
    )
    def read_history(
        self,
        limit: int,
        page: int | None,
        offset: int | None,
        actions: list[str],
        which: int | None,
        q: str | None,
        bounds: tuple[int | None, int | None],
        file_format: str | None,
    ) -> None:
        log = self.model.log
        task_id = log[which].task_id if which is not None and which < len(log) else None
        start, end = (log[each % len(log)].timestamp if each is not None and log else None for each in bounds)
        given = {"action_type": actions, "task_id": task_id, "q": q, "from": start, "to": end}
        filters = {name: value for name, value in given.items() if value is not None}
        if self._expect_refusal_of("/history", filters):
            return

        def matches(entry: Entry) -> bool:
            return (
                task_id in (None, entry.task_id)
                and (not actions or entry.action_type in actions)
                and (start is None or entry.timestamp >= start)
                and (end is None or entry.timestamp < end)
                and _holds(entry, q or "")
            )

        matching = [entry.item for entry in reversed(log) if matches(entry)]
        if file_format is None:
            self._expect_page(matching, limit, page, offset, filters)
        else:
            self._expect_export("/history", file_format, matching, filters)

    def _expect_page(
        self, matching: list[Json], limit: int, page: int | None, offset: int | None, filters: dict[str, Any]
    ) -> None:
        place = {name: value for name, value in (("page", page), ("offset", offset)) if value is not None}
        history = self.api.history(limit=limit, **place, **filters)
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

    def _expect_export(self, path: str, file_format: str, matching: list[Json], filters: dict[str, Any]) -> None:
        text = export(self.api, path, file_format, **filters)
        if file_format == "csv":
            assert rows_of_csv(text) == rows_for(path.strip("/"), matching)
        else:
            assert items_of_ndjson(text) == matching

    def _expect_refusal_of(self, path: str, filters: dict[str, Any]) -> bool:
        """Tell whether these filters are not valid; if so, the API must refuse them."""
        q, start, end = (filters.get(name) for name in ("q", "from", "to"))
        if q is not None and not q.strip():
            rule = "must contain a visible character" if q else "must be 1 to 200 characters"
            assert error_of(self.api.get(path, params=filters), 400) == f"q: {rule}"
        elif start is not None and end is not None and start >= end:
            assert error_of(self.api.get(path, params=filters), 400) == "from: must be before to"
        else:
            return False
        return True

    @rule(
        q=_searches,
        is_completed=st.sampled_from([None, "true", "false"]),
        limit=st.none() | st.integers(1, 5),
        file_format=_formats,
    )
    def read_list(self, q: str | None, is_completed: str | None, limit: int | None, file_format: str | None) -> None:
        given = {"q": q, "is_completed": is_completed}
        filters = {name: value for name, value in given.items() if value is not None}
        if self._expect_refusal_of("/tasks", filters):
            return
        matching = [
            task
            for task in self.model.listed()
            if is_completed in (None, str(task["is_completed"]).lower())
            and holds_words(q or "", task["title"], task["description"])
        ]
        if file_format is not None:
            self._expect_export("/tasks", file_format, matching, filters)
        elif limit is None:
            assert data_of(self.api.get("/tasks", params=filters)) == matching
        else:
            assert [task for page in self.api.pages("/tasks", limit=limit, **filters) for task in page] == matching

    @precondition(lambda self: self.model.log)
    @rule()
    def read_every_search(self) -> None:
        for q in _common_searches:
            entries = [entry for entry in reversed(self.model.log) if _holds(entry, q)]
            self._expect_page([entry.item for entry in entries], 100, None, None, {"q": q})
            tasks = [task for task in self.model.listed() if holds_words(q, task["title"], task["description"])]
            assert data_of(self.api.get("/tasks", params={"q": q})) == tasks

    @precondition(lambda self: self.model.log)
    @rule()
    def read_every_period(self) -> None:
        newest_first = [entry.item for entry in reversed(self.model.log)]
        for number, entry in enumerate(newest_first):
            self._expect_page(newest_first[number + 1 :], 100, None, None, {"to": entry["timestamp"]})
            self._expect_page(newest_first[: number + 1], 100, None, None, {"from": entry["timestamp"]})

    @rule()
    def read_every_export(self) -> None:
        entries = [entry.item for entry in reversed(self.model.log)]
        for file_format in ("csv", "ndjson"):
            self._expect_export("/history", file_format, entries, {})
            self._expect_export("/tasks", file_format, self.model.listed(), {})

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
        assert self.api.list_tasks() == self.model.listed()


def _holds(entry: Entry, q: str) -> bool:
    return holds_words(q, entry.description, entry.task_title)
