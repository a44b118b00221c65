import asyncio

import pytest

from tests.store.given import SQLiteKind


@pytest.fixture
def kind(tmp_path):
    folder = tmp_path / "store"
    folder.mkdir()
    return SQLiteKind(folder)


@pytest.fixture
def opened(kind, clock):
    """Run a scenario on the store of this file, which may be there already, and close it."""

    def run_on_store(scenario, at=clock):
        async def whole():
            store = await kind.open(at)
            try:
                return await scenario(store)
            finally:
                await store.close()

        return asyncio.run(whole())

    return run_on_store
