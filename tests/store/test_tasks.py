"""Replays and discards of many: in slices, over restarts, at a pace, stopped, and never twice."""

import asyncio
import json
from dataclasses import replace

import pytest

from gateway.errors import BodyGone
from gateway.model import Dead, DeliveryState, Retry
from gateway.store.nouns import Activity, DeliveryQuery, EventQuery, NewDelivery, Outcome, Pause, Retention, Task, Want
from gateway.store.sqlite import plans, tasks
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
    leases = await store.claim(wants(destination, slots=count))
    await store.settle([dead(lease, reason) for lease in leases])
    return [lease.delivery.id for lease in leases]


async def finish(store):
    slices = 0
    while await store.go_on("main"):
        slices += 1
    return slices


async def states(store):
    stats = await store.stats()
    assert await store.count(DeliveryQuery()) == sum(
        d.pending + d.dead + d.delivered + d.discarded for d in stats.destinations.values()
    )
    return {
        name: {state: n for state in ("pending", "dead", "delivered", "discarded") if (n := getattr(numbers, state))}
        for name, numbers in stats.destinations.items()
    }


@pytest.fixture
def slices_of_three(monkeypatch):
    # Of the last event that was read there may be more, so it waits for the next one.
    monkeypatch.setattr(plans, "SLICE", 4)


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
        leases = await store.claim(wants("slack", slots=100))
        assert [lease.delivery.id for lease in leases] == ids
        assert {lease.delivery.replayed_by for lease in leases} == {begun.id}
        assert {(lease.delivery.spent_s, lease.delivery.attempts_before_replay) for lease in leases} == {(0.0, 1)}
        await store.settle([delivered(lease) for lease in leases[:6]] + [dead(lease) for lease in leases[6:]])
        done = await store.activity(begun.id)
        assert (done.progress.delivered, done.progress.dead, done.progress.pending) == (6, 4, 0)

    run(scenario)


def test_a_replay_goes_on_after_a_kill(kind, clock, slices_of_three):
    async def first_life():
        store = await kind.open(clock)
        await given_dead(store, 8)
        begun = await store.begin(replay())
        await store.go_on("main")
        after = kind.after_kill(1)
        await store.close()
        return begun.id, after

    async def second_life(after, activity_id):
        store = await after.open(clock)
        assert (await store.activity(activity_id)).progress.moved == 6
        await finish(store)
        assert (await store.activity(activity_id)).progress.moved == 8
        assert await states(store) == {"slack": {"pending": 8}}
        assert len({lease.delivery.id for lease in await store.claim(wants("slack", slots=50))}) == 8
        await store.close()

    activity_id, after = asyncio.run(first_life())
    asyncio.run(second_life(after, activity_id))


def test_what_dies_again_or_anew_while_a_replay_goes_on_is_not_replayed_by_it(run, clock, slices_of_three):
    async def scenario(store):
        await given_dead(store, 6)
        clock.move(1.0)
        begun = await store.begin(replay())
        clock.move(1.0)
        again = await store.claim(wants("slack", slots=3))
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
            assert await store.count(DeliveryQuery(**{**_fields(which), "state": DeliveryState.DEAD})) == moved
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
            seen.append(len(await store.claim({"slack": Want(50, 1e6)})))
            clock.move(10.0)
        assert seen == [1, 1, 1, 1, 1, 1, 0]
        assert (await store.activity(begun.id)).progress.pending == 6

    run(scenario)


def test_the_same_key_is_the_same_replay(run):
    async def scenario(store):
        ids = await given_dead(store, 2)
        first = await store.begin(replay(key="click"))
        [lease, _] = await store.claim(wants("slack", slots=2))
        await store.settle([delivered(lease)])
        both = await asyncio.gather(
            *[store.begin(replay(DeliveryQuery(ids=tuple(ids)), key="click")) for _ in range(5)]
        )
        assert {each.id for each in both} == {first.id}
        assert await states(store) == {"slack": {"pending": 1, "delivered": 1}}
        another = await store.begin(replay(DeliveryQuery(ids=tuple(ids)), key="another"))
        assert another.progress.moved == 1

    run(scenario)


