"""The thread that owns the file: it takes what waits, carries it out in one transaction, and hands the answers back."""

import asyncio
import queue
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Final

from gateway.errors import StoreCorrupt, StoreError
from gateway.store.sqlite.calls import Append, Call, Claim, EmptyLog
from gateway.store.sqlite.database import Database
from gateway.store.sqlite.snapshots import Snapshots
from gateway.store.sqlite.turns import Pause

#: Seconds between two looks at the disk while there is nothing to write, and between two tries to open the file again.
RETRY_S: Final = 1.0
#: ... after it was found to be damaged.
DAMAGED_RETRY_S: Final = 60.0
#: After a transaction for several senders the next one waits for so long for others to share it, seconds.
GATHER_S: Final = 0.002


class Writer:
    """Starts the thread. Its methods are for the event loop."""

    def __init__(
        self,
        database: Database,
        snapshots: Snapshots,
        loop: asyncio.AbstractEventLoop,
        finish: Callable[[Sequence[Call], float], None],
    ) -> None:
        """``finish``: called on the loop with calls that have their answer, and from when on no hint has named what is due."""
        self._database = database
        self._snapshots = snapshots
        self._loop = loop
        self._finish = finish
        self._queue: queue.SimpleQueue[Sequence[Call] | None] = queue.SimpleQueue()
        #: Whether several senders waited for the last transaction, so that more of them may come in a moment.
        self._is_busy = False
        #: Those that another program, which has the file locked, keeps waiting.
        self._waiting: Sequence[Call] = ()
        self._pause = Pause(loop, database.turns)
        self._closed: asyncio.Future[None] | None = None
        self._next_look = 0.0
        self._next_fit = time.monotonic() + RETRY_S
        threading.Thread(target=self._run, name="store", daemon=True).start()

    def submit(self, calls: Sequence[Call]) -> None:
        """Have calls carried out with whatever else waits."""
        self._queue.put(calls)

    @property
    def is_closed(self) -> bool:
        """Whether nothing may be submitted any more."""
        return self._closed is not None

    async def close(self) -> None:
        """Carry out what was submitted, and let go of the file."""
        if self._closed is None:
            self._closed = self._loop.create_future()
            self._queue.put(None)
        await asyncio.shield(self._closed)

    # on the thread

    def _run(self) -> None:
        while (calls := self._take()) is not None:
            self._look_at_disk()
            self._database.file.tend_log(is_awaited=any(isinstance(call, Append) for call in calls))
            # Claims first: they need not wait for the disk.
            self._serve([call for call in calls if isinstance(call, Claim)], self._database.read)
            began = time.monotonic()
            self._write([call for call in calls if not isinstance(call, Claim | EmptyLog)])
            self._pause.after(time.monotonic() - began)
            self._serve([call for call in calls if isinstance(call, EmptyLog)], self._database.read)
            self._fit_reserve()
        while self._waiting:
            self._write([])
        try:
            self._snapshots.close()
            self._database.file.close()
        finally:
            self._on_loop(self._set_closed)

    def _take(self) -> list[Call] | None:
        """Everything that waits, the oldest first; nothing when it is time to look at the disk; None at the end."""
        try:
            taken = self._queue.get(timeout=0 if self._waiting else RETRY_S)
        except queue.Empty:
            return []
        if taken is not None and self._is_busy:
            self._gather(taken)
        calls: list[Call] = []
        while taken is not None:
            calls += taken
            try:
                taken = self._queue.get_nowait()
            except queue.Empty:
                self._is_busy = sum(isinstance(call, Append) for call in calls) > 1
                return calls
        if calls:
            self._queue.put(None)
        return calls or None

    def _gather(self, first: Sequence[Call]) -> None:
        """Wait a moment for others to share the transaction, unless a claim waits or its first sender has waited already."""
        left_s = first[0].since + GATHER_S - time.monotonic()
        if left_s > 0 and not any(isinstance(call, Claim) for call in first):
            with self._database.turns.free():
                time.sleep(left_s)

    def _look_at_disk(self) -> None:
        if time.monotonic() < self._next_look:
            return
        self._next_look = time.monotonic() + RETRY_S
        file = self._database.file
        if file.is_lost() or file.trouble:
            try:
                self._database.reopen()
                self._on_loop(self._finish, (), self._database.records.take_moment())
            except StoreCorrupt as error:
                file.find_damage(str(error))
                # It does not mend itself.
                self._next_look += DAMAGED_RETRY_S
            except StoreError:
                pass

    def _fit_reserve(self) -> None:
        """Not at once after the start: a store that is opened for a moment needs none."""
        if self._database.file.healthy and time.monotonic() >= self._next_fit:
            self._next_fit = time.monotonic() + RETRY_S
            self._database.file.reserve.fit(self._database.records.pending)

    def _write(self, calls: Sequence[Call]) -> None:
        # Those that another program kept waiting came first.
        if writes := [*self._waiting, *calls]:
            self._waiting = self._serve(writes, self._database.write)

    def _serve(self, calls: Sequence[Call], carry_out: Callable[[Any], Sequence[Call]]) -> Sequence[Call]:
        """Have calls carried out and answer them, but for those that have to be given again: these are returned."""
        waiting: Sequence[Call] = ()
        if not calls:
            return waiting
        try:
            waiting = carry_out(calls)
        except Exception as error:  # noqa: BLE001  a bug: nobody is left waiting for ever
            for call in calls:
                call.error = call.error or error
        left = set(waiting)
        answered = [call for call in calls if call not in left]
        self._on_loop(self._finish, answered, self._database.records.take_moment())
        return waiting

    def _on_loop(self, callback: Callable[..., None], *arguments: Any) -> None:
        # The loop may have ended without closing the store.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(callback, *arguments)

    def _set_closed(self) -> None:
        assert self._closed is not None
        self._closed.set_result(None)
