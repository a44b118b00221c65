"""Headers that are a list of bare values, and parts of a signed text that may be missing."""

import hashlib
import hmac
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.model import Secret
from gateway.signatures import VERIFIED, Refused, Request, Verified
from gateway.signatures.credentials import Credential
from gateway.signatures.declared import SchemeRefused, scheme_of
from gateway.signatures.verifier import Verifier

NOW = 1000.0
BODY = b'{"a": 1}'
FOR_GOOD = (Credential(Secret("s3cret")),)


def digest(text):
    return hmac.new(b"s3cret", text, hashlib.sha256).hexdigest().encode()


def bare(**more):
    fields = {"signature": "*", "timestamp": "1", **more}
    block = {
        "signature": {"header": "x-s", "signed": "{timestamp}.{body}", "fields": fields},
        "timestamp": {"field": True},
    }
    return Verifier((scheme_of(block),), FOR_GOOD)


def sent(value):
    return Request(headers=[(b"x-s", value)], body=BODY)


GOOD = digest(b"1000." + BODY)
WRONG = b"0" * 64


@pytest.mark.parametrize(
    "value",
    [
        b"1000," + GOOD,
        b"1000, " + GOOD,
        b"1000," + WRONG + b"," + GOOD,
        b"1000," + WRONG * 2 + b"," + GOOD,
        b"1000,,a=b," + GOOD,
    ],
)
def test_the_first_bare_value_is_the_time_and_any_other_may_be_the_signature(value):
    assert bare().verify(sent(value), NOW) is VERIFIED


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"1000",
        b",",
        b"1000,",
        GOOD,
        GOOD + b",1000",
        b"1001," + GOOD,
        b"t=1000,v1=" + GOOD,
        b"1000;" + GOOD,
        b"*=" + GOOD,
    ],
)
def test_bare_values_in_another_order_or_form_are_refused(value):
    assert isinstance(bare().verify(sent(value), NOW), Refused)


def test_of_bare_values_too_sixteen_signatures_are_looked_at():
    assert bare().verify(sent(b",".join([b"1000", *[WRONG] * 15, GOOD])), NOW) is VERIFIED
    assert isinstance(bare().verify(sent(b",".join([b"1000", *[WRONG] * 16, GOOD])), NOW), Refused)


def test_bare_values_without_a_time_are_all_signatures():
    verifier = Verifier((scheme_of({"signature": {"header": "x-s", "fields": {"signature": "*"}}}),), FOR_GOOD)
    for value in (digest(BODY), WRONG + b"," + digest(BODY)):
        assert verifier.verify(sent(value), NOW) is VERIFIED
    made = verifier.sign(Request(headers=[], body=BODY), NOW, "")
    assert made.headers == (("x-s", digest(BODY).decode()),)


def test_a_header_of_bare_values_is_written_as_it_is_read():
    made = bare().sign(Request(headers=[], body=BODY), NOW, "")
    assert made.headers == (("x-s", f"1000,{GOOD.decode()}"),)


@pytest.mark.parametrize("position", ["2", "0", "t", "-1"])
def test_a_time_that_is_not_the_first_bare_value_is_refused_when_it_is_declared(position):
    with pytest.raises(SchemeRefused, match="it is the first"):
        bare(timestamp=position)


@given(st.binary(max_size=200))
def test_reading_bare_values_is_total(value):
    assert isinstance(bare().verify(sent(value), NOW), Verified | Refused)


def of_payload(signed, body="sign"):
    block = {"signature": {"body": body, "signed": signed}, "unsigned_body": "accept"}
    return Verifier((scheme_of(block),), FOR_GOOD)


def event(signature, **fields):
    return Request(headers=[], body=json.dumps({**fields, "sign": signature.decode()}).encode())


OPTIONAL = "{payload:a}:{payload:b?}:{payload:c}"


@pytest.mark.parametrize("b", [{}, {"b": None}, {"b": ""}], ids=["missing", "null", "empty"])
def test_an_optional_part_that_is_missing_is_signed_as_nothing(b):
    assert of_payload(OPTIONAL).verify(event(digest(b"1::3"), a="1", c=3, **b), NOW) is VERIFIED


def test_an_optional_part_that_is_there_is_signed():
    assert of_payload(OPTIONAL).verify(event(digest(b"1:2:3"), a="1", b=2, c=3), NOW) is VERIFIED
    for other in ({}, {"b": None}, {"b": 3}):
        assert isinstance(of_payload(OPTIONAL).verify(event(digest(b"1:2:3"), a="1", c=3, **other), NOW), Refused)


@pytest.mark.parametrize("b", [True, 1.5, [], {}])
def test_an_optional_part_is_a_text_or_a_whole_number_if_it_is_there(b):
    assert (
        "no text or whole number at payload.b" in of_payload(OPTIONAL).verify(event(WRONG, a="1", b=b, c=3), NOW).reason
    )


@pytest.mark.parametrize("missing", ["a", "c"])
def test_another_part_must_be_there(missing):
    fields = {"a": "1", "c": "3"}
    del fields[missing]
    refused = of_payload(OPTIONAL).verify(event(digest(b"1::3"), **fields), NOW)
    assert f"no text or whole number at payload.{missing}" in refused.reason


def test_an_optional_part_may_not_hold_what_ends_it():
    refused = of_payload(OPTIONAL).verify(event(digest(b"1:2:3:4"), a="1", b="2:3", c=4), NOW)
    assert 'holds ":", which ends it in what is signed' in refused.reason


PARTS = st.fixed_dictionaries(
    {}, optional={name: st.none() | st.text("1:\u0131", max_size=3) | st.integers(0, 11) for name in "abc"}
)


@given(PARTS, PARTS)
def test_no_signature_fits_two_events_with_different_optional_parts(first, second):
    verifier = of_payload("{payload:a?}:{payload:b?}:{payload:c?}")

    def texts(fields):
        return [str("" if fields.get(name) is None else fields[name]) for name in "abc"]

    made = digest(":".join(texts(first)).encode())
    accepted = [verifier.verify(event(made, **each), NOW) is VERIFIED for each in (first, second)]
    assert accepted[0] == (":" not in "".join(texts(first)[:2]))
    assert not all(accepted) or texts(first) == texts(second)


def test_only_what_is_beside_the_signature_is_made_anew_when_an_event_is_signed():
    signed = "{payload:event.id}:{payload:proof.token}"
    body = json.dumps({"event": {"id": "evt_1"}, "proof": {"token": "old"}}).encode()
    verifier = of_payload(signed, body="proof.sign")
    made = json.loads(verifier.sign(Request(headers=[], body=body), NOW, "msg_2").body)
    assert made["event"] == {"id": "evt_1"}
    assert made["proof"]["token"] == "msg_2"