def test_twenty_clicks_at_once_with_one_key_are_one_replay(run):
    async def scenario(store):
        await given_dead(store, 3)
        begun = await asyncio.gather(*[store.begin(replay(key="click")) for _ in range(20)])
        assert len({each.id for each in begun}) == 1
        assert len((await store.activities()).rows) == 1

    run(scenario)


def test_a_replay_that_is_stopped_takes_back_what_has_not_been_tried(run, clock, slices_of_three):
    async def scenario(store):
        await given_dead(store, 9)
        begun = await store.begin(replay())
        await store.go_on("main")
        tried, on_its_way = await store.claim(wants("slack", slots=2))
        await store.settle([Outcome(tried, Retry("answered 503", after_s=60.0), attempt(tried, "retry"))])
        stopped = await store.stop(begun.id, by="bob")
        assert (stopped.progress.stopped_by, stopped.progress.is_finished) == ("bob", True)
        assert (stopped.progress.pending, stopped.progress.not_sent, stopped.progress.dead) == (2, 4, 0)
        assert not stopped.progress.is_over
        assert await finish(store) == 0
        assert await states(store) == {"slack": {"pending": 2, "dead": 7}}
        assert {(group.cause, group.count) for group in (await store.stats()).dead} == {("answered 422", 7)}
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
        [lease] = await store.claim(wants("slack"))
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
        [lease] = await store.claim(wants("slack"))
        assert lease.delivery.id != old
        assert (lease.delivery.route, lease.delivery.attempts) == ("to-slack", 0)
        assert await states(store) == {"slack": {"pending": 1, "dead": 1}}

    run(scenario)


def test_new_deliveries_of_a_stopped_replay_are_discarded(run):
    async def scenario(store):
        [old] = await given_dead(store, 1)
        begun = await store.begin(replay(DeliveryQuery(ids=(old,)), as_new=True))
        await store.stop(begun.id, by="bob")
        assert await states(store) == {"slack": {"dead": 1, "discarded": 1}}
        assert (await store.claim(wants("slack"))) == []

    run(scenario)


def test_a_stopped_replay_of_what_was_never_tried_leaves_it_dead(run):
    """A damaged event is dead without an attempt."""

    async def scenario(store):
        await store.append([new_event("slack")])
        [lease] = await store.claim(wants("slack"))
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
        [lease] = await store.claim(wants("crm"))
        assert (lease.delivery.id, lease.delivery.event_id) == ("dlv_new", event_id)

    run(scenario)


def test_replayed_deliveries_of_a_lane_go_one_after_the_other_behind_those_that_wait(run):
    async def scenario(store):
        news = [new_event("slack", lanes=["a"]) for _ in range(3)]
        await store.append(news)
        for _ in range(2):
            [lease] = await store.claim(wants("slack", slots=5))
            await store.settle([dead(lease)])
        await store.begin(replay())
        order = []
        while leases := await store.claim(wants("slack", slots=5)):
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
        assert await store.claim(wants("crm", slots=9)) == []

    run(scenario)


def test_a_discarded_head_frees_its_lane_and_the_outcome_of_what_was_on_its_way_changes_nothing(run):
    async def scenario(store):
        first, second = new_event("slack", lanes=["a"]), new_event("slack", lanes=["a"])
        await store.append([first, second])
        [lease] = await store.claim(wants("slack", slots=5))
        await store.begin(discard(DeliveryQuery(ids=(lease.delivery.id,))))
        [freed] = await store.claim(wants("slack", slots=5))
        assert freed.delivery.event_id == second.event.id
        assert await store.settle([delivered(lease)]) == frozenset()
        assert await states(store) == {"slack": {"discarded": 1, "pending": 1}}

    run(scenario)


def test_an_unknown_id_begins_nothing(run):
    async def scenario(store):
        [id_] = await given_dead(store, 1)
        with pytest.raises(KeyError, match="dlv_unknown"):
            await store.begin(replay(DeliveryQuery(ids=(id_, "dlv_unknown"))))
        assert (await store.activities()).rows == ()
        assert await states(store) == {"slack": {"dead": 1}}

    run(scenario)


# --- bodies that are not kept ---


