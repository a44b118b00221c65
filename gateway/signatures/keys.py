"""Keys made from the operator's secrets. They compare bytes, in constant time."""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol

from gateway.model import Secret
from gateway.signatures.credentials import KeyRefused
from gateway.signatures.message import Message
from gateway.signatures.request import Reading

#: Bytes to the text of a signature header.
ENCODERS: Final[Mapping[str, Callable[[bytes], bytes]]] = {
    "hex": binascii.hexlify,
    "hex-any-case": binascii.hexlify,
    "base64": lambda digest: binascii.b2a_base64(digest, newline=False),
    # Without padding, as in a JWT.
    "base64url": lambda digest: base64.urlsafe_b64encode(digest).rstrip(b"="),
}

HMACS: Final = {"sha1": "sha1", "sha256": "sha256", "sha512": "sha512"}
DIGESTS: Final = {"plain-sha1": "sha1", "plain-sha256": "sha256", "plain-sha512": "sha512"}
PUBLIC_KEYS: Final = ("ed25519", "ecdsa-p256", "rsa-sha256", "rsa-sha1")
#: Signatures of one request that a public key checks: each check reads the whole body.
MOST_BY_PUBLIC_KEY: Final = 4


#: What ``encoding`` is called in words.
_CALLED: Final = {"hex": "lower-case hex", "hex-any-case": "hex", "base64": "base64", "base64url": "base64url"}


class Key(Protocol):
    """One credential, ready to check signatures."""

    def matches(self, reading: Reading, message: Message, given: Sequence[bytes]) -> bool:
        """Whether one of the given signatures is right for the message."""


class SigningKey(Protocol):
    """A key that makes signatures: one that both sides have, or the private half of a pair."""

    def sign(self, reading: Reading, message: Message) -> bytes:
        """The signature as it is written, without a prefix."""


class HmacKey:
    """HMAC; the key is hashed once, in advance (RFC 2104)."""

    def __init__(self, key: bytes, digest: str, encoding: str) -> None:
        self._ready = hmac.new(key, digestmod=digest)
        self._encode = ENCODERS[encoding]

    def sign(self, reading: Reading, message: Message) -> bytes:
        made = self._ready.copy()
        for piece in message(reading):
            made.update(piece)
        return self._encode(made.digest())

    def matches(self, reading: Reading, message: Message, given: Sequence[bytes]) -> bool:
        return any_equal(self.sign(reading, message), given)


class DigestKey:
    """A digest without HMAC: the secret is one of the pieces of the message."""

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

    def matches(self, reading: Reading, message: Message, given: Sequence[bytes]) -> bool:
        return any_equal(self.sign(reading, message), given)


class PublicKey:
    """A key that can check and cannot sign."""

    def __init__(self, verifies: Callable[[bytes, bytes], bool], encoding: str) -> None:
        self._verifies = verifies
        self._encoding = encoding

    def matches(self, reading: Reading, message: Message, given: Sequence[bytes]) -> bool:
        whole = b"".join(message(reading))
        signatures = map(self._decoded, given[:MOST_BY_PUBLIC_KEY])
        return any(self._verifies(signature, whole) for signature in signatures if signature)

    def _decoded(self, text: bytes) -> bytes:
        try:
            return decoded(text, self._encoding)
        except ValueError:
            return b""


class PrivateKey:
    """The half of a pair that signs."""

    def __init__(self, signs: Callable[[bytes], bytes], encoding: str, public: bytes) -> None:
        self._signs = signs
        self._encode = ENCODERS[encoding]
        #: The other half, 32 bytes.
        self.public = public

    def sign(self, reading: Reading, message: Message) -> bytes:
        return self._encode(self._signs(b"".join(message(reading))))


def any_equal(expected: bytes, given: Sequence[bytes]) -> bool:
    """Whether one of the given texts is the expected one, in constant time."""
    # A list: every one is compared, whichever matches.
    equal = [hmac.compare_digest(expected, each) for each in given]
    return any(equal)


