"""A database of an earlier schema is brought to this one while replicas of the release before run on it."""

import asyncio

import asyncpg
import pytest

from gateway.errors import StoreError
from gateway.store import migrate, open_store
from gateway.store.postgres import schema
from tests.store.conformance.test_memory import CRM, known, remembering, waiting
from tests.store.given import delivered, leased, wants


@pytest.fixture
def first(database, monkeypatch):
    """A database of the first schema, with an event that was delivered."""
    with monkeypatch.context() as patched:
        patched.setattr(schema, "VERSION", 1)
        patched.setattr(schema, "MIGRATIONS", schema.MIGRATIONS[:1])
        assert asyncio.run(migrate(database)) == (0, 1)
        event_id = asyncio.run(on(database, _delivered))
    return database, event_id


async def executed(url, statement):
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()


async def on(url, scenario):
    store = await open_store(url)
    try:
        return await scenario(store)
    finally:
        await store.close()


async def _delivered(store):
    [lease] = await leased(store, "crm")
    await store.settle([delivered(lease)])
    return lease.delivery.event_id


def test_the_first_schema_is_brought_to_this_one_and_remembers_from_then_on(first):
    url, event_id = first

    async def scenario(store):
        [old] = (await store.deliveries()).rows
        [slack], [crm] = await leased(store, "slack"), await leased(store, "crm")
        await store.settle([waiting(slack)])
        await store.settle([remembering(crm, id=77, said="id 77")])
        woken = await store.claim("a", wants("slack"))
        made = (await store.event(event_id)).attempts[old.id]
        return [each.delivery.id for each in woken] == [slack.delivery.id], await known(store), made[0].memory

    assert asyncio.run(migrate(url)) == (1, schema.VERSION)
    assert asyncio.run(on(url, scenario)) == (True, {CRM: {"id": 77}}, "")


def test_a_database_whose_deliveries_were_numbered_in_another_way_is_left_as_it_is(first):
    url, _ = first
    asyncio.run(executed(url, "CREATE INDEX queue_event ON queue USING hash (event_seq)"))
    with pytest.raises(StoreError, match=r"made by a development version.* copy it to a file"):
        asyncio.run(migrate(url))
    assert asyncio.run(executed(url, "SELECT max(version) FROM meta")) == 1


def test_a_replica_of_the_release_before_runs_on_this_schema(first, monkeypatch):
    url, _ = first
    asyncio.run(migrate(url))
    monkeypatch.setattr(schema, "VERSION", 1)
    assert asyncio.run(on(url, _delivered)).startswith("evt_")
