"""What every store promises, whatever it is made of."""

import asyncio
import itertools
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from gateway.errors import StoreUnavailable
from gateway.model import MOVES, Dead, DeliveryState, Release, Retry
from gateway.store.activities import Task
from gateway.store.nouns import DeliveryQuery, DestinationStats, EventQuery, Outcome, Pause, Retention, Want
from tests.store.given import KINDS, Clock, attempt, delivered, new_event, once, replay, told, wants

DAY = 86400.0


def retry(lease, after_s=60.0, spent_s=60.0):
    made = attempt(lease, "retry", status=503, reason="HTTP 503", answer="busy", next_s=after_s)
    return Outcome(lease, Retry("HTTP 503", after_s=after_s, spent_s=spent_s), made)


def dead(lease):
    return Outcome(lease, Dead("HTTP 400"), attempt(lease, "dead", status=400, reason="HTTP 400", answer="no"))


async def leased(store, *destinations, **more):
    [appended] = await store.append([new_event(*destinations, lease_s=30.0, **more)])
    return appended.leases


# --- append ---


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


def test_an_event_that_matches_nothing_is_stored_too(run):
    async def scenario(store):
        await store.append([new_event()])
        [row] = (await store.events()).rows
        assert row.deliveries == ()

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
        assert len((await store.events()).rows) == 1

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
        await store.append([new_event(key=b"k", source="a"), new_event(key=b"k", source="b")])
        assert len((await store.events()).rows) == 2

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
        beside, before = new_event("slack"), new_event("slack")
        results = await asyncio.gather(
            store.append([before]),
            store.append([new_event("slack"), clash]),
            store.append([beside]),
            return_exceptions=True,
        )
        assert [type(result).__name__ for result in results] == ["list", "StoreError", "list"]
        assert {row.id for row in (await store.events()).rows} == {taken.event.id, before.event.id, beside.event.id}
        assert store.healthy

    run(scenario)


def test_on_done_is_told_once_before_the_caller(run):
    async def scenario(store):
        told = []
        answer = await store.append([new_event("slack")], told.append)
        assert told == [answer]

    run(scenario)


def test_what_on_done_starts_runs_after_the_answer_to_the_caller(run):
    async def scenario(store):
        order, loop = [], asyncio.get_running_loop()

        async def caller(number):
            await store.append([new_event("slack")], lambda _: loop.call_soon(order.append, "delivery"))
            order.append("answer")

        await asyncio.gather(caller(1), caller(2))
        await asyncio.sleep(0)
        assert sorted(order) == ["answer", "answer", "delivery", "delivery"]
        assert order[0] == "answer"

    run(scenario)


def test_a_cancelled_append_is_carried_out_and_told(run):
    async def scenario(store):
        told = []
        task = asyncio.create_task(store.append([new_event("slack", lease_s=30.0)], told.append))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert task.cancelled()
        await store.append([new_event()])
        [[appended]] = told
        assert len(appended.leases) == 1
        assert len((await store.events()).rows) == 2

    run(scenario)


def test_a_failed_append_tells_none(run):
    async def scenario(store):
        taken, told = new_event(), []
        await store.append([taken])
        clash = type(taken)(event=taken.event, key=b"another", window_s=1.0)
        with pytest.raises(Exception, match="UNIQUE"):
            await store.append([clash], told.append)
        await store.close()
        with pytest.raises(StoreUnavailable):
            await store.append([new_event()], told.append)
        assert told == [None, None]

    run(scenario)


# --- leases and claims ---


def test_a_lease_is_granted_with_the_append_when_nothing_waits(run):
    async def scenario(store):
        [lease] = await leased(store, "slack")
        assert (lease.delivery.destination, lease.delivery.attempts) == ("slack", 0)
        assert await store.claim(wants("slack")) == []

    run(scenario)


