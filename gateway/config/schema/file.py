"""The declarations: every key of routes.yaml, where it belongs, how its value is read, what it is for.

One class for each place. To add a key: one field. The loader walks the fields; nothing else knows the keys.
"""

# ruff: noqa: RUF009 - key() makes a dataclasses.field(), which is what belongs there

import dataclasses
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final, TypeVar

from gateway import presets, signatures
from gateway.config.schema import conditions, values
from gateway.config.schema.conditions import Where
from gateway.config.schema.values import (
    DEMO_SECRET,
    DEMO_TEXT,
    NAME_RULE,
    Body,
    Parser,
    Reading,
    Shape,
    Unfit,
    Words,
    shape_of,
    shaped,
)
from gateway.config.text.reader import Broken, Items, Map, Node, Pair, Scalar
from gateway.destinations import KINDS, Option
from gateway.destinations.gates import RATE
from gateway.destinations.retry import ONCE, Policy, listed
from gateway.errors import Place
from gateway.event.match import Check, Clause, Combined, Condition
from gateway.event.paths import split_path
from gateway.hiding.addresses import SHORTEST_SEGMENT, after_host
from gateway.model import Secret
from gateway.render import TemplateText
from gateway.routing.cases import Plain
from gateway.signatures.declared import ENCODINGS, KEYS
from gateway.wording import suggest, suggest_or_list

METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
#: For which anything can be kept or remembered.
LONGEST: Final = "3660d"


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """How one key is read."""

    parse: Parser[Any]
    #: One line for people.
    about: str
    required: bool = False
    #: As it is written, when Python keeps the word for itself.
    name: str = ""
    #: The types of destination that have it; none named: every type.
    types: tuple[str, ...] = ()


def key(
    parse: Parser[Any],
    about: str,
    *,
    default: object = None,
    factory: Callable[[], object] | None = None,
    required: bool = False,
    name: str = "",
    types: tuple[str, ...] = (),
) -> Any:
    """The declaration of one key, as the default of its field."""
    metadata = {"key": Key(parse=parse, about=about, required=required, name=name, types=types)}
    return field(default_factory=factory, metadata=metadata) if factory else field(default=default, metadata=metadata)


@dataclass(frozen=True, kw_only=True)
class Section:
    """A map of the file whose keys are declared by its fields."""

    #: How problems call such a place: ``a route``.
    noun: ClassVar[str] = ""
    #: Which of its keys go together, in the words of JSON Schema.
    together: ClassVar[Shape] = {}
    #: Where it begins.
    place: Place
    #: What was written, by key.
    written: Mapping[str, Pair]
    #: Keys that no field declares, with the types of destination that have them.
    options_known: ClassVar[Mapping[str, Key]] = {}
    #: What was written under those.
    options: Mapping[str, TemplateText] = dataclasses.field(default_factory=dict)

    def at(self, key: str) -> Place:
        """Where the value of a key stands; the section itself when it was not written."""
        return self.written[key].value.place if key in self.written else self.place

    def key_at(self, key: str) -> Place:
        """Where the key itself stands."""
        return self.written[key].key.place if key in self.written else self.place

    def name_at(self, key: str, name: str) -> Place:
        """Where a name stands in the map that is the value of a key."""
        value = self.written[key].value if key in self.written else None
        pairs = value.pairs if isinstance(value, Map) else ()
        return next((pair.key.place for pair in pairs if pair.key.text == name), self.at(key))


S = TypeVar("S", bound=Section)
T = TypeVar("T")


def keys_of(section: type[Section]) -> Mapping[str, tuple[str, Key]]:
    """Its keys as written: the name of the field, and its declaration."""
    fields = ((each.name, each.metadata.get("key")) for each in dataclasses.fields(section))
    declared = {key.name or name: (name, key) for name, key in fields if key is not None}
    return declared | {text: ("options", key) for text, key in section.options_known.items()}


def read_section(reading: Reading, node: Node, section: type[S], label: str) -> S | None:
    """Walk a map by its declarations; None if it is no map. What cannot be read keeps its default."""
    if not isinstance(node, Map):
        values.expect_map(reading, node, label or "the file")
        return None
    keys = keys_of(section)
    written = {pair.key.text: pair for pair in node.pairs}
    for pair in node.pairs:
        if pair.key.text not in keys and not _is_free(section, pair.key.text):
            _report_unknown(reading, pair.key, section, label)
    for missing in (text for text, (_, declared) in keys.items() if declared.required and text not in written):
        reading.error(node, f'{label or "the file"} has no "{missing}"', keys[missing][1].about)
    read = {
        text: keys[text][1].parse(reading, pair.value, f'"{text}" of {label}' if label else f'"{text}"')
        for text, pair in written.items()
        if text in keys
    }
    kept = {keys[text][0]: value for text, value in read.items() if value is not None}
    kept["options"] = {text: value for text, value in read.items() if text in section.options_known and value}
    return section(place=node.place, written=written, **kept)


def _is_nothing(node: Node) -> bool:
    """Whether a section was left empty, or is null."""
    return isinstance(node, Scalar) and node.value is None


def _is_free(section: type[Section], text: str) -> bool:
    return issubclass(section, IncludedKeys) and text.startswith("x-")


#: What other languages and habits write, and what is meant.
_FOREIGN: Final[Mapping[str, str]] = {
    **dict.fromkeys(("on", "event", "events", "when"), "match"),
    **dict.fromkeys(("filter", "filters", "conditions"), "where"),
    **dict.fromkeys(("destination", "destinations", "receiver", "send_to", "target", "targets"), "to"),
    **dict.fromkeys(("message", "msg"), "text"),
    **dict.fromkeys(("data", "payload", "content"), "body"),
    **dict.fromkeys(("uri", "endpoint", "address", "webhook_url"), "url"),
    **dict.fromkeys(("token", "key", "signing_secret"), "secret"),
}


def _report_unknown(reading: Reading, key: Scalar, section: type[Section], label: str) -> None:
    elsewhere = next((other.noun for other in _PLACES if key.text in keys_of(other)), None)
    if key.text in _FOREIGN and _FOREIGN[key.text] in keys_of(section):
        reading.error(key, f'unknown key "{key.text}" in {label}', f"write {_FOREIGN[key.text]}")
        return
    if elsewhere is not None:
        reading.error(key, f'"{key.text}" belongs to {elsewhere}, not to {section.noun}', "move it there")
        return
    where = f" in {label}" if label else ""
    reading.error(key, f'unknown key "{key.text}"{where}', suggest_or_list(key.text, keys_of(section)))


