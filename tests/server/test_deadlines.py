"""No deadline can be stretched, and none hits an innocent party."""

import asyncio
import contextlib

from gateway.server import Limits
from tests.server.door import (
    CHUNKED,
    HEAD,
    PATIENCE_S,
    Door,
    connect,
    conversation,
    read_all,
    read_answer,
    refusal_in,
    send_to_the_end,
    wait_until,
)


def test_a_header_now_and_then_does_not_hold_the_door_open():
    async def main():
        door = Door(Limits(header_deadline_s=10))
        with conversation(door) as (connection, transport, clock):
            connection.data_received(b"POST / HTTP/1.1\r\nHost: a\r\n")
            for second in range(1, 10):
                clock.now = second
                connection.data_received(b"X: y\r\n")
                connection.expire(clock.now)
            assert transport.written == b""
            connection.expire(10.0)
            assert refusal_in(transport.written) == 408
            assert door.refused == ["header_deadline"]

    asyncio.run(main())


def test_a_body_that_does_not_come_ends_in_408_and_the_app_is_told_at_once():
    with Door(Limits(body_deadline_s=0.2, linger_s=60.0)) as door, connect(door.address) as client:
        client.sendall(HEAD + b"Content-Length: 100\r\n\r\nabc")
        assert refusal_in(read_all(client)) == 408
        assert door.refused == ["body_deadline"]
        wait_until(lambda: door.seen[-1:] == ["http.disconnect"])


def test_a_body_that_drips_ends_in_408_long_before_the_deadline():
    async def main():
        door = Door(Limits(body_deadline_s=30, body_rate=1024, body_rate_over_s=10))
        with conversation(door) as (connection, transport, clock):
            connection.data_received(CHUNKED)
            for clock.now in range(1, 10):
                connection.data_received(b"1\r\na\r\n")
                connection.expire(clock.now)
                await asyncio.sleep(0)
            assert transport.written == b""
            connection.expire(10.0)
            assert refusal_in(transport.written) == 408
            assert door.refused == ["body_deadline"]

    asyncio.run(main())


def test_a_body_that_stops_after_a_good_beginning_ends_in_408_after_the_time_that_the_rate_is_measured_over():
    async def main():
        door = Door(Limits(body_deadline_s=30, body_rate=1024, body_rate_over_s=10))
        with conversation(door) as (connection, transport, clock):
            connection.data_received(HEAD + b"Content-Length: 1048576\r\n\r\n")
            connection.data_received(b"x" * 30_000)
            await turns()
            connection.expire(10.0)
            assert transport.written == b""
            clock.now = 10.0
            connection.expire(20.0)
            assert refusal_in(transport.written) == 408

    asyncio.run(main())


def test_a_body_that_keeps_the_rate_has_until_the_deadline():
    async def main():
        door = Door(Limits(body_deadline_s=30, body_rate=1024, body_rate_over_s=10))
        with conversation(door) as (connection, transport, clock):
            connection.data_received(HEAD + b"Content-Length: 1048576\r\n\r\n")
            for clock.now in range(1, 30):
                connection.data_received(b"x" * 1200)
                connection.expire(clock.now)
                await asyncio.sleep(0)
            assert transport.written == b""
            connection.expire(30.0)
            assert refusal_in(transport.written) == 408
            assert door.refused == ["body_deadline"]

    asyncio.run(main())


def test_a_connection_without_a_request_is_closed_without_a_word(hasty):
    with connect(hasty.address) as client:
        assert read_all(client) == b""


def test_empty_lines_do_not_keep_a_connection_alive(hasty):
    with connect(hasty.address) as client:
        client.settimeout(0.02)
        ended = False
        while not ended:
            send_to_the_end(client, b"\r\n")
            with contextlib.suppress(TimeoutError, ConnectionResetError):
                ended = client.recv(100) == b""
        assert ended


def test_an_idle_connection_is_closed_after_keep_alive(brisk):
    with connect(brisk.address) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert read_answer(client)[0] == 200
        assert read_all(client) == b""


def test_a_client_that_does_not_take_its_answer_is_cut_off(brisk):
    with connect(brisk.address) as client:
        client.sendall(b"GET /big HTTP/1.1\r\nHost: a\r\n\r\n")
        wait_until(lambda: "big ended" in brisk.seen)
        received = 0
        with contextlib.suppress(ConnectionResetError):
            while piece := client.recv(1_000_000):
                received += len(piece)
        assert received < 64 * 1024 * 1024


def test_an_answer_that_takes_its_time_is_not_cut_by_any_deadline(brisk):
    brisk.held.clear()
    with connect(brisk.address) as client, connect(brisk.address) as marker:
        client.sendall(b"GET /hold HTTP/1.1\r\nHost: a\r\n\r\n")
        assert brisk.held.wait(PATIENCE_S)
        marker.sendall(HEAD + b"Content-Length: 1\r\n\r\n")
        assert refusal_in(read_all(marker)) == 408  # the deadlines have passed by now
        brisk.loop.call_soon_threadsafe(brisk.go.set)
        assert read_answer(client)[0] == 200


def test_an_app_that_reads_late_is_not_blamed_on_the_sender():
    async def main():
        door = Door(Limits(body_deadline_s=30))
        door.go = asyncio.Event()
        with conversation(door) as (connection, transport, clock):
            connection.data_received(b"POST /reads-late HTTP/1.1\r\nHost: a\r\nContent-Length: 200000\r\n\r\n")
            connection.data_received(b"x" * 100_000)
            assert transport.paused
            for clock.now in (30.0, 60.0, 90.0):
                connection.expire(clock.now)
            door.go.set()
            await turns()
            assert not transport.paused
            connection.data_received(b"x" * 100_000)
            connection.expire(119.0)
            await turns()
            assert transport.written.startswith(b"HTTP/1.1 200")
            assert b'"size": 200000' in transport.written

    asyncio.run(main())


def test_the_first_header_deadline_counts_from_the_connection_and_later_ones_from_the_first_byte():
    async def main():
        with conversation(Door(Limits(header_deadline_s=10, keep_alive_s=60))) as (connection, transport, clock):
            clock.now = 9.0
            connection.data_received(b"GET / HTTP/1.1\r\n")
            connection.expire(9.9)
            connection.data_received(b"Host: a\r\n\r\n")
            await turns()
            assert transport.written.startswith(b"HTTP/1.1 200")
            transport.written = b""
            clock.now = 60.0
            connection.data_received(b"GET / HTTP/1.1\r\n")
            connection.expire(69.9)
            assert transport.written == b""
            connection.expire(70.0)
            assert refusal_in(transport.written) == 408

    asyncio.run(main())


def test_a_late_first_byte_gets_no_deadline_of_its_own():
    async def main():
        with conversation(Door(Limits(header_deadline_s=10))) as (connection, transport, clock):
            clock.now = 9.0
            connection.data_received(b"GET / HTTP/1.1\r\n")
            connection.expire(10.0)
            assert refusal_in(transport.written) == 408

    asyncio.run(main())


async def turns():
    """Let everything that is ready in the loop have its turn."""
    for _ in range(10):
        await asyncio.sleep(0)