def test_a_new_delivery_waits_behind_those_that_are_due(run):
    async def scenario(store):
        await store.append([new_event("slack")])
        assert await leased(store, "slack") == ()
        assert len(await leased(store, "crm")) == 1
        claimed = await store.claim(wants("slack"))
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
        claimed = await store.claim({"slack": Want(2, 30.0), "crm": Want(5, 30.0), "none": Want(1, 1.0)})
        assert [lease.delivery.id for lease in claimed] == ids[:3]
        assert claimed[0].delivery.due_in_s == pytest.approx(-4.0)
        assert set(store.maybe_due()) == {"slack"}
        assert await store.claim({"slack": Want(0, 30.0)}) == []
        assert [lease.delivery.id for lease in await store.claim(wants("slack"))] == ids[3:]
        assert set(store.maybe_due()) == set()

    run(scenario)


def test_an_expired_lease_can_be_claimed_again_and_the_old_one_is_lost_then(run, clock):
    async def scenario(store):
        [old] = await leased(store, "slack")
        clock.move(29.9)
        assert await store.claim(wants("slack")) == []
        clock.move(0.2)
        assert set(store.maybe_due()) == {"slack"}
        [new] = await store.claim(wants("slack"))
        assert new.delivery.id == old.delivery.id
        assert new.token != old.token
        assert await store.settle([dead(old)]) == frozenset()
        assert (await store.event(old.delivery.id)).deliveries[0].state is DeliveryState.PENDING
        assert await store.settle([delivered(new)]) == {new.delivery.id}

    run(scenario)


def test_a_claim_that_nobody_waits_for_is_given_back(run):
    async def scenario(store):
        await store.append([new_event("slack")])
        task = asyncio.create_task(store.claim(wants("slack")))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await store.append([new_event()])
        await store.append([new_event()])
        assert len(await store.claim(wants("slack"))) == 1

    run(scenario)


def test_a_destination_is_asked_for_alone_with_the_same_answer(run, clock):
    async def scenario(store):
        def due():
            names = {name for name in ("slack", "crm", "none") if store.is_due(name)}
            assert names == set(store.maybe_due())
            return names

        assert due() == set()
        await store.append([new_event("slack")])
        assert due() == {"slack"}
        [lease] = await store.claim(wants("slack"))
        assert due() == set(), "it is leased"
        clock.move(30.0)
        assert due() == {"slack"}, "the lease ran out"
        [lease] = await store.claim(wants("slack"))
        await store.settle([retry(lease, after_s=60.0)])
        await leased(store, "crm")
        assert due() == set()
        clock.move(30.0)
        assert due() == {"crm"}
        clock.move(30.0)
        assert due() == {"slack", "crm"}

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
        assert await store.claim(wants("slack")) == []

    run(scenario)


def test_a_retry_is_claimed_when_it_is_due_and_not_before(run, clock):
    async def scenario(store):
        [lease] = await leased(store, "slack")
        await store.settle([retry(lease, after_s=60.0, spent_s=50.0)])
        clock.move(59.9)
        assert await store.claim(wants("slack")) == []
        clock.move(0.2)
        [again] = await store.claim(wants("slack"))
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


def test_a_released_delivery_is_as_if_it_had_never_been_claimed(run):
    async def scenario(store):
        [lease] = await leased(store, "slack")
        assert await store.settle([Outcome(lease, Release())]) == {lease.delivery.id}
        [again] = await store.claim(wants("slack"))
        assert again.delivery.attempts == 0
        assert (await store.event(lease.delivery.id)).attempts == {}

    run(scenario)


def test_outcomes_in_any_number_are_settled_together(run):
    async def scenario(store):
        await store.append([new_event(*["slack"] * 150)])
        claimed = await store.claim(wants("slack", slots=200))
        assert len(claimed) == 150
        assert len(await store.settle([delivered(lease) for lease in claimed])) == 150
        assert len((await store.deliveries(DeliveryQuery(state=DeliveryState.DELIVERED, limit=500))).rows) == 150

    run(scenario)