def nested(section: type[S]) -> Parser[S]:
    """A map with declared keys as the value of a key."""

    @shaped({"$ref": section})
    def parse(reading: Reading, node: Node, label: str) -> S | None:
        return read_section(reading, node, section, label)

    return parse


# --- destinations ---


def _range(written: Words, label: str) -> tuple[int, int]:
    text = written.text
    if re.fullmatch("[3-5](?:[0-9]{2}|xx)", text) is None:
        hint = (
            "what counts as taken is said by success" if text.startswith("2") else "write 404, or 5xx for all of them"
        )
        raise Unfit(f'{label}: "{written.shown}" is no status from 300 to 599', hint)
    low = int(text.replace("x", "0"))
    return low, low + (100 if "x" in text else 1)


_ranges = values.one_or_more(
    values.typed(_range, {**values.spelled("status", "[3-5](?:[0-9]{2}|xx)"), "minimum": 300, "maximum": 599})
)


def _share(written: Words, label: str) -> float:
    text = written.text
    if re.fullmatch(r"[0-9]{1,3}%", text) is None or int(text[:-1]) > 100:
        raise Unfit(f'{label}: "{written.shown}" is no share of the wait', "write a percentage from 0% to 100%: 20%")
    return int(text[:-1]) / 100


@dataclass(frozen=True, kw_only=True)
class RetryKeys(Section):
    noun = "retry"
    for_s: float = key(
        values.duration(0, LONGEST), "how long a delivery is tried again: 24h", default=86400.0, name="for"
    )
    first_s: float = key(
        values.duration(0.1, "24h"), "the first wait; each one after it is twice as long: 1s", default=1.0, name="first"
    )
    max_s: float = key(values.duration(0.1, "24h"), "the longest wait: 1h", default=3600.0, name="max")
    attempts: int | None = key(values.integer(1, 1000), "the most attempts, the first one included: 10")
    jitter: float = key(
        values.typed(
            _share, {"title": "percentage", "type": "string", "pattern": r"^(?:100|[0-9]{1,2}|0[0-9]{2})%$|\$\{"}
        ),
        "how far each wait is spread, both ways: 20%",
        default=0.2,
    )
    statuses: tuple[tuple[int, int], ...] | None = key(
        _ranges, "answers that are tried again, whatever they mean otherwise: 404, or [409, 5xx]"
    )
    never: tuple[tuple[int, int], ...] | None = key(
        _ranges, "answers that are final: 501, or [501, 505]; before statuses"
    )
    max_age: float | None = key(
        values.duration(1, LONGEST), "how old an event may be when it is tried again, by the clock: 2h"
    )


_delays = values.one_or_more(values.duration(0.1, "24h"))


@shaped(
    {
        "anyOf": [
            {"enum": ["none"]},
            {"$ref": RetryKeys},
            {"type": "array", "items": shape_of(values.duration(0.1, "24h")), "minItems": 1, "maxItems": 1000},
        ]
    }
)
def _retry(reading: Reading, node: Node, label: str) -> "RetryKeys | Policy | None":
    """The keys; a list of every wait; or ``none``."""
    if isinstance(node, Scalar) and node.text == "none":
        return ONCE
    if isinstance(node, Map):
        return read_section(reading, node, RetryKeys, label)
    if not isinstance(node, Items):
        reading.error(node, f"{label} is no schedule", "write {for: 24h}, a list of waits as [1s, 10s, 1m], or none")
        return None
    delays = _delays(reading, node, label)
    if delays is None:
        return None
    if not 1 <= len(delays) <= 1000:
        message = f"{label} is a list of {len(delays)} waits"
        reading.error(node, message, "from 1 to 1000 waits; `none` for a single attempt")
        return None
    return listed(delays)


@dataclass(frozen=True, kw_only=True)
class BasicKeys(Section):
    noun = "auth.basic"
    user: Words | None = key(values.words, "the user's name", required=True)
    password: Secret | None = key(values.secret, "the password", required=True)


@dataclass(frozen=True, kw_only=True)
class HeaderKeys(Section):
    noun = "auth.header"
    name: Words | None = key(values.words, "the header's name: x-api-key", required=True)
    value: Secret | None = key(values.secret, "the header's value", required=True)


@dataclass(frozen=True, kw_only=True)
class AuthKeys(Section):
    noun = "auth"
    together: ClassVar[Shape] = {"minProperties": 1, "maxProperties": 1}
    bearer: Secret | None = key(values.secret, 'a token: auth: {bearer: "${CRM_TOKEN}"}')
    basic: BasicKeys | None = key(nested(BasicKeys), 'a login: auth: {basic: {user: me, password: "${PASSWORD}"}}')
    header: HeaderKeys | None = key(
        nested(HeaderKeys), 'any other header: auth: {header: {name: x-api-key, value: "${KEY}"}}'
    )


def _one_status(written: Words, label: str) -> Condition:
    if re.fullmatch("[2-5]xx", written.text):
        lowest = int(written.text[0]) * 100
        bounds = (("gte", lowest), ("lt", lowest + 100))
        return Combined(how="all", conditions=tuple(Check(path=(), operator=op, operands=(at,)) for op, at in bounds))
    if re.fullmatch("[2-5][0-9]{2}", written.text):
        return Clause(path=(), values=(int(written.text),))
    raise Unfit(f'{label}: "{written.shown}" is not a status', "write 2xx, 422, or a list of them")


_STATUS: Final = {**values.spelled("status", "[2-5](?:[0-9]{2}|xx)"), "minimum": 200, "maximum": 599}
_some_statuses: Final[Parser[tuple[Condition, ...]]] = values.one_or_more(values.typed(_one_status, _STATUS))


@shaped({**shape_of(_some_statuses), "minItems": 1})
def _statuses(reading: Reading, node: Node, label: str) -> Condition | None:
    """``2xx``, ``422``, or a list of them."""
    found = _some_statuses(reading, node, label)
    if found == ():
        reading.error(node, f"{label} is an empty list, which no answer meets", "write status: 2xx")
    return Combined(how="any", conditions=found) if found else None


