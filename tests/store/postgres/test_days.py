"""Days as partitions: made before they come, and removed as a whole without what is still needed."""

import asyncio

import pytest

from gateway.model import DeliveryState
from gateway.store.nouns import Retention
from gateway.store.postgres.days import AHEAD
from tests.store.database import PostgresKind, database
from tests.store.given import dead, delivered, leased, new_event, once, prune_all, retry, told

DAY = 86400.0
RETENTION = Retention(events_s=3 * DAY, attempts_s=3 * DAY, dead_s=10 * DAY)
DAYS = "SELECT relname FROM pg_class WHERE relname LIKE 'event\\_d%' AND relkind = 'r' ORDER BY relname"


def days():
    return [int(row[0].removeprefix("event_d")) for row in database().beside.execute(f"{DAYS} LIMIT $1", 1000)]


@pytest.fixture
def run_by_day(clock):
    """Run a test's coroutine on a store that has a day of its own for everything."""

    def run(scenario):
        async def whole():
            # Days that no other test has rows of.
            clock.move(100 * DAY)
            store = await PostgresKind(None).open(clock)
            try:
                await store.prune(RETENTION)
                await scenario(store)
            finally:
                await store.close()

        asyncio.run(whole())

    return run


def today(clock):
    return int((1_800_000_000.0 + clock.monotonic_s - 1000.0) // DAY)


def test_days_are_made_before_they_come(run_by_day, clock):
    async def scenario(store):
        assert set(range(today(clock), today(clock) + AHEAD + 1)) <= set(days())
        clock.move(2 * DAY)
        await store.prune(RETENTION)
        assert today(clock) + AHEAD in days()

    run_by_day(scenario)


def test_a_day_past_its_retention_goes_as_a_whole(run_by_day, clock):
    async def scenario(store):
        leases = await leased(store, "slack", "crm", "file", firings=[once("jo")])
        await store.settle([delivered(lease) for lease in leases])
        held = new_event("slack", firings=[once("jo", 20 * DAY)])
        await store.append([held])
        first = today(clock)
        clock.move(3.5 * DAY)
        later = new_event("slack")
        await store.append([later])
        assert first in days()
        assert await prune_all(store, RETENTION) > 0
        assert first in days(), "it is not over for long enough"
        clock.move(DAY)
        await prune_all(store, RETENTION)
        assert first not in days()
        assert [row.id for row in (await store.events()).rows] == [later.event.id]
        numbers = (await store.stats()).destinations
        assert {name: each.delivered for name, each in numbers.items() if each.delivered} == {}
        assert await store.check() == []

    run_by_day(scenario)


def test_what_is_still_needed_of_a_removed_day_is_kept_with_all_that_belongs_to_it(run_by_day, clock):
    async def scenario(store):
        waits, gone, died, goes = await leased(store, "retried", "slack", "crm", "file")
        over = (await leased(store, "slack"))[0]
        notified = dead(died)
        await store.settle(
            [
                retry(waits, after_s=30 * DAY),
                delivered(gone),
                type(notified)(died, notified.result, notified.attempt, told(died)),
            ]
        )
        await store.settle([delivered(goes), delivered(over)])
        before, first = await store.event(waits.delivery.event_id), today(clock)
        clock.move(4.5 * DAY)
        await prune_all(store, RETENTION)
        assert first not in days()
        after = await store.event(waits.delivery.event_id)
        assert after.event == before.event
        assert {each.id: each.state for each in after.deliveries} == {each.id: each.state for each in before.deliveries}
        assert {each.state for each in after.deliveries} == {
            DeliveryState.PENDING,
            DeliveryState.DELIVERED,
            DeliveryState.DEAD,
        }
        assert [each.notice.id for each in after.deliveries if each.notice] == [died.delivery.id]
        assert await store.event(over.delivery.event_id) is None
        assert await store.check() == []

    run_by_day(scenario)
