"""What every store promises about appending, leasing and settling."""

import asyncio

import pytest
from msgspec.structs import replace

from gateway.errors import StoreError, StoreUnavailable
from gateway.model import Dead, Delivered, DeliveryState, Discard, Lookup, Misfit, Release, Retry
from gateway.store.nouns import Outcome, Want
from gateway.store.queries import DeliveryQuery
from tests.store.given import (
    attempt,
    dead,
    delivered,
    leased,
    new_event,
    replay,
    retry,
    wants,
)

# --- append ---


async def stored(store, *news):
    """Those that the store has."""
    return [new for new in news if await store.event(new.event.id)]


def test_an_event_is_stored_with_its_deliveries_and_read_back_as_it_was(run):
    async def scenario(store):
        new = new_event("slack", "crm", body=b"\x00\xff any bytes")
        [appended] = await store.append([new])
        assert (appended.event_id, appended.duplicate, appended.leases) == (new.event.id, False, ())
        history = await store.event(new.event.id)
        assert history.event == new.event
        assert history.intact
        assert [d.destination for d in history.deliveries] == ["slack", "crm"]
        assert {d.state for d in history.deliveries} == {DeliveryState.PENDING}
        assert await store.load([new.event.id, "evt_unknown"]) == {new.event.id: new.event}
        assert (await store.event(new.deliveries[1].id)).event.id == new.event.id
        assert await store.event("evt_unknown") is None

    run(scenario)


def test_why_an_event_does_not_fit_its_schema_is_kept_with_it(run):
    async def scenario(store):
        new = new_event("slack")
        misfit = Misfit("payload.data.e-mail", 'does not match the pattern "@", grüße')
        marked = replace(new, event=replace(new.event, invalid=misfit))
        await store.append([marked, fitting := new_event("slack")])
        assert (await store.event(marked.event.id)).event == marked.event
        found = await store.load([marked.event.id, fitting.event.id])
        assert [each.invalid for each in found.values()] == [misfit, None]

    run(scenario)


def test_an_event_that_matches_nothing_is_stored_too(run):
    async def scenario(store):
        new = new_event()
        await store.append([new])
        assert (await store.event(new.event.id)).deliveries == ()

    run(scenario)


def test_a_key_seen_within_its_window_answers_the_first_event(run, clock):
    async def scenario(store):
        first, second = new_event("slack", key=b"k", window_s=100.0), new_event("slack", key=b"k", window_s=100.0)
        await store.append([first])
        clock.move(99.0)
        [again] = await store.append([second])
        [once_more] = await store.append([first])
        assert (again.event_id, again.duplicate, again.leases) == (first.event.id, True, ())
        assert once_more == again
        assert await stored(store, first, second) == [first]

    run(scenario)


def test_an_expired_key_is_taken_over(run, clock):
    async def scenario(store):
        await store.append([new_event(key=b"k", window_s=100.0)])
        clock.move(100.0)
        second = new_event(key=b"k", window_s=100.0)
        assert (await store.append([second]))[0].event_id == second.event.id
        clock.move(99.0)
        [third] = await store.append([new_event(key=b"k", window_s=100.0)])
        assert (third.event_id, third.duplicate) == (second.event.id, True)

    run(scenario)


def test_the_same_key_of_two_sources_is_two_events(run):
    async def scenario(store):
        news = [new_event(key=b"k", source="a"), new_event(key=b"k", source="b")]
        await store.append(news)
        assert await stored(store, *news) == news

    run(scenario)


def test_parallel_appends_of_one_key_store_one_event(run):
    async def scenario(store):
        news = [new_event("slack", key=b"k", lease_s=30.0) for _ in range(20)]
        answers = await asyncio.gather(*(store.append([new]) for new in news))
        assert len({appended.event_id for [appended] in answers}) == 1
        assert sum(not appended.duplicate for [appended] in answers) == 1
        assert sum(len(appended.leases) for [appended] in answers) == 1

    run(scenario)


def test_one_call_that_cannot_be_stored_fails_whole_and_alone(run):
    async def scenario(store):
        taken = new_event("slack")
        await store.append([taken])
        clash = new_event("slack")
        clash = type(clash)(event=taken.event, key=b"another", window_s=1.0, deliveries=clash.deliveries)
        beside, before, lost = new_event("slack"), new_event("slack"), new_event("slack")
        results = await asyncio.gather(
            store.append([before]),
            store.append([lost, clash]),
            store.append([beside]),
            return_exceptions=True,
        )
        assert [type(result).__name__ for result in results] == ["list", "StoreError", "list"]
        assert await stored(store, taken, before, lost, beside) == [taken, before, beside]
        assert len((await store.deliveries(DeliveryQuery())).rows) == 3
        assert store.healthy

    run(scenario)


