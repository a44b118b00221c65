"""What every store promises the replicas that share it: hints, holds, who decides for a destination, crashes."""

import asyncio

import pytest
from msgspec.structs import replace

from gateway.model import Release
from gateway.store.holds import Circuit, Hold, Pause
from gateway.store.nouns import Outcome
from gateway.store.queries import DeliveryQuery
from tests.store.database import looked
from tests.store.given import (
    delivered,
    leased,
    new_event,
    retry,
    terms,
    wants,
)

# --- hints ---


async def hint(store):
    """The destinations that wake names now; None: it waits."""
    task = asyncio.create_task(store.wake())
    for _ in range(5):
        await store.load(["evt_unknown"])
        await asyncio.sleep(0)
    await looked(store)
    if task.done():
        return set(task.result())
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return None


def test_a_hint_comes_once_for_each_change(run, clock):
    async def scenario(store):
        await hint(store)
        assert await hint(store) is None
        await store.append([new_event("slack")])
        assert "slack" in await hint(store)
        assert await hint(store) is None, "what is due already and not taken is no news"
        [lease] = await store.claim("a", wants("slack"))
        await store.settle([retry(lease, after_s=10.0)])
        assert await hint(store) is None
        clock.move(10.0)
        assert "slack" in await hint(store), "a retry became due"
        [lease] = await store.claim("a", wants("slack"))
        await store.settle([Outcome(lease, Release())])
        assert "slack" in await hint(store), "a lease was given back"
        [lease] = await store.claim("a", wants("slack", lease_s=20.0))
        assert await hint(store) is None
        clock.move(20.0)
        assert "slack" in await hint(store), "a lease ran out"

    run(scenario)


def test_a_lease_that_ran_out_behind_one_that_was_settled_is_hinted_at(run, clock):
    async def scenario(store):
        await hint(store)
        [early] = await leased(store, "slack")
        clock.move(20.0)
        [late] = await leased(store, "slack")
        await store.settle([delivered(early)])
        clock.move(10.0)
        await hint(store)
        assert await hint(store) is None
        assert await store.claim("a", wants("slack")) == []
        clock.move(20.0)
        assert "slack" in await hint(store)
        assert len(await store.claim("a", wants("slack"))) == 1
        assert await store.settle([delivered(late)]) == frozenset()

    run(scenario)


def test_the_first_hint_names_everything_that_is_due(kind, clock):
    async def scenario():
        store = await kind.open(clock)
        await store.append([new_event("slack", "crm")])
        await store.close()
        store = await kind.open(clock)
        assert {"slack", "crm"} <= await hint(store)
        await store.close()

    asyncio.run(scenario())


def test_a_hint_wakes_whoever_waits_for_it(run):
    async def scenario(store):
        await hint(store)
        waiting = asyncio.create_task(store.wake())
        await asyncio.sleep(0)
        await store.append([new_event("slack")])
        assert "slack" in await asyncio.wait_for(waiting, 30.0)

    run(scenario)


# --- what holds a destination ---

PAUSE = Pause(by="ann", reason="their migration", since=1.0)
MUTE = Pause(by="bob", reason="known", since=2.0, until=9.0)


def test_a_hold_is_stored_whole_and_its_times_run_on(run, clock):
    async def scenario(store):
        assert await store.holds() == []
        circuit = Circuit(failures=7, denied=("evt_1", "evt_2"), next_probe_s=30.0, interval_s=60.0)
        hold = Hold(destination="crm", pause=PAUSE, mute=MUTE, circuit=circuit, wait_s=20.0)
        assert await store.set_hold(hold)
        assert await store.holds() == [replace(hold, rev=1)]
        clock.move(25.0)
        [later] = await store.holds()
        assert later.circuit.next_probe_s == pytest.approx(5.0)
        assert (later.circuit.failures, later.circuit.interval_s, later.wait_s) == (7, 60.0, 0.0)
        assert (later.pause, later.mute) == (PAUSE, MUTE)

    run(scenario)


def test_a_hold_based_on_an_older_revision_is_refused(run):
    async def scenario(store):
        first = Hold(destination="crm", pause=PAUSE)
        assert await store.set_hold(first)
        assert not await store.set_hold(first), "somebody else was first"
        assert not await store.set_hold(replace(first, rev=2))
        assert await store.set_hold(replace(first, rev=1, pause=None))
        [ended] = await store.holds()
        assert (ended.rev, ended.pause) == (2, None), "a later pause is not mistaken for this one"
        assert not await store.set_hold(first)
        assert await store.set_hold(replace(ended, mute=MUTE))

    run(scenario)


