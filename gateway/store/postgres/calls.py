"""Calls that wait for a transaction, and how those that wait at the same time share one."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, Generic, TypeVar

from msgspec import Struct

from gateway.store.nouns import NewEvent, Outcome

#: Calls, and bytes of bodies, of one transaction; unless one call has more.
MOST_CALLS: Final = 512
MOST_BYTES: Final = 4 * 1024 * 1024


class Call(Struct, kw_only=True, eq=False):
    """A caller that waits, and its answer."""

    future: asyncio.Future[Any]
    #: When it began to wait, on the loop's clock.
    since: float
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
        return sum(len(new.event.body) for new in self.events)


class Settle(Call, kw_only=True, eq=False):
    outcomes: Sequence[Outcome]


C = TypeVar("C", bound=Call)


class Group(Generic[C]):
    """What waits is carried out together, one transaction after the other."""

    def __init__(self, carry_out: Callable[[Sequence[C]], Awaitable[None]], finish: Callable[[C], None]) -> None:
        """``carry_out`` gives each call its answer or its error; ``finish`` tells the caller."""
        self._carry_out, self._finish = carry_out, finish
        self._waiting: list[C] = []
        self._running: list[C] = []
        self._task: asyncio.Task[None] | None = None

    def add(self, call: C) -> None:
        self._waiting.append(call)
        if self._task is None or self._task.done():
            self._task = call.future.get_loop().create_task(self._run())

    @property
    def is_idle(self) -> bool:
        """Whether nothing waits and nothing is on its way."""
        return not self._waiting and not self._running

    def refuse_late(self, before: float, error: Exception) -> bool:
        """Answer calls that have waited since a moment before, on the loop's clock, with an error; whether there are any.

        What is on its way stays so, and its answer comes to nobody.
        """
        late = [call for call in (*self._running, *self._waiting) if call.since < before and not call.future.done()]
        self._waiting = [call for call in self._waiting if call.since >= before]
        for call in late:
            call.future.set_exception(error)
        return bool(late)

    async def drain(self) -> None:
        """Wait until everything that was added is done."""
        while self._task is not None and not self._task.done():
            await asyncio.wait([self._task])

    def abandon(self) -> None:
        """End as if the process had died."""
        if self._task is not None:
            self._task.cancel()

    async def _run(self) -> None:
        while self._waiting:
            self._running = self._take()
            try:
                await self._carry_out(self._running)
            except Exception as error:  # noqa: BLE001  nobody is left waiting for ever
                for call in self._running:
                    call.error = call.error or error
            done, self._running = self._running, []
            for call in done:
                self._finish(call)

    def _take(self) -> list[C]:
        taken, left = 0, MOST_BYTES
        for call in self._waiting[:MOST_CALLS]:
            left -= call.bytes
            if taken and left < 0:
                break
            taken += 1
        calls, self._waiting = self._waiting[:taken], self._waiting[taken:]
        return calls