def decoded(text: bytes, encoding: str) -> bytes:
    """The bytes of a text in an encoding of ENCODERS; ValueError for any but the one canonical spelling."""
    if encoding == "base64":
        found = binascii.a2b_base64(text, strict_mode=True)
    elif encoding == "base64url":
        padded = text.translate(bytes.maketrans(b"-_", b"+/")) + b"=" * (-len(text) % 4)
        found = binascii.a2b_base64(padded, strict_mode=True)
    else:
        text = text.lower() if encoding == "hex-any-case" else text
        found = binascii.unhexlify(text)
    if ENCODERS[encoding](found) != text:
        raise ValueError("another spelling of the same bytes")
    return found


def misformed(given: Sequence[bytes], algorithm: str, encoding: str) -> str:
    """Why no text can be a signature, whatever the key: ``a signature in base64, not in hex``; empty: one can, or nobody knows."""
    digest = (HMACS | DIGESTS).get(algorithm)
    if digest is None:
        return ""
    size = hashlib.new(digest).digest_size
    if any(_has_size(each, encoding, size) for each in given):
        return ""
    for other, called in _CALLED.items():
        if any(_has_size(each, other, size) for each in given):
            return f"a signature in {called}, not in {_CALLED[encoding]}"
    return f"no signature of {len(ENCODERS[encoding](bytes(size)))} characters in {_CALLED[encoding]}"


def _has_size(text: bytes, encoding: str, size: int) -> bool:
    try:
        return len(decoded(text, encoding)) == size
    except ValueError:
        return False


def key_of(secret: Secret, *, algorithm: str, encoding: str, form: str, prefix: str) -> Key:
    """The key in a secret, written in ``form`` (text, base64, hex) after ``prefix``. Raises KeyRefused."""
    if algorithm in PUBLIC_KEYS:
        return PublicKey(_public(secret.reveal(), algorithm, form, prefix), encoding)
    raw = _bytes_of(secret.reveal(), form, prefix)
    if algorithm in HMACS:
        return HmacKey(raw, HMACS[algorithm], encoding)
    return DigestKey(raw, DIGESTS[algorithm], encoding)


def private_key_of(secret: Secret, *, algorithm: str, encoding: str, form: str, prefix: str) -> PrivateKey:
    """The private key in a secret: PEM, or written in ``form`` after ``prefix``. Raises KeyRefused."""
    from gateway.signatures import public

    pem = secret.reveal().strip()
    raw = pem.encode() if pem.startswith("-----BEGIN") else _bytes_of(pem, form, prefix)
    return PrivateKey(public.load_private(raw, algorithm), encoding, public.public_half(raw))


def _bytes_of(text: str, form: str, prefix: str) -> bytes:
    if form == "text":
        return text.encode("utf-8", "surrogateescape")
    try:
        found = decoded(text.removeprefix(prefix).encode("ascii"), "hex-any-case" if form == "hex" else form)
    except ValueError:
        begin = f"{prefix} and then " if prefix else ""
        raise KeyRefused(f"it is not {begin}{form}") from None
    if not found:
        raise KeyRefused(f"nothing follows {prefix}")
    return found


def _public(text: str, algorithm: str, form: str, prefix: str) -> Callable[[bytes, bytes], bool]:
    # Only a configuration with such a scheme pays for the library: importing it takes 30 ms and 8 MiB.
    from gateway.signatures import public

    pem = text.strip()
    raw = pem.encode() if pem.startswith("-----BEGIN") else _bytes_of(text, form, prefix)
    return public.load(raw, algorithm)


def stand_in(text: str, *, algorithm: str, form: str, prefix: str) -> Secret:
    """A secret of the right form for a scheme, made from a text that everyone knows."""
    if algorithm in PUBLIC_KEYS:
        from gateway.signatures import public

        return Secret(public.demo(text, algorithm))
    if form == "text":
        return Secret(text)
    raw = text.encode()
    return Secret(prefix + (raw.hex() if form == "hex" else base64.b64encode(raw).decode()))


def demo_private_key(text: str) -> Secret:
    """The private half of the pair that ``stand_in`` has the public one of."""
    from gateway.signatures import public

    return Secret(public.demo_private(text))
