"""Replays and discards of many: in slices, over restarts, at a pace, stopped, and never twice."""

import asyncio
from collections import Counter

import pytest
from msgspec.structs import replace

from gateway.errors import KeyReused, Overlaps
from gateway.model import Dead, DeliveryState, Retry
from gateway.store import rules
from gateway.store.activities import Task
from gateway.store.nouns import DeliveryQuery, NewDelivery, Outcome, Want
from gateway.store.rules import TASK_LEASE_S
from tests.store.given import attempt, delivered, new_event, wants

DEAD = DeliveryQuery(state=DeliveryState.DEAD)


def dead(lease, reason="answered 422: no"):
    return Outcome(lease, Dead(reason), attempt(lease, "dead", status=422, reason=reason))


def replay(which=DEAD, **more):
    return Task(verb="replay", by="ann", which=which, subject="a test", **more)


def discard(which=DEAD, **more):
    return Task(verb="discard", by="ann", which=which, subject="a test", **more)


async def given_dead(store, count, destination="slack", reason="answered 422: no"):
    """So many dead deliveries of a destination; their ids in the order of acceptance."""
    await store.append([new_event(destination) for _ in range(count)])
    leases = await store.claim("a", wants(destination, slots=count))
    await store.settle([dead(lease, reason) for lease in leases])
    return [lease.delivery.id for lease in leases]


async def finish(store):
    slices = 0
    while await store.go_on("main"):
        slices += 1
    return slices


async def states(store):
    seen = (await store.deliveries(DeliveryQuery(limit=1000))).rows
    return {
        name: Counter(each.state for each in seen if each.destination == name)
        for name in {each.destination for each in seen}
    }


@pytest.fixture
def slices_of_three(monkeypatch):
    # Of the last event that was read there may be more, so it waits for the next one.
    monkeypatch.setattr(rules, "SLICE", 4)


def test_a_replay_of_many_goes_on_slice_by_slice_in_the_order_of_acceptance(run, clock, slices_of_three):
    async def scenario(store):
        ids = await given_dead(store, 10)
        begun = await store.begin(replay())
        assert (begun.verb, begun.by, begun.subject) == ("replay", "ann", "a test")
        assert (begun.progress.total, begun.progress.moved, begun.progress.is_finished) == (10, 3, False)
        clock.move(1.0)
        assert await finish(store) == 3
        done = await store.activity(begun.id)
        assert (done.progress.moved, done.progress.pending, done.progress.is_finished) == (10, 10, True)
        leases = await store.claim("a", wants("slack", slots=100))
        assert [lease.delivery.id for lease in leases] == ids
        assert {lease.delivery.replayed_by for lease in leases} == {begun.id}
        assert {(lease.delivery.spent_s, lease.delivery.attempts_before_replay) for lease in leases} == {(0.0, 1)}
        await store.settle([delivered(lease) for lease in leases[:6]] + [dead(lease) for lease in leases[6:]])
        done = await store.activity(begun.id)
        assert (done.progress.delivered, done.progress.dead, done.progress.pending) == (6, 4, 0)

    run(scenario)


def test_a_task_belongs_to_the_replica_that_continues_it_until_its_lease_has_passed(run, clock, slices_of_three):
    async def scenario(store):
        await given_dead(store, 12)
        begun = await store.begin(replay())
        assert await store.go_on("left")
        assert not await store.go_on("other"), "it is on its way"
        assert (await store.activity(begun.id)).progress.moved == 6
        clock.move(TASK_LEASE_S - 1.0)
        assert await store.go_on("left"), "each slice renews the lease"
        clock.move(TASK_LEASE_S - 1.0)
        assert not await store.go_on("other")
        clock.move(1.0)
        assert await store.go_on("other"), "its replica has left it"
        assert not await store.go_on("left"), "and it has another one now"
        assert (await store.activity(begun.id)).progress.moved == 12

    run(scenario)


