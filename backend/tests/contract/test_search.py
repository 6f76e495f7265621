"""The parameter `q` of GET /tasks and GET /history."""

import string
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import pytest

from tests.support.client import Api, data_of, error_of
from tests.support.contract_model import holds_words
from tests.support.databases import AS_REPLICA, OLD_ENTRY, Sql

PATHS = ["/tasks", "/api/v1/tasks", "/history", "/api/v1/history"]

ENTRY = (
    f"{AS_REPLICA}INSERT INTO task_history (history_id, task_id, action_type, description, timestamp, task_title)"
    " VALUES (gen_random_uuid(), gen_random_uuid(), :action, :description, now(), :title)"
)
HUNDRED_WORDS = [chr(0x4E00 + number) for number in range(100)]

# The search, and the title and the description of a task that it finds.
MATCHES: list[tuple[str, str, str | None]] = [
    ("milk", "Buy milk", None),
    ("Buy milk", "Buy milk", None),
    ("MILK", "Buy milk", None),
    ("mIlK", "Buy MiLk", None),
    ("uy mil", "Buy milk", None),
    ("milk buy", "Buy milk", None),
    ("corner", "Buy milk", "At the corner"),
    ("corner milk THE buy", "Buy milk", "At the corner"),
    ("m", "Buy milk", None),
    ("milk milk MILK mil", "Buy milk", None),
    ("  milk   buy ", "Buy milk", None),
    ("\tmilk\r\nbuy\n", "Buy milk", None),
    ("\u00a0milk\u3000buy\u2003", "Buy milk", None),
    ("buy milk", "Buy\n\tmilk", None),
    ("%", "100% done", None),
    ("100%", "100% done", None),
    ("_", "snake_case", None),
    ("E_C", "snake_case", None),
    ("\\", r"C:\Temp", None),
    (r"c:\temp", r"C:\Temp", None),
    (r"\%", r"a\%b", None),
    (r"\_\\", r"a\_\\b", None),
    ("\\", "ends in a \\", None),
    ("'", "Don't", None),
    ('"Buy"', '"Buy" milk', None),
    ("'; DROP TABLE tasks; --", "'; DROP TABLE tasks; --", None),
    ("%s %(q)s :q $1", "%(q)s $1 :q %s", None),
    ("a&b=c#d+e;f?g/h", "A&B=C#D+E;F?G/H", None),
    ("[a-z]* ^. $ {2}", "^.*[A-Z]* {2} $", None),
    ("<b>", "<B>bold</B>", None),
    ("null", "null", None),
    ("\N{SHOPPING TROLLEY}", "Buy \N{SHOPPING TROLLEY} milk", None),
    ("\N{WOMAN}\u200d\N{ROCKET}", "The \N{WOMAN}\u200d\N{ROCKET} flies", None),
    ("\u05e9\u05dc\u05d5\u05dd", "\u05e2\u05d5\u05dc\u05dd \u05e9\u05dc\u05d5\u05dd", None),
    ("\u0645\u0631\u062d\u0628\u0627 MILK", "Milk", "\u0645\u0631\u062d\u0628\u0627"),
    ("\u725b\u4e73", "\u725b\u4e73\u3092\u8cb7\u3046", None),
    ("f\u00fcr", "Milch f\u00fcr alle", None),
    ("a\u0308", "Ba\u0308r", None),
    (string.ascii_letters, string.ascii_letters.swapcase(), None),
    ("x" * 200, "Task", "y" + "x" * 200 + "y"),
    ("\N{SHOPPING TROLLEY}" * 200, "\N{SHOPPING TROLLEY}" * 200, None),
    (" ".join(HUNDRED_WORDS), "".join(reversed(HUNDRED_WORDS)), None),
    (" ".join("a" * 100), "A", None),
]
# The same for searches that do not find the task.
MISSES: list[tuple[str, str, str | None]] = [
    ("bread", "Buy milk", None),
    ("milk bread", "Buy milk", None),
    ("buymilk", "Buy milk", None),
    ("milkat", "Buy milk", "at the corner"),
    ("milks", "Buy milk", None),
    ("milk" * 50, "milk", "milk" * 49),
    ("null", "Buy milk", None),
    ("none", "Buy milk", ""),
    ("%", "Buy milk", None),
    ("_", "Buy milk", None),
    ("\\", "Buy milk", None),
    ("b%y", "Buy milk", None),
    ("m_lk", "Buy milk", None),
    (r"\m\i\l\k", "Buy milk", None),
    (r"\%", "100%", None),
    ("%%", "100% done", None),
    ("m.lk", "Buy milk", None),
    ("^buy", "Buy milk", None),
    (".*", "Buy milk", None),
    ("'", "Buy milk", None),
    ("u", "f\u00fcr", None),
    ("ss", "Stra\u00dfe", None),
    ("\N{SHOPPING TROLLEY}", "Buy \N{CHEESE WEDGE}", None),
    ("\u200bmilk", "Buy milk", None),
    (" ".join(HUNDRED_WORDS), "".join(HUNDRED_WORDS[:-1]), None),
]


