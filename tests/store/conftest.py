import asyncio

import pytest

from tests.store.given import KINDS, Clock


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture(params=KINDS, ids=lambda kind: kind.id)
def kind(request, tmp_path):
    folder = tmp_path / "store"
    folder.mkdir()
    return request.param(folder)


@pytest.fixture
def run(kind, clock):
    """Run a test's coroutine on a new store and close it."""

    def run_on_store(scenario):
        async def whole():
            store = await kind.open(clock)
            try:
                return await scenario(store)
            finally:
                await store.close()

        return asyncio.run(whole())

    return run_on_store
