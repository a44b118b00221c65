"""How late the event loop is, and what it was doing: measured on the loop, and looked at from a thread beside it.

Everything waits while one piece of work runs on the loop. A thread that notices this looks at the stack of the loop's
thread, so that the log names the functions and lines that ran, and never the values they ran on.
"""

import asyncio
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import PurePath
from types import FrameType
from typing import Final

from gateway import telemetry

#: Seconds between two looks at the clock, on the loop and in the thread.
TICK_S: Final = 0.1
#: Seconds by which the loop is late when its stack is looked at, and when a line is logged.
LOOK_S: Final = 0.1
LOG_S: Final = 0.25
#: Seconds between two such lines.
LOG_INTERVAL_S: Final = 10.0
#: Over how many seconds lateness counts, and how much of them may be late before this process reports not ready.
WINDOW_S: Final = 10.0
MOST_LATE_S: Final = 5.0
#: Functions of a stack that are logged.
DEEPEST: Final = 12


class Lateness:
    """How late the loop was in the last WINDOW_S seconds. Times are monotonic seconds."""

    def __init__(self) -> None:
        self._late: deque[tuple[float, float]] = deque()

    def add(self, now: float, late_s: float) -> None:
        """The loop took its turn at ``now``, ``late_s`` after it was due."""
        if late_s >= LOOK_S:
            self._late.append((now, late_s))
        self._forget(now)

    def status(self, now: float) -> str:
        """Empty, or how late it was, in words."""
        self._forget(now)
        longest = max((late for _, late in self._late), default=0.0)
        return f"late by up to {longest:.1f} s in the last {WINDOW_S:.0f} s" if longest >= LOG_S else ""

    def is_overloaded(self, now: float) -> bool:
        """Whether it was late for so long that senders should go elsewhere."""
        self._forget(now)
        return sum(late for _, late in self._late) > MOST_LATE_S

    def _forget(self, now: float) -> None:
        while self._late and self._late[0][0] < now - WINDOW_S:
            self._late.popleft()


class LoopWatch:
    """Watches the loop that ``run`` runs on. One per process; costs ten short turns of the loop a second."""

    def __init__(self, lateness: Lateness, working_on: Callable[[], str] = str) -> None:
        """``working_on`` gives the id of the delivery being built or judged, empty if there is none."""
        self._lateness = lateness
        self._working_on = working_on
        #: When the loop is to take its next turn.
        self._due = float("inf")
        #: What was seen: when that turn was due, its stack, and the delivery it was about.
        self._seen: tuple[float, Sequence[str], str] = (0.0, (), "")
        self._logged_at = float("-inf")
        #: Late turns that were not logged since.
        self._more = 0

    async def run(self) -> None:
        """Continue until cancelled."""
        stop = threading.Event()
        thread = threading.Thread(target=self._look, args=(threading.get_ident(), stop), name="loop-watch", daemon=True)
        thread.start()
        try:
            while True:
                began, cpu = time.monotonic(), time.process_time()
                self._due = began + TICK_S
                await asyncio.sleep(TICK_S)
                self._turned(time.monotonic(), time.process_time() - cpu)
        finally:
            stop.set()
            thread.join()

    def _turned(self, now: float, cpu_s: float) -> None:
        late_s = max(0.0, now - self._due)
        telemetry.LOOP_LAG_SECONDS.observe(late_s)
        self._lateness.add(now, late_s)
        if late_s < LOG_S:
            return
        if now - self._logged_at < LOG_INTERVAL_S:
            self._more += 1
            return
        due, stack, delivery_id = self._seen
        if due != self._due:
            # Nobody saw this turn: the whole process did not run.
            stack, delivery_id = (), ""
        telemetry.log(
            "loop.late",
            late_ms=round(late_s * 1000),
            cpu_ms=round(cpu_s * 1000),
            stack=stack,
            delivery_id=delivery_id or None,
            more=self._more,
        )
        self._logged_at, self._more = now, 0

    def _look(self, thread: int, stop: threading.Event) -> None:
        """In a thread: whenever the loop is late, remember what it is doing."""
        while not stop.wait(TICK_S):
            due = self._due
            if time.monotonic() - due < LOOK_S:
                continue
            frame = sys._current_frames().get(thread)  # noqa: SLF001  the documented way to look at another thread
            if frame is not None:
                self._seen = due, tuple(stack_of(frame)), self._working_on()


def stack_of(frame: FrameType) -> Iterator[str]:
    """``receive gateway/pipeline.py:97``: the functions that run, the innermost first. Names and lines, no values."""
    depth = 0
    found: FrameType | None = frame
    while found is not None and depth < DEEPEST:
        yield f"{found.f_code.co_qualname} {_short(found.f_code.co_filename)}:{found.f_lineno}"
        found, depth = found.f_back, depth + 1


def _short(file: str) -> str:
    """A file from its package on."""
    parts = PurePath(file).parts
    for root in ("site-packages", "gateway"):
        if root in parts[:-1]:
            at = len(parts) - 1 - parts[::-1].index(root)
            return "/".join(parts[at + (root == "site-packages") :])
    return "/".join(parts[-2:])