def test_a_replica_takes_the_next_task_while_another_one_has_the_first(run, clock, slices_of_three):
    async def scenario(store):
        await given_dead(store, 8, "slack")
        await given_dead(store, 8, "crm")
        begun = [await store.begin(replay(DeliveryQuery(destination=name))) for name in ("slack", "crm")]
        assert await store.go_on("a")
        assert await store.go_on("b")
        assert [(await store.activity(each.id)).progress.moved for each in begun] == [6, 6]

    run(scenario)


def test_no_slice_is_done_twice_however_many_continue_a_task_at_once(run, slices_of_three):
    async def scenario(store):
        await given_dead(store, 20)
        begun = await store.begin(replay(as_new=True))
        while any(await asyncio.gather(*[store.go_on(name) for name in ("a", "a", "b", "b")])):
            pass
        assert (await store.activity(begun.id)).progress.moved == 20
        assert await states(store) == {"slack": {"dead": 20, "pending": 20}}

    run(scenario)


def test_what_dies_again_or_anew_while_a_replay_goes_on_is_not_replayed_by_it(run, clock, slices_of_three):
    async def scenario(store):
        await given_dead(store, 6)
        clock.move(1.0)
        begun = await store.begin(replay())
        clock.move(1.0)
        again = await store.claim("a", wants("slack", slots=3))
        await store.settle([dead(lease) for lease in again])
        await given_dead(store, 2)
        await finish(store)
        done = await store.activity(begun.id)
        assert (done.progress.total, done.progress.moved, done.progress.pending, done.progress.dead) == (6, 6, 3, 3)
        assert await states(store) == {"slack": {"pending": 3, "dead": 5}}

    run(scenario)


def test_only_what_was_selected_is_replayed(run, clock):
    async def scenario(store):
        await given_dead(store, 2, "slack", "answered 422: no")
        await given_dead(store, 2, "slack", "no answer within 10 s")
        await given_dead(store, 2, "crm", "answered 422: no")
        clock.move(100.0)
        await given_dead(store, 1, "crm", "answered 422: no")
        for which, moved in [
            (DeliveryQuery(cause="no answer within 10 s"), 2),
            (DeliveryQuery(cause="nothing like it"), 0),
            (DeliveryQuery(destination="crm", since_s=50.0), 1),
            (DeliveryQuery(destination="crm", route="to-nobody"), 0),
            (DeliveryQuery(destination="crm", route="to-crm", until_s=50.0), 2),
            (DeliveryQuery(type="deal.*"), 0),
            (DeliveryQuery(type="contact.*", source="crm"), 2),
        ]:
            found = await store.deliveries(DeliveryQuery(**{**_fields(which), "state": DeliveryState.DEAD}))
            assert len(found.rows) == moved
            done = await store.begin(replay(which))
            assert (done.progress.total, done.progress.moved, done.progress.is_finished) == (moved, moved, True)

    run(scenario)


def _fields(which):
    return {name: getattr(which, name) for name in which.__slots__}


def test_a_replay_at_a_pace_spreads_what_goes_out(run, clock, slices_of_three):
    async def scenario(store):
        await given_dead(store, 6)
        begun = await store.begin(replay(interval_s=10.0))
        clock.move(5.0)
        await finish(store)
        seen = []
        for _ in range(7):
            seen.append(len(await store.claim("a", {"slack": Want(50, 1e6)})))
            clock.move(10.0)
        assert seen == [1, 1, 1, 1, 1, 1, 0]
        assert (await store.activity(begun.id)).progress.pending == 6

    run(scenario)


def test_the_same_key_is_the_same_replay(run):
    async def scenario(store):
        ids = await given_dead(store, 2)
        first = await store.begin(replay(key="click"))
        [lease, _] = await store.claim("a", wants("slack", slots=2))
        await store.settle([delivered(lease)])
        both = await asyncio.gather(
            *[store.begin(replay(DeliveryQuery(ids=tuple(ids)), key="click")) for _ in range(5)]
        )
        assert {each.id for each in both} == {first.id}
        assert await states(store) == {"slack": {"pending": 1, "delivered": 1}}
        another = await store.begin(replay(DeliveryQuery(ids=tuple(ids)), key="another"))
        assert another.progress.moved == 1

    run(scenario)


