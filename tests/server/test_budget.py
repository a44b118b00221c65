"""Bodies are held within a budget: slow and unknown senders cannot spend that of others."""

import contextlib
from dataclasses import dataclass, field
from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.routing.peers import Peers, Senders
from gateway.server import Limits, refusals
from gateway.server.budget import Budget
from tests.server.door import HEAD, Door, connect, read_all, read_answer, refusal_in, wait_until

KIB = 1024
KNOWN, STRANGER, ANOTHER = "198.51.100.1", "203.0.113.66", "203.0.113.67"


@dataclass(eq=False)
class Reading:
    """A request whose body is being read."""

    address: str
    path: bytes = b"/in/a"
    answers: list = field(default_factory=list)
    client_party: str = ""

    @property
    def sender(self):
        return self.address, self.path

    def refuse(self, refusal):
        self.answers.append(refusal)


class Room:
    """A budget of 100 bytes with a clock that is moved; shares are off unless asked for."""

    def __init__(self, peers=None, shares=1):
        self.now = 0.0
        self.senders = Senders(lambda: peers or Peers())
        self.senders.verified(KNOWN, b"/in/a")
        self.budget = Budget(Limits(body_bytes=100, shares=shares), self.senders, lambda: self.now)
        self.requests = {}

    def add(self, reading, size):
        """Whether there was room; a refused request is over, as the protocol ends it."""
        reading.client_party = self.senders.peers.party(reading.address)
        refusal = self.budget.add(reading, size, reading)
        if refusal is not None:
            reading.answers.append(refusal)
            self.budget.release(reading)
        return refusal is None


def test_beyond_the_budget_a_newcomer_is_refused_and_room_that_is_given_back_is_used_again():
    room = Room()
    first, second, third = Reading(STRANGER), Reading(STRANGER), Reading(ANOTHER)
    assert room.add(first, 60)
    assert room.add(second, 40)
    assert not room.add(third, 1)
    assert third.answers == [refusals.BODY_BUDGET]
    room.budget.release(first)
    assert room.add(Reading(STRANGER), 60)


def test_a_body_that_comes_quickly_is_not_pushed_out_by_another_stranger():
    room = Room()
    first = Reading(STRANGER)
    assert room.add(first, 90)
    room.now = 0.9
    assert not room.add(Reading(STRANGER), 90)
    assert first.answers == []


def test_a_slow_body_makes_room_for_anybody_the_oldest_first():
    room = Room()
    slow = [Reading(STRANGER) for _ in range(5)]
    for one in slow:
        assert room.add(one, 20)
        room.now += 0.1
    room.now = 1.25
    assert room.add(Reading(STRANGER), 30)
    assert [one.answers for one in slow] == [[refusals.BODY_SLOW]] * 2 + [[]] * 3


def test_a_sender_that_was_verified_is_not_refused_for_strangers():
    room = Room()
    strangers = [Reading(STRANGER) for _ in range(10)]
    assert all(room.add(one, 10) for one in strangers)
    assert room.add(Reading(KNOWN), 50)
    assert [one.answers for one in strangers] == [[refusals.BODY_SLOW]] * 5 + [[]] * 5
    # On another path it is a stranger like any other.
    assert not room.add(Reading(KNOWN, b"/in/b"), 50)


def test_a_verified_sender_that_is_slow_is_not_refused_for_a_stranger_and_for_another_only_after_long():
    room = Room()
    known = Reading(KNOWN)
    assert room.add(known, 100)
    room.now = 9.0
    assert not room.add(Reading(STRANGER), 10)
    assert not room.add(Reading(KNOWN), 10)
    room.now = 10.5
    assert not room.add(Reading(STRANGER), 10)
    assert room.add(Reading(KNOWN), 10)
    assert known.answers == [refusals.BODY_SLOW]


def test_a_complete_body_stays_until_its_request_is_answered():
    room = Room()
    whole = Reading(STRANGER)
    assert room.add(whole, 100)
    room.budget.complete(whole)
    room.now = 60.0
    assert not room.add(Reading(KNOWN), 1)
    assert whole.answers == []


def test_a_body_that_is_alone_is_limited_by_its_source_only():
    room = Room(shares=4)
    alone = Reading(STRANGER)
    assert room.add(alone, 60)
    assert room.add(alone, 5000)
    assert not room.add(Reading(ANOTHER), 1)


