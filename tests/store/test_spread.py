"""How destinations are spread over replicas that reach the store through one process: whatever comes in any order."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.store.holds import Terms
from gateway.store.spread import Spread

REPLICAS = ("a", "b", "c")
NAMES = ("free", "few", "paced")
TERMS = {
    "free": Terms(slots=8, timeout_s=5.0),
    "few": Terms(slots=2, timeout_s=5.0),
    "paced": Terms(slots=8, timeout_s=5.0, is_paced=True),
}
STEPS = st.lists(
    st.tuples(st.just("ask"), st.sampled_from(REPLICAS))
    | st.tuples(st.sampled_from(["leave", "release"]), st.sampled_from(REPLICAS))
    | st.tuples(st.just("wait"), st.floats(0.1, 16.0)),
    max_size=40,
)


class Gateway:
    """The replicas, and what each may do as far as it knows."""

    def __init__(self, expected):
        self.now = 0.0
        self.spread = Spread(lambda: self.now)
        self.spread.expected = expected
        #: By replica and destination: the assignment, and until when it counts.
        self.known = {}

    def do(self, what, which):
        if what == "wait":
            self.now += which
        elif what == "ask":
            self.forget(which)
            for name, each in self.spread.assigned(which, TERMS).destinations.items():
                self.known[which, name] = each, self.now + each.until_s
        elif what == "release":
            self.spread.release(which, NAMES)
            self.forget(which)
        else:
            self.spread.leave(which)
            self.forget(which)

    def forget(self, replica):
        self.known = {key: each for key, each in self.known.items() if key[0] != replica}

    def in_force(self, name):
        return [each for (_, known), (each, until) in self.known.items() if known == name and until > self.now]


@given(STEPS, st.integers(1, 3))
def test_a_destination_has_one_holder_and_no_more_than_all_of_its_slots_are_given(steps, expected):
    gateway, epochs = Gateway(expected), {name: {} for name in NAMES}
    for what, which in steps:
        gateway.do(what, which)
        for name in NAMES:
            there = gateway.in_force(name)
            holders = [each for each in there if each.is_holder]
            assert len(holders) <= 1
            assert sum(each.share for each in there) <= 1.0 + 1e-9
            if name == "paced" or (name == "few" and expected > TERMS[name].slots):
                assert all(each.is_holder for each in there), "it is sent to by its holder alone"
            assert all(each.may_claim for each in there), "one process grants all leases"
            for each in holders:
                owner = next(key[0] for key, (known, _) in gateway.known.items() if known is each)
                assert epochs[name].setdefault(each.epoch, owner) == owner, "another holder has another epoch"


@pytest.mark.parametrize("expected", [1, 2, 3])
def test_all_slots_are_used_once_everybody_has_asked_again(expected):
    gateway = Gateway(expected)
    for _ in range(6):
        for replica in REPLICAS[:expected]:
            gateway.do("ask", replica)
        gateway.do("wait", 6.0)
    for replica in REPLICAS[:expected]:
        gateway.do("ask", replica)
    assert [round(each.share * expected, 6) for each in gateway.in_force("free")] == [1.0] * expected
    for name in NAMES:
        assert sum(each.is_holder for each in gateway.in_force(name)) == 1


@given(STEPS, st.integers(1, 3))
def test_destinations_that_look_ups_join_have_the_same_holder(steps, expected):
    """Whoever holds one of them and has asked since for both holds the other, too."""
    joined = {name: Terms(slots=8, timeout_s=5.0, is_paced=True, group="chat") for name in ("chat", "crm", "billing")}
    now, held = 0.0, {}
    spread = Spread(lambda: now)
    spread.expected = expected
    for what, which in steps:
        if what == "wait":
            now += which
        elif what == "ask":
            given = spread.assigned(which, joined)
            held[which] = {name for name, each in given.destinations.items() if each.is_holder}
            assert held[which] in (set(), set(joined))
        elif what == "release":
            spread.release(which, joined)
        else:
            spread.leave(which)
