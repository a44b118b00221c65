"""One scheme with its secrets, applied to one request."""

import base64
from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import urlsplit

from msgspec import Struct

from gateway.model import Secret
from gateway.signatures import fetched
from gateway.signatures.credentials import Credential
from gateway.signatures.keys import Key, any_equal, key_of, misformed, stand_in
from gateway.signatures.message import Joint, Message, joints, message
from gateway.signatures.request import Reading, Request, Stop
from gateway.signatures.schemes import NAMELESS, Scheme, Timestamp
from gateway.signatures.timestamps import UNITS, misread

#: Signatures of one header that are checked; a sender that rotates its key sends two.
MOST_SIGNATURES: Final = 16


class Check(Struct, frozen=True):
    """A scheme with the keys made from its secrets."""

    scheme: Scheme
    keys: tuple[tuple[Credential, Key | None], ...]
    message: Message
    #: The source's address, in every form that the sender may sign.
    urls: tuple[bytes, ...]
    aliases: Mapping[bytes, bytes]
    #: Where the signature or the secret is, in words.
    called: str
    #: The signature's header, what each signature begins with, and what may end a part of the signed text.
    header: bytes
    prefix: bytes
    joints: Sequence[Joint]

    @classmethod
    def of(cls, scheme: Scheme, credentials: Sequence[Credential], public_url: str) -> "Check":
        """Raises KeyRefused for a secret that cannot be a key of the scheme."""
        keys = tuple((each, key_for(scheme, each.secret)) for each in credentials)
        urls = _with_and_without_port(public_url) if scheme.signature.is_port_optional else (public_url,)
        knobs = scheme.signature
        return cls(
            scheme=scheme,
            keys=keys,
            message=message(knobs.signed),
            urls=tuple(map(str.encode, urls)),
            aliases=scheme.raw_aliases,
            called=_called(scheme),
            header=knobs.header.encode(),
            prefix=knobs.prefix.encode(),
            joints=joints(knobs.signed),
        )

    def readings(self, request: Request, steps: list[str] | None, documents: Mapping[str, bytes]) -> Sequence[Reading]:
        """The request as this scheme reads it, with each of the addresses that the sender may have signed."""
        return [Reading(request, url, steps, self.aliases, documents) for url in self.urls]

    def verify(self, reading: Reading, now: float) -> None:
        """Raises Stop unless the request is authentic, or Awaits if that takes a document."""
        if self.scheme.way == "none":
            return
        if self.scheme.way == "jwt":
            fetched.check_token(self.scheme.jwt, reading, now)
            return
        alive = [pair for pair in self.keys if not pair[0].is_past(now)]
        if not alive:
            raise Stop("no secret is valid any more")
        if self.scheme.way == "signature":
            matches = self._signed_by(reading, now, alive)
        else:
            matches = self._shows(reading, [credential.secret for credential, _ in alive])
        if reading.steps is not None:
            numbers = [at for at, (each, _) in enumerate(self.keys, start=1) if not each.is_past(now)]
            for at, does_match in zip(numbers, matches, strict=True):
                reading.note(f"secret {at} of {len(self.keys)}: {'matches' if does_match else 'does not match'}")
        if not any(matches):
            raise Stop(f"{self.called} does not match {_covered(self.scheme)}")

    def _shows(self, reading: Reading, secrets: Sequence[Secret]) -> Sequence[bool]:
        """Which of the secrets the request shows."""
        given = _given_token(self.scheme, reading)
        return [any_equal(token(self.scheme, each), [given]) for each in secrets]

    def _signed_by(self, reading: Reading, now: float, keys: Sequence[tuple[Credential, Key | None]]) -> Sequence[bool]:
        """Which of the keys signed the request. Raises Stop where the time is wrong or something is missing."""
        given = self._signatures(reading)
        self._check_time(reading, now)
        reading.id = reading.header(self.scheme.id_header.encode()) if self.scheme.id_header else b""
        if self.scheme.signature.body_hash:
            reading.check_body_hash(self.scheme.signature.body_hash)
        for joint in self.joints:
            joint.check(reading)
        if reading.steps is not None:
            reading.note(f"signed: {_shape(self.scheme.signature.signed, self.message(reading))}")
        if self.scheme.signature.certificate:
            return self._certified_by(reading, now, [credential.secret for credential, _ in keys], given)
        matches = [key is not None and key.matches(reading, self.message, given) for _, key in keys]
        if not any(matches) and (
            why := misformed(given, self.scheme.signature.algorithm, self.scheme.signature.encoding)
        ):
            raise Stop(f"{self.called} has {why}")
        return matches

    def _certified_by(
        self, reading: Reading, now: float, secrets: Sequence[Secret], given: Sequence[bytes]
    ) -> Sequence[bool]:
        """For which of the secrets the sender has signed, by the key of its certificate."""
        knobs, found = self.scheme.signature, []
        key = fetched.certified_key(knobs, reading, now)
        signed_for = reading.payload(knobs.signed_for.split(".")) if knobs.signed_for else b""
        for secret in secrets:
            reading.secret = secret.reveal().encode("utf-8", "surrogateescape")
            is_meant = not knobs.signed_for or any_equal(reading.secret, [signed_for])
            found.append(is_meant and key.matches(reading, self.message, given))
        return found

    def _signatures(self, reading: Reading) -> Sequence[bytes]:
        """The signatures of a request as they are written, without their prefix."""
        knobs = self.scheme.signature
        text = reading.payload(knobs.body.split(".")) if knobs.body else reading.header(self.header)
        if reading.steps is not None:
            reading.note(f"{self.called}: {len(text)} bytes")
        if knobs.field:
            found = self._of_fields(reading, text)
        elif knobs.divider:
            found = [part.strip() for part in text.split(knobs.divider.encode())]
        else:
            found = [text]
        if prefix := self.prefix:
            found = [each.removeprefix(prefix) for each in found if each.startswith(prefix)]
        found = found[:MOST_SIGNATURES]
        if not found:
            shown = f"{knobs.field}=" if knobs.field not in ("", NAMELESS) else knobs.prefix
            raise Stop(f"{self.called} has no signature{f' with {shown}' if shown else ''}")
        if reading.steps is not None:
            reading.note(f"{len(found)} signature{'s' if len(found) > 1 else ''} in it")
        return found

    def _of_fields(self, reading: Reading, text: bytes) -> list[bytes]:
        """The signatures of a header that is a list, of ``name=value`` or bare; all its fields go into the reading."""
        knobs = self.scheme.signature
        # Some senders write a space after it, some do not.
        separator = knobs.separator.strip() or knobs.separator
        values = [part.strip() for part in text.split(separator.encode())]
        if knobs.field == NAMELESS:
            reading.fields = {b"%d" % at: value for at, value in enumerate(values, start=1)}
            return [value for at, value in reading.fields.items() if at != knobs.timestamp_field.encode()]
        fields = [value.partition(b"=") for value in values]
        reading.fields = {name: value for name, _, value in fields}
        if knobs.timestamp_field and [name for name, _, _ in fields].count(knobs.timestamp_field.encode()) > 1:
            raise Stop(f"{self.called} has several timestamps")
        return [value for name, _, value in fields if name == knobs.field.encode()]

    def _check_time(self, reading: Reading, now: float) -> None:
        stamp = self.scheme.timestamp
        if stamp is None:
            return
        reading.timestamp = self._timestamp(reading, stamp)
        written = UNITS[stamp.unit](reading.timestamp)
        if written is None:
            raise Stop(misread(reading.timestamp, stamp.unit))
        age = now - written
        if reading.steps is not None:
            when = "ago" if age >= 0 else "ahead"
            reading.note(f"timestamp: {abs(age):,.0f} s {when}, {stamp.tolerance_s:g} s are allowed")
        if abs(age) > stamp.tolerance_s:
            raise Stop(
                f"the timestamp is {abs(age):.0f} s {'old' if age > 0 else 'in the future'}, over {stamp.tolerance_s:g} s"
            )

    def _timestamp(self, reading: Reading, stamp: Timestamp) -> bytes:
        if stamp.in_field:
            return reading.fields.get(self.scheme.signature.timestamp_field.encode(), b"")
        if stamp.header:
            return reading.header(stamp.header.encode())
        return reading.payload(stamp.payload.split("."))