@shaped(conditions.FIELD)
def _answer_text(reading: Reading, node: Node, label: str) -> tuple[Condition, ...] | None:  # noqa: ARG001 - a parser's
    return conditions.of_value(reading, "text", node, ())


@dataclass(frozen=True, kw_only=True)
class SuccessKeys(Section):
    """One rule about an answer: every line of it must hold."""

    noun = "success"
    status: Condition | None = key(_statuses, "its status: 2xx, 422 or a list; 2xx if left out")
    json: Where | None = key(conditions.where, "fields of its JSON, as in where: {ok: true}")
    text: tuple[Condition, ...] | None = key(
        _answer_text, 'its body as a text: {contains: "already been taken"}, or the whole of it'
    )


@shaped(
    {
        "anyOf": [
            {"$ref": SuccessKeys, "minProperties": 1},
            {"type": "array", "items": {"$ref": SuccessKeys, "minProperties": 1}, "minItems": 1},
        ]
    }
)
def _success(reading: Reading, node: Node, label: str) -> tuple[SuccessKeys, ...] | None:
    """One rule, or a list of which any must hold."""
    nodes = node.nodes if isinstance(node, Items) else (node,)
    if not nodes:
        reading.error(node, f"{label} is an empty list, which no answer meets", "write {status: 2xx}")
    rules = [read_section(reading, each, SuccessKeys, label) for each in nodes]
    for each, rule in zip(nodes, rules, strict=True):
        if rule is not None and not rule.written:
            reading.error(
                each, f"{label} says nothing about the answer", "write {status: 2xx}, {json: {ok: true}} or text"
            )
    return tuple(rule for rule in rules if rule is not None) or None


def _types_with(name: str) -> tuple[str, ...]:
    """The types of destination that have a key which not all of them have."""
    return tuple(kind.name for kind in KINDS.values() if name in kind.keys)


@dataclass(frozen=True, kw_only=True)
class TlsKeys(Section):
    noun = "tls"
    ca: Words | None = key(
        values.words,
        "a file of PEM certificates, trusted in place of the system's; seen from the folder of routes.yaml: crm-ca.pem",
        required=True,
    )


@dataclass(frozen=True, kw_only=True)
class DefaultsKeys(Section):
    """Each key stands for the one that a destination does not write; a destination's own replaces it whole."""

    noun = "defaults"
    timeout: float | None = key(values.duration(0.1, "1h"), "how long one attempt may take: 10s")
    retry: RetryKeys | Policy | None = key(
        _retry,
        "when a failed delivery is tried again: {for: 24h, first: 1s, max: 1h}, a list of waits as [1s, 10s, 1m], or none",
    )
    concurrency: int | None = key(values.integer(1, 1024), "how many deliveries may be on their way at once: 32")
    success: tuple[SuccessKeys, ...] | None = key(
        _success,
        "which answers count as taken, a rule or a list of which any must hold: {json: {ok: true}}; of defaults for "
        "type http alone, for the others know their own",
        types=_types_with("url"),
    )


def _options() -> Mapping[str, Key]:
    """The keys that the types of destination bring with them."""
    found: dict[str, tuple[Option, list[str]]] = {}
    for kind in KINDS.values():
        for name, option in kind.options.items():
            found.setdefault(name, (option, []))[1].append(kind.name)
    return {
        name: Key(parse=values.template, about=option.about, types=tuple(types))
        for name, (option, types) in found.items()
    }


def _hint_path(written: Words, label: str) -> tuple[str, ...]:
    where, _, path = written.text.partition(":")
    if where != "json" or not path or "" in split_path(path):
        raise Unfit(f'{label}: "{written.shown}" says nothing about where', "write json: and a path: json:retry_after")
    return split_path(path)


def _rate(written: Words, label: str) -> str:
    if RATE.fullmatch(written.text) is None:
        raise Unfit(f'{label}: "{written.shown}" is no rate', "write 10/s, 60/min, 100/h or none")
    return written.text


@dataclass(frozen=True, kw_only=True)
class DestinationKeys(DefaultsKeys):
    noun = "a destination"
    options_known = _options()
    type: str = key(values.choice(KINDS, values.named), f"{', '.join(KINDS)}; http if left out", default="http")
    url: Words | None = key(values.words, "where it is: https://crm.example.com/api", types=_types_with("url"))
    method: str | None = key(
        values.choice(METHODS), "POST unless it is written here or in the route", types=_types_with("method")
    )
    headers: Mapping[str, Words] = key(
        values.map_of(values.words),
        "sent with every request; a route's headers go on top",
        factory=dict,
        types=_types_with("headers"),
    )
    auth: AuthKeys | None = key(
        nested(AuthKeys),
        "how to log in: bearer, basic or header; a route cannot change it",
        types=_types_with("auth"),
    )
    retry_after: tuple[str, ...] | None = key(
        values.typed(_hint_path, {"title": "text", "type": "string", "pattern": r"^json:.|\$\{"}),
        "where the JSON of an answer says how many seconds to wait: json:retry_after",
        types=_types_with("url"),
    )
    rate: str | None = key(
        values.typed(_rate, {**values.spelled("rate", RATE.pattern), "type": "string"}),
        "the most deliveries that start in a time, evenly: 10/s, 60/min, 100/h or none; hosted services have their own",
    )
    order_by: Words | None = key(
        values.words, "events with the same value of this field go one after the other, as they came: attrs.id"
    )
    paused: bool = key(
        values.boolean, "true: its deliveries are held; nothing is lost, and retry.for stands still", default=False
    )
    public: bool | None = key(
        values.boolean,
        "whether its name may stand for public addresses only; true for hosted services, false for http",
        types=_types_with("url"),
    )
    tls: TlsKeys | None = key(
        nested(TlsKeys),
        "whom to trust in place of the system's certificates: {ca: crm-ca.pem}",
        types=_types_with("url"),
    )
    path: Words | None = key(
        values.words,
        "the file that gets one JSON line for each delivery, below the working directory unless it begins with /",
        types=_types_with("path"),
    )
    enabled: bool = key(values.boolean, "false: as if it were not there; what waits for it ends dead", default=True)
    #: Made up by `dev`: a variable of its url or path is not set.
    is_inbox: bool = False


