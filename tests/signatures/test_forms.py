"""How senders write a time and the bytes of a signature: each form is read strictly, in its one spelling."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.model import Secret
from gateway.signatures import Credential, Refused, Request, Scheme, Signature, Timestamp, Verified, Verifier
from gateway.signatures.keys import DIGESTS, ENCODERS, HMACS, decoded, misformed
from gateway.signatures.timestamps import UNITS, written_time

NOW = 1704391525
WRITTEN = {
    "s": b"1704391525",
    "ms": b"1704391525000",
    "iso": b"2024-01-04T18:05:25Z",
    "http": b"Thu, 04 Jan 2024 18:05:25 GMT",
}


@pytest.mark.parametrize("unit", UNITS)
def test_a_time_is_read_as_it_is_written(unit):
    assert written_time(NOW, unit).encode() == WRITTEN[unit]
    assert UNITS[unit](WRITTEN[unit]) == NOW


@pytest.mark.parametrize(
    "text",
    [
        b"Thu, 04 Jan 2024 18:05:25",
        b"Thu, 04 Jan 2024 18:05:25 UTC",
        b"Thu, 04 Jan 2024 18:05:25 +0000",
        b"Thu, 4 Jan 2024 18:05:25 GMT",
        b"thu, 04 jan 2024 18:05:25 GMT",
        b" Thu, 04 Jan 2024 18:05:25 GMT",
        b"Thu, 04 Jan 2024 18:05:25 GMT\n",
        b"Thursday, 04-Jan-24 18:05:25 GMT",
        b"Thu, 32 Jan 2024 18:05:25 GMT",
        b"Thu, 04 Jax 2024 18:05:25 GMT",
        b"Thu, 04 Jan 0000 18:05:25 GMT",
        b"Thu, 04 Jan 2024 25:05:25 GMT",
        b"Fri, 04 Jan 2024 18:05:25 GMT",
        b"1704391525",
        b"",
    ],
)
def test_an_http_date_in_another_form_is_no_time(text):
    assert UNITS["http"](text) is None


@pytest.mark.parametrize("size", range(40))
def test_bytes_in_base64url_have_no_padding_and_come_back(size):
    raw = bytes(range(255, 255 - size, -1))
    text = ENCODERS["base64url"](raw)
    assert b"=" not in text
    assert decoded(text, "base64url") == raw


@pytest.mark.parametrize("text", [b"__8=", b"//8", b"_/8", b"__9", b"__8\n", b"__8 ", b" __8", b"_", b"_\xff8"])
def test_another_spelling_of_them_is_refused(text):
    assert decoded(b"__8", "base64url") == b"\xff\xff"
    with pytest.raises(ValueError):
        decoded(text, "base64url")


SCHEME = Scheme(
    signature=Signature(header="x-signature", encoding="base64url", signed="{body}{timestamp}"),
    timestamp=Timestamp(header="x-timestamp", unit="http"),
)
# printf '%s' '{"a": 1}Thu, 04 Jan 2024 18:05:25 GMT' | openssl dgst -sha256 -hmac s3cret -binary | base64 | tr -d = | tr /+ _-
MADE = b"viMBLcmyFlxGBfcuCTLlwTFxvmyRJVpkmfkzOW7az4Y"


@pytest.mark.parametrize(("now", "accepted"), [(NOW, True), (NOW + 300, True), (NOW + 301, False), (NOW - 301, False)])
def test_a_signature_over_an_http_date_is_what_openssl_computes(now, accepted):
    verifier = Verifier((SCHEME,), (Credential(Secret("s3cret")),))
    headers = [(b"x-signature", MADE), (b"x-timestamp", WRITTEN["http"])]
    found = verifier.verify(Request(headers=headers, body=b'{"a": 1}'), now)
    assert isinstance(found, Verified if accepted else Refused)


@given(st.data(), st.sampled_from(sorted(HMACS | DIGESTS)), st.sampled_from(sorted(ENCODERS)))
def test_a_digest_in_another_encoding_is_named_and_one_in_the_expected_encoding_is_not(data, algorithm, encoding):
    size = hashlib.new((HMACS | DIGESTS)[algorithm]).digest_size
    digest = data.draw(st.binary(min_size=size, max_size=size))
    written = {encode(digest): name.removesuffix("-any-case") for name, encode in ENCODERS.items()}
    expected = ENCODERS[encoding](digest)
    assert misformed([b"?", expected], algorithm, encoding) == ""
    for other in set(written) - {expected}:
        assert f"{written[other]}, not in " in misformed([b"?", other], algorithm, encoding)
    assert misformed([digest[1:].hex().encode()], algorithm, encoding).startswith("no signature of ")
    assert misformed([b"?"], "ed25519", encoding) == ""