def test_an_append_whose_caller_has_gone_is_carried_out_and_its_leases_are_given_back(run):
    async def scenario(store):
        new = new_event("slack", lease_s=30.0)
        appending = store.append([new])
        appending.cancel()
        await asyncio.gather(appending, return_exceptions=True)
        await store.append([new_event()])
        await store.append([new_event()])
        assert await stored(store, new) == [new]
        [lease] = await store.claim("a", wants("slack"))
        assert lease.delivery.id == new.deliveries[0].id

    run(scenario)


def test_a_failed_append_stores_nothing_and_raises(run):
    async def scenario(store):
        taken = new_event()
        await store.append([taken])
        clash = type(taken)(event=taken.event, key=b"another", window_s=1.0)
        with pytest.raises(StoreError):
            await store.append([clash])
        await store.close()
        with pytest.raises(StoreUnavailable):
            await store.append([new_event()])

    run(scenario)


# --- leases and claims ---


def test_a_lease_is_granted_with_the_append_when_nothing_waits(run):
    async def scenario(store):
        [appended] = await store.append([new_event("slack", lease_s=30.0)], replica="b")
        [lease] = appended.leases
        assert (lease.delivery.destination, lease.delivery.attempts) == ("slack", 0)
        assert (lease.owner, lease.expires) == ("b", 30.0)
        assert await store.claim("a", wants("slack")) == []

    run(scenario)


def test_a_lease_names_its_owner_and_when_it_expires(run):
    async def scenario(store):
        await store.append([new_event("slack")])
        [lease] = await store.claim("b", wants("slack", lease_s=20.0))
        assert (lease.owner, lease.expires) == ("b", 20.0)

    run(scenario)


def test_a_new_delivery_waits_behind_those_that_are_due(run):
    async def scenario(store):
        await store.append([new_event("slack")])
        assert await leased(store, "slack") == ()
        assert len(await leased(store, "crm")) == 1
        claimed = await store.claim("a", wants("slack"))
        assert len(claimed) == 2
        assert len(await leased(store, "slack")) == 1

    run(scenario)


def test_a_retry_that_is_not_due_yet_holds_nobody_up(run, clock):
    async def scenario(store):
        [lease] = await leased(store, "slack")
        await store.settle([retry(lease)])
        assert len(await leased(store, "slack")) == 1
        clock.move(60.0)
        assert await leased(store, "slack") == ()

    run(scenario)


def test_the_longest_due_are_claimed_first_and_no_more_than_there_are_slots(run, clock):
    async def scenario(store):
        ids = []
        for name in ("slack", "crm", "slack", "slack"):
            new = new_event(name)
            ids.append(new.deliveries[0].id)
            await store.append([new])
            clock.move(1.0)
        claimed = await store.claim("a", {"slack": Want(2, 30.0), "crm": Want(5, 30.0), "none": Want(1, 1.0)})
        assert [lease.delivery.id for lease in claimed] == ids[:3]
        assert claimed[0].delivery.due_in_s == pytest.approx(-4.0)
        assert await store.claim("a", {"slack": Want(0, 30.0)}) == []
        assert [lease.delivery.id for lease in await store.claim("a", wants("slack"))] == ids[3:]

    run(scenario)


def test_events_that_go_last_are_claimed_after_the_others_and_the_last_of_them_last_of_all(run, clock):
    async def scenario(store):
        events = []
        for _ in range(4):
            new = new_event("slack", "crm")
            events.append(new.event.id)
            await store.append([new])
            clock.move(1.0)
        b, a, c, d = events
        wanted = {"slack": Want(1, 30.0, last=(a, b))}
        claimed = [lease for _ in range(5) for lease in await store.claim("a", wanted)]
        assert [lease.delivery.event_id for lease in claimed] == [c, d, a, b]
        assert [lease.delivery.destination for lease in claimed] == ["slack"] * 4
        await store.settle([retry(lease, after_s=5.0) for lease in claimed[2:]])
        assert await store.claim("a", wanted) == [], "they are not due yet"
        clock.move(6.0)
        claimed = [lease for _ in range(3) for lease in await store.claim("a", wanted)]
        assert [lease.delivery.event_id for lease in claimed] == [a, b]

    run(scenario)


