"""What one process of the gateway consists of, as whatever happens to an event needs it."""

import random
import time
from collections.abc import Callable
from functools import cached_property
from typing import Literal

from msgspec import Struct, field

from gateway.egress import Egress
from gateway.event.repeats import Repeats
from gateway.event.spans import Spans
from gateway.model import new_id
from gateway.oauth.tokens import Tokens
from gateway.poison import CrashSlot
from gateway.routing import Config, Source
from gateway.routing.heads import Heads
from gateway.store import Store
from gateway.store.activities import Activity, Verb
from gateway.store.learned import Expected

#: What a process does: everything, or where a gateway has several, ``deliveries`` or what is done once for all of them.
Part = Literal["all", "deliveries", "upkeep"]


class Gateway(Struct, kw_only=True, dict=True):
    """Everything an event needs on its way; the only dependency injection."""

    #: Replaced whole on a reload, never changed.
    config: Config
    store: Store
    egress: Egress
    #: The id of this process among those that share the store.
    replica: str = "main"
    part: Part = "all"
    #: Names the delivery being worked on, in case the process dies over it.
    crash_slot: CrashSlot = field(default_factory=CrashSlot)
    #: The records that the events of sources with ``track`` are about.
    heads: Heads = field(default_factory=Heads)
    #: Counts the bodies that arrive under one id.
    repeats: Repeats = field(default_factory=Repeats)
    #: Whether a secret may come in a handshake.
    expected: Expected = field(default_factory=Expected)
    #: Tells a collector what happens to events; None: nobody wants to know.
    spans: Spans | None = None
    #: Where senders post to, and where the console listens, for links; empty until they do.
    ingest: str = ""
    console: str = ""
    #: Wall clock, seconds since the epoch.
    clock: Callable[[], float] = time.time
    #: Seconds that nobody can set back.
    monotonic: Callable[[], float] = time.monotonic
    #: In [0, 1): the jitter of retries.
    noise: Callable[[], float] = random.random

    @cached_property
    def tokens(self) -> Tokens:
        """What attempts are sent with; has the access tokens of destinations."""
        return Tokens(self.egress, self.store, clock=self.clock, monotonic=self.monotonic, asked=self._token_asked)

    def _token_asked(self, host: str, took_s: float, error: str | None) -> None:
        if self.spans is not None:
            self.spans.token_asked(host, took_s, error)

    async def note(self, verb: Verb, subject: str, *, by: str, reason: str = "") -> None:
        """Record what somebody did, for the others who look after the gateway. Raises StoreUnavailable."""
        now = self.clock()
        await self.store.note(Activity(id=new_id("act", now), at=now, by=by, verb=verb, subject=subject, reason=reason))

    async def with_learned(self, source: Source) -> Source:
        """A source with the secrets that its sender chose. Raises StoreUnavailable."""
        return source.knowing(await self.store.secrets.of(source.name))
