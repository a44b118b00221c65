"""A request is authentic or it is not; nothing a sender writes makes it anything else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.model import Secret
from gateway.signatures import Refused, Scheme, Verified, sign, verify

SCHEME = Scheme(header="x-webhook-signature")
SECRETS = (Secret("s3cret"), Secret("older"))
BODY = b'{"a": 1}'
GOOD = sign(BODY, SCHEME, SECRETS[0])[1].encode()


def verdict(*values: bytes, body: bytes = BODY, secrets=SECRETS):
    return verify([(b"x-webhook-signature", value) for value in values], body, SCHEME, secrets)


def test_a_signature_by_any_of_the_secrets_is_accepted():
    older = sign(BODY, SCHEME, SECRETS[1])[1].encode()
    assert isinstance(verdict(GOOD), Verified)
    assert isinstance(verdict(older), Verified)


def test_it_is_what_openssl_computes():
    # printf '%s' '{"a": 1}' | openssl dgst -sha256 -hmac s3cret
    assert GOOD == b"1a9fab6cd4b8cdcaad8640f3eca73fa924c62ff24f3833254ef3547232153767"


@pytest.mark.parametrize(
    "values",
    [
        (),
        (b"",),
        (GOOD, GOOD),
        (GOOD, b"x"),
        (GOOD.upper(),),
        (b"sha256=" + GOOD,),
        (GOOD + b" ",),
        (GOOD[:-1],),
        (GOOD + GOOD,),
        (b"\xff" * 64,),
        ("ü".encode() * 32,),
        (b"0" * 64,),
    ],
    ids=[
        "missing", "empty", "doubled", "two", "upper-case", "prefixed", "trailing blank", "truncated", "repeated",
        "not ascii", "utf-8", "wrong",
    ],
)  # fmt: skip
def test_anything_else_is_refused(values):
    assert isinstance(verdict(*values), Refused)


def test_another_body_is_refused():
    assert isinstance(verdict(GOOD, body=BODY + b" "), Refused)


@given(st.binary(max_size=100), st.binary(max_size=100))
def test_verification_is_total(value, body):
    assert isinstance(verdict(value, body=body), Verified | Refused)


def test_a_reason_never_holds_the_expected_signature():
    refused = verdict(b"0" * 64)
    assert GOOD.decode() not in refused.reason
