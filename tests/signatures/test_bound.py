"""The key of a request is as its signed text: two requests have the same one if, and only if, the same was signed."""

from itertools import combinations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.signatures import Request
from gateway.signatures.bound import Bound
from gateway.signatures.declared import scheme_of
from gateway.signatures.message import message
from gateway.signatures.request import Reading, Stop

#: Signed texts of requests whose body is not signed as a whole.
SIGNED = (
    "{timestamp}{payload:a}",
    "{payload:a}|{payload:b}",
    "{payload:a}{timestamp}{payload:b}",
    "{timestamp}.{id}",
    "{header:x-own}|{payload:a}",
    "{header:X-Own}.{timestamp}",
    "{lines:b,a}",
    "{timestamp}{lines:a,rest}",
    "{header:x-own}|{crc32}",
)
#: Few, so that two requests often have the same; numbers and texts that look alike.
VALUES = st.sampled_from(["7", 7, "0", 0, "", "-1", -1, "1", 1, "é", "a"])
TEXTS = st.sampled_from([b"7", b"0", b"", b"a"])


def scheme(signed):
    block = {"signature": {"header": "x-s", "signed": signed}, "unsigned_body": "accept"}
    if "{timestamp}" in signed:
        block["timestamp"] = {"payload": "at"}
    if "{id}" in signed:
        block["id"] = {"header": "x-id"}
    return scheme_of(block)


def signed_text(of, request):
    """What the sender signed, at a time that is the same for all."""
    reading = Reading(request)
    reading.timestamp = b"1700000000"
    if "{id}" in of.signature.signed:
        reading.id = reading.header(b"x-id")
    return b"".join(message(of.signature.signed)(reading))


def requests():
    return st.builds(
        lambda a, b, own, id_, at, rest: Request(
            headers=[(b"x-own", own), (b"x-id", id_), (b"x-s", rest.encode())],
            body=msgspec.json.encode({"a": a, "rest": rest, "b": b, "at": at}),
        ),
        VALUES, VALUES, TEXTS, TEXTS, st.sampled_from([1_700_000_000, "1700000009"]), st.sampled_from(["x", "y"]),
    )  # fmt: skip


def key(of, request):
    return Bound((of,)).digest(request.headers, request.body, request.query, b"the body's own", request.body)


@given(st.sampled_from(SIGNED), st.lists(requests(), min_size=2, max_size=6))
def test_two_requests_have_the_same_key_if_and_only_if_the_same_was_signed(signed, several):
    of = scheme(signed)
    for one, other in combinations(several, 2):
        assert (key(of, one) == key(of, other)) == (signed_text(of, one) == signed_text(of, other))


@pytest.mark.parametrize(("one", "other"), [("7", 7), ("0", 0), ("-1", -1)])
def test_a_number_and_the_text_that_looks_like_it_are_signed_alike(one, other):
    of = scheme("{timestamp}{payload:a}")
    keys = {
        key(of, Request(headers=[], body=msgspec.json.encode({"a": value, "at": 1_700_000_000})))
        for value in (one, other)
    }
    assert len(keys) == 1


@given(st.sampled_from(SIGNED), st.binary(max_size=60) | st.sampled_from([b"{}", b'{"a":1.5}', b'{"a":null}', b"[]"]))
def test_a_request_that_could_not_have_been_signed_counts_as_its_body(signed, body):
    of = scheme(signed)
    request = Request(headers=[], body=body)
    try:
        signed_text(of, request)
    except Stop:
        assert key(of, request) == b"the body's own"