def test_a_key_that_was_used_for_something_else_is_refused(run):
    async def scenario(store):
        await given_dead(store, 2)
        first = await store.begin(replay(key="click", asked="replay crm"))
        assert await store.begin(replay(key="click", asked="replay crm")) == first
        with pytest.raises(KeyReused, match=f'key "click" belongs to {first.id}'):
            await store.begin(discard(key="click", asked="discard crm"))
        assert await states(store) == {"slack": {"pending": 2}}

    run(scenario)


OF_SLACK = DeliveryQuery(state=DeliveryState.DEAD, destination="slack")


@pytest.mark.parametrize(
    ("which", "overlaps"),
    [
        (DEAD, True),
        (OF_SLACK, True),
        (replace(DEAD, cause="answered 422"), True),
        (replace(DEAD, source="crm", type="contact.*", route="to-slack"), True),
        (replace(DEAD, destination="crm"), False),
        (replace(OF_SLACK, cause="answered 500"), False),
        (replace(OF_SLACK, type="status.*"), False),
        (replace(OF_SLACK, source="stripe"), False),
        (replace(OF_SLACK, state=DeliveryState.DELIVERED), False),
    ],
    ids=repr,
)
def test_a_replay_of_what_another_one_has_yet_to_reach_is_refused(run, slices_of_three, which, overlaps):
    async def scenario(store):
        await given_dead(store, 10)
        await given_dead(store, 3, "crm")
        first = await store.begin(replay(replace(OF_SLACK, type="contact.**"), interval_s=60.0))
        assert not first.progress.is_finished
        if overlaps:
            with pytest.raises(Overlaps, match=f"{first.id} has yet to replay some of these deliveries"):
                await store.begin(replay(which))
            await finish(store)
        assert (await store.begin(replay(which))).id != first.id

    run(scenario)


def test_of_deliveries_named_by_id_only_those_that_a_replay_has_yet_to_reach_are_refused(run, slices_of_three):
    async def scenario(store):
        ids = await given_dead(store, 10)
        first = await store.begin(replay(interval_s=60.0))
        leases = await store.claim("a", wants("slack", slots=1))
        await store.settle([dead(lease) for lease in leases])
        assert leases[0].delivery.id == ids[0]
        again = await store.begin(replay(DeliveryQuery(ids=(ids[0],))))
        assert again.progress.moved == 1
        with pytest.raises(Overlaps):
            await store.begin(replay(DeliveryQuery(ids=(ids[0], ids[9]))))
        assert (await store.begin(discard(DeliveryQuery(ids=(ids[9],))))).progress.moved == 1
        await store.stop(first.id, by="bob")
        assert (await store.begin(replay(DeliveryQuery(ids=(ids[8],))))).progress.moved == 1

    run(scenario)


def test_of_two_replays_of_the_same_at_once_one_is_refused(run, slices_of_three):
    async def scenario(store):
        await given_dead(store, 10)
        begun = await asyncio.gather(*[store.begin(replay(interval_s=60.0)) for _ in range(2)], return_exceptions=True)
        assert sorted(type(each).__name__ for each in begun) == ["Activity", "Overlaps"]

    run(scenario)


def test_twenty_clicks_at_once_with_one_key_are_one_replay(run):
    async def scenario(store):
        await given_dead(store, 3)
        begun = await asyncio.gather(*[store.begin(replay(key="click")) for _ in range(20)])
        assert len({each.id for each in begun}) == 1
        assert {each.progress.moved for each in begun} == {3}

    run(scenario)


