"""The parameter `format` of GET /tasks and GET /history."""

from typing import Any
from uuid import uuid4

import pytest

from tests.support.client import Api, data_of, error_of
from tests.support.databases import AS_REPLICA, OLD_ENTRY, Sql
from tests.support.exports import (
    COLUMNS,
    FORMULA_STARTS,
    MEDIA_TYPES,
    export,
    items_of_ndjson,
    rows_for,
    rows_of_csv,
)

ORIGIN = "http://localhost:3000"
PATHS = ["/tasks", "/api/v1/tasks", "/history", "/api/v1/history"]
FORMATS = ["csv", "ndjson"]

# Texts that are hard to write as CSV, as JSON, or as lines.
HARD_TEXTS = [
    'Say "hello"',
    '"',
    '""',
    "a,b;c\td",
    "a\nb",
    "a\rb",
    "a\r\nb",
    "ends in a line feed\n",
    " spaces around ",
    "a\u2028b\u2029c\u0085d\x0be\x0cf\x1cg",
    "\\n \\. \\",
    "\\.",
    "NULL",
    "null",
    "'quoted'",
    "<script>alert(1)</script>",
    "%s %(x)s {} $1",
    "f\u00fcr \U0001f6d2 \u725b\u4e73 \u05e9\u05dc\u05d5\u05dd",
    "\ufeffbegins with a byte order mark",
    "\x01\x02\x7f controls",
    "x" * 255,
]


def name_of(path: str) -> str:
    return path.rpartition("/")[2]


def whole(api: Api, path: str, **filters: Any) -> list[Any]:
    """Return the items that a path lists, by its pages."""
    pages = api.pages(path, limit=100, **filters)
    return [item for page in pages for item in (page if "tasks" in path else page["items"])]


def assert_exported(api: Api, path: str, **filters: Any) -> list[Any]:
    """Compare both exports with the pages of the list, and return the items."""
    items = whole(api, path, **filters)
    assert items_of_ndjson(export(api, path, "ndjson", **filters)) == items
    assert rows_of_csv(export(api, path, "csv", **filters)) == rows_for(name_of(path), items)
    return items


@pytest.fixture
def some(api: Api) -> list[Any]:
    """Tasks, some of them complete, edited or deleted."""
    for number in range(6):
        task = api.create_task(f"Task {number}", description=None if number % 2 else f"Note {number}")
        if number in (1, 4):
            api.complete_task(task["id"])
        if number == 2:
            api.update_task(task["id"], title="Edited", description="")
        if number == 3:
            api.delete_task(task["id"])
    return api.list_tasks()


@pytest.mark.parametrize("path", PATHS)
def test_an_export_has_everything_in_the_order_of_the_list(api: Api, some: list[Any], path: str) -> None:
    assert len(assert_exported(api, path)) == (len(some) if "tasks" in path else 10)


@pytest.mark.parametrize("path", PATHS)
def test_an_export_of_nothing_has_no_item(api: Api, path: str) -> None:
    assert export(api, path, "ndjson") == ""
    assert export(api, path, "csv") == ",".join(COLUMNS[name_of(path)]) + "\r\n"


@pytest.mark.parametrize("prefix", ["", "/api/v1"])
def test_ndjson_has_the_bytes_of_the_list(api: Api, some: list[Any], prefix: str) -> None:
    lines = export(api, f"{prefix}/tasks", "ndjson").removesuffix("\n").split("\n")
    assert f'"data":[{",".join(lines)}]' in api.get("/tasks").text
    lines = export(api, f"{prefix}/history", "ndjson").removesuffix("\n").split("\n")
    assert f'"items":[{",".join(lines)}]' in api.get("/history?limit=100").text


def test_csv_has_a_header_and_quotes_every_text(api: Api) -> None:
    first, second = api.create_task("Buy milk"), api.create_task('Say "hi", please', description="two\nlines")
    second = api.complete_task(second["id"])
    assert export(api, "/tasks", "csv") == (
        "id,title,description,is_completed,created_at,updated_at,completed_at\r\n"
        f'{first["id"]},"Buy milk",,false,'
        f"{first['created_at']},{first['updated_at']},\r\n"
        f'{second["id"]},"Say ""hi"", please","two\nlines",true,'
        f"{second['created_at']},{second['updated_at']},{second['completed_at']}\r\n"
    )


def test_csv_of_the_history_quotes_every_text(api: Api, sql: Sql) -> None:
    task, old = api.create_task("A, b"), {"history_id": uuid4(), "task_id": uuid4()}
    sql(OLD_ENTRY, action="UPDATED", **old)
    [new, _] = api.history()["items"]
    assert export(api, "/history", "csv") == (
        "history_id,task_id,action_type,description,timestamp,task_title\r\n"
        f'{new["history_id"]},{task["id"]},CREATED,"Task created: \'A, b\'",{new["timestamp"]},"A, b"\r\n'
        f'{old["history_id"]},{old["task_id"]},UPDATED,"Something happened",2020-01-01T00:00:00.000000Z,\r\n'
    )


