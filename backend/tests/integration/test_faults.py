"""The service under faults: the drills of `make torture`, for seconds."""

import pytest

from tests.drills import faults
from tests.support.pgbouncer import PROGRAM as PGBOUNCER

needs_pgbouncer = pytest.mark.skipif(PGBOUNCER is None, reason="pgbouncer is not installed (apt-get install pgbouncer)")


def assert_flawless(outcome: faults.Outcome) -> None:
    assert outcome.changes > 0
    assert outcome == faults.Outcome(outcome.changes, errors=0, lost=0, illegal=0, orphans=0, miscounted=0, twice=0)


def test_callers_do_not_notice_restarts_of_the_database() -> None:
    assert_flawless(faults.restart_database(3))


@needs_pgbouncer
def test_callers_do_not_notice_restarts_of_the_database_behind_pgbouncer() -> None:
    assert_flawless(faults.restart_database(3, through_pgbouncer=True))


def test_a_killed_service_loses_no_acknowledged_change() -> None:
    assert_flawless(faults.kill_service(2))


def test_requests_in_flight_are_answered_after_sigterm() -> None:
    assert_flawless(faults.terminate_service(2))


def test_a_thousand_racing_callers_leave_a_legal_history() -> None:
    assert_flawless(faults.race_for_a_task(1))
