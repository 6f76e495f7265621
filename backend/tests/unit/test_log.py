"""PacedWarnings: the same warning is logged at most once a second."""

import logging

import pytest

from src.observability.log import PacedWarnings


class Clock:
    """A clock that stands still until a test sets it."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def warnings(clock: Clock) -> PacedWarnings:
    return PacedWarnings(logging.getLogger("test"), clock)


def test_a_warning_is_logged_once_a_second_with_the_number_of_those_left_out(
    warnings: PacedWarnings, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    for clock.now in (0, 0.1, 0.999, 1, 1.5, 2.1, 10, 20):
        warnings.warn("It fails")
    assert caplog.messages == [
        "It fails",
        "It fails (2 more since the last such line)",
        "It fails (1 more since the last such line)",
        "It fails",
        "It fails",
    ]
    assert {record.levelname for record in caplog.records} == {"WARNING"}


def test_different_warnings_do_not_suppress_each_other(
    warnings: PacedWarnings, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    for warning in ("One", "Other", "One", "Other"):
        warnings.warn(warning)
    assert caplog.messages == ["One", "Other"]


def test_a_percent_sign_is_logged_as_it_is(warnings: PacedWarnings, caplog: pytest.LogCaptureFixture) -> None:
    warnings.warn("100 %s")
    assert caplog.messages == ["100 %s"]


def test_only_the_last_hundred_warnings_are_remembered(warnings: PacedWarnings) -> None:
    for number in range(1000):
        warnings.warn(f"File {number} is full")
    assert len(warnings._logged) == 100
