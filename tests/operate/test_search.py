"""Searching events by what the store knows and by what their payloads say."""

import asyncio

import pytest

from gateway.errors import QueryRefused
from gateway.operate import search
from gateway.operate.search import Search
from gateway.store.queries import EventQuery
from tests.store.given import Clock, SQLiteKind
from tests.store.test_reading import all_pages, event_of


@pytest.fixture
def run(tmp_path):
    def run_on_store(scenario):
        async def whole():
            store = await SQLiteKind(tmp_path).open(Clock())
            try:
                await scenario(store)
            finally:
                await store.close()

        asyncio.run(whole())

    return run_on_store


def looking_into(store, matches):
    return lambda query: search.events(store, Search(query=query, matches=matches))


def test_rows_have_their_deliveries_and_come_newest_first(run):
    async def scenario(store):
        news = [event_of("crm", "contact.created", "slack", body=b'{"id": %d}' % at) for at in range(40)]
        await store.append(news)
        is_even = looking_into(store, lambda event: int(event.body[7:-1]) % 2 == 0)
        page = await is_even(EventQuery(limit=4))
        assert [row.id for row in page.rows] == [news[at].event.id for at in (38, 36, 34, 32)]
        assert [len(row.deliveries) for row in page.rows] == [1, 1, 1, 1]
        rows, pages = await all_pages(is_even, EventQuery(limit=4))
        assert ([row.id for row in rows], pages) == ([new.event.id for new in reversed(news[::2])], 5)

    run(scenario)


def test_a_payload_is_looked_into_only_where_the_query_matches(run):
    async def scenario(store):
        await store.append([event_of("crm"), event_of("shop")])
        seen = []
        await looking_into(store, lambda event: seen.append(event.source))(EventQuery(source="shop"))
        assert seen == ["shop"]

    run(scenario)


def test_a_search_that_takes_too_long_says_how_far_it_has_come_and_goes_on_from_there(run, monkeypatch):
    async def scenario(store):
        for number in range(300):
            await store.append([event_of(body=b'{"id": %d}' % number)])
        ask = looking_into(store, lambda event: event.body in (b'{"id": 7}', b'{"id": 290}'))
        everything, one = await all_pages(ask, EventQuery())
        monkeypatch.setattr(search, "EFFORT", 400)
        page = await ask(EventQuery())
        assert page.searched_to is not None
        found, pages = await all_pages(ask, EventQuery())
        assert ([row.id for row in found], one) == ([row.id for row in everything], 1)
        assert len(found) == 2
        assert pages > 3

    run(scenario)


def test_an_event_is_a_position_by_its_id(run):
    async def scenario(store):
        first, second = event_of("crm", "contact.created", "slack"), event_of()
        await store.append([first, second])
        for matches in (None, lambda event: True):
            for id_ in (first.event.id, first.deliveries[0].id):
                page = await search.events(store, Search(query=EventQuery(after=id_), matches=matches))
                assert [row.id for row in page.rows] == [second.event.id]
        with pytest.raises(QueryRefused, match='there is no event "evt_gone"'):
            await search.events(store, Search(query=EventQuery(after="evt_gone")))

    run(scenario)


def test_pages_after_a_position_end_there(run):
    async def scenario(store):
        news = [event_of() for _ in range(9)]
        await store.append(news)
        fourth = (await store.event(news[3].event.id)).position
        for matches in (None, lambda event: True):
            ask = lambda query, matches=matches: search.events(store, Search(query=query, matches=matches))  # noqa: E731
            rows, pages = await all_pages(ask, EventQuery(after=fourth, limit=2))
            assert ([row.id for row in rows], pages) == ([new.event.id for new in reversed(news[4:])], 3)

    run(scenario)
