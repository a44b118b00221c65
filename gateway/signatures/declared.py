"""Schemes from a preset or a ``verify:`` block. What makes no sense is refused, with the key at fault."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

from gateway.signatures.message import SignedRefused, joints, parts, uses
from gateway.signatures.schemes import ALGORITHMS, NAMELESS, Scheme, Signature, Timestamp, Token, Way

WAYS: Final = ("signature", "token", "bearer", "basic", "url_secret", "jwt")
ENCODINGS: Final = ("hex", "hex-any-case", "base64", "base64url")
KEYS: Final = ("text", "base64", "hex")


class SchemeRefused(ValueError):
    """A block cannot be a scheme: the key that is wrong (``signature.signed``), why, and the remedy."""

    def __init__(self, key: str, message: str, hint: str) -> None:
        self.key, self.message, self.hint = key, message, hint
        super().__init__(f"{key}: {message}")


def merged(preset: Mapping[str, Any], own: Mapping[str, Any]) -> Mapping[str, Any]:
    """A preset's block with the operator's keys on top; a different way to verify replaces it whole."""
    way = next((each for each in WAYS if each in own), None)
    if way is not None and way not in preset:
        return own
    return {
        key: {**preset[key], **own[key]}
        if isinstance(preset.get(key), Mapping) and isinstance(own.get(key), Mapping)
        else own.get(key, preset.get(key))
        for key in {**preset, **own}
    }


def scheme_of(declared: Mapping[str, Any]) -> Scheme:
    """The scheme of one block. Raises SchemeRefused."""
    ways = [way for way in WAYS if way in declared]
    if not ways:
        raise SchemeRefused("", "it does not say how requests are verified", f"add one of {', '.join(WAYS)}")
    if len(ways) > 1:
        raise SchemeRefused(
            "", f"it has {' and '.join(ways)}, but requests are verified in one way", "keep one of them"
        )
    way = ways[0]
    if way == "jwt":
        return Scheme(way="jwt", jwt=_token(declared["jwt"]))
    if way != "signature":
        of = declared[way] if isinstance(declared[way], Mapping) else {}
        places = [key for key in ("header", "query", "payload") if of.get(key)]
        if way == "token" and len(places) != 1:
            raise SchemeRefused(
                "token",
                "a token is in exactly one place",
                "write one of header: x-token, query: key, payload: auth.token",
            )
        return Scheme(
            way=cast("Way", way),
            header=str(of.get("header", "")).lower(),
            query=str(of.get("query", "")),
            payload=str(of.get("payload", "")).removeprefix("payload."),
            user=str(of.get("user", "")),
        )
    scheme = Scheme(
        signature=_signature(declared["signature"]),
        timestamp=_timestamp(declared.get("timestamp")),
        id_header=str((declared.get("id") or {}).get("header", "")).lower(),
        aliases=tuple((str(name).lower(), str(other).lower()) for name, other in declared.get("aliases", {}).items()),
        unsigned_body=declared.get("unsigned_body") == "accept",
    )
    _refuse_gaps(scheme)
    return scheme


def _signature(declared: Mapping[str, Any]) -> Signature:
    fields = declared.get("fields") or {}
    if bool(declared.get("header")) == bool(declared.get("body")):
        raise SchemeRefused(
            "signature.header", "a signature is in a header or in the body, not in both", "write header: x-signature"
        )
    return Signature(
        header=str(declared.get("header", "")).lower(),
        body=str(declared.get("body", "")),
        algorithm=_one_of(declared, "algorithm", "sha256", ALGORITHMS),
        encoding=_one_of(declared, "encoding", "hex", ENCODINGS),
        signed=_signed(str(declared.get("signed", "{body}"))),
        prefix=str(declared.get("prefix", "")),
        field=str(fields.get("signature", "")),
        timestamp_field=str(fields.get("timestamp", "")),
        separator=str(fields.get("separator", ",")),
        divider=str(declared.get("list", "")),
        key=_one_of(declared, "key", "text", KEYS),
        key_prefix=str(declared.get("key_prefix", "")),
        body_hash=str(declared.get("body_hash", "")),
        is_port_optional=declared.get("port") == "optional",
        certificate=_certificate(declared.get("certificate") or {}),
        certificate_from=_texts((declared.get("certificate") or {}).get("from", ())),
        signed_for=str(declared.get("signed_for", "")),
    )


def _certificate(declared: Mapping[str, Any]) -> str:
    places = [f"{kind}:{declared[kind]}" for kind in ("header", "payload") if declared.get(kind)]
    if declared and len(places) != 1:
        raise SchemeRefused("signature.certificate", "its address is in exactly one place", "write header or payload")
    for each in _texts(declared.get("from", ())):
        if not _PINNED.fullmatch(each):
            message = f'"{each}" does not name one host: anyone could have a certificate there'
            raise SchemeRefused("signature.certificate.from", message, "write https://certs.example.com/*.pem")
    if declared and not declared.get("from"):
        message = "nothing says where the sender's certificates are, so anyone could name one of their own"
        raise SchemeRefused("signature.certificate", message, "add from: https://certs.example.com/*.pem")
    return places[0] if places else ""


def _texts(written: Any) -> tuple[str, ...]:
    """One text, or a list of them."""
    return (written,) if isinstance(written, str) else tuple(map(str, written))


def _token(declared: Mapping[str, Any]) -> Token:
    token = Token(
        header=str(declared.get("header", "authorization")).lower(),
        jwks=str(declared.get("jwks", "")),
        audience=_texts(declared.get("audience", ())),
        issuer=_texts(declared.get("issuer", ())),
        body_hash=str(declared.get("body_hash", "")),
        leeway_s=float(declared.get("leeway_s", 60.0)),
    )
    if not token.jwks:
        hint = "add jwks: the address of the sender's keys, or the keys themselves"
        raise SchemeRefused("jwt", "nothing says which keys the sender signs with", hint)
    if token.jwks.startswith("http://") and not _IS_NEAR.match(token.jwks):
        message = "anyone on the way could replace keys that are fetched over http://"
        raise SchemeRefused("jwt.jwks", message, "write https://")
    if not token.audience and not token.body_hash:
        message = "the sender signs tokens for others with the same keys, who could use them here"
        raise SchemeRefused("jwt", message, "add audience: what the sender puts into aud for this address")
    return token


#: A certificate's address: scheme and host are given, but for a label that is not one of the last two.
_PINNED: Final = re.compile(
    r"https://(?:(?:\*|[a-z0-9-]+)\.)*[a-z0-9-]+\.[a-z0-9-]+(?::[0-9]+)?/[A-Za-z0-9._~/*-]*"
    r"|http://(?:localhost|127\.0\.0\.1)(?::[0-9]+)?/[A-Za-z0-9._~/*-]*"
)
_IS_NEAR: Final = re.compile(r"http://(?:localhost|127\.0\.0\.1|\[::1\])(?:[:/]|$)")


def _one_of(declared: Mapping[str, Any], key: str, default: str, known: Sequence[str]) -> str:
    value = declared.get(key, default)
    if value not in known:
        raise SchemeRefused(f"signature.{key}", f'"{value}" is not known', f"known: {', '.join(known)}")
    return str(value)


def _signed(text: str) -> str:
    try:
        uses(text)
    except SignedRefused as error:
        hint = (
            "fields: {body} {content} {timestamp} {id} {method} {url} {uri} {query} {form} {secret} {crc32} {header:NAME} "
            "{payload:PATH} {payload:PATH?} {lines:NAME,NAME}"
        )
        raise SchemeRefused("signature.signed", str(error), hint) from None
    return text


def _timestamp(declared: Mapping[str, Any] | None) -> Timestamp | None:
    if not declared:
        return None
    return Timestamp(
        header=str(declared.get("header", "")).lower(),
        payload=str(declared.get("payload", "")),
        in_field=bool(declared.get("field")),
        unit=str(declared.get("unit", "s")),
        tolerance_s=float(declared.get("tolerance_s", 300.0)),
    )


def _named_as_timestamp(scheme: Scheme) -> str:
    """The field of what is signed that is the place of the timestamp: ``{header:X-Time}``; empty if there is none."""
    stamp = scheme.timestamp
    fields = [each for each in parts(scheme.signature.signed) if isinstance(each, tuple)]
    return next(
        (
            f"{{{kind}:{name}}}"
            for kind, name in fields
            if stamp
            and ((kind == "header" and name.lower() == stamp.header) or (kind == "payload" and name == stamp.payload))
        ),
        "",
    )


def _refuse_gaps(scheme: Scheme) -> None:
    """Refuse what would look like a check and check nothing."""
    used = uses(scheme.signature.signed)
    if not scheme.covers_body and not scheme.unsigned_body:
        raise SchemeRefused(
            "signature.signed",
            "the signature does not cover the body: anyone who has seen one request could send any other",
            "put {body} into it, or write unsigned_body: accept",
        )
    if not scheme.covers_timestamp:
        if named := _named_as_timestamp(scheme):
            message = f"{named} is the timestamp, which is signed as {{timestamp}}"
            right = scheme.signature.signed.replace(named, "{timestamp}")
            raise SchemeRefused("signature.signed", message, f'write signed: "{right}"')
        raise SchemeRefused(
            "timestamp",
            "the signature does not cover the timestamp, so anyone can set it",
            "put {timestamp} into signed",
        )
    if "timestamp" in used and scheme.timestamp is None:
        place = "field: true" if scheme.signature.timestamp_field else "header: X-..."
        hint = f"add timestamp: {{{place}}} next to signature"
        raise SchemeRefused("signature.signed", "{timestamp} is signed, but nothing says where it is", hint)
    stamp = scheme.timestamp
    if stamp and stamp.header and stamp.header == scheme.signature.header:
        hint = "write the header of the time, or field: true if it is a field of the signature's header"
        raise SchemeRefused("timestamp.header", f'the header "{stamp.header}" has two uses', hint)
    if stamp and [bool(stamp.header), bool(stamp.payload), stamp.in_field].count(True) != 1:
        raise SchemeRefused("timestamp", "it is in exactly one place", "write one of header, payload and field")
    if stamp and stamp.in_field and not scheme.signature.timestamp_field:
        raise SchemeRefused(
            "timestamp.field", "the signature's header has no such field", "add signature.fields.timestamp"
        )
    knobs = scheme.signature
    if knobs.field == NAMELESS and knobs.timestamp_field not in ("", "1"):
        message = f'"{knobs.timestamp_field}" is not where a timestamp is among bare values: it is the first'
        raise SchemeRefused("signature.fields.timestamp", message, 'write timestamp: "1"')
    if open_end := next((each for each in joints(scheme.signature.signed) if not each.dividers), None):
        raise SchemeRefused(
            "signature.signed",
            f"nothing shows where {open_end.part} ends, so one signature would fit several requests",
            "put a sign next to it that it never holds, as the sender does: {id}.{body}; or leave it out",
        )
    if scheme.signature.body_hash and not used & {"url", "uri"}:
        raise SchemeRefused(
            "signature.body_hash", "the address that holds the hash is not signed", "put {url} into signed"
        )
    if "id" in used and not scheme.id_header:
        raise SchemeRefused("signature.signed", "{id} is signed, but nothing says where it is", "add id: {header: ...}")
    is_plain = scheme.signature.algorithm.startswith("plain-")
    if "secret" in used and scheme.signature.certificate:
        return
    if ("secret" in used) != is_plain:
        raise SchemeRefused(
            "signature.signed", "{secret} belongs to a plain digest, and only to that", "correct algorithm"
        )