def test_a_body_goes_after_its_retention_and_its_event_cannot_be_sent_again(run, clock):
    async def scenario(store):
        done, open_ = new_event("slack"), new_event("crm")
        await store.append([done, open_])
        [lease] = await store.claim(wants("slack"))
        await store.settle([delivered(lease)])
        clock.move(100.0)
        while await store.prune(Retention(bodies_s=50.0), limit=1):
            pass
        history = await store.event(done.event.id)
        assert (history.event.body, history.body_is, history.intact) == (b"", "removed", True)
        kept = await store.event(open_.event.id)
        assert (kept.event, kept.body_is) == (open_.event, "kept")
        with pytest.raises(BodyGone, match=r"evt_\d+ cannot be sent again: retention.bodies has removed its body"):
            await store.begin(replay(DeliveryQuery(ids=(lease.delivery.id,))))
        many = await store.begin(replay(DeliveryQuery(state=DeliveryState.DELIVERED)))
        assert (many.progress.total, many.progress.moved) == (0, 0)

    run(scenario)


def redacted(event):
    return json.dumps({**json.loads(event.body), "phone": "x"}).encode()


async def redact(store, limit=50):
    page = await store.unredacted(limit=limit)
    await store.redact({id_: redacted(event) for id_, event in page.events.items()})
    while page.next:
        page = await store.unredacted(after=page.next, limit=limit)
        await store.redact({id_: redacted(event) for id_, event in page.events.items()})


def test_what_a_source_redacts_goes_after_the_last_delivery(run, clock):
    async def scenario(store):
        body = b'{"phone": "1415", "name": "Ada"}'
        news = [new_event("slack", "crm", body=body, key=bytes([at])) for at in range(3)]
        plain = new_event("slack", body=body, key=b"plain")
        await store.append([_to_redact(new) for new in news[:2]])
        await store.append([news[2], plain])
        while await store.index():
            pass
        for destination in ("slack", "crm"):
            assert (await store.event(news[0].event.id)).body_is == "kept"
            await redact(store)
            leases = [
                each
                for each in await store.claim(wants(destination, slots=9))
                if each.delivery.event_id == news[0].event.id
            ]
            await store.settle([delivered(lease) for lease in leases])
        await redact(store, limit=1)
        first = await store.event(news[0].event.id)
        assert (json.loads(first.event.body)["phone"], first.body_is, first.intact) == ("x", "redacted", True)
        for other in (news[1], news[2], plain):
            assert (await store.event(other.event.id)).event.body == body, "it waits, or nobody asked for it"
        with pytest.raises(BodyGone, match="what redact names was removed"):
            await store.begin(replay(DeliveryQuery(ids=(news[0].event.id,))))
        found = await store.events(EventQuery(words=("1415",)))
        assert news[0].event.id not in {row.id for row in found.rows}
        assert len(found.rows) == 3
        assert news[0].event.id in {row.id for row in (await store.events(EventQuery(words=("ada",)))).rows}

    run(scenario)


def _to_redact(new):
    return replace(new, is_redacted_later=True)


# --- who did what ---


def test_what_people_do_is_remembered_and_listed_from_the_newest(run, monkeypatch):
    monkeypatch.setattr(tasks, "ACTIVITIES_KEPT", 4)

    async def scenario(store):
        notes = [
            Activity(id=f"act_{at}", at=float(at), by="ann", verb="pause", subject="crm", reason="why not \ud800")
            for at in range(6)
        ]
        for note in notes:
            await store.note(note)
        listed = (await store.activities(limit=3)).rows
        assert [each.id for each in listed] == ["act_5", "act_4", "act_3"]
        assert listed[0].reason == "why not ?"
        assert [each.id for each in (await store.activities(before="act_3")).rows] == ["act_2"]
        assert await store.activity("act_0") is None

    run(scenario)


def test_a_mute_and_a_pause_of_one_destination_are_two(run):
    async def scenario(store):
        pause = Pause(destination="crm", by="ann", reason="a", since=1.0)
        mute = Pause(destination="crm", by="bob", reason="b", since=2.0, is_mute=True)
        await store.pause(pause)
        await store.pause(mute)
        assert list(await store.pauses()) == [pause, mute]
        assert await store.resume("crm", is_mute=True)
        assert list(await store.pauses()) == [pause]

    run(scenario)
