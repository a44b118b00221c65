"""Is this request authentic? Pure and total: Verified, or a reason that is for our log alone.

A ``Scheme`` is what a sender's documentation says, as data: which header, what is signed, how it is written. A
``Verifier`` is one or more schemes with the operator's secrets. Adding a sender needs no code here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Literal

import msgspec

from gateway.errors import Unparsable
from gateway.event.paths import assign
from gateway.event.payload import parse
from gateway.model import Secret
from gateway.signatures.keys import (
    DIGESTS,
    HMACS,
    PUBLIC_KEYS,
    Credential,
    DigestKey,
    HmacKey,
    Key,
    KeyRefused,
    Message,
    any_equal,
    key_of,
    stand_in,
)
from gateway.signatures.message import SignedRefused, message, uses
from gateway.signatures.request import RawHeaders, Reading, Request, Stop
from gateway.signatures.timestamps import UNITS, written_time

__all__ = [
    "ALGORITHMS",
    "UNITS",
    "CannotSign",
    "Credential",
    "KeyRefused",
    "RawHeaders",
    "Refused",
    "Request",
    "Scheme",
    "Signature",
    "Signed",
    "SignedRefused",
    "Timestamp",
    "Verified",
    "Verifier",
    "stand_in_for",
    "uses",
]

ALGORITHMS: Final = (*HMACS, *PUBLIC_KEYS, *DIGESTS)
#: So many signatures of a header are looked at; a sender that rotates its key sends two.
MOST_SIGNATURES: Final = 16

Way = Literal["signature", "token", "bearer", "basic", "url_secret", "none"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """Where a signature stands, what it covers, and how it is written."""

    #: Lower case. Exactly one of ``header`` and ``body`` is set.
    header: str = ""
    #: A path in the payload.
    body: str = ""
    algorithm: str = "sha256"
    #: hex, hex-any-case or base64.
    encoding: str = "hex"
    #: What is signed: ``{timestamp}.{body}``.
    signed: str = "{body}"
    #: Of each signature; one without it is not looked at.
    prefix: str = ""
    #: The header is a list of ``name=value``: the name of the signatures and, if there is one, of the timestamp.
    field: str = ""
    timestamp_field: str = ""
    separator: str = ","
    #: What divides several signatures in one header; empty: there is one.
    divider: str = ""
    #: How the secret is written: text, base64 or hex.
    key: str = "text"
    key_prefix: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timestamp:
    """When the sender signed; trusted because the signature covers it."""

    #: One of the three says where it stands: a header, a path in the payload, or a field of the signature's header.
    header: str = ""
    payload: str = ""
    in_field: bool = False
    unit: str = "s"
    #: Both ways, seconds.
    tolerance_s: float = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Scheme:
    """One way in which a sender shows that it is the sender."""

    way: Way = "signature"
    signature: Signature = field(default_factory=Signature)
    timestamp: Timestamp | None = None
    #: The header that holds ``{id}``.
    id_header: str = ""
    #: Of a token.
    header: str = ""
    #: Of a login.
    user: str = ""
    #: The operator knows that the signature does not cover the body.
    unsigned_body: bool = False

    @property
    def is_asymmetric(self) -> bool:
        """Whether only the sender can sign."""
        return self.way == "signature" and self.signature.algorithm in PUBLIC_KEYS

    @property
    def covers_body(self) -> bool:
        return self.way != "signature" or bool(uses(self.signature.signed) & {"body", "form"})

    @property
    def covers_timestamp(self) -> bool:
        if self.timestamp is None or self.way != "signature":
            return True
        used = uses(self.signature.signed)
        return "timestamp" in used or (bool(self.timestamp.payload) and "body" in used)

    @property
    def headers(self) -> frozenset[str]:
        """The headers that it reads; with verbatim bytes they travel on, but for a login."""
        stamp = self.timestamp.header if self.timestamp else ""
        return frozenset(filter(None, (self.signature.header, stamp, self.id_header)))


@dataclass(frozen=True, slots=True)
class Verified:
    """The request was made by someone who has one of the secrets."""


@dataclass(frozen=True, slots=True)
class Refused:
    """Not authentic, and why."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """What to send so that a verifier accepts it."""

    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    #: Behind the source's path.
    path_secret: str = ""


class CannotSign(ValueError):
    """Only the sender has the key; the text says so."""


VERIFIED: Final = Verified()


@dataclass(frozen=True, slots=True)
class Verifier:
    """The schemes of a source, any of which will do, with its secrets. Raises KeyRefused for one that is no key."""

    schemes: tuple[Scheme, ...]
    credentials: tuple[Credential, ...] = ()
    #: As the sender has it, for schemes that sign the address.
    public_url: str = ""
    _checks: tuple["_Check", ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        checks = tuple(_Check.of(scheme, self._of(scheme), self.public_url) for scheme in self.schemes)
        object.__setattr__(self, "_checks", checks)

    def _of(self, scheme: Scheme) -> Sequence[Credential]:
        """Of several schemes each takes the secrets that begin as its own do."""
        prefix = scheme.signature.key_prefix
        if len(self.schemes) == 1 or not prefix:
            return self.credentials
        return [each for each in self.credentials if each.secret.reveal().startswith(prefix)]

    @property
    def is_open(self) -> bool:
        """Whether anyone may post: ``verify: none``."""
        return any(scheme.way == "none" for scheme in self.schemes)

    @property
    def takes_path_secret(self) -> bool:
        return any(scheme.way == "url_secret" for scheme in self.schemes)

    def verify(self, request: Request, now: float, steps: list[str] | None = None) -> Verified | Refused:
        """Whether one of the schemes holds; ``now`` by the wall clock. ``steps`` gets what was done, for people."""
        reasons = []
        for check in self._checks:
            reading = Reading(request, self.public_url.encode(), steps)
            try:
                check.verify(reading, now)
            except Stop as stop:
                reasons.append(str(stop))
            else:
                return VERIFIED
        return Refused("; ".join(dict.fromkeys(reasons)) or "no scheme is configured")

    def sign(self, request: Request, now: float, message_id: str) -> Signed:
        """Make what ``verify`` accepts, by the first secret that still counts. Raises CannotSign."""
        for check in self._checks:
            if check.keys or check.scheme.way == "none":
                return check.sign(request, now, message_id)
        raise CannotSign("none of the source's secrets fits its scheme")


@dataclass(frozen=True, slots=True)
class _Check:
    """A scheme with the keys that its secrets are."""

    scheme: Scheme
    keys: tuple[tuple[Credential, Key | None], ...]
    message: Message
    public_url: bytes

    @classmethod
    def of(cls, scheme: Scheme, credentials: Sequence[Credential], public_url: str) -> "_Check":
        keys = tuple((each, _key(scheme, each.secret)) for each in credentials)
        return cls(scheme, keys, message(scheme.signature.signed), public_url.encode())

    def verify(self, reading: Reading, now: float) -> None:
        """Raises Stop unless the request is authentic."""
        if self.scheme.way == "none":
            return
        alive = [(at, each, key) for at, (each, key) in enumerate(self.keys, start=1) if not each.is_past(now)]
        if not alive:
            raise Stop("no secret is left that still counts")
        if self.scheme.way != "signature":
            given = _given_token(self.scheme, reading)
            expected = [_token(self.scheme, each.secret) for _, each, _ in alive]
            fits = [any_equal(each, [given]) for each in expected]
        else:
            given_signatures = self._given(reading)
            self._check_time(reading, now)
            reading.id = reading.header(self.scheme.id_header.encode()) if self.scheme.id_header else b""
            if reading.steps is not None:
                reading.note(f"signed: {_shape(self.scheme.signature.signed, self.message(reading))}")
            fits = [key is not None and key.fits(reading, self.message, given_signatures) for _, _, key in alive]
        for (at, _, _), fit in zip(alive, fits, strict=True):
            reading.note(f"secret {at} of {len(self.keys)}: {'fits' if fit else 'does not fit'}")
        if not any(fits):
            raise Stop(f"{_called(self.scheme)} does not fit {_covered(self.scheme)} and the secret")

    def _given(self, reading: Reading) -> Sequence[bytes]:
        """The signatures of a request as they are written, without their prefix."""
        knobs = self.scheme.signature
        text = reading.payload(knobs.body.split(".")) if knobs.body else reading.header(knobs.header.encode())
        called = f"payload.{knobs.body}" if knobs.body else knobs.header
        reading.note(f"{called}: {len(text)} bytes")
        if knobs.field:
            # Senders write a blank behind it or none.
            separator = knobs.separator.strip() or knobs.separator
            fields = [part.strip().partition(b"=") for part in text.split(separator.encode())]
            found = [value for name, _, value in fields if name == knobs.field.encode()]
            reading.fields = {name: value for name, _, value in fields}
            if knobs.timestamp_field and [n for n, _, _ in fields].count(knobs.timestamp_field.encode()) > 1:
                raise Stop(f"{called} has several timestamps")
        elif knobs.divider:
            found = [part.strip() for part in text.split(knobs.divider.encode())]
        else:
            found = [text]
        prefix = knobs.prefix.encode()
        found = [each.removeprefix(prefix) for each in found if each.startswith(prefix)][:MOST_SIGNATURES]
        if not found:
            shown = f"{knobs.field}=" if knobs.field else knobs.prefix
            raise Stop(f"{called} holds no signature{f' with {shown}' if shown else ''}")
        reading.note(f"{len(found)} signature{'s' if len(found) > 1 else ''} in it")
        return found

    def _check_time(self, reading: Reading, now: float) -> None:
        stamp = self.scheme.timestamp
        if stamp is None:
            return
        if stamp.in_field:
            reading.timestamp = reading.fields.get(self.scheme.signature.timestamp_field.encode(), b"")
        elif stamp.header:
            reading.timestamp = reading.header(stamp.header.encode())
        else:
            reading.timestamp = reading.payload(stamp.payload.split("."))
        written = UNITS[stamp.unit](reading.timestamp)
        if written is None:
            raise Stop(f"the timestamp is not written in {stamp.unit}")
        age = now - written
        reading.note(
            f"timestamp: {abs(age):,.0f} s {'ago' if age >= 0 else 'ahead'}, {stamp.tolerance_s:g} s are allowed"
        )
        if abs(age) > stamp.tolerance_s:
            raise Stop(
                f"the timestamp is {abs(age):.0f} s {'old' if age > 0 else 'in the future'}, over {stamp.tolerance_s:g} s"
            )

    # signing

    def sign(self, request: Request, now: float, message_id: str) -> Signed:
        scheme = self.scheme
        if scheme.way == "none":
            return Signed(body=request.body)
        credential, key = next(
            ((each, key) for each, key in self.keys if not each.is_past(now)), (self.keys[0][0], self.keys[0][1])
        )
        if scheme.way == "url_secret":
            return Signed(body=request.body, path_secret=credential.secret.reveal())
        if scheme.way != "signature":
            name = scheme.header if scheme.way == "token" else "authorization"
            return Signed(headers=((name, _token(scheme, credential.secret).decode("latin-1")),), body=request.body)
        if not isinstance(key, HmacKey | DigestKey):
            raise CannotSign(f"{scheme.signature.algorithm}: only the sender has the private key")
        return self._signed(request, now, message_id, key)

    def _signed(self, request: Request, now: float, message_id: str, key: HmacKey | DigestKey) -> Signed:
        knobs, stamp = self.scheme.signature, self.scheme.timestamp
        moment = written_time(now, stamp.unit) if stamp else ""
        fields: dict[str, str] = {}
        if stamp and stamp.payload:
            fields[stamp.payload] = moment
        if knobs.body:
            fields |= {path: message_id for name, path in _payload_uses(knobs.signed) if name == "payload"}
        body = _with_fields(request.body, fields) if fields else request.body
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in request.headers}
        added = {stamp.header: moment} if stamp and stamp.header else {}
        added |= {self.scheme.id_header: message_id} if self.scheme.id_header else {}
        headers |= added
        raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
        reading = Reading(replace(request, headers=raw, body=body), self.public_url)
        reading.timestamp, reading.id = moment.encode(), message_id.encode()
        signature = key.sign(reading, self.message).decode()
        if knobs.body:
            return Signed(body=_with_fields(body, {knobs.body: signature}))
        if knobs.field:
            pairs = [(knobs.timestamp_field, moment)] if knobs.timestamp_field else []
            value = knobs.separator.join(
                f"{name}={text}" for name, text in [*pairs, (knobs.field, knobs.prefix + signature)]
            )
        else:
            value = knobs.prefix + signature
        return Signed(headers=((knobs.header, value), *added.items()), body=body)


def _payload_uses(signed: str) -> Sequence[tuple[str, str]]:
    from gateway.signatures.message import parts

    return [(part[0], part[1]) for part in parts(signed) if not isinstance(part, str)]


def _with_fields(body: bytes, fields: Mapping[str, str]) -> bytes:
    try:
        payload = parse(body)
        for path, text in fields.items():
            assign(payload, path.split("."), int(text) if text.isdigit() and "token" not in path else text)
    except (Unparsable, ValueError) as error:
        raise CannotSign(f"the body has no place for what is signed: {error}") from None
    return msgspec.json.encode(payload)


def _key(scheme: Scheme, secret: Secret) -> Key | None:
    if scheme.way != "signature":
        return None
    knobs = scheme.signature
    return key_of(secret, algorithm=knobs.algorithm, encoding=knobs.encoding, form=knobs.key, prefix=knobs.key_prefix)


def stand_in_for(scheme: Scheme, text: str) -> Secret:
    """A secret of the form that a scheme needs, made of a text that everyone knows."""
    if scheme.way != "signature":
        return Secret(text)
    knobs = scheme.signature
    return stand_in(text, algorithm=knobs.algorithm, form=knobs.key, prefix=knobs.key_prefix)


def _given_token(scheme: Scheme, reading: Reading) -> bytes:
    if scheme.way == "url_secret":
        return reading.request.path_secret
    return reading.header(scheme.header.encode() if scheme.way == "token" else b"authorization")


def _token(scheme: Scheme, secret: Secret) -> bytes:
    text = secret.reveal().encode("utf-8", "surrogateescape")
    match scheme.way:
        case "bearer":
            return b"Bearer " + text
        case "basic":
            import base64

            return b"Basic " + base64.b64encode(scheme.user.encode() + b":" + text)
        case _:
            return text


def _called(scheme: Scheme) -> str:
    match scheme.way:
        case "signature":
            return scheme.signature.header or f"payload.{scheme.signature.body}"
        case "token":
            return scheme.header
        case "url_secret":
            return "the end of the path"
        case _:
            return "authorization"


def _covered(scheme: Scheme) -> str:
    if scheme.way != "signature":
        return "the source"
    return "the body" if scheme.covers_body else "what it signs"


def _shape(signed: str, pieces: Sequence[bytes]) -> str:
    return f"{signed} ({sum(map(len, pieces)):,} bytes)"