def test_one_address_has_its_share_of_the_bytes_and_its_own_slow_bodies_make_room_for_its_next():
    room = Room(shares=4)
    first, second = Reading(STRANGER), Reading(STRANGER)
    assert room.add(first, 20)
    assert not room.add(second, 10)
    assert second.answers == [refusals.BODY_SHARE]
    assert room.add(Reading(ANOTHER), 25)
    room.now = 1.5
    assert room.add(Reading(STRANGER), 10)
    assert first.answers == [refusals.BODY_SLOW]


def test_a_sender_that_was_verified_may_have_all_but_the_share_of_another():
    room = Room(shares=4)
    bodies = [Reading(KNOWN) for _ in range(8)]
    assert all(room.add(one, 10) for one in bodies[:7])
    assert not room.add(bodies[7], 10)
    assert bodies[7].answers == [refusals.BODY_SHARE]
    assert room.add(Reading(ANOTHER), 25)


@pytest.mark.parametrize(("share_private", "fits"), [(False, True), (True, False)])
def test_private_addresses_share_only_if_the_file_says_so(share_private, fits):
    room = Room(Peers(share_private=share_private), shares=4)
    assert room.add(Reading("10.0.0.7"), 20)
    assert room.add(Reading("10.0.0.7"), 20) is fits


senders = st.sampled_from([KNOWN, STRANGER, "10.0.0.7", "2001:db8::1", "2001:db8::2"])
steps = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.integers(0, 9), senders, st.integers(1, 150)),
        st.tuples(st.sampled_from(["complete", "release"]), st.integers(0, 9)),
        st.tuples(st.just("wait"), st.floats(0, 20)),
    ),
    max_size=60,
)


@given(steps, st.integers(1, 5))
def test_whatever_happens_the_count_is_that_of_the_bodies_held_and_within_the_budget(steps, shares):
    room = Room(shares=shares)
    held, largest = {}, {}
    for step in steps:
        match step:
            case ("wait", seconds):
                room.now += seconds
            case ("add", number, sender, size):
                if largest.get(number) == "complete":
                    continue
                reading = held.setdefault(number, Reading(sender))
                room.add(reading, size)
            case (verb, number):
                if number in held:
                    getattr(room.budget, verb)(held[number])
                    largest[number] = verb
                    if verb == "release":
                        del held[number]
        for number in [number for number, reading in held.items() if reading.answers]:
            del held[number]
        largest = {number: verb for number, verb in largest.items() if number in held}
        sizes = [room.budget._bodies[reading].size for reading in held.values() if reading in room.budget._bodies]
        assert room.budget.held == sum(sizes) == sum(each.size for each in room.budget._bodies.values())
        assert room.budget.held <= 100 or len(sizes) == 1
    for reading in held.values():
        room.budget.release(reading)
    assert room.budget.held == 0
    assert not room.budget._parties
    assert not room.budget._unfinished


def test_the_end_of_a_burst_is_noticed_once():
    room = Room()
    small, large = Reading(KNOWN), Reading(KNOWN)
    room.add(small, 10)
    room.budget.release(small)
    assert not room.budget.has_ebbed()
    room.add(large, 50)
    assert not room.budget.has_ebbed()
    room.budget.release(large)
    assert room.budget.has_ebbed()
    assert not room.budget.has_ebbed()


# --- on real sockets ---


def unfinished(size, path=b"/in"):
    return HEAD.replace(b"/in", path) + b"Content-Length: %d\r\n\r\n" % (size + 100) + b"x" * size


def whole(size):
    return HEAD + b"Content-Length: %d\r\n\r\n" % size + b"x" * size


@contextlib.contextmanager
def door_with(limits, peers=None):
    with Door(limits, peers) as door, contextlib.ExitStack() as stack:

        def guest(data, host="", address=None):
            client = stack.enter_context(connect(address or door.address, host))
            client.sendall(data)
            return client

        yield door, guest


def test_bodies_that_never_end_keep_nobody_out_for_longer_than_a_moment():
    with door_with(Limits(body_bytes=1024 * KIB, linger_s=60.0)) as (door, guest):
        attackers = [guest(unfinished(256 * KIB)) for _ in range(4)]
        wait_until(lambda: door.body_bytes == 1024 * KIB)
        wait_until(lambda: read_answer(guest(whole(10 * KIB)))[0] == 200)
        assert refusal_in(read_all(attackers[0])) == 503
        assert "body_slow" in door.refused


