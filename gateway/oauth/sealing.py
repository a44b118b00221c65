"""Refresh tokens, encrypted for the store with AES-256-GCM under GATEWAY_SECRET_KEY. Imports cryptography on first use."""

import hashlib
import os
from typing import Final

from gateway.errors import GatewayError

_NONCE: Final = 12


class Unsealable(GatewayError):
    """What is stored was encrypted with another key, or damaged."""


def sealed(token: str, *, key: str, login_id: str) -> bytes:
    """A token as it is stored; only the same key opens it, and only for the same login."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    nonce = os.urandom(_NONCE)
    return nonce + AESGCM(_key(key)).encrypt(nonce, token.encode(), login_id.encode())


def opened(stored: bytes, *, key: str, login_id: str) -> str:
    """The token that was stored. Raises Unsealable."""
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    try:
        return AESGCM(_key(key)).decrypt(stored[:_NONCE], stored[_NONCE:], login_id.encode()).decode()
    except (InvalidTag, ValueError):
        raise Unsealable("it was encrypted with another GATEWAY_SECRET_KEY") from None


def _key(text: str) -> bytes:
    # The configuration refuses a key that can be guessed, so it needs no slow derivation.
    return hashlib.sha256(b"gateway login\0" + text.encode("utf-8", "replace")).digest()
