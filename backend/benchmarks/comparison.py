"""The service beside the textbook, and beside the least that its parts take."""

import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any, NamedTuple

from psycopg2.extensions import AsIs
from sqlalchemy import URL, NullPool, create_engine

from benchmarks import textbook
from benchmarks.data import create_database, fill, running_postgres, service_schema
from benchmarks.load import Answers, Work, random_task, run_statements, send_requests
from benchmarks.report import console, machine, number, progress, ratio, spread, table
from benchmarks.sides import FLOOR, SERVICE, TEXTBOOK, Side, serve
from src.database.statement import Statement
from src.services.counting import WEEKLY_COUNTS
from src.services.history_page import page_of_history
from src.services.task_list import ALL_TASKS
from src.services.task_service import COMPLETE as COMPLETE_TASK
from src.services.task_service import CREATE, INCOMPLETE, UPDATE
from src.services.task_service import GET as GET_TASK
from src.utils.timestamps import utc_now, week_bounds
from tests.conftest import execute, memory_dir
from tests.proxy import Proxy
from tests.service import MAIN, running

# How many callers there are for each number of workers.
CALLERS = {1: (1, 32, 100), 2: (32,)}
FEW_TASKS = 100
FAR_AWAY_S = 0.02

GET = Work("GET one", "/tasks/{id}")
POST = Work("POST", "/tasks", "POST", '{"title": "Buy groceries", "description": "Milk, bread and cheese"}')
PUT = Work("PUT", "/tasks/{turn}", "PUT", '{"title": "Buy groceries {number}"}')
COMPLETE = Work("complete", "/tasks/{toggled}/{toggle}", "PATCH")
LIST_FEW = Work(f"list of {FEW_TASKS}", "/tasks")
LIST = Work("list of {tasks:,}", "/tasks")
PAGE_1 = Work("history page 1", "/history?page=1&limit=10")
PAGE_100 = Work("history page 100", "/history?page=100&limit=10")
FLOOR_ON_LOOP = Work("floor on the event loop", "/on-the-loop")
STATS = Work("weekly stats", "/stats/weekly")

# Which works run on which database: writes have their own, so that the reads stay as they are. The long
# list comes last, as the textbook goes on with it for half a minute after its callers have left.
WORKS = {"few": [LIST_FEW], "many": [GET, PAGE_1, PAGE_100, STATS, LIST], "written": [POST, PUT, COMPLETE]}


class Key(NamedTuple):
    """What is measured: a kind of work on a side, for so many callers."""

    work: Work
    side: str
    workers: int
    callers: int


Measured = dict[Key, list[Answers]]


def run(tasks: int, rounds: int, seconds: int) -> None:
    """Measure everything `rounds` times, and print the tables."""
    with running_postgres() as server:
        databases = _make_databases(server, tasks)
        measured, capacity = _measure(databases, tasks, rounds, seconds)
        console.print(machine())
        console.print(f"Median of {rounds} rounds of {seconds} s (least to greatest), answers per second.\n")
        _print_comparison(measured, capacity, tasks)
        _print_promises(measured)
        _print_distance(databases[SERVICE.name]["written"], tasks, seconds)
        _print_price_of_counts(databases[SERVICE.name]["written"], tasks, rounds, seconds)
    _print_starts(rounds)


def _make_databases(server: URL, tasks: int) -> dict[str, dict[str, URL]]:
    """Return the databases of each side, all filled alike."""
    databases: dict[str, dict[str, URL]] = {}
    with progress() as bars:
        for side, make_schema in ((SERVICE, service_schema), (TEXTBOOK, textbook_schema)):
            few, many = (create_database(server, f"{side.name}_{name}", make_schema) for name in ("few", "many"))
            fill(few, FEW_TASKS, bars)
            fill(many, tasks, bars)
            execute(server, f"CREATE DATABASE {side.name}_written TEMPLATE {side.name}_many")
            written = server.set(database=f"{side.name}_written")
            execute(written, "UPDATE tasks SET is_completed = false, completed_at = NULL")
            execute(written, "VACUUM ANALYZE")
            databases[side.name] = {"few": few, "many": many, "written": written}
    return databases


