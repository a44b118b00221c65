"""Above the cap, new connections are turned away and open ones stay."""

import contextlib

from gateway.server import Limits
from tests.server.door import Door, connect, read_all, read_answer, refusal_in, wait_until


def test_above_the_connection_cap_a_newcomer_gets_503_and_the_others_stay():
    with Door(Limits(connections=8, linger_s=60.0)) as door, contextlib.ExitStack() as stack:
        guests = [stack.enter_context(connect(door.address)) for _ in range(8)]
        for guest in guests:
            guest.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            assert read_answer(guest)[0] == 200
        crowd = [stack.enter_context(connect(door.address)) for _ in range(20)]
        assert [refusal_in(read_all(one)) for one in crowd] == [503] * 20
        assert door.refused == ["overloaded"] * 20
        with connect(door.admin) as probe:
            probe.sendall(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
            assert read_answer(probe)[0] == 200
        for one in (*crowd, guests[0]):
            one.close()
        wait_until(lambda: welcome(door.address))


def welcome(address):
    with connect(address) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        return read_answer(client)[0] == 200
