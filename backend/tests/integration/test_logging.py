"""The log of a service: its formats, and what must never be in it."""

import json
import re
import sys

import pytest
from sqlalchemy import URL

from tests.support.client import Json
from tests.support.databases import Sql, environment_of
from tests.support.service import MAIN, Service, running

UVICORN = [sys.executable, "-m", "uvicorn", "main:app"]


@pytest.mark.parametrize("command", [MAIN, UVICORN], ids=["main.py", "uvicorn"])
def test_log_format_json_makes_every_line_json(database_url: URL, command: list[str]) -> None:
    with running(command, DATABASE_URL=environment_of(database_url), LOG_FORMAT="json") as (service, api):
        task = api.create_task()
        api.get(f"/tasks/{task['id']}", headers={"X-Request-ID": "one-of-mine"})
        api.head("/api/v1/tasks")
        api.get("/nowhere%0A")
        service.stop()
    said = service.output.splitlines()
    if command is UVICORN:
        # uvicorn says this before the application configures the log.
        assert [line.split()[0] for line in said[:2]] == ["INFO:", "INFO:"]
        said = said[2:]
    lines: list[Json] = [json.loads(line) for line in said]
    answered = [[line[key] for key in ("method", "route", "status")] for line in lines if "route" in line]
    [mine] = [line for line in lines if line["request_id"] == "one-of-mine"]
    assert answered[-4:] == [
        ["POST", "/tasks", 201],
        ["GET", "/tasks/{task_id}", 200],
        ["HEAD", "/tasks", 200],
        ["GET", None, 404],
    ]
    assert mine["milliseconds"] >= 0
    assert (mine["level"], mine["message"][:25]) == ("INFO", "GET /tasks/{task_id} 200 ")
    assert mine["timestamp"].startswith("20")
    assert any(line["logger"] == "uvicorn.error" for line in lines)
    assert not any("color_message" in line for line in lines)


@pytest.mark.parametrize("command", [MAIN, UVICORN], ids=["main.py", "uvicorn"])
def test_by_default_each_request_is_one_readable_line(database_url: URL, command: list[str]) -> None:
    with running(command, DATABASE_URL=environment_of(database_url)) as (service, api):
        api.get("/nowhere%0A", headers={"X-Request-ID": "one-of-mine"})
        service.stop()
    time_and_level = r"20\d\d-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} INFO"
    line = rf"^{time_and_level} \[one-of-mine\] GET /nowhere%0A 404 \d+\.\d ms$"
    assert re.search(line, service.output, re.MULTILINE)
    assert service.output.count("/nowhere") == 1
    assert re.search(rf"^{time_and_level} \[-\] Application startup complete", service.output, re.MULTILINE)


def test_no_header_and_no_path_can_forge_a_log_line(database_url: URL) -> None:
    with running(MAIN, DATABASE_URL=environment_of(database_url)) as (service, api):
        api.get("/tasks/%0A2026-01-01%20INFO%20forged%1b[31m", headers={"User-Agent": "forged", "Referer": "forged"})
        api.get("/tasks", headers=[(b"X-Request-ID", b"forged line"), (b"Host", b"forged")])
        api.get("/health", headers={"X-Request-ID": "mine-1"})
    lines = service.output.splitlines()
    assert not [line for line in lines if re.match(r"2026-01-01", line) or "\x1b" in line]
    assert "forged" not in service.output.replace("%20forged%1B", "")
    [mine] = [line for line in lines if "[mine-1]" in line]
    assert "GET /health 200" in mine


def test_the_log_cuts_a_long_path_between_two_characters(database_url: URL) -> None:
    with running(MAIN, DATABASE_URL=environment_of(database_url)) as (service, api):
        api.get("/" + "{é" * 3_000)
        api.get("/" + "x" * 199)
    assert f"GET /{'%7B%C3%A9' * 99}%7B… 404 " in service.output
    assert f"GET /{'x' * 199} 404 " in service.output


def test_neither_the_log_nor_an_answer_contains_the_password(server_url: URL, database_url: URL, sql: Sql) -> None:
    """The service logs in with a password, works, and then fails in every way it can."""
    password = "correct-horse-battery"  # noqa: S105
    sql(f"CREATE ROLE \"{database_url.database}\" SUPERUSER LOGIN PASSWORD '{password}'")
    url = database_url.set(username=database_url.database, password=password)
    said = ""
    with running(MAIN, DATABASE_URL=environment_of(url), DEBUG="true", LOG_LEVEL="DEBUG", REPEAT_BUDGET_S="0.5") as (
        service,
        api,
    ):
        answers = [api.get("/tasks"), api.post("/tasks", json={"title": "x"}), api.get("/health/ready")]
        sql("ALTER TABLE tasks RENAME TO elsewhere")
        answers += [api.get("/tasks"), api.post("/tasks", json={"title": "x"})]
        sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = current_database()")
        sql(f'ALTER ROLE "{database_url.database}" NOLOGIN')
        answers.append(api.get("/tasks"))
        said += "".join(answer.text + str(answer.headers) for answer in answers)
    said += service.output
    assert [answer.status_code for answer in answers] == [200, 201, 200, 503, 503, 503]
    assert "SELECT" in service.output
    assert password not in said
    failing = Service(MAIN, DATABASE_URL=environment_of(url.set(host="127.0.0.1", port=1)), START_TIMEOUT_S="0")
    failing.wait()
    assert password not in failing.output
    sql(f'DROP ROLE "{database_url.database}"')
