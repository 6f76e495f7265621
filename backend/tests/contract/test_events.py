"""GET /events: the history as it happens."""

import json
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from urllib.parse import quote

import httpx
import pytest
from sqlalchemy import URL

from main import create_app
from tests.support.client import Api, Json, error_of
from tests.support.databases import Sql, settings_for
from tests.support.entries import commit_entries
from tests.support.event_stream import EventStream, watch
from tests.support.live_server import serve
from tests.support.proxy import Proxy

PATHS = ["/events", "/api/v1/events"]
ORIGIN = "http://localhost:3000"
MOST_MISSED = 1000

HARD_TEXTS = [
    "a\nb\rc\r\nd\n\ndata: x\nid: 1\n\n",
    "a\u2028b\u2029c\u0085d\x0be\x0cf\x1cg",
    'Say "hello" \\ \x01\x7f',
    "\ufefff\u00fcr \U0001f6d2 \u725b\u4e73 \u05e9\u05dc\u05d5\u05dd",
    ": id: 7",
]


def ids_of(entries: list[Json]) -> list[str]:
    return [entry["history_id"] for entry in entries]


@pytest.fixture
def position(api: Api) -> str:
    """A position before everything that the test does."""
    with watch(api) as stream:
        return stream.last_id


@pytest.mark.parametrize("path", PATHS)
def test_a_stream_begins_with_the_time_to_come_back_and_the_present_position(api: Api, path: str) -> None:
    api.create_task()
    with watch(api, path=path) as stream:
        assert stream.response.headers["Content-Type"] == "text/event-stream; charset=utf-8"
        assert "no-" in stream.response.headers["Cache-Control"]
        assert stream.received == f"retry: 3000\nid: {stream.last_id}\n\n".encode()
        assert stream.last_id
        assert stream.last_id.isascii()
        assert stream.last_id.isprintable()


@pytest.mark.parametrize("path", PATHS)
def test_each_change_is_an_event_with_the_entry_as_the_history_shows_it(api: Api, path: str) -> None:
    with watch(api, path=path) as stream:
        task = api.create_task(description="Milk")
        api.update_task(task["id"], title="Other")
        api.complete_task(task["id"])
        api.reopen_task(task["id"])
        api.delete_task(task["id"])
        api.undo(api.history()["items"][0])
        events = stream.take(6)
    assert {event.type for event in events} == {"change"}
    assert f'"items":[{",".join(event.data for event in reversed(events))}]' in api.get("/history").text


@pytest.mark.parametrize("text", HARD_TEXTS)
def test_any_text_is_one_line_of_data(api: Api, position: str, text: str) -> None:
    api.create_task(text, description=text)
    with watch(api, position) as stream:
        [event] = stream.take()
        assert stream.received.count(b"\ndata: ") == 1
    assert f'"items":[{event.data}]' in api.get("/history").text
    assert json.loads(event.data)["task_title"] == text


def test_a_change_that_changes_nothing_is_no_event(api: Api) -> None:
    with watch(api) as stream:
        task = api.create_task("Same")
        api.update_task(task["id"], title="Same")
        api.reopen_task(task["id"])
        api.complete_task(task["id"])
        assert [entry["action_type"] for entry in stream.entries(2)] == ["CREATED", "COMPLETED"]


def test_a_comment_arrives_when_nothing_happens(api: Api) -> None:
    with watch(api) as stream:
        stream.wait_for_comment()
        assert stream.received.endswith(b"\n\n:\n\n")
        api.create_task()
        assert stream.entries()


def test_several_listeners_are_told_the_same(api: Api) -> None:
    with watch(api) as one, watch(api) as other:
        api.create_task("One")
        api.create_task("Another")
        events = one.take(2)
        assert other.take(2) == events
    assert [json.loads(event.data)["task_title"] for event in events] == ["One", "Another"]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("how", ["header", "parameter"])
