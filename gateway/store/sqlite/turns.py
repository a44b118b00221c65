"""Whose turn it is at the interpreter while both want it: the writer's, or that of the work that waits in the store.

The writer's thread has to win the interpreter's lock back after every SQLite step, so an event loop that never idles
starves it. What matters is the time in which it needs the interpreter, not the age of a commit: while a commit waits
for the disk the interpreter is free, however slow the disk is.
"""

import asyncio
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from typing import Final

#: Between two looks at whether the writer's turn is over, and the shortest turn of the event loop, seconds.
LOOK_S: Final = 0.001
#: After a commit the loop may answer, and ask for more, before the next one begins: for this part of what the commit took.
LOOP_SHARE: Final = 0.25
#: A quicker commit than this is followed by the next one at once, seconds.
QUICK_S: Final = 0.004
#: Turns of the loop from the end of a commit until whoever was answered has asked for more: the answer, the caller,
#: and those whom the caller wakes.
ROUNDS: Final = 3


class Turns:
    """Gives the event loop as much time as it has just waited for the writer."""

    def __init__(self) -> None:
        self._is_free = False
        #: The number of turns that the writer has ended.
        self._ended = 0
        #: Until when the loop need not wait again, on the monotonic clock.
        self._loop_until = 0.0

    @contextmanager
    def free(self) -> Generator[None]:
        """While inside, the writer's thread does without the interpreter; its turn is over. For that thread."""
        self._ended += 1
        self._is_free = True
        try:
            yield
        finally:
            self._is_free = False

    async def wait(self, is_wanted: Callable[[], bool]) -> None:
        """Return when it is the event loop's turn. ``is_wanted``: whether there is anything for the writer to do."""
        began = time.monotonic()
        if began < self._loop_until:
            return
        ended, waited = self._ended, False
        while is_wanted() and not self._is_free and self._ended == ended:
            waited = True
            await asyncio.sleep(LOOK_S)
        if waited:
            now = time.monotonic()
            self._loop_until = now + max(now - began, LOOK_S)


class Pause:
    """Between two commits: those who were answered ask for more, so that they need not wait for another commit first."""

    def __init__(self, loop: asyncio.AbstractEventLoop, turns: Turns) -> None:
        self._loop = loop
        self._turns = turns
        self._is_over = threading.Event()

    def after(self, took_s: float) -> None:
        """Wait for the loop, after a commit that took so long. For the writer's thread."""
        if took_s > QUICK_S:
            self._is_over.clear()
            # The loop may have ended without closing the store.
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._round, ROUNDS)
            with self._turns.free():
                self._is_over.wait(took_s * LOOP_SHARE)

    def _round(self, left: int) -> None:
        if left:
            self._loop.call_soon(self._round, left - 1)
        else:
            self._is_over.set()
