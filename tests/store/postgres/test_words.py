"""How far the index of words has come: beyond it a search looks at events one by one."""

import asyncio
import itertools
from contextlib import asynccontextmanager

import asyncpg
import pytest

from gateway.store.postgres import search, streams
from gateway.store.postgres.tables import DAY_S
from gateway.store.queries import EventQuery
from tests.store.database import PostgresKind
from tests.store.given import Clock, new_event

#: An event with a number of its own, whose transaction can be kept open.
LATE = """
WITH taken AS MATERIALIZED (SELECT txid_current(), nextval('number') AS number)
INSERT INTO event (seq, id, source, type, received_at, stored_at, headers, sha256, body)
SELECT (number << 12) | (seq & ~((1::bigint << 47) - 1)), 'evt_late', source, type, received_at, stored_at, headers, sha256, body
FROM event, taken WHERE id = $1
"""


@pytest.fixture
def kind():
    return PostgresKind(None)


def on_store(kind, scenario):
    async def whole():
        clock = Clock()
        store, beside = await kind.open(clock), await asyncpg.connect(kind.url)
        try:
            await scenario(store, beside, clock)
        finally:
            await beside.close()
            await store.close()

    asyncio.run(whole())


_numbers = itertools.count()


def named(name):
    return new_event(body=b'{"name": "%s", "number": %d}' % (name.encode(), next(_numbers)))


async def indexed(store):
    while await store.index():
        pass


async def left(beside):
    """Events beyond what is known to be in the index."""
    return await beside.fetchval("SELECT count(*) FROM event WHERE seq > (SELECT upto FROM indexed)")


async def found(store, *words, **more):
    page = await store.events(EventQuery(words=words, **more))
    return [row.id for row in page.rows]


@asynccontextmanager
async def running(kind, statement="SELECT txid_current()", *values):
    """A transaction that writes, and could be that of an append."""
    connection = await asyncpg.connect(kind.url)
    try:
        async with connection.transaction():
            await connection.execute(statement, *values)
            yield
    finally:
        await connection.close()


def test_the_index_comes_near_the_newest_event_while_ever_more_come_in(kind):
    async def scenario(store, beside, clock):
        for _ in range(6):
            await store.append([named("ada") for _ in range(20)])
            assert await store.index(), "there is always more to add"
        assert await left(beside) <= 40

    on_store(kind, scenario)


def test_an_event_that_was_committed_late_is_in_the_index_before_it_is_said_to_be_complete(kind):
    async def scenario(store, beside, clock):
        first, second = named("ada"), named("bob")
        await store.append([first])
        # It has a number, and is not committed yet.
        async with running(kind, LATE, first.event.id):
            await store.append([second])
            for _ in range(3):
                await indexed(store)
            assert await left(beside) == 2
        for _ in range(3):
            await indexed(store)
        assert await left(beside) == 0
        assert await found(store, "ada") == ["evt_late", first.event.id]
        assert await found(store, "bob") == [second.event.id]

    on_store(kind, scenario)


def test_a_transaction_of_somebody_else_holds_the_index_back_for_a_minute_at_most(kind):
    async def scenario(store, beside, clock):
        async with running(kind):
            await store.append([named("ada")])
            await indexed(store)
            await indexed(store)
            assert await left(beside) == 1
            clock.move(60.0)
            await indexed(store)
            assert await left(beside) == 0

    on_store(kind, scenario)


def test_in_the_first_minute_of_a_day_an_event_of_the_day_before_may_still_come(kind):
    async def scenario(store, beside, clock):
        clock.move(DAY_S - clock.wall() % DAY_S + 1.0)
        await store.append([named("ada")])
        for _ in range(3):
            await indexed(store)
        assert await left(beside) == 1
        clock.move(60.0)
        await indexed(store)
        assert await left(beside) == 0

    on_store(kind, scenario)


#: Of the days, the newest first: how many events have the word, and of how many; those that have it came first.
DISTRIBUTIONS = {
    "a common word": [(30, 40), (40, 40), (3, 40)],
    "common on the first day only": [(0, 40), (0, 40), (40, 40)],
    "common, but not lately": [(12, 40), (0, 0), (40, 40), (1, 1)],
    "rare": [(1, 40), (0, 40), (2, 40)],
}


@pytest.mark.parametrize("most", [5, 15, 1_000])
@pytest.mark.parametrize("effort", [25, 20_000])
@pytest.mark.parametrize("days", DISTRIBUTIONS.values(), ids=DISTRIBUTIONS)
def test_however_common_a_word_is_its_events_are_found_page_by_page(kind, monkeypatch, days, effort, most):
    for name, value in {"FEW_INDEXED": 4, "MOST_INDEXED": most, "COMMON_ROWS": 6, "WORD_ROWS": 16}.items():
        monkeypatch.setattr(streams, name, value)
    monkeypatch.setattr(search, "FRESH", 2)

    async def scenario(store, beside, clock):
        expected = []
        for having, of in reversed(days):
            for number in range(of):
                event = named("ada" if number < having else "bob")
                await store.append([event])
                expected += [event.event.id] * (number < having)
            await indexed(store)
            clock.move(DAY_S)
            await indexed(store)
        ids, before = [], ""
        while True:
            page = await store.candidates(EventQuery(words=("ada",), effort=effort, before=before, limit=7))
            ids += [row.event.id for row in page.rows if b"ada" in row.event.body]
            if not page.next:
                break
            before = page.next
        assert ids == expected[::-1]

    on_store(kind, scenario)


def test_a_search_ends_early_rather_than_look_at_very_many_events_one_by_one(kind):
    async def scenario(store, beside, clock):
        async with running(kind):
            ada = named("ada")
            await store.append([ada])
            for _ in range(15):
                await store.append([named("bob") for _ in range(200)])
            await indexed(store)
            assert await left(beside) == 3001
            query, pages, ids = EventQuery(words=("ada",), effort=1000), 0, []
            while True:
                page = await store.candidates(query)
                ids += [row.event.id for row in page.rows if b"ada" in row.event.body]
                pages += 1
                if not page.next:
                    break
                assert page.searched_to is not None
                query = EventQuery(words=("ada",), effort=1000, before=page.next)
            assert ids == [ada.event.id]
            assert 5 <= pages <= 8
            assert await found(store, "ada") == [ada.event.id]

    on_store(kind, scenario)