@pytest.mark.parametrize("text", HARD_TEXTS)
def test_every_text_comes_back(api: Api, text: str) -> None:
    api.create_task("Plain")
    task = api.create_task(text, description=text)
    [exported, _] = items_of_ndjson(export(api, "/tasks", "ndjson"))
    assert exported == task
    [_, row, _] = rows_of_csv(export(api, "/tasks", "csv"))
    assert row[1:3] == [text, text]
    assert_exported(api, "/history")


@pytest.mark.parametrize("path", ["/tasks", "/history"])
def test_csv_begins_without_a_byte_order_mark_and_ends_its_lines_with_crlf(api: Api, path: str) -> None:
    for _ in range(3):
        api.create_task("f\u00fcr")
    content = api.get(path, params={"format": "csv"}).content
    assert content.startswith(COLUMNS[name_of(path)][0].encode())
    assert content.count(b"\r\n") == content.count(b"\n") == 4
    assert content.endswith(b"\r\n")
    assert "f\u00fcr".encode() in content


@pytest.mark.parametrize("start", FORMULA_STARTS)
def test_a_spreadsheet_takes_no_cell_for_a_formula(api: Api, sql: Sql, start: str) -> None:
    text = f"{start}1+HYPERLINK(\"http://evil.example\",'a')"
    task = api.create_task(text, description=text)
    sql(
        f"{AS_REPLICA}INSERT INTO task_history VALUES"
        " (gen_random_uuid(), gen_random_uuid(), 'UPDATED', :text, '2020-01-01Z', :text)",
        text=text,
    )
    for path, cells in (("/tasks", [1, 2]), ("/history", [3, 5])):
        rows = rows_of_csv(export(api, path, "csv"))
        assert [rows[-1][cell] for cell in cells] == [f"'{text}"] * 2
        assert_exported(api, path)
    # Only CSV is for spreadsheets.
    assert items_of_ndjson(export(api, "/tasks", "ndjson")) == [task]


@pytest.mark.parametrize("text", ["1=1", "a@b.example", "'=1", "\u2212 1", "a\n=1", "a,=1", '"=1"', "!", "1-2+3"])
def test_a_text_that_is_no_formula_stays_as_it_is(api: Api, text: str) -> None:
    api.create_task(text, description=text)
    assert rows_of_csv(export(api, "/tasks", "csv"))[1][1:3] == [text, text]


def test_an_empty_description_and_none_differ(api: Api) -> None:
    for description in (None, ""):
        api.create_task("x", description=description)
    exported = items_of_ndjson(export(api, "/tasks", "ndjson"))
    assert [task["description"] for task in exported] == ["", None]
    text = export(api, "/tasks", "csv")
    assert [row[2] for row in rows_of_csv(text)[1:]] == ["", ""]
    # A reader that knows the difference, such as COPY of PostgreSQL, gets null back.
    assert (text.count(',"x","",false'), text.count(',"x",,false')) == (1, 1)


@pytest.mark.parametrize("prefix", ["", "/api/v1"])
def test_an_export_of_tasks_takes_the_filters_of_the_list(api: Api, some: list[Any], prefix: str) -> None:
    path = f"{prefix}/tasks"
    assert len(assert_exported(api, path, is_completed="true")) == 2
    assert len(assert_exported(api, path, is_completed="false")) == 3
    assert [task["title"] for task in assert_exported(api, path, q="TASK note")] == ["Task 0", "Task 4"]
    assert len(assert_exported(api, path, q="note task", is_completed="true")) == 1
    assert assert_exported(api, path, q="nothing") == []


@pytest.mark.parametrize("prefix", ["", "/api/v1"])
def test_an_export_of_the_history_takes_the_filters_of_the_history(api: Api, some: list[Any], prefix: str) -> None:
    path = f"{prefix}/history"
    log = whole(api, path)
    middle = log[4]["timestamp"]
    assert assert_exported(api, path, action_type="CREATED") == [e for e in log if e["action_type"] == "CREATED"]
    assert len(assert_exported(api, path, action_type=["UPDATED", "DELETED"])) == 2
    assert assert_exported(api, path, task_id=log[0]["task_id"])
    assert assert_exported(api, path, q="edited")
    assert assert_exported(api, path, to=middle) == log[5:]
    assert assert_exported(api, path, **{"from": middle}) == log[:5]
    both = {
        "from": log[7]["timestamp"],
        "to": log[1]["timestamp"],
        "action_type": ["CREATED", "COMPLETED"],
        "q": "task",
    }
    assert 0 < len(assert_exported(api, path, **both)) < 6


