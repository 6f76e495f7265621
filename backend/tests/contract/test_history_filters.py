"""The parameters `from`, `to` and several `action_type` of GET /history."""

import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from src.models import ActionType
from tests.support.client import Api, data_of, error_of
from tests.support.contract_model import holds_words
from tests.support.databases import AS_REPLICA, Sql

PATHS = ["/history", "/api/v1/history"]
MONDAY = datetime(2026, 11, 16, tzinfo=UTC)
TICK = timedelta(microseconds=1)

# One entry at each of the times, of one of three tasks.
ENTRIES = (
    f"{AS_REPLICA}INSERT INTO task_history (history_id, task_id, action_type, description, timestamp, task_title)"
    " SELECT gen_random_uuid(), md5((number % 3)::text)::uuid,"
    " (ARRAY['CREATED', 'UPDATED', 'UPDATED', 'COMPLETED', 'DELETED'])[1 + number % 5],"
    " 'Entry ' || number % 4, at, CASE number % 7 WHEN 0 THEN NULL ELSE 'Task' END"
    " FROM unnest(CAST(:times AS timestamptz[])) WITH ORDINALITY AS entry (at, number)"
)


def insert_entries(sql: Sql, *times: datetime) -> None:
    sql(ENTRIES, times=[at.isoformat() for at in times])


def whole_log(api: Api) -> list[Any]:
    """Return every entry, newest first."""
    return [entry for page in api.pages("/history", limit=100) for entry in page["items"]]


def times_of(history: Any) -> list[str]:
    return [entry["timestamp"] for entry in history["items"]]


