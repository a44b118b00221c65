"""The keys of ``verify``: how the requests of a source are verified."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import ClassVar, Final

from gateway import presets, signatures
from gateway.config.schema import values
from gateway.config.schema.instead import header_in
from gateway.config.schema.keys import Section, key, keys_of, nested, read_section
from gateway.config.schema.reading import DEMO_SECRET, Reading, Words, shape_of, shaped
from gateway.config.schema.remedies import Instead, Remedy, write, write_part
from gateway.config.schema.signed import (
    IN_VERIFY,
    KINDS,
    SIGNED,
    SIGNED_NAMES,
    algorithm_like,
    as_map,
    as_pairs,
    as_shown,
    encoding_like,
    is_signed,
    known_only,
    lacking,
    listed,
    signature_in,
    signed,
)
from gateway.config.schema.times import GUESS, TIMESTAMPS, WINDOWS, added, as_time, placed, time_in
from gateway.config.text.reader import Map, Node, Pair, Scalar, hide_all
from gateway.model import Secret
from gateway.signatures.declared import ENCODINGS, KEYS
from gateway.wording import folded


@shaped(shape_of(values.secret))
def _handshake_token(reading: Reading, node: Node, label: str) -> Secret | None:
    with reading.stand_in(DEMO_SECRET):
        return values.secret(reading, node, label)


@dataclass(frozen=True, kw_only=True)
class FieldsKeys(Section):
    noun = "signature.fields"
    signature: Words | None = key(
        values.words, 'the name of the signature field: v1; or "*" for a header of bare values', required=True
    )
    timestamp: Words | None = key(values.words, 'the name of the timestamp field: t; or "1", the first of bare values')
    separator: Words | None = key(values.words, "what separates the fields: ,")


@dataclass(frozen=True, kw_only=True)
class CertificateKeys(Section):
    noun = "signature.certificate"
    header: Words | None = key(values.header, "the header that holds its address: x-cert-url")
    payload: Words | None = key(values.words, "or the path of its address in the payload: SigningCertURL")
    addresses: tuple[Words, ...] | None = key(
        values.some_words,
        "the addresses that it may have, with * for letters, digits and hyphens: https://certs.example.com/*.pem",
        required=True,
        name="from",
    )


_BESIDE: Final = write("secret", more=" in the source, next to verify")


def _signature(pair: Pair, around: Map) -> Instead:
    """``hmac: sha256`` and ``header: x-sig``, which belong to one signature; ``type: token``, another way."""
    named = pair.value.text if isinstance(pair.value, Scalar) and pair.key.text in KINDS else ""
    parts, covered = signature_in(around, keys_of(VerifyKeys), KINDS)
    way = _WAYS.get(folded(named), "")
    if way.startswith(("{token", "{bearer", "{basic", "{jwt")):
        name, _, value = way[1:-1].partition(": ")
        value = value.replace("x-token", parts.get("header", "x-token").replace("x-signature", "x-token"))
        return Instead(f"write {name}: {value}", (name,), value, covered)
    own = as_pairs(around)
    # A header alone is not a timestamp yet: it is put right with the rest.
    alone = {key for key in ("timestamp",) if key in own and header_in(_text(own[key]))}
    time, times = time_in(around, keys_of(VerifyKeys).keys() - alone)
    own = {key: node for key, node in own.items() if key not in times}
    if _is_signed_with(time, {**own, **parts}) and "signed" not in {**parts, **as_pairs(own.get("signature"))}:
        parts = {**({} if "signature" in own else {"header": "x-signature"}), **parts, "signed": SIGNED}
    return _completed(parts, time, own, covered | times)


def _completed(
    parts: Mapping[str, str], time: Mapping[str, str], own: Mapping[str, Node], covered: frozenset[str]
) -> Instead:
    """What to write for parts of a signature and of its time, beside what ``verify`` has of them."""
    signature, timestamp = own.get("signature"), own.get("timestamp")
    known, whole, parts = known_only(parts), {**as_shown(signature), **parts}, lacking(parts, signature)
    if time and timestamp is not None and (signature is not None or not parts or not isinstance(timestamp, Map)):
        more = added(time, timestamp)
        to = f"add {listed(parts)} to the existing signature" if signature else f"write signature: {as_map(parts)}"
        return Instead(f"{to}, and {more}" if parts else more, covered=covered)
    time, is_guessed = placed({**as_time(timestamp), **time} if time else time, whole)
    more = GUESS if is_guessed else ""
    if not parts:
        hint = f"write timestamp: {as_map(time)}{more}" if time else "remove it: signature says the same"
        return Instead(hint, covered=covered)
    if not time:
        return write_part("signature", as_map(parts), covered, known)
    both = {"signature": as_map(parts), "timestamp": as_map(time)}
    if signature is not None:
        hint = f"add {listed(parts)} to the existing signature, and write timestamp: {both['timestamp']}{more}"
    else:
        others = own.keys() - covered - both.keys() - {"header"}
        hint = f"write {listed(both) if others else f'verify: {as_map(both)}'}{more or known}"
    return Instead(hint, covered=covered)


def _is_signed_with(time: Mapping[str, str], written: Collection[str]) -> bool:
    """Whether a time must be signed: a tolerance alone may be that of a preset."""
    return "timestamp" in written or "header" in time or (bool(time) and bool({"signature", "header"} & {*written}))


def _window(pair: Pair, around: Map) -> Instead | None:
    """``tolerance: 5m`` of the timestamp; None for that of a token, which is in ``jwt``."""
    return None if any(each.key.text == "jwt" for each in around.pairs) else _signature(pair, around)


def _payload(pair: Pair, around: Map) -> Instead:
    """``payload: "{timestamp}.{body}"``, what is signed; or the path of a token."""
    if is_signed(pair):
        return _signature(pair, around)
    path = _text(pair.value)
    return write("token", f"{{payload: {path if _PATH.fullmatch(path) else 'auth.token'}}}")


_PATH: Final = re.compile(r"[A-Za-z_][\w.]{0,40}")


def handshake_token(node: Node) -> str:
    """The token of a handshake as verify has it: the variable of a value, or that of a map with it."""
    inner = (
        next((pair.value for pair in node.pairs if _REFERENCE.fullmatch(_text(pair.value))), node)
        if isinstance(node, Map)
        else node
    )
    found = _REFERENCE.fullmatch(_text(inner))
    return f'handshake_token: "{found[0] if found else "${VERIFY_TOKEN}"}"'


def _text(node: Node) -> str:
    return node.text if isinstance(node, Scalar) else ""


def _of_handshake(pair: Pair, _around: Map) -> Instead:
    return Instead(f"write {handshake_token(pair.value)}", ("handshake_token",))


#: What senders and their documentations call the token of a handshake.
HANDSHAKE_TOKENS: Final = ("verify_token", "challenge_token", "hub_verify_token", "hub.verify_token")
_REFERENCE: Final = re.compile(r"\$\{[A-Za-z_]\w*\}")


_ADDRESSES: Final = Instead(
    "write signature, token, basic, bearer or jwt: an address can be forged and does not prove who sent the event",
    ("signature", "token", "basic", "bearer", "jwt"),
)


@shaped(shape_of(values.boolean))
def _flag(reading: Reading, node: Node, label: str) -> bool | None:
    """A way that has nothing but the secret of the source, which is not written here."""
    if isinstance(node, Scalar) and node.text.lower() in ("true", "false", "yes", "no", "on", "off"):
        return values.boolean(reading, node, label)
    hide_all(reading.report, node)
    reading.error(node, f"{label} must be true or false", "write true, and move the secret to secret of the source")
    return None


def _in_words(text: str) -> str:
    """What to write instead of a way to verify in one word, or of a preset."""
    if text in presets.NAMES:
        return f"write preset: {text}"
    if header := header_in(text):
        return f"write verify: {{signature: {{header: {header}}}}}"
    return f"write verify: {_WAYS.get(folded(text), _DOCUMENTED)}"


_DOCUMENTED: Final = "{signature: {header: x-signature}}, as the sender documents it"
_WAYS: Final = {
    "token": "{token: {header: x-token}}",
    "bearer": "{bearer: true}",
    "basic": "{basic: {user: ...}}",
    "jwt": "{jwt: {jwks: https://..., audience: ...}}",
    "false": "none, if anyone may send events",
    "off": "none, if anyone may send events",
    **{
        word: f"{{signature: {{header: x-signature, algorithm: {algorithm}}}}}"
        for algorithm in ("sha1", "sha256", "sha512")
        for word in (algorithm, f"hmac{algorithm}", *(["hmac", "signature"] if algorithm == "sha256" else []))
    },
}


def _timestamp(pair: Pair, around: Map) -> Instead | None:
    """The time inside of a signature; None for the field of one, which belongs to ``fields``."""
    if pair.key.text == "timestamp" and not isinstance(pair.value, Map) and not header_in(_text(pair.value)):
        return None
    time, covered = time_in(around)
    named = frozenset(each.key.text for each in around.pairs if each.key.text in SIGNED_NAMES and is_signed(each))
    if time.keys() == {"tolerance"}:
        hint = f"write {listed(time)} in timestamp, next to signature"
    else:
        hint = f"write timestamp: {as_map(time)} next to signature"
    if "signed" in as_pairs(around):
        return Instead(hint, covered=covered)
    if named:
        hint += f", and in it signed: {signature_in(around, ())[0]['signed']}"
    elif "header" in time:
        hint += f", and in it what the sender signs: signed: {SIGNED}"
    return Instead(hint, covered=covered | named)


def _signed(pair: Pair, around: Map) -> Instead:
    """``payload: "{timestamp}.{body}"`` inside of a signature, with the time if it is there, too."""
    found = _timestamp(pair, around) if time_in(around)[0] and is_signed(pair) else None
    return found or write("signed")


@dataclass(frozen=True, kw_only=True)
class SignatureKeys(Section):
    noun = "verify.signature"
    instead_of_text = "signature: {header: x-signature}"
    foreign: ClassVar[Mapping[str, Remedy]] = {
        **dict.fromkeys(("hash", "digest", "algo", "alg", "method", "hmac", "type"), "algorithm"),
        **dict.fromkeys(("secret", "key_secret"), _BESIDE),
        **dict.fromkeys(SIGNED_NAMES, _signed),
        **dict.fromkeys((*TIMESTAMPS, *WINDOWS), _timestamp),
    }
    header: Words | None = key(values.header, "the header that holds it: x-signature")
    body: Words | None = key(values.words, "or its path in the payload: signature.signature")
    algorithm: str | None = key(
        values.choice(signatures.ALGORITHMS, "algorithm", advice=algorithm_like), "the digest; sha256 if left out"
    )
    encoding: str | None = key(
        values.choice(ENCODINGS, "encoding", advice=encoding_like), "hex, base64 or base64url; hex if left out"
    )
    signed: Words | None = key(signed, 'what is signed: "{timestamp}.{body}"; the body if left out')
    prefix: Words | None = key(values.words, "the text before each signature: sha256=")
    fields: FieldsKeys | None = key(
        nested(FieldsKeys), "for a header that is a list of name=value: {signature: v1, timestamp: t}"
    )
    divider: Words | None = key(values.words, name="list", about='what separates several signatures in the header: ","')
    form: str | None = key(
        values.choice(KEYS), "how the secret is written: text (the default), base64 or hex", name="key"
    )
    key_prefix: Words | None = key(values.words, "the prefix of the key in the secret: whsec_")
    body_hash: Words | None = key(
        values.words, "the parameter of the signed address with the SHA-256 of a body that is not a form: bodySHA256"
    )
    certificate: CertificateKeys | None = key(
        nested(CertificateKeys), "where a request names the certificate that it is signed with, instead of a secret"
    )
    signed_for: Words | None = key(values.words, "the path in the payload that has to be one of the secrets: TopicArn")
    port: str | None = key(
        values.choice(("optional",)), "optional: the sender may sign its address with or without the port"
    )


@dataclass(frozen=True, kw_only=True)
class TimestampKeys(Section):
    noun = "verify.timestamp"
    instead_of_text = "timestamp: {header: x-timestamp}"
    foreign: ClassVar[Mapping[str, Remedy]] = {
        **dict.fromkeys(WINDOWS[1:], "tolerance"),
        **dict.fromkeys(("format", "type"), "unit"),
        "name": "header",
    }
    header: Words | None = key(values.header, "the header that holds it: x-timestamp")
    payload: Words | None = key(values.words, "or its path in the payload: sent_at")
    field: bool | None = key(values.boolean, "true: it is a field of the signature's header")
    unit: str | None = key(
        values.choice(tuple(signatures.UNITS), "unit"), "s (the default), ms, iso or http (an HTTP date)"
    )
    tolerance: float | None = key(
        values.duration(1, "24h"), "how far it may be from the current time: 5m", name="tolerance"
    )


@dataclass(frozen=True, kw_only=True)
class InHeaderKeys(Section):
    noun = "a header"
    instead_of_text = "id: {header: x-id}"
    header: Words | None = key(values.header, "its name: x-token", required=True)


@dataclass(frozen=True, kw_only=True)
class TokenKeys(Section):
    noun = "verify.token"
    instead_of_text = "token: {header: x-token}"
    foreign: ClassVar[Mapping[str, Remedy]] = {
        **dict.fromkeys(("secret", "value", "token"), _BESIDE),
        "param": "query",
        "parameter": "query",
    }
    header: Words | None = key(values.header, "the header that holds it: x-token")
    query: Words | None = key(values.words, "or the field of the query: key")
    payload: Words | None = key(values.words, "or its path in the payload: auth.token")


@dataclass(frozen=True, kw_only=True)
class UserKeys(Section):
    noun = "verify.basic"
    instead_of_text = "basic: {user: ...}, and move the password to secret of the source"
    foreign: ClassVar[Mapping[str, Remedy]] = {
        **dict.fromkeys(("username", "login", "name"), "user"),
        **dict.fromkeys(("password", "pass", "passwd", "secret"), _BESIDE),
    }
    user: Words | None = key(values.words, "the user name; the secret is the password", required=True)


@dataclass(frozen=True, kw_only=True)
class JwtKeys(Section):
    noun = "verify.jwt"
    instead_of_text = "jwt: {jwks: https://..., audience: ...}"
    jwks: Words | None = key(
        values.words,
        'the address of the sender\'s keys, or the keys: https://auth.example.com/.well-known/jwks.json, "${file:keys.pem}"',
    )
    audience: tuple[Words, ...] | None = key(
        values.some_words, "what the token is for, its aud: a text, or a list of which any will do"
    )
    issuer: tuple[Words, ...] | None = key(values.some_words, "who issues the token, its iss")
    header: Words | None = key(values.header, "the header that holds it; Authorization: Bearer if left out")
    body_hash: Words | None = key(values.words, "the claim with the SHA-256 of the body in base64: request_body_sha256")
    leeway: float | None = key(values.duration(0, "1h"), "by how much two clocks may differ: 1m")


@dataclass(frozen=True, kw_only=True)
class VerifyKeys(Section):
    noun = "verify"
    foreign: ClassVar[Mapping[str, Remedy]] = {
        **dict.fromkeys(IN_VERIFY, _signature),
        **dict.fromkeys(TIMESTAMPS[1:], _signature),
        **dict.fromkeys(WINDOWS, _window),
        **dict.fromkeys(SIGNED_NAMES, _payload),
        **dict.fromkeys(("secret", "key"), _BESIDE),
        **dict.fromkeys((*HANDSHAKE_TOKENS, "handshake"), _of_handshake),
        **dict.fromkeys(("ip", "ips", "allow", "allowlist", "whitelist", "allowed_ips"), _ADDRESSES),
    }
    signature: SignatureKeys | None = key(nested(SignatureKeys), "a signature over the request")
    timestamp: TimestampKeys | None = key(nested(TimestampKeys), "when it was signed; the signature must cover it")
    id: InHeaderKeys | None = key(nested(InHeaderKeys), "the header that {id} stands for")
    aliases: Mapping[str, Words] = key(
        values.map_of(values.header), "other names of the headers: {x-signature: x-old-signature}", factory=dict
    )
    unsigned_body: str | None = key(
        values.choice(("accept",)), "accept: allow a signature that does not cover the body"
    )
    token: TokenKeys | None = key(
        nested(TokenKeys), "the secret itself: {header: x-token}, {query: key} or {payload: auth.token}"
    )
    jwt: JwtKeys | None = key(nested(JwtKeys), "a JSON Web Token that the sender signs with its own key")
    bearer: bool | None = key(_flag, "true: Authorization: Bearer and the secret")
    basic: UserKeys | None = key(nested(UserKeys), "a login with the secret as its password: {user: name}")
    url_secret: bool | None = key(_flag, "true: the secret is the last part of the path: /in/name/secret")
    handshake_token: Secret | None = key(
        _handshake_token, "the token that a handshake presents; the secret if left out"
    )


@shaped({"anyOf": [{"enum": ["none"]}, {"$ref": VerifyKeys}]})
def read_verify(reading: Reading, node: Node, label: str) -> "VerifyKeys | Scalar | None":
    if isinstance(node, Scalar) and node.text == "none":
        return node
    if isinstance(node, Scalar) and not node.empty:
        reading.error(node, f'{label} must be "none" or a map', _in_words(node.text))
        return None
    return read_section(reading, node, VerifyKeys, label)


def as_written(section: Section) -> Mapping[str, object]:
    """The keys as written, as plain values."""
    found: dict[str, object] = {}
    for text, (attribute, _) in keys_of(type(section)).items():
        value = getattr(section, attribute)
        if text not in section.written or value is None or value is False or text == "handshake_token":
            continue
        if isinstance(value, Section):
            found[text] = as_written(value)
        elif text in ("tolerance", "leeway"):
            found[f"{text}_s"] = value
        else:
            found[text] = _plain(value)
    return found


def _plain(value: object) -> object:
    if isinstance(value, Words | Scalar):
        return value.text
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    return {name: _plain(each) for name, each in value.items()} if isinstance(value, dict) else value