_WITHOUT_URL: Final = [kind.name for kind in KINDS.values() if not kind.has_url]
_OF_FILE: Final = {"properties": {"type": {"enum": _WITHOUT_URL}}, "required": ["type"]}
_NEEDED: Final = {
    kind.name: tuple(name for name, option in kind.options.items() if option.required) for kind in KINDS.values()
}


@shaped(
    {
        "$ref": DestinationKeys,
        "if": _OF_FILE,
        "then": {"required": ["path"]},
        "else": {"required": ["url"]},
        "allOf": [
            {"if": {"properties": {"type": {"const": name}}, "required": ["type"]}, "then": {"required": needed}}
            for name, needed in _NEEDED.items()
            if needed
        ],
    }
)
def read_destination(reading: Reading, node: Node, label: str) -> DestinationKeys | None:
    """One destination, with the keys that its type asks for."""
    # With an address the operator means to send: whatever else is not set is a problem then.
    is_inbox = reading.dev and any(reading.is_unset(address) for address in _addresses(node))
    with reading.stand_in(DEMO_TEXT) if is_inbox else nullcontext():
        found = read_section(reading, node, DestinationKeys, label)
    if found is None:
        return None
    _hide_address(reading, found)
    for text, (_, declared) in keys_of(DestinationKeys).items():
        if text in found.written and declared.types and found.type not in declared.types:
            few = len(declared.types) <= 3
            where = f"a destination of type {' or '.join(declared.types)}" if few else "other types of destination"
            reading.error(found.key_at(text), f'"{text}" belongs to {where}, not to {found.type}')
    for needed in ("url" if KINDS[found.type].has_url else "path", *_NEEDED[found.type]):
        if needed not in found.written:
            reading.error(found.place, f'{label} has no "{needed}"', keys_of(DestinationKeys)[needed][1].about)
    return dataclasses.replace(found, is_inbox=is_inbox)


def _hide_address(reading: Reading, found: DestinationKeys) -> None:
    """Whatever is not known to be public of an address in the file is a secret of the file."""
    if found.url is None or found.url.is_stand_in:
        return
    written, kind = found.url.node, KINDS[found.type]
    is_known = "type" not in found.written or getattr(found.written["type"].value, "text", "") == found.type
    if kind.is_path_public and is_known:
        reading.report.public.add(written.text)
        return
    reading.secrets.update((found.url.text, *(each for each in kind.secrets_of(found.url.text) if _is_no_word(each))))
    if secret := after_host(written.text):
        reading.report.hide(written.content, secret)


def _is_no_word(secret: str) -> bool:
    return len(secret) >= SHORTEST_SEGMENT


def _addresses(node: Node) -> Sequence[Node]:
    pairs = node.pairs if isinstance(node, Map) else ()
    return [pair.value for pair in pairs if pair.key.text in ("url", "path")]


# --- sources ---


@dataclass(frozen=True, kw_only=True)
class SecretKeys(Section):
    noun = "a secret"
    value: Secret | None = key(values.secret, "the secret itself", required=True)
    until: Words | None = key(values.words, "the day from which it no longer counts: 2026-12-31", required=True)


@dataclass(frozen=True, slots=True)
class Written:
    """One secret of a source."""

    secret: Secret
    node: Node
    #: A day as it was written; empty: for good.
    until: Words | None = None


@dataclass(frozen=True, slots=True)
class Secrets:
    """The secrets of a source, and whether `dev` made one up."""

    values: tuple[Written, ...]
    is_demo: bool


@shaped(
    {
        "anyOf": [
            values.TEXT,
            {"type": "array", "items": {"anyOf": [values.TEXT, {"$ref": SecretKeys}]}, "minItems": 1},
        ]
    }
)
def _secrets(reading: Reading, node: Node, label: str) -> Secrets | None:
    with reading.stand_in(DEMO_SECRET) as stand_in:
        nodes = node.nodes if isinstance(node, Items) else (node,)
        found = [_secret(reading, each, label) for each in nodes]
    if not nodes:
        reading.error(node, f"{label} is an empty list", "write at least one secret")
    written = tuple(each for each in found if each is not None)
    return Secrets(written, stand_in.was_used) if written else None


def _secret(reading: Reading, node: Node, label: str) -> Written | None:
    if not isinstance(node, Map):
        secret = values.secret(reading, node, label)
        return None if secret is None else Written(secret, node)
    keys = read_section(reading, node, SecretKeys, f"an element of {label}")
    if keys is None or keys.value is None:
        return None
    return Written(keys.value, keys.written["value"].value, keys.until)


def _known_preset(written: Words, label: str) -> str:
    if written.text not in presets.NAMES:
        near = suggest(written.shown, presets.NAMES)
        hint = near or "gateway sources lists them; without a preset write verify: and type:"
        raise Unfit(f'{label}: "{written.shown}" is not known', hint)
    return written.text


_preset: Final = values.typed(_known_preset, shape_of(values.choice(presets.NAMES)), values.named)


@shaped(shape_of(values.one_or_more(values.words)))
def _templates(reading: Reading, node: Node, label: str) -> tuple[Words, ...] | None:
    return values.one_or_more(values.words)(reading, node, label)


# --- how a source is verified ---


@dataclass(frozen=True, kw_only=True)
class FieldsKeys(Section):
    noun = "signature.fields"
    signature: Words | None = key(values.words, "the name of the signatures: v1", required=True)
    timestamp: Words | None = key(values.words, "the name of the timestamp: t")
    separator: Words | None = key(values.words, "what divides the fields: ,")


@dataclass(frozen=True, kw_only=True)
class SignatureKeys(Section):
    noun = "verify.signature"
    header: Words | None = key(values.words, "the header that holds it: x-signature")
    body: Words | None = key(values.words, "or its path in the payload: signature.signature")
    algorithm: str | None = key(values.choice(signatures.ALGORITHMS), "sha256 unless it is written here")
    encoding: str | None = key(values.choice(ENCODINGS), "hex or base64; hex unless it is written here")
    signed: Words | None = key(values.words, 'what is signed: "{timestamp}.{body}"; the body if left out')
    prefix: Words | None = key(values.words, "before each signature: sha256=")
    fields: FieldsKeys | None = key(
        nested(FieldsKeys), "when the header is a list of name=value: {signature: v1, timestamp: t}"
    )
    divider: Words | None = key(values.words, name="list", about='what divides several signatures in the header: ","')
    form: str | None = key(
        values.choice(KEYS), "how the secret is written: text (the default), base64 or hex", name="key"
    )
    key_prefix: Words | None = key(values.words, "what stands before the key in the secret: whsec_")