def test_a_sender_that_was_verified_gets_in_at_once_past_bodies_that_never_end():
    limits = Limits(body_bytes=1024 * KIB, shares=1)
    with door_with(limits, Peers(share_private=True)) as (door, guest):
        door.senders.verified("127.0.0.7", b"/in")
        for _ in range(20):
            attackers = [guest(unfinished(250 * KIB), "127.0.0.66") for _ in range(4)]
            wait_until(lambda: door.body_bytes > 900 * KIB)
            assert read_answer(guest(whole(512 * KIB), "127.0.0.7"))[0] == 200
            for attacker in attackers:
                attacker.close()


def test_one_address_cannot_hold_more_bodies_than_its_share_and_another_is_not_refused():
    with door_with(Limits(body_bytes=1024 * KIB, linger_s=60.0), Peers(share_private=True)) as (door, guest):
        attackers = [guest(unfinished(100 * KIB), "127.0.0.66") for _ in range(10)]
        wait_until(lambda: door.refused.count("body_share") == 8)
        assert read_answer(guest(whole(256 * KIB), "127.0.0.7"))[0] == 200
        statuses = sorted(refusal_in(read_all(one)) for one in attackers[2:])
        assert statuses == [503] * 8


def test_clients_behind_a_trusted_proxy_have_a_share_each():
    peers = Peers(trusted=(ip_network("127.0.0.0/8"),))
    with door_with(Limits(body_bytes=1024 * KIB, linger_s=60.0), peers) as (door, guest):

        def through(client, data):
            return guest(data.replace(b"Host: a", b"Host: a\r\nX-Forwarded-For: " + client, 1))

        for _ in range(10):
            through(b"203.0.113.66", unfinished(100 * KIB))
        wait_until(lambda: door.refused.count("body_share") == 8)
        assert read_answer(through(b"203.0.113.7", whole(256 * KIB)))[0] == 200


def test_what_a_request_held_is_given_back_however_it_ends():
    with door_with(Limits(body_bytes=1024 * KIB, linger_s=0.05, body_deadline_s=0.2)) as (door, guest):
        guest(unfinished(64 * KIB)).close()
        guest(whole(64 * KIB))
        guest(whole(64 * KIB).replace(b"/in", b"/boom"))
        guest(whole(64 * KIB).replace(b"/in", b"/silent"))
        guest(unfinished(64 * KIB, b"/refuse"))
        guest(unfinished(64 * KIB))
        pipelined = guest(whole(64 * KIB).replace(b"/in", b"/hold") + whole(8 * KIB) * 3)
        wait_until(lambda: door.body_bytes >= 64 * KIB)
        assert door.held.wait(20)
        pipelined.close()
        door.loop.call_soon_threadsafe(door.go.set)
        wait_until(lambda: door.body_bytes == 0)
        assert read_answer(guest(whole(1024 * KIB)))[0] == 200
        assert len(door.failed) == 1


def test_the_admin_listener_has_a_budget_of_its_own():
    with door_with(Limits(body_bytes=1024 * KIB, linger_s=60.0)) as (door, guest):
        crowd = [guest(unfinished(200 * KIB), address=door.admin) for _ in range(12)]
        assert refusal_in(read_all(crowd[-1])) == 503
        assert read_answer(guest(whole(1000 * KIB)))[0] == 200
        assert {listener for listener, _ in door.clients} == {"admin"}


def test_what_comes_out_of_a_compressed_body_counts_until_its_request_is_answered():
    with door_with(Limits(body_bytes=1000, shares=1, linger_s=60.0)) as (door, guest):
        guest(whole(600).replace(b"/in", b"/hold"))
        wait_until(lambda: door.body_bytes == 600)
        # 600 + 100 + 200 fit into 1,000; another 500 do not, and neither does anything after them.
        status, _, body = read_answer(guest(whole(100).replace(b"/in", b"/unpack")))
        assert (status, body) == (200, b"[true, false, false]")
        wait_until(lambda: door.body_bytes == 600)
        door.loop.call_soon_threadsafe(door.go.set)
        wait_until(lambda: door.body_bytes == 0)
