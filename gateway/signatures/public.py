"""Ed25519, ECDSA P-256 and RSA by the cryptography library, imported for the schemes that need it."""

import hashlib
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.x509 import load_pem_x509_certificate
from msgspec import Struct

from gateway.signatures.credentials import KeyRefused

#: Nobody has kept its private half.
_DEMO_RSA: Final = """\
-----BEGIN PUBLIC KEY-----
MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAoxipJE7iH8tjsfa1lIXG
gT2XXYq/rWgSH5G/3yl8fTBhSZIAnL726mpaPdn08/XFkItNqJwb/sjzj/PM+Gri
AEAa2medF0Y5OY6NThVdKUicE2B0fLhEDenY5WH8dMON+AeDqDi3rXmDIBQaXyYr
bY8nlHORpoqr8xRWRoZpirpSnWgerCOWCBXG4oaFHLjTQp+2+9SRnqYJd5Y6eh9m
BxwEtl3AsmuTkI2ygOPNxw1XlF7KvOO57L4Y7xtIA3LMx5zvT+oMWcDWSnSxrtGg
nhMUdt2ABNLN41xfaIFoGZXwUKELzo8Tn23uFA5sLqpCZHm6S1GBdE54nMu3edQs
jwIDAQAB
-----END PUBLIC KEY-----
"""
Verifies = Callable[[bytes, bytes], bool]
SHORTEST_RSA: Final = 2048
_RSA_HASHES: Final[Mapping[str, hashes.HashAlgorithm]] = {"rsa-sha256": hashes.SHA256(), "rsa-sha1": hashes.SHA1()}  # noqa: S303  what Amazon signs with by default
_FORM: Final = serialization.PublicFormat.SubjectPublicKeyInfo


def load(raw: bytes, algorithm: str) -> Verifies:
    """A function of (signature, message) by a public key: PEM, DER, or the 32 bytes of Ed25519. Raises KeyRefused."""
    try:
        key = _key(raw, algorithm)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise KeyRefused(f"it is not a public key for {algorithm}: copy it as the sender shows it") from None
    if isinstance(key, ed25519.Ed25519PublicKey) and algorithm == "ed25519":
        return _ed25519(key)
    if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1):
        return _ecdsa(key)
    if isinstance(key, rsa.RSAPublicKey) and algorithm in _RSA_HASHES and key.key_size >= SHORTEST_RSA:
        return _rsa(key, _RSA_HASHES[algorithm])
    raise KeyRefused(f"it is a public key, but not for {algorithm}: choose the algorithm that the sender documents")


def load_private(raw: bytes, algorithm: str) -> Callable[[bytes], bytes]:
    """A function from a message to its signature: PEM, DER, or Ed25519's 32 bytes, or 64 with its public half. Raises KeyRefused."""
    if algorithm != "ed25519":
        raise KeyRefused(f"the gateway signs with Ed25519 keys, not with {algorithm}")
    try:
        key = _private_key(raw)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise KeyRefused("it is not an unencrypted private key for Ed25519") from None
    if not isinstance(key, ed25519.Ed25519PrivateKey):
        raise KeyRefused("it is a private key, but not for Ed25519")
    if len(raw) == _BOTH_HALVES and raw[32:] != key.public_key().public_bytes_raw():
        raise KeyRefused("its second half is not the public key of its first")
    return key.sign


def public_half(raw: bytes) -> bytes:
    """The 32 bytes of the public key that belongs to a private one which ``load_private`` has accepted."""
    key = _private_key(raw)
    assert isinstance(key, ed25519.Ed25519PrivateKey)
    return key.public_key().public_bytes_raw()


#: Bytes of an Ed25519 key as libsodium and others write it: the private half, then the public one.
_BOTH_HALVES: Final = 64


def _private_key(raw: bytes) -> object:
    if raw.startswith(b"-----BEGIN"):
        return serialization.load_pem_private_key(raw, password=None)
    if len(raw) in (32, _BOTH_HALVES):
        return ed25519.Ed25519PrivateKey.from_private_bytes(raw[:32])
    return serialization.load_der_private_key(raw, password=None)


class Certified(Struct, frozen=True):
    """The key of a certificate, and when it is valid: seconds since the epoch."""

    since: float
    until: float
    verifies: Verifies


@lru_cache(maxsize=64)
def of_certificate(pem: bytes, algorithm: str) -> Certified:
    """The key of the first certificate in PEM. Raises KeyRefused.

    Who issued it is not looked at: it is trusted because it came over TLS from the sender's own host.
    """
    try:
        found = load_pem_x509_certificate(pem)
        key = found.public_key().public_bytes(serialization.Encoding.DER, _FORM)
        since, until = found.not_valid_before_utc.timestamp(), found.not_valid_after_utc.timestamp()
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise KeyRefused("it is not a certificate") from None
    return Certified(since, until, load(key, algorithm))


def _key(raw: bytes, algorithm: str) -> object:
    if raw.startswith(b"-----BEGIN"):
        return serialization.load_pem_public_key(raw)
    if algorithm == "ed25519" and len(raw) == 32:
        return ed25519.Ed25519PublicKey.from_public_bytes(raw)
    return serialization.load_der_public_key(raw)


def _rsa(key: rsa.RSAPublicKey, digest: hashes.HashAlgorithm) -> Verifies:
    def verifies(signature: bytes, message: bytes) -> bool:
        try:
            key.verify(signature, message, padding.PKCS1v15(), digest)
        except InvalidSignature:
            return False
        return True

    return verifies


def _ed25519(key: ed25519.Ed25519PublicKey) -> Verifies:
    def verifies(signature: bytes, message: bytes) -> bool:
        try:
            key.verify(signature, message)
        except InvalidSignature:
            return False
        return True

    return verifies


def _ecdsa(key: ec.EllipticCurvePublicKey) -> Verifies:
    def verifies(signature: bytes, message: bytes) -> bool:
        try:
            key.verify(signature, message, ec.ECDSA(hashes.SHA256()))
        except InvalidSignature:
            return False
        return True

    return verifies


def demo_private(text: str) -> str:
    """An Ed25519 key, as PEM, derived from a text that everyone knows."""
    private = ed25519.Ed25519PrivateKey.from_private_bytes(hashlib.sha256(text.encode()).digest())
    form, secrecy = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    return private.private_bytes(serialization.Encoding.PEM, form, secrecy).decode()


def demo(text: str, algorithm: str) -> str:
    """The public key, as PEM, whose private half is derived from a text that everyone knows."""
    if algorithm in _RSA_HASHES:
        return _DEMO_RSA
    seed = hashlib.sha256(text.encode()).digest()
    private = (
        ed25519.Ed25519PrivateKey.from_private_bytes(seed)
        if algorithm == "ed25519"
        else ec.derive_private_key(int.from_bytes(seed), ec.SECP256R1())
    )
    return private.public_key().public_bytes(serialization.Encoding.PEM, _FORM).decode()