def test_an_expired_lease_can_be_claimed_again_and_the_old_one_is_lost_then(run, clock):
    async def scenario(store):
        [old] = await leased(store, "slack")
        clock.move(29.9)
        assert await store.claim("a", wants("slack")) == []
        clock.move(0.2)
        [new] = await store.claim("a", wants("slack"))
        assert new.delivery.id == old.delivery.id
        assert new.token != old.token
        assert await store.settle([dead(old)]) == frozenset()
        assert (await store.event(old.delivery.id)).deliveries[0].state is DeliveryState.PENDING
        assert await store.settle([delivered(new)]) == {new.delivery.id}

    run(scenario)


def test_a_claim_that_nobody_waits_for_is_given_back(run):
    async def scenario(store):
        await store.append([new_event("slack")])
        task = asyncio.create_task(store.claim("a", wants("slack")))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await store.append([new_event()])
        await store.append([new_event()])
        assert len(await store.claim("a", wants("slack"))) == 1

    run(scenario)


# --- settle ---


def test_a_delivered_delivery_keeps_its_attempt_and_is_not_claimed_again(run, clock):
    async def scenario(store):
        [lease] = await leased(store, "slack")
        outcome = delivered(lease)
        assert await store.settle([outcome]) == {lease.delivery.id}
        assert await store.settle([outcome]) == frozenset()
        history = await store.event(lease.delivery.event_id)
        [delivery] = history.deliveries
        assert (delivery.state, delivery.attempts, delivery.last_status) == (DeliveryState.DELIVERED, 1, 200)
        assert delivery.due_in_s is None
        assert history.attempts == {delivery.id: (outcome.attempt,)}
        clock.move(1000.0)
        assert await store.claim("a", wants("slack")) == []

    run(scenario)


def test_a_retry_is_claimed_when_it_is_due_and_not_before(run, clock):
    async def scenario(store):
        [lease] = await leased(store, "slack")
        await store.settle([retry(lease, after_s=60.0, spent_s=50.0)])
        clock.move(59.9)
        assert await store.claim("a", wants("slack")) == []
        clock.move(0.2)
        [again] = await store.claim("a", wants("slack"))
        assert (again.delivery.attempts, again.delivery.spent_s, again.delivery.reason) == (1, 50.0, "HTTP 503")
        await store.settle([retry(again, after_s=60.0, spent_s=60.0)])
        [delivery] = (await store.event(lease.delivery.id)).deliveries
        assert (delivery.attempts, delivery.spent_s) == (2, 110.0)
        assert delivery.due_in_s == pytest.approx(60.0)

    run(scenario)


def test_a_dead_delivery_keeps_its_reason_status_and_answer(run):
    async def scenario(store):
        [lease] = await leased(store, "slack")
        await store.settle([dead(lease)])
        [delivery] = (await store.deliveries(DeliveryQuery(state=DeliveryState.DEAD))).rows
        assert (delivery.reason, delivery.last_status, delivery.last_answer) == ("HTTP 400", 400, "no")

    run(scenario)


def test_what_an_attempt_looked_up_and_chose_is_kept_with_it(run, clock):
    async def scenario(store):
        [lease] = await leased(store, "slack")
        failed = Lookup(name="person", destination="crm", duration_s=10.0)
        first = attempt(lease, "retry", reason="fetch person: crm: no answer", next_s=60.0, lookups=(failed,))
        await store.settle([Outcome(lease, Retry("fetch person: crm: no answer", 60.0, 60.0), first)])
        clock.move(61.0)
        [again] = await store.claim("a", wants("slack"))
        found = Lookup(name="person", destination="crm", method="POST", status=200, size=34, found=True, cached=True)
        second = attempt(again, status=200, lookups=(found, failed), choice=2)
        assert await store.settle([Outcome(again, Delivered(), second)]) == {lease.delivery.id}
        history = await store.event(lease.delivery.event_id)
        assert history.attempts[lease.delivery.id] == (first, second)

    run(scenario)