def test_a_replay_that_is_stopped_takes_back_what_has_not_been_tried(run, clock, slices_of_three):
    async def scenario(store):
        await given_dead(store, 9)
        begun = await store.begin(replay())
        await store.go_on("main")
        tried, on_its_way = await store.claim("a", wants("slack", slots=2))
        await store.settle([Outcome(tried, Retry("answered 503", after_s=60.0), attempt(tried, "retry"))])
        stopped = await store.stop(begun.id, by="bob")
        assert (stopped.progress.stopped_by, stopped.progress.is_finished) == ("bob", True)
        assert (stopped.progress.pending, stopped.progress.not_sent, stopped.progress.dead) == (2, 4, 0)
        assert not stopped.progress.is_over
        assert await finish(store) == 0
        assert await states(store) == {"slack": {"pending": 2, "dead": 7}}
        assert {each.cause for each in (await store.deliveries(DEAD)).rows} == {"answered 422"}
        assert await store.settle([delivered(on_its_way)]) == {on_its_way.delivery.id}
        again = await store.stop(begun.id, by="eve")
        assert again.progress.stopped_by == "bob"
        with pytest.raises(KeyError, match="act_unknown"):
            await store.stop("act_unknown", by="ann")

    run(scenario)


def test_what_was_delivered_before_a_stopped_replay_is_delivered_again(run):
    async def scenario(store):
        new = new_event("slack")
        await store.append([new])
        [lease] = await store.claim("a", wants("slack"))
        await store.settle([delivered(lease)])
        begun = await store.begin(replay(DeliveryQuery(ids=(lease.delivery.id,)), interval_s=60.0))
        assert await states(store) == {"slack": {"pending": 1}}
        stopped = await store.stop(begun.id, by="ann")
        assert await states(store) == {"slack": {"delivered": 1}}
        assert (stopped.progress.delivered, stopped.progress.not_sent, stopped.progress.is_over) == (0, 1, True)

    run(scenario)


def test_a_replay_as_new_makes_deliveries_of_their_own_and_leaves_the_old_ones(run):
    async def scenario(store):
        [old] = await given_dead(store, 1)
        begun = await store.begin(replay(DeliveryQuery(ids=(old,)), as_new=True))
        assert (begun.progress.total, begun.progress.moved) == (1, 1)
        [lease] = await store.claim("a", wants("slack"))
        assert lease.delivery.id != old
        assert (lease.delivery.route, lease.delivery.attempts) == ("to-slack", 0)
        assert await states(store) == {"slack": {"pending": 1, "dead": 1}}

    run(scenario)


def test_what_is_made_later_for_one_event_by_several_at_once_is_told_apart(run):
    async def scenario(store):
        [old] = await given_dead(store, 1)
        made = [replay(DeliveryQuery(ids=(old,)), as_new=True) for _ in range(8)]
        await asyncio.gather(*(store.begin(each) for each in made))
        assert await states(store) == {"slack": {"pending": 8, "dead": 1}}
        leases = await store.claim("a", wants("slack", slots=20))
        assert len({lease.delivery.id for lease in leases}) == 8
        assert len(await store.settle([delivered(lease) for lease in leases])) == 8
        await store.begin(replay(DeliveryQuery(ids=(old,)), as_new=True))
        assert await states(store) == {"slack": {"pending": 1, "delivered": 8, "dead": 1}}
        [history] = [await store.event(old)]
        assert len({each.id for each in history.deliveries}) == 10

    run(scenario)


def test_new_deliveries_of_a_stopped_replay_are_discarded(run):
    async def scenario(store):
        [old] = await given_dead(store, 1)
        begun = await store.begin(replay(DeliveryQuery(ids=(old,)), as_new=True))
        await store.stop(begun.id, by="bob")
        assert await states(store) == {"slack": {"dead": 1, "discarded": 1}}
        assert (await store.claim("a", wants("slack"))) == []

    run(scenario)


def test_a_stopped_replay_of_what_was_never_tried_leaves_it_dead(run):
    """A damaged event is dead without an attempt."""

    async def scenario(store):
        await store.append([new_event("slack")])
        [lease] = await store.claim("a", wants("slack"))
        await store.settle([Outcome(lease, Dead("event evt_1: its stored body does not match its checksum"))])
        begun = await store.begin(replay(interval_s=60.0))
        await store.stop(begun.id, by="ann")
        assert await states(store) == {"slack": {"dead": 1}}

    run(scenario)


