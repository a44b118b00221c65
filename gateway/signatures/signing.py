"""Making a request that a check accepts, as the sender would."""

import re
from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import quote, urlencode

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from gateway.errors import Unparsable
from gateway.event.forms import pairs
from gateway.event.paths import assign
from gateway.event.payload import parse
from gateway.signatures.checks import Check, token
from gateway.signatures.keys import DigestKey, HmacKey, SigningKey
from gateway.signatures.message import parts
from gateway.signatures.request import Reading, Request
from gateway.signatures.schemes import NAMELESS
from gateway.signatures.timestamps import written_time

#: A time or an id that is a number in JSON; every reader of JSON can hold one of that length.
_NUMBER: Final = re.compile(r"[0-9]{1,18}")


class CannotSign(ValueError):
    """Only the sender has the key, or the body has no place for what is signed; the text says which."""


class Signed(Struct, frozen=True, kw_only=True):
    """What to send so that a verifier accepts it."""

    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    #: The segment after the source's path.
    path_secret: str = ""
    #: What follows the ``?``, percent-encoded.
    query: str = ""


def signed(check: Check, request: Request, now: float, message_id: str) -> Signed:
    """What the check accepts, by its first secret that is still valid. Raises CannotSign."""
    scheme = check.scheme
    if scheme.way == "none":
        return Signed(body=request.body)
    if scheme.way == "jwt" or scheme.signature.certificate:
        raise CannotSign("only the sender has the private key")
    credential, key = next((pair for pair in check.keys if not pair[0].is_past(now)), check.keys[0])
    if scheme.way == "url_secret":
        return Signed(body=request.body, path_secret=credential.secret.reveal())
    if scheme.query:
        return Signed(body=request.body, query=f"{quote(scheme.query)}={quote(credential.secret.reveal(), safe='')}")
    if scheme.payload:
        return Signed(body=_with_token(request, scheme.payload, credential.secret.reveal()))
    if scheme.way != "signature":
        name = scheme.header if scheme.way == "token" else "authorization"
        return Signed(headers=((name, token(scheme, credential.secret).decode("latin-1")),), body=request.body)
    if not isinstance(key, HmacKey | DigestKey):
        raise CannotSign(f"{scheme.signature.algorithm}: only the sender has the private key")
    return with_signatures(check, request, now, message_id, [key], check.urls[0])


def with_signatures(
    check: Check, request: Request, now: float, message_id: str, keys: Sequence[SigningKey], url: bytes
) -> Signed:
    """A request with the signature of each key, where the scheme has room for several; else of the first.

    ``url`` is where it is sent, without the request's query. Raises CannotSign, or Stop if what is signed is missing.
    """
    knobs, stamp = check.scheme.signature, check.scheme.timestamp
    moment = written_time(now, stamp.unit) if stamp else ""
    body = _with_fields(request.body, _signed_fields(check, moment, message_id))
    added = {stamp.header: moment} if stamp and stamp.header else {}
    added |= {check.scheme.id_header: message_id} if check.scheme.id_header else {}
    reading = Reading(replace(request, headers=_headers(request, added), body=body), url)
    reading.timestamp, reading.id = moment.encode(), message_id.encode()
    several = keys if knobs.has_room else keys[:1]
    signatures = [knobs.prefix + key.sign(reading, check.message).decode() for key in several]
    if knobs.body:
        return Signed(body=_with_fields(body, {knobs.body: signatures[0]}))
    return Signed(headers=((knobs.header, _written(check, moment, signatures)), *added.items()), body=body)


def _written(check: Check, moment: str, signatures: Sequence[str]) -> str:
    """The value of the signature's header."""
    knobs = check.scheme.signature
    if not knobs.field:
        return knobs.divider.join(signatures)
    moments = [(knobs.timestamp_field, moment)] if knobs.timestamp_field else []
    fields = [*moments, *((knobs.field, each) for each in signatures)]
    return knobs.separator.join(value if knobs.field == NAMELESS else f"{name}={value}" for name, value in fields)


def _signed_fields(check: Check, moment: str, message_id: str) -> Mapping[str, str]:
    """The fields of the payload that are filled in before it is signed."""
    knobs, stamp = check.scheme.signature, check.scheme.timestamp
    fields = {stamp.payload: moment} if stamp and stamp.payload else {}
    if knobs.body:
        uses = [part for part in parts(knobs.signed) if not isinstance(part, str)]
        beside = knobs.body.rpartition(".")[0]
        # What is beside the signature is made with it, such as a token; the rest is what the event says.
        fields |= {path: message_id for name, path in uses if name == "payload" and path.rpartition(".")[0] == beside}
    return fields


def _headers(request: Request, added: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in request.headers} | dict(added)
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]


def _with_token(request: Request, path: str, token: str) -> bytes:
    """The body with a token at a path: JSON, or a form. Raises CannotSign."""
    is_form = any(name == b"content-type" and b"x-www-form-urlencoded" in value for name, value in request.headers)
    if not is_form:
        return _with_fields(request.body, {path: token}, texts=(path,))
    return request.body + (b"&" if request.body else b"") + urlencode({path: token}).encode()


def _with_fields(body: bytes, fields: Mapping[str, str], texts: Sequence[str] = ()) -> bytes:
    """The body with values at paths; one that looks like a number is one, except at the paths that are ``texts``."""
    if not fields:
        return body
    if body and body.lstrip()[:1] not in (b"{", b"["):
        return _with_form_fields(body, fields)
    try:
        payload = parse(body)
        for path, text in fields.items():
            assign(
                payload,
                path.split("."),
                int(text) if _NUMBER.fullmatch(text) and "token" not in path and path not in texts else text,
            )
    except (Unparsable, ValueError) as error:
        raise CannotSign(f"the body has no place for what is signed: {error}") from None
    return msgspec.json.encode(payload)


def _with_form_fields(body: bytes, fields: Mapping[str, str]) -> bytes:
    try:
        kept = [(name, value) for name, value in pairs(body) if name not in fields]
    except ValueError as error:
        raise CannotSign(f"the body has no place for what is signed: {error}") from None
    return urlencode([*kept, *fields.items()]).encode()