def found(api: Api, q: str, **parameters: Any) -> list[str]:
    """Return the titles of the tasks that a search finds."""
    return [task["title"] for task in data_of(api.get("/tasks", params={"q": q, **parameters}))]


@pytest.mark.parametrize(("q", "title", "description"), MATCHES)
def test_a_search_finds_each_text_that_holds_all_its_words(
    api: Api, sql: Sql, q: str, title: str, description: str | None
) -> None:
    task = api.create_task(title, description=description)
    sql(ENTRY, action="UPDATED", description=description or "", title=title)
    assert data_of(api.get("/tasks", params={"q": q})) == [task]
    assert data_of(api.get("/tasks", params={"q": q, "limit": 5})) == [task]
    entries = api.history(q=q, action_type="UPDATED")
    assert [entry["task_title"] for entry in entries["items"]] == [title]
    assert list(entries["pagination"].values()) == [1, 1, 1, 10, False, False]


@pytest.mark.parametrize(("q", "title", "description"), MISSES)
def test_a_search_finds_no_text_that_lacks_a_word(
    api: Api, sql: Sql, q: str, title: str, description: str | None
) -> None:
    api.create_task(title, description=description)
    sql(ENTRY, action="UPDATED", description=description or "", title=title)
    assert data_of(api.get("/tasks", params={"q": q})) == []
    assert data_of(api.get("/tasks", params={"q": q, "limit": 5})) == []
    entries = api.history(q=q, action_type="UPDATED")
    assert entries["items"] == []
    assert list(entries["pagination"].values()) == [0, 0, 1, 10, False, False]


@pytest.mark.parametrize(
    ("q", "title"),
    [
        ("\u00dcBER", "\u00fcber"),
        ("\u00fcber", "\u00dcBER"),
        ("\u00c9T\u00c9", "\u00e9t\u00e9"),
        ("\u041c\u041e\u041b\u041e\u041a\u041e", "\u043c\u043e\u043b\u043e\u043a\u043e"),
        ("\u03b3\u03b1\u03bb\u03b1", "\u0393\u0391\u039b\u0391"),
    ],
)
def test_the_case_of_other_letters_is_as_the_database_knows_it(api: Api, sql: Sql, q: str, title: str) -> None:
    """The embedded server knows it; one of the locale C does not."""
    api.create_task(title)
    [(is_known,)] = sql("SELECT lower(:q) = lower(:title)", q=q, title=title)
    assert found(api, q) == [title] * is_known
    assert len(api.history(q=q)["items"]) == is_known


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    ("q", "rule"),
    [
        ("", "must be 1 to 200 characters"),
        ("x" * 201, "must be 1 to 200 characters"),
        (" " * 201, "must be 1 to 200 characters"),
        ("+".join(["word"] * 1000), "must be 1 to 200 characters"),
        ("%F0%9F%9B%92" * 201, "must be 1 to 200 characters"),
        ("+", "must contain a visible character"),
        ("%20%09%0D%0A", "must contain a visible character"),
        ("%E2%80%8B%C2%A0%E3%80%80", "must contain a visible character"),
        ("%00", "must not contain NUL characters"),
        ("a%00b", "must not contain NUL characters"),
    ],
)
def test_a_malformed_search_is_refused(api: Api, path: str, q: str, rule: str) -> None:
    assert error_of(api.get(f"{path}?q={q}"), 400) == f"q: {rule}"
    assert error_of(api.get(f"{path}?q={q}&limit=2"), 400) == f"q: {rule}"
    assert error_of(api.get(f"{path}?q={q}&format=csv"), 400) == f"q: {rule}"


