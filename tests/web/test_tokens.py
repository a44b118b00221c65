"""A token that can be guessed is refused, and one that a generator made is not."""

import base64
from random import Random

import pytest

from gateway.web.tokens import weakness


@pytest.mark.parametrize(
    ("token", "reason"),
    [
        ("", "has at most 0 bits of entropy, and 128 are needed"),
        ("short", "has at most 25 bits of entropy, and 128 are needed"),
        ("7d1f0a9c4be28356" + "f3", "has at most 72 bits of entropy, and 128 are needed"),
        ("1902837465019283746501928374650", "has at most 103 bits of entropy, and 128 are needed"),
        ("t" * 32, "repeats itself"),
        ("0123456789abcdef" * 2, "repeats itself"),
        ("ab" * 30, "repeats itself"),
        ("password1234password1234password1234", "repeats itself"),
        ("0123456789abcdefghijklmnopqrstuvwxyz", "repeats itself"),
        ("correct-horse-battery-staple-and-more", "looks like words"),
        ("CorrectHorseBatteryStapleAndMore", "looks like words"),
        ("my-company-gateway-admin-token-2026", "looks like words"),
    ],
)
def test_a_token_that_can_be_guessed_is_weak(token, reason):
    assert weakness(token) == reason


@pytest.mark.parametrize(
    "made",
    [
        bytes.hex,
        lambda raw: raw.hex().upper(),
        lambda raw: base64.b32encode(raw).rstrip(b"=").decode(),
        lambda raw: base64.b64encode(raw).decode(),
        lambda raw: base64.urlsafe_b64encode(raw).rstrip(b"=").decode(),
        lambda raw: f"{raw.hex()[:8]}-{raw.hex()[8:]}",
    ],
    ids=["hex", "HEX", "base32", "base64", "token_urlsafe", "dashed"],
)
def test_128_random_bits_are_enough_however_they_are_written(made):
    random = Random(128)
    refused = [token for token in (made(random.randbytes(16)) for _ in range(5000)) if weakness(token)]
    assert len(refused) <= 5, refused