@dataclass(frozen=True, kw_only=True)
class TimestampKeys(Section):
    noun = "verify.timestamp"
    header: Words | None = key(values.words, "the header that holds it: x-timestamp")
    payload: Words | None = key(values.words, "or its path in the payload: sent_at")
    field: bool | None = key(values.boolean, "true: it is a field of the signature's header")
    unit: str | None = key(values.choice(tuple(signatures.UNITS)), "s (the default), ms or iso")
    tolerance: float | None = key(values.duration(1, "24h"), "how old or early it may be: 5m", name="tolerance")


@dataclass(frozen=True, kw_only=True)
class InHeaderKeys(Section):
    noun = "a header"
    header: Words | None = key(values.words, "its name: x-token", required=True)


@dataclass(frozen=True, kw_only=True)
class UserKeys(Section):
    noun = "verify.basic"
    user: Words | None = key(values.words, "the user's name; the secret is the password", required=True)


@dataclass(frozen=True, kw_only=True)
class VerifyKeys(Section):
    noun = "verify"
    signature: SignatureKeys | None = key(nested(SignatureKeys), "a signature over the request")
    timestamp: TimestampKeys | None = key(nested(TimestampKeys), "when it was signed; the signature has to cover it")
    id: InHeaderKeys | None = key(nested(InHeaderKeys), "the header that {id} is")
    unsigned_body: str | None = key(
        values.choice(("accept",)), "accept: the signature does not cover the body, and that is known"
    )
    token: InHeaderKeys | None = key(nested(InHeaderKeys), "the secret itself in a header: {header: x-token}")
    bearer: bool | None = key(values.boolean, "true: Authorization: Bearer and the secret")
    basic: UserKeys | None = key(nested(UserKeys), "a login with the secret as its password: {user: name}")
    url_secret: bool | None = key(values.boolean, "true: the secret is the end of the path: /in/name/secret")
    handshake_token: Secret | None = key(values.secret, "what a handshake by GET shows; the secret if left out")


@shaped({"anyOf": [{"enum": ["none"]}, {"$ref": VerifyKeys}]})
def _verify(reading: Reading, node: Node, label: str) -> "VerifyKeys | Scalar | None":
    if isinstance(node, Scalar) and node.text == "none":
        return node
    return read_section(reading, node, VerifyKeys, label)


@shaped({**values.TEXT, "pattern": r"^(?:/[A-Za-z0-9._~-]+)+$|\$\{"})
def _source_path(reading: Reading, node: Node, label: str) -> Words | None:
    return values.words(reading, node, label)


# --- what of it people are not to see ---


@shaped(values.some(values.TEXT))
def _fields(reading: Reading, node: Node, label: str) -> tuple[Words, ...] | None:
    found = values.one_or_more(values.named)(reading, node, label)
    if found == ():
        reading.error(node, f"{label} is an empty list, which redacts nothing", "name a field: attrs.email")
    return found


@dataclass(frozen=True, kw_only=True)
class RedactKeys(Section):
    noun = "redact"
    paths: tuple[Words, ...] = key(_fields, "the fields: [attrs.email, headers.x-user]", default=(), required=True)
    store: bool = key(
        values.boolean,
        "true: they go out of the stored body, too, once no delivery of the event is pending or dead",
        default=False,
    )


@shaped({"anyOf": [*values.some(values.TEXT)["anyOf"], {"$ref": RedactKeys}]})
def _redact(reading: Reading, node: Node, label: str) -> RedactKeys | None:
    """Fields, or the keys."""
    if isinstance(node, Map):
        return read_section(reading, node, RedactKeys, label)
    found = _fields(reading, node, label)
    return None if found is None else RedactKeys(place=node.place, written={}, paths=found)


@dataclass(frozen=True, kw_only=True)
class SourceKeys(Section):
    noun = "a source"
    preset: str | None = key(
        _preset,
        "a known sender: xobito, github, stripe ...: how its events are verified and named; gateway sources lists them",
    )
    verify: "VerifyKeys | Scalar | None" = key(
        _verify, "how its requests are verified: instead of the preset's, or single knobs of it; none takes anything"
    )
    secret: Secrets | None = key(
        _secrets, "what the sender signs with; one, or a list of which any will do, each with an until if it has an end"
    )
    public_url: Words | None = key(values.words, "its address as the sender has it, for senders that sign it")
    path: Words | None = key(_source_path, "where the sender posts to; /in/<name> if left out")
    max_body: int = key(values.size(1, "64MiB"), "the largest body taken: 1MiB", default=1024 * 1024)
    type: tuple[Words, ...] | None = key(
        _templates,
        "what names an event: {payload.type} or {headers.x-event}; of a list the first whose fields are there",
    )
    id: tuple[Words, ...] | None = key(
        _templates, "what identifies an event: {payload.id}; its bytes where that is missing"
    )
    split: tuple[Words, ...] | None = key(
        _templates, "where the events of a body that holds many stand: payload.events.*"
    )
    shortcuts: Mapping[str, tuple[Words, ...]] = key(
        values.map_of(values.one_or_more(values.named)),
        "short names for parts of the payload: {attrs: payload.data}; of a list the first that is there",
        factory=dict,
    )
    redact: RedactKeys | None = key(
        _redact,
        "fields that people are not to see, with * for any segment: [attrs.email, payload.items.*.name]; or {paths: [attrs.email], store: true}",
    )


# --- entries of always, routes, unmatched and failed ---


@shaped(shape_of(values.one_or_more(values.words)))
def _words_list(reading: Reading, node: Node, label: str) -> tuple[Words, ...] | None:
    return values.one_or_more(values.words)(reading, node, label)


@shaped(shape_of(values.one_or_more(values.named)))
def _names_list(reading: Reading, node: Node, label: str) -> tuple[Words, ...] | None:
    return values.one_or_more(values.named)(reading, node, label)


@shaped(values.some(values.TEXT))
def _some_words(reading: Reading, node: Node, label: str) -> tuple[Words, ...] | None:
    return values.one_or_more(values.words)(reading, node, label)


@shaped(values.some(values.TEXT))
def _some_names(reading: Reading, node: Node, label: str) -> tuple[Words, ...] | None:
    return values.one_or_more(values.named)(reading, node, label)


