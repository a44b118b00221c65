"""Legitimate requests keep working, however they arrive."""

import contextlib
import itertools
import json
import socket
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.server import Limits
from tests.server.door import (
    CHUNKED,
    HEAD,
    Door,
    connect,
    converse,
    parse_head,
    read_all,
    read_answer,
    refusal_in,
    wait_until,
)


def test_keep_alive_serves_one_request_after_the_other(door):
    with connect(door.address) as client:
        for number in range(3):
            client.sendall(b"POST /in/%d HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nab" % number)
            status, headers, body = read_answer(client)
            assert (status, json.loads(body)["path"], json.loads(body)["size"]) == (200, f"/in/{number}", 2)
            assert "connection" not in headers
            assert "server" not in headers
            assert "date" in headers


def test_pipelined_requests_are_answered_in_order(door):
    requests = [
        b"POST /in/%d HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s" % (n, n, b"x" * n) for n in range(20)
    ]
    with connect(door.address) as client:
        client.sendall(b"".join(requests))
        answers = [json.loads(read_answer(client)[2]) for _ in requests]
    assert [(one["path"], one["size"]) for one in answers] == [(f"/in/{n}", n) for n in range(20)]


def test_garbage_behind_a_good_request_does_not_cost_the_good_one_its_answer(door):
    with connect(door.address) as client:
        client.sendall(b"GET /good HTTP/1.1\r\nHost: a\r\n\r\n" * 2 + b"\0\0garbage")
        assert json.loads(read_answer(client)[2])["path"] == "/good"
        assert json.loads(read_answer(client)[2])["path"] == "/good"
        assert refusal_in(read_all(client)) == 400


def test_a_broken_body_behind_a_good_request_is_refused_after_its_answer(door):
    with connect(door.address) as client:
        client.sendall(b"GET /good HTTP/1.1\r\nHost: a\r\n\r\n" + CHUNKED + b"zz\r\n")
        assert json.loads(read_answer(client)[2])["path"] == "/good"
        assert refusal_in(read_all(client)) == 400


def test_a_flood_of_pipelined_requests_is_answered_up_to_the_cap_and_then_refused():
    with Door(Limits(pipelined=5)) as door, connect(door.address) as client:
        client.sendall(b"GET /good HTTP/1.1\r\nHost: a\r\n\r\n" * 5000)
        assert [read_answer(client)[0] for _ in range(6)] == [200] * 6
        assert refusal_in(read_all(client)) == 400
        assert door.refused == ["pipelined"]


def test_a_request_under_way_is_told_that_its_client_left_although_others_are_queued_behind_it(door):
    door.seen.clear()
    with connect(door.address) as client:
        client.sendall(b"GET /listens HTTP/1.1\r\nHost: a\r\n\r\n" + b"GET /queued HTTP/1.1\r\nHost: a\r\n\r\n")
        wait_until(lambda: door.seen == ["http.request"])
        # A reset: after a mere end of sending, a client may still want its answers.
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    wait_until(lambda: door.seen == ["http.request", "http.disconnect"])


def test_a_body_that_breaks_under_a_begun_answer_ends_the_connection(door):
    with connect(door.address) as client:
        client.sendall(CHUNKED.replace(b"/in", b"/answers-first"))
        assert client.recv(12) == b"HTTP/1.1 200"
        client.sendall(b"zz\r\n")
        assert b"HTTP/1.1" not in read_all(client)


def test_an_app_is_told_when_its_client_leaves(door):
    door.held.clear()
    door.seen.clear()
    with connect(door.address) as client:
        client.sendall(HEAD.replace(b"/in", b"/gone") + b"Content-Length: 5\r\n\r\nab")
        wait_until(lambda: "http.request" in door.seen)
    wait_until(lambda: "http.disconnect" in door.seen)