def textbook_schema(url: URL) -> None:
    """Make the textbook's schema."""
    textbook.Base.metadata.create_all(create_engine(url, poolclass=NullPool))


def _measure(
    databases: Mapping[str, Mapping[str, URL]], tasks: int, rounds: int, seconds: int
) -> tuple[Measured, dict[Work, list[float]]]:
    """Let every side do its works in turn; and the database the service's statements, by itself."""
    answers: Measured = defaultdict(list)
    capacity: dict[Work, list[float]] = defaultdict(list)
    sides = [side._replace(workers=workers) for workers in CALLERS for side in (SERVICE, TEXTBOOK)]
    statements = _statements()
    count = sum(map(len, WORKS.values()))
    total = rounds * (sum(len(CALLERS[side.workers]) * count for side in sides) + 2 + len(statements))
    with progress() as bars:
        job = bars.add_task("Measuring", total=total)

        def measure(side: Side, database: URL, works: list[Work], callers: Sequence[int]) -> None:
            with serve(side, database) as server:
                for work in works:
                    send_requests(server.address, work, tasks=tasks, callers=max(callers), seconds=1)
                    # The textbook takes seconds until it has answered the first of so many callers.
                    duration = seconds * 5 if work is LIST else seconds
                    for count in callers:
                        seen = send_requests(server.address, work, tasks=tasks, callers=count, seconds=duration)
                        answers[Key(work, side.name, side.workers, count)].append(seen)
                        bars.advance(job)

        for _ in range(rounds):
            for name, works in WORKS.items():
                for side in sides:
                    measure(side, databases[side.name][name], works, CALLERS[side.workers])
            measure(FLOOR, databases[TEXTBOOK.name]["few"], [GET, FLOOR_ON_LOOP], [32])
            for work, (database, statement, parameters) in statements.items():
                url = databases[SERVICE.name][database]
                capacity[work].append(run_statements(url, statement, parameters, tasks=tasks, seconds=seconds))
                bars.advance(job)
    return answers, capacity


def _statements() -> dict[Work, tuple[str, list[Statement], dict[str, Any]]]:
    """Return what the service sends for each kind of work, and to which database."""
    monday, next_monday = week_bounds(utc_now())
    page = page_of_history(frozenset({"offset"}))
    ids = {"task_id": random_task(), "history_id": AsIs("gen_random_uuid()")}
    task = {"title": AsIs("'Buy groceries ' || random()"), "description": "Milk, bread and cheese"}
    create, update, *toggle = (change.statement for change in (CREATE, UPDATE, COMPLETE_TASK, INCOMPLETE))
    return {
        GET: ("many", [GET_TASK], {"task_id": random_task()}),
        POST: ("written", [create], ids | task | {"task_id": AsIs("gen_random_uuid()")}),
        PUT: ("written", [update], ids | task),
        COMPLETE: ("written", toggle, ids),
        LIST_FEW: ("few", [ALL_TASKS], {}),
        LIST: ("many", [ALL_TASKS], {}),
        PAGE_1: ("many", [page], {"offset": 0, "limit": 10}),
        PAGE_100: ("many", [page], {"offset": 990, "limit": 10}),
        STATS: ("many", [WEEKLY_COUNTS], {"first_day": monday.date(), "last_day": next_monday.date()}),
    }


def _print_comparison(measured: Measured, capacity: Mapping[Work, list[float]], tasks: int) -> None:
    framework, on_loop = (_per_second(measured, Key(work, FLOOR.name, 1, 32)) for work in (GET, FLOOR_ON_LOOP))
    for workers, numbers in CALLERS.items():
        for callers in numbers:
            rows = []
            for work in (work for works in WORKS.values() for work in works):
                ours, theirs = (measured[Key(work, side.name, workers, callers)] for side in (SERVICE, TEXTBOOK))
                rates, others = [seen.per_second for seen in ours], [seen.per_second for seen in theirs]
                row = [work.name.format(tasks=tasks), spread(rates), spread(others), f"{ratio(rates, others):.1f}"]
                row += [_latencies(ours), _latencies(theirs)]
                if (workers, callers) == (1, 32):
                    # What FastAPI and PostgreSQL take one after the other, if nothing else took any time.
                    limits = [1 / (1 / bare + 1 / sql) for bare, sql in zip(framework, capacity[work], strict=True)]
                    row += [number(median(capacity[work])), f"{ratio(rates, limits):.0%}"]
                rows.append(row)
            columns = ["work", "service", "textbook", "ratio", "p50, p99 ms", "textbook's"]
            if (workers, callers) == (1, 32):
                columns += ["pgbench", "of the limit"]
            table(f"{workers} worker{'s' * (workers > 1)}, {callers} callers", columns, rows)
    console.print("The limit is 1 / (1 / floor + 1 / pgbench); the floor is FastAPI with bytes that are there:")
    console.print(f"{spread(framework)} from a thread, as tutorials do; {spread(on_loop)} from the event loop.\n")


