"""Whoever follows the newest events misses none, although numbers are not given in the order of commits."""

import asyncio

import asyncpg

from gateway.store import migrate, open_store
from gateway.store.queries import EventQuery
from tests.store.given import new_event

COPY = """
INSERT INTO event (seq, id, source, type, received_at, stored_at, headers, sha256, body)
SELECT (nextval('number') << 12) | (seq & ~((1::bigint << 47) - 1)), 'evt_late', source, type, received_at, stored_at, headers, sha256, body
FROM event WHERE id = $1
"""


def test_what_is_newer_is_shown_once_nothing_before_it_can_come(database):
    asyncio.run(migrate(database))

    async def scenario():
        store, late = await open_store(database), await asyncpg.connect(database)
        try:
            first, second = new_event(), new_event()
            await store.append([first])
            [row] = (await store.events()).rows
            async with late.transaction():
                # It has a number, and is not committed yet.
                await late.execute(COPY, first.event.id)
                await store.append([second])
                assert (await store.events(EventQuery(after=row.position))).rows == ()
                assert len((await store.events()).rows) == 2, "a list shows what there is"
            newer = await store.events(EventQuery(after=row.position))
            assert [each.id for each in newer.rows] == [second.event.id, "evt_late"]
        finally:
            await late.close()
            await store.close()

    asyncio.run(scenario())


def test_an_event_that_waits_for_a_key_is_newer_than_what_is_stored_meanwhile(database):
    asyncio.run(migrate(database))

    async def scenario():
        store, other, beside = await open_store(database), await open_store(database), await asyncpg.connect(database)
        try:
            waits = new_event(key=b"contested")
            transaction = beside.transaction()
            await transaction.start()
            await beside.execute("INSERT INTO dedupe VALUES ('crm', 'contested', 'evt_never', 1e12)")
            waiting = store.append([waits])
            while not await beside.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"):
                await asyncio.sleep(0.01)
            meanwhile = new_event()
            await other.append([meanwhile])
            [row] = (await other.events()).rows
            assert row.id == meanwhile.event.id
            await transaction.rollback()
            await waiting
            assert [each.id for each in (await other.events(EventQuery(after=row.position))).rows] == [waits.event.id]
        finally:
            await beside.close()
            await store.close()
            await other.close()

    asyncio.run(scenario())
