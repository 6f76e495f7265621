"""`make demo`: fills a running service with a month of example tasks, through its public API.

Callers of the API cannot set times, so everything happens now, which makes for a busy week.
"""

import random
import sys
from argparse import ArgumentParser
from typing import Any

import httpx
from rich.progress import track

from config import ConfigurationError, load_settings

WEEKS = range(44, 48)
EVERY_WEEK = [
    ("Plan week {week}", "What must be done by Friday, and what may wait"),
    ("Write the report on week {week}", None),
    ("Prepare the team meeting of week {week}", "Agenda, numbers, open questions"),
    ("Review open pull requests, week {week}", None),
    ("Water the office plants, week {week}", "The fern needs more than the others"),
    ("Send the invoices of week {week}", "Check the new tax numbers"),
    ("Back up the laptop, week {week}", None),
]
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
EDITS: list[dict[str, str]] = [
    {"description": "Done by half; the rest tomorrow"},
    {"description": "Waiting for an answer"},
    {"description": "Moved to the afternoon"},
    {"description": ""},
]


def month(chance: random.Random) -> list[tuple[str, str | None]]:
    """Return the titles and descriptions of a month's tasks."""
    every_week = [(title.format(week=week), text) for week in WEEKS for title, text in EVERY_WEEK]
    once = [(title + again, text) for again in ("", ", once more") for title, text in ONCE]
    return chance.sample(every_week + once, len(every_week + once))


def call(service: httpx.Client, method: str, path: str, json: object = None) -> Any:
    """Return the `data` of a success. Raises `httpx.HTTPError`."""
    response = service.request(method, path, json=json)
    response.raise_for_status()
    return response.json()["data"]


def is_filled(service: httpx.Client) -> bool:
    """Tell whether the service already has tasks of the demo."""
    titles = {title.format(week=week) for week in WEEKS for title, _ in EVERY_WEEK}
    return any(task["title"] in titles for task in call(service, "GET", "/tasks"))


def fill(service: httpx.Client) -> None:
    """Create a month's tasks, and work on them as a person would. Raises `httpx.HTTPError` at the first failure."""
    chance = random.Random(2026)  # noqa: S311  # The same month at every run.
    for title, description in track(month(chance), "A month of tasks"):
        path = f"/tasks/{call(service, 'POST', '/tasks', {'title': title, 'description': description})['id']}"
        if chance.random() < 0.35:
            call(service, "PUT", path, chance.choice(EDITS))
        if chance.random() < 0.65:
            call(service, "PATCH", f"{path}/complete")
            if chance.random() < 0.1:
                call(service, "PATCH", f"{path}/incomplete")
        if chance.random() < 0.08:
            call(service, "DELETE", path)


def main() -> None:
    """Fill the service that the environment and `backend/.env` configure, or the one at the given address."""
    try:
        settings = load_settings()
    except ConfigurationError as error:
        sys.exit(str(error))
    parser = ArgumentParser(prog="python demo.py", description=main.__doc__)
    parser.add_argument("address", nargs="?", default=f"http://127.0.0.1:{settings.port}", help="default: %(default)s")
    parser.add_argument("--again", action="store_true", help="add another month to a service that already has one")
    given = parser.parse_args()
    address = given.address
    headers = {"Authorization": f"Bearer {settings.api_key[0].get_secret_value()}"} if settings.api_key else {}
    try:
        with httpx.Client(base_url=address, headers=headers) as service:
            if not given.again and is_filled(service):
                print(f"{address} has the demo's tasks already. To add another month: make demo AGAIN=yes")
                return
            fill(service)
            stats = call(service, "GET", "/stats/weekly")
    except httpx.ConnectError:
        sys.exit(f"No service answers at {address}; start one with `make run` in another terminal.")
    except httpx.HTTPStatusError as error:
        sys.exit(f"The service refused: {error.response.text}")
    except (httpx.HTTPError, ValueError) as error:
        sys.exit(f"The server at {address} failed, or is not this service: {error}")
    print(f"{stats['total_tasks']} tasks, {stats['total_completed']} of them complete. See {address}/history")


if __name__ == "__main__":
    main()