def test_a_resumed_stream_begins_with_what_was_missed_oldest_first(
    api: Api, position: str, path: str, how: str
) -> None:
    missed = [api.create_task(f"Task {number}")["id"] for number in range(5)]
    headers = {"Last-Event-ID": position} if how == "header" else {}
    with watch(api, path=path if headers else f"{path}?after={quote(position)}", headers=headers) as stream:
        assert stream.received.startswith(f"retry: 3000\nid: {position}\n\n".encode())
        assert [entry["task_id"] for entry in stream.entries(5)] == missed
        new = api.create_task()
        assert stream.entries()[0]["task_id"] == new["id"]


def test_each_event_has_a_position_to_come_back_with(api: Api) -> None:
    with watch(api) as stream:
        tasks = []
        for _ in range(3):
            tasks.append(api.create_task()["id"])
            stream.take()
        last_id = stream.last_id
    tasks.append(api.create_task()["id"])
    with watch(api, last_id) as stream:
        assert stream.entries()[0]["task_id"] == tasks[-1]


def test_who_leaves_in_the_middle_of_a_lot_gets_the_whole_lot_again(api: Api, sql: Sql, position: str) -> None:
    written = commit_entries(sql, 3)
    with watch(api, position) as stream:
        first, second, third = stream.take(3)
    assert first.last_id == second.last_id == position != third.last_id
    with watch(api, second.last_id) as stream:
        assert ids_of(stream.entries(3)) == written
    new = commit_entries(sql)
    with watch(api, third.last_id) as stream:
        assert ids_of(stream.entries()) == new


def test_the_header_counts_more_than_the_parameter(api: Api, position: str) -> None:
    """A browser comes back to the same URL, with the header."""
    api.create_task("Seen")
    with watch(api, position) as stream:
        stream.take()
        newer = stream.last_id
    api.create_task("Missed")
    with watch(api, newer, f"/events?after={quote(position)}") as stream:
        assert stream.entries()[0]["task_title"] == "Missed"


@pytest.mark.parametrize(("path", "header"), [("/events", ""), ("/events?after=", None), ("/events?after=", "")])
def test_an_empty_position_is_none(api: Api, path: str, header: str | None) -> None:
    api.create_task("Before")
    with watch(api, path=path, headers={} if header is None else {"Last-Event-ID": header}) as stream:
        assert b"event: reset" not in stream.received
        api.create_task("After")
        assert stream.entries()[0]["task_title"] == "After"


def test_an_empty_header_leaves_the_parameter(api: Api, position: str) -> None:
    api.create_task()
    with watch(api, path=f"/events?after={quote(position)}", headers={"Last-Event-ID": ""}) as stream:
        assert stream.entries()


# Made of a position that is known.
UNKNOWN: dict[str, Callable[[str], str]] = {
    "a word": lambda _: "nonsense",
    "a number": lambda _: "0",
    "a null": lambda _: "null",
    "the beginning": lambda position: position[:12],
    "more": lambda position: f"{position}0x",
    "twice": lambda position: f"{position},{position}",
    "another database": lambda position: position.translate(str.maketrans("0123456789abcdef", "123456789abcdef0")),
    "SQL": lambda _: "'; SELECT pg_sleep(9) --",
    "percent signs": lambda _: "%s%(x)s%%",
    "beyond ASCII": lambda position: f"{position}\u0663",
    "a huge number": lambda position: f"{position}{'9' * 1000}",
    "long": lambda _: "f" * 10_000,
    "spaces": lambda position: f"{position} {position}",
}


@pytest.mark.parametrize("how", ["header", "parameter"])
@pytest.mark.parametrize("made", UNKNOWN.values(), ids=UNKNOWN.keys())
def test_an_unknown_position_gets_one_reset(api: Api, position: str, made: Callable[[str], str], how: str) -> None:
    api.create_task("Missed")
    unknown = made(position)
    headers = {b"Last-Event-ID": unknown.encode()} if how == "header" else {}
    with watch(api, path="/events" if headers else f"/events?after={quote(unknown)}", headers=headers) as stream:
        assert_reset(api, stream, unknown)


def assert_reset(api: Api, stream: EventStream, before: str) -> None:
    """Check that there is one reset, and that the stream goes on with what happens from now on."""
    [reset] = stream.take()
    assert (reset.type, reset.data) == ("reset", "{}")
    assert reset.last_id not in ("", before)
    after = api.create_task("After")
    [event] = stream.take()
    assert (event.type, json.loads(event.data)["task_id"]) == ("change", after["id"])
    with watch(api, reset.last_id) as resumed:
        assert resumed.take()[0].data == event.data