@pytest.mark.parametrize("path", ["/tasks", "/history"])
def test_an_export_is_longer_than_any_page(api: Api, sql: Sql, path: str) -> None:
    """2,345 rows are several batches of the cursor, and the last one is not full; 2,000 may end with a full one."""
    for number in (2000, 345):
        sql(
            "INSERT INTO tasks SELECT gen_random_uuid(), 'Task', NULL, number % 3 = 0, at, at,"
            " CASE number % 3 WHEN 0 THEN at END FROM generate_series(1, :number) AS number,"
            " LATERAL (SELECT timestamptz '2026-11-20 12:00Z' + number / 9 * interval '1 minute' AS at) AS moment",
            number=number,
        )
        sql(
            f"{AS_REPLICA}INSERT INTO task_history SELECT gen_random_uuid(), gen_random_uuid(), 'CREATED', 'x',"
            " timestamptz '2026-11-20 12:00Z' + number / 9 * interval '1 minute'"
            " FROM generate_series(1, :number) AS number",
            number=number,
        )
        items = assert_exported(api, path)
        assert len(items) == (2000 if number == 2000 else 2345)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("given", ["xml", "", "CSV", "json", "csv,ndjson", "csv%20", "csv%00", "x" * 5000])
def test_another_format_is_refused(api: Api, path: str, given: str) -> None:
    assert error_of(api.get(f"{path}?format={given}"), 400) == "format: must be one of 'csv' or 'ndjson'"


TASK_CURSOR, ENTRY_CURSOR = "f" + "0" * 48, "0" * 48


@pytest.mark.parametrize("file_format", FORMATS)
@pytest.mark.parametrize(
    ("path", "name", "value"),
    [
        ("/tasks", "limit", "10"),
        ("/tasks", "cursor", TASK_CURSOR),
        ("/tasks", "page", "1"),
        ("/tasks", "offset", "0"),
        ("/history", "limit", "10"),
        ("/history", "page", "1"),
        ("/history", "offset", "0"),
        ("/history", "cursor", ENTRY_CURSOR),
    ],
)
@pytest.mark.parametrize("prefix", ["", "/api/v1"])
def test_an_export_has_no_pages(api: Api, prefix: str, path: str, name: str, value: str, file_format: str) -> None:
    for query in (f"{name}={value}&format={file_format}", f"format={file_format}&{name}={value}"):
        response = api.get(f"{prefix}{path}?{query}", headers={"Origin": ORIGIN})
        assert error_of(response, 400) == f"format: cannot be combined with {name}"
        assert "Content-Disposition" not in response.headers
        assert response.headers["Access-Control-Allow-Origin"] == ORIGIN


def test_an_export_of_tasks_ignores_the_filters_of_the_history(api: Api, some: list[Any]) -> None:
    for name in ("from", "to", "action_type", "task_id", "unknown"):
        assert items_of_ndjson(export(api, "/tasks", "ndjson", **{name: "x"})) == some


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("file_format", FORMATS)
def test_a_page_may_read_an_export_of_another_origin(api: Api, some: list[Any], path: str, file_format: str) -> None:
    response = api.get(path, params={"format": file_format}, headers={"Origin": ORIGIN})
    assert response.headers["Access-Control-Allow-Origin"] == ORIGIN
    assert "Content-Disposition" in response.headers["Access-Control-Expose-Headers"].split(", ")
    assert "Origin" in response.headers["Vary"]
    assert "Access-Control-Allow-Origin" not in api.get(path, params={"format": file_format}).headers


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("file_format", FORMATS)
def test_browsers_must_not_cache_guess_or_frame_an_export(api: Api, path: str, file_format: str) -> None:
    response = api.get(path, params={"format": file_format})
    assert response.headers["Cache-Control"] == "no-store"
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["X-Frame-Options"] == "DENY"
    assert "X-Request-ID" in response.headers


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("file_format", FORMATS)
def test_head_of_an_export_has_its_headers_and_no_body(api: Api, some: list[Any], path: str, file_format: str) -> None:
    head, get = (api.request(method, path, params={"format": file_format}) for method in ("HEAD", "GET"))
    assert (head.status_code, head.content) == (200, b"")
    own = ("date", "x-request-id", "transfer-encoding")
    of_head, of_get = (
        {name: value for name, value in answer.headers.items() if name not in own} for answer in (head, get)
    )
    assert of_head == of_get
    assert head.headers["Content-Type"] == MEDIA_TYPES[file_format]
    # The connection is still in step.
    assert data_of(api.get("/health"))


@pytest.mark.parametrize("path", ["/tasks", "/history"])
@pytest.mark.parametrize("file_format", FORMATS)
def test_a_failure_before_the_first_byte_is_in_the_envelope(api: Api, sql: Sql, path: str, file_format: str) -> None:
    sql("ALTER TABLE tasks RENAME TO elsewhere; CREATE VIEW tasks AS SELECT * FROM elsewhere WHERE 1 / 0 = 1")
    sql("ALTER TABLE task_history RENAME TO log; CREATE VIEW task_history AS SELECT * FROM log WHERE 1 / 0 = 1")
    response = api.get(path, params={"format": file_format}, headers={"Origin": ORIGIN})
    assert error_of(response, 500) == "Something went wrong on our side"
    assert "Content-Disposition" not in response.headers
    assert response.headers["Access-Control-Allow-Origin"] == ORIGIN
