"""Compares the service with two alternatives, and with the least time that FastAPI and PostgreSQL take."""

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from statistics import median
from typing import NamedTuple

from sqlalchemy import URL, NullPool, create_engine

from benchmarks import raw_asyncpg, textbook
from benchmarks.data import create_database, fill, running_postgres, service_schema
from benchmarks.load import Answers, Work, is_named, run_statements, send_requests
from benchmarks.report import console, machine, number, progress, ratio, spread, table
from benchmarks.sides import ASYNCPG, FLOOR, SERVICE, TEXTBOOK, Side, serve
from benchmarks.works import COMPLETE, FEW_TASKS, GET, LIST, POST, PUT, WORKS, statements_of_service
from tests.support.clusters import memory_dir
from tests.support.databases import execute
from tests.support.proxy import Proxy
from tests.support.service import MAIN, running

# The numbers of callers to measure, for each number of workers.
CALLERS = {1: (1, 32, 100), 2: (32,)}
FAR_AWAY_S = 0.02
# The triggers of the counts that fire for the kinds of work, and their tables.
COUNTING_TRIGGERS = {"count_change": "tasks", "check_entry": "task_history"}


def textbook_schema(url: URL) -> None:
    """Create the schema of the textbook."""
    textbook.Base.metadata.create_all(create_engine(url, poolclass=NullPool))


def asyncpg_schema(url: URL) -> None:
    """Create the schema of the side on raw asyncpg."""
    execute(url, raw_asyncpg.SCHEMA)


SIDES = [(SERVICE, service_schema), (TEXTBOOK, textbook_schema), (ASYNCPG, asyncpg_schema)]


class Plan(NamedTuple):
    """What to measure, for how many callers with each number of workers, how often and how long."""

    sides: Sequence[tuple[Side, Callable[[URL], None]]]
    works: dict[str, list[Work]]
    callers: dict[int, tuple[int, ...]]
    tasks: int
    rounds: int
    seconds: int


class Key(NamedTuple):
    """A series of measurements: a kind of work on a side, with so many workers and callers."""

    work: Work
    side: str
    workers: int
    callers: int


Measured = dict[Key, list[Answers]]


def run(tasks: int, rounds: int, seconds: int, only: Sequence[str]) -> None:
    """Measure everything `rounds` times, and print the tables.

    With `only`, measure just the kinds of work and the sides whose names match, and always the service, with
    one worker and 32 callers. If no kind of work matches, measure all of them; the same holds for the sides.
    """
    plan = _plan(tasks, rounds, seconds, only)
    with running_postgres() as server:
        databases = _make_databases(server, plan)
        measured, capacity = _measure(databases, plan)
        console.print(machine())
        console.print(f"Responses per second: median of {rounds} rounds of {seconds} s (least to greatest).\n")
        _print_comparison(measured, capacity, plan)
        if only:
            return
        _print_promises(measured)
        _print_distance(databases[SERVICE.name]["written"], tasks, seconds)
        _print_price_of_counts(databases[SERVICE.name]["written"], tasks, rounds, seconds)
    _print_starts(rounds)


def _plan(tasks: int, rounds: int, seconds: int, only: Sequence[str]) -> Plan:
    named = [side for side, _ in SIDES if is_named(side.name, only)]
    sides = [(side, schema) for side, schema in SIDES if not named or side in (SERVICE, *named)]
    works = {
        database: chosen
        for database, works in WORKS.items()
        if (chosen := [work for work in works if is_named(work.name.format(tasks=tasks), only)])
    }
    return Plan(sides, works or WORKS, {1: (32,)} if only else CALLERS, tasks, rounds, seconds)


def _make_databases(server: URL, plan: Plan) -> dict[str, dict[str, URL]]:
    """Create the databases of each side, with the same tasks, and return their URLs."""
    databases: dict[str, dict[str, URL]] = {}
    with progress() as bars:
        for side, make_schema in plan.sides:
            few, many = (create_database(server, f"{side.name}_{name}", make_schema) for name in ("few", "many"))
            fill(few, FEW_TASKS, bars, counted=side is SERVICE)
            fill(many, plan.tasks, bars, counted=side is SERVICE)
            execute(server, f"CREATE DATABASE {side.name}_written TEMPLATE {side.name}_many")
            written = server.set(database=f"{side.name}_written")
            execute(written, "UPDATE tasks SET is_completed = false, completed_at = NULL")
            execute(written, "VACUUM ANALYZE")
            databases[side.name] = {"few": few, "many": many, "written": written}
    return databases


def _measure(databases: Mapping[str, Mapping[str, URL]], plan: Plan) -> tuple[Measured, dict[Work, list[float]]]:
    """Measure the sides in turn, and the database alone with the statements of the service."""
    answers: Measured = defaultdict(list)
    capacity: dict[Work, list[float]] = defaultdict(list)
    sides = [side._replace(workers=workers) for workers in plan.callers for side, _ in plan.sides]
    statements = {work: sent for work, sent in statements_of_service().items() if work in _works(plan)}
    total = plan.rounds * (sum(len(plan.callers[side.workers]) for side in sides) + 1) * len(statements) + plan.rounds
    with progress() as bars:
        job = bars.add_task("Measuring", total=total)

        def measure(side: Side, database: URL, works: list[Work], callers: Sequence[int]) -> None:
            with serve(side, database) as server:
                for work in works:
                    send_requests(server.address, work, tasks=plan.tasks, callers=max(callers), seconds=1)
                    # The textbook takes seconds to answer the first of so many callers.
                    duration = plan.seconds * 5 if work is LIST else plan.seconds
                    for count in callers:
                        seen = send_requests(server.address, work, tasks=plan.tasks, callers=count, seconds=duration)
                        answers[Key(work, side.name, side.workers, count)].append(seen)
                        bars.advance(job)

        for _ in range(plan.rounds):
            for name, works in plan.works.items():
                for side in sides:
                    measure(side, databases[side.name][name], works, plan.callers[side.workers])
            measure(FLOOR, databases[SERVICE.name]["few"], [GET], [32])
            for work, (database, statement, parameters) in statements.items():
                url = databases[SERVICE.name][database]
                rate = run_statements(url, statement, parameters, tasks=plan.tasks, seconds=plan.seconds)
                capacity[work].append(rate)
                bars.advance(job)
    return answers, capacity