def test_a_long_body_does_not_count_as_headers_of_the_request_behind_it():
    first = HEAD + b"Content-Length: 200000\r\n\r\n" + b"x" * 200_000
    written = converse([first + b"GET /next HTTP/1.1\r\nHo", b"st: a\r\n\r\n"]).written
    assert written.count(b"HTTP/1.1 200") == 2
    assert b'"path": "/next"' in written


def test_a_chunked_body_with_extensions_and_trailers_arrives_without_them(door):
    with connect(door.address) as client:
        client.sendall(CHUNKED + b"3;name=value\r\nabc\r\n2\r\nde\r\n0\r\nX-Signature: forged\r\nHost: b\r\n\r\n")
        status, _, body = read_answer(client)
    assert (status, json.loads(body)["size"]) == (200, 5)
    assert json.loads(body)["headers"] == ["host", "transfer-encoding"]


def test_one_byte_chunks_are_legal(door):
    with connect(door.address) as client:
        client.sendall(CHUNKED + b"1\r\na\r\n" * 100_000 + b"0\r\n\r\n")
        assert json.loads(read_answer(client)[2])["size"] == 100_000


def test_a_megabyte_arrives_whole(door):
    with connect(door.address) as client:
        client.sendall(HEAD + b"Content-Length: 1048576\r\n\r\n" + b"x" * 1_048_576)
        assert json.loads(read_answer(client)[2])["size"] == 1_048_576


