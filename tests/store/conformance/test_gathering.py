"""What every store promises about digests and about what is debounced."""

import asyncio

import pytest

from gateway.model import DeliveryState
from gateway.store.activities import Task
from gateway.store.queries import DeliveryQuery
from tests.store.given import dead, debounced, delivered, digest, new_event, replay, retry, wants


async def appended(store, *news):
    return [(await store.append([new]))[0].event_id for new in news]


async def deliveries(store, event_ids):
    return [each for id_ in event_ids for each in (await store.event(id_)).deliveries]


async def states(store, event_ids):
    return [each.state.value for each in await deliveries(store, event_ids)]


async def claimed(store, destination="slack"):
    return await store.claim("a", wants(destination))


async def discard(store, *ids):
    await store.begin(Task(verb="discard", by="ann", which=DeliveryQuery(ids=ids), subject="a test"))


# --- digests ---


def test_the_events_of_a_digest_are_one_delivery_that_is_due_once_the_first_has_waited(run, clock):
    async def scenario(store):
        [first] = await appended(store, digest("slack", lease_s=30.0))
        clock.move(600.0)
        others = await appended(store, digest("slack", lease_s=30.0), digest("slack"))
        head, *members = await deliveries(store, [first, *others])
        assert [each.digest for each in (head, *members)] == [head.id] * 3
        assert (head.gathered, head.due_in_s, head.waits) == (3, pytest.approx(300.0), True)
        assert [(each.due_in_s, each.is_behind, each.is_member) for each in members] == [(None, False, True)] * 2
        assert await claimed(store) == []
        clock.move(301.0)
        [lease] = await claimed(store)
        assert (lease.delivery.id, lease.delivery.digest) == (head.id, head.id)
        assert list(await store.gathered(head.id)) == [first, *others]

    run(scenario)


def test_the_members_of_a_digest_take_its_outcome_in_its_settle(run, clock):
    async def scenario(store):
        events = await appended(store, digest("slack"), digest("slack"), digest("slack"))
        clock.move(901.0)
        [lease] = await claimed(store)
        await store.gathered(lease.delivery.id)
        await store.settle([retry(lease, after_s=60.0)])
        assert await states(store, events) == ["pending"] * 3
        clock.move(61.0)
        [lease] = await claimed(store)
        assert list(await store.gathered(lease.delivery.id)) == events
        await store.settle([delivered(lease)])
        assert await states(store, events) == ["delivered"] * 3
        assert store.room.pending == 0
        assert await claimed(store) == []

    run(scenario)


def test_a_digest_that_is_dead_leaves_every_event_dead_with_the_reason_and_is_replayed_whole(run, clock):
    async def scenario(store):
        events = await appended(store, digest("slack"), digest("slack"), digest("slack"))
        clock.move(901.0)
        [lease] = await claimed(store)
        await store.settle([dead(lease)])
        assert [(each.state, each.reason, each.cause) for each in await deliveries(store, events)] == [
            (DeliveryState.DEAD, "HTTP 400", "HTTP 400")
        ] * 3
        await replay(store, events[1])
        assert await states(store, events) == ["pending"] * 3
        [lease] = await claimed(store)
        assert lease.delivery.event_id == events[0]
        assert list(await store.gathered(lease.delivery.id)) == events
        await store.settle([delivered(lease)])
        assert await states(store, events) == ["delivered"] * 3

    run(scenario)


def test_each_key_route_and_destination_has_a_digest_of_its_own(run, clock):
    async def scenario(store):
        await appended(store, digest("slack", "crm", key="a"), digest("slack", key="b"), digest("slack", key="a"))
        clock.move(901.0)
        assert len(await claimed(store)) == 2
        assert len(await claimed(store, "crm")) == 1

    run(scenario)


def test_a_full_digest_is_sent_at_once_and_the_next_event_begins_another(run, clock):
    async def scenario(store):
        events = await appended(store, digest("slack", most=2), digest("slack", most=2), digest("slack", most=2))
        [lease] = await claimed(store)
        assert list(await store.gathered(lease.delivery.id)) == events[:2]
        await store.settle([delivered(lease)])
        last = (await deliveries(store, events))[2]
        assert (last.digest, last.due_in_s) == (last.id, pytest.approx(900.0))
        clock.move(901.0)
        [second] = await claimed(store)
        assert second.delivery.id == last.id

    run(scenario)


def test_a_full_digest_that_has_a_time_waits_for_it(run, clock):
    async def scenario(store):
        await appended(store, *(digest("slack", most=2, is_sent_full=False) for _ in range(3)))
        assert await claimed(store) == []
        clock.move(901.0)
        assert len(await claimed(store)) == 2

    run(scenario)


