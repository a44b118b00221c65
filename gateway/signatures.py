"""Is this request authentic? Pure and total: Verified, or a reason that is for our log alone."""

import hmac
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from gateway.model import Secret

#: Header fields as a listener hands them over: raw bytes, names in lower case.
RawHeaders = Iterable[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scheme:
    """HMAC-SHA256 over the raw body, as lower-case hex in one header and with nothing around it."""

    #: Lower case.
    header: str


@dataclass(frozen=True, slots=True)
class Verified:
    """The signature covers these bytes and was made with one of the secrets."""


@dataclass(frozen=True, slots=True)
class Refused:
    """Not authentic, and why."""

    reason: str


VERIFIED: Final = Verified()


def verify(headers: RawHeaders, body: bytes, scheme: Scheme, secrets: Sequence[Secret]) -> Verified | Refused:
    """Check ``body`` against the signature header, in constant time, with every secret.

    A header that comes twice is refused: which of the two would another reader have believed?
    """
    name = scheme.header.encode("ascii")
    given = [value for field, value in headers if field == name]
    if not given:
        return Refused(f"no {scheme.header} header")
    if len(given) > 1:
        return Refused(f"{len(given)} {scheme.header} headers")
    matches = [hmac.compare_digest(_digest(body, secret), given[0]) for secret in secrets]
    return VERIFIED if any(matches) else Refused(f"{scheme.header} does not fit the body and the secret")


def sign(body: bytes, scheme: Scheme, secret: Secret) -> tuple[str, str]:
    """The header that ``verify`` accepts: (name, value)."""
    return scheme.header, _digest(body, secret).decode("ascii")


def _digest(body: bytes, secret: Secret) -> bytes:
    return hmac.digest(secret.reveal().encode("utf-8"), body, "sha256").hex().encode("ascii")