def _per_second(measured: Measured, key: Key) -> list[float]:
    return [seen.per_second for seen in measured[key]]


def _latencies(seen: list[Answers]) -> str:
    return f"{number(median(each.p50_ms for each in seen))}, {number(median(each.p99_ms for each in seen))}"


def _print_promises(measured: Measured) -> None:
    slowest = max(
        (median(each.p99_ms for each in seen), key.work.name)
        for key, seen in measured.items()
        if (key.side, key.workers, key.callers) == (SERVICE.name, 1, 1) and key.work is not LIST
    )
    console.print(f"The slowest p99 for one caller: {number(slowest[0])} ms ({slowest[1]}).")
    ours, theirs = (measured[Key(GET, side.name, 1, 100)] for side in (SERVICE, TEXTBOOK))
    failures = sum(each.failures for key, seen in measured.items() if key.side == SERVICE.name for each in seen)
    console.print(f"Answers of the service that were no success, in everything above: {failures}.")
    console.print(
        f"GET one for 100 callers: the service's p99 is {number(median(each.p99_ms for each in ours))} ms,"
        f" the textbook's p50 {number(median(each.p50_ms for each in theirs))} ms."
    )


def _print_distance(database: URL, tasks: int, seconds: int) -> None:
    """Print how long a write takes when every round trip to the database takes 20 ms more."""
    with Proxy(database, delay_s=FAR_AWAY_S / 2).running() as far_away, serve(SERVICE, far_away) as server:
        for work in (POST, PUT, COMPLETE):
            seen = send_requests(server.address, work, tasks=tasks, callers=1, seconds=seconds)
            console.print(f"{work.name}, with the database {FAR_AWAY_S * 1000:.0f} ms away: p50 {seen.p50_ms:.1f} ms.")


def _print_starts(rounds: int) -> None:
    """Print how long the service takes from its command to its first answer, on an embedded PostgreSQL."""
    seconds = []
    with memory_dir() as data_dir:
        for _ in range(rounds + 1):
            started = time.monotonic()
            with running(MAIN, DATA_DIR=str(data_dir)):
                seconds.append(time.monotonic() - started)
    console.print(f"First start: {seconds[0]:.1f} s; the next ones: {median(seconds[1:]):.1f} s.")


def _print_price_of_counts(database: URL, tasks: int, rounds: int, seconds: int) -> None:
    """Print how many writes the database takes with the counts, of those that it takes without."""
    triggers = execute(
        database,
        "SELECT tgrelid::regclass::text AS table, tgname AS name FROM pg_trigger"
        " WHERE tgname LIKE 'count\\_%' AND NOT tgisinternal",
    )
    rates: dict[tuple[Work, str], list[float]] = defaultdict(list)
    statements = _statements()
    for _ in range(rounds):
        for state in ("DISABLE", "ENABLE ALWAYS"):
            for trigger in triggers:
                execute(database, f"ALTER TABLE {trigger.table} {state} TRIGGER {trigger.name}")
            for work in (POST, PUT, COMPLETE):
                _, sql, parameters = statements[work]
                rates[work, state].append(run_statements(database, sql, parameters, tasks=tasks, seconds=seconds))
    rows = []
    for work in (POST, PUT, COMPLETE):
        with_counts, without = rates[work, "ENABLE ALWAYS"], rates[work, "DISABLE"]
        rows.append([work.name, spread(with_counts), spread(without), f"{ratio(with_counts, without):.0%}"])
    table("Writes of pgbench, 32 clients", ["work", "with counts", "without", "ratio"], rows)
