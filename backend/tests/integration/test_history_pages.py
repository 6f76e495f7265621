"""Pages of a long log, however deep, are slices of it."""

import random
from itertools import combinations
from typing import Any

import pytest

from src.models import ActionType
from tests.support.client import Api
from tests.support.databases import AS_REPLICA, Sql

ENTRIES = 6000


@pytest.fixture
def log(sql: Sql) -> list[tuple[str, str]]:
    """The ids and actions of entries, newest first: on days with a few, with many, at midnight, at the ends of time."""
    # The last tenth is not folded into the counts, as a fold needs entries that come in several statements.
    for first in range(0, ENTRIES, ENTRIES // 10):
        sql(
            f"{AS_REPLICA}INSERT INTO task_history SELECT gen_random_uuid(), md5((number % 7)::text)::uuid,"
            " (ARRAY['CREATED', 'UPDATED', 'UPDATED', 'COMPLETED', 'DELETED'])[1 + number % 5], 'x', CASE number % 10"
            " WHEN 0 THEN timestamptz '2026-11-20 00:00Z' WHEN 1 THEN timestamptz '2026-11-19 23:59:59.999999Z'"
            " WHEN 2 THEN timestamptz '0001-01-01 00:00Z' WHEN 3 THEN timestamptz '9999-12-31 23:59:59.999999Z'"
            " ELSE timestamptz '2026-11-20 12:00Z' - (number * number % 700) * interval '1 hour' END"
            " FROM generate_series(cast(:first AS int), :last) AS number",
            first=first,
            last=first + ENTRIES // 10 - 1,
        )
    rows = sql("SELECT history_id, action_type FROM task_history ORDER BY timestamp DESC, history_id DESC")
    return [(str(row.history_id), row.action_type) for row in rows]


@pytest.mark.parametrize("action_type", [None, "UPDATED", "DELETED", "INCOMPLETED"])
def test_a_page_is_a_slice_however_deep(api: Api, log: list[tuple[str, str]], action_type: str | None) -> None:
    matching = [history_id for history_id, action in log if action_type in (None, action)]
    filters = {} if action_type is None else {"action_type": action_type}
    chance = random.Random(1)  # noqa: S311
    offsets = [0, 998, 999, 1000, 1001, len(matching) - 1, len(matching), len(matching) + 1, 2**53 - 1]
    offsets += [chance.randrange(ENTRIES) for _ in range(40)]
    for offset in (offset for offset in offsets if offset >= 0):
        limit = chance.choice([1, 10, 100])
        response = api.get("/history", params={"offset": offset, "limit": limit, **filters})
        page = response.json()["data"]
        assert [entry["history_id"] for entry in page["items"]] == matching[offset : offset + limit]
        assert page["pagination"]["total_count"] == len(matching)
        if "next" in response.links:
            following = api.get(response.links["next"]["url"]).json()["data"]
            assert following == api.history(offset=offset + limit, limit=limit, **filters)


# Bounds in days with few entries and with many, at midnight, between two entries of one moment, and open ones.
BOUNDS = [None, "0001-01-01T00:00:00Z", "2026-11-01T00:00:00Z", "2026-11-19T12:30:00Z", "2026-11-20T00:00:00Z"]
LAST_BOUNDS = ["2026-11-20T12:00:00Z", "9999-12-31T23:59:59.999999Z", None]
ACTIONS: list[list[str]] = [[], ["UPDATED"], ["CREATED", "UPDATED"], ["DELETED", "INCOMPLETED"], list(ActionType)]
IN_PERIOD = """
    SELECT history_id FROM task_history WHERE timestamp >= coalesce(cast(:since AS timestamptz), '-infinity')
        AND timestamp < coalesce(cast(:until AS timestamptz), 'infinity')
"""


def test_a_page_of_a_period_is_a_slice_however_deep(api: Api, log: list[tuple[str, str]], sql: Sql) -> None:
    chance = random.Random(2)  # noqa: S311
    for since, until in combinations([*BOUNDS, *LAST_BOUNDS], 2):
        in_period = {str(row.history_id) for row in sql(IN_PERIOD, since=since, until=until)}
        period = {name: value for name, value in (("from", since), ("to", until)) if value is not None}
        for actions in ACTIONS:
            matching = [entry for entry, action in log if entry in in_period and (not actions or action in actions)]
            for offset in (0, chance.randrange(1 + len(matching)), 2**53 - 1):
                response = api.get("/history", params={"offset": offset, "limit": 30, "action_type": actions, **period})
                page = response.json()["data"]
                assert ids_of(page) == matching[offset : offset + 30]
                assert page["pagination"]["total_count"] == len(matching)
                if "next" in response.links:
                    following = api.get(response.links["next"]["url"]).json()["data"]
                    assert ids_of(following) == matching[offset + 30 : offset + 60]
                    assert following["pagination"]["has_prev"]


def ids_of(page: Any) -> list[str]:
    return [entry["history_id"] for entry in page["items"]]


def test_links_lead_from_the_first_moment_to_the_last(api: Api, log: list[tuple[str, str]]) -> None:
    pages = list(api.pages("/history", limit=100))
    assert [entry["history_id"] for page in pages for entry in page["items"]] == [history_id for history_id, _ in log]
    assert [page["pagination"]["current_page"] for page in pages] == list(range(1, ENTRIES // 100 + 1))