@shaped({**values.TEXT, "title": "expression"})
def _expression(reading: Reading, node: Node, label: str) -> TemplateText | None:
    """A bare expression; braces around it are taken off."""
    if isinstance(node, Scalar) and "${" in node.text:
        # Its value would be read as code.
        reading.error(node, f"{label} cannot hold a ${{...}}", "put it under vars, and write vars.name")
        return None
    if isinstance(node, Map | Items):
        reading.error(node, f"{label} is one expression", 'write if: attrs.type == "lead"; a map of fields is where')
        return None
    found = values.template(reading, node, label)
    if found is None:
        return None
    bare = re.fullmatch(r"\s*\{\{-?(?P<expression>.*?)-?\}\}\s*", found.text, re.DOTALL)
    if bare is None or "{{" in bare["expression"]:
        return found
    expression = bare["expression"].strip()
    reading.warning(
        node, f"{label} is an expression as it is: the braces around it are taken off", f"write if: {expression}"
    )
    return TemplateText(expression, found.place)


@shaped({"title": "map; its texts are templates", "type": "object"})
def _form(reading: Reading, node: Node, label: str) -> Body | None:
    if isinstance(node, Map):
        return values.body(reading, node, label)
    values.expect_map(reading, node, label, "name: value")
    return None


#: What is said; an entry has at most one of them.
CONTENTS: Final = ("text", "body", "form", "template")
_ONE_CONTENT: Final = {
    each: {"properties": dict.fromkeys((other for other in CONTENTS if other != each), False)} for each in CONTENTS
}
#: What moves into the elements of ``send``.
BESIDE_SEND: Final = ("to", "method", "path", "query", "headers", *CONTENTS)


@dataclass(frozen=True, kw_only=True)
class SaidKeys(Section):
    """What is said, and to whom."""

    noun = "an element of send"
    together: ClassVar[Shape] = {"dependentSchemas": _ONE_CONTENT}
    #: As problems, deliveries and the console call it.
    called: str = ""
    to: tuple[Words, ...] | None = key(_names_list, "a destination or a list of them; [] ignores the event")
    method: str | None = key(values.choice(METHODS), "instead of the destination's method")
    path: TemplateText | None = key(values.template, "appended to the destination's url: /contacts/{{ attrs.id }}")
    query: Mapping[str, TemplateText] = key(
        values.map_of(values.template), "parameters behind the ? of the url", factory=dict
    )
    headers: Mapping[str, TemplateText] = key(
        values.map_of(values.template), "on top of the destination's headers", factory=dict
    )
    text: TemplateText | None = key(values.template, "a message for people")
    body: Body | None = key(values.body, 'JSON, with {{ }} in its texts; "" sends none')
    form: Body | None = key(_form, "a map of fields in form encoding, with {{ }} in its texts")
    template: Words | None = key(values.named, "a file in templates/: slack/contact-created.json.j2")


@shaped({"type": "array", "items": {"$ref": SaidKeys, "required": ["to"]}, "minItems": 1})
def _send(reading: Reading, node: Node, label: str) -> tuple[SaidKeys, ...] | None:
    if not isinstance(node, Items) or not node.nodes:
        if not isinstance(node, Broken):
            reading.error(node, f"{label} must be a list of what is sent", "begin each with - to: ...")
        return None
    found = [_said(reading, each, f"element {at} of {label}") for at, each in enumerate(node.nodes, start=1)]
    return tuple(said for said in found if said is not None)


def _said(reading: Reading, node: Node, label: str) -> SaidKeys | None:
    found = read_section(reading, node, SaidKeys, label)
    if found is not None and "to" not in found.written:
        reading.error(node, f'{label} has no "to"', keys_of(SaidKeys)["to"][1].about)
    return found


@dataclass(frozen=True, kw_only=True)
class OnceKeys(Section):
    noun = "once"
    per: TemplateText | None = key(
        values.template, 'what it sends once for: "{{ attrs.id }}:{{ attrs.status_id }}"', required=True
    )
    for_s: float = key(values.duration(1, LONGEST), "how long it remembers that: 90d", default=30 * 86400.0, name="for")


@dataclass(frozen=True, kw_only=True)
class EntryKeys(SaidKeys):
    noun = "a route"
    together: ClassVar[Shape] = {
        "dependentSchemas": {**_ONE_CONTENT, "send": {"properties": dict.fromkeys(BESIDE_SEND, False)}}
    }
    #: always, routes, unmatched or failed.
    section: str = ""
    name: str | None = key(values.name, "what it is called; deliveries remember it")
    source: tuple[Words, ...] | None = key(_some_names, "a source or a list of them; every source if left out")
    match: tuple[Words, ...] | None = key(
        _some_words,
        "an event type or a list of them, with * for one segment and ** for any number; every event if left out",
    )
    where: Where = key(
        conditions.where,
        "what its fields must be: {attrs.type: customer}; a list means any of them; see Conditions",
        default=(),
    )
    condition: TemplateText | None = key(
        _expression, "one expression for what where cannot say: attrs.total > 2 * attrs.paid", name="if"
    )
    send: tuple[SaidKeys, ...] | None = key(
        _send, "in place of to: a list of what is sent, each with its own to and content; called name/1, name/2"
    )
    once: OnceKeys | None = key(
        nested(OnceKeys),
        'it sends once per key, and not again for what has the same: {per: "{{ attrs.id }}", for: 90d}',
    )
    stop: bool = key(values.boolean, "true: no later route looks at an event that this one took", default=False)
    enabled: bool = key(values.boolean, "false: as if it were not there", default=True)


_ADDRESSED: Final = [{"required": ["to"]}, {"required": ["send"]}]


def _entry_parser(section: str) -> Parser[tuple[EntryKeys, ...]]:
    @shaped({"type": ["array", "null"], "items": {"$ref": EntryKeys, "anyOf": _ADDRESSED}})
    def parse(reading: Reading, node: Node, label: str) -> tuple[EntryKeys, ...] | None:
        if _is_nothing(node):
            return ()
        if not isinstance(node, Items):
            if not isinstance(node, Broken):
                reading.error(node, f"{label} must be a list", "begin each entry with - on a line of its own")
            return None
        found = (_read_entry(reading, each, section) for each in node.nodes)
        return tuple(entry for entry in found if entry is not None)

    return parse


