"""A file whose store is reached through its owner, over a socket: how the tests open one end or several."""

import asyncio
import itertools
import socket

from gateway.store import open_store
from gateway.store.remote.served import Served
from gateway.store.remote.store import RemoteStore
from tests.store.given import SQLiteKind


class Through(RemoteStore):
    """One end, and the owner's end of the same socket."""

    served: Served
    kind: "RemoteKind"

    async def close(self):
        await super().close()
        await self.served.ended
        await self.kind.left(self)


class RemoteKind(SQLiteKind):
    """The owner is in this process, too; it closes the file once nobody reaches it any more."""

    id = "remote"
    examples = 20

    def __init__(self, folder):
        super().__init__(folder)
        self.owner = None
        self.ends = []
        self._numbers = itertools.count(1)

    async def open(self, clock):
        if self.owner is None:
            self.owner = await open_store(self.url, clock=clock.monotonic, wall=clock.wall, is_shared=True)
        return await self.another()

    async def another(self, told=lambda *_: None):
        """Another end of the same store."""
        ours, theirs = socket.socketpair()
        for each in (ours, theirs):
            each.setblocking(False)
        served = Served(self.owner, self.owner, f"worker_{next(self._numbers)}", told)
        store, _ = await asyncio.gather(Through.open(ours), served.begin(theirs))
        store.served, store.kind = served, self
        self.ends.append(store)
        return store

    async def left(self, end):
        if end in self.ends:
            self.ends.remove(end)
        if not self.ends and self.owner is not None:
            await self.owner.close()
            self.owner = None

    def after_kill(self, number):
        kind = super().after_kill(number)
        return RemoteKind(kind.folder)
