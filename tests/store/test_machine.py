"""Every store against a model of it in plain dictionaries, in any order of what may happen."""

import asyncio
import itertools
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from msgspec.structs import replace

from gateway.model import MOVES, DeliveryState, Release
from gateway.store.activities import Task
from gateway.store.holds import Hold, Pause
from gateway.store.nouns import Outcome, Retention, Want
from gateway.store.queries import DeliveryQuery, DestinationStats, EventQuery
from tests.store.conformance.test_replicas import hint
from tests.store.database import OtherVersionKind
from tests.store.given import (
    KINDS,
    Clock,
    dead,
    delivered,
    new_event,
    once,
    prune_all,
    replay,
    retry,
    told,
)
from tests.store.through import RemoteKind

DAY = 86400.0


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
        #: destination -> Hold
        self.holds = {}
        #: Destinations that a hint has named, until a claim gave less than it was asked for.
        self.hinted = set()
        #: delivery id -> (token, until); the last lease that was granted and may still be held.
        self.held = {}
        self.tokens = set()
        #: Those of the process that runs.
        self.granted_now = set()
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
        self.granted_now.add(lease.token)
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
        while named := self.do(self.hint()):
            self.hinted |= named
        assert {name for name in slots if due[name]} <= self.hinted, "nobody would look there"
        claimed = self.do(self.store.claim("a", {name: Want(n, 30.0) for name, n in slots.items()}))
        for name, count in slots.items():
            taken = [lease for lease in claimed if lease.delivery.destination == name]
            assert len(taken) == min(count, len(due[name]))
            if len(taken) < count:
                self.hinted.discard(name)
            assert {lease.delivery.id for lease in taken} <= set(due[name])
            latest = max((self.rows[lease.delivery.id]["due"] for lease in taken), default=0.0)
            left = set(due[name]) - {lease.delivery.id for lease in taken}
            assert all(self.rows[id_]["due"] >= latest - 1e-4 for id_ in left), "the longest due go first"
        for lease in claimed:
            self.granted(lease, 30.0)

    async def hint(self):
        return await hint(self.store)

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
        self.change(name, pause=Pause(by="ann", reason="why", since=self.clock.wall_s, until=until))

    @rule(name=st.sampled_from(["slack", "crm"]))
    def resume(self, name):
        self.change(name, pause=None)

    def change(self, name, **changes):
        hold = replace(self.holds.get(name, Hold(destination=name)), **changes)
        assert self.do(self.store.set_hold(hold))
        assert not self.do(self.store.set_hold(hold)), "it is a revision behind"
        self.holds[name] = replace(hold, rev=hold.rev + 1)

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
        # One that ends gives back its own leases; those of one that was killed before may last longer.
        ended = self.granted_now if clean else set()
        outlive = self.kind.leases_outlive_a_kill
        self.held = {id_: each for id_, each in self.held.items() if outlive and each[0] not in ended}
        self.start()
        self.do(old.close())

    def start(self):
        # Between two lives only the wall clock tells how much time has passed.
        self.clock.wall_s = 1_800_000_000.0 + self.clock.monotonic_s - 1000.0
        self.store = self.do(self.kind.open(self.clock))
        self.hinted = set()
        self.granted_now = set()
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
        assert self.store.room.pending == sum(row["state"] == "pending" for row in self.rows.values())
        assert {each.destination: each for each in self.do(self.store.holds())} == self.holds
        assert self.do(self.store.load(list(self.events))) == {i: new.event for i, (new, _) in self.events.items()}


@pytest.mark.parametrize("kind_of_store", [*KINDS, RemoteKind, OtherVersionKind], ids=lambda kind: kind.id)
def test_the_store_agrees_with_its_model(kind_of_store):
    machine = type("Machine", (StoreMachine,), {"kind_of_store": kind_of_store})
    from hypothesis.stateful import run_state_machine_as_test

    run_state_machine_as_test(machine, settings=settings(max_examples=kind_of_store.examples, stateful_step_count=50))