def test_a_text_that_is_not_unicode_can_be_settled(run):
    async def scenario(store):
        [lease] = await leased(store, "slack")
        outcome = Outcome(lease, Dead("bad \ud83d"), attempt(lease, "dead", reason="bad \ud83d", answer="\x00\udcff"))
        assert await store.settle([outcome]) == {lease.delivery.id}
        assert ((await store.deliveries(DeliveryQuery(state=DeliveryState.DEAD))).rows)[0].reason == "bad ?"

    run(scenario)


# --- wait ---


async def waits(store):
    """Whether wait goes on waiting."""
    task = asyncio.create_task(store.wait(60.0))
    for _ in range(5):
        await store.load(["evt_unknown"])
        await asyncio.sleep(0)
    if task.done():
        return False
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return True


def test_wait_tells_of_what_comes_up_once(run, clock):
    async def scenario(store):
        await store.wait(60.0)
        assert await waits(store)
        await store.append([new_event("slack")])
        assert not await waits(store)
        assert await waits(store), "what is due already and not taken is no news"
        [lease] = await store.claim(wants("slack"))
        await store.settle([retry(lease, after_s=10.0)])
        assert await waits(store)
        clock.move(10.0)
        assert not await waits(store), "a retry became due"
        [lease] = await store.claim(wants("slack"))
        await store.settle([Outcome(lease, Release())])
        assert not await waits(store), "a lease was given back"
        [lease] = await store.claim(wants("slack", lease_s=20.0))
        assert await waits(store)
        clock.move(20.0)
        assert not await waits(store), "a lease ran out"
        [lease] = await store.claim(wants("slack"))
        await store.settle([dead(lease)])
        await replay(store, lease.delivery.id)
        assert not await waits(store), "a delivery was replayed"

    run(scenario)


def test_wait_tells_of_a_lease_that_ran_out_behind_one_that_was_settled(run, clock):
    async def scenario(store):
        await store.wait(60.0)
        [early] = await leased(store, "slack")
        clock.move(20.0)
        [late] = await leased(store, "slack")
        await store.settle([delivered(early)])
        clock.move(10.0)
        await waits(store)
        assert await waits(store)
        assert set(store.maybe_due()) == set()
        clock.move(20.0)
        assert not await waits(store)
        assert set(store.maybe_due()) == {"slack"}
        assert len(await store.claim(wants("slack"))) == 1
        assert await store.settle([delivered(late)]) == frozenset()

    run(scenario)


def test_wait_wakes_while_it_waits(run):
    async def scenario(store):
        await store.wait(60.0)
        waiting = asyncio.create_task(store.wait(60.0))
        await asyncio.sleep(0)
        await store.append([new_event("slack")])
        await asyncio.wait_for(waiting, 30.0)

    run(scenario)


def test_wait_ends_at_its_timeout(run):
    async def scenario(store):
        await store.wait(60.0)
        await store.wait(0.01)

    run(scenario)


# --- replay ---


def test_a_dead_delivery_is_replayed_from_the_start_and_its_attempts_are_numbered_on(run):
    async def scenario(store):
        [lease] = await leased(store, "slack")
        await store.settle([dead(lease)])
        [moved] = await replay(store, lease.delivery.id)
        assert (moved.state, moved.attempts, moved.attempts_before_replay, moved.spent_s) == ("pending", 1, 1, 0.0)
        assert moved.due_in_s == 0.0
        [again] = await store.claim(wants("slack"))
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
        leases = {lease.delivery.destination: lease for lease in await store.claim(wants("slack", "crm", slots=1))}
        assert await store.waiting() == {("to-slack", "slack"): 3, ("to-crm", "crm"): 3}
        await store.settle([dead(leases["slack"]), retry(leases["crm"])])
        assert await store.waiting() == {("to-slack", "slack"): 2, ("to-crm", "crm"): 3}

    run(scenario)


# --- prune ---


