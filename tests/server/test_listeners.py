"""A full listener makes room for whoever has a request, and one address cannot fill it."""

import contextlib
import select
import threading
import time
from ipaddress import ip_network

import pytest

from gateway.routing.peers import Peers
from gateway.server import Limits
from tests.server.door import HEAD, Door, connect, read_all, read_answer, refusal_in, wait_until

SHARED = Peers(share_private=True)
HALF = b"GET / HTTP/1.1\r\nHost:"
HALF_BODY = HEAD + b"Content-Length: 1000000\r\n\r\nx"
WHOLE = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


@contextlib.contextmanager
def crowded(limits, peers=None):
    """A door, and a function that opens a connection, from another address if asked, and sends something on it."""
    with Door(limits, peers) as door, contextlib.ExitStack() as stack:

        def guest(data=b"", host="", address=None):
            client = stack.enter_context(connect(address or door.address, host))
            client.sendall(data)
            return client

        yield door, guest


def served(client):
    return read_answer(client)[0] == 200


def is_closed(client):
    """Whether the server has closed a connection by now."""
    if not select.select([client], [], [], 0)[0]:
        return False
    return read_all(client) is not None


def hold(door, guest, number, **where):
    """Connections whose requests are being served until ``door.go`` is set."""
    clients = [guest(b"GET /hold HTTP/1.1\r\nHost: a\r\n\r\n", **where) for _ in range(number)]
    wait_until(lambda: door.holding == number)
    return clients


def test_while_all_are_being_served_a_newcomer_gets_503_and_nobody_is_cut_off():
    with crowded(Limits(connections=8, linger_s=60.0)) as (door, guest):
        guests = hold(door, guest, 8)
        assert [refusal_in(read_all(guest())) for _ in range(20)] == [503] * 20
        assert door.refused == ["overloaded"] * 20
        door.loop.call_soon_threadsafe(door.go.set)
        assert all(served(one) for one in guests)
        assert served(guest(WHOLE))


@pytest.mark.parametrize(
    ("waiting", "answered", "ends"),
    [
        (b"", 0, []),
        (HALF, 0, [503]),
        (WHOLE, 1, []),
        (HALF_BODY, 0, [503]),
        (WHOLE + HALF, 1, [503]),
        (WHOLE + HALF_BODY, 1, [503]),
        (WHOLE * 3 + HALF_BODY, 3, [503]),
    ],
    ids=["silent", "half a head", "kept alive", "half a body", "another half", "another half body", "pipelined"],
)
def test_idle_connections_make_room_the_idlest_first(waiting, answered, ends):
    with crowded(Limits(connections=8)) as (door, guest):
        crowd = [guest(waiting) for _ in range(8)]
        assert all(served(one) for one in crowd for _ in range(answered))
        wait_until(lambda: door.connections == 8)
        newcomers = [guest(WHOLE) for _ in range(3)]
        assert all(served(one) for one in newcomers)
        assert [[refusal_in(each) for each in [read_all(one)] if each] for one in crowd[:3]] == [ends] * 3
        assert not any(is_closed(one) for one in [*crowd[3:], *newcomers])
        assert door.refused == ["evicted"] * 3


def test_a_thousand_half_open_connections_at_two_hundred_a_second_refuse_nobody():
    with crowded(Limits(connections=256)) as (_, guest):
        answers = []
        for _ in range(8):
            for _ in range(130):
                guest(HALF)
            answers += [served(guest(WHOLE)) for _ in range(5)]
        assert answers == [True] * 40


def test_a_burst_of_honest_connections_loses_none_of_them():
    with crowded(Limits(connections=8)) as (door, guest):
        held_up = threading.Event()
        door.loop.call_soon_threadsafe(held_up.wait)
        # All of them are there, with their requests, before the server accepts the first.
        burst = [guest(WHOLE) for _ in range(200)]
        held_up.set()
        assert all(served(one) for one in burst)
        assert set(door.refused) == {"evicted"}


def test_a_request_is_not_young_again_because_another_byte_of_it_came():
    with crowded(Limits(connections=4)) as (_, guest):
        dripping, idle = guest(HALF), [guest() for _ in range(3)]
        dripping.sendall(b" a\r\nX-A: b\r\n")
        time.sleep(0.05)
        assert served(guest(WHOLE))
        assert refusal_in(read_all(dripping)) == 503
        assert not any(is_closed(one) for one in idle)