def _works(plan: Plan) -> list[Work]:
    return [work for works in plan.works.values() for work in works]


def _print_comparison(measured: Measured, capacity: Mapping[Work, list[float]], plan: Plan) -> None:
    names = [side.name for side, _ in plan.sides]
    floor = _per_second(measured, Key(GET, FLOOR.name, 1, 32))
    for workers, numbers in plan.callers.items():
        for callers in numbers:
            rates_of, latencies_of = [], []
            for work in _works(plan):
                name = work.name.format(tasks=plan.tasks)
                seen = [measured[Key(work, side, workers, callers)] for side in names]
                ours, *others = rates = [[each.per_second for each in side] for side in seen]
                row = [name, *map(spread, rates), *(f"{ratio(ours, other):.2f}" for other in others)]
                if (workers, callers) == (1, 32):
                    # The rate if only FastAPI and PostgreSQL took time, one after the other.
                    limits = [1 / (1 / bare + 1 / sql) for bare, sql in zip(floor, capacity[work], strict=True)]
                    row += [f"{ratio(ours, floor):.0%}", number(median(capacity[work])), f"{ratio(ours, limits):.0%}"]
                rates_of.append(row)
                latencies_of.append([name, *map(_latencies, seen)])
            columns = ["work", *names, *(f"/ {name}" for name in names[1:])]
            if (workers, callers) == (1, 32):
                columns += ["of the floor", "pgbench", "of the limit"]
            title = f"{workers} worker{'s' * (workers > 1)}, {callers} callers"
            table(title, columns, rates_of)
            table(f"{title}: p50, p99 ms", ["work", *names], latencies_of)
    console.print("The limit is 1 / (1 / floor + 1 / pgbench); the floor is FastAPI with constant bytes:")
    console.print(f"{spread(floor)}.")
    # A failure takes less time than a success, and would count as much in the rates.
    failures: Counter[str] = Counter()
    for key, answers in measured.items():
        failures[key.side] += sum(each.failures for each in answers)
    counts = ", ".join(f"{side} {count}" for side, count in failures.items())
    console.print(f"Failed requests in everything above: {counts}.\n")


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
    console.print(
        f"GET one for 100 callers: the service's p99 is {number(median(each.p99_ms for each in ours))} ms,"
        f" the textbook's p50 {number(median(each.p50_ms for each in theirs))} ms."
    )


def _print_distance(database: URL, tasks: int, seconds: int) -> None:
    """Print how long a write takes when every round trip to the database takes 20 ms longer."""
    with Proxy(database, delay_s=FAR_AWAY_S / 2).running() as far_away, serve(SERVICE, far_away) as server:
        for work in (POST, PUT, COMPLETE):
            seen = send_requests(server.address, work, tasks=tasks, callers=1, seconds=seconds)
            console.print(f"{work.name}, with the database {FAR_AWAY_S * 1000:.0f} ms away: p50 {seen.p50_ms:.1f} ms.")


def _print_starts(rounds: int) -> None:
    """Print how long the service takes from its command to its first response, on an embedded PostgreSQL."""
    seconds = []
    with memory_dir() as data_dir:
        for _ in range(rounds + 1):
            started = time.monotonic()
            with running(MAIN, DATA_DIR=str(data_dir)):
                seconds.append(time.monotonic() - started)
    console.print(f"First start: {seconds[0]:.1f} s; the next ones: {median(seconds[1:]):.1f} s.")


def _print_price_of_counts(database: URL, tasks: int, rounds: int, seconds: int) -> None:
    """Print how many writes per second the database takes with and without the triggers that count.

    One of them also refuses backdated entries, so the price includes that check.
    """
    rates: dict[tuple[Work, str], list[float]] = defaultdict(list)
    statements = statements_of_service()
    for _ in range(rounds):
        for state in ("DISABLE", "ENABLE ALWAYS"):
            for trigger, guarded in COUNTING_TRIGGERS.items():
                execute(database, f"ALTER TABLE {guarded} {state} TRIGGER {trigger}")
            for work in (POST, PUT, COMPLETE):
                _, sql, parameters = statements[work]
                rates[work, state].append(run_statements(database, sql, parameters, tasks=tasks, seconds=seconds))
    rows = []
    for work in (POST, PUT, COMPLETE):
        with_counts, without = rates[work, "ENABLE ALWAYS"], rates[work, "DISABLE"]
        rows.append([work.name, spread(with_counts), spread(without), f"{ratio(with_counts, without):.0%}"])
    table("Writes of pgbench, 32 clients", ["work", "with counts and check", "without both", "ratio"], rows)
