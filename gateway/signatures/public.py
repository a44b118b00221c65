"""Ed25519 and ECDSA P-256: the only use of the cryptography library, imported for the schemes that need it."""

import hashlib
from collections.abc import Callable

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from gateway.signatures.credentials import KeyRefused

Verifies = Callable[[bytes, bytes], bool]


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
    raise KeyRefused(f"it is a public key, but not for {algorithm}: choose the algorithm that the sender documents")


def _key(raw: bytes, algorithm: str) -> object:
    if raw.startswith(b"-----BEGIN"):
        return serialization.load_pem_public_key(raw)
    if algorithm == "ed25519" and len(raw) == 32:
        return ed25519.Ed25519PublicKey.from_public_bytes(raw)
    return serialization.load_der_public_key(raw)


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


def demo(text: str, algorithm: str) -> str:
    """The public key, as PEM, whose private half is derived from a text that everyone knows."""
    seed = hashlib.sha256(text.encode()).digest()
    private = (
        ed25519.Ed25519PrivateKey.from_private_bytes(seed)
        if algorithm == "ed25519"
        else ec.derive_private_key(int.from_bytes(seed), ec.SECP256R1())
    )
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return private.public_key().public_bytes(serialization.Encoding.PEM, form).decode()
