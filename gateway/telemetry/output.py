"""Lines leave through one daemon thread and a bounded queue: a full or closed pipe drops lines and blocks nothing."""

import os
import queue
import select
import sys
import threading
from collections.abc import Callable, Collection, Sequence
from typing import Final

_QUEUE_LINES: Final = 10_000
#: Lines wait this long so that one write carries many: a thread waking for each would take time from the event loop.
_GATHER_S: Final = 0.1


class LinePump:
    """A daemon thread that writes lines to a file descriptor; ``put`` never blocks."""

    def __init__(
        self, descriptor: int, dropped: Callable[[int], object], *, gather_s: float = _GATHER_S, is_shared: bool = False
    ) -> None:
        """``is_shared``: other processes write there, too, so that no write may be longer than a pipe takes whole."""
        self._descriptor = descriptor
        self._longest = select.PIPE_BUF if is_shared else sys.maxsize
        #: Gets the number of lines that were dropped.
        self._dropped = dropped
        self._gather_s = gather_s
        #: Lines, and events to set once every line before them is written.
        self._lines: queue.SimpleQueue[bytes | threading.Event] = queue.SimpleQueue()
        #: Set when somebody waits for the lines so far.
        self._is_awaited = threading.Event()
        threading.Thread(target=self._run, name="lines", daemon=True).start()

    def put(self, line: bytes) -> None:
        """Queue a line; with too many waiting it is dropped and counted."""
        if self._lines.qsize() < _QUEUE_LINES:
            self._lines.put(line)
        else:
            self._dropped(1)

    def flush(self, timeout_s: float = 1.0) -> None:
        """Wait until everything queued so far is written, at most ``timeout_s`` seconds: the pipe may be full."""
        written = threading.Event()
        self._lines.put(written)
        self._is_awaited.set()
        written.wait(timeout_s)

    def _run(self) -> None:
        while True:
            taken = [self._lines.get()]
            self._is_awaited.wait(self._gather_s)
            self._is_awaited.clear()
            taken += [self._lines.get() for _ in range(self._lines.qsize())]
            self._write([each for each in taken if isinstance(each, bytes)])
            for each in taken:
                if isinstance(each, threading.Event):
                    each.set()

    def _write(self, lines: Collection[bytes]) -> None:
        together: list[bytes] = []
        size = 0
        for line in lines:
            if together and size + len(line) >= self._longest:
                self._write_all(together)
                together, size = [], 0
            together.append(line)
            size += len(line) + 1
        self._write_all(together)

    def _write_all(self, lines: Sequence[bytes]) -> None:
        # One copy, however many they are: a hundred milliseconds can bring hundreds.
        data = b"".join([line + b"\n" for line in lines])
        try:
            while data:
                data = data[os.write(self._descriptor, data) :]
        except OSError:
            self._dropped(len(lines))
