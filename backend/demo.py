"""`make demo`: fills a running service with example tasks: this week through its public API, and three weeks before.

Callers of the API cannot set times, so all of this week happens now. demo_weeks.py writes the weeks before, if it can.
"""

import random
import sys
from argparse import ArgumentParser
from datetime import UTC, datetime
from typing import Any

import httpx
from rich.progress import track

from config import ConfigurationError, Settings, load_settings
from demo_weeks import EVERY_WEEK, NOTES, NotWritten, write_earlier_weeks

ONCE = [
    ("Buy groceries", "Milk, bread, cheese and something green"),
    ("Book the train to Lyon", "Leave on Thursday, back on Sunday night"),
    ("Renew the passport", "Photographs first"),
    ("Call the dentist", None),
    ("Repair the bicycle", "New brake pads, and the rear light flickers"),
    ("Return the library books", "Due on the 21st"),
    ("Order printer paper", None),
    ("Answer the landlord", "About the heating"),
    ("Draft the talk for the user group", "Ten slides, one demonstration, no bullet points"),
    ("Migrate the staging database", "With a backup, after six o'clock"),
    ("Find out why the nightly build is slow", None),
    ("Write the release notes for 2.4", "Thank the contributors by name"),
    ("Ask Zoë about the café for the offsite 🎉", None),
    ("Update the onboarding guide", "Screenshots are from last year"),
    ("Pay the electricity bill", None),
    ("Choose a present for Grandma", "She liked the atlas"),
    ("Cancel the newspaper", None),
    ("Rotate the API keys", "Then delete the old ones"),
    ("Measure the memory of the import job", None),
    ("Invite Paul and Anna to dinner", "Paul eats no nuts"),
]


def this_week(chance: random.Random, week: int) -> list[tuple[str, str | None]]:
    """Return the titles and descriptions of the tasks of a `week` of the year."""
    every_week = [(title.format(week=week), text) for title, text in EVERY_WEEK]
    return chance.sample(every_week + ONCE, len(every_week + ONCE))


def call(service: httpx.Client, method: str, path: str, json: object = None) -> Any:
    """Return the `data` of a success. Raises `httpx.HTTPError`."""
    response = service.request(method, path, json=json)
    response.raise_for_status()
    return response.json()["data"]


def is_filled(service: httpx.Client) -> bool:
    """Tell whether the service already has tasks of the demo, of whichever week."""
    titles = {title.format(week=week) for week in range(1, 54) for title, _ in EVERY_WEEK}
    return any(task["title"] in titles for task in call(service, "GET", "/tasks"))


def fill(service: httpx.Client, settings: Settings) -> str:
    """Create a week's tasks, and work on them as a person would. Return what to say of the weeks before.

    Raises `httpx.HTTPError` at the first failure.
    """
    now = datetime.now(UTC).astimezone()
    chance = random.Random(2026)  # noqa: S311  # The same week at every run.
    said = ""
    for title, description in track(this_week(chance, now.isocalendar().week), "A week of tasks"):
        task_id = call(service, "POST", "/tasks", {"title": title, "description": description})["id"]
        said = said or earlier_weeks(settings, task_id, now)
        path = f"/tasks/{task_id}"
        if chance.random() < 0.35:
            call(service, "PUT", path, {"description": chance.choice(NOTES)})
        if chance.random() < 0.65:
            call(service, "PATCH", f"{path}/complete")
            if chance.random() < 0.1:
                call(service, "PATCH", f"{path}/incomplete")
        if chance.random() < 0.08:
            call(service, "DELETE", path)
    return said


def earlier_weeks(settings: Settings, first_task: str, now: datetime) -> str:
    """Write the weeks before this one if the service has nothing but its `first_task`. Return what to say of it."""
    try:
        write_earlier_weeks(settings, first_task, now)
    except NotWritten as reason:
        return f"This week only: {reason}."
    return "This week, and the three weeks before."


def main() -> None:
    """Fill the service that the environment and `backend/.env` configure, or the one at the given address."""
    try:
        settings = load_settings()
    except ConfigurationError as error:
        sys.exit(str(error))
    parser = ArgumentParser(prog="python demo.py", description=main.__doc__)
    parser.add_argument("address", nargs="?", default=f"http://127.0.0.1:{settings.port}", help="default: %(default)s")
    parser.add_argument("--again", action="store_true", help="add another week to a service that already has one")
    given = parser.parse_args()
    address = given.address
    headers = {"Authorization": f"Bearer {settings.api_key[0].get_secret_value()}"} if settings.api_key else {}
    try:
        with httpx.Client(base_url=address, headers=headers) as service:
            if not given.again and is_filled(service):
                print(f"{address} has the demo's tasks already. To add another week: make demo AGAIN=yes")
                return
            said = fill(service, settings)
            stats = call(service, "GET", "/stats/weekly")
    except httpx.ConnectError:
        sys.exit(f"No service answers at {address}; start one with `make run` in another terminal.")
    except httpx.HTTPStatusError as error:
        sys.exit(f"The service refused: {error.response.text}")
    except (httpx.HTTPError, ValueError) as error:
        sys.exit(f"The server at {address} failed, or is not this service: {error}")
    print(said)
    print(f"{stats['total_tasks']} tasks, {stats['total_completed']} of them complete. See {address}/")


if __name__ == "__main__":
    main()
