"""The declarations: every key of routes.yaml, where it belongs, how its value is read, what it is for.

One class for each place. To add a key: one field. The loader walks the fields; nothing else knows the keys.
"""

# ruff: noqa: RUF009 - key() makes a dataclasses.field(), which is what belongs there

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final, TypeVar

from gateway import presets
from gateway.config import values
from gateway.config.reader import Broken, Items, Map, Node, Pair, Scalar
from gateway.config.report import suggest_or_list
from gateway.config.values import DEMO_SECRET, DEMO_TEXT, NAME_RULE, Body, Parser, Reading, Unfit, Words
from gateway.destinations import KINDS
from gateway.errors import Place
from gateway.match import Value
from gateway.model import Secret
from gateway.render import TemplateText

METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


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
    #: Where it begins.
    place: Place
    #: What was written, by key.
    written: Mapping[str, Pair]

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


def keys_of(section: type[Section]) -> Mapping[str, tuple[str, Key]]:
    """Its keys as written: the name of the field, and its declaration."""
    fields = ((each.name, each.metadata.get("key")) for each in dataclasses.fields(section))
    return {declared.name or name: (name, declared) for name, declared in fields if declared is not None}


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
        keys[text][0]: keys[text][1].parse(reading, pair.value, f'"{text}" of {label}' if label else f'"{text}"')
        for text, pair in written.items()
        if text in keys
    }
    kept = {attribute: value for attribute, value in read.items() if value is not None}
    return section(place=node.place, written=written, **kept)


def _is_free(section: type[Section], text: str) -> bool:
    return section is FileKeys and text.startswith("x-")


def _report_unknown(reading: Reading, key: Scalar, section: type[Section], label: str) -> None:
    elsewhere = next((other.noun for other in _PLACES if key.text in keys_of(other)), None)
    if elsewhere is not None:
        reading.error(key, f'"{key.text}" belongs to {elsewhere}, not to {section.noun}', "move it there")
        return
    where = f" in {label}" if label else ""
    reading.error(key, f'unknown key "{key.text}"{where}', suggest_or_list(key.text, keys_of(section)))


def nested(section: type[S]) -> Parser[S]:
    """A map with declared keys as the value of a key."""
    return lambda reading, node, label: read_section(reading, node, section, label)


# --- destinations ---


@dataclass(frozen=True, kw_only=True)
class RetryKeys(Section):
    noun = "retry"
    for_s: float = key(
        values.duration(0, "30d"), "how long a delivery is tried again: 24h", default=86400.0, name="for"
    )
    first_s: float = key(
        values.duration(0.1, "24h"), "the first wait; each one after it is twice as long: 1s", default=1.0, name="first"
    )
    max_s: float = key(values.duration(0.1, "24h"), "the longest wait: 1h", default=3600.0, name="max")


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
    bearer: Secret | None = key(values.secret, 'a token: auth: {bearer: "${CRM_TOKEN}"}')
    basic: BasicKeys | None = key(nested(BasicKeys), 'a login: auth: {basic: {user: me, password: "${PASSWORD}"}}')
    header: HeaderKeys | None = key(
        nested(HeaderKeys), 'any other header: auth: {header: {name: x-api-key, value: "${KEY}"}}'
    )


@dataclass(frozen=True, kw_only=True)
class DefaultsKeys(Section):
    """Each key stands for the one that a destination does not write; a destination's own replaces it whole."""

    noun = "defaults"
    timeout: float | None = key(values.duration(0.1, "1h"), "how long one attempt may take: 10s")
    retry: RetryKeys | None = key(
        nested(RetryKeys), "when a failed delivery is tried again: {for: 24h, first: 1s, max: 1h}"
    )
    concurrency: int | None = key(values.integer(1, 1024), "how many deliveries may be on their way at once: 32")


@dataclass(frozen=True, kw_only=True)
class DestinationKeys(DefaultsKeys):
    noun = "a destination"
    type: str = key(values.choice(KINDS), "http (the default), slack or file", default="http")
    url: Words | None = key(values.words, "where it is: https://crm.example.com/api", types=("http", "slack"))
    method: str | None = key(values.choice(METHODS), "POST unless it is written here or in the route", types=("http",))
    headers: Mapping[str, Words] = key(
        values.map_of(values.words),
        "sent with every request; a route's headers go on top",
        factory=dict,
        types=("http", "slack"),
    )
    auth: AuthKeys | None = key(
        nested(AuthKeys), "how to log in: bearer, basic or header; a route cannot change it", types=("http",)
    )
    path: Words | None = key(
        values.words,
        "the file that gets one JSON line for each delivery, below the working directory unless it begins with /",
        types=("file",),
    )
    #: Made up by `dev`: a variable of its url or path is not set.
    is_inbox: bool = False