def wire(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


@pytest.mark.parametrize("path", PATHS)
def test_from_is_within_the_range_and_to_is_not(api: Api, sql: Sql, path: str) -> None:
    sunday = MONDAY + timedelta(days=6, hours=5)
    insert_entries(sql, *(bound + tick for bound in (MONDAY, sunday) for tick in (-TICK, 0 * TICK, TICK)))

    def times(**bounds: str) -> list[str]:
        return times_of(data_of(api.get(path, params=bounds)))

    within = [wire(sunday - TICK), wire(MONDAY + TICK), wire(MONDAY)]
    assert times(**{"from": wire(MONDAY), "to": wire(sunday)}) == within
    assert times(**{"from": wire(MONDAY)}) == [wire(sunday + TICK), wire(sunday), *within]
    assert times(to=wire(sunday)) == [*within, wire(MONDAY - TICK)]
    assert times(**{"from": wire(MONDAY), "to": wire(MONDAY + TICK)}) == [wire(MONDAY)]
    assert times(**{"from": wire(sunday + 2 * TICK)}) == times(to=wire(MONDAY - TICK)) == []


@pytest.mark.parametrize(
    "given",
    [
        "2026-11-16T00:00:00Z",
        "2026-11-16T00:00:00.0Z",
        "2026-11-16T00:00:00.000000Z",
        "2026-11-16T00:00:00.000000000Z",
        "2026-11-16t00:00:00z",
        "2026-11-16T00:00:00+00:00",
        "2026-11-16T00:00:00-00:00",
        "2026-11-16T01:00:00+01:00",
        "2026-11-15T19:00:00-05:00",
        "2026-11-16T05:45:00.000+05:45",
        "2026-11-16T23:59:00+23:59",
        "2026-11-15T00:01:00-23:59",
    ],
)
def test_a_time_may_be_of_any_zone_and_precision(api: Api, sql: Sql, given: str) -> None:
    insert_entries(sql, MONDAY - TICK, MONDAY)
    assert times_of(api.history(**{"from": given})) == [wire(MONDAY)]
    assert times_of(api.history(to=given)) == [wire(MONDAY - TICK)]


def test_a_fraction_of_a_second_counts(api: Api, sql: Sql) -> None:
    moments = [MONDAY + timedelta(milliseconds=number) for number in range(5)]
    insert_entries(sql, *moments)
    bounds = {"from": "2026-11-16T00:00:00.001Z", "to": "2026-11-16T01:00:00.0040+01:00"}
    assert times_of(api.history(**bounds)) == [wire(moment) for moment in moments[3:0:-1]]


def test_the_range_may_reach_to_the_ends_of_the_calendar(api: Api, sql: Sql) -> None:
    first, last = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
    insert_entries(sql, first, MONDAY, last)
    assert times_of(api.history(**{"from": "0001-01-01T00:00:00Z"})) == [wire(last), wire(MONDAY), wire(first)]
    assert times_of(api.history(to="9999-12-31T23:59:59.999999Z")) == [wire(MONDAY), wire(first)]
    assert times_of(api.history(**{"from": "9999-12-31T23:59:59.999999Z"})) == [wire(last)]
    assert times_of(api.history(to="0001-01-01T00:00:00Z")) == []


@pytest.mark.parametrize("name", ["from", "to"])
@pytest.mark.parametrize("given", ["0001-01-01T00:00:00%2B00:01", "9999-12-31T23:59:59-00:01"])
def test_a_time_whose_utc_is_past_the_calendar_is_no_crash(api: Api, name: str, given: str) -> None:
    assert api.get(f"/history?{name}={given}").status_code in (200, 400)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("name", ["from", "to"])
@pytest.mark.parametrize(
    "given",
    [
        "",
        "now",
        "2026-11-16",
        "2026-11-16T00:00:00",
        "2026-11-16 00:00:00Z",
        "2026-11-16%2000:00:00Z",
        "2026-11-16T00:00Z",
        "2026-11-16T00:00:00+01:00",  # The plus is a space unless it is escaped.
        "2026-11-16T00:00:00%2B0100",
        "2026-11-16T00:00:00%2B01",
        "2026-11-16T00:00:00%2B1:00",
        "2026-11-16T00:00:00%2B24:00",
        "2026-11-16T00:00:00%2B01:60",
        "2026-11-16T00:00:00Z%2B01:00",
        "2026-11-16T24:00:00Z",
        "2026-11-16T00:60:00Z",
        "2026-11-16T00:00:61Z",
        "2026-02-29T00:00:00Z",
        "2026-13-01T00:00:00Z",
        "2026-00-01T00:00:00Z",
        "2026-1-1T00:00:00Z",
        "0000-01-01T00:00:00Z",
        "10000-01-01T00:00:00Z",
        "-0001-01-01T00:00:00Z",
        "%2B2026-11-16T00:00:00Z",
        "2026-W47-1T00:00:00Z",
        "2026-320T00:00:00Z",
        "20261116T000000Z",
        "1794787200",
        "2026-11-16T00:00:00.Z",
        "2026-11-16T00:00:00,5Z",
        "2026-11-16T00:00:00%20Z",
        "%202026-11-16T00:00:00Z",
        "2026-11-16T00:00:00Z%0A",
        "2026-11-16T00:00:00Z%00",
        "%D9%A2%D9%A0%D9%A2%D9%A6-11-16T00:00:00Z",  # Arabic-Indic digits.
        "2026-11-16T00:00:00Europe/Berlin",
        "2026-11-16T00:00:00." + "0" * 5000 + "x",
        "9" * 10_000,
    ],
)
def test_a_malformed_time_is_refused(api: Api, path: str, name: str, given: str) -> None:
    assert (
        error_of(api.get(f"{path}?{name}={given}"), 400)
        == f"{name}: must be an RFC 3339 time such as 2026-11-16T00:00:00Z"
    )


@pytest.mark.parametrize(
    ("start", "end"),
    [
        ("2026-11-16T00:00:00Z", "2026-11-16T00:00:00Z"),
        ("2026-11-16T00:00:00.000001Z", "2026-11-16T00:00:00Z"),
        ("2026-11-16T00:00:00Z", "2026-11-16T01:00:00+01:00"),
        ("2026-11-16T00:30:00Z", "2026-11-16T01:00:00+01:00"),
        ("9999-12-31T23:59:59Z", "0001-01-01T00:00:00Z"),
    ],
)
def test_a_range_must_hold_a_moment(api: Api, start: str, end: str) -> None:
    for more in ({}, {"limit": 5}, {"task_id": "0b7e1f0a-6f0e-4c2b-9d0e-2f6a5f1c9a11"}, {"format": "csv"}):
        response = api.get("/history", params={"from": start, "to": end, **more})
        assert error_of(response, 400) == "from: must be before to"


def test_each_malformed_parameter_is_named(api: Api) -> None:
    error = error_of(api.get("/history?from=x&to=y&q=&action_type=z"), 400)
    assert {problem.partition(":")[0] for problem in error.split("; ")} == {"from", "to", "q", "action_type"}


@pytest.fixture
def five(api: Api) -> list[Any]:
    """One entry of each kind, newest first."""
    task = api.create_task()
    api.update_task(task["id"], title="Other")
    api.complete_task(task["id"])
    api.reopen_task(task["id"])
    api.delete_task(task["id"])
    return whole_log(api)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "actions",
    [
        ["CREATED"],
        ["CREATED", "DELETED"],
        ["DELETED", "CREATED"],
        ["UPDATED", "COMPLETED", "INCOMPLETED"],
        ["CREATED", "CREATED", "DELETED", "CREATED"],
        list(ActionType),
        [*ActionType] * 40,
    ],
)
def test_an_entry_of_any_of_the_actions_matches(api: Api, five: list[Any], path: str, actions: list[str]) -> None:
    history = data_of(api.get(path, params={"action_type": actions}))
    assert history["items"] == [entry for entry in five if entry["action_type"] in actions]
    assert history["pagination"]["total_count"] == len(set(actions))


