"""A request is authentic or it is not; nothing a sender writes makes it anything else."""

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.model import Secret
from gateway.signatures import Credential, Refused, Request, Scheme, Signature, Timestamp, Verified, Verifier

SCHEME = Scheme(signature=Signature(header="x-webhook-signature"))
SECRETS = (Secret("s3cret"), Secret("older"))
BODY = b'{"a": 1}'


def sign(secret, scheme=SCHEME, body=BODY, now=0.0):
    return Verifier((scheme,), (Credential(secret),)).sign(Request(headers=[], body=body), now, "msg_1").headers


GOOD = sign(SECRETS[0])[0][1].encode()


def verdict(*values: bytes, body: bytes = BODY, secrets=SECRETS):
    verifier = Verifier((SCHEME,), tuple(map(Credential, secrets)))
    return verifier.verify(Request(headers=[(b"x-webhook-signature", value) for value in values], body=body), 0.0)


def test_a_signature_by_any_of_the_secrets_is_accepted():
    older = sign(SECRETS[1])[0][1].encode()
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


TIMED = Scheme(
    signature=Signature(header="x-signature", signed="{timestamp}.{body}", field="v1", timestamp_field="t"),
    timestamp=Timestamp(in_field=True),
)


FOR_GOOD = (Credential(Secret("s3cret")),)


def timed(value, now=1000.0, secrets=FOR_GOOD):
    return Verifier((TIMED,), secrets).verify(Request(headers=[(b"x-signature", value)], body=BODY), now)


def made(stamp, scheme=TIMED):
    """What the sender would write at a moment that the test chooses."""
    return sign(Secret("s3cret"), scheme, now=stamp)[0][1].encode()


@pytest.mark.parametrize("now", [701, 1000, 1300])
def test_a_timestamp_within_its_tolerance_is_accepted(now):
    assert isinstance(timed(made(1000), now=now), Verified)


@pytest.mark.parametrize("now", [699, 1301, 10**9])
def test_an_old_or_early_timestamp_is_refused(now):
    assert isinstance(timed(made(1000), now=now), Refused)


@pytest.mark.parametrize(
    "stamp", [b"1000.0", b"-1000", b"+1000", b" 1000", b"1e3", b"1" * 40, b"", b"2026-01-01T00:00:00Z"]
)
def test_a_timestamp_that_is_not_whole_seconds_is_refused(stamp):
    signature = made(1000).rpartition(b"=")[2]
    assert isinstance(timed(b"t=" + stamp + b",v1=" + signature), Refused)


def test_a_second_timestamp_in_the_header_is_refused():
    assert isinstance(timed(made(1000) + b",t=1000"), Refused)


def test_an_older_version_of_the_signature_does_not_count():
    assert isinstance(timed(made(1000).replace(b"v1=", b"v0=")), Refused)


def test_one_right_signature_among_sixteen_is_enough_and_the_seventeenth_is_not_looked_at():
    right = made(1000).partition(b",")[2]
    wrong = b",v1=" + b"0" * 64
    assert isinstance(timed(b"t=1000" + wrong * 15 + b"," + right), Verified)
    assert isinstance(timed(b"t=1000" + wrong * 16 + b"," + right), Refused)


def test_a_secret_counts_until_its_end():
    until = (Credential(Secret("s3cret"), until=1100.0),)
    assert isinstance(timed(made(1000), now=1099, secrets=until), Verified)
    assert isinstance(timed(made(1000), now=1100, secrets=until), Refused)


def test_a_right_signature_over_the_same_json_written_otherwise_is_refused():
    assert isinstance(verdict(GOOD, body=b'{"a":1}'), Refused)


def test_cryptography_is_loaded_for_asymmetric_schemes_only():
    code = (
        "import sys; from gateway.config import load; from pathlib import Path;"
        "load(Path('routes.yaml'), environ={}, no_env=True); sys.exit('cryptography' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
