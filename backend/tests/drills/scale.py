"""`make test-scale`: lose machines, one after the other, and look for lost changes.

tests/integration/test_scaling.py runs the same for seconds.
"""

import signal
import sys
import time
from typing import NamedTuple

import httpx

from tests.drills.machines import FRONTEND_URL, Machines, machines
from tests.support.audit import Findings, audit
from tests.support.load import Readers, Writers
from tests.support.waiting import wait_until

LONGEST_GAP_S = 3.0
# How many changes must be acknowledged, however long that takes, between one loss and the next.
CHANGES = 50


class Outcome(NamedTuple):
    """What the callers met, and what the surviving database holds; see `Findings`."""

    changes: int
    reads: int
    errors: list[str]
    longest_gap_s: float
    findings: Findings
    # To a page of the frontend, once no process of the service is left.
    last_answer: httpx.Response


def lose_machines(seconds: float, changes: int) -> Outcome:
    """Lose machines under load, then stop the last service and audit the database that is left.

    At least `seconds` and so many `changes` lie between one loss and the next.
    """
    with machines() as all_of_them:
        with Writers(all_of_them.address) as writers, Readers(all_of_them.address) as readers:
            _lose_one_by_one(all_of_them, writers, seconds, changes)
        all_of_them.services[1].stop()
        return Outcome(
            changes=len(writers.acknowledged),
            reads=readers.answers,
            errors=[*writers.errors, *writers.broken, *["connection refused"] * writers.refused, *readers.errors],
            longest_gap_s=writers.longest_gap_s,
            findings=audit(all_of_them.replica.superuser_url, writers.acknowledged, len(writers.abandoned)),
            last_answer=httpx.get(f"{all_of_them.address}/tasks", headers={"Origin": FRONTEND_URL}),
        )


def _lose_one_by_one(all_of_them: Machines, writers: Writers, seconds: float, changes: int) -> None:
    """Kill the replica's PgBouncer, a process of the service, and the primary; promote the replica at once.

    The replica's PgBouncer is back before the primary is gone.
    """
    primary, replica = all_of_them.primary, all_of_them.replica

    def go_on() -> None:
        time.sleep(seconds)
        writers.wait_for_changes(changes)

    go_on()
    # The replica is synchronous, and both databases are in use.
    assert primary.sync_state() == "sync"
    assert primary.sessions() > 0
    wait_until(replica.sessions)
    replica.kill_pgbouncer()
    go_on()
    replica.start_pgbouncer()
    all_of_them.services[0].stop(signal.SIGKILL)
    go_on()
    primary.fall_silent()
    replica.promote()
    go_on()


def main() -> None:
    """Print the findings; exit with status 1 if a promise was broken."""
    outcome = lose_machines(10, CHANGES)
    for error in outcome.errors:
        print(error)
    print(f"acknowledged changes:   {outcome.changes}, lost: {len(outcome.findings.lost)}")
    print(f"tasks without history:  {len(outcome.findings.orphans)}")
    print(f"made twice:             {len(outcome.findings.twice)}")
    print(f"illegal or miscounted:  {len(outcome.findings.illegal) + len(outcome.findings.miscounted)}")
    print(f"client errors:          {len(outcome.errors)} of {outcome.changes + outcome.reads} requests")
    print(f"longest gap:            {outcome.longest_gap_s:.2f} s without an acknowledged change")
    sys.exit(any(outcome.findings) or bool(outcome.errors) or outcome.longest_gap_s > LONGEST_GAP_S)


if __name__ == "__main__":
    main()
