"""Changes of the same task, of which one at a time asks for a connection."""

import asyncio
from collections import OrderedDict
from uuid import UUID

from src.exceptions.errors import DatabaseUnavailable
from src.observability.log import PacedWarnings

# Those who wait, in the order in which they came. Any of them may leave.
_Line = OrderedDict["asyncio.Future[None]", None]


class Turns:
    """Lets those who change the same task take turns, first come, first served.

    The lock of its row does so as well, but each of them would wait there with a connection: a row
    that somebody holds for long would take the connections of everybody else.
    """

    def __init__(self, patience_s: float, warnings: PacedWarnings) -> None:
        self._patience_s = patience_s
        self._warnings = warnings
        # By task, while somebody has the turn. Few have a line, which takes longer to make than all the rest.
        self._lines: dict[UUID, _Line | None] = {}

    async def begin(self, task_id: UUID) -> None:
        """Wait for the turn to change a task; `end` must follow.

        Raises `DatabaseUnavailable` when the turn has not come within `patience_s`. Nothing is to
        be ended then, nor when the caller is cancelled.
        """
        if task_id in self._lines:
            await self._wait_in_line(task_id)
        else:
            self._lines[task_id] = None

    async def _wait_in_line(self, task_id: UUID) -> None:
        line = self._lines[task_id]
        if line is None:
            line = self._lines[task_id] = OrderedDict()
        turn = asyncio.get_running_loop().create_future()
        line[turn] = None
        try:
            async with asyncio.timeout(self._patience_s):
                await turn
        except BaseException as error:
            line.pop(turn, None)
            if turn.done() and not turn.cancelled():
                # The turn came, and before the event loop told its owner, the time-out or a cancellation.
                self.end(task_id)
            if isinstance(error, TimeoutError):
                self._warnings.warn(f"A task could not be changed: other changes of it took {self._patience_s:g} s")
                raise DatabaseUnavailable from error
            raise

    def end(self, task_id: UUID) -> None:
        """Give the turn to the next in line."""
        line = self._lines[task_id]
        while line:
            turn, _ = line.popitem(last=False)
            # One who was cancelled leaves the line only when the event loop comes round to it.
            if not turn.done():
                turn.set_result(None)
                return
        del self._lines[task_id]
