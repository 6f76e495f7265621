"""The one place that decides whether a failed statement gets another attempt."""

import asyncio
import random
import time

import psycopg2

from src.database.faults import is_schema_outdated, is_transient, is_unavailable, reason_of
from src.exceptions.errors import DatabaseUnavailable, SchemaOutdated
from src.observability.log import PacedWarnings
from src.observability.metrics import repeated_statements

_FIRST_PAUSE_S = 0.02
_LONGEST_PAUSE_S = 0.4


class Retry:
    """Grants a statement further attempts for `budget_s`, with a pause before each.

    A restarting server, a failover and a deadlock are over within seconds, and callers need not hear of
    them. Every statement is safe to repeat; `Database.change` says why. The pauses double, with jitter, so
    that callers who deadlocked or lost the same server do not retry at the same moment
    (https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/).
    """

    def __init__(self, budget_s: float, warnings: PacedWarnings) -> None:
        self._deadline = time.monotonic() + budget_s
        self._pause_s = _FIRST_PAUSE_S
        self._warnings = warnings
        self.is_repeat = False

    async def after(self, failure: psycopg2.Error | TimeoutError) -> None:
        """Return when the next attempt may begin.

        Raises `DatabaseUnavailable` if there is none left or another one would make things worse,
        `SchemaOutdated` if the database lacks the schema of this code, and `failure` itself if the
        statement is at fault.
        """
        is_over = isinstance(failure, TimeoutError) or time.monotonic() > self._deadline
        if isinstance(failure, psycopg2.Error):
            if is_schema_outdated(failure):
                self._warnings.warn(f"The database does not have the schema of this code: {reason_of(failure)}")
                raise SchemaOutdated from failure
            if not is_unavailable(failure):
                raise failure
            is_over = is_over or not is_transient(failure)
        self._warnings.warn(f"The database cannot answer: {reason_of(failure)}")
        if is_over:
            raise DatabaseUnavailable from failure
        await asyncio.sleep(self._pause_s * random.uniform(0.5, 1))  # noqa: S311  # Not a secret.
        self._pause_s = min(2 * self._pause_s, _LONGEST_PAUSE_S)
        self.is_repeat = True
        repeated_statements.inc()
