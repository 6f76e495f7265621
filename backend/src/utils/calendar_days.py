"""The calendar of a time zone: when its days begin, as moments in UTC.

Zones come from Python's `zoneinfo`: the system's data where there are any, else those of the package tzdata.
"""

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from functools import cache, lru_cache
from zoneinfo import ZoneInfo, available_timezones

_DAY = timedelta(days=1)

# A day in UTC, and the number of a quarter of an hour in it, from 0.
Quarter = tuple[date, int]


@cache
def zone_names() -> frozenset[str]:
    """Return the names of all IANA time zones. The first call searches the file system, for some 50 ms."""
    # Debian has a file of this name, which is the zone of the machine and not one of IANA's.
    return frozenset(available_timezones() - {"localtime"})


# Most calls are for the present week.
@lru_cache(maxsize=1000)
def first_moment(day: date, zone: ZoneInfo) -> datetime:
    """Return the first moment in `zone` whose date is `day`.

    That is midnight, the first of two if the clock goes back over midnight, or the moment after a gap if the clock
    skips midnight. A day that the clock skips as a whole has no such moment, and gets the first one of the next day.
    Raises `OverflowError` if the moment is in no year from 1 to 9999 in UTC.
    """
    midnight = datetime.combine(day, time(), zone)
    after = midnight.astimezone(UTC)
    if after.astimezone(zone) == midnight:
        return after
    # In a gap, the first of the two offsets leads to a moment at or after its end, and the second to one before it.
    before = midnight.replace(fold=1).astimezone(UTC)
    while (seconds := int((after - before).total_seconds())) > 1:
        middle = before + timedelta(seconds=seconds // 2)
        if middle.astimezone(zone).date() < day:
            before = middle
        else:
            after = middle
    return after


def bounds_of(first: date, last: date, zone: ZoneInfo) -> list[datetime]:
    """Return when the days from `first` to `last` begin in `zone`, and when they are over. Raises as `first_moment`."""
    return [first_moment(first, zone), first_moment(last + _DAY, zone)]


def bounds_of_each(first: date, last: date, zone: ZoneInfo) -> list[datetime]:
    """Return when each day from `first` to `last` begins in `zone`, and when the last is over. Raises as above."""
    return [first_moment(first + number * _DAY, zone) for number in range((last - first).days + 2)]


def week_of(day: date) -> tuple[date, date]:
    """Return the Monday and the Sunday of the week of `day`. Raises `OverflowError` after the last Sunday of 9999."""
    monday = day - day.weekday() * _DAY
    return monday, monday + 6 * _DAY


def quarters(moments: Sequence[datetime]) -> list[Quarter] | None:
    """Return the quarters of an hour that begin at `moments`, which are in UTC; None if at one of them none begins.

    Since 1980, one begins with every day in every zone.
    """
    if any(moment.minute % 15 or moment.second or moment.microsecond for moment in moments):
        return None
    return [(moment.date(), moment.hour * 4 + moment.minute // 15) for moment in moments]
