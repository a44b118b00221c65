"""The slots of a destination are divided by need, and never used twice."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.store.cluster import LAPSED_S
from gateway.store.holds import Terms
from gateway.store.shares import fair_share, whole_slots
from gateway.store.spread import Assigning, Peer

SLOTS = 12
TIMEOUT_S = 10.0
#: How often a replica asks, seconds.
ASK_S = 5.0

replicas = st.integers(1, 6)
needs = st.tuples(st.integers(0, 100), st.booleans())


def wanted(*needs, slots=SLOTS):
    """What replicas say: (slots that each has used, whether it could use more)."""
    return {
        number: Terms(slots=slots, timeout_s=TIMEOUT_S, used=used, is_short=is_short)
        for number, (used, is_short) in enumerate(needs, 1)
    }


def slots_of(terms, slots=SLOTS):
    return [whole_slots(slots, fair_share(number, terms)) for number in terms]


@given(st.lists(needs, min_size=1, max_size=SLOTS), st.integers(SLOTS, 1000))
def test_shares_are_all_slots_together_and_each_replica_has_at_least_one(needs, slots):
    terms = wanted(*needs, slots=slots)
    shares = [fair_share(number, terms) for number in terms]
    assert sum(shares) == pytest.approx(1.0)
    each = slots_of(terms, slots)
    assert sum(each) <= slots
    assert min(each) >= 1


@given(st.lists(st.floats(0.0, 1.0), min_size=1, max_size=20), st.integers(1, 1000))
def test_whole_slots_of_shares_are_never_more_than_all(parts, slots):
    total = max(1.0, sum(parts))
    assert sum(whole_slots(slots, part / total) for part in parts) <= slots


@pytest.mark.parametrize(
    ("needs", "expected"),
    [
        pytest.param([(0, False)] * 3, [4, 4, 4], id="nobody needs more"),
        pytest.param([(4, True)] * 3, [4, 4, 4], id="everybody needs more"),
        pytest.param([(4, True), (0, False), (0, False)], [10, 1, 1], id="a backlog, and no traffic elsewhere"),
        pytest.param([(4, True), (3, False), (0, False)], [8, 3, 1], id="a backlog, and some traffic elsewhere"),
        pytest.param([(4, True), (9, False), (0, False)], [7, 4, 1], id="who needs no more keeps no more than an equal part"),
        pytest.param([(4, True), (4, True), (0, False)], [5, 5, 1], id="two that need more"),
    ],
)  # fmt: skip
def test_a_replica_that_needs_more_has_what_the_others_leave_unused(needs, expected):
    assert slots_of(wanted(*needs)) == expected


class Cluster:
    """Replicas that ask in turn, start as much as they may, and are cut off; what each has in flight."""

    def __init__(self, seed):
        self.chance = random.Random(seed)
        self.now = 1000.0
        self.peers, self.holders = {}, {}
        #: By replica: until when its assignment lasts, and how many slots that is.
        self.assigned = {}
        #: By replica: when each request ends, and until when each delivery waits that has a slot already.
        self.requests, self.waiting = {}, {}
        self.demand = {}
        self.asked = {}

    def join(self, demand=None):
        number = len(self.requests) + 1
        self.asked[number], self.requests[number], self.waiting[number] = 0.0, [], []
        self.demand[number] = self.chance.choice([0, 3, 100]) if demand is None else demand

    def in_flight(self, number):
        self.requests[number] = [ends for ends in self.requests[number] if ends > self.now]
        return len(self.requests[number])

    def taken(self, number):
        return self.in_flight(number) + len(self.waiting[number])

    def ask(self, number):
        used = self.taken(number)
        terms = Terms(slots=SLOTS, timeout_s=TIMEOUT_S, used=used, is_short=self.demand[number] > used)
        assigning = Assigning(number, self.now, list(self.peers.values()), self.holders)
        assignment = assigning.one("slack", terms)
        self.peers[number] = Peer(number, self.now, assigning.grants)
        self.holders.update({each.destination: each for each in assigning.changed})
        slots = whole_slots(SLOTS, assignment.share) if assignment else 0
        self.assigned[number] = (self.now + assignment.until_s if assignment else 0.0, slots)
        self.asked[number] = self.now

    def slots(self, number):
        until, slots = self.assigned.get(number, (0.0, 0))
        return slots if self.now < until else 0

    def start(self, number):
        """Take a slot; what is to be sent in it may have to wait for an answer of the store, or for its turn."""
        if self.taken(number) < min(self.slots(number), self.demand[number]):
            self.waiting[number].append(self.now + (15.0 if self.chance.random() < 0.1 else 0.0))

    def send(self, number):
        """Begin the requests that need not wait any longer, in slots that are still assigned; the others are given back."""
        for until in [until for until in self.waiting[number] if until <= self.now]:
            may_send = self.taken(number) <= self.slots(number)
            self.waiting[number].remove(until)
            if may_send:
                self.requests[number].append(self.now + self.chance.choice([0.1, 1.0, TIMEOUT_S]))

    def cut_off(self, number):
        """It asks no more, and starts what it may until its assignment is over."""
        del self.asked[number]
        self.demand[number] = 100

    def pass_by(self, seconds):
        self.now += seconds
        for number, asked in self.asked.items():
            if self.now - asked >= ASK_S:
                self.ask(number)

    def step(self):
        self.pass_by(self.chance.choice([0.0, 0.1, 0.5]))
        for number in self.demand:
            for _ in range(self.chance.choice([0, 1, SLOTS])):
                self.start(number)
            self.send(number)
        if self.chance.random() < 0.02:
            self.demand[self.chance.choice(list(self.asked))] = self.chance.choice([0, 3, 100])


@pytest.mark.parametrize("seed", range(20))
def test_replicas_that_come_and_go_never_have_more_in_flight_than_there_are_slots(seed):
    cluster = Cluster(seed)
    for number in range(1500):
        if number in (0, 200, 400, 900):
            cluster.join()
        if number in (700, 1100):
            cluster.cut_off(cluster.chance.choice(list(cluster.asked)))
        cluster.step()
        assert sum(map(cluster.in_flight, cluster.requests)) <= SLOTS, f"step {number}"


@pytest.mark.parametrize("is_lost", [False, True], ids=["its share has shrunk", "its share has lapsed"])
def test_what_has_waited_in_a_slot_is_not_sent_once_the_slot_is_another_replicas(is_lost):
    cluster = Cluster(1)
    cluster.join(demand=100), cluster.join(demand=0)
    while cluster.slots(1) < SLOTS - 1:
        cluster.pass_by(0.5)
    cluster.waiting[1] = [cluster.now + 60.0] * (SLOTS - 1)
    cluster.demand[2], most = 100, SLOTS // 2
    if is_lost:
        cluster.cut_off(1)
        most = SLOTS
    while cluster.slots(2) < most:
        cluster.pass_by(0.5)
    cluster.requests[2] = [cluster.now + 1000.0] * most
    while cluster.waiting[1]:
        cluster.pass_by(0.5)
        cluster.send(1)
    assert cluster.in_flight(1) + cluster.in_flight(2) <= SLOTS


@pytest.mark.parametrize("seed", range(3))
def test_what_a_lost_replica_left_behind_is_granted_one_timeout_after_it_was_given_up(seed):
    cluster = Cluster(seed)
    cluster.join(demand=100), cluster.join(demand=100)
    while {slots for _, slots in cluster.assigned.values()} != {SLOTS // 2}:
        cluster.step()
    cluster.cut_off(1)
    lost = cluster.now
    while cluster.slots(2) < SLOTS:
        cluster.pass_by(0.5)
        assert cluster.now - lost <= LAPSED_S + TIMEOUT_S + ASK_S + 0.5


def test_a_backlog_at_one_replica_has_nearly_all_slots_within_a_timeout_and_two_rounds():
    cluster = Cluster(1)
    for _ in range(3):
        cluster.join(demand=0)
    while {slots for _, slots in cluster.assigned.values()} != {SLOTS // 3}:
        cluster.pass_by(0.5)
        assert cluster.now < 1100.0
    cluster.demand[2], began = 100, cluster.now
    while cluster.assigned[2][1] < SLOTS - 2:
        cluster.pass_by(0.5)
        assert cluster.now - began <= TIMEOUT_S + 3 * ASK_S