def _read_entry(reading: Reading, node: Node, section: str) -> EntryKeys | None:
    called = _called(node, section)
    found = read_section(reading, node, EntryKeys, f'route "{called}"')
    if found is None:
        return None
    if "to" not in found.written and "send" not in found.written:
        reading.error(node, f'route "{called}" has no "to"', keys_of(EntryKeys)["to"][1].about)
    said = found.send and tuple(
        dataclasses.replace(each, called=f"{called}/{at}") for at, each in enumerate(found.send, start=1)
    )
    return dataclasses.replace(found, called=called, section=section, send=said)


def _called(node: Node, section: str) -> str:
    """Its name, else its section and destinations: ``always/archive``."""
    written = _values_of(node)
    own = written.get("name")
    if isinstance(own, Scalar) and own.text:
        return own.text
    send = written.get("send")
    said = [_values_of(each) for each in send.nodes] if isinstance(send, Items) else [written]
    names = [name for each in said for name in _texts(each.get("to"))]
    return f"{section}/{'+'.join(dict.fromkeys(names)) or 'ignored'}"


def _values_of(node: Node) -> Mapping[str, Node]:
    return {pair.key.text: pair.value for pair in node.pairs} if isinstance(node, Map) else {}


def _texts(node: Node | None) -> Sequence[str]:
    nodes = node.nodes if isinstance(node, Items) else (node,)
    return [each.text for each in nodes if isinstance(each, Scalar) and each.text]


# --- maps of things by name ---


def _named(parse: Parser[T], noun: str) -> Parser[Mapping[str, T]]:
    """A map of things by the names that the user gives them."""

    @shaped(
        {
            "type": ["object", "null"],
            "propertyNames": shape_of(values.name),
            "additionalProperties": shape_of(parse),
        }
    )
    def parse_all(reading: Reading, node: Node, label: str) -> Mapping[str, T] | None:
        if _is_nothing(node):
            return {}
        if not isinstance(node, Map):
            values.expect_map(reading, node, label, "name:")
            return None
        found: dict[str, T] = {}
        for pair in node.pairs:
            if not values.is_name(pair.key.text):
                reading.error(pair.key, f'"{pair.key.text}" cannot be the name of a {noun}', NAME_RULE)
            value = parse(reading, pair.value, f'{noun} "{pair.key.text}"')
            if value is not None:
                found[pair.key.text] = value
        return found

    return parse_all


def _version(written: Words, label: str) -> int:
    if written.text != "1":
        raise Unfit(f'{label}: "{written.shown}" is not known to this gateway', "write version: 1")
    return 1


@shaped({**values.TEXT, "pattern": r"^https?://|\$\{"})
def _console_url(reading: Reading, node: Node, label: str) -> Words | None:
    return values.words(reading, node, label)


@dataclass(frozen=True, slots=True)
class Variable:
    """One of ``vars``."""

    place: Place
    value: object


@shaped({"type": ["object", "null"]})
def _vars(reading: Reading, node: Node, label: str) -> Mapping[str, Variable] | None:
    if _is_nothing(node):
        return {}
    if not isinstance(node, Map):
        values.expect_map(reading, node, label, "name: value")
        return None
    found = ((pair, values.plain(reading, pair.value, f'"{pair.key.text}" in {label}')) for pair in node.pairs)
    return {pair.key.text: Variable(pair.key.place, value) for pair, value in found}


@dataclass(frozen=True, slots=True)
class NamedCondition:
    """One of ``conditions``."""

    place: Place
    where: Where


@shaped(conditions.WHERE)
def _condition(reading: Reading, node: Node, label: str) -> NamedCondition | None:
    found = conditions.where(reading, node, label)
    return None if found is None else NamedCondition(node.place, found)


# --- tests ---


@shaped(values.some({**values.TEXT, "minLength": 1}))
def _sought(reading: Reading, node: Node, label: str) -> tuple[Words, ...] | None:
    found = values.one_or_more(values.words)(reading, node, label)
    if found is not None and (not found or any(each.text == "" for each in found)):
        reading.error(node, f"{label} looks for nothing: every body has that", "write a text, or remove the key")
        return None
    return found


@dataclass(frozen=True, kw_only=True)
class CheckKeys(Section):
    """What one delivery of a test must be."""

    noun = "an expectation of a test"
    method: str | None = key(values.choice(METHODS), "the method of the request")
    url: Words | None = key(values.words, "its whole url")
    headers: Mapping[str, Words] = key(values.map_of(values.words), "headers that it has", factory=dict)
    json: Plain | None = key(values.json, "its body, as JSON")
    json_contains: Plain | None = key(values.json, "what its body has, as JSON; it may have more")
    text: Words | None = key(values.words, "its body as a text, or what the message says")
    contains: tuple[Words, ...] = key(_sought, "texts that its body has", default=())
    not_contains: tuple[Words, ...] = key(
        _sought, "texts that its body has not; nor has that of any other delivery that the line means", default=()
    )
    count: int | None = key(values.integer(1, 1000), "how many deliveries go there")


@dataclass(frozen=True, slots=True)
class Expected:
    """One destination of an ``expect``, or the word for another outcome."""

    name: Scalar
    #: None: nothing more is asked; a Scalar: ``verbatim``, or the text of ``failed``.
    check: CheckKeys | Scalar | None


_EXPECTED: Final = {"anyOf": [{"enum": ["verbatim"]}, {"$ref": CheckKeys}]}
_FAILED: Final = {"anyOf": [{**values.TEXT, "minLength": 1}, {"$ref": CheckKeys}]}


@shaped(
    {
        "anyOf": [
            {"enum": ["ignored", "rejected"]},
            values.TEXT,
            {"type": "array", "items": values.TEXT, "uniqueItems": True},
            {"type": "object", "properties": {"failed": _FAILED}, "additionalProperties": _EXPECTED},
        ]
    }
)
def _expect(reading: Reading, node: Node, label: str) -> tuple[Expected, ...] | None:
    match node:
        case Broken():
            return None
        case Scalar(empty=False):
            return (Expected(node, None),)
        case Items(nodes=nodes) if all(isinstance(each, Scalar) for each in nodes):
            return tuple(Expected(each, None) for each in nodes if isinstance(each, Scalar))
        case Map(pairs=pairs):
            found = [_expected(reading, pair, label) for pair in pairs]
            return tuple(expected for expected in found if expected is not None)
    reading.error(
        node, f"{label} is a list of destinations, or a map from them to what they get", "write [archive, slack-leads]"
    )
    return None


