"""Outcomes on their way to the store, together: those of one turn of the loop, and those that can wait for the next event."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Final

from msgspec import Struct

from gateway import telemetry
from gateway.errors import CorruptEvent, StoreUnavailable
from gateway.model import Event
from gateway.store import Store
from gateway.store.nouns import Outcome

#: How long a store that refuses is left alone before it is asked again, seconds.
STORE_PAUSE_S: Final = 1.0
#: How long an outcome that nothing waits for may wait for a transaction that is made anyway, seconds.
PATIENCE_S: Final = 0.01


class Ended(Struct, frozen=True, kw_only=True):
    """A delivery that has its outcome, and keeps its slot, if it has one, until that is recorded."""

    outcome: Outcome
    event: Event | CorruptEvent | None = None
    #: The result in one of a few words; empty: it was not tried.
    word: str = ""
    #: Bytes that it keeps in memory.
    size: int = 0
    has_slot: bool = True


class Settling:
    """Records outcomes; while the store rejects them it tries again, and says so with ``recording``."""

    def __init__(self, store: Store, ended: Callable[[Ended, bool], None]) -> None:
        """``ended``: called with each once its outcome is recorded (True), or cannot be (False)."""
        self._store = store
        self._ended = ended
        self._waiting: list[Ended] = []
        #: Whether they are about to be given to the store.
        self._is_begun = False
        self._timer: asyncio.TimerHandle | None = None
        #: Batches on their way, each with what is in it.
        self.batches: dict[asyncio.Future[Any], Sequence[Ended]] = {}
        #: Cleared while the store rejects outcomes: what is claimed then would be sent without a record, again and again.
        self.recording = asyncio.Event()
        self.recording.set()

    def add(self, ended: Ended, *, soon: bool) -> None:
        """Record an outcome. ``soon``: its slot is wanted; otherwise it may wait a moment for others."""
        self._waiting.append(ended)
        if soon:
            self.flush()
        elif self._timer is None and not self._is_begun:
            self._timer = asyncio.get_running_loop().call_later(PATIENCE_S, self.record)

    def flush(self) -> None:
        """Record what waits, with whatever else ends in this turn of the loop."""
        if self._waiting and not self._is_begun:
            self._is_begun = True
            asyncio.get_running_loop().call_soon(self.record)

    def record(self) -> None:
        """Give the store what waits."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        batch, self._waiting, self._is_begun = self._waiting, [], False
        if batch:
            self._give(batch)

    # Most outcomes are recorded at once. A task for each batch would be the dearest part of that when few events come.

    def _give(self, batch: Sequence[Ended]) -> "asyncio.Future[frozenset[str]]":
        settling = self._store.settle([each.outcome for each in batch])
        self.batches[settling] = batch
        settling.add_done_callback(self._settled)
        return settling

    def _settled(self, settling: "asyncio.Future[frozenset[str]]") -> None:
        batch = self.batches.pop(settling)
        if settling.cancelled():
            return
        if error := settling.exception():
            left = [*batch]
            task = asyncio.get_running_loop().create_task(self._refused(left, error))
            self.batches[task] = left
            task.add_done_callback(self.batches.pop)
            return
        held = settling.result()
        for each in batch:
            if each.outcome.lease.delivery.id not in held:
                telemetry.log("delivery.lease_lost", delivery_id=each.outcome.lease.delivery.id)
            self._ended(each, True)
        self.recording.set()

    async def _refused(self, batch: list[Ended], error: BaseException) -> None:
        if isinstance(error, StoreUnavailable):
            if self.recording.is_set():
                telemetry.log("store.unavailable", reason=str(error))
            self.recording.clear()
            await asyncio.sleep(STORE_PAUSE_S)
            self._give(batch)
            return
        self.recording.set()
        if len(batch) == 1:
            # Its lease ends, and then it is tried again.
            telemetry.log("internal.error", delivery_id=batch[0].outcome.lease.delivery.id, exc_info=error)
            self._ended(batch[0], False)
            return
        # One of them cannot be stored, and the others can.
        while batch:
            await asyncio.wait([self._give([batch.pop(0)])])

    @property
    def unrecorded(self) -> Sequence[Ended]:
        """Everything that is not recorded yet."""
        return [*self._waiting, *(each for batch in self.batches.values() for each in batch)]
