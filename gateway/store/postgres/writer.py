"""Events on their way in and outcomes on their way back: what waits at the same time is one transaction."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Collection, Iterable, Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from typing import Any, Final

from msgspec.structs import replace

from gateway import telemetry
from gateway.errors import StoreError, StoreUnavailable
from gateway.model import Release
from gateway.store.nouns import Appended, Lease, NewEvent, Outcome, Want
from gateway.store.postgres.appends import append, has_order
from gateway.store.postgres.calls import Append, Call, Group, Settle
from gateway.store.postgres.connections import Line, again
from gateway.store.postgres.outcomes import Claimant, Claimed, Settled, claim, settle, were_recorded
from gateway.store.postgres.presence import Presence
from gateway.store.postgres.rows import fence_of

#: Transactions of new events at a time.
APPENDING: Final = 2


class Writer:
    """Appends, claims and settles of one process."""

    def __init__(self, presence: Presence) -> None:
        self._presence = presence
        self._loop = asyncio.get_running_loop()
        self._lines = [Line(presence.address) for _ in range(2 + APPENDING)]
        self._settling, self._claiming, *self._appending = self._lines
        #: Held while events with a place in an order are stored: of those, what came first is first.
        self._in_order = asyncio.Lock()
        self._appends: Group[Append] = Group(self._append, self._finish, width=APPENDING)
        self._settles: Group[Settle] = Group(self._settle, self._finish)
        #: Tokens of leases whose outcomes may have been recorded although the caller got an error.
        self._uncertain: set[int] = set()
        #: Leases that are being given back because their caller has gone.
        self._returning: set[asyncio.Future[Any]] = set()

    # asked by callers

    def append(self, events: Sequence[NewEvent], replica: str) -> "asyncio.Future[Sequence[Appended]]":
        """As in the contract."""
        call = Append(future=self._loop.create_future(), events=events, replica=replica)
        if refusal := self._presence.refusal:
            call.future.set_exception(refusal)
        else:
            self._appends.add(call)
        return call.future

    async def claim(self, replica: str, wants: Mapping[str, Want]) -> Sequence[Lease]:
        """As in the contract."""
        if self._returning:
            await asyncio.wait(self._returning)
        claiming = self._loop.create_task(self._claim(replica, wants))
        try:
            return await asyncio.shield(claiming)
        except asyncio.CancelledError:
            self._return(self._unclaim(claiming))
            raise

    def settle(self, outcomes: Sequence[Outcome]) -> "asyncio.Future[frozenset[str]]":
        """As in the contract."""
        call = Settle(future=self._loop.create_future(), outcomes=outcomes)
        # Also while the database is believed to be away: what is not recorded in time is sent again.
        if self._presence.is_closed and (refusal := self._presence.refusal):
            call.future.set_exception(refusal)
        else:
            self._settles.add(call)
        return call.future

    @property
    def is_idle(self) -> bool:
        """Whether nothing is on its way."""
        return self._appends.is_idle and self._settles.is_idle

    def refuse(self, error: StoreUnavailable) -> None:
        """Answer everything that waits."""
        self._appends.refuse(error)
        self._settles.refuse(error)

    async def close(self) -> None:
        """Carry out what was asked for."""
        while not (self.is_idle and not self._returning):
            await self._appends.drain()
            await self._settles.drain()
            if self._returning:
                returned, _ = await asyncio.wait(self._returning)
                self._returning -= returned
        for line in self._lines:
            await line.close()

    # carried out

    async def _append(self, calls: Sequence[Append]) -> None:
        async with self._in_order if has_order(calls) else nullcontext():
            line = self._appending.pop()
            try:
                await self._append_on(line, calls)
            finally:
                self._appending.append(line)

    async def _append_on(self, line: Line, calls: Sequence[Append]) -> None:
        began = self._loop.time()
        try:
            given = (self._presence.number, calls, self._presence.hints.due_since)
            added = await again(lambda: append(line, *given))
        except StoreUnavailable as error:
            self._presence.is_away(error)
            _answer(calls, error)
        except StoreError as error:
            # Which of them cannot be stored?
            for call in calls if len(calls) > 1 else ():
                await self._append_on(line, [call])
            if len(calls) == 1:
                calls[0].error = error
        else:
            telemetry.COMMIT_SECONDS.observe(self._loop.time() - began)
            self._presence.pending += added.pending
            for lease in added.leases:
                self._presence.hints.granted(lease, added.now, added.now)
            self._presence.tell(dict.fromkeys(added.due, added.now))
            self._presence.come_up(added.later)
            for call, answer in zip(calls, added.answers, strict=True):
                call.answer = answer
                if answer is None:
                    await self._append_on(line, [call])

    async def _claim(self, replica: str, wants: Mapping[str, Want]) -> Sequence[Lease]:
        hints = self._presence.hints
        claimant = Claimant(self._presence.number, replica, hints.due_since)
        claimed: list[Claimed] = []
        while wants:
            with hints.asking() as asking:
                claims = await self._presence.asked(partial(claim, self._claiming, claimant, wants))
                hints.claimed(asking, claims.reached)
            for each in claims.leases:
                hints.granted(each.lease, each.due, each.now)
            claimed += claims.leases
            # What leases that have run out were for was due before the bound.
            wants = _left(wants, claims.leases, hints.run_out(claims.now))
        return [each.lease for each in sorted(claimed, key=lambda each: each.due)]

    async def _unclaim(self, claiming: "asyncio.Task[Sequence[Lease]]") -> None:
        await self._give_back(await claiming)

    async def _settle(self, calls: Sequence[Settle]) -> None:
        # The first outcome of a lease counts.
        outcomes = {outcome.lease.token: outcome for call in reversed(calls) for outcome in reversed(call.outcomes)}
        try:
            # In their own order: what is remembered last stays.
            settled = await again(lambda: self._record(list(reversed(outcomes.values()))))
        except StoreUnavailable as error:
            self._presence.is_away(error)
            _answer(calls, error)
            return
        except StoreError as error:
            for call in calls if len(calls) > 1 else ():
                await self._settle([call])
            if len(calls) == 1:
                calls[0].error = error
            return
        self._presence.pending -= settled.ended
        self._presence.hints.ended(outcomes)
        self._presence.come_up(settled.retried)
        self._presence.tell(settled.due)
        left = {token for token in outcomes if fence_of(token)[0] in settled.held}
        for call in calls:
            mine = [each.lease for each in call.outcomes if each.lease.token in left]
            left -= {lease.token for lease in mine}
            call.answer = frozenset(lease.delivery.id for lease in mine)

    async def _record(self, outcomes: Sequence[Outcome]) -> Settled:
        try:
            settled = await settle(self._settling, outcomes)
        except StoreUnavailable:
            self._uncertain |= {outcome.lease.token for outcome in outcomes}
            raise
        if not self._uncertain:
            return settled
        tokens = {outcome.lease.token for outcome in outcomes}
        if uncertain := self._uncertain & tokens:
            lost = [each for each in outcomes if each.lease.token in uncertain and _seq(each) not in settled.held]
            settled.held |= await were_recorded(self._settling, lost) if lost else set()
            self._uncertain -= tokens
        return settled

    def _finish(self, call: Call) -> None:
        if not call.future.done():
            if call.error is None:
                call.future.set_result(call.answer)
            else:
                call.future.set_exception(call.error)
        elif isinstance(call, Settle) and call.error is None:
            # The caller was told that the database is away, and will ask again.
            self._uncertain |= {outcome.lease.token for outcome in call.outcomes}
        elif isinstance(call, Append) and call.answer:
            # The caller has gone: nobody else knows of the leases that it was granted.
            leases = [lease for appended in call.answer for lease in appended.leases]
            self._return(self._give_back(leases))

    def _return(self, giving_back: Awaitable[None]) -> None:
        task = asyncio.ensure_future(giving_back)
        self._returning.add(task)
        task.add_done_callback(self._returned)

    def _returned(self, task: "asyncio.Future[None]") -> None:
        self._returning.discard(task)
        if not task.cancelled():
            # Should the database refuse, the leases run out.
            task.exception()

    async def _give_back(self, leases: Iterable[Lease]) -> None:
        if outcomes := [Outcome(lease, Release()) for lease in leases]:
            call = Settle(future=self._loop.create_future(), outcomes=outcomes)
            self._settles.add(call)
            await call.future


def _left(wants: Mapping[str, Want], claimed: Iterable[Claimed], among: Collection[str]) -> Mapping[str, Want]:
    """What was wanted and not claimed."""
    taken = Counter(each.lease.delivery.destination for each in claimed)
    left = {name: want.slots - taken[name] for name, want in wants.items() if name in among}
    return {name: replace(wants[name], slots=slots) for name, slots in left.items() if slots > 0}


def _answer(calls: Sequence[Call], error: Exception) -> None:
    for call in calls:
        call.error = error


def _seq(outcome: Outcome) -> int:
    return fence_of(outcome.lease.token)[0]
