"""Behind PgBouncer in transaction mode, with and without a way around it."""

import asyncio

import pytest

from gateway.errors import StoreError, StoreUnavailable
from gateway.store import copied, migrate, open_store
from gateway.store.holds import Hold, Pause
from tests import pooler
from tests.store.given import delivered, new_event, two, wants

WAIT_S = 30.0


@pytest.fixture
def run_two(database, monkeypatch):
    """Run a test's coroutine on two replicas that reach a database through a pooler alone, or around it as well."""

    def run(scenario, *, is_direct):
        async def whole():
            await migrate(database)
            monkeypatch.setenv("GATEWAY_STORE_DIRECT", database if is_direct else "")
            async with two(lambda: open_store(pooler.pooled(database))) as stores:
                await scenario(*stores)

        asyncio.run(whole())

    return run


def quiet(_done, _whole):
    pass


async def listeners(store):
    """How many connections of the server listen for notifications."""
    async with store._readers.connection() as connection:
        return await connection.fetchval(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query ~ '^LISTEN'"
        )


def test_without_a_way_around_it_what_another_replica_stored_is_found_by_looking(run_two):
    async def scenario(one, other):
        assert await listeners(one) == 0
        await one.append([new_event("slack")])
        async with asyncio.timeout(WAIT_S):
            while "slack" not in await other.wake():
                pass
        [lease] = await other.claim("b", wants("slack"))
        assert await other.settle([delivered(lease)]) == {lease.delivery.id}
        hold = Hold(destination="crm", pause=Pause(by="ann", reason="their migration", since=1.0))
        assert await one.set_hold(hold)
        assert [each.pause for each in await other.holds()] == [hold.pause]

    run_two(scenario, is_direct=False)


def test_with_a_way_around_it_replicas_notify_each_other(run_two):
    async def scenario(one, other):
        async with asyncio.timeout(WAIT_S):
            for each in (one, other):
                await each.holds_changed()  # it has begun to listen and may have missed something
            assert await listeners(one) == 2
            assert await one.set_hold(Hold(destination="crm", mute=Pause(by="bob", reason="known", since=1.0)))
            await other.holds_changed()

    run_two(scenario, is_direct=True)


def test_what_needs_a_session_asks_for_a_way_around_it(database, tmp_path, monkeypatch):
    through = pooler.pooled(database)
    for work in (
        lambda: migrate(through),
        lambda: copied(through, f"sqlite:///{tmp_path}/copy.db", quiet),
    ):
        with pytest.raises(StoreError, match="is behind a pooler: set GATEWAY_STORE_DIRECT to the URL of the server"):
            asyncio.run(work())
    monkeypatch.setenv("GATEWAY_STORE_DIRECT", database)
    asyncio.run(migrate(through))
    asyncio.run(copied(through, f"sqlite:///{tmp_path}/copy.db", quiet))


def test_a_url_that_does_not_say_that_it_is_a_pooler_is_refused_with_the_remedy(database):
    asyncio.run(migrate(database))
    with pytest.raises(StoreUnavailable, match=r"add \?pooler=true to the URL"):
        asyncio.run(_appended(pooler.pooled(database).replace("&pooler=true", "")))


async def _appended(url):
    store = await open_store(url)
    try:
        await store.append([new_event("slack")])
    finally:
        await store.close()