def test_of_parallel_changes_of_one_hold_one_wins(run):
    async def scenario(store):
        holds = [Hold(destination="crm", pause=replace(PAUSE, by=name)) for name in ("ann", "bob", "cleo")]
        won = await asyncio.gather(*(store.set_hold(hold) for hold in holds))
        assert sorted(won) == [False, False, True]
        [hold] = await store.holds()
        assert hold.pause == holds[won.index(True)].pause

    run(scenario)


def test_a_hold_with_texts_that_are_not_unicode_can_be_stored(run):
    async def scenario(store):
        assert await store.set_hold(Hold(destination="crm", pause=replace(PAUSE, reason="why not \ud800")))
        [hold] = await store.holds()
        assert hold.pause.reason == "why not ?"

    run(scenario)


def test_holds_are_there_after_the_store_was_closed_and_opened(kind, clock):
    async def scenario():
        store = await kind.open(clock)
        circuit = Circuit(failures=0, denied=("evt_1", "evt_2", "evt_3"), next_probe_s=30.0, interval_s=30.0)
        await store.set_hold(Hold(destination="crm", mute=MUTE, circuit=circuit))
        await store.close()
        clock.move(10.0)
        store = await kind.open(clock)
        [hold] = await store.holds()
        assert (hold.mute, hold.circuit.denied) == (MUTE, circuit.denied)
        assert hold.circuit.next_probe_s == pytest.approx(20.0)
        await store.close()

    asyncio.run(scenario())


def test_a_replica_decides_for_destinations_for_a_time_and_with_a_share_of_their_slots(run):
    async def scenario(store):
        assigned = await store.assigned("a", terms("slack", "crm"))
        assert set(assigned.destinations) <= {"slack", "crm"}
        for each in assigned.destinations.values():
            assert each.until_s > 0
            assert 0 < each.share <= 1
        assert await store.assigned("a", terms("slack", "crm")) == assigned

    run(scenario)


# --- due at once ---


def test_what_waits_for_another_attempt_can_be_due_at_once_and_nothing_else(run, clock):
    async def scenario(store):
        await store.append([new_event("slack") for _ in range(4)])
        first, second, third, fourth = await store.claim("a", wants("slack"))
        await store.settle([retry(first, after_s=3600.0), retry(second, after_s=7200.0), delivered(third)])
        await hint(store)
        ids = [each.delivery.id for each in (first, third, fourth)]
        assert await store.hasten([*ids, "dlv_unknown", "garbage \ufffd\0"]) == 1
        assert await hint(store) == {"slack"}
        [again] = await store.claim("a", wants("slack"))
        assert (again.delivery.id, again.delivery.attempts) == (first.delivery.id, 1)
        assert await store.hasten([first.delivery.id]) == 0, "it is leased"
        await store.settle([delivered(again), delivered(fourth)])
        assert await store.hasten([first.delivery.id]) == 0, "it has ended"
        clock.move(7200.0)
        assert await store.hasten([second.delivery.id]) == 0, "it is due already"

    run(scenario)


def test_what_was_never_attempted_or_waits_behind_another_one_is_not_due_any_sooner(run):
    async def scenario(store):
        await store.append([new_event("slack", lanes=("451",)), new_event("slack", lanes=("451",))])
        [head] = await store.claim("a", wants("slack"))
        await store.settle([retry(head, after_s=3600.0)])
        page = await store.deliveries(DeliveryQuery(destination="slack"))
        assert await store.hasten([each.id for each in page.rows]) == 1
        [again] = await store.claim("a", wants("slack"))
        assert again.delivery.id == head.delivery.id

    run(scenario)


# --- crashes ---


def test_a_crash_counts_against_a_delivery_until_it_is_settled(run):
    async def scenario(store):
        await store.append([new_event("slack"), new_event("slack")])
        [lease, other] = await store.claim("a", wants("slack"))
        assert (await store.crashed(lease.delivery.id)).crashes == 1
        assert (await store.crashed(lease.delivery.id)).crashes == 2
        await store.settle([Outcome(lease, Release()), delivered(other)])
        [again] = await store.claim("a", wants("slack"))
        assert again.delivery.crashes == 2
        assert await store.crashed(other.delivery.id) is None, "it is not pending"
        assert await store.crashed("garbage \ufffd") is None

    run(scenario)


# --- two replicas on one state ---


