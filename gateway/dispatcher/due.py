"""Which destinations may have something due, and which of them are to be asked for now."""

import asyncio
import math
from collections.abc import Collection, Mapping

from gateway.store.nouns import Want


class Due:
    """The names of destinations, by what a round has to know of them."""

    def __init__(self) -> None:
        #: They may have something due: new deliveries queue up behind it.
        self.names: set[str] = set()
        #: Those of them that are neither full nor held: a round asks for these and no others.
        self._ready: set[str] = set()
        #: Those without a free slot.
        self.full: set[str] = set()
        #: Those that are held, each with the timer that opens it, if time does: they cost nothing until then.
        self._held: dict[str, asyncio.TimerHandle | None] = {}
        #: Set when there is something to ask for.
        self.wake = asyncio.Event()

    def look_at(self, names: Collection[str]) -> None:
        """They may have something due."""
        self.names.update(names)
        self._ready.update(names)
        self._ready -= self.full | self._held.keys()
        self.wake.set()

    def take_ready(self) -> Collection[str]:
        """What to ask for now, and for that long none of them is ready: a hint that comes meanwhile counts."""
        ready, self._ready = self._ready, set()
        return ready

    def again(self, name: str) -> None:
        """It gave all that it was asked for, and may have more."""
        self._ready.add(name)

    def is_over(self, name: str) -> None:
        """Nothing else of it is due, unless a hint has named it since it was asked."""
        if name not in self._ready:
            self.names.discard(name)

    def is_not_ours(self, name: str) -> None:
        """Another replica asks for what is due."""
        self.names.discard(name)

    def fill(self, name: str) -> None:
        """It has no free slot."""
        self.full.add(name)

    def hold(self, name: str, seconds: float) -> None:
        """Something holds it for so long; infinity: until something else opens it."""
        loop = asyncio.get_running_loop()
        self._held[name] = loop.call_later(seconds, self.opens, name) if seconds < math.inf else None

    def opens(self, name: str) -> None:
        """It has a free slot again, or its gate has changed: ask again."""
        timer = self._held.pop(name, None)
        if timer is not None:
            timer.cancel()
        self.full.discard(name)
        if name in self.names:
            self._ready.add(name)
            self.wake.set()

    def open_all(self) -> None:
        """All of them may have more slots now, or another gate."""
        for name in [*self.full, *self._held]:
            self.opens(name)

    def learn(self, wants: Mapping[str, Want], claimed: Mapping[str, int]) -> None:
        """A destination that gave all that it was asked for may have more; of the others nothing else is due."""
        for name, want in wants.items():
            if claimed[name] >= want.slots:
                self.again(name)
            else:
                self.is_over(name)