@pytest.mark.parametrize("query", ["", "created", "CREATED,DELETED", "CREATED&action_type=", "x&action_type=CREATED"])
def test_each_action_must_be_one_of_five(api: Api, query: str) -> None:
    rule = "must be one of 'CREATED', 'UPDATED', 'COMPLETED', 'INCOMPLETED' or 'DELETED'"
    assert error_of(api.get(f"/history?action_type={query}"), 400) == f"action_type: {rule}"


def test_unknown_parameters_are_ignored(api: Api, five: list[Any]) -> None:
    assert api.history(since="2030-01-01", until="x", action="CREATED", From="x", query="x")["items"] == five


@pytest.fixture
def log(api: Api, sql: Sql) -> list[Any]:
    """Some 700 entries of two weeks, newest first; most are folded into the counts, and some came late."""
    chance = random.Random(1)  # noqa: S311
    for _ in range(6):
        moments = [MONDAY + timedelta(hours=chance.randrange(-168, 168), seconds=chance.random()) for _ in range(100)]
        insert_entries(sql, *moments, MONDAY, MONDAY - TICK, MONDAY + timedelta(days=3), MONDAY)
        sql("SELECT fold_counts()")
    insert_entries(sql, *(MONDAY + timedelta(hours=hour) for hour in range(-100, -50)))
    task = api.create_task("Task")
    api.complete_task(task["id"])
    return whole_log(api)


def some_filters(chance: random.Random, log: list[Any]) -> tuple[dict[str, Any], Callable[[Any], bool]]:
    """Return filters, and whether an entry passes them."""
    zone = timezone(timedelta(minutes=15 * chance.randrange(-40, 40)))
    moments = [
        *(
            datetime.fromisoformat(chance.choice(log)["timestamp"]) + chance.choice([-TICK, 0 * TICK, TICK])
            for _ in "ab"
        ),
        MONDAY + timedelta(days=chance.randrange(-7, 8)),
    ]
    start, end = sorted(chance.sample(moments, 2))
    possible: dict[str, tuple[Any, Callable[[Any], bool]]] = {
        "from": (start.astimezone(zone).isoformat(), lambda entry: entry["timestamp"] >= wire(start)),
        "to": ((end + TICK).astimezone(zone).isoformat(), lambda entry: entry["timestamp"] < wire(end + TICK)),
        "action_type": (actions := chance.choices(list(ActionType), k=2), lambda e: e["action_type"] in actions),
        "task_id": (task_id := chance.choice(log)["task_id"], lambda entry: entry["task_id"] == task_id),
        "q": (
            q := chance.choice(["entry 1", "TASK 2 entry", "Task", "3", "bread"]),
            lambda entry: holds_words(q, entry["description"], entry["task_title"]),
        ),
    }
    chosen = [name for name in possible if chance.random() < (0.7 if name in ("from", "to") else 0.35)]
    return (
        {name: possible[name][0] for name in chosen},
        lambda entry: all(possible[name][1](entry) for name in chosen),
    )


