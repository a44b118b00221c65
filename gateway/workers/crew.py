"""The workers, as the process sees them that owns the store: who is there, how they are, and their figures."""

import asyncio
import socket
from collections.abc import Mapping, Sequence
from itertools import count
from typing import Final

import msgspec
from msgspec import Struct, field

from gateway.store import Store
from gateway.store.remote.served import Served
from gateway.store.sqlite.shared import SharedFile
from gateway.telemetry import sums

#: What the processes tell each other beside the store.
#: To a worker: look at once at what is held and by whom; give your figures; store what you have refused. From one: your
#: figures; it is stored; how you are.
LOOK: Final = "look"
FIGURES: Final = "figures"
REFUSED: Final = "refused"
STANDING: Final = "standing"

#: Seconds that a worker has to answer: one that stands still must not keep a scrape waiting.
ANSWER_S: Final = 1.0
#: A worker that has not reported for this many seconds does not count as ready.
SILENT_S: Final = 5.0


class Standing(Struct, frozen=True):
    """How a worker is."""

    #: As /readyz says.
    status: str
    #: Slots taken, by destination.
    in_flight: Mapping[str, int] = field(default_factory=dict)


_standing: Final = msgspec.json.Decoder(Standing).decode


class _Worker(Struct, kw_only=True, eq=False):
    served: Served
    standing: Standing | None = None
    #: When it was last heard of, on the loop's clock.
    heard_at: float = 0.0
    figures: Sequence[sums.Figures] = ()
    #: Whoever waits for its answer, by what it was asked.
    asked: dict[str, asyncio.Future[None]] = field(default_factory=dict)

    def answered(self, word: str) -> None:
        if word in self.asked and not self.asked[word].done():
            self.asked[word].set_result(None)


class Crew:
    """The workers of this gateway. Methods belong to the event loop."""

    def __init__(self, store: Store, expected: int) -> None:
        self._store = store
        self._sharing = store if isinstance(store, SharedFile) else None
        self._expected = expected
        self._loop = asyncio.get_running_loop()
        self._workers: dict[str, _Worker] = {}
        self._numbers = count(1)
        #: The figures of those that have ended, as far as they were known.
        self._gone: Sequence[sums.Figures] = ()
        self._control: socket.socket | None = None
        self._coming: set[asyncio.Task[None]] = set()
        #: Set once all have been ready at one time.
        self.complete = asyncio.Event()
        self._empty = asyncio.Event()
        self._empty.set()
        if self._sharing is not None:
            self._sharing.expect(expected)
            self._sharing.changed = self.look

    def follow(self, control: socket.socket) -> None:
        """Serve every worker whose socket comes over this one, from the supervisor."""
        control.setblocking(False)
        self._control = control
        self._loop.add_reader(control.fileno(), self._arrive)

    def say_ready(self) -> None:
        """Let the supervisor know that the gateway has started."""
        if self._control is not None:
            self._control.send(b"ready")

    def close(self) -> None:
        """End every connection; closing twice is harmless."""
        if self._control is not None:
            self._loop.remove_reader(self._control.fileno())
            self._control.close()
            self._control = None
        for worker in list(self._workers.values()):
            worker.served.abort()

    async def gone(self) -> None:
        """Return when no worker is there any more."""
        await self._empty.wait()

    def look(self) -> None:
        """Have all of them look at once at what is held, and by whom."""
        for worker in self._workers.values():
            worker.served.tell(LOOK)

    # how they are

    def trouble(self) -> str:
        """Why no event can be received; empty: at least one worker does."""
        now = self._loop.time()
        heard = [each for each in self._workers.values() if each.standing is not None]
        living = [each.standing.status for each in heard if each.standing and now - each.heard_at < SILENT_S]
        if "ready" in living:
            return ""
        return living[0] if living else "no worker is ready: see worker.ended in the log"

    def in_flight(self, destination: str) -> int:
        """How many deliveries of a destination the workers have in flight."""
        if self._sharing is not None:
            return self._sharing.in_flight(destination)
        standing = [each.standing for each in self._workers.values() if each.standing is not None]
        return sum(each.in_flight.get(destination, 0) for each in standing)

    async def figures(self) -> Sequence[Sequence[sums.Figures]]:
        """The figures of every worker, of those that have ended too. Of one that does not answer: those it gave before."""
        await self._ask_all(FIGURES)
        return [self._gone, *(each.figures for each in self._workers.values())]

    async def refusals(self) -> None:
        """Have all of them store what they have refused so far."""
        await self._ask_all(REFUSED)

    async def _ask_all(self, word: str) -> None:
        asked = []
        for worker in self._workers.values():
            if word not in worker.asked or worker.asked[word].done():
                worker.asked[word] = self._loop.create_future()
                worker.served.tell(word)
            asked.append(worker.asked[word])
        if asked:
            await asyncio.wait(asked, timeout=ANSWER_S)

    # what comes

    def _arrive(self) -> None:
        assert self._control is not None
        try:
            data, descriptors, _, _ = socket.recv_fds(self._control, 16, 4)
        except BlockingIOError:
            return
        if not data:
            # The supervisor has ended, and this process ends with it.
            self._loop.remove_reader(self._control.fileno())
        for descriptor in descriptors:
            task = self._loop.create_task(self._join(socket.socket(fileno=descriptor)))
            self._coming.add(task)
            task.add_done_callback(self._coming.discard)

    async def _join(self, sock: socket.socket) -> None:
        me = f"worker_{next(self._numbers)}"
        served = Served(self._store, self._sharing, me, self._told)
        self._workers[me] = _Worker(served=served)
        self._empty.clear()
        sock.setblocking(False)
        await served.begin(sock)
        await served.ended
        worker = self._workers.pop(me)
        self._gone = sums.lasting(self._gone, worker.figures)
        for word in worker.asked:
            worker.answered(word)
        if not self._workers:
            self._empty.set()

    def _told(self, me: str, word: str, what: bytes) -> None:
        worker = self._workers.get(me)
        if worker is None:
            return
        worker.heard_at = self._loop.time()
        if word == STANDING:
            worker.standing = _standing(what)
            if sum(each.standing is not None for each in self._workers.values()) >= self._expected:
                self.complete.set()
        elif word == FIGURES:
            worker.figures = sums.read(what)
        worker.answered(word)