def test_two_replicas_that_claim_at_once_share_what_is_due(run_two):
    async def scenario(one, other):
        await one.append([new_event(*["slack"] * 10)])
        claimed = await asyncio.gather(
            one.claim("a", wants("slack", slots=6)), other.claim("b", wants("slack", slots=6))
        )
        assert sorted(map(len, claimed)) == [4, 6]
        assert len({lease.delivery.id for leases in claimed for lease in leases}) == 10
        assert [{lease.owner for lease in leases} for leases in claimed] == [{"a"}, {"b"}]

    run_two(scenario)


def test_what_a_replica_left_behind_is_claimed_by_the_other_and_the_first_one_is_fenced(run_two, clock):
    async def scenario(one, other):
        [appended] = await one.append([new_event("slack", lease_s=30.0)], replica="a")
        [lost] = appended.leases
        assert await other.claim("b", wants("slack")) == []
        await one.close()
        clock.move(30.0)
        [lease] = await other.claim("b", wants("slack"))
        assert (lease.owner, lease.delivery.id) == ("b", lost.delivery.id)
        assert await other.settle([delivered(lost)]) == frozenset()
        assert await other.settle([delivered(lease)]) == {lease.delivery.id}

    run_two(scenario)


def test_a_key_that_one_replica_stored_is_a_duplicate_at_the_other(run_two):
    async def scenario(one, other):
        first, second = new_event("slack", key=b"k"), new_event("slack", key=b"k")
        appended = await asyncio.gather(one.append([first]), other.append([second]))
        assert sorted(each.duplicate for [each] in appended) == [False, True]
        assert len({each.event_id for [each] in appended}) == 1

    run_two(scenario)


def test_a_new_delivery_waits_behind_those_that_another_replica_stored(run_two):
    async def scenario(one, other):
        await one.append([new_event("slack")])
        [appended] = await other.append([new_event("slack", lease_s=30.0)])
        assert appended.leases == ()

    run_two(scenario)


def test_a_hint_reaches_every_replica(run_two):
    async def scenario(one, other):
        await hint(one), await hint(other)
        await one.append([new_event("slack")])
        for each in (one, other):
            # It may come late.
            assert "slack" in await asyncio.wait_for(each.wake(), 30.0)

    run_two(scenario)


def held(assigned):
    """What a replica alone claims from; others may share its slots."""
    return {name: each for name, each in assigned.destinations.items() if each.is_holder}


def test_destinations_that_look_ups_join_are_decided_for_by_one_replica_and_pass_on_together(run_two, clock):
    async def scenario(one, other):
        names = [f"d{number}" for number in range(8)]
        joined = terms(*names, is_paced=True, group="d0")
        for _ in range(3):
            mine, theirs = held(await one.assigned("a", joined)), held(await other.assigned("b", joined))
            assert sorted(map(len, (mine, theirs))) == [0, 8]
            clock.move(4.0)
        first, second = ((one, "a"), (other, "b")) if mine else ((other, "b"), (one, "a"))
        await first[0].release(first[1], names)
        clock.move(40.0)
        assert len(held(await second[0].assigned(second[1], joined))) == 8

    run_two(scenario)


def test_a_destination_is_decided_for_by_one_replica_and_passes_on_under_another_epoch(run_two, clock):
    async def scenario(one, other):
        mine = held(await one.assigned("a", terms("slack", "crm")))
        assert not set(mine) & set(held(await other.assigned("b", terms("slack", "crm"))))
        clock.move(max(each.until_s for each in mine.values()))
        theirs = held(await other.assigned("b", terms("slack", "crm")))
        assert set(mine) <= set(theirs)
        assert all(theirs[name].epoch != mine[name].epoch for name in mine)
        assert not held(await one.assigned("a", terms("slack", "crm")))

    run_two(scenario)


def test_a_destination_that_is_released_passes_on_at_once(run_two):
    async def scenario(one, other):
        mine = held(await one.assigned("a", terms("slack", "crm")))
        await other.release("b", mine)
        assert not set(mine) & set(held(await other.assigned("b", terms("slack", "crm")))), "not theirs to give up"
        await one.release("a", ["slack"])
        theirs = held(await other.assigned("b", terms("slack", "crm")))
        assert "slack" in theirs
        assert theirs["slack"].epoch != mine["slack"].epoch

    run_two(scenario)


def test_a_hold_that_one_replica_stores_is_seen_by_the_other_whose_older_one_is_refused(run_two):
    async def scenario(one, other):
        assert await one.set_hold(Hold(destination="crm", pause=PAUSE))
        assert not await other.set_hold(Hold(destination="crm", mute=MUTE))
        [known] = await other.holds()
        assert await other.set_hold(replace(known, mute=MUTE))
        [both] = await one.holds()
        assert (both.pause, both.mute, both.rev) == (PAUSE, MUTE, 2)

    run_two(scenario)
