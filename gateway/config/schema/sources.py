"""The keys of a source."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Final

from gateway import presets
from gateway.config.schema import elsewhere, trees, values
from gateway.config.schema.handshakes import HandshakeKeys, read_handshakes
from gateway.config.schema.hours import HoursKeys
from gateway.config.schema.keys import Section, key, keys_of, nested, read_section
from gateway.config.schema.reading import DEMO_SECRET, Reading, Shape, Words, shape_of, shaped
from gateway.config.schema.remedies import Instead, Remedy, write, write_part
from gateway.config.schema.secrets import SECRETS, Written, read_secrets
from gateway.config.schema.signed import (
    IN_SOURCE,
    SIGNED,
    as_map,
    as_shown,
    known_only,
    lacking,
    listed,
    signature_in,
)
from gateway.config.schema.times import GUESS, TIMESTAMPS, TOLERANCES, added, placed, time_in
from gateway.config.schema.trees import Body
from gateway.config.schema.verify import HANDSHAKE_TOKENS, VerifyKeys, handshake_token, read_verify
from gateway.config.text.reader import Broken, Items, Map, Node, Pair, Scalar, hide_all
from gateway.render import TemplateText


@dataclass(frozen=True, slots=True)
class Secrets:
    """The secrets of a source, and whether `dev` made one up."""

    values: tuple[Written, ...]
    is_demo: bool


@shaped(SECRETS)
def _secrets(reading: Reading, node: Node, label: str) -> Secrets | None:
    with reading.stand_in(DEMO_SECRET) as stand_in:
        written = read_secrets(reading, node, label)
    return Secrets(written, stand_in.was_used) if written else None


@shaped({**values.TEXT, "pattern": r"^(?:/[A-Za-z0-9._~-]+)+$|\$\{"})
def _source_path(reading: Reading, node: Node, label: str) -> Words | None:
    return values.words(reading, node, label)


@shaped(values.some(values.TEXT))
def _fields(reading: Reading, node: Node, label: str) -> tuple[Words, ...] | None:
    found = values.one_or_more(values.named)(reading, node, label)
    if found == ():
        reading.error(node, f"{label} is an empty list, which redacts nothing", "name a field: attrs.email")
    return found


_window: Final = values.duration(1, values.LONGEST)


@shaped({"anyOf": [{"enum": ["none"]}, shape_of(_window)]})
def _dedupe(reading: Reading, node: Node, label: str) -> float | None:
    """Seconds; 0 for ``none``."""
    return 0.0 if isinstance(node, Scalar) and node.text == "none" else _window(reading, node, label)


@dataclass(frozen=True, kw_only=True)
class TrackKeys(Section):
    noun = "track"
    per: tuple[Words, ...] | None = key(
        values.words_list,
        "what identifies a record, instead of what the preset says: {payload.object}:{payload.id}; in a list, the first whose "
        "fields are present",
    )
    fields: Words | None = key(values.named, "where its fields are: payload.data; attrs if left out")
    for_s: float | None = key(
        values.duration(60, values.LONGEST),
        "how long a record is remembered after its last event: 180d",
        name="for",
        required=True,
    )


_remembered: Final = values.duration(60, values.LONGEST)


@shaped({"anyOf": [shape_of(_remembered), {"$ref": TrackKeys}]})
def _track(reading: Reading, node: Node, label: str) -> TrackKeys | None:
    """How long, or the keys."""
    if isinstance(node, Map):
        return read_section(reading, node, TrackKeys, label)
    for_s = _remembered(reading, node, label)
    return None if for_s is None else TrackKeys(place=node.place, written={}, for_s=for_s)


@dataclass(frozen=True, kw_only=True)
class RedactKeys(Section):
    noun = "redact"
    paths: tuple[Words, ...] = key(_fields, "the fields: [attrs.email, headers.x-user]", default=(), required=True)
    store: bool = key(
        values.boolean,
        "true: also remove them from the stored body once no delivery of the event is pending or dead",
        default=False,
    )


@shaped({"anyOf": [*values.some(values.TEXT)["anyOf"], {"$ref": RedactKeys}]})
def _redact(reading: Reading, node: Node, label: str) -> RedactKeys | None:
    """A list of fields, or the keys."""
    if isinstance(node, Map):
        return read_section(reading, node, RedactKeys, label)
    found = _fields(reading, node, label)
    return None if found is None else RedactKeys(place=node.place, written={}, paths=found)


#: The contents of a reply; it has at most one of them.
REPLIES: Final = ("json", "text", "xml", "template")


@dataclass(frozen=True, kw_only=True)
class ReplyKeys(Section):
    noun = "reply"
    together: ClassVar[Shape] = {
        "minProperties": 1,
        "dependentSchemas": {
            each: {"properties": dict.fromkeys((other for other in REPLIES if other != each), False)}
            for each in REPLIES
        },
    }
    status: int | None = key(values.integer(200, 299), "the status: 200; the preset's or 202 if left out")
    json: Body | None = key(trees.body, "JSON, with {{ }} in its texts: {ok: true}")
    text: TemplateText | None = key(trees.template, 'a text with {{ }}; "" answers without a body')
    xml: TemplateText | None = key(trees.template, "XML with {{ }}: <Response/>")
    template: Words | None = key(values.named, "a file in templates/: replies/alexa.json.j2")


@dataclass(frozen=True, kw_only=True)
class SilenceKeys(Section):
    noun = "silence"
    after: float | None = key(
        values.duration(60, values.LONGEST),
        "how long the source may send nothing: 1h; with hours, only time within them counts",
        required=True,
    )
    match: tuple[Words, ...] | None = key(
        values.some_words, "the types that count: contact.*, or a list; every event if left out"
    )
    hours: HoursKeys | None = key(
        nested(HoursKeys), "the time that counts: {days: mon-fri, from: 09:00, to: 18:00, zone: Europe/Berlin}"
    )


@dataclass(frozen=True, kw_only=True)
class FollowUpKeys(Section):
    noun = "an element of follow_up"
    after: tuple[Words, ...] | None = key(
        values.some_words, "the type of event that starts the wait: pull_request.opened, or a list", required=True
    )
    want: tuple[Words, ...] | None = key(
        values.some_words, "the type of event that ends it: pull_request_review.submitted, or a list", required=True
    )
    per: Words | None = key(values.words, "what both are about: {payload.pull_request.id}", required=True)
    within: float | None = key(values.duration(1, "90d"), "how long it may take: 2h", required=True)


@shaped({"type": "array", "items": {"$ref": FollowUpKeys}, "minItems": 1})
def _follow_ups(reading: Reading, node: Node, label: str) -> tuple[FollowUpKeys, ...] | None:
    if not isinstance(node, Items) or not node.nodes:
        if not isinstance(node, Broken):
            hint = "write - {after: ..., want: ..., per: ..., within: 2h}"
            reading.error(node, f"{label} must be a list of what is expected", hint)
        return None
    found = (
        read_section(reading, each, FollowUpKeys, f"element {at} of {label}")
        for at, each in enumerate(node.nodes, start=1)
    )
    return tuple(each for each in found if each is not None)


def _verified(_pair: Pair, around: Map) -> Instead:
    """``hmac: sha256``, ``signature: X-Signature``, ``timestamp: X-Timestamp``: parts of ``verify``."""
    parts, covered = signature_in(around, keys_of(SourceKeys))
    time, times = time_in(around, keys_of(SourceKeys), TOLERANCES)
    more = known_only(parts)
    if time and "signed" not in parts and not any(each.key.text in ("preset", "verify") for each in around.pairs):
        parts = {"header": "x-signature", **parts, "signed": SIGNED}
        more = ", with signed as the sender documents it"
    signature = _in_verify(around, "signature")
    if time and isinstance(timestamp := _in_verify(around, "timestamp"), Map):
        return Instead(f"{added(time, timestamp)} of verify", covered=covered | times)
    if isinstance(signature, Map) and not time:
        lacked = listed(lacking(parts, signature))
        hint = f"add {lacked} to signature of verify" if lacked else "remove it: verify says the same"
        return Instead(hint, covered=covered)
    found = {"signature": as_map(parts)} if parts and signature is None else {}
    if time:
        time, is_guessed = placed(time, {**as_shown(signature), **parts})
        found["timestamp"] = as_map(time)
        more = more or (GUESS if is_guessed else "")
    return write_part("verify", as_map(found), covered | times, more)


def _tolerance(pair: Pair, around: Map) -> Instead | None:
    """``tolerance: 5m`` of a timestamp; None where the source has none."""
    own = keys_of(SourceKeys)
    is_signed = signature_in(around, own)[0] or "header" in time_in(around, own)[0] or _in_verify(around, "signature")
    preset = next((_named(each) for each in around.pairs if each.key.text == "preset"), "")
    blocks = presets.load(preset).verify if preset else ()
    return _verified(pair, around) if is_signed or any("timestamp" in each for each in blocks) else None


def _preset(pair: Pair, _around: Map) -> Instead | None:
    """``kind: github``."""
    named = presets.spelled(pair.value.text) if isinstance(pair.value, Scalar) else ""
    return write("preset", named) if named else None


def _path(pair: Pair, _around: Map) -> Instead:
    """``endpoint: /hooks/crm``."""
    text = pair.value.text if isinstance(pair.value, Scalar) else ""
    return write("path", text if _PATH.fullmatch(text) else "/in/name")


_PATH: Final = re.compile(r"(?:/[A-Za-z0-9._~-]+)+")


def _in_verify(around: Map, name: str) -> Node | None:
    """What a source has under a key of its ``verify``."""
    verify = next((pair.value for pair in around.pairs if pair.key.text == "verify"), None)
    pairs = verify.pairs if isinstance(verify, Map) else ()
    return next((pair.value for pair in pairs if pair.key.text == name), None)


def _handshake_token(pair: Pair, _around: Map) -> Instead:
    return write_part("verify", f"{{{handshake_token(pair.value)}}}")


@dataclass(frozen=True, kw_only=True)
class SourceKeys(Section):
    noun = "a source"
    foreign: ClassVar[Mapping[str, Remedy]] = {
        **dict.fromkeys(("provider", "sender", "service", "vendor"), "preset"),
        **dict.fromkeys(("kind", "name", "from", "platform", "app", "integration", "uses"), _preset),
        **dict.fromkeys(("secrets", "signing_key", "webhook_secret"), "secret"),
        **dict.fromkeys((*HANDSHAKE_TOKENS, "handshake_token"), _handshake_token),
        **dict.fromkeys((*IN_SOURCE, *TIMESTAMPS), _verified),
        **dict.fromkeys(TOLERANCES, _tolerance),
        **dict.fromkeys(("event", "event_type", "event_key"), write("type", '"{payload.type}"')),
        **dict.fromkeys(("endpoint", "route", "address"), _path),
        **dict.fromkeys(("events", "event_types", "topics", "match"), elsewhere.match_of_entry),
    }
    preset: str | None = key(
        values.preset("write verify: and type:"),
        "a known sender (xobito, github, stripe ...), which says how events are verified and named; gateway sources lists all",
    )
    verify: "VerifyKeys | Scalar | None" = key(
        read_verify,
        "how its requests are verified, replacing the preset's way or single settings of it; none accepts anything",
    )
    secret: Secrets | None = key(
        _secrets,
        "what the sender signs with: one secret, or a list of which any is accepted, each with an optional until",
    )
    public_url: Words | None = key(values.words, "its address as the sender knows it, for senders that sign it")
    methods: tuple[str, ...] | None = key(
        values.one_or_more(values.choice(("POST", "GET", "PUT", "PATCH", "DELETE"), "method")),
        "the methods of its requests: [GET, PUT]; POST if left out",
    )
    handshake: tuple[HandshakeKeys, ...] | None = key(
        read_handshakes,
        "what the sender asks before it sends events, instead of the preset's: [{probe: {method: HEAD}}]",
    )
    path: Words | None = key(_source_path, "the path that the sender posts to; /in/<name> if left out")
    max_body: int = key(values.size(1, "64MiB"), "the largest body accepted: 1MiB", default=1024 * 1024)
    type: tuple[Words, ...] | None = key(
        values.words_list,
        "what names an event: {payload.type} or {headers.x-event}; in a list, the first whose fields are present",
    )
    id: tuple[Words, ...] | None = key(
        values.words_list,
        "what identifies an event, if the sender signs it: {payload.id}; else what is signed identifies it",
    )
    reply: ReplyKeys | None = key(
        nested(ReplyKeys), "the answer to the sender, made from the event after it is stored: {json: {ok: true}}"
    )
    ping: str | None = key(
        values.choice(("accept",)),
        "accept: answer the unsigned request with which the preset's sender only checks the address",
    )
    dedupe: float | None = key(
        _dedupe,
        "how long an event that comes again is the same event: 10m; none: every request is an event; 30d if left out",
        usual="30d",
    )
    redeliver: str | None = key(
        values.choice(("replay",)),
        "replay: an event that its sender sends again is not delivered twice, but its dead deliveries are replayed",
    )
    split: tuple[Words, ...] | None = key(
        values.words_list,
        "where the events are in a body that holds several: payload.events.*; none: one event, with the exact request",
    )
    shortcuts: Mapping[str, tuple[Words, ...]] = key(
        values.map_of(values.one_or_more(values.named)),
        "short names for parts of the payload: {attrs: payload.data}; in a list, the first that is present",
        factory=dict,
    )
    samples: Words | None = key(
        values.words,
        "a folder with sample events of your own, relative to this file: NAME.json, .form, .xml or .txt, or NAME.request.json "
        "with headers, as gateway sign --json prints it",
    )
    summary: TemplateText | None = key(
        trees.template,
        "what an event is about, for lists of events: {{ attrs.firstname }} · {{ attrs.type }}; the preset's if left out",
    )
    track: TrackKeys | None = key(
        _track,
        "how long to remember the last known fields of each record: 180d; then routes know what changed: before, changes, "
        'record; or {per: "{payload.type}:{payload.id}", fields: attrs, for: 180d}',
    )
    silence: SilenceKeys | None = key(
        nested(SilenceKeys),
        "raise gateway.source.silent when it sends nothing for too long: {after: 1h, match: contact.*}",
    )
    follow_up: tuple[FollowUpKeys, ...] | None = key(
        _follow_ups,
        "raise gateway.source.missing when an event is not followed by another one in time: [{after, want, per, within}]",
    )
    schema: Words | None = key(
        values.words,
        "a JSON Schema of its events' payloads, a file relative to this one: what does not fit goes to the section invalid",
    )
    redact: RedactKeys | None = key(
        _redact,
        "fields to hide from people, with * for any segment: [attrs.email, payload.items.*.name]; or {paths: [attrs.email], store: true}",
    )


@shaped({"$ref": SourceKeys})
def read_source(reading: Reading, node: Node, label: str) -> SourceKeys | None:
    """A source; a token that only the preset's handshake asks for must not replace the preset's signature."""
    return read_section(reading, _without_token(reading, node, label), SourceKeys, label)


def _without_token(reading: Reading, node: Node, label: str) -> Node:
    """Report ``verify: {token: ${VERIFY_TOKEN}}`` where the preset's handshake asks for a token, and leave it out."""
    written = {pair.key.text: pair for pair in node.pairs} if isinstance(node, Map) else {}
    preset, verify = written.get("preset"), written.get("verify")
    if not isinstance(node, Map) or verify is None or not isinstance(verify.value, Map):
        return node
    token = next((pair for pair in verify.value.pairs if pair.key.text == "token"), None)
    if token is None or not isinstance(token.value, Scalar) or not _asks_for_token(preset):
        return node
    hide_all(reading.report, token.value)
    message = f'"token" of "verify" of {label} would replace the signature'
    reading.error(token.value, message, f"write {handshake_token(token.value)}")
    rest = tuple(pair for pair in verify.value.pairs if pair is not token)
    without = Pair(verify.key, Map(verify.value.place, rest))
    return Map(node.place, tuple(without if pair is verify else pair for pair in node.pairs))


def _asks_for_token(preset: Pair | None) -> bool:
    named = _named(preset) if preset else ""
    return bool(named) and any(each.token for each in presets.load(named).handshakes)


def _named(preset: Pair) -> str:
    """The preset of that name; empty if there is none."""
    text = preset.value.text if isinstance(preset.value, Scalar) else ""
    return text if text in presets.NAMES else ""
