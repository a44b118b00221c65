"""The number of a delivery says which event it belongs to, and there is room for so many of one event."""

import asyncio

import pytest
from msgspec.structs import replace

from gateway.errors import StoreError
from gateway.model import Notice
from gateway.store import migrate, open_store
from gateway.store.activities import Task
from gateway.store.nouns import Told
from gateway.store.postgres.tables import PLACES
from gateway.store.queries import DeliveryQuery
from tests import postgres
from tests.store.given import dead, new_event, wants

#: As if the last place were taken: by the first delivery.
FILL = f"UPDATE done SET seq = (seq & ~{PLACES}::bigint) | {PLACES}"


def scenario_with(work):
    async def whole():
        with postgres.database() as url:
            await migrate(url)
            store = await open_store(url)
            try:
                await work(store, url)
            finally:
                await store.close()

    asyncio.run(whole())


def test_deliveries_are_numbered_within_their_event():
    async def work(store, url):
        await store.append([new_event("slack", "crm", "file"), new_event("slack")])
        rows = postgres.run(url, "SELECT seq - event_seq, event_seq = (seq & ~4095::bigint) FROM queue ORDER BY seq")
        assert [tuple(row) for row in rows] == [(1, True), (2, True), (3, True), (1, True)]

    scenario_with(work)


def test_an_event_that_is_full_refuses_more_and_its_deaths_are_settled_all_the_same():
    async def work(store, url):
        await store.append([new_event("slack", "crm")])
        [slack, crm] = sorted(
            await store.claim("a", wants("slack", "crm")), key=lambda each: each.delivery.destination != "slack"
        )
        await store.settle([dead(slack)])
        postgres.run(url, FILL)
        with pytest.raises(StoreError, match=f"has {PLACES} deliveries already"):
            task = Task(
                verb="replay", by="ann", which=DeliveryQuery(ids=(slack.delivery.id,)), as_new=True, subject="x"
            )
            await store.begin(task)
        notice = Notice(id=crm.delivery.id, destination="crm", route="to-crm", attempts=1, reason="gone")
        settled = await store.settle([replace(dead(crm), told=Told(notice, (("tell", "slack"),)))])
        assert settled == {crm.delivery.id}
        page = await store.deliveries(DeliveryQuery(ids=(slack.delivery.event_id,)))
        assert sorted((each.destination, each.state) for each in page.rows) == [("crm", "dead"), ("slack", "dead")]

    scenario_with(work)
