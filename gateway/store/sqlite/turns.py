"""Whose turn it is at the interpreter while both want it: the writer's, or that of the work that waits in the store.

The writer's thread has to win the interpreter's lock back after every SQLite step, so an event loop that never idles
starves it. What matters is the time in which it needs the interpreter, not the age of a commit: while a commit waits
for the disk the interpreter is free, however slow the disk is.
"""

import asyncio
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Final

#: Between two looks at whether the writer's turn is over, and the shortest turn of the event loop, seconds.
LOOK_S: Final = 0.001


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