def test_a_reroute_makes_deliveries_of_an_event_that_is_there(run):
    async def scenario(store):
        [old] = await given_dead(store, 1)
        event_id = (await store.event(old)).event.id
        extra = [
            (event_id, NewDelivery(id="dlv_new", route="added", destination="crm")),
            ("evt_gone", NewDelivery(id="dlv_lost", route="added", destination="crm")),
        ]
        begun = await store.begin(
            Task(verb="reroute", by="ann", which=DeliveryQuery(ids=(old,)), subject="x", extra=extra)
        )
        assert begun.progress.moved == 2
        assert await states(store) == {"slack": {"pending": 1}, "crm": {"pending": 1}}
        [lease] = await store.claim("a", wants("crm"))
        assert (lease.delivery.id, lease.delivery.event_id) == ("dlv_new", event_id)

    run(scenario)


def test_replayed_deliveries_of_a_lane_go_one_after_the_other_behind_those_that_wait(run):
    async def scenario(store):
        news = [new_event("slack", lanes=["a"]) for _ in range(3)]
        await store.append(news)
        for _ in range(2):
            [lease] = await store.claim("a", wants("slack", slots=5))
            await store.settle([dead(lease)])
        await store.begin(replay())
        order = []
        while leases := await store.claim("a", wants("slack", slots=5)):
            [lease] = leases
            order.append(lease.delivery.id)
            await store.settle([delivered(lease)])
        assert order == [news[2].deliveries[0].id, news[0].deliveries[0].id, news[1].deliveries[0].id]

    run(scenario)


def test_a_discard_ends_dead_and_pending_ones_with_who_and_why(run, slices_of_three):
    async def scenario(store):
        ids = await given_dead(store, 4)
        await store.append([new_event("crm") for _ in range(2)])
        begun = await store.begin(discard(reason="test data"))
        await finish(store)
        assert (await store.activity(begun.id)).progress.moved == 4
        assert await states(store) == {"slack": {"discarded": 4}, "crm": {"pending": 2}}
        [one] = (await store.deliveries(DeliveryQuery(ids=(ids[0],)))).rows
        assert (one.reason, one.due_in_s) == ("discarded by ann: test data", None)
        await store.begin(discard(DeliveryQuery(state=DeliveryState.PENDING, destination="crm")))
        assert await states(store) == {"slack": {"discarded": 4}, "crm": {"discarded": 2}}
        nothing = await store.begin(replay(DeliveryQuery(ids=tuple(ids))))
        assert nothing.progress.moved == 0
        assert await store.claim("a", wants("crm", slots=9)) == []

    run(scenario)


def test_a_discarded_head_frees_its_lane_and_the_outcome_of_what_was_on_its_way_changes_nothing(run):
    async def scenario(store):
        first, second = new_event("slack", lanes=["a"]), new_event("slack", lanes=["a"])
        await store.append([first, second])
        [lease] = await store.claim("a", wants("slack", slots=5))
        await store.begin(discard(DeliveryQuery(ids=(lease.delivery.id,))))
        [freed] = await store.claim("a", wants("slack", slots=5))
        assert freed.delivery.event_id == second.event.id
        assert await store.settle([delivered(lease)]) == frozenset()
        assert await states(store) == {"slack": {"discarded": 1, "pending": 1}}

    run(scenario)


def test_an_unknown_id_begins_nothing(run):
    async def scenario(store):
        [id_] = await given_dead(store, 1)
        with pytest.raises(KeyError, match="dlv_unknown"):
            await store.begin(replay(DeliveryQuery(ids=(id_, "dlv_unknown"))))
        assert not await store.go_on("a")
        assert await states(store) == {"slack": {"dead": 1}}

    run(scenario)
