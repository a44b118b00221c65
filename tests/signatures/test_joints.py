"""No signature fits two requests: where a part of what is signed ends is told by the signed text itself."""

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import presets
from gateway.model import Secret
from gateway.signatures import VERIFIED, Request
from gateway.signatures.credentials import Credential
from gateway.signatures.declared import SchemeRefused, scheme_of
from gateway.signatures.request import Reading
from gateway.signatures.verifier import Verifier

NOW = 1_700_000_000.0
URL = "https://gateway.example.com/in/own"


def verifier(signed, **more):
    block = {"signature": {"header": "x-s", "signed": signed}, "id": {"header": "x-id"}, **more}
    if "{timestamp}" in signed:
        block["timestamp"] = {"header": "x-t"}
    return Verifier((scheme_of(block),), (Credential(Secret("s3cret")),), public_url=URL)


def request(verifier, *, id_=b"msg_1", body=b"{}", query=b"", other=b""):
    plain = Request(headers=[(b"x-other", other)], query=query, body=body)
    headers = dict(verifier.sign(plain, NOW, id_.decode("latin-1")).headers)
    named = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    return Request(headers=[*named, (b"x-other", other)], query=query, body=body)


SIGNED = {
    "{id}.{timestamp}.{body}": "id",
    "{timestamp}.{id}.{body}": "id",
    "{body}.{id}": "id",
    "{header:x-other}:{body}": "other",
    "{query}|{body}": "query",
    "{url}|{body}": "query",
}


@pytest.mark.parametrize(("signed", "part"), SIGNED.items(), ids=SIGNED.keys())
def test_a_part_that_holds_what_ends_it_is_refused(signed, part):
    own = verifier(signed)
    fine = {"id": "id_", "query": "query", "other": "other"}[part]
    assert own.verify(request(own, **{fine: b"a-b"}), NOW) is VERIFIED
    divider = next(each for each in ".:|" if each in signed.replace("{url}", ""))
    refused = own.verify(request(own, **{fine: b"a" + divider.encode() + b"b"}), NOW)
    assert f'holds "{divider}", which ends it in what is signed' in refused.reason


@pytest.mark.parametrize(
    "name", [name for name in presets.NAMES if "{id}.{timestamp}.{body}" in str(presets.load(name).verify)]
)
def test_no_preset_accepts_an_id_with_a_dot_that_moves_the_end_of_its_parts(name):
    blocks = [block for block in presets.load(name).verify if block["signature"].get("algorithm", "sha256") == "sha256"]
    own = Verifier(
        tuple(map(scheme_of, blocks)),
        (Credential(Secret("whsec_" + "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")),),
        public_url=URL,
    )
    body = b'1700000000.{"a":1}'
    sent = own.sign(Request(headers=[], body=body), NOW, "msg_1")
    headers = [(header.encode(), value.encode()) for header, value in sent.headers]
    assert own.verify(Request(headers=headers, body=body), NOW) is VERIFIED
    # The same bytes are signed, and the sender never wrote that id or that body.
    id_header = scheme_of(blocks[0]).id_header.encode()
    moved = [(header, b"msg_1.1700000000" if header == id_header else value) for header, value in headers]
    refused = own.verify(Request(headers=moved, body=b'{"a":1}'), NOW)
    assert '{id} holds "."' in refused.reason


@pytest.mark.parametrize(
    "signed",
    ["{id}{body}", "{body}{id}", "{header:x-other}{body}", "{timestamp}{id}{body}", "{id}{header:x-other}.{body}"],
)
def test_a_scheme_in_which_nothing_ends_a_part_is_refused(signed):
    with pytest.raises(SchemeRefused, match=r"nothing shows where \{.*\} ends"):
        verifier(signed)


def test_a_query_cannot_take_the_beginning_of_a_body():
    own = verifier("{url}{body}")
    sent = request(own, query=b"a=1", body=b'{"b":[1]}')
    assert own.verify(sent, NOW) is VERIFIED
    moved = Request(headers=sent.headers, query=b'a=1{"b":', body=b"[1]}")
    assert '{url} holds "{"' in own.verify(moved, NOW).reason


TEXTS = st.text("ab.:|1{", max_size=4).map(str.encode)
IDS = st.text("ab.:|1{", min_size=1, max_size=4).map(str.encode)


@given(st.sampled_from(list(SIGNED)), st.lists(st.tuples(IDS, TEXTS, TEXTS, TEXTS), min_size=2, max_size=8))
def test_two_accepted_requests_never_sign_the_same_bytes(signed, written):
    own = verifier(signed)
    made = []
    for id_, body, query, other in written:
        one = request(own, id_=id_, body=body, query=query, other=other)
        if own.verify(one, NOW) is VERIFIED:
            reading = Reading(one, URL.encode())
            reading.timestamp, reading.id = b"1700000000", id_
            # Only what is signed tells two apart.
            parts = {"id": id_, "query": query, "url": query, "header": other, "body": body}
            told = tuple(value for name, value in parts.items() if "{" + name in signed)
            made.append((told, b"".join(own._checks[0].message(reading))))
    for (one, signed_of_one), (other, signed_of_other) in combinations(made, 2):
        assert (signed_of_one == signed_of_other) == (one == other)
