"""Calls that wait for a transaction, and how those that wait at the same time share one."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, Generic, TypeVar

from msgspec import Struct

from gateway.store.nouns import NewEvent, Outcome

#: Calls, and bytes of bodies, of one transaction; unless one call has more.
MOST_CALLS: Final = 512
MOST_BYTES: Final = 4 * 1024 * 1024
#: Calls that are worth a transaction beside those that are on their way: with fewer, its own cost is what they would save.
WORTH_IT: Final = 128


class Call(Struct, kw_only=True, eq=False):
    """A caller that waits, and its answer."""

    future: asyncio.Future[Any]
    answer: Any = None
    error: Exception | None = None

    @property
    def bytes(self) -> int:
        return 0


class Append(Call, kw_only=True, eq=False):
    events: Sequence[NewEvent]
    replica: str

    @property
    def bytes(self) -> int:
        total = 0
        for new in self.events:
            total += len(new.event.body)
        return total


class Settle(Call, kw_only=True, eq=False):
    outcomes: Sequence[Outcome]


C = TypeVar("C", bound=Call)


class Group(Generic[C]):
    """What waits is carried out together: in one transaction after the other, and in several at a time if it is much.

    While the server carries out one of them, the next is put together: that keeps both busy.
    """

    def __init__(
        self, carry_out: Callable[[Sequence[C]], Awaitable[None]], finish: Callable[[C], None], *, width: int = 1
    ) -> None:
        """``carry_out`` gives each call its answer or its error; ``finish`` tells the caller; ``width``: the most at a time."""
        self._carry_out, self._finish, self._width = carry_out, finish, width
        self._waiting: list[C] = []
        self._running: list[Sequence[C]] = []
        self._tasks: set[asyncio.Task[None]] = set()

    def add(self, call: C) -> None:
        self._waiting.append(call)
        running = len(self._tasks)
        if not running or (running < self._width and len(self._waiting) >= WORTH_IT * running):
            self._tasks.add(call.future.get_loop().create_task(self._run()))

    @property
    def is_idle(self) -> bool:
        """Whether nothing waits and nothing is on its way."""
        return not self._waiting and not self._running

    def refuse(self, error: Exception) -> bool:
        """Answer every call with an error; whether there are any.

        What is on its way stays so, and its answer comes to nobody.
        """
        refused = [call for calls in (*self._running, self._waiting) for call in calls if not call.future.done()]
        self._waiting = []
        for call in refused:
            call.future.set_exception(error)
        return bool(refused)

    async def drain(self) -> None:
        """Wait until everything that was added is done."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    def abandon(self) -> None:
        """End as if the process had died."""
        for task in self._tasks:
            task.cancel()

    async def _run(self) -> None:
        while self._waiting and (not self._running or len(self._waiting) >= WORTH_IT):
            calls = self._take()
            self._running.append(calls)
            try:
                await self._carry_out(calls)
            except Exception as error:  # noqa: BLE001  nobody is left waiting for ever
                for call in calls:
                    call.error = call.error or error
            self._running.remove(calls)
            for call in calls:
                self._finish(call)
        # At once, and not when the loop sees that it is done: what is added meanwhile needs another one.
        self._tasks -= {asyncio.current_task()}

    def _take(self) -> Sequence[C]:
        """The calls that have waited longest: with others that begin now, a share of all."""
        share = -(-len(self._waiting) // (self._width - len(self._running)))
        taken, left = 0, MOST_BYTES
        for call in self._waiting[: min(MOST_CALLS, max(WORTH_IT, share))]:
            left -= call.bytes
            if taken and left < 0:
                break
            taken += 1
        calls, self._waiting = self._waiting[:taken], self._waiting[taken:]
        return calls
