"""Hostile requests are refused in JSON, and their connections end cleanly."""

import tracemalloc

import pytest

from gateway.server import Limits
from tests.server.door import CHUNKED, HEAD, Door, connect, converse, read_all, refusal_in

REFUSALS = {
    "garbage": (b"\x16\x03\x01\x02\x00\x01\x00\x01", 400, "malformed"),
    "text that is not HTTP": (b"hello there\r\n\r\n", 400, "malformed"),
    "unknown method": (b"FOO / HTTP/1.1\r\nHost: a\r\n\r\n", 400, "malformed"),
    "method in lower case": (b"get / HTTP/1.1\r\nHost: a\r\n\r\n", 400, "malformed"),
    "endless method": (b"A" * 70_000, 400, "malformed"),
    "HTTP/2 preface": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, "malformed"),
    "HTTP/2.0": (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 400, "version"),
    "HTTP/1.2": (b"GET / HTTP/1.2\r\nHost: a\r\n\r\n", 400, "malformed"),
    "HTTP/0.9": (b"GET /\r\n", 400, "version"),
    "HTTP/0.9 with an empty line": (b"GET /\r\n\r\n", 400, "version"),
    "HTTP/0.9 with headers": (b"GET /\r\nHost: a\r\n\r\n", 400, "version"),
    "missing Host": (b"GET / HTTP/1.1\r\nX: y\r\n\r\n", 400, "host"),
    "double Host": (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400, "host"),
    "equal double Host": (b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400, "host"),
    "double Host in HTTP/1.0": (b"GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", 400, "host"),
    "two Content-Lengths": (HEAD + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab", 400, "malformed"),
    "two equal Content-Lengths": (HEAD + b"Content-Length: 1\r\nContent-Length: 1\r\n\r\na", 400, "malformed"),
    "a list of Content-Lengths": (HEAD + b"Content-Length: 1, 1\r\n\r\na", 400, "malformed"),
    "negative Content-Length": (HEAD + b"Content-Length: -1\r\n\r\na", 400, "malformed"),
    "signed Content-Length": (HEAD + b"Content-Length: +1\r\n\r\na", 400, "malformed"),
    "huge Content-Length": (HEAD + b"Content-Length: 99999999999999999999999\r\n\r\n", 400, "malformed"),
    "empty Content-Length": (HEAD + b"Content-Length:\r\n\r\n", 400, "malformed"),
    "length, then chunked": (
        HEAD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
        "malformed",
    ),
    "chunked, then length": (
        HEAD + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
        400,
        "malformed",
    ),
    "gzip": (HEAD + b"Transfer-Encoding: gzip\r\n\r\n", 400, "transfer_encoding"),
    "gzip, chunked": (HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 400, "transfer_encoding"),
    "gzip and chunked apart": (
        HEAD + b"Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
        "transfer_encoding",
    ),
    "xchunked": (HEAD + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 400, "transfer_encoding"),
    "chunked twice": (HEAD + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", 400, "malformed"),
    "empty Transfer-Encoding": (HEAD + b"Transfer-Encoding:\r\n\r\n0\r\n\r\n", 400, "malformed"),
    "chunked in HTTP/1.0": (
        b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
        "transfer_encoding",
    ),
    "bare LF everywhere": (b"GET / HTTP/1.1\nHost: a\n\n", 400, "malformed"),
    "bare LF after a header": (b"GET / HTTP/1.1\r\nHost: a\n\r\n", 400, "malformed"),
    "bare LF at the end": (b"GET / HTTP/1.1\r\nHost: a\r\n\n", 400, "malformed"),
    "bare CR in a header": (HEAD + b"X: a\rY: b\r\n\r\n", 400, "malformed"),
    "folded header": (HEAD + b"X: a\r\n b\r\n\r\n", 400, "malformed"),
    "NUL in a header": (HEAD + b"X: a\0b\r\n\r\n", 400, "malformed"),
    "NUL in a name": (HEAD + b"X\0: b\r\n\r\n", 400, "malformed"),
    "NUL in the path": (b"GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n", 400, "malformed"),
    "non-ASCII path": (b"GET /\xff HTTP/1.1\r\nHost: a\r\n\r\n", 400, "malformed"),
    "space in the path": (b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", 400, "malformed"),
    "space before the colon": (HEAD + b"X : a\r\n\r\n", 400, "malformed"),
    "no colon": (HEAD + b"Xa\r\n\r\n", 400, "malformed"),
    "empty name": (HEAD + b": a\r\n\r\n", 400, "malformed"),
    "CONNECT": (b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", 400, "malformed"),
    "URL without a path": (b"GET http://a HTTP/1.1\r\nHost: a\r\n\r\n", 400, "malformed"),
    "long request line": (b"GET /" + b"a" * 40_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414, "uri_too_long"),
    "endless request line": (b"GET /" + b"a" * 5_000_000, 414, "uri_too_long"),
    "101 headers": (HEAD + b"X: y\r\n" * 100 + b"\r\n", 431, "headers_too_large"),
    "long header": (HEAD + b"X: " + b"a" * 40_000 + b"\r\n\r\n", 431, "headers_too_large"),
    "endless header": (HEAD + b"X: " + b"a" * 5_000_000, 431, "headers_too_large"),
    "endless header name": (HEAD + b"X" * 5_000_000, 431, "headers_too_large"),
    "many headers too large together": (HEAD + (b"X: " + b"a" * 2000 + b"\r\n") * 20, 431, "headers_too_large"),
    "negative chunk": (CHUNKED + b"-1\r\na", 400, "malformed"),
    "chunk size that is not hex": (CHUNKED + b"zz\r\na", 400, "malformed"),
    "chunk size overflow": (CHUNKED + b"f" * 17 + b"\r\na", 400, "malformed"),
    "chunk longer than its size": (CHUNKED + b"1\r\nabc\r\n0\r\n\r\n", 400, "malformed"),
    "bare LF in chunks": (CHUNKED + b"1\na\n0\n\n", 400, "malformed"),
    "endless chunk extension": (CHUNKED + b"1;" + b"a" * 5_000_000, 400, "framing"),
    "endless trailers": (CHUNKED + b"1\r\na\r\n0\r\n" + b"X: y\r\n" * 500_000, 400, "framing"),
    "endless trailer": (CHUNKED + b"1\r\na\r\n0\r\nX: " + b"y" * 5_000_000, 400, "framing"),
    "a size line for every byte, all extensions": (
        CHUNKED + (b"1;" + b"e" * 60 + b"\r\na\r\n") * 50_000,
        400,
        "framing",
    ),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_a_hostile_request_is_refused_in_json_and_the_connection_ends_cleanly(door, name):
    payload, status, reason = REFUSALS[name]
    door.refused.clear()
    with connect(door.address) as client:
        client.sendall(payload)
        assert refusal_in(read_all(client)) == status
    assert door.refused == [reason]


@pytest.mark.parametrize("name", [name for name, (payload, *_) in REFUSALS.items() if len(payload) < 300])
def test_a_hostile_request_is_refused_the_same_byte_by_byte(name):
    payload, status, _ = REFUSALS[name]
    if name.startswith("HTTP/0.9"):
        payload = b"GET /\r\n"
    conversation = converse([payload[i : i + 1] for i in range(len(payload))])
    assert refusal_in(conversation.written) == status


def test_ten_megabytes_of_headers_leave_memory_flat_and_are_told_so(door):
    piece = b"".join(b"X-%d: %s\r\n" % (number, b"a" * 900) for number in range(60))
    with connect(door.address) as client:
        client.sendall(HEAD)
        tracemalloc.start()
        try:
            for _ in range(10_000_000 // len(piece)):
                client.sendall(piece)
            raw = read_all(client)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert refusal_in(raw) == 431
    assert peak < 2_000_000


@pytest.mark.parametrize("before", [b"", b"GET /good HTTP/1.1\r\nHost: a\r\n\r\n"], ids=["first", "pipelined"])
def test_one_large_read_is_not_kept_as_an_unfinished_header(before):
    transport = converse([before + HEAD + b"X: " + b"a" * 200_000])
    good, _, refusal = transport.written.rpartition(b"HTTP/1.1 431")
    assert refusal
    assert good.count(b"HTTP/1.1 200") == bool(before)


def test_a_client_that_sends_without_end_after_its_refusal_is_cut_off():
    cut_off = pytest.raises((ConnectionResetError, BrokenPipeError))
    with Door(Limits(linger_s=60.0, linger_bytes=100_000)) as door, connect(door.address) as client, cut_off:
        while True:
            client.sendall(b"\0" * 65536)