def _expected(reading: Reading, pair: Pair, label: str) -> Expected | None:
    if isinstance(pair.value, Scalar) and not pair.value.empty:
        return Expected(pair.key, pair.value)
    check = read_section(reading, pair.value, CheckKeys, f'"{pair.key.text}" in {label}')
    return None if check is None else Expected(pair.key, check)


#: How a test gives its event; one of them.
EVENTS: Final = ("event", "file", "payload")


@dataclass(frozen=True, kw_only=True)
class TestKeys(Section):
    noun = "a test"
    together: ClassVar[Shape] = {"oneOf": [{"required": [each]} for each in EVENTS]}
    #: Pytest collects no class of this name.
    __test__ = False
    name: Words | None = key(values.words, "what it shows, as a sentence", required=True)
    source: Words | None = key(values.named, "the source that the event comes from; needed when there are several")
    event: Words | None = key(values.named, "a sample event of the source's preset: contact.created")
    file: Words | None = key(values.named, "a file with the event's JSON, beside this one")
    payload: Plain | None = key(values.json, "the event's JSON, written out")
    set: Mapping[str, Plain] = key(
        values.map_of(values.json), "fields of the event that are changed: {attrs.type: customer}", factory=dict
    )
    unset: tuple[Words, ...] = key(_words_list, "fields of the event that are taken out", default=())
    expect: tuple[Expected, ...] | None = key(
        _expect,
        "exactly these destinations, as a list or a map to what each gets; or ignored, rejected, {failed: text}",
        required=True,
    )


@shaped({"type": ["array", "null"], "items": {"$ref": TestKeys}})
def _tests(reading: Reading, node: Node, label: str) -> tuple[TestKeys, ...] | None:
    if _is_nothing(node):
        return ()
    if not isinstance(node, Items):
        if not isinstance(node, Broken):
            reading.error(node, f"{label} must be a list", "begin each test with - on a line of its own")
        return None
    found = [read_section(reading, each, TestKeys, _test_label(each)) for each in node.nodes]
    return tuple(test for test in found if test is not None)


def _test_label(node: Node) -> str:
    names = (
        [pair.value.text for pair in node.pairs if pair.key.text == "name" and isinstance(pair.value, Scalar)]
        if isinstance(node, Map)
        else []
    )
    return f'test "{names[0]}"' if names else "a test"


# --- the file ---


@dataclass(frozen=True, kw_only=True)
class RetentionKeys(Section):
    """Shorter than a minute nothing is kept: so often is looked for what may go."""

    noun = "retention"
    events: float | None = key(
        values.duration(60, LONGEST), "how long an event stays in the store with its deliveries: 30d"
    )
    bodies: float | None = key(
        values.duration(60, LONGEST),
        "how long its body stays, once none of its deliveries is pending or dead; as long as the event if left out",
    )
    attempts: float | None = key(values.duration(60, LONGEST), "how long the record of an attempt stays: 30d")
    dead: float | None = key(
        values.duration(60, LONGEST), "how long a delivery that was given up stays, with its event: 90d"
    )


@dataclass(frozen=True, kw_only=True)
class IncludedKeys(Section):
    """What a file may hold that another one includes."""

    noun = "an included file"
    sources: Mapping[str, SourceKeys] = key(_named(nested(SourceKeys), "source"), "who sends events", factory=dict)
    destinations: Mapping[str, DestinationKeys] = key(
        _named(read_destination, "destination"), "how to reach whom", factory=dict
    )
    vars: Mapping[str, Variable] = key(
        _vars, "values of your own, under vars. in conditions and templates: {statuses: {3: Qualified}}", factory=dict
    )
    conditions: Mapping[str, NamedCondition] = key(
        _named(_condition, "condition"),
        "conditions by name, for is: in where: {vip: {attrs.type: partner}}",
        factory=dict,
    )
    always: tuple[EntryKeys, ...] = key(
        _entry_parser("always"), "for every event, whatever else becomes of it", default=()
    )
    routes: tuple[EntryKeys, ...] = key(
        _entry_parser("routes"), "what to say to whom; every route that matches sends", default=()
    )
    unmatched: tuple[EntryKeys, ...] = key(
        _entry_parser("unmatched"), "for events that no entry of routes took", default=()
    )
    failed: tuple[EntryKeys, ...] = key(
        _entry_parser("failed"), "whom to tell of deliveries that are given up; see delivery. in templates", default=()
    )
    tests: tuple[TestKeys, ...] = key(_tests, "events and what becomes of them, for gateway test", default=())


@dataclass(frozen=True, kw_only=True)
class FileKeys(IncludedKeys):
    noun = "the top level of the file"
    version: int = key(
        values.typed(_version, {"enum": [1, "1"]}), "the version of this language: 1", default=1, required=True
    )
    defaults: DefaultsKeys | None = key(
        nested(DefaultsKeys), "for every destination that does not write the key itself"
    )
    console_url: Words | None = key(
        _console_url, "where people reach the console, for links in messages: https://gateway.example.com"
    )
    retention: RetentionKeys | None = key(
        nested(RetentionKeys), "how long finished things are kept: {events: 30d, bodies: 7d, attempts: 30d, dead: 90d}"
    )
    include: tuple[Words, ...] = key(
        _names_list, "more files, by pattern: routes.d/*.yaml; their entries come behind those of this file", default=()
    )


#: Where a key that stands in the wrong place may belong, in the order of likelihood.
_PLACES: Final[Sequence[type[Section]]] = (
    DestinationKeys,
    EntryKeys,
    SourceKeys,
    FileKeys,
    TestKeys,
    CheckKeys,
    RetryKeys,
    AuthKeys,
    SuccessKeys,
    OnceKeys,
    RetentionKeys,
    RedactKeys,
)


def read_file(reading: Reading, node: Node) -> FileKeys | None:
    """The whole file by its declarations."""
    return read_section(reading, node, FileKeys, "")


def read_included(reading: Reading, node: Node, file: str) -> IncludedKeys | None:
    """A file that another one includes."""
    return read_section(reading, node, IncludedKeys, file)
