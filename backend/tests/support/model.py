"""A state machine that makes the same changes to the API and to a model of its contract, and compares them."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import NamedTuple

import httpx
from fastapi import FastAPI
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import URL

from tests.support.client import Json, data_of, error_of
from tests.support.contract_model import OPPOSITES, POPUPS, Guard, Outcome, edit_sentence
from tests.support.model_reads import SEARCHED, TaskReads, which_ones

# Without the two characters beyond ASCII whose lower case is an ASCII letter: not every locale knows them.
_any_texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\u0130\u212a"), max_size=30)
_texts = _any_texts | st.text(SEARCHED, max_size=10) | _any_texts.map(lambda text: f"={text}")
_titles = _texts.map(lambda text: f"{text}!")
# Few, so they are used again. Quotes are not part of the key.
_keys = st.sampled_from([None, None, "one", '"one"', "another"])
_guards = st.sampled_from([None, None, None, "any", "current", "list", "stale", "weak"])


class Change(NamedTuple):
    """A request that changes a task: what it sets (None for a deletion), and the sentence of its entry."""

    action: str
    method: str
    task_id: str
    path: str
    fields: Json
    sentence: str
    body: Json = None


def _headers(key: str | None, if_match: str | None = None) -> dict[str, str]:
    given = {"Idempotency-Key": key, "If-Match": if_match}
    return {name: value for name, value in given.items() if value is not None}


class TaskMachine(TaskReads):
    """Makes the same changes to the API and to the model."""

    def __init__(self) -> None:
        super().__init__()
        # The body and the answer of the creation with each Idempotency-Key.
        self.created: dict[str, tuple[Json, httpx.Response]] = {}

    @rule(title=_titles, description=st.none() | _texts, key=_keys, repeat=st.booleans())
    def create(self, title: str, description: str | None, key: str | None, repeat: bool) -> None:
        body = {"title": title, "description": description}
        name = key and key.strip('"')
        if repeat and name in self.created:
            body = self.created[name][0]
        response = self.api.post("/tasks", json=body, headers=_headers(key))
        if name in self.created:
            self._expect_replay(response, body, *self.created[name])
            return
        task = data_of(response, 201, "TASK_CREATED")
        assert body.items() <= task.items()
        assert task["created_at"] == task["updated_at"]
        assert (task["is_completed"], task["completed_at"]) == (False, None)
        self._record(response, str(task["id"]), task, f"Task created: '{body['title']}'")
        if name is not None:
            self.created[name] = (body, response)

    def _expect_replay(self, response: httpx.Response, body: Json, first_body: Json, first: httpx.Response) -> None:
        if body != first_body:
            assert error_of(response, 422) == "Idempotency-Key: was used for another task"
            return
        assert (response.status_code, response.content) == (201, first.content)
        assert response.headers["History-ID"] == first.headers["History-ID"]
        assert response.headers["Idempotency-Replayed"] == "true"

    @precondition(lambda self: self.model.log)
    @rule(
        which=which_ones,
        title=st.none() | _titles,
        description=st.none() | _texts,
        repeat=st.booleans(),
        key=_keys,
        guard=_guards,
    )
    def edit(
        self,
        which: int,
        title: str | None,
        description: str | None,
        repeat: bool,
        key: str | None,
        guard: str | None,
    ) -> None:
        task_id = self.pick(which)
        before = self.model.tasks.get(task_id)
        if repeat and before is not None:
            title, description = before["title"], before["description"]
        body = {"title": title, "description": description}
        if title is None and description is None:
            error_of(self.api.put(f"/tasks/{task_id}", json=body), 400)
            return
        fields = {name: value for name, value in body.items() if value is not None}
        sentence = edit_sentence(before, before | fields) if before is not None else ""
        self._change(Change("UPDATED", "PUT", task_id, "", fields, sentence, body), key, guard)

    @precondition(lambda self: self.model.log)
    @rule(which=which_ones, key=_keys, guard=_guards)
    def complete(self, which: int, key: str | None, guard: str | None) -> None:
        task_id, fields = self.pick(which), {"is_completed": True}
        change = Change("COMPLETED", "PATCH", task_id, "/complete", fields, "Task marked as completed")
        self._change(change, key, guard)

    @precondition(lambda self: self.model.log)
    @rule(which=which_ones, key=_keys, guard=_guards)
    def reopen(self, which: int, key: str | None, guard: str | None) -> None:
        task_id, fields = self.pick(which), {"is_completed": False, "completed_at": None}
        change = Change("INCOMPLETED", "PATCH", task_id, "/incomplete", fields, "Task marked as incomplete")
        self._change(change, key, guard)

    @precondition(lambda self: self.model.log)
    @rule(which=which_ones, key=_keys, guard=_guards)
    def delete(self, which: int, key: str | None, guard: str | None) -> None:
        task_id = self.pick(which)
        title = self.model.tasks.get(task_id, {}).get("title")
        self._change(Change("DELETED", "DELETE", task_id, "", None, f"Task deleted: '{title}'"), key, guard)

    def _change(self, change: Change, key: str | None, guard_kind: str | None) -> None:
        """Make a change, and check the answer against the one that the model gives."""
        before = self.model.tasks.get(change.task_id)
        guard = Guard.of(guard_kind, before)
        path = f"/tasks/{change.task_id}{change.path}"
        response = self.api.request(change.method, path, json=change.body, headers=_headers(key, guard.header))
        request = (key and key.strip('"'), change.action, change.task_id, guard.tags, repr(change.body))
        made = self.model.made.get(request) if key else None
        outcome = self.model.outcome(change.task_id, made is not None, guard, change.fields)
        if outcome in ("missing", "stale"):
            self._expect_refusal(response, outcome, before)
            return
        after = data_of(response, popup=POPUPS[change.action])
        assert (response.headers.get("Idempotency-Replayed") == "true") == (outcome == "replayed")
        if outcome == "changed":
            self._expect_fields(before, after, change.fields)
            self._record(response, change.task_id, after, change.sentence)
            if key:
                self.model.made[request] = response.headers["History-ID"]
        else:
            assert after == (None if change.fields is None else before)
            assert response.headers.get("History-ID") == made

    def _expect_refusal(self, response: httpx.Response, outcome: Outcome, task: Json) -> None:
        if outcome == "missing":
            assert error_of(response, 404) == "Task not found"
        else:
            assert error_of(response, 412) == "The task has changed since you read it"
            assert response.headers["ETag"] == f'"{task["updated_at"]}"'

    def _expect_fields(self, before: Json, after: Json, fields: Json) -> None:
        if fields is None:
            assert after is None
            return
        set_by_service = {"updated_at": after["updated_at"]}
        if fields == {"is_completed": True}:
            set_by_service["completed_at"] = after["updated_at"]
        assert after == before | fields | set_by_service

    def _record(
        self, response: httpx.Response, task_id: str, after: Json, sentence: str, undoes: str | None = None
    ) -> None:
        history_id = response.headers["History-ID"]
        at = data_of(self.api.get(f"/history/{history_id}"))["timestamp"] if after is None else after["updated_at"]
        assert at > self.model.last_moment_of(task_id)
        self.model.record(task_id, after, sentence, history_id, at, undoes)

    @precondition(lambda self: self.model.log)
    @rule(which=st.integers(0, 30))
    def undo(self, which: int) -> None:
        entry = self.model.log[-1 - which % len(self.model.log)]
        response = self.api.post(f"/history/{entry.history_id}/undo")
        popup = POPUPS[OPPOSITES[entry.action_type]]
        if entry.undone_by is not None:
            assert data_of(response, popup=popup) == self.model.tasks.get(entry.task_id)
            assert "History-ID" not in response.headers
        elif not self.model.can_undo(entry):
            assert error_of(response, 409) == "The task has changed since"
        else:
            after, expected = data_of(response, popup=popup), self.model.undone(entry)
            assert after == (expected and expected | {"updated_at": after["updated_at"]})
            sentence = self.model.sentence_of_undo(entry)
            self._record(response, entry.task_id, after, sentence, entry.history_id)


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
