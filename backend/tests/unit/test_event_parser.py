"""The tests' own parser of Server-Sent Events, by the examples and the rules of the WHATWG."""

import pytest

from tests.support.event_stream import Event, EventParser

STREAMS = [
    ("data: a\n\n", [Event("message", "a", "")]),
    ("data: a\r\rdata: b\r\n\r\n", [Event("message", "a", ""), Event("message", "b", "")]),
    ("\ufeffdata: a\n\n", [Event("message", "a", "")]),
    ("data: YHOO\ndata: +2\ndata: 10\n\n", [Event("message", "YHOO\n+2\n10", "")]),
    (
        ": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n",
        [
            Event("message", "first event", "1"),
            Event("message", "second event", ""),
            Event("message", " third event", ""),
        ],
    ),
    ("data\n\ndata\ndata\n\ndata:", [Event("message", "", ""), Event("message", "\n", "")]),
    (
        "id: 7\n\nevent: change\ndata: a\n\nevent: none\n\ndata: b\n\n",
        [Event("change", "a", "7"), Event("message", "b", "7")],
    ),
    ("id: 7\n\nid: 8\ndata: cut off\n", []),
    ("id: 7\n\nid: a\0b\nunknown: x\n event: x\ndata: a\n\n", [Event("message", "a", "7")]),
    ("data: \u2028\u0085\n\n", [Event("message", "\u2028\u0085", "")]),
]


@pytest.mark.parametrize("size", [1, 2, 3, 1000])
@pytest.mark.parametrize(("text", "events"), STREAMS)
def test_a_stream_is_parsed_however_it_arrives(text: str, events: list[Event], size: int) -> None:
    parser, stream = EventParser(), text.encode()
    assert [
        event for start in range(0, len(stream), size) for event in parser.feed(stream[start : start + size])
    ] == events


def test_the_last_id_counts_from_the_end_of_its_block() -> None:
    parser = EventParser("6")
    parser.feed(b"retry: 3000\nid: 7\n\n:\nretry: 1x\nid: 8\n")
    assert (parser.last_id, parser.retry_ms, parser.comments, parser.blocks) == ("7", 3000, 1, 1)
