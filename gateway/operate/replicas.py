"""The replicas of a gateway: each lets the others know that it runs, and reloads when all are asked to."""

import asyncio
import os
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

from gateway import __version__, telemetry
from gateway.dispatcher.steps import for_ever
from gateway.errors import ConfigError
from gateway.operate.reload import Reloader
from gateway.process import Gateway
from gateway.store.cluster import BEAT_S, Replica

#: How long a reload waits for the other processes of the gateway, and between two looks, seconds.
AGREED_S: Final = 10.0
AGAIN_S: Final = 0.05


class Replicas:
    """Knows the other replicas, and is known to them. One per process."""

    def __init__(self, gateway: Gateway, reloader: Reloader, host: Callable[[], str] = socket.gethostname) -> None:
        self._gateway = gateway
        self._cluster = gateway.store.cluster
        self._reloader = reloader
        self._host = f"{host()}:{os.getpid()}"
        self._started_at = gateway.clock()
        #: Those that ran at the last beat, this one included.
        self.known: Sequence[Replica] = (self.me,)
        #: How often all were asked to reload, as far as this one has done so; None before the first beat.
        self._reloads: int | None = None
        #: Whether the others are processes of one gateway, which has reloaded only when all of them have.
        self.waits = False
        self._beat_now = asyncio.Event()

    @property
    def me(self) -> Replica:
        return Replica(
            id=self._cluster.me,
            host=self._host,
            version=__version__,
            config=self._gateway.config.revision,
            started_at=self._started_at,
        )

    @property
    def differing(self) -> Sequence[Replica]:
        """Those that have another configuration in force than this one."""
        return [each for each in self.known if each.config != self._gateway.config.revision and each.id != self.me.id]

    async def run(self) -> None:
        """Continue until cancelled."""
        await for_ever(self._step)

    async def _step(self) -> None:
        self._beat_now.clear()
        await self.beat()
        with suppress(TimeoutError):
            async with asyncio.timeout(BEAT_S):
                await self._beat_now.wait()

    def beat_now(self) -> None:
        """Another one may have asked all to reload."""
        self._beat_now.set()

    async def beat(self) -> None:
        """Say that this one runs, see who else does, and reload if that was asked of all. Raises StoreUnavailable."""
        roll = await self._cluster.beat(self.me)
        self.known = roll.replicas or (self.me,)
        telemetry.REPLICAS.set(len(self.known))
        is_asked, self._reloads = self._reloads not in (None, roll.reloads), roll.reloads
        if is_asked:
            # A file that is refused is in this replica's log, and in its console.
            with suppress(ConfigError):
                await self._reloader.reload(by="gateway reload --all")
            # One may be waiting for that.
            await self._cluster.beat(self.me)

    async def reload_all(self, *, by: str) -> str:
        """Reload here, then have every other replica do so; returns what changed here.

        Raises ConfigError, and then no other is asked; StoreUnavailable if they cannot be asked.
        """
        changed = await self._reloader.reload(by=by)
        await self._cluster.ask_to_reload()
        if self._reloads is not None:
            self._reloads += 1
        if self.waits:
            await self._agreed()
        return changed

    async def _agreed(self) -> None:
        """Wait until all have the same in force, but not for ever: one may stand still."""
        with suppress(TimeoutError):
            async with asyncio.timeout(AGREED_S):
                await self.beat()
                while self.differing:
                    await asyncio.sleep(AGAIN_S)
                    await self.beat()
