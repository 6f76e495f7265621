"""The kinds of work to measure, the databases for them, and the statements that the service sends."""

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from psycopg2.extensions import AsIs

from benchmarks.load import Work, random_task
from src.database.statement import Statement
from src.services.history_page import page_of_history
from src.services.period_counts import WEEKLY_COUNTS
from src.services.task_changes import COMPLETE as COMPLETE_TASK
from src.services.task_changes import CREATE, REOPEN, UPDATE
from src.services.task_changes import GET as GET_TASK
from src.services.task_list import ALL_TASKS, FIRST_PAGE
from src.utils.calendar_days import bounds_of, week_of

FEW_TASKS = 100

GET = Work("GET one", "/tasks/{id}")
POST = Work("POST", "/tasks", "POST", '{"title": "Buy groceries", "description": "Milk, bread and cheese"}')
PUT = Work("PUT", "/tasks/{turn}", "PUT", '{"title": "Buy groceries {number}"}')
COMPLETE = Work("complete", "/tasks/{toggled}/{toggle}", "PATCH")
LIST_FEW = Work(f"list of {FEW_TASKS}", "/tasks")
LIST_PAGE = Work("list of 100 by limit", "/tasks?limit=100")
LIST = Work("list of {tasks:,}", "/tasks")
PAGE_1 = Work("history page 1", "/history?page=1&limit=10")
PAGE_2 = Work("history page 2", "/history?page=2&limit=10")
PAGE_100 = Work("history page 100", "/history?page=100&limit=10")
STATS = Work("weekly stats", "/stats/weekly")

# Writes have a database of their own, so the one for reads does not change. The long list comes last, because
# the textbook goes on with it for half a minute after its callers have left.
WORKS = {
    "few": [LIST_FEW],
    "many": [GET, LIST_PAGE, PAGE_2, PAGE_100, STATS, LIST],
    "written": [POST, PUT, COMPLETE],
}


def statements_of_service() -> dict[Work, tuple[str, list[Statement], dict[str, Any]]]:
    """Return the database, the statements and the parameters that the service uses for each kind of work."""
    page = page_of_history((), 0, None)
    start, end = bounds_of(*week_of(datetime.now(UTC).date()), ZoneInfo("UTC"))
    ids = {"task_id": random_task(), "history_id": AsIs("gen_random_uuid()"), "if_match": None}
    task = {"title": AsIs("'Buy groceries ' || random()"), "description": "Milk, bread and cheese"}
    create, update, *toggle = (change.statement for change in (CREATE, UPDATE, COMPLETE_TASK, REOPEN))
    return {
        GET: ("many", [GET_TASK], {"task_id": random_task()}),
        POST: ("written", [create], ids | task | {"task_id": AsIs("gen_random_uuid()")}),
        PUT: ("written", [update], ids | task),
        COMPLETE: ("written", toggle, ids),
        LIST_FEW: ("few", [ALL_TASKS], {}),
        LIST: ("many", [ALL_TASKS], {}),
        LIST_PAGE: ("many", [FIRST_PAGE], {"limit": 100}),
        PAGE_2: ("many", [page], {"offset": 10, "limit": 10}),
        PAGE_100: ("many", [page], {"offset": 990, "limit": 10}),
        STATS: ("many", [WEEKLY_COUNTS], {"start_day": start, "start_quarter": 0, "end_day": end, "end_quarter": 0}),
    }