def test_a_digest_takes_no_more_bytes_than_it_may_have_in_memory(run, clock):
    async def scenario(store):
        big = b'"' + b"x" * (600 * 1024) + b'"'
        await appended(store, digest("slack", body=big + b" "), digest("slack", body=big))
        assert len(await claimed(store)) == 1, "the first is sent, as if it was full"

    run(scenario)


def test_an_event_joins_until_the_digest_is_first_tried_and_not_after(run, clock):
    async def scenario(store):
        [first] = await appended(store, digest("slack"))
        clock.move(1000.0)
        [late] = await appended(store, digest("slack"))
        [lease] = await claimed(store)
        assert list(await store.gathered(lease.delivery.id)) == [first, late]
        [later] = await appended(store, digest("slack"))
        assert list(await store.gathered(lease.delivery.id)) == [first, late]
        await store.settle([delivered(lease)])
        assert await states(store, [first, late, later]) == ["delivered", "delivered", "pending"]

    run(scenario)


def test_many_events_of_one_request_gather_as_those_of_many(run, clock):
    async def scenario(store):
        await store.append([digest("slack", most=3) for _ in range(7)])
        await store.settle([delivered(lease) for lease in await claimed(store)])
        assert store.room.pending == 1
        clock.move(901.0)
        [last] = await claimed(store)
        assert len(await store.gathered(last.delivery.id)) == 1

    run(scenario)


def test_what_is_discarded_leaves_its_digest_and_the_next_one_sends_it(run, clock):
    async def scenario(store):
        events = await appended(store, digest("slack"), digest("slack"), digest("slack"))
        head, second, third = await deliveries(store, events)
        await discard(store, third.id)
        await discard(store, head.id)
        assert await states(store, events) == ["discarded", "pending", "discarded"]
        [more] = await appended(store, digest("slack"))
        clock.move(901.0)
        [lease] = await claimed(store)
        assert (lease.delivery.id, lease.delivery.gathered) == (second.id, 2)
        assert list(await store.gathered(lease.delivery.id)) == [events[1], more]
        await store.settle([delivered(lease)])
        assert await states(store, [events[1], more]) == ["delivered"] * 2

    run(scenario)


def test_a_replay_of_a_delivered_digest_that_is_stopped_leaves_it_delivered(run, clock):
    async def scenario(store):
        events = await appended(store, digest("slack"), digest("slack"))
        clock.move(901.0)
        [lease] = await claimed(store)
        await store.settle([delivered(lease)])
        activity = await store.begin(
            Task(verb="replay", by="ann", which=DeliveryQuery(ids=tuple(events)), subject="a test", interval_s=60.0)
        )
        assert await states(store, events) == ["pending"] * 2
        await store.stop(activity.id, by="ann")
        assert await states(store, events) == ["delivered"] * 2
        assert await claimed(store) == []

    run(scenario)


def test_a_replay_of_a_digest_with_new_ids_is_a_digest_of_the_same_events(run, clock):
    async def scenario(store):
        events = await appended(store, digest("slack"), digest("slack"), digest("slack"))
        clock.move(901.0)
        [lease] = await claimed(store)
        await store.settle([delivered(lease)])
        which = DeliveryQuery(ids=tuple(events))
        await store.begin(Task(verb="replay", by="ann", which=which, subject="a test", as_new=True))
        [lease] = await claimed(store)
        assert list(await store.gathered(lease.delivery.id)) == events
        assert (lease.delivery.digest, lease.delivery.gathered) == (lease.delivery.id, 3)
        await store.settle([delivered(lease)])
        assert await states(store, events) == ["delivered"] * 6
        assert store.room.pending == 0

    run(scenario)


def test_a_replay_of_a_digest_with_new_ids_that_is_stopped_discards_the_new_ones(run, clock):
    async def scenario(store):
        events = await appended(store, digest("slack"), digest("slack"))
        clock.move(901.0)
        [lease] = await claimed(store)
        await store.settle([delivered(lease)])
        which = DeliveryQuery(ids=tuple(events))
        again = Task(verb="replay", by="ann", which=which, subject="a test", as_new=True, interval_s=60.0)
        activity = await store.begin(again)
        await store.stop(activity.id, by="ann")
        assert sorted(await states(store, events)) == ["delivered", "delivered", "discarded", "discarded"]

    run(scenario)


# --- debounce ---


