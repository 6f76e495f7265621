"""ETag on GET /tasks/{id}, and If-None-Match."""

import httpx
import pytest

from tests.support.client import Api, Json, data_of, error_of
from tests.support.header_values import MALFORMED_TAGS, TAGS_RULE, header_lines, tag_of

ORIGIN = "http://localhost:3000"
NOBODYS_TASK = "/tasks/0b7e1f0a-6f0e-4c2b-9d0e-2f6a5f1c9a11"


@pytest.fixture
def task(api: Api) -> Json:
    return api.create_task(title="Buy", description="Milk")


def read(api: Api, task: Json, *values: str) -> httpx.Response:
    """GET a task with If-None-Match, one line for each value. `{}` stands for its tag."""
    given = header_lines("If-None-Match", *(value.replace("{}", tag_of(task)) for value in values))
    return api.get(f"/tasks/{task['id']}", headers=[*given, (b"Origin", ORIGIN.encode())])


def test_the_tag_of_a_task_is_its_last_change_in_quotes(api: Api, task: Json) -> None:
    for change in (api.get_task, api.complete_task, api.reopen_task):
        changed = change(task["id"])
        response = api.get(f"/tasks/{task['id']}")
        assert data_of(response) == changed
        assert response.headers["ETag"] == tag_of(changed)
        assert response.headers["Cache-Control"] == "private, no-cache"


@pytest.mark.parametrize("path", ["/api/v1/tasks/{}", "/tasks/{}/", "/tasks/{}?x=1"])
def test_the_tag_is_the_same_on_every_path(api: Api, task: Json, path: str) -> None:
    response = api.get(path.format(task["id"]), headers={"If-None-Match": tag_of(task)})
    assert (response.status_code, response.headers["ETag"]) == (304, tag_of(task))


@pytest.mark.parametrize(
    "given",
    [
        ["{}"],
        ["W/{}"],
        ["*"],
        ['{} \t , "other"'],
        ['"other", {}'],
        ['"other",{}'],
        [',, "other" ,\t, W/{} ,'],
        ['"other"', "{}"],
        ['"a", "b"', 'W/"c"', "{}"],
        ['"with,a,comma", {}'],
        ['"W/", {}'],
        ['"é\x80\xff", {}'],
    ],
)
def test_a_task_that_the_caller_has_is_not_sent_again(api: Api, task: Json, given: list[str]) -> None:
    response = read(api, task, *given)
    assert (response.status_code, response.content) == (304, b"")
    assert response.headers["ETag"] == tag_of(task)
    assert response.headers["Cache-Control"] == "private, no-cache"
    assert response.headers["Access-Control-Allow-Origin"] == ORIGIN
    assert "ETag" in response.headers["Access-Control-Expose-Headers"]
    assert "X-Request-ID" in response.headers
    assert "Content-Type" not in response.headers
    assert "Content-Length" not in response.headers


@pytest.mark.parametrize("given", [['"other"'], ['""'], ['W/"other"', '"x"'], ['"*"'], ['"%s"'], ['"\'\\"']])
def test_a_task_that_the_caller_does_not_have_is_sent(api: Api, task: Json, given: list[str]) -> None:
    response = read(api, task, *given)
    assert data_of(response) == task
    assert response.headers["ETag"] == tag_of(task)


def test_an_old_tag_no_longer_matches(api: Api, task: Json) -> None:
    changed = api.complete_task(task["id"])
    assert data_of(read(api, task, "{}")) == changed
    assert read(api, changed, "{}").status_code == 304


def test_head_answers_as_get_does(api: Api, task: Json) -> None:
    path = f"/tasks/{task['id']}"
    head, get = api.head(path), api.get(path)
    for name in ("ETag", "Cache-Control", "Content-Length", "Content-Type"):
        assert head.headers[name] == get.headers[name]
    not_modified = api.head(path, headers={"If-None-Match": tag_of(task)})
    assert (not_modified.status_code, not_modified.headers["ETag"]) == (304, tag_of(task))


@pytest.mark.parametrize("tag", ['"other"', "*", '""'])
def test_an_unknown_task_is_not_found_whatever_the_tag(api: Api, tag: str) -> None:
    response = api.get(NOBODYS_TASK, headers={"If-None-Match": tag})
    assert error_of(response, 404) == "Task not found"
    assert "ETag" not in response.headers
    assert response.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("given", MALFORMED_TAGS, ids=lambda given: repr(given)[:24])
def test_malformed_tags_are_refused(api: Api, task: Json, given: list[str]) -> None:
    error = error_of(read(api, task, *given), 400)
    assert error == f"If-None-Match: {TAGS_RULE}"


@pytest.mark.parametrize("path", ["/tasks", "/history", "/stats/weekly", "/health"])
def test_other_answers_are_not_stored_and_have_no_tag(api: Api, path: str) -> None:
    response = api.get(path, headers={"If-None-Match": "nonsense", "If-Match": "nonsense"})
    assert data_of(response) is not None
    assert response.headers["Cache-Control"] == "no-store"
    assert "ETag" not in response.headers


@pytest.mark.parametrize("path", [NOBODYS_TASK, "/tasks/42"])
def test_malformed_tags_are_refused_without_a_task(api: Api, path: str) -> None:
    assert error_of(api.get(path, headers={"If-None-Match": "x"}), 400)


@pytest.mark.parametrize("tag", ["x", "*", "{}", ""])
def test_changes_ignore_if_none_match(api: Api, task: Json, tag: str) -> None:
    headers = {"If-None-Match": tag.replace("{}", tag_of(task))}
    data_of(api.post("/tasks", json={"title": "x"}, headers=headers), 201, "TASK_CREATED")
    data_of(api.put(f"/tasks/{task['id']}", json={"title": "Sell"}, headers=headers), popup="TASK_UPDATED")
    data_of(api.delete(f"/tasks/{task['id']}", headers=headers), popup="TASK_DELETED")


@pytest.mark.parametrize("tags", [['""'] * 7000, ['"' + "x" * 28_000 + '"'], ['W/""'] * 5000])
def test_very_many_and_very_long_tags_are_compared(api: Api, task: Json, tags: list[str]) -> None:
    assert read(api, task, ",".join([*tags, "{}"])).status_code == 304
    assert data_of(read(api, task, ",".join(tags))) == task


def test_an_undo_changes_the_tag(api: Api, task: Json) -> None:
    """Although the task is as it was before, it was something else in between."""
    api.complete_task(task["id"])
    undone = api.undo(api.last_entry_of(task["id"]))
    assert data_of(read(api, task, "{}")) == undone
    assert read(api, undone, "{}").status_code == 304
