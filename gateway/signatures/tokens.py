"""JSON Web Tokens: the only use of PyJWT, imported for the sources that need it.

A library reads them, and not code of our own: which key may check which algorithm, and how each family writes its keys,
are the parts of RFC 7515 to 7518 that implementations have got wrong. Algorithms with a shared key are never accepted.
"""

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, cast

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

from gateway.signatures.credentials import KeyRefused
from gateway.signatures.request import Stop

if TYPE_CHECKING:
    from jwt.types import Options

ALGORITHMS: Final = (
    *("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    *("ES256", "ES384", "ES512", "EdDSA"),
)
#: Keys of one document that are looked at.
MOST_KEYS: Final = 100
#: Keys that are tried for a token which does not say its key.
MOST_TRIED: Final = 16
SHORTEST_RSA: Final = 2048
#: What is checked here, by the caller's clock.
_NOT_BY_THE_LIBRARY: Final[Mapping[str, bool]] = {"verify_exp": False, "verify_nbf": False, "verify_iat": False}


class UnknownKey(Exception):
    """None of the keys at hand has the token's key id; a newer document may have it."""


@lru_cache(maxsize=64)
def keys_of(document: bytes) -> Sequence[tuple[str, jwt.PyJWK]]:
    """The usable public keys of a JWKS, or of a PEM file, with their ids. Raises KeyRefused if there are none."""
    found = [(str(each.get("kid", "")), key) for each in _listed(document) if (key := _usable(each))]
    if not found:
        raise KeyRefused("it has no public key that can be used: a JWKS, or a public key as PEM, is needed")
    return tuple(found)


def _listed(document: bytes) -> Sequence[Mapping[str, Any]]:
    if document.lstrip().startswith(b"-----BEGIN"):
        return _of_pem(document)
    try:
        read = json.loads(document)
    except (ValueError, RecursionError):
        raise KeyRefused("it is neither a JWKS nor PEM") from None
    listed = read.get("keys", [read]) if isinstance(read, dict) else []
    return [each for each in listed[:MOST_KEYS] if isinstance(each, dict)] if isinstance(listed, list) else []


def _of_pem(document: bytes) -> Sequence[Mapping[str, Any]]:
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        key = load_pem_public_key(document)
    except (ValueError, TypeError):
        raise KeyRefused("it is not a public key as PEM") from None
    for name in ("RS256", "ES256", "EdDSA"):
        try:
            return [dict(jwt.get_algorithm_by_name(name).to_jwk(key, as_dict=True))]
        except Exception:  # noqa: BLE001, S112  it is of another family
            continue
    raise KeyRefused("it is a public key of a kind that no token is signed with")


def _usable(written: Mapping[str, Any]) -> jwt.PyJWK | None:
    if written.get("kty") not in ("RSA", "EC", "OKP") or written.get("use", "sig") != "sig":
        return None
    try:
        # It may come with its private half, which is not looked at.
        key = jwt.PyJWK({name: value for name, value in written.items() if name not in _PRIVATE})
    except Exception:  # noqa: BLE001  a key that cannot be read is one that nothing is checked with
        return None
    is_short = isinstance(key.key, rsa.RSAPublicKey) and key.key.key_size < SHORTEST_RSA
    return None if is_short or key.algorithm_name not in ALGORITHMS else key


_PRIVATE: Final = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth"})


def claims(
    token: str, document: bytes, *, audience: Sequence[str], issuer: Sequence[str], now: float, leeway_s: float
) -> Mapping[str, Any]:
    """The claims of a token that one of the keys has signed. Raises Stop, or UnknownKey.

    ``audience`` and ``issuer`` are what it may say, any of each; empty: they are not looked at.
    """
    try:
        named = jwt.get_unverified_header(token).get("kid")
    except Exception:  # noqa: BLE001  whatever a sender wrote, it is no token
        raise Stop("it is not a JSON Web Token") from None
    known = keys_of(document)
    keys = [key for kid, key in known if kid == named] if named is not None else [key for _, key in known][:MOST_TRIED]
    if not keys:
        raise UnknownKey
    reasons = []
    for key in keys:
        try:
            found = _decoded(token, key, audience, issuer)
        except Exception as error:  # noqa: BLE001  a token is right or wrong, whatever the library makes of it
            reasons.append(_in_words(error))
        else:
            _check_time(found, now, leeway_s)
            return found
    raise Stop(reasons[0])


def _decoded(token: str, key: jwt.PyJWK, audience: Sequence[str], issuer: Sequence[str]) -> Mapping[str, Any]:
    name = jwt.get_unverified_header(token).get("alg")
    if name not in ALGORITHMS:
        raise jwt.InvalidAlgorithmError("only algorithms with a public key are accepted")
    found: Mapping[str, Any] = jwt.decode(
        token,
        # A key that does not say its algorithm checks all of its family.
        key.key,
        algorithms=[name] if _fits(key, name) else [],
        audience=list(audience) or None,
        issuer=list(issuer) or None,
        options=cast("Options", {**_NOT_BY_THE_LIBRARY, "verify_aud": bool(audience), "verify_iss": bool(issuer)}),
    )
    return found


def _fits(key: jwt.PyJWK, name: str) -> bool:
    """Whether a token may be signed so with that key (RFC 7517, 4.4; RFC 7518, 3.1)."""
    declared = key._jwk_data.get("alg")  # noqa: SLF001
    if declared is not None:
        return bool(declared == name)
    if isinstance(key.key, rsa.RSAPublicKey):
        return name[:2] in ("RS", "PS")
    return name == key.algorithm_name


def _in_words(error: Exception) -> str:
    said = str(error)
    return (
        f"the token: {said[:1].lower()}{said[1:]}" if isinstance(error, jwt.PyJWTError) else "the token cannot be read"
    )


def _check_time(found: Mapping[str, Any], now: float, leeway_s: float) -> None:
    expires, begins, issued = (_moment(found, name) for name in ("exp", "nbf", "iat"))
    if expires is not None and now > expires + leeway_s:
        raise Stop("the token has expired")
    if begins is not None and now < begins - leeway_s:
        raise Stop("the token is not valid yet")
    if issued is not None and now < issued - leeway_s:
        raise Stop("the token was issued in the future")


def _moment(found: Mapping[str, Any], name: str) -> float | None:
    at = found.get(name)
    if at is not None and (isinstance(at, bool) or not isinstance(at, int | float)):
        raise Stop(f"the token's {name} is not a time")
    return at