def test_of_a_key_only_the_last_event_is_sent_once_it_is_quiet(run, clock):
    async def scenario(store):
        events = await appended(store, debounced("crm", key="451"))
        clock.move(100.0)
        events += await appended(store, debounced("crm", key="451"), debounced("crm", key="452"))
        clock.move(100.0)
        assert await claimed(store, "crm") == []
        events += await appended(store, debounced("crm", key="451"))
        first, second, _, last = await deliveries(store, events)
        assert [each.state for each in (first, second)] == [DeliveryState.DISCARDED] * 2
        assert first.reason.startswith(f"superseded by {second.id}: ")
        assert second.reason.startswith(f"superseded by {last.id}: ")
        assert (last.due_in_s, last.digest) == (pytest.approx(120.0), "")
        clock.move(121.0)
        leases = await claimed(store, "crm")
        assert {lease.delivery.event_id for lease in leases} == {events[2], events[3]}
        await store.settle([delivered(lease) for lease in leases])
        assert store.room.pending == 0

    run(scenario)


def test_events_that_keep_coming_are_sent_after_the_longest_wait(run, clock):
    async def scenario(store):
        for _ in range(19):
            [last] = await appended(store, debounced("crm"))
            clock.move(100.0)
        [lease] = await claimed(store, "crm")
        assert lease.delivery.event_id == last

    run(scenario)


def test_what_is_being_sent_is_not_superseded_and_the_next_event_waits_anew(run, clock):
    async def scenario(store):
        [first] = await appended(store, debounced("crm"))
        clock.move(121.0)
        [lease] = await claimed(store, "crm")
        [second] = await appended(store, debounced("crm"))
        assert (await deliveries(store, [second]))[0].due_in_s == pytest.approx(120.0)
        await store.settle([delivered(lease)])
        assert await states(store, [first, second]) == ["delivered", "pending"]

    run(scenario)


def test_what_is_retried_is_superseded_by_a_newer_event(run, clock):
    async def scenario(store):
        [first] = await appended(store, debounced("crm"))
        clock.move(121.0)
        [lease] = await claimed(store, "crm")
        await store.settle([retry(lease, after_s=600.0)])
        [second] = await appended(store, debounced("crm"))
        assert await states(store, [first, second]) == ["discarded", "pending"]
        clock.move(121.0)
        [lease] = await claimed(store, "crm")
        assert lease.delivery.event_id == second

    run(scenario)


def test_a_duplicate_supersedes_nothing(run):
    async def scenario(store):
        new = debounced("crm", key="a")
        [first, again] = await appended(store, new, new)
        assert first == again
        assert await states(store, [first]) == ["pending"]

    run(scenario)


def test_what_gathers_holds_up_nothing_else(run):
    async def scenario(store):
        await appended(store, digest("slack"), debounced("slack"))
        [one] = await store.append([new_event("slack", lease_s=30.0)])
        assert len(one.leases) == 1

    run(scenario)


# --- many replicas ---


def test_what_joins_on_two_replicas_while_a_digest_is_sent_is_in_exactly_one_message(run_two, clock):
    async def scenario(one, other):
        news = [digest("slack", wait_s=1.0) for _ in range(60)]
        sent: list[str] = []

        async def send():
            for _ in range(12):
                clock.move(0.5)
                for store in (one, other):
                    for lease in await claimed(store):
                        sent.extend(await store.gathered(lease.delivery.id))
                        await store.settle([delivered(lease)])

        async def receive(store, some):
            for new in some:
                await store.append([new])

        await asyncio.gather(receive(one, news[:30]), receive(other, news[30:]), send())
        clock.move(2.0)
        for lease in await claimed(one):
            sent.extend(await one.gathered(lease.delivery.id))
            await one.settle([delivered(lease)])
        assert sorted(sent) == sorted(new.event.id for new in news)
        assert {*await states(one, [new.event.id for new in news])} == {"delivered"}

    run_two(scenario)


def test_of_what_is_debounced_on_two_replicas_exactly_one_event_is_left(run_two, clock):
    async def scenario(one, other):
        news = [debounced("crm", key="a") for _ in range(40)]
        await asyncio.gather(*(store.append([new]) for store, new in zip([one, other] * 20, news, strict=True)))
        found = await deliveries(one, [new.event.id for new in news])
        assert sorted(each.state.value for each in found) == ["discarded"] * 39 + ["pending"]
        clock.move(121.0)
        [lease] = await claimed(one, "crm")
        await one.settle([delivered(lease)])
        assert await claimed(other, "crm") == []

    run_two(scenario)