@pytest.mark.parametrize("path", PATHS)
def test_bytes_that_are_not_utf_8_find_nothing(api: Api, path: str) -> None:
    api.create_task()
    data = data_of(api.get(f"{path}?q=%FF%ED%A0%80"))
    assert (data if "tasks" in path else data["items"]) == []


@pytest.fixture
def tasks(api: Api, sql: Sql) -> list[Any]:
    """60 tasks in the order of the list, of which 20 have the words; some share a moment, some are complete."""
    sql(
        "INSERT INTO tasks SELECT gen_random_uuid(), 'Task ' || number, CASE number % 3"
        " WHEN 0 THEN '100%_&=+#\u00fc\\ ' || number WHEN 1 THEN '100' END,"
        " number % 4 = 0, at, at, CASE WHEN number % 4 = 0 THEN at END FROM generate_series(1, 60) AS number,"
        " LATERAL (SELECT timestamptz '2026-11-20 12:00Z' + number / 7 * interval '1 hour' AS at) AS moment"
    )
    return api.list_tasks()


WORDS = "task 100%_&=+#\u00fc\\"


@pytest.mark.parametrize("limit", [1, 2, 7, 19, 20, 21, 100])
@pytest.mark.parametrize("is_completed", [None, False, True])
def test_links_lead_through_all_matches(api: Api, tasks: list[Any], limit: int, is_completed: bool | None) -> None:
    wanted = [
        task
        for task in tasks
        if holds_words(WORDS, task["title"], task["description"]) and is_completed in (None, task["is_completed"])
    ]
    filters = {} if is_completed is None else {"is_completed": str(is_completed).lower()}
    assert wanted
    assert data_of(api.get("/tasks", params={"q": WORDS, **filters})) == wanted

    pages = list(api.pages("/tasks", q=WORDS, limit=limit, **filters))

    assert [task for page in pages for task in page] == wanted
    assert [len(page) for page in pages[:-1]] == [limit] * (len(pages) - 1)
    assert 1 <= len(pages[-1]) <= limit


@pytest.mark.parametrize("path", PATHS)
def test_a_link_keeps_the_search(api: Api, path: str) -> None:
    for _ in range(3):
        api.create_task(WORDS)
    assert len(list(api.pages(path, q=WORDS, limit=1))) == 3
    url = urlsplit(api.get(path, params={"q": WORDS, "limit": 1}).links["next"]["url"])
    assert url.path == path
    assert {"q": [WORDS], "limit": ["1"]}.items() <= parse_qs(url.query, strict_parsing=True).items()


def test_a_cursor_alone_gives_a_page_of_a_hundred_matches(api: Api, sql: Sql) -> None:
    sql(
        "INSERT INTO tasks SELECT gen_random_uuid(), CASE number % 2 WHEN 0 THEN 'Milk' ELSE 'Bread' END, NULL, false,"
        " now(), now() FROM generate_series(1, 206) AS number"
    )
    link = api.get("/tasks?limit=1&q=milk").links["next"]["url"]
    response = api.get("/tasks", params={"q": "milk", "cursor": link.partition("cursor=")[2]})
    assert [task["title"] for task in data_of(response)] == ["Milk"] * 100
    assert len(data_of(api.get(response.links["next"]["url"]))) == 2