def test_each_attempt_that_is_recorded_with_others_keeps_what_it_looked_up_and_says_of_memory_itself(run):
    async def scenario(store):
        leases = [lease for _ in range(2) for lease in await leased(store, "crm", "slack", "ops")]
        lookup = Lookup(name="person", destination="crm", duration_s=10.0)
        more = (
            {"lookups": (lookup,), "choice": 1},
            {"memory": "nothing is remembered as crm-id of 1"},
            {},
            {"choice": 2, "memory": "remembered as crm-id of 2"},
            {"lookups": (lookup, lookup)},
            {"memory": "grüße"},
        )
        made = {lease.delivery.id: attempt(lease, **each) for lease, each in zip(leases, more, strict=True)}
        # One of them is settled twice: nothing of the second outcome is recorded.
        await store.settle([Outcome(leases[4], Delivered(), made[leases[4].delivery.id])])
        again = replace(made[leases[4].delivery.id], lookups=(), memory="too late")
        outcomes = [Outcome(lease, Delivered(), made[lease.delivery.id]) for lease in leases]
        outcomes[4] = Outcome(leases[4], Delivered(), again)
        assert leases[4].delivery.id not in await store.settle(outcomes)
        kept = {}
        for event_id in {lease.delivery.event_id for lease in leases}:
            kept |= (await store.event(event_id)).attempts
        assert kept == {id_: (each,) for id_, each in made.items()}

    run(scenario)


def test_what_the_file_discards_has_ended_with_its_reason_and_is_not_claimed_again(run, clock):
    async def scenario(store):
        [lease] = await leased(store, "slack", lanes=["7"])
        [behind] = await store.append([new_event("slack", lanes=["7"])])
        made = attempt(lease, "discarded", reason="no element of choose holds")
        assert await store.settle([Outcome(lease, Discard("no element of choose holds"), made)]) == {lease.delivery.id}
        [delivery] = (await store.deliveries(DeliveryQuery(state=DeliveryState.DISCARDED))).rows
        assert (delivery.reason, delivery.attempts, delivery.cause) == ("no element of choose holds", 1, "")
        clock.move(1000.0)
        [next_one] = await store.claim("a", wants("slack"))
        assert next_one.delivery.event_id == behind.event_id

    run(scenario)


def test_what_is_put_back_without_an_attempt_waits_and_has_spent_nothing(run, clock):
    async def scenario(store):
        [lease] = await leased(store, "slack")
        await store.settle([Outcome(lease, Retry("waits to look in crm: paused", after_s=30.0))])
        assert await store.claim("a", wants("slack")) == []
        clock.move(31.0)
        [again] = await store.claim("a", wants("slack"))
        assert (again.delivery.attempts, again.delivery.spent_s) == (0, 0.0)
        assert again.delivery.reason == "waits to look in crm: paused"
        assert (await store.event(lease.delivery.event_id)).attempts == {}

    run(scenario)


def test_a_released_delivery_is_as_if_it_had_never_been_claimed(run):
    async def scenario(store):
        [lease] = await leased(store, "slack")
        assert await store.settle([Outcome(lease, Release())]) == {lease.delivery.id}
        [again] = await store.claim("a", wants("slack"))
        assert again.delivery.attempts == 0
        assert (await store.event(lease.delivery.id)).attempts == {}

    run(scenario)


def test_outcomes_in_any_number_are_settled_together(run):
    async def scenario(store):
        await store.append([new_event(*["slack"] * 150)])
        claimed = await store.claim("a", wants("slack", slots=200))
        assert len(claimed) == 150
        assert len(await store.settle([delivered(lease) for lease in claimed])) == 150
        assert len((await store.deliveries(DeliveryQuery(state=DeliveryState.DELIVERED, limit=500))).rows) == 150

    run(scenario)


def test_outcomes_whose_caller_has_gone_are_recorded_all_the_same(run):
    async def scenario(store):
        [lease] = await leased(store, "slack")
        settling = store.settle([delivered(lease)])
        settling.cancel()
        await asyncio.gather(settling, return_exceptions=True)
        while not (await store.deliveries(DeliveryQuery(state=DeliveryState.DELIVERED))).rows:
            await asyncio.sleep(0.001)

    run(scenario)


def test_a_text_that_is_not_unicode_can_be_settled(run):
    async def scenario(store):
        [lease] = await leased(store, "slack")
        outcome = Outcome(lease, Dead("bad \ud83d"), attempt(lease, "dead", reason="bad \ud83d", answer="\x00\udcff"))
        assert await store.settle([outcome]) == {lease.delivery.id}
        assert ((await store.deliveries(DeliveryQuery(state=DeliveryState.DEAD))).rows)[0].reason == "bad ?"

    run(scenario)


# --- room ---


def test_a_store_knows_how_many_deliveries_wait(run):
    async def scenario(store):
        assert store.room.pending == 0
        kept = await leased(store, "slack", "crm", "file")
        assert store.room.pending == 3
        await store.settle([delivered(kept[0]), dead(kept[1]), retry(kept[2])])
        assert store.room.pending == 1
        await replay(store, kept[0].delivery.id)
        assert store.room.pending == 2

    run(scenario)
