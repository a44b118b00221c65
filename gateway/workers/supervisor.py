"""The process that was started: it has the listening sockets, starts the others, starts them again, and ends with them.

It does nothing else, so nothing that comes from outside can end it. Its children end with it, however it ends.
"""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final, Literal

from msgspec import Struct

from gateway import telemetry

Kind = Literal["owner", "worker"]

#: A child that ends sooner than this after its start is started again after a pause, that doubles, up to the longest.
#: Seconds.
STABLE_S: Final = 10.0
FIRST_PAUSE_S: Final = 0.5
LONGEST_PAUSE_S: Final = 15.0
#: How long the workers of an owner that has ended have to end by themselves, seconds.
ORPHANED_S: Final = 3.0
#: How long everything may take from the first signal to the end: longer than any process gives itself, seconds.
STOP_S: Final = 35.0

_HANDLED: Final = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD})

#: Starts a child: of a kind, with a number, with descriptors of its own; whether one of its kind was ready before.
Start = Callable[[Kind, int, Sequence[int], bool], "subprocess.Popen[bytes]"]


def hold_back_signals() -> None:
    """Let signals wait until they are asked for. Call it before the first thread starts: one would take them.

    Children have them held back as well, until they can obey them.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, _HANDLED)


class _Child(Struct, kw_only=True, eq=False):
    """A process that should run."""

    kind: Kind
    number: int
    popen: "subprocess.Popen[bytes] | None" = None
    began: float = 0.0
    #: Times in a row that it ended soon after its start, and when it is started again.
    soon: int = 0
    again_at: float = 0.0


class Supervisor:
    """One owner and its workers, until a signal."""

    def __init__(self, start: Start, workers: int, listeners: Sequence[socket.socket]) -> None:
        """``listeners`` are closed once a signal has come: what waits in them then is for nobody."""
        self._start = start
        self._listeners = listeners
        self._owner = _Child(kind="owner", number=0)
        self._workers = [_Child(kind="worker", number=number) for number in range(1, workers + 1)]
        self._control: socket.socket | None = None
        self._was_ready = False
        #: When the first signal came, on the monotonic clock.
        self._stopped_at: float | None = None
        self._exit_code = 0

    def run(self) -> int:
        """Start everything and look after it until a signal; the exit code. Call ``hold_back_signals`` first."""
        self._start_owner()
        while True:
            self._look()
            if self._is_over():
                return self._exit_code
            found = signal.sigtimedwait(_HANDLED, self._patience_s())
            if found is not None and found.si_signo != signal.SIGCHLD:
                self._obey(signal.Signals(found.si_signo))

    # signals

    def _obey(self, number: signal.Signals) -> None:
        if number == signal.SIGHUP:
            self._send(number)
        elif self._stopped_at is not None:
            self._send(signal.SIGKILL)
            os._exit(1)  # at once, even if something hangs: acknowledged events are on disk
        else:
            self._stop()

    def _stop(self) -> None:
        self._stopped_at = time.monotonic()
        for each in self._listeners:
            each.close()
        self._send(signal.SIGTERM)

    def _send(self, number: signal.Signals) -> None:
        for child in self._children:
            if child.popen is not None:
                with suppress(ProcessLookupError):
                    child.popen.send_signal(number)

    # children

    @property
    def _children(self) -> Sequence[_Child]:
        return [self._owner, *self._workers]

    def _start_owner(self) -> None:
        """Start the owner and all workers: what a worker knows is of one owner."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        if self._control is not None:
            self._control.close()
        self._control = ours
        with theirs:
            self._begin(self._owner, [theirs.fileno()])
        for worker in self._workers:
            worker.soon = 0
            self._start_worker(worker)

    def _start_worker(self, worker: _Child) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        with ours, theirs:
            self._begin(worker, [theirs.fileno()])
            # Should the owner have ended, the worker finds its socket closed.
            with suppress(OSError):
                assert self._control is not None
                socket.send_fds(self._control, [b"worker"], [ours.fileno()], socket.MSG_DONTWAIT)

    def _begin(self, child: _Child, descriptors: Sequence[int]) -> None:
        child.began, child.again_at = time.monotonic(), 0.0
        child.popen = self._start(child.kind, child.number, descriptors, self._was_ready)

    def _look(self) -> None:
        """See who has ended, and start again what is due."""
        self._see_whether_ready()
        now = time.monotonic()
        if self._stopped_at is not None:
            self._reap()
            if now - self._stopped_at > STOP_S:
                self._exit_code = 1
                self._send(signal.SIGKILL)
            return
        if self._has_ended(self._owner):
            self._lose_owner()
        for worker in self._workers:
            if self._has_ended(worker):
                self._lose_worker(worker)
        if self._owner.popen is None and self._owner.again_at <= now and self._stopped_at is None:
            self._start_owner()
        for worker in self._workers:
            if worker.popen is None and self._owner.popen is not None and worker.again_at <= now:
                self._start_worker(worker)

    def _has_ended(self, child: _Child) -> bool:
        return child.popen is not None and child.popen.poll() is not None

    def _lose_owner(self) -> None:
        """The workers end by themselves, and then everything starts again; a start that failed is the end."""
        status = self._ended(self._owner)
        deadline = time.monotonic() + ORPHANED_S
        for worker in self._workers:
            if worker.popen is not None:
                with suppress(subprocess.TimeoutExpired):
                    worker.popen.wait(max(0.0, deadline - time.monotonic()))
                worker.popen.kill()
                worker.popen.wait()
                worker.popen = None
        if not self._was_ready:
            self._give_up(status)

    def _lose_worker(self, worker: _Child) -> None:
        status = self._ended(worker)
        if not self._was_ready:
            self._give_up(status)

    def _ended(self, child: _Child) -> int:
        assert child.popen is not None
        status, lived_s = child.popen.returncode, time.monotonic() - child.began
        child.soon = child.soon + 1 if lived_s < STABLE_S else 0
        pause_s = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2 ** (child.soon - 2)) if child.soon > 1 else 0.0
        if self._was_ready and child.kind == "owner":
            telemetry.log("owner.ended", pid=child.popen.pid, exit=status, next_s=pause_s)
        elif self._was_ready:
            telemetry.log("worker.ended", pid=child.popen.pid, exit=status, next_s=pause_s)
        child.again_at = time.monotonic() + pause_s
        child.popen = None
        return status

    def _give_up(self, status: int) -> None:
        """The start has failed."""
        self._exit_code = status if status > 0 else 1
        self._stop()

    def _see_whether_ready(self) -> None:
        if not self._was_ready and self._control is not None:
            with suppress(OSError):
                self._was_ready = bool(self._control.recv(16, socket.MSG_DONTWAIT))

    def _reap(self) -> None:
        for child in self._children:
            if child.popen is not None and (status := child.popen.poll()) is not None:
                # A signal that came before a child could obey it has ended it, as it should.
                if status and status != -signal.SIGTERM:
                    self._exit_code = self._exit_code or (status if status > 0 else 1)
                child.popen = None

    def _is_over(self) -> bool:
        return self._stopped_at is not None and all(each.popen is None for each in self._children)

    def _patience_s(self) -> float:
        """Until something is due, whatever comes."""
        if self._stopped_at is not None or not self._was_ready:
            return 0.2
        waits = [each.again_at - time.monotonic() for each in self._children if each.popen is None]
        return max(0.01, min(waits, default=60.0))
