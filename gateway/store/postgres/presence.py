"""One process among the replicas of a database: whether the database is there, and what replicas report to each other."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Final, TypeVar

from gateway.errors import StoreUnavailable
from gateway.store.postgres import statements as sql
from gateway.store.postgres.address import Address
from gateway.store.postgres.connections import Line, again, translated
from gateway.store.postgres.hints import Hints
from gateway.store.postgres.news import News, Subject
from gateway.store.postgres.watching import Watch

T = TypeVar("T")

#: Seconds between two looks whether the database is there.
LOOK_S: Final = 1.0
#: Looks that a busy process leaves out before it takes over how many deliveries are pending.
MOST_SKIPPED: Final = 3
#: How long a call may wait before the database is asked whether it is there, and how long it may take to answer, seconds.
PATIENCE_S: Final = 0.25
ANSWER_S: Final = 0.75


class Presence:
    """What everything that this process asks of the database has in common."""

    def __init__(self, address: Address, number: int, pending: int) -> None:
        self.address, self.number = address, number
        #: Pending deliveries: what this process knows, and once a second what others have stored.
        self.pending = pending
        self.hints = Hints()
        self.watch = Watch(Line(address), self.hints)
        #: Why nothing can be stored; empty: it can.
        self.trouble = ""
        self.is_closed = False
        self._news = News(address, number, hear=self.watch.hear, hear_of=self._hear_of)
        #: Called when another replica may have changed something.
        self._listeners: dict[Subject, Callable[[], None]] = {}
        self._probe = Line(address)
        self._loop = asyncio.get_running_loop()
        self._tasks: Sequence[asyncio.Task[None]] = ()

    async def begin(self, is_idle: Callable[[], bool], refuse_all: Callable[[StoreUnavailable], None]) -> None:
        """Listen to the others, and look after the database from now on.

        ``is_idle``: whether nothing is on its way to be stored. ``refuse_all`` answers whatever is.
        """
        with suppress(StoreUnavailable):
            await self._news.attend()
        loops = (self._tend(is_idle), self._look_for_answers(is_idle, refuse_all))
        self._tasks = [self._loop.create_task(each) for each in loops]

    async def end(self) -> None:
        """Look after it no more."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._news.close()
        await self.watch.close()
        await self._probe.close()

    # what is due

    def tell(self, since: Mapping[str, float]) -> None:
        """Report destinations with something due, and since when, to this process and the others."""
        self.watch.hear(since)
        self._news.tell(since)

    def come_up(self, waiting: Iterable[tuple[str, float]]) -> None:
        """They have something due later."""
        for destination, due in waiting:
            self.hints.come_up(destination, due)

    # what else has changed

    def listen(self, subject: Subject, heard: Callable[[], None]) -> None:
        """``heard`` is called when another replica may have changed it."""
        self._listeners[subject] = heard

    def tell_of(self, subject: Subject) -> None:
        """Report to the other replicas that it was changed here."""
        self._news.tell_of(subject)

    def _hear_of(self, subject: Subject) -> None:
        self._listeners[subject]()

    # whether it is there

    @property
    def refusal(self) -> StoreUnavailable | None:
        """Why nothing is asked of the database now."""
        if self.is_closed:
            return StoreUnavailable("the store is closed: the gateway is stopping")
        return StoreUnavailable(self.trouble) if self.trouble else None

    def refuse(self) -> None:
        """Raise it."""
        if refusal := self.refusal:
            raise refusal

    def is_away(self, error: StoreUnavailable) -> None:
        """It has just been found to be away. The latest reason counts."""
        self.trouble = str(error)

    async def asked(self, work: Callable[[], Awaitable[T]]) -> T:
        """Ask something of the database, again if another transaction was in the way."""
        self.refuse()
        try:
            return await again(work)
        except StoreUnavailable as error:
            self.is_away(error)
            raise

    async def _tend(self, is_idle: Callable[[], bool]) -> None:
        """See whether it is there, and what others have stored."""
        skipped = 0
        while True:
            try:
                await self._news.attend()
                was, was_idle = self.pending, is_idle()
                pending = await self._ask(sql.PENDING, LOOK_S)
                # What is on its way may be counted or not, so that a busy process has to be content with about the number.
                skipped = 0 if was_idle and is_idle() and was == self.pending else skipped + 1
                if skipped in (0, MOST_SKIPPED):
                    self.pending, skipped = pending + self.pending - was, 0
                self.trouble = ""
            except StoreUnavailable as error:
                self.is_away(error)
            await asyncio.sleep(LOOK_S)

    async def _look_for_answers(
        self, is_idle: Callable[[], bool], refuse_all: Callable[[StoreUnavailable], None]
    ) -> None:
        """Refuse calls that wait for a database that does not answer; what they asked for may still be done.

        All of them, also those that have only just begun to wait: so each has its answer within a second.
        """
        while True:
            await asyncio.sleep(PATIENCE_S)
            if is_idle():
                continue
            try:
                await self._ask(sql.NOW, ANSWER_S)
            except StoreUnavailable as error:
                self.is_away(error)
                refuse_all(error)

    async def _ask(self, statement: str, within_s: float) -> int:
        """A number, soon. Raises StoreUnavailable."""
        async with translated(self.address), asyncio.timeout(within_s), self._probe.alone() as connection:
            return int(await connection.fetchval(statement))