async def prune_all(store, retention, limit=500):
    removed = 0
    while slice_ := await store.prune(retention, limit=limit):
        assert slice_ <= limit
        removed += slice_
    return removed


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
        [lease] = await store.claim(wants("slack"))
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
        assert set(store.maybe_due()) == {"crm"}
        [lease] = await store.claim(wants("slack", "crm"))
        assert lease.delivery.destination == "crm"
        assert await store.settle([delivered(appended.leases[1])]) == frozenset()
        clock.move(60.0)
        [lease] = await store.claim(wants("slack"))
        assert await store.load([lease.delivery.event_id]) == {new.event.id: new.event}
        await store.close()

    asyncio.run(scenario())


def test_close_finishes_what_waits(kind, clock):
    async def scenario():
        store = await kind.open(clock)
        appends = [asyncio.create_task(store.append([new_event("slack")])) for _ in range(20)]
        await asyncio.sleep(0)
        await store.close()
        assert all(not appended.duplicate for [appended] in await asyncio.gather(*appends))
        store = await kind.open(clock)
        assert len((await store.events()).rows) == 20
        await store.close()

    asyncio.run(scenario())


# --- all of it in any order ---


class StoreMachine(RuleBasedStateMachine):
    """A store beside a model of it in plain dictionaries."""

    kind_of_store = KINDS[0]

    def __init__(self):
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        (self.folder / "store").mkdir()
        self.kind = self.kind_of_store(self.folder / "store")
        self.lives = itertools.count(1)
        self.clock = Clock()
        #: Steps in this life of the process; with too short ones nothing would come of a lease.
        self.age = 0
        self.loop = asyncio.new_event_loop()
        self.store = self.do(self.kind.open(self.clock))
        #: key -> (event id, expires)
        self.keys = {}
        #: event id -> (NewEvent, when)
        self.events = {}
        #: delivery id -> {"state", "due", "attempts", "destination", "event", "changed", "lane", "turn", "behind"}
        self.rows = {}
        self.turns = itertools.count()
        #: key -> expires
        self.fired = {}
        #: failed destination -> [when the last notice is due, its id]
        self.told = {}
        #: delivery id of a notice -> how many dead ones it stands for
        self.counts = {}
        #: destination -> Pause
        self.pauses = {}
        #: delivery id -> (token, until); the last lease granted in this life of the process.
        self.held = {}
        self.tokens = set()
        #: Every lease that was ever granted, lost ones too.
        self.leases = []

    def do(self, work):
        return self.loop.run_until_complete(work)

    def teardown(self):
        self.do(self.store.close())
        self.loop.run_until_complete(self.loop.shutdown_default_executor())
        self.loop.close()
        shutil.rmtree(self.folder)

    # what the model says

    def is_leased(self, id_):
        return id_ in self.held and self.held[id_][1] > self.clock.monotonic_s

    def due(self, destination):
        return [
            id_
            for id_, row in self.rows.items()
            if row["state"] == "pending"
            and row["destination"] == destination
            and row["due"] <= self.clock.monotonic_s + 1e-4
            and not row["behind"]
            and not self.is_leased(id_)
        ]

    def lane(self, row):
        """Those pending in its lane, the first one first."""
        mates = [
            other
            for other in self.rows.values()
            if other["state"] == "pending"
            and (other["destination"], other["lane"]) == (row["destination"], row["lane"])
        ]
        return sorted(mates, key=lambda other: other["turn"]) if row["lane"] is not None else []

    def add(self, id_, destination, event_id, due, lane=None):
        row = {"state": "pending", "due": due, "attempts": 0, "destination": destination, "event": event_id}
        row |= {"changed": self.clock.monotonic_s, "lane": lane, "turn": next(self.turns)}
        row["behind"] = bool(self.lane(row))
        self.rows[id_] = row

    def move(self, id_, state, due=None):
        row = self.rows[id_]
        assert state == row["state"] == "pending" or DeliveryState(state) in MOVES[DeliveryState(row["state"])]
        if state == "pending" != row["state"] and row["lane"] is not None:
            row.update(turn=next(self.turns), behind=bool(self.lane(row)))
        row.update(state=state, due=due, changed=self.clock.monotonic_s)
        first = next(iter(self.lane(row)), None)
        if first is not None and first["behind"]:
            first.update(behind=False, due=self.clock.monotonic_s)

    def granted(self, lease, lease_s):
        id_ = lease.delivery.id
        assert not self.is_leased(id_), "a leased delivery was handed out again"
        assert lease.token not in self.tokens
        assert self.rows[id_]["state"] == "pending"
        assert not self.rows[id_]["behind"], "it overtook another one of its lane"
        assert lease.delivery.lane == self.rows[id_]["lane"]
        assert lease.delivery.attempts == self.rows[id_]["attempts"]
        self.tokens.add(lease.token)
        self.leases.append(lease)
        self.held[id_] = (lease.token, self.clock.monotonic_s + lease_s)

    # what happens

    @rule(
        keys=st.lists(st.sampled_from([None, None, b"a", b"b"]), min_size=1, max_size=3),
        destinations=st.lists(st.sampled_from(["slack", "slack", "crm"]), max_size=4),
        lanes=st.lists(st.sampled_from([None, None, "a", "a", "b"]), min_size=4, max_size=4),
        firing=st.sampled_from([None, None, "a", "b"]),
        lease_s=st.sampled_from([None, 30.0]),
    )
    def append(self, keys, destinations, lanes, firing, lease_s):
        firings = [once(firing)] if firing else []
        more = {"window_s": 100.0, "lease_s": lease_s, "lanes": lanes, "firings": firings}
        news = [new_event(*destinations, key=key, **more) for key in keys]
        busy = {name for name in destinations if self.due(name)}
        now = self.clock.monotonic_s
        for new, appended in zip(news, self.do(self.store.append(news)), strict=True):
            first, expires = self.keys.get(new.key, ("", 0.0))
            if expires > now:
                assert (appended.event_id, appended.duplicate, appended.leases) == (first, True, ())
                continue
            assert (appended.event_id, appended.duplicate) == (new.event.id, False)
            self.keys[new.key] = (new.event.id, now + new.window_s)
            self.events[new.event.id] = (new, now)
            held_back = frozenset()
            if firing and self.fired.get(firing, 0.0) > now:
                held_back = frozenset({"to-slack"})
            elif firing:
                self.fired[firing] = now + 100.0
            assert appended.held_back == held_back
            for delivery in new.deliveries:
                if delivery.route not in held_back:
                    self.add(delivery.id, delivery.destination, new.event.id, now, delivery.lane)
            for lease in appended.leases:
                assert lease_s is not None
                assert lease.delivery.destination not in busy, "it overtook those that wait"
                self.granted(lease, lease_s)

    @rule(
        slots=st.dictionaries(st.sampled_from(["slack", "crm"]), st.integers(0, 3), min_size=1),
    )
    def claim(self, slots):
        self.claim_and_compare(slots)

    def claim_and_compare(self, slots):
        due = {name: self.due(name) for name in slots}
        maybe = set(self.store.maybe_due())
        assert {name for name in ("slack", "crm") if self.store.is_due(name)} == maybe
        assert {name for name in slots if due[name]} <= maybe
        claimed = self.do(self.store.claim({name: Want(n, 30.0) for name, n in slots.items()}))
        for name, count in slots.items():
            taken = [lease for lease in claimed if lease.delivery.destination == name]
            assert len(taken) == min(count, len(due[name]))
            assert {lease.delivery.id for lease in taken} <= set(due[name])
            latest = max((self.rows[lease.delivery.id]["due"] for lease in taken), default=0.0)
            left = set(due[name]) - {lease.delivery.id for lease in taken}
            assert all(self.rows[id_]["due"] >= latest - 1e-4 for id_ in left), "the longest due go first"
        for lease in claimed:
            self.granted(lease, 30.0)

    @precondition(lambda self: self.leases)
    @rule(
        back=st.sampled_from([0, 0, 0, 0, 1, 2, 9]), result=st.sampled_from(["delivered", "retry", "dead", "release"])
    )
    def settle(self, back, result):
        self.settle_one(self.leases[-1 - back % len(self.leases)], result)

    @rule(
        name=st.sampled_from(["slack", "crm"]),
        results=st.lists(st.sampled_from(["delivered", "retry", "dead", "release"]), min_size=1, max_size=3),
    )
    def attempt_what_is_due(self, name, results):
        self.claim_and_compare({name: len(results)})
        for lease, result in zip(self.leases[-len(results) :], results, strict=False):
            self.settle_one(lease, result)

    def settle_one(self, lease, result):
        id_ = lease.delivery.id
        holds = self.held.get(id_, (None, 0.0))[0] == lease.token
        outcomes = {"delivered": delivered, "retry": retry, "dead": dead, "release": lambda x: Outcome(x, Release())}
        outcome = outcomes[result](lease)
        tells = result == "dead" and lease.delivery.notice is None and lease.delivery.destination == "crm"
        if tells:
            outcome = replace(outcome, told=told(lease, to="slack"))
        held = self.do(self.store.settle([outcome]))
        assert held == ({id_} if holds else frozenset())
        if holds:
            del self.held[id_]
            self.rows[id_]["attempts"] += result != "release"
            if result == "retry":
                self.move(id_, "pending", self.clock.monotonic_s + 60.0)
            elif result != "release":
                self.move(id_, result)
            if tells:
                self.tell(self.rows[id_]["event"])

    def tell(self, event_id):
        now = self.clock.monotonic_s
        last, id_ = self.told.get("crm", (-1e9, ""))
        if last > now + 1e-4:
            self.counts[id_] += 1
            return
        deliveries = self.do(self.store.event(event_id)).deliveries
        [new] = [each for each in deliveries if each.id not in self.rows and each.id not in self.counts]
        assert (new.route, new.destination, new.lane) == ("failed/slack", "slack", None)
        due = max(now, last + 60.0)
        self.add(new.id, "slack", event_id, due)
        self.told["crm"] = (due, new.id)
        self.counts[new.id] = 1

    @rule(seconds=st.sampled_from([0.5, 31.0, 61.0, 101.0]))
    def time_passes(self, seconds):
        self.clock.move(seconds)

    @rule(name=st.sampled_from(["slack", "crm"]), until=st.sampled_from([None, 5e9]))
    def pause(self, name, until):
        self.pauses[name] = Pause(destination=name, by="ann", reason="why", since=self.clock.wall_s, until=until)
        self.do(self.store.pause(self.pauses[name]))

    @rule(name=st.sampled_from(["slack", "crm"]))
    def resume(self, name):
        assert self.do(self.store.resume(name)) == (name in self.pauses)
        self.pauses.pop(name, None)

    @rule(back=st.sampled_from([-DAY, 3600.0]))
    def the_wall_clock_jumps(self, back):
        self.clock.wall_s += back

    @precondition(lambda self: self.rows)
    @rule(nth=st.integers(0, 20), whole=st.booleans())
    def replay(self, nth, whole):
        finished = [id_ for id_, row in self.rows.items() if row["state"] != "pending"]
        ids = finished if finished and nth < 15 else sorted(self.rows)
        id_ = ids[nth % len(ids)]
        event_id = self.rows[id_]["event"]
        ids = [i for i, row in self.rows.items() if row["event"] == event_id] if whole else [id_]
        moved = self.do(replay(self.store, event_id if whole else id_))
        assert {d.id for d in moved} == {i for i in ids if self.rows[i]["state"] in ("dead", "delivered")}
        for delivery in moved:
            self.move(delivery.id, "pending", self.clock.monotonic_s)

    @precondition(lambda self: self.rows)
    @rule(nth=st.integers(0, 20))
    def discard(self, nth):
        id_ = sorted(self.rows)[nth % len(self.rows)]
        which = DeliveryQuery(ids=(id_,))
        done = self.do(self.store.begin(Task(verb="discard", by="ann", which=which, subject="a test")))
        is_open = self.rows[id_]["state"] in ("pending", "dead")
        assert (done.progress.moved, done.progress.is_finished) == (int(is_open), True)
        if is_open:
            self.held.pop(id_, None)
            self.move(id_, "discarded")

    @rule(name=st.sampled_from(["slack", "crm"]))
    def replay_the_dead(self, name):
        which = DeliveryQuery(state=DeliveryState.DEAD, destination=name)
        done = self.do(self.store.begin(Task(verb="replay", by="ann", which=which, subject="a test")))
        dead = [i for i, row in self.rows.items() if (row["state"], row["destination"]) == ("dead", name)]
        assert (done.progress.moved, done.progress.is_finished) == (len(dead), True)
        for id_ in sorted(dead, key=self.accepted):
            self.move(id_, "pending", self.clock.monotonic_s)

    def accepted(self, id_):
        """Replayed are the oldest events first."""
        return list(self.events).index(self.rows[id_]["event"]), list(self.rows).index(id_)

    @rule(limit=st.integers(1, 5))
    def prune(self, limit):
        retention = Retention(events_s=200.0, attempts_s=1e9, dead_s=300.0)
        self.do(prune_all(self.store, retention, limit))
        now = self.clock.monotonic_s
        for event_id, (_, stored) in list(self.events.items()):
            rows = [row for row in self.rows.values() if row["event"] == event_id]
            kept = any(r["state"] == "pending" or (r["state"] == "dead" and r["changed"] > now - 300.0) for r in rows)
            if stored <= now - 200.0 and not kept:
                del self.events[event_id]
                for id_ in [id_ for id_, row in self.rows.items() if row["event"] == event_id]:
                    del self.rows[id_]
                    if self.told.get("crm", (0, ""))[1] == id_:
                        del self.told["crm"]

    @precondition(lambda self: self.age >= 10)
    @rule(clean=st.booleans())
    def start_again(self, clean):
        old = self.store
        if clean:
            self.do(old.close())
        else:
            self.kind = self.kind.after_kill(next(self.lives))
        self.start()
        self.do(old.close())

    def start(self):
        # Between two lives only the wall clock tells how much time has passed.
        self.clock.wall_s = 1_800_000_000.0 + self.clock.monotonic_s - 1000.0
        self.store = self.do(self.kind.open(self.clock))
        self.held = {}
        self.age = 0

    @invariant()
    def every_acknowledged_event_is_there_with_its_deliveries_in_one_state(self):
        self.age += 1
        rows = {row.id: row for row in self.do(self.store.events(EventQuery(limit=1000))).rows}
        assert set(rows) == set(self.events)
        stored = {d.id: d for row in rows.values() for d in row.deliveries}
        assert {id_: d.notice and d.notice.count for id_, d in stored.items()} == {
            id_: self.counts.get(id_) for id_ in self.rows
        }
        assert {id_ for id_, d in stored.items() if d.is_behind} == {
            id_ for id_, row in self.rows.items() if row["state"] == "pending" and row["behind"]
        }
        assert {id_: (d.state, d.attempts) for id_, d in stored.items()} == {
            id_: (row["state"], row["attempts"]) for id_, row in self.rows.items()
        }
        counted = self.do(self.store.stats()).destinations
        for name in ("slack", "crm"):
            mine = [row["state"] for row in self.rows.values() if row["destination"] == name]
            numbers = counted.get(name, DestinationStats())
            assert {state: getattr(numbers, state) for state in DeliveryState} == {
                state: mine.count(state) for state in DeliveryState
            }
        assert {each.destination: each for each in self.do(self.store.pauses())} == self.pauses
        assert self.do(self.store.load(list(self.events))) == {i: new.event for i, (new, _) in self.events.items()}


@pytest.mark.parametrize("kind_of_store", KINDS, ids=lambda kind: kind.id)
def test_the_store_agrees_with_its_model(kind_of_store):
    machine = type("Machine", (StoreMachine,), {"kind_of_store": kind_of_store})
    from hypothesis.stateful import run_state_machine_as_test

    run_state_machine_as_test(machine, settings=settings(max_examples=60, stateful_step_count=50))