def read_destination(reading: Reading, node: Node, label: str) -> DestinationKeys | None:
    """One destination, with the keys that its type asks for."""
    # With an address the operator means to send: whatever else is not set is a problem then.
    is_inbox = reading.dev and any(reading.is_unset(address) for address in _addresses(node))
    with reading.stand_in(DEMO_TEXT) if is_inbox else nullcontext():
        found = read_section(reading, node, DestinationKeys, label)
    if found is None:
        return None
    for text, (_, declared) in keys_of(DestinationKeys).items():
        if text in found.written and declared.types and found.type not in declared.types:
            types = " or ".join(declared.types)
            reading.error(found.key_at(text), f'"{text}" belongs to a destination of type {types}, not {found.type}')
    needed = "path" if found.type == "file" else "url"
    if needed not in found.written:
        reading.error(found.place, f'{label} has no "{needed}"', keys_of(DestinationKeys)[needed][1].about)
    return dataclasses.replace(found, is_inbox=is_inbox)


def _addresses(node: Node) -> Sequence[Node]:
    pairs = node.pairs if isinstance(node, Map) else ()
    return [pair.value for pair in pairs if pair.key.text in ("url", "path")]


# --- sources ---


@dataclass(frozen=True, slots=True)
class Secrets:
    """The secrets of a source, and whether `dev` made one up."""

    values: tuple[Secret, ...]
    is_demo: bool


def _secrets(reading: Reading, node: Node, label: str) -> Secrets | None:
    with reading.stand_in(DEMO_SECRET) as stand_in:
        found = values.one_or_more(values.secret)(reading, node, label)
    if found == ():
        reading.error(node, f"{label} is an empty list", "write at least one secret")
    return Secrets(found, stand_in.was_used) if found else None


def _preset(reading: Reading, node: Node, label: str) -> str | None:
    return values.choice(presets.NAMES)(reading, node, label)


@dataclass(frozen=True, kw_only=True)
class SourceKeys(Section):
    noun = "a source"
    preset: str | None = key(
        _preset,
        f"how its events are verified and named: {', '.join(presets.NAMES)}",
        required=True,
    )
    secret: Secrets | None = key(
        _secrets, "what the sender signs with; one, or a list of which any will do", required=True
    )
    path: Words | None = key(values.words, "where the sender posts to; /in/<name> if left out")
    max_body: int = key(values.size(1, "64MiB"), "the largest body taken: 1MiB", default=1024 * 1024)


# --- entries of always, routes and unmatched ---


@dataclass(frozen=True, slots=True)
class Condition:
    """One line of ``where``."""

    path: Scalar
    values: tuple[Value, ...]


def _where(reading: Reading, node: Node, label: str) -> tuple[Condition, ...] | None:
    if not isinstance(node, Map):
        values.expect_map(reading, node, label, "attrs.type: customer")
        return None
    found = ((pair.key, _operand(reading, pair)) for pair in node.pairs)
    return tuple(Condition(path, any_of) for path, any_of in found if any_of is not None)


def _operand(reading: Reading, pair: Pair) -> tuple[Value, ...] | None:
    path, node = pair.key.text, pair.value
    if isinstance(node, Map):
        _explain_nested_map(reading, path, node)
        return None
    if isinstance(node, Items) and not node.nodes:
        reading.error(node, f'"{path}" is compared with an empty list, which nothing equals', "write what it may be")
        return None
    nodes = node.nodes if isinstance(node, Items) else (node,)
    found = [_operand_value(reading, path, each) for each in nodes]
    kept = tuple(operand.value for operand in found if operand is not None)
    return kept if len(kept) == len(found) else None


@dataclass(frozen=True, slots=True)
class _Operand:
    #: None here is JSON's null.
    value: Value