def test_head_is_answered_without_a_body(door):
    with connect(door.address) as client:
        client.sendall(b"HEAD /h HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        raw = read_all(client)
    assert raw.startswith(b"HTTP/1.1 200")
    assert raw.endswith(b"\r\n\r\n")


def test_http_1_0_needs_no_host_and_closes(door):
    with connect(door.address) as client:
        client.sendall(b"GET /old HTTP/1.0\r\n\r\n")
        raw = read_all(client)
    assert parse_head(raw)[0] == 200
    assert parse_head(raw)[1]["connection"] == "close"


def test_100_headers_of_32_kib_together_are_let_in(door):
    filler = b"".join(b"X-%02d: %s\r\n" % (number, b"v" * 300) for number in range(99))
    with connect(door.address) as client:
        client.sendall(HEAD + filler + b"\r\n")
        assert read_answer(client)[0] == 200


def test_expect_100_continue_is_granted_when_the_app_reads(door):
    with connect(door.address) as client:
        client.sendall(HEAD + b"Expect: 100-continue\r\nContent-Length: 3\r\n\r\n")
        assert read_answer(client)[0] == 100
        client.sendall(b"abc")
        assert json.loads(read_answer(client)[2])["size"] == 3


def test_an_answer_before_the_body_reaches_a_client_that_sends_it_all_the_same(door):
    with connect(door.address) as client:
        client.sendall(b"POST /refuse HTTP/1.1\r\nHost: a\r\nContent-Length: 10000000\r\n\r\n" + b"x" * 10_000_000)
        status, headers = parse_head(read_all(client))
    assert (status, headers["connection"]) == (413, "close")


def test_a_client_may_close_its_sending_side_and_still_gets_its_answer(door):
    with connect(door.address) as client:
        client.sendall(b"GET /half HTTP/1.1\r\nHost: a\r\n\r\n")
        client.shutdown(socket.SHUT_WR)
        assert parse_head(read_all(client))[0] == 200


@pytest.mark.parametrize(
    ("framing", "body", "size"),
    [
        (b"Content-Length: 5\r\n", b"hello", 5),
        (b"Transfer-Encoding: chunked\r\n", b"5\r\nhello\r\n0\r\n\r\n", 5),
        (b"", b"", 0),
    ],
    ids=["length", "chunked", "no body"],
)
@pytest.mark.parametrize("apart", [False, True], ids=["one packet", "body later"])
def test_an_upgrade_is_ignored_and_costs_no_body(door, framing, body, size, apart):
    head = HEAD + b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAA\r\n" + framing + b"\r\n"
    with connect(door.address) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for piece in (head, body) if apart else (head + body,):
            client.sendall(piece)
        status, headers, answered = read_answer(client)
        assert (status, json.loads(answered)["size"]) == (200, size)
        assert headers["connection"] == "close"


@pytest.mark.parametrize("apart", [False, True], ids=["one packet", "one by one"])
@pytest.mark.parametrize(
    "framing_and_body",
    [
        (b"Content-Length: 5\r\n", b"hello"),
        (b"Transfer-Encoding: chunked\r\n", b"5\r\nhello\r\n0\r\n\r\n"),
        (b"Content-Length: 0\r\n", b""),
    ],
    ids=["length", "chunked", "no body"],
)
def test_a_request_that_follows_an_upgrade_adds_nothing_to_its_body(door, framing_and_body, apart):
    framing, body = framing_and_body
    upgrade = HEAD + b"Connection: Upgrade\r\nUpgrade: h2c\r\n" + framing + b"\r\n" + body
    following = HEAD + b"Content-Length: 6\r\n\r\nsecond"
    with connect(door.address) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for piece in (upgrade, following) if apart else (upgrade + following,):
            with contextlib.suppress(ConnectionError):
                client.sendall(piece)
        status, headers, answered = read_answer(client)
        assert (status, json.loads(answered)["size"]) == (200, 5 if body else 0)
        assert headers["connection"] == "close"
        assert client.recv(1) == b""


def test_an_app_that_raises_costs_its_request_only(door):
    door.failed.clear()
    with connect(door.address) as client:
        for path in (b"/boom", b"/silent"):
            client.sendall(b"GET %s HTTP/1.1\r\nHost: a\r\n\r\n" % path)
            status, headers, body = read_answer(client)
            assert (status, json.loads(body)) == (500, {"error": "internal error"})
            assert headers["content-type"] == "application/json"
        client.sendall(b"GET /fine HTTP/1.1\r\nHost: a\r\n\r\n")
        assert read_answer(client)[0] == 200
    assert [str(error) for error in door.failed] == ["an app failed"]


def test_an_app_that_raises_half_way_ends_the_connection(door):
    with connect(door.address) as client:
        client.sendall(b"GET /late HTTP/1.1\r\nHost: a\r\n\r\n")
        assert read_all(client).endswith(b"\r\n\r\n")


FRAGMENTS = st.sampled_from(
    [
        b"POST /in HTTP/1.1\r\n",
        b"GET / HTTP/1.0\r\n",
        b"Host: a\r\n",
        b"Content-Length: 3\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Connection: close\r\n",
        b"Connection: upgrade\r\nUpgrade: h2c\r\n",
        b"Expect: 100-continue\r\n",
        b"\r\n",
        b"abc",
        b"3\r\nabc\r\n",
        b"0\r\n\r\n",
        b"X: " + b"y" * 20_000,
    ]
)


@settings(max_examples=200)
@given(st.lists(st.one_of(FRAGMENTS, FRAGMENTS, st.binary(max_size=20)), max_size=25))
def test_any_bytes_in_any_pieces_end_in_answers_and_never_in_an_exception(pieces):
    written = converse(pieces).written
    assert not written or written.startswith(b"HTTP/1.1 ")


@given(st.lists(st.integers(0, 400), max_size=12))
def test_a_stream_of_requests_reads_the_same_wherever_it_is_cut(cuts):
    stream = (
        HEAD
        + b"Content-Length: 5\r\n\r\nhello"
        + CHUNKED
        + b"3;x=y\r\nabc\r\n0\r\nT: v\r\n\r\n"
        + b"GET /end HTTP/1.1\r\nHost: a\r\n\r\n"
    )
    edges = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    written = converse([stream[a:b] for a, b in itertools.pairwise(edges) if a < b]).written
    assert written.count(b"HTTP/1.1 200") == 3
    assert [b'"size": 5' in written, b'"size": 3' in written, b'"path": "/end"' in written] == [True] * 3
