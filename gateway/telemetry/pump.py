"""What goes to a collector leaves through a daemon thread and a bounded queue: one that is away or slow holds up nothing."""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final, Generic, Literal, TypeVar

from gateway import telemetry

T = TypeVar("T")
Signal = Literal["traces", "metrics"]

#: As the specification's batch processor: what may wait, what is sent at once, and seconds to gather it.
MOST: Final = 2048
BATCH: Final = 512
GATHER_S: Final = 5.0


class Pump(Generic[T]):
    """Sends what it is given in batches; ``put`` never blocks and never raises."""

    def __init__(
        self,
        signal: Signal,
        send: Callable[[Sequence[T]], str],
        *,
        most: int = MOST,
        batch: int = BATCH,
        gather_s: float = GATHER_S,
    ) -> None:
        """``send`` returns why a batch is lost; empty: it was sent. It is called in the thread."""
        self._signal, self._send = signal, send
        self._most, self._batch, self._gather_s = most, batch, gather_s
        self._waiting: deque[T] = deque()
        self._wake = threading.Event()
        #: On the monotonic clock; None: it goes on.
        self._ends_at: float | None = None
        #: Lost since the last batch that was sent; None: that was the last one.
        self._lost: int | None = None
        # Made now, at 0: a counter that first appears at 1 shows no increase.
        self._dropped = telemetry.OTLP_DROPPED.labels(signal)
        self._thread = threading.Thread(target=self._run, name=f"otlp {signal}", daemon=True)
        self._thread.start()

    def put(self, item: T) -> None:
        """Queue it; with too many waiting the oldest is dropped and counted."""
        if self._ends_at is not None:
            self._dropped.inc()
            return
        if len(self._waiting) >= self._most:
            # Its thread may just have taken it.
            with suppress(IndexError):
                self._waiting.popleft()
                self._dropped.inc()
        self._waiting.append(item)
        if len(self._waiting) == self._batch:
            self._wake.set()

    def close(self, timeout_s: float) -> None:
        """Send what waits, for at most ``timeout_s`` seconds; the rest is dropped and counted."""
        self._ends_at = time.monotonic() + timeout_s
        self._wake.set()
        self._thread.join(timeout_s)
        if left := len(self._waiting):
            self._dropped.inc(left)
            telemetry.log("otlp.failed", signal=self._signal, reason=f"{left} were not sent before the process ended")

    def _run(self) -> None:
        while self._ends_at is None:
            self._wake.wait(self._gather_s)
            self._wake.clear()
            self._send_waiting()

    def _send_waiting(self) -> None:
        while (self._ends_at is None or time.monotonic() < self._ends_at) and (batch := self._taken()):
            self._send_batch(batch)
            if len(self._waiting) < self._batch and self._ends_at is None:
                # They wait for others.
                return

    def _taken(self) -> Sequence[T]:
        """The oldest that wait, at most a batch of them."""
        batch = list[T]()
        with suppress(IndexError):
            while len(batch) < self._batch:
                batch.append(self._waiting.popleft())
        return batch

    def _send_batch(self, batch: Sequence[T]) -> None:
        try:
            reason = self._send(batch)
        except Exception as error:  # noqa: BLE001  whatever a library raises, events are delivered
            reason = f"{type(error).__name__}: {error}"
        if reason:
            self._dropped.inc(len(batch))
            if self._lost is None:
                telemetry.log("otlp.failed", signal=self._signal, reason=reason)
            self._lost = (self._lost or 0) + len(batch)
        elif self._lost is not None:
            telemetry.log("otlp.recovered", signal=self._signal, dropped=self._lost)
            self._lost = None