def _operand_value(reading: Reading, path: str, node: Node) -> _Operand | None:
    if isinstance(node, Broken):
        return None
    if not isinstance(node, Scalar):
        reading.error(
            node,
            f'"{path}" is compared with a {"map" if isinstance(node, Map) else "list"} inside a list',
            "list plain values",
        )
        return None
    if node.empty:
        reading.error(node, f'"{path}" has no value', _missing_value_hint(path))
        return None
    if not isinstance(node.value, str):
        return _Operand(node.value)
    written = reading.resolved(node, reading.references.resolve)
    return None if written is None else _Operand(written.text)


def _missing_value_hint(path: str) -> str:
    field, colon, value = path.partition(":")
    return (
        f"write {field}: {value}, with a blank behind the colon"
        if colon and value
        else 'write null for null, "" for an empty text'
    )


def _explain_nested_map(reading: Reading, path: str, node: Map) -> None:
    dotted = ", ".join(
        f"{path}.{pair.key.text}: {pair.value.text if isinstance(pair.value, Scalar) else '...'}" for pair in node.pairs
    )
    reading.error(node, f'"{path}" is compared with a map', f"write {dotted}" if dotted else "name a field of it")


def _words_list(reading: Reading, node: Node, label: str) -> tuple[Words, ...] | None:
    return values.one_or_more(values.words)(reading, node, label)


@dataclass(frozen=True, kw_only=True)
class EntryKeys(Section):
    noun = "a route"
    #: As problems, deliveries and the console call it.
    called: str = ""
    name: str | None = key(values.name, "what it is called; deliveries remember it")
    source: tuple[Words, ...] | None = key(_words_list, "a source or a list of them; every source if left out")
    match: tuple[Words, ...] | None = key(
        _words_list,
        "an event type or a list of them, with * for one segment and ** for any number; every event if left out",
    )
    where: tuple[Condition, ...] = key(
        _where, "fields that must be equal: {attrs.type: customer}; a list means any of them", default=()
    )
    to: tuple[Words, ...] | None = key(
        _words_list, "a destination or a list of them; [] ignores the event", required=True
    )
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
    template: Words | None = key(values.words, "a file in templates/: slack/contact-created.json.j2")


def _entry_parser(section: str) -> Parser[tuple[EntryKeys, ...]]:
    def parse(reading: Reading, node: Node, label: str) -> tuple[EntryKeys, ...] | None:
        if isinstance(node, Scalar) and node.empty:
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
    return None if found is None else dataclasses.replace(found, called=called)


def _called(node: Node, section: str) -> str:
    """Its name, else its section and destinations: ``always/archive``."""
    written = {pair.key.text: pair.value for pair in node.pairs} if isinstance(node, Map) else {}
    own = written.get("name")
    if isinstance(own, Scalar) and own.text:
        return own.text
    to = written.get("to")
    nodes = to.nodes if isinstance(to, Items) else (to,)
    names = [each.text for each in nodes if isinstance(each, Scalar) and each.text]
    return f"{section}/{'+'.join(names) or 'ignored'}"


# --- the file ---


def _named(parse: Parser[S], noun: str) -> Parser[Mapping[str, S]]:
    """A map of things by the names that the user gives them."""

    def parse_all(reading: Reading, node: Node, label: str) -> Mapping[str, S] | None:
        if isinstance(node, Scalar) and node.empty:
            return {}
        if not isinstance(node, Map):
            values.expect_map(reading, node, label, "name:")
            return None
        found: dict[str, S] = {}
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


@dataclass(frozen=True, kw_only=True)
class FileKeys(Section):
    noun = "the top level of the file"
    version: int = key(values.typed(_version), "the version of this language: 1", default=1, required=True)
    sources: Mapping[str, SourceKeys] = key(_named(nested(SourceKeys), "source"), "who sends events", factory=dict)
    defaults: DefaultsKeys | None = key(
        nested(DefaultsKeys), "for every destination that does not write the key itself"
    )
    destinations: Mapping[str, DestinationKeys] = key(
        _named(read_destination, "destination"), "how to reach whom", factory=dict
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


#: Where a key that stands in the wrong place may belong, in the order of likelihood.
_PLACES: Final[Sequence[type[Section]]] = (DestinationKeys, EntryKeys, SourceKeys, FileKeys, RetryKeys, AuthKeys)


def read_file(reading: Reading, node: Node) -> FileKeys | None:
    """The whole file by its declarations."""
    return read_section(reading, node, FileKeys, "")