def test_one_address_has_a_quarter_of_the_connections_and_more_of_its_own_push_each_other_out():
    with crowded(Limits(connections=32), SHARED) as (door, guest):
        attackers = [guest(HALF, "127.0.0.66") for _ in range(40)]
        others = [guest(host=f"127.0.0.{number}") for number in range(1, 20)]
        wait_until(lambda: door.connections == 8 + 19)
        assert served(guest(WHOLE, "127.0.0.66"))
        assert not any(is_closed(one) for one in others)
        assert sum(not is_closed(one) for one in attackers) == 7
        assert set(door.clients) == {("ingest", "127.0.0.66")}


def test_an_address_whose_share_is_being_served_gets_503_and_others_do_not():
    with crowded(Limits(connections=16, linger_s=60.0), SHARED) as (door, guest):
        hold(door, guest, 4, host="127.0.0.66")
        assert refusal_in(read_all(guest(host="127.0.0.66"))) == 503
        assert door.refused == ["connection_share"]
        assert served(guest(WHOLE, "127.0.0.67"))
        door.loop.call_soon_threadsafe(door.go.set)


@pytest.mark.parametrize("peers", [Peers(), Peers(share_private=True, trusted=(ip_network("127.0.0.0/8"),))],
    ids=["private address", "trusted proxy"],
)  # fmt: skip
def test_no_share_applies_to(peers):
    with crowded(Limits(connections=16), peers) as (door, guest):
        hold(door, guest, 15)
        assert served(guest(WHOLE))
        door.loop.call_soon_threadsafe(door.go.set)


def test_a_refused_connection_that_lingers_makes_room_before_anybody_else():
    with crowded(Limits(connections=4, linger_s=60.0)) as (_, guest):
        idle = [guest() for _ in range(2)]
        refused = [guest(b"nonsense\r\n\r\n") for _ in range(2)]
        assert [refusal_in(one.recv(1000)) for one in refused] == [400] * 2
        assert served(guest(WHOLE))
        assert not any(is_closed(one) for one in idle)


def test_a_client_that_got_its_4xx_before_its_body_is_let_go_of_after_a_moment():
    with crowded(Limits(linger_s=0.1)) as (door, guest):
        client = guest(b"POST /refuse HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nx")
        assert b" 413 " in read_all(client)
        wait_until(lambda: door.connections == 0)


def test_keep_alive_is_shorter_while_more_than_half_of_the_connections_are_taken():
    with crowded(Limits(connections=4, keep_alive_s=60.0, keep_alive_pressed_s=0.05)) as (door, guest):
        first = guest(WHOLE)
        assert served(first)
        others = [guest(), guest()]
        wait_until(lambda: door.connections == 3)
        last = guest(WHOLE)
        assert served(last)
        assert read_all(last) == b""
        assert not any(is_closed(one) for one in [first, *others])


def test_probes_are_answered_when_the_admin_listener_is_full():
    with crowded(Limits(connections=64, linger_s=60.0)) as (door, guest):
        hold(door, guest, 8, address=door.admin)
        probe = guest(b"GET /healthz?full HTTP/1.1\r\nHost: a\r\n\r\n", address=door.admin)
        assert b"HTTP/1.1 200" in read_all(probe)
        assert refusal_in(read_all(guest(WHOLE, address=door.admin))) == 503
        door.loop.call_soon_threadsafe(door.go.set)


def test_three_hundred_idle_connections_do_not_keep_a_probe_from_the_admin_listener():
    with crowded(Limits(connections=1024)) as (door, guest):
        for _ in range(300):
            guest(address=door.admin)
        for _ in range(20):
            assert served(guest(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n", address=door.admin))
        assert all(listener == "admin" for listener, _ in door.clients)


def test_a_client_behind_a_proxy_is_known_by_its_own_address():
    with crowded(Limits(), Peers(trusted=(ip_network("127.0.0.0/8"),))) as (_, guest):
        for client in ("198.51.100.9", "2001:db8::9"):
            one = guest(b"GET /client HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: %s\r\n\r\n" % client.encode())
            assert read_answer(one)[2] == client.encode()
