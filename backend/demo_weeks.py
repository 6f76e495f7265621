"""The three weeks before this one, for `make demo`: what happened in them, and how it gets into the database.

Callers of the API cannot set times, so demo_weeks.sql writes these weeks. It needs a superuser, which the service has
only on the embedded PostgreSQL, and it writes a past that nobody else has had: only a database that was empty a moment
ago takes it.
"""

import json
import random
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

import psycopg2

from config import BACKEND, Settings
from src.database.connection import connect_arguments
from src.database.faults import reason_of
from src.embedded_postgres.data_directory import default_data_dir, url_of_running_server
from src.embedded_postgres.programs import EmbeddedPostgresError

# In the order in which they come up, from Monday to Friday.
EVERY_WEEK = [
    ("Plan week {week}", "What must be done by Friday, and what may wait"),
    ("Prepare the team meeting of week {week}", "Agenda, numbers, open questions"),
    ("Review open pull requests, week {week}", None),
    ("Water the office plants, week {week}", "The fern needs more than the others"),
    ("Send the invoices of week {week}", "Check the new tax numbers"),
    ("Write the report on week {week}", None),
    ("Back up the laptop, week {week}", None),
]
NOTES = ["Done by half; the rest tomorrow", "Waiting for an answer", "Moved to the afternoon", ""]

_WEEKS = 3
_ONCE = [
    ("Move the wiki to the new server", "Redirect the old addresses"),
    ("Book a room for the workshop", "Twelve people, a projector, daylight"),
    ("Fix the time zone of the reports", "Berlin sees yesterday's numbers until one o'clock"),
    ("Buy a birthday card for Miriam", None),
    ("Compare offers for the new office chairs", None),
    ("Write tests for the importer", "Empty files, and files with two header lines"),
    ("Have the car inspected", "The garage on Mill Street opens at seven"),
    ("Collect the parcel from the neighbours", None),
    ("Answer the survey of the user group", None),
    ("Delete the accounts of former colleagues", "Ask Jonas for the list"),
    ("Read the paper on snapshot isolation", None),
    ("Replace the batteries of the smoke detectors", "Two in the hall, one upstairs"),
    ("Sort the photographs of the summer", None),
    ("Try the new version of the linter", None),
    ("Ask for a quote for the roof", "The gutter too"),
    ("Tidy up the shared drive", None),
    ("Interview the candidate from Porto", "Questions are in the shared folder"),
    ("Sign up for the swimming course", "Tuesday evenings"),
    ("Update the emergency contacts", None),
    ("Measure how long a restore takes", "On the small machine, with last night's backup"),
    ("Bake a cake for the school fair", "No nuts"),
    ("Pay the parking ticket", None),
    ("Rename the metrics of the queue", "Tell the people who watch the dashboards"),
    ("Call the insurance about the window", None),
    ("Translate the welcome mail into French", "Chloé has read the first half"),
    ("Clean the coffee machine", None),
    ("Draw the new network plan", None),
    ("Find a substitute for the choir rehearsal", None),
    ("Turn on alerts for full disks", "At 80 percent, during the day only"),
    ("Send the contract to the lawyer", "Pages 4 and 7"),
    ("Clear out the cellar", "The bicycle trailer goes to Ahmed"),
    ("Upgrade the printer's firmware", None),
    ("Write down how to restore the wiki", None),
    ("Order seeds for the balcony", "Beans, basil, something that likes shade"),
    ("Check the numbers of the annual report", "Table 3 does not add up"),
    ("Plan the farewell of Mr Okafor", None),
    ("Repair the lamp in the hall", None),
    ("Merge the two address books", "Keep the newer telephone numbers"),
    ("Vote for the topics of the next meetup", None),
]

# People work from half past eight to half past five, Monday to Friday. Time is counted in minutes of work, so that
# whatever is added to a moment leads to another moment of work.
_DAY_STARTS = timedelta(hours=8, minutes=30)
_DAY_MINUTES = 9 * 60
_WEEK_MINUTES = 5 * _DAY_MINUTES
# How many tasks are created on a Monday, Tuesday and so on, in proportion.
_STARTS = (7, 5, 4, 4, 3)

# Writers wait for this lock, and see either all of the earlier weeks or nothing of them.
_LOCK = "SET LOCAL lock_timeout = '5s'; LOCK TABLE tasks, task_history IN SHARE ROW EXCLUSIVE MODE"
_CONTENTS = """
    SELECT (SELECT array_agg(id::text) FROM tasks), (SELECT array_agg(task_id::text) FROM task_history)
"""
_WRITE = (BACKEND / "demo_weeks.sql").read_text()


class NotWritten(Exception):
    """The earlier weeks cannot be written. The message says why, as the end of a sentence."""


