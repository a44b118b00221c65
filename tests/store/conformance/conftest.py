"""Which stores the suite runs on."""

import asyncio
import itertools
from pathlib import Path

import pytest

from tests.store.database import OtherVersionKind, PooledKind, PostgresKind
from tests.store.given import KINDS, two
from tests.store.through import RemoteKind
from tests.store.toy import Server, ToyStore


class TakingTurns:
    """Two instances on one state: each call goes to the one that did not get the last."""

    def __init__(self, *instances) -> None:
        self._instances = instances
        self._turns = itertools.cycle(instances)

    def __getattr__(self, name):
        return getattr(next(self._turns), name)

    async def wake(self):
        # A process hears its own hints.
        return await self._instances[0].wake()

    async def close(self):
        for instance in self._instances:
            await instance.close()


class ToyKind:
    """How the tests open the toy: one instance, or two that share its state."""

    id = "toy"

    def __init__(self, _folder: Path) -> None:
        self._server = None

    async def open(self, clock):
        self._server = self._server or Server(clock)
        return ToyStore(self._server)


class TwoToysKind(ToyKind):
    """Whatever the suite does is done through two instances in turn."""

    id = "two-toys"

    async def open(self, clock):
        return TakingTurns(await super().open(clock), await super().open(clock))


#: Every store, and a toy that has as much as the tests of this folder ask for.
STORES = [*KINDS, OtherVersionKind, PooledKind, RemoteKind, ToyKind, TwoToysKind]
#: Those of which two instances can be open at once.
SHARED = [ToyKind, PostgresKind, OtherVersionKind, PooledKind, RemoteKind]


@pytest.fixture(params=STORES, ids=lambda kind: kind.id)
def kind(request, tmp_path):
    folder = tmp_path / "store"
    folder.mkdir()
    return request.param(folder)


@pytest.fixture(params=SHARED, ids=lambda kind: kind.id)
def run_two(request, tmp_path, clock):
    """Run a test's coroutine on two instances of a new store."""

    def run_on_stores(scenario):
        async def whole():
            kind = request.param(tmp_path)
            async with two(lambda: kind.open(clock)) as stores:
                return await scenario(*stores)

        return asyncio.run(whole())

    return run_on_stores
