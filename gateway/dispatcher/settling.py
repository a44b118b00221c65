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
        #: Batches on their way, or in a pause before the next try; each with what is in it.
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

    def _give(self, batch: Sequence[Ended]) -> None:
        settling = self._store.settle([each.outcome for each in batch])
        self.batches[settling] = batch
        settling.add_done_callback(self._settled)

    def _settled(self, settling: "asyncio.Future[frozenset[str]]") -> None:
        batch = self.batches.pop(settling)
        if settling.cancelled():
            return
        error = settling.exception()
        if isinstance(error, StoreUnavailable):
            self._pause(batch, error)
            return
        self.recording.set()
        if error is not None:
            self._refused(batch, error)
            return
        held = settling.result()
        for each in batch:
            if each.outcome.lease.delivery.id not in held:
                telemetry.log("delivery.lease_lost", delivery_id=each.outcome.lease.delivery.id)
            self._ended(each, True)

    def _refused(self, batch: Sequence[Ended], error: BaseException) -> None:
        if len(batch) == 1:
            # Its lease ends, and then it is tried again.
            telemetry.log("internal.error", delivery_id=batch[0].outcome.lease.delivery.id, exc_info=error)
            self._ended(batch[0], False)
            return
        # One of them cannot be stored, and the others can.
        for each in batch:
            self._give([each])

    def _pause(self, batch: Sequence[Ended], error: StoreUnavailable) -> None:
        if self.recording.is_set():
            telemetry.log("store.unavailable", reason=str(error))
        self.recording.clear()
        pause = asyncio.get_running_loop().create_task(asyncio.sleep(STORE_PAUSE_S))
        self.batches[pause] = batch
        pause.add_done_callback(self._paused)

    def _paused(self, pause: "asyncio.Future[None]") -> None:
        batch = self.batches.pop(pause)
        if not pause.cancelled():
            self._give(batch)

    @property
    def unrecorded(self) -> Sequence[Ended]:
        """Everything that is not recorded yet."""
        return [*self._waiting, *(each for batch in self.batches.values() for each in batch)]