def pagination(total: int, first: int, limit: int) -> list[Any]:
    return [total, -(-total // limit), first // limit + 1, limit, first + limit < total, first > 0]


@pytest.mark.parametrize("seed", range(8))
def test_pages_of_filtered_entries_are_exact(api: Api, log: list[Any], seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311
    for _ in range(25):
        filters, passes = some_filters(chance, log)
        matching = [entry for entry in log if passes(entry)]
        limit = chance.choice([1, 7, 10, 100])
        first = chance.choice([0, 1, limit, len(matching) // 2, max(len(matching) - 1, 0), len(matching), 10**9])
        page = api.history(offset=first, limit=limit, **filters)
        assert page["items"] == matching[first : first + limit], filters
        assert list(page["pagination"].values()) == pagination(len(matching), first, limit), filters
        number = chance.randrange(1, 5)
        page = api.history(page=number, limit=limit, **filters)
        assert page["items"] == matching[(number - 1) * limit :][:limit], filters
        assert list(page["pagination"].values()) == pagination(len(matching), (number - 1) * limit, limit), filters


@pytest.mark.parametrize("seed", range(8))
def test_links_lead_through_filtered_entries(api: Api, log: list[Any], seed: int) -> None:
    chance = random.Random(100 + seed)  # noqa: S311
    for _ in range(4):
        filters, passes = some_filters(chance, log)
        matching = [entry for entry in log if passes(entry)]
        limit = chance.choice([23, 60, 100])
        pages = list(api.pages("/history", limit=limit, **filters))
        assert [entry for page in pages for entry in page["items"]] == matching, filters
        for number, page in enumerate(pages):
            assert list(page["pagination"].values()) == pagination(len(matching), number * limit, limit), filters


@pytest.mark.parametrize("path", PATHS)
def test_a_link_keeps_every_filter(api: Api, log: list[Any], path: str) -> None:
    filters = {
        "from": "2026-11-09T02:00:00+02:00",
        "to": "2026-11-23T00:00:00.5Z",
        "action_type": ["UPDATED", "DELETED"],
        "q": "entry 1",
    }
    url = urlsplit(api.get(path, params={"limit": 3, **filters}).links["next"]["url"])
    kept = parse_qs(url.query, strict_parsing=True)
    assert url.path == path
    assert sorted(kept["action_type"]) == ["DELETED", "UPDATED"]
    assert kept["q"] == [filters["q"]]
    for name in ("from", "to"):
        [bound] = kept[name]
        assert datetime.fromisoformat(bound) == datetime.fromisoformat(str(filters[name]))
    pages = list(api.pages(path, limit=40, **filters))
    assert len(pages) > 1
    assert pages == list(api.pages("/history", limit=40, **filters))


def test_a_cursor_of_another_search_goes_on_from_its_entry(api: Api, log: list[Any]) -> None:
    cursor = parse_qs(urlsplit(api.get("/history?limit=50").links["next"]["url"]).query)["cursor"]
    filters = {"from": wire(MONDAY - timedelta(days=5)), "action_type": ["UPDATED"]}
    older = [entry for entry in log[50:] if entry["timestamp"] >= filters["from"] and entry["action_type"] == "UPDATED"]
    assert api.history(cursor=cursor, limit=100, **filters)["items"] == older[:100]


def test_the_total_of_a_range_counts_late_and_new_entries_at_once(api: Api, sql: Sql, log: list[Any]) -> None:
    week = {"from": wire(MONDAY), "to": wire(MONDAY + timedelta(days=7))}

    def total() -> int:
        return int(api.history(**week)["pagination"]["total_count"])

    before = total()
    insert_entries(sql, MONDAY, MONDAY + timedelta(days=7) - TICK, MONDAY - TICK, MONDAY + timedelta(days=7))
    assert total() == before + 2
    sql("SELECT fold_counts()")
    assert total() == before + 2
    insert_entries(sql, *(MONDAY + timedelta(hours=hour) for hour in range(-5, 5)))
    assert total() == before + 7
