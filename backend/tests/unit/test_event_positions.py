"""Positions in the stream of events: what a snapshot of PostgreSQL tells, as text and back."""

from uuid import UUID

import pytest

from src.services.event_positions import EventPosition

HISTORY, ENTRY = "7fb2c1a90e54d3f8", "da3c90a6876d446a808157457b5b082c"
LAST = 2**63 - 1


def position(next_transaction: int, *in_progress: int) -> EventPosition:
    return EventPosition(HISTORY, UUID(ENTRY), next_transaction, frozenset(in_progress))


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (position(0), f"{HISTORY}-{ENTRY}-0"),
        (position(1042), f"{HISTORY}-{ENTRY}-1042"),
        (position(1044, 1043), f"{HISTORY}-{ENTRY}-1044-1"),
        (position(1044, 7, 1040), f"{HISTORY}-{ENTRY}-1044-4-1037"),
        (position(LAST, 0), f"{HISTORY}-{ENTRY}-{LAST}-{LAST}"),
    ],
)
def test_a_position_is_a_text_and_comes_back(given: EventPosition, text: str) -> None:
    assert str(given) == text
    assert EventPosition.parse(text) == given


@pytest.mark.parametrize(
    "text",
    [
        "",
        "7",
        HISTORY,
        f"{HISTORY}-{ENTRY}-",
        f"{HISTORY}-10",
        f"{HISTORY}-{ENTRY}-x",
        f"{HISTORY}-{ENTRY}--1",
        f"{HISTORY}-{ENTRY}-10-",
        f"{HISTORY}-{ENTRY}-10-11",
        f"{HISTORY}-{ENTRY}-{LAST + 1}",
        f"{HISTORY}-{ENTRY}-٣",
        f"{HISTORY.upper()}-{ENTRY}-10",
        f"{HISTORY}-{ENTRY}-10\n",
        f" {HISTORY}-{ENTRY}-10",
        f"{HISTORY}-{ENTRY}-10" + "-1" * 101,
    ],
)
def test_anything_else_is_no_position(text: str) -> None:
    assert EventPosition.parse(text) is None


def test_a_position_includes_the_transactions_that_had_ended() -> None:
    here = position(10, 5, 8)
    assert [it for it in range(12) if not here.includes(it)] == [5, 8, 10, 11]


def test_a_history_without_entries_has_a_position() -> None:
    empty = EventPosition(HISTORY, None, 0, frozenset())
    assert str(empty) == f"{HISTORY}--0"
    assert EventPosition.parse(str(empty)) == empty


def test_a_position_with_too_many_transactions_is_none() -> None:
    assert EventPosition.parse(str(position(1000, *range(500, 600)))) == position(1000, *range(500, 600))
    assert EventPosition.parse(str(position(1000, *range(500, 601)))) is None
