"""An HTTP client that checks the envelope, so a test states only what matters to it."""

from collections.abc import Iterator
from typing import Any

import httpx

from tests.support.waiting import PATIENCE_S

# The tests check the types inside.
Json = Any

# By the action of an entry: the popup of its undo.
UNDO_POPUPS = {
    "CREATED": "TASK_DELETED",
    "UPDATED": "TASK_UPDATED",
    "COMPLETED": "TASK_INCOMPLETE",
    "INCOMPLETED": "TASK_COMPLETED",
    "DELETED": "TASK_CREATED",
}


def data_of(response: httpx.Response, status_code: int = 200, popup: str | None = None) -> Any:
    """Check the whole envelope of a success, and return its `data`."""
    assert response.status_code == status_code, response.text
    body = response.json()
    assert list(body) == ["success", "data", "popup", "error"]
    assert (body["success"], body["popup"], body["error"]) == (True, popup, None)
    return body["data"]


def error_of(response: httpx.Response, status_code: int) -> str:
    """Check the whole envelope of a failure, and return its `error`."""
    assert response.status_code == status_code, response.text
    body = response.json()
    assert list(body) == ["success", "data", "popup", "error"]
    assert (body["success"], body["data"], body["popup"]) == (False, None, None)
    error = body["error"]
    assert isinstance(error, str)
    return error


class Api(httpx.Client):
    """The API as a caller sees it. The methods below expect success and return `data`.

    Its connection pool has no limits: a limited one closes connections that other threads are about
    to use (https://github.com/encode/httpcore/issues/1110).
    """

    def __init__(self, base_url: str) -> None:
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=None, keepalive_expiry=None)
        super().__init__(base_url=base_url, timeout=PATIENCE_S, limits=limits)

    def create_task(self, title: str = "Buy groceries", **fields: Any) -> Json:
        return data_of(self.post("/tasks", json={"title": title, **fields}), 201, "TASK_CREATED")

    def get_task(self, task_id: str) -> Json:
        return data_of(self.get(f"/tasks/{task_id}"))

    def list_tasks(self) -> list[Any]:
        return list(data_of(self.get("/tasks")))

    def update_task(self, task_id: str, **fields: Any) -> Json:
        return data_of(self.put(f"/tasks/{task_id}", json=fields), popup="TASK_UPDATED")

    def complete_task(self, task_id: str) -> Json:
        return data_of(self.patch(f"/tasks/{task_id}/complete"), popup="TASK_COMPLETED")

    def reopen_task(self, task_id: str) -> Json:
        return data_of(self.patch(f"/tasks/{task_id}/incomplete"), popup="TASK_INCOMPLETE")

    def delete_task(self, task_id: str) -> None:
        assert data_of(self.delete(f"/tasks/{task_id}"), popup="TASK_DELETED") is None

    def history(self, **parameters: Any) -> Json:
        return data_of(self.get("/history", params=parameters))

    def pages(self, path: str, **parameters: Any) -> Iterator[Json]:
        """Yield the `data` of a page, and of each page after it, by the Link headers."""
        response = self.get(path, params=parameters)
        yield data_of(response)
        while "next" in response.links:
            response = self.get(response.links["next"]["url"])
            yield data_of(response)

    def history_of(self, task_id: str) -> list[Any]:
        """Return all entries of a task, oldest first."""
        page = self.history(task_id=task_id, limit=100)
        assert not page["pagination"]["has_next"]
        return list(reversed(page["items"]))

    def entry(self, history_id: str) -> Json:
        return data_of(self.get(f"/history/{history_id}"))

    def last_entry_of(self, task_id: str) -> Json:
        """Return the newest entry of a task, with its change."""
        return self.entry(self.history_of(task_id)[-1]["history_id"])

    def undo(self, entry: Json) -> Json:
        """Undo an entry of the history."""
        return data_of(self.post(f"/history/{entry['history_id']}/undo"), popup=UNDO_POPUPS[entry["action_type"]])

    def stats(self, **parameters: str) -> Json:
        return data_of(self.get("/stats/weekly", params=parameters))