def test_a_position_of_another_database_gets_a_reset(
    api: Api, position: str, clone: Callable[[], AbstractContextManager[URL]]
) -> None:
    with (
        clone() as url,
        serve(create_app(settings_for(url))) as (_, address),
        Api(address) as other,
        watch(other, position) as stream,
    ):
        assert_reset(other, stream, position)


def test_up_to_a_thousand_missed_entries_are_all_sent(api: Api, sql: Sql, position: str) -> None:
    written = commit_entries(sql, MOST_MISSED - 1) + commit_entries(sql)
    with watch(api, position) as stream:
        assert ids_of(stream.entries(MOST_MISSED)) == written
        commit_entries(sql)
        assert stream.entries()


def test_more_than_a_thousand_missed_entries_are_a_reset(api: Api, sql: Sql, position: str) -> None:
    commit_entries(sql, MOST_MISSED + 1)
    with watch(api, position) as stream:
        assert_reset(api, stream, position)


@pytest.mark.parametrize("path", PATHS)
def test_head_has_the_headers_and_no_stream(api: Api, path: str) -> None:
    with watch(api, path=path) as stream:
        headers = stream.response.headers
    answer = api.head(path)
    assert (answer.status_code, answer.content) == (200, b"")
    for name in ("Content-Type", "Cache-Control"):
        assert answer.headers[name] == headers[name]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_other_methods_are_refused(api: Api, path: str, method: str) -> None:
    refused = api.request(method, path)
    error_of(refused, 405)
    assert set(refused.headers["Allow"].split(", ")) == {"GET", "HEAD"}


@pytest.mark.parametrize("path", PATHS)
def test_pages_of_allowed_origins_may_read_it(api: Api, path: str) -> None:
    with watch(api, path=path, headers={"Origin": ORIGIN}) as stream:
        assert stream.response.headers["Access-Control-Allow-Origin"] == ORIGIN
    with watch(api, path=path, headers={"Origin": "https://other.example"}) as stream:
        assert "Access-Control-Allow-Origin" not in stream.response.headers


def test_pages_of_allowed_origins_may_come_back(api: Api) -> None:
    """`Last-Event-ID` is no header that a page may send without asking."""
    asked = {"Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "last-event-id, authorization"}
    answer = api.options("/events", headers={"Origin": ORIGIN, **asked})
    assert answer.status_code == 200
    allowed = {name.strip().lower() for name in answer.headers["Access-Control-Allow-Headers"].split(",")}
    assert {"last-event-id", "authorization"} <= allowed


@pytest.mark.parametrize("path", PATHS)
def test_it_needs_the_api_key(database_url: URL, path: str) -> None:
    key = "key-of-the-test-of-events"
    with serve(create_app(settings_for(database_url, api_key=key))) as (_, address), Api(address) as api:
        for headers in ({}, {"Last-Event-ID": "nonsense"}):
            refused = api.get(path, headers={"Origin": ORIGIN, **headers})
            assert "API key" in error_of(refused, 401)
            assert refused.headers["Access-Control-Allow-Origin"] == ORIGIN
        api.headers["Authorization"] = f"Bearer {key}"
        with watch(api, path=path) as stream:
            api.create_task()
            assert stream.entries()


@pytest.mark.parametrize("position", ["", "nonsense"])
def test_without_a_database_it_answers_503(database_url: URL, position: str) -> None:
    with ExitStack() as stack:
        with Proxy(database_url).running() as url:
            app = create_app(settings_for(url, repeat_budget_s=0.1))
            _, address = stack.enter_context(serve(app))
        headers = {"Last-Event-ID": position, "Origin": ORIGIN}
        with httpx.stream("GET", f"{address}/events", headers=headers) as refused:
            assert refused.status_code == 503
            refused.read()
    error_of(refused, 503)
    assert int(refused.headers["Retry-After"]) > 0
    assert refused.headers["Access-Control-Allow-Origin"] == ORIGIN
