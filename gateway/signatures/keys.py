"""From the operator's secrets to keys that compare: in constant time, on bytes."""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from gateway.model import Secret
from gateway.signatures.request import Reading

#: Bytes to the text that a signature header has, and back; ValueError for any but the one canonical spelling.
ENCODERS: Final[Mapping[str, Callable[[bytes], bytes]]] = {
    "hex": binascii.hexlify,
    "hex-any-case": binascii.hexlify,
    "base64": lambda digest: binascii.b2a_base64(digest, newline=False),
}

HMACS: Final = {"sha1": "sha1", "sha256": "sha256", "sha512": "sha512"}
DIGESTS: Final = {"plain-sha1": "sha1", "plain-sha256": "sha256", "plain-sha512": "sha512"}
PUBLIC_KEYS: Final = ("ed25519", "ecdsa-p256")

#: What is signed: the pieces in turn, so that a body is never copied.
Message = Callable[[Reading], Sequence[bytes]]


class KeyRefused(ValueError):
    """A secret cannot be the key of its scheme; the text says why, and never the secret."""


@dataclass(frozen=True, slots=True)
class Credential:
    """One secret of a source."""

    secret: Secret
    #: Seconds since the epoch from which it no longer counts; None: for good.
    until: float | None = None

    def is_past(self, now: float) -> bool:
        """Whether it no longer counts."""
        return self.until is not None and now >= self.until


class Key(Protocol):
    """One credential, ready to be held against signatures."""

    def fits(self, reading: Reading, message: Message, given: Sequence[bytes]) -> bool:
        """Whether one of the given signatures is right for the message."""


class SharedKey(Protocol):
    """A key that the sender has, too: what it checks it can make."""

    def fits(self, reading: Reading, message: Message, given: Sequence[bytes]) -> bool: ...

    def sign(self, reading: Reading, message: Message) -> bytes:
        """The signature as the sender writes it, without a prefix."""


class HmacKey:
    """HMAC with a key that was hashed in once (RFC 2104)."""

    def __init__(self, key: bytes, digest: str, encoding: str) -> None:
        self._ready = hmac.new(key, digestmod=digest)
        self._encode = ENCODERS[encoding]

    def sign(self, reading: Reading, message: Message) -> bytes:
        made = self._ready.copy()
        for piece in message(reading):
            made.update(piece)
        return self._encode(made.digest())

    def fits(self, reading: Reading, message: Message, given: Sequence[bytes]) -> bool:
        return any_equal(self.sign(reading, message), given)


class DigestKey:
    """A digest without HMAC: the secret is one of the pieces."""

    def __init__(self, key: bytes, digest: str, encoding: str) -> None:
        self._key = key
        self._digest = digest
        self._encode = ENCODERS[encoding]

    def sign(self, reading: Reading, message: Message) -> bytes:
        reading.secret = self._key
        made = hashlib.new(self._digest)
        for piece in message(reading):
            made.update(piece)
        return self._encode(made.digest())

    def fits(self, reading: Reading, message: Message, given: Sequence[bytes]) -> bool:
        return any_equal(self.sign(reading, message), given)


class PublicKey:
    """A key that checks and cannot sign."""

    def __init__(self, verifies: Callable[[bytes, bytes], bool], encoding: str) -> None:
        self._verifies = verifies
        self._encoding = encoding

    def fits(self, reading: Reading, message: Message, given: Sequence[bytes]) -> bool:
        whole = b"".join(message(reading))
        return any(self._verifies(signature, whole) for signature in map(self._decoded, given) if signature)

    def _decoded(self, text: bytes) -> bytes:
        try:
            return decoded(text, self._encoding)
        except ValueError:
            return b""


def any_equal(expected: bytes, given: Sequence[bytes]) -> bool:
    """Whether one of the given texts is the expected one; every one is compared, in constant time."""
    # A list: every one is compared, whichever fits.
    fits = [hmac.compare_digest(expected, each) for each in given]
    return any(fits)


def decoded(text: bytes, encoding: str) -> bytes:
    """The bytes of a text in hex or base64; ValueError unless it is spelled in the canonical way."""
    if encoding == "base64":
        found = binascii.a2b_base64(text, strict_mode=True)
    else:
        text = text.lower() if encoding == "hex-any-case" else text
        found = binascii.unhexlify(text)
    if ENCODERS[encoding](found) != text:
        raise ValueError("another spelling of the same bytes")
    return found


def key_of(secret: Secret, *, algorithm: str, encoding: str, form: str, prefix: str) -> Key:
    """The key that a secret is, written in ``form`` (text, base64, hex) behind ``prefix``. Raises KeyRefused."""
    if algorithm in PUBLIC_KEYS:
        return PublicKey(_public(secret.reveal(), algorithm, form, prefix), encoding)
    raw = _bytes_of(secret.reveal(), form, prefix)
    if algorithm in HMACS:
        return HmacKey(raw, HMACS[algorithm], encoding)
    return DigestKey(raw, DIGESTS[algorithm], encoding)


def _bytes_of(text: str, form: str, prefix: str) -> bytes:
    if form == "text":
        return text.encode("utf-8", "surrogateescape")
    try:
        found = decoded(text.removeprefix(prefix).encode("ascii"), "hex-any-case" if form == "hex" else form)
    except ValueError:
        begin = f"{prefix} and then " if prefix else ""
        raise KeyRefused(f"it is not {begin}{form}") from None
    if not found:
        raise KeyRefused(f"nothing stands behind {prefix}")
    return found


def _public(text: str, algorithm: str, form: str, prefix: str) -> Callable[[bytes, bytes], bool]:
    # Only a configuration with such a scheme pays for the library: its import takes 30 ms and 8 MiB.
    from gateway.signatures import public

    pem = text.strip()
    raw = pem.encode() if pem.startswith("-----BEGIN") else _bytes_of(text, form, prefix)
    return public.load(raw, algorithm)


def stand_in(text: str, *, algorithm: str, form: str, prefix: str) -> Secret:
    """A secret of the right form for a scheme, made of a text that everyone knows."""
    if algorithm in PUBLIC_KEYS:
        from gateway.signatures import public

        return Secret(public.demo(text, algorithm))
    if form == "text":
        return Secret(text)
    raw = text.encode()
    return Secret(prefix + (raw.hex() if form == "hex" else base64.b64encode(raw).decode()))
