"""Ids that are derived from what they stand for, so that whoever does a thing again meets the same id.

A request that is sent again, to whichever process, derives the ids of the first one. The primary keys then
refuse to do the work twice, with no table of requests and nothing to expire.
"""

import hashlib
import json
from uuid import UUID, uuid4


def id_of_task(key: str | None) -> UUID:
    """Return the id of the task that a request with this Idempotency-Key creates; without one, a random id."""
    return uuid4() if key is None else _derived("task", key)


def id_of_entry(key: str | None, action: str, task_id: UUID, *content: str | list[str] | None) -> UUID:
    """Return the id of the history entry of a request with this Idempotency-Key; without one, a random id.

    Requests with one key have different entries if their action, their task or their `content` differ.
    """
    return uuid4() if key is None else _derived("entry", key, action, str(task_id), *content)


def id_of_undo(history_id: UUID) -> UUID:
    """Return the id of the entry that undoes the entry `history_id`."""
    return _derived("undo", str(history_id))


def _derived(*parts: str | list[str] | None) -> UUID:
    """Return a hash of `parts`, with the bits of a version 4 (RFC 9562, 5.4)."""
    digest = hashlib.sha256(json.dumps(parts).encode()).digest()
    return UUID(bytes=digest[:16], version=4)