def stand_in_for(scheme: Scheme, text: str) -> Secret:
    """A secret of the form that a scheme needs, made from a text that everyone knows."""
    if scheme.way != "signature" or scheme.signature.certificate:
        return Secret(text)
    knobs = scheme.signature
    return stand_in(text, algorithm=knobs.algorithm, form=knobs.key, prefix=knobs.key_prefix)


def token(scheme: Scheme, secret: Secret) -> bytes:
    """What a request shows by a scheme that signs nothing."""
    text = secret.reveal().encode("utf-8", "surrogateescape")
    match scheme.way:
        case "bearer":
            return b"Bearer " + text
        case "basic":
            return b"Basic " + base64.b64encode(scheme.user.encode() + b":" + text)
        case _:
            return text


def key_for(scheme: Scheme, secret: Secret) -> Key | None:
    """The key in a secret of a scheme; None: it has no key of ours. Raises KeyRefused."""
    if scheme.way != "signature" or scheme.signature.certificate:
        return None
    knobs = scheme.signature
    if knobs.key_prefix:
        # Some senders show it with the version of its signatures: v1,whsec_...
        secret = Secret(secret.reveal().removeprefix(knobs.prefix))
    return key_of(secret, algorithm=knobs.algorithm, encoding=knobs.encoding, form=knobs.key, prefix=knobs.key_prefix)


def _with_and_without_port(url: str) -> Sequence[str]:
    """An address as it is, and with the port of its scheme written out, or without the port that it has."""
    parts = urlsplit(url)
    host, colon, _ = parts.netloc.rpartition(":") if not parts.netloc.endswith("]") else (parts.netloc, "", "")
    other = host if colon else f"{parts.netloc}:{443 if parts.scheme == 'https' else 80}"
    return url, url.replace(f"//{parts.netloc}", f"//{other}", 1)


def _given_token(scheme: Scheme, reading: Reading) -> bytes:
    match scheme.way:
        case "url_secret":
            return reading.request.path_secret
        case "token" if scheme.query:
            return reading.field_of_query(scheme.query)
        case "token" if scheme.payload:
            return reading.shown(scheme.payload.split("."))
        case "token":
            return reading.header(scheme.header.encode())
    # The name of a scheme has no case, and spaces follow it (RFC 9110, 11.4).
    name, _, credentials = reading.header(b"authorization").replace(b"\t", b" ").strip().partition(b" ")
    return name.capitalize() + b" " + credentials.lstrip()


def _called(scheme: Scheme) -> str:
    match scheme.way:
        case "signature":
            return f"payload.{scheme.signature.body}" if scheme.signature.body else scheme.signature.header
        case "token":
            return scheme.header or (f"query.{scheme.query}" if scheme.query else f"payload.{scheme.payload}")
        case "url_secret":
            return "the end of the path"
        case _:
            return "authorization"


def _covered(scheme: Scheme) -> str:
    if scheme.way != "signature":
        return "the secret of the source"
    return "the body and the secret" if scheme.covers_body else "what it signs and the secret"


def _shape(signed: str, pieces: Sequence[bytes]) -> str:
    return f"{signed} ({sum(map(len, pieces)):,} bytes)"
