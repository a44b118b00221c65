import asyncio

import pytest

from tests.store.given import KINDS
from tests.store.toy import ToyKind, TwoToysKind

#: Every store, and a toy that has as much as the tests of this folder ask for.
STORES = [*KINDS, ToyKind, TwoToysKind]
#: Those of which two instances can be open at once.
SHARED = [ToyKind]


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
            one, other = kind.instance(clock), kind.instance(clock)
            try:
                return await scenario(one, other)
            finally:
                await one.close()
                await other.close()

        return asyncio.run(whole())

    return run_on_stores
