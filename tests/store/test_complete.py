"""What every complete store promises besides: replays, lists, retention, and what is left after its end."""

import asyncio

import pytest

from gateway.errors import StoreUnavailable
from gateway.model import DeliveryState
from gateway.store.nouns import Retention
from gateway.store.queries import DeliveryQuery, EventQuery
from tests.store.given import (
    dead,
    delivered,
    leased,
    new_event,
    prune_all,
    replay,
    retry,
    wants,
)

DAY = 86400.0


# --- replay ---


def test_a_dead_delivery_is_replayed_from_the_start_and_its_attempts_are_numbered_on(run):
    async def scenario(store):
        [lease] = await leased(store, "slack")
        await store.settle([dead(lease)])
        [moved] = await replay(store, lease.delivery.id)
        assert (moved.state, moved.attempts, moved.attempts_before_replay, moved.spent_s) == ("pending", 1, 1, 0.0)
        assert moved.due_in_s == 0.0
        [again] = await store.claim("a", wants("slack"))
        await store.settle([delivered(again)])
        history = await store.event(lease.delivery.event_id)
        assert [a.number for a in history.attempts[lease.delivery.id]] == [1, 2]

    run(scenario)


def test_an_events_id_replays_all_of_its_deliveries_but_the_pending(run):
    async def scenario(store):
        one, two, _ = await leased(store, "slack", "crm", "file")
        await store.settle([delivered(one), dead(two)])
        moved = await replay(store, one.delivery.event_id)
        assert {delivery.destination for delivery in moved} == {"slack", "crm"}
        assert await replay(store, one.delivery.event_id) == []

    run(scenario)


def test_an_unknown_id_replays_nothing_at_all(run):
    async def scenario(store):
        [lease] = await leased(store, "slack")
        await store.settle([dead(lease)])
        with pytest.raises(KeyError, match="dlv_unknown"):
            await replay(store, lease.delivery.id, "dlv_unknown")
        assert len((await store.deliveries(DeliveryQuery(state=DeliveryState.DEAD))).rows) == 1
        new = new_event()
        await store.append([new])
        assert await replay(store, new.event.id) == []

    run(scenario)


# --- the read side ---


def test_lists_are_paged_from_the_newest(run):
    async def scenario(store):
        news = [new_event("slack") for _ in range(7)]
        for new in news:
            await store.append([new])
        ids, before = [], ""
        while before or not ids:
            page = await store.events(EventQuery(limit=3, before=before))
            ids += [row.id for row in page.rows]
            before = page.next
            if not before:
                break
        assert ids == [new.event.id for new in reversed(news)]
        page = await store.deliveries(DeliveryQuery(state=DeliveryState.PENDING, limit=3))
        rest = await store.deliveries(
            DeliveryQuery(state=DeliveryState.PENDING, limit=10, before=page.next, destination="slack")
        )
        assert [each.event_id for each in (*page.rows, *rest.rows)] == ids
        assert not rest.next
        assert (await store.deliveries(DeliveryQuery(state=DeliveryState.PENDING, destination="crm"))).rows == ()
        [row] = (await store.events(EventQuery(limit=1))).rows
        assert (row.size, row.source, row.type) == (len(news[-1].event.body), "crm", "contact.created")

    run(scenario)


def test_what_waits_is_counted_by_route_and_destination(run):
    async def scenario(store):
        assert await store.waiting() == {}
        news = [new_event("slack", "crm") for _ in range(3)]
        for new in news:
            await store.append([new])
        leases = {lease.delivery.destination: lease for lease in await store.claim("a", wants("slack", "crm", slots=1))}
        assert await store.waiting() == {("to-slack", "slack"): 3, ("to-crm", "crm"): 3}
        await store.settle([dead(leases["slack"]), retry(leases["crm"])])
        assert await store.waiting() == {("to-slack", "slack"): 2, ("to-crm", "crm"): 3}

    run(scenario)


# --- prune ---


def test_finished_events_are_removed_after_their_retention(run, clock):
    async def scenario(store):
        for _ in range(5):
            [lease] = await leased(store, "slack", window_s=10 * DAY)
            await store.settle([delivered(lease)])
        await store.append([new_event()])
        assert await prune_all(store, Retention()) == 0
        clock.move(10 * DAY)
        assert await prune_all(store, Retention(), limit=2) == 6, "the keys"
        clock.move(20 * DAY)
        assert await prune_all(store, Retention(), limit=2) == 5 + 6, "attempts and events"
        assert (await store.events()).rows == ()

    run(scenario)


def test_pruning_keeps_what_is_pending_or_dead_for_long_and_all_that_it_needs(run, clock):
    async def scenario(store):
        waiting, gone, given_up = new_event("slack"), new_event(), None
        await store.append([waiting])
        await store.append([gone])
        [given_up] = await leased(store, "crm")
        await store.settle([dead(given_up)])
        clock.move(40 * DAY)
        await prune_all(store, Retention(), limit=1)
        assert [row.id for row in (await store.events()).rows] == [given_up.delivery.event_id, waiting.event.id]
        assert await store.load([waiting.event.id]) == {waiting.event.id: waiting.event}
        clock.move(60 * DAY)
        await prune_all(store, Retention(), limit=1)
        assert [row.id for row in (await store.events()).rows] == [waiting.event.id]
        [lease] = await store.claim("a", wants("slack"))
        assert lease.delivery.id == waiting.deliveries[0].id

    run(scenario)


# --- after the end ---


def test_everything_is_there_after_it_was_closed_and_opened(kind, clock):
    async def scenario():
        store = await kind.open(clock)
        new = new_event("slack", "crm", lease_s=30.0)
        [appended] = await store.append([new])
        await store.settle([retry(appended.leases[0], after_s=60.0)])
        await store.close()
        await store.close()
        with pytest.raises(StoreUnavailable, match="closed"):
            await store.settle([])
        store = await kind.open(clock)
        [lease] = await store.claim("a", wants("slack", "crm"))
        assert lease.delivery.destination == "crm"
        assert await store.settle([delivered(appended.leases[1])]) == frozenset()
        clock.move(60.0)
        [lease] = await store.claim("a", wants("slack"))
        assert await store.load([lease.delivery.event_id]) == {new.event.id: new.event}
        await store.close()

    asyncio.run(scenario())


def test_close_finishes_what_waits(kind, clock):
    async def scenario():
        store = await kind.open(clock)
        appends = [asyncio.ensure_future(store.append([new_event("slack")])) for _ in range(20)]
        await asyncio.sleep(0)
        await store.close()
        assert all(not appended.duplicate for [appended] in await asyncio.gather(*appends))
        store = await kind.open(clock)
        assert len((await store.events()).rows) == 20
        await store.close()

    asyncio.run(scenario())