class Step(NamedTuple):
    """A change of a task as demo_weeks.sql reads it, with the title and the description that it left."""

    task_id: str
    history_id: str
    action_type: str
    timestamp: str
    title: str
    description: str | None


class _Change(NamedTuple):
    """A change of a task at a minute of work since the first Monday."""

    minute: float
    action: str
    title: str
    description: str | None


def write_earlier_weeks(settings: Settings, only_task: str, now: datetime) -> None:
    """Write the weeks before the one of `now` into the embedded database, all or nothing.

    The database must have no tasks and no history, except for `only_task` and the entry of its creation. That also
    proves that it is the database of the service that has just created the task. Raises `NotWritten`.
    """
    if settings.database_url is not None:
        raise NotWritten("DATABASE_URL is set, and only the embedded PostgreSQL takes entries of earlier weeks")
    data_dir = BACKEND / (settings.data_dir or default_data_dir(BACKEND.parent))
    try:
        url = url_of_running_server(data_dir)
        embedded = settings.model_copy(update={"database_url": url})
        connection = psycopg2.connect(**connect_arguments(embedded), connect_timeout=settings.connect_timeout_s)
    except (EmbeddedPostgresError, psycopg2.Error) as error:
        raise NotWritten(f"the service does not run the embedded PostgreSQL in {data_dir}") from error
    steps = [step._asdict() for step in steps_before(now)]
    try:
        with closing(connection), connection, connection.cursor() as cursor:
            cursor.execute(_LOCK)
            cursor.execute(_CONTENTS)
            if cursor.fetchone() != ([only_task], [only_task]):
                raise NotWritten(f"the embedded database in {data_dir} had tasks before, or is another service's")
            cursor.execute(_WRITE, {"steps": json.dumps(steps)})
    except psycopg2.Error as error:
        raise NotWritten(f"the embedded database refused them: {reason_of(error)}") from error


def steps_before(now: datetime) -> Iterator[Step]:
    """Yield what happened in the weeks before the one of `now`, in its time zone: the same at every call in a week."""
    chance = random.Random(2026)  # noqa: S311  # No secret.
    monday = now.replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=now.weekday(), weeks=_WEEKS)
    for start, title, description in _tasks(chance, monday):
        task_id = _id(chance)
        for change in _life(chance, start, title, description):
            if change.minute < _WEEKS * _WEEK_MINUTES:
                moment = _moment(monday, change.minute).isoformat()
                yield Step(task_id, _id(chance), change.action, moment, change.title, change.description)


def _tasks(chance: random.Random, monday: datetime) -> Iterator[tuple[float, str, str | None]]:
    """Yield the minute of work at which each task begins, its title and its description."""
    once = chance.sample(_ONCE, len(_ONCE))
    for week in range(_WEEKS):
        number = (monday + timedelta(weeks=week)).isocalendar().week
        days = [place * 5 // len(EVERY_WEEK) for place in range(len(EVERY_WEEK))]
        regular = [(title.format(week=number), description) for title, description in EVERY_WEEK]
        others = once[week::_WEEKS]
        days += chance.choices(range(5), _STARTS, k=len(others))
        for day, (title, description) in zip(days, regular + others, strict=True):
            yield week * _WEEK_MINUTES + (day + chance.random()) * _DAY_MINUTES, title, description


def _life(chance: random.Random, minute: float, title: str, description: str | None) -> Iterator[_Change]:
    """Yield the changes of a task that is created at a `minute` of work."""
    yield _Change(minute, "CREATED", title, description)
    if chance.random() < 0.35:
        is_retitled = chance.random() < 0.3
        title += " (urgent)" if is_retitled else ""
        if not is_retitled or chance.random() < 0.5:
            description = chance.choice(NOTES)
        yield _Change(minute := minute + _pause(chance, 120), "UPDATED", title, description)
    if chance.random() < 0.07:
        yield _Change(minute + _pause(chance, 300), "DELETED", title, description)
    elif chance.random() < 0.9:
        yield _Change(minute := minute + _pause(chance, 600), "COMPLETED", title, description)
        if chance.random() < 0.12:
            yield _Change(minute := minute + _pause(chance, 120), "INCOMPLETED", title, description)
            if chance.random() < 0.6:
                yield _Change(minute + _pause(chance, 600), "COMPLETED", title, description)


def _pause(chance: random.Random, mean: float) -> float:
    return 1 + chance.expovariate(1 / mean)


def _moment(monday: datetime, minute: float) -> datetime:
    week, minute = divmod(minute, _WEEK_MINUTES)
    day, minute = divmod(minute, _DAY_MINUTES)
    return monday + timedelta(weeks=week, days=day, minutes=minute) + _DAY_STARTS


def _id(chance: random.Random) -> str:
    return str(UUID(int=chance.getrandbits(128), version=4))
