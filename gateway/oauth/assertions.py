"""Signed assertions (RFC 7523). Imports PyJWT and cryptography; imported for the destinations that need it."""

import json
import uuid
from typing import Any, Final, Literal

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from gateway.oauth.settings import Assertion

#: How long an assertion is valid, seconds; Salesforce refuses more than three minutes.
LASTS_S: Final = 150
#: An assertion is dated back by this many seconds, because clocks differ.
BACK_S: Final = 10
SHORTEST_RSA: Final = 2048


class KeyUnusable(ValueError):
    """A private key that cannot sign an assertion; says why."""


def algorithm_of(pem: str) -> Literal["RS256", "ES256"]:
    """How a private key signs. Raises KeyUnusable."""
    try:
        key = load_pem_private_key(pem.encode(), None)
    except TypeError:
        raise KeyUnusable("it is encrypted: store it without a passphrase") from None
    except Exception:  # noqa: BLE001  cryptography raises its own and Rust's errors
        raise KeyUnusable("it is not a private key in PEM form") from None
    if isinstance(key, rsa.RSAPrivateKey) and key.key_size >= SHORTEST_RSA:
        return "RS256"
    if isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.name == "secp256r1":
        return "ES256"
    raise KeyUnusable(f"it is neither RSA with at least {SHORTEST_RSA} bits nor EC with the curve P-256")


def signed(assertion: Assertion, *, scope: str, now: float) -> str:
    """An assertion that is valid from ``now`` on, seconds since the epoch."""
    issued = int(now) - BACK_S
    claims: dict[str, Any] = {
        "iss": assertion.issuer,
        "aud": assertion.audience,
        "iat": issued,
        "exp": int(now) + LASTS_S,
        "jti": str(uuid.uuid4()),
    }
    if assertion.subject:
        claims["sub"] = assertion.subject
    if scope:
        claims["scope"] = scope
    headers = {"kid": assertion.key_id} if assertion.key_id else None
    return jwt.encode(claims, assertion.key, algorithm=assertion.algorithm, headers=headers)


def service_account(text: str) -> dict[str, str]:
    """The fields of a Google service account's key file. Raises KeyUnusable."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        raise KeyUnusable("it is not the JSON of a service account's key") from None
    if not isinstance(found, dict) or found.get("type") != "service_account":
        raise KeyUnusable('it is not the JSON of a service account\'s key ("type": "service_account")')
    needed = ("client_email", "private_key", "private_key_id", "token_uri")
    if missing := [name for name in needed if not isinstance(found.get(name), str) or not found[name]]:
        raise KeyUnusable(f"it has no {' and no '.join(missing)}")
    return {name: found[name] for name in needed}
