"""The keys of ``handshake``: the questions that a sender asks before it sends events."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from gateway.config.schema import trees, values
from gateway.config.schema.foreign import shown
from gateway.config.schema.keys import Section, key, keys_of, nested, read_section
from gateway.config.schema.reading import Reading, Shape, Words, shaped
from gateway.config.schema.verify import VerifyKeys, handshake_token, read_verify
from gateway.config.text.reader import Items, Map, Node, Scalar, hide_all
from gateway.signatures.handshakes import METHODS

_METHOD = values.choice(METHODS, "method")


@shaped({"type": "object"})
def _values(reading: Reading, node: Node, label: str) -> Mapping[str, object] | None:
    """Plain values by path."""
    found = trees.plain(reading, node, label)
    if not isinstance(found, Mapping):
        values.expect_map(reading, node, label, "payload.type: url_verification")
        return None
    return found


@shaped({"anyOf": [{"enum": ["text", "none"]}, {"type": ["object", "array"]}]})
def _answer(reading: Reading, node: Node, label: str) -> object:
    found = trees.plain(reading, node, label)
    if not isinstance(found, dict | list) and found not in ("text", "none"):
        hint = 'write text, none, or JSON: {challenge: "{challenge}"}'
        reading.error(node, f"{label} is not an answer", hint)
        return None
    return found


@dataclass(frozen=True, kw_only=True)
class ProbeKeys(Section):
    noun = "handshake.probe"
    method: str | None = key(_METHOD, "its method; HEAD if left out")
    when: Mapping[str, object] | None = key(_values, "what distinguishes it from other requests: {query.test: ping}")
    token: Words | None = key(values.words, "where it shows the handshake token: query.token")
    verify: "VerifyKeys | Scalar | None" = key(read_verify, "how it is verified, as under verify of a source")


@dataclass(frozen=True, kw_only=True)
class EchoKeys(Section):
    noun = "handshake.echo"
    method: str | None = key(_METHOD, "its method; GET if left out, POST for json_echo")
    when: Mapping[str, object] | None = key(_values, "what distinguishes it from other requests: {hub.mode: subscribe}")
    token: Words | None = key(values.words, "where it shows the handshake token: hub.verify_token")
    verify: "VerifyKeys | Scalar | None" = key(
        read_verify, "how it is verified, as under verify of a source; none answers anyone, as plain text"
    )
    challenge: Words | None = key(
        values.words, "where the challenge is: hub.challenge, x-hook-challenge, payload.challenge", required=True
    )
    answer: object = key(_answer, 'text (the challenge as it came), none, or JSON: {challenge: "{challenge}"}')
    headers: Mapping[str, Words] | None = key(
        values.map_of(values.words), 'headers of the answer: {x-hook-secret: "{challenge}"}'
    )
    becomes: str | None = key(
        values.choice(("secret",)),
        "secret: the challenge becomes a secret of the source, if somebody has run gateway handshake within ten minutes",
    )


@dataclass(frozen=True, kw_only=True)
class HmacKeys(Section):
    noun = "handshake.hmac_reply"
    method: str | None = key(_METHOD, "its method; POST if left out")
    when: Mapping[str, object] | None = key(
        _values, "what distinguishes it from events: {payload.event: url_validation}"
    )
    token: Words | None = key(values.words, "where it shows the handshake token: query.token")
    verify: "VerifyKeys | Scalar | None" = key(read_verify, "how it is verified; as an event if left out")
    of: Words | None = key(values.words, "where the value to sign is: payload.plainToken", required=True)
    answer: object = key(
        _answer,
        'JSON with the digest: {plainToken: "{of}", encryptedToken: "{hmac:hex}"}; or {hmac:base64}',
        required=True,
    )
    headers: Mapping[str, Words] | None = key(values.map_of(values.words), "headers of the answer")


@dataclass(frozen=True, kw_only=True)
class ConstantKeys(Section):
    noun = "handshake.constant"
    method: str | None = key(_METHOD, "its method; POST if left out")
    when: Mapping[str, object] | None = key(_values, "what distinguishes it from events: {payload.type: 1}")
    token: Words | None = key(values.words, "where it shows the handshake token: query.token")
    verify: "VerifyKeys | Scalar | None" = key(read_verify, "how it is verified; as an event if left out")
    answer: object = key(_answer, "the answer: {type: 1}")
    headers: Mapping[str, Words] | None = key(values.map_of(values.words), "headers of the answer")


@dataclass(frozen=True, kw_only=True)
class HandshakeKeys(Section):
    """One question: exactly one of its keys."""

    noun = "handshake"
    together: ClassVar[Shape] = {"minProperties": 1, "maxProperties": 1}
    probe: ProbeKeys | None = key(nested(ProbeKeys), "a request that only needs a 200: {method: HEAD}")
    query_echo: EchoKeys | None = key(
        nested(EchoKeys), "the answer is a field of the query: {challenge: hub.challenge}"
    )
    header_echo: EchoKeys | None = key(nested(EchoKeys), "the answer is a header: {challenge: x-hook-challenge}")
    json_echo: EchoKeys | None = key(nested(EchoKeys), "the answer is in the payload: {challenge: payload.challenge}")
    hmac_reply: HmacKeys | None = key(nested(HmacKeys), "the answer is a value and its signature with the secret")
    constant: ConstantKeys | None = key(nested(ConstantKeys), "the answer is always the same")


@shaped({"type": "array", "items": {"$ref": HandshakeKeys}})
def read_handshakes(reading: Reading, node: Node, label: str) -> tuple[HandshakeKeys, ...] | None:
    if not isinstance(node, Items):
        reading.error(node, f"{label} must be a list", f"write {_as_list(reading, node)}")
        return None
    found = [read_section(reading, each, HandshakeKeys, f"an element of {label}") for each in node.nodes]
    return tuple(each for each in found if each is not None)


def _as_list(reading: Reading, node: Node) -> str:
    """One question without its list, or the token that the preset's question asks for."""
    pairs = node.pairs if isinstance(node, Map) else ()
    if pairs and all(pair.key.text in keys_of(HandshakeKeys) for pair in pairs):
        return f"handshake: [{', '.join(shown(Map(node.place, (pair,))) for pair in pairs)}]"
    if any("token" in pair.key.text for pair in pairs) or (isinstance(node, Scalar) and "${" in node.text):
        for each in (pair.value for pair in pairs) if pairs else (node,):
            hide_all(reading.report, each)
        return f"verify: {{{handshake_token(node)}}}"
    return "handshake: [{query_echo: {challenge: hub.challenge}}]"