def test_a_link_skips_and_repeats_nothing_when_matches_change(api: Api, tasks: list[Any]) -> None:
    wanted = [task for task in tasks if holds_words(WORDS, task["title"], task["description"])]
    first_page = api.get("/tasks", params={"q": WORDS, "limit": 2})
    # A match of the page moves to the other half of the list, one comes first, the next one is deleted.
    api.complete_task(wanted[1]["id"])
    api.create_task("Task", description=WORDS)
    api.delete_task(wanted[2]["id"])
    assert data_of(api.get(first_page.links["next"]["url"])) == wanted[3:5]


def test_an_edit_is_found_at_once(api: Api) -> None:
    task = api.create_task("Buy milk")
    task = api.update_task(task["id"], title="Buy bread", description="Fresh")
    assert found(api, "milk") == []
    assert found(api, "bread fresh") == ["Buy bread"]
    assert found(api, "bread", is_completed="true") == []


def test_a_deleted_task_is_found_in_the_history_only(api: Api) -> None:
    task = api.create_task("Buy milk")
    api.complete_task(task["id"])
    api.delete_task(task["id"])
    api.create_task("Buy bread")
    assert found(api, "milk") == []
    actions = [entry["action_type"] for entry in api.history(q="milk")["items"]]
    assert actions == ["DELETED", "COMPLETED", "CREATED"]


def test_an_entry_is_found_by_its_sentence_and_by_the_title_at_its_time(api: Api) -> None:
    task = api.create_task("Buy milk")
    api.update_task(task["id"], title="Buy bread")
    api.complete_task(task["id"])

    def found_actions(q: str) -> list[str]:
        return [entry["action_type"] for entry in api.history(q=q)["items"]]

    assert found_actions("milk") == ["UPDATED", "CREATED"]
    assert found_actions("bread") == ["COMPLETED", "UPDATED"]
    assert found_actions("bread MARKED") == ["COMPLETED"]
    assert found_actions("changed from to") == ["UPDATED"]
    # The kind of an entry, its ids and its time are no texts.
    assert found_actions("INCOMPLETED") == []
    assert found_actions(task["id"]) == []
    assert found_actions(task["created_at"][:4]) == []


def test_an_entry_without_a_title_is_found_by_its_sentence(api: Api, sql: Sql) -> None:
    sql(OLD_ENTRY, history_id=uuid4(), task_id=uuid4(), action="UPDATED")
    [entry] = api.history(q="HAPPENED some")["items"]
    assert (entry["description"], entry["task_title"]) == ("Something happened", None)
    assert api.history(q="null")["items"] == []


def test_a_search_of_the_history_combines_with_filters_and_pages(api: Api) -> None:
    for number in range(12):
        task = api.create_task(f"{('Milk', 'Bread')[number % 2]} {number}")
        api.complete_task(task["id"])
    log = api.history(limit=100)["items"]
    task_id = next(entry["task_id"] for entry in log if "Milk" in entry["task_title"])
    for filters in ({}, {"action_type": "COMPLETED"}, {"task_id": task_id}):
        matching = [
            entry
            for entry in log
            if "Milk" in entry["task_title"] and all(entry[name] == value for name, value in filters.items())
        ]
        for limit in (1, 4, 5):
            pages = list(api.pages("/history", q="milk", limit=limit, **filters))
            assert [entry for page in pages for entry in page["items"]] == matching
            numbers = range(1, len(pages) + 1)
            assert pages == [api.history(q="milk", limit=limit, page=number, **filters) for number in numbers]
        past = api.history(q="milk", offset=1000, **filters)
        assert (past["items"], past["pagination"]["total_count"]) == ([], len(matching))
