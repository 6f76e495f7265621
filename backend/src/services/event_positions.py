"""Positions in the stream of new entries, which callers keep and hand back to get what they missed.

Entries are not committed in the order of their times or ids, and any amount of time may lie between the insertion
of an entry and its commit. So a position is made of a snapshot of PostgreSQL, which tells of every transaction
whether its entries were visible (https://www.postgresql.org/docs/current/functions-info.html#FUNCTIONS-PG-SNAPSHOT).

After a crash, the server may give the ids of transactions that were not committed to others. So a position ends at
the last transaction with an entry: what was committed is on disk, and no later transaction gets its id or one before.
As long as that entry is there, with that transaction, the position holds. It is gone if the database was set back.
"""

import re
from typing import NamedTuple, Self
from uuid import UUID

_LAST_TRANSACTION = 2**63 - 1
# Callers send positions back in a header, and get them with each event. With more write transactions at once, whoever
# comes back reads everything again.
_MOST_IN_PROGRESS = 100
_POSITION = re.compile(
    rf"([0-9a-f]{{16}})-([0-9a-f]{{32}})?-(\d{{1,19}})((?:-\d{{1,19}}){{0,{_MOST_IN_PROGRESS}}})", re.ASCII
)


class EventPosition(NamedTuple):
    """Which entries a listener has been told of: those of all transactions that had ended at some moment.

    `history` identifies the history: a failover or a restore begins another one. `last_entry` is an entry of the
    last transaction, if there is any. The listener knows nothing of `next_transaction` and later ones, nor of those
    `in_progress`.
    """

    history: str
    last_entry: UUID | None
    next_transaction: int
    in_progress: frozenset[int]

    def __str__(self) -> str:
        if len(self.in_progress) > _MOST_IN_PROGRESS:
            # No position: a caller who comes back with it reads everything again.
            return self.history
        entry = self.last_entry.hex if self.last_entry else ""
        ages = sorted(self.next_transaction - it for it in self.in_progress)
        return "-".join([self.history, entry, str(self.next_transaction), *map(str, ages)])

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Return the position that a caller hands back, or None if `text` is none."""
        found = _POSITION.fullmatch(text)
        if found is None:
            return None
        following = int(found[3])
        in_progress = [following - int(age) for age in found[4].split("-")[1:]]
        if following > _LAST_TRANSACTION or min(in_progress, default=0) < 0:
            return None
        return cls(found[1], UUID(found[2]) if found[2] else None, following, frozenset(in_progress))

    def includes(self, transaction_id: int) -> bool:
        """Whether the listener has been told of the entries of this transaction."""
        return transaction_id < self.next_transaction and transaction_id not in self.in_progress
