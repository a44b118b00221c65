"""Keys and sections of routes.yaml as dataclasses, and the walk that reads a section by its declarations.

One class per section, one field per key. To add a key, add a field: nothing else lists the keys.
"""

import dataclasses
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final, TypeVar

from gateway.config.schema import values
from gateway.config.schema.reading import Parser, Reading, Shape, shape_of, shaped
from gateway.config.schema.values import NAME_RULE
from gateway.config.text.reader import Items, Map, Node, Pair, Scalar, hide_all
from gateway.errors import Place
from gateway.render import TemplateText
from gateway.wording import suggest_or_list

S = TypeVar("S", bound="Section")
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """How one key is read."""

    parse: Parser[Any]
    #: One line of description for people.
    about: str
    required: bool = False
    #: The key as written, where it is a Python keyword; empty: the field's name.
    name: str = ""
    #: The destination types that have it; empty: all of them.
    types: tuple[str, ...] = ()
    #: What holds where nobody has written it, as it would be written, if another place than this key decides that.
    usual: str | int | Mapping[str, str] | None = None


def key(
    parse: Parser[Any],
    about: str,
    *,
    default: object = None,
    factory: Callable[[], object] | None = None,
    required: bool = False,
    name: str = "",
    types: tuple[str, ...] = (),
    usual: str | int | Mapping[str, str] | None = None,
) -> Any:
    """Declare one key, as the default of its field."""
    metadata = {"key": Key(parse=parse, about=about, required=required, name=name, types=types, usual=usual)}
    return field(default_factory=factory, metadata=metadata) if factory else field(default=default, metadata=metadata)


@dataclass(frozen=True, kw_only=True)
class Section:
    """A map in the file whose keys are declared by the fields of the class."""

    #: What problems call such a section: ``a route``.
    noun: ClassVar[str] = ""
    #: Which of its keys go together, as JSON Schema.
    together: ClassVar[Shape] = {}
    #: Where it starts.
    place: Place
    #: The pairs as written, by key.
    written: Mapping[str, Pair]
    #: Keys of other sections that people write here, and those that are meant.
    foreign: ClassVar[Mapping[str, str]] = {}
    #: What to write instead of a text or a list; a reference in that text replaces ``${TOKEN}``. Empty: nothing in particular.
    instead_of_text: ClassVar[str] = ""
    #: Whether keys that start with ``x-`` are the user's own.
    may_have_x: ClassVar[bool] = False
    #: Keys that no field declares: the options of destination types.
    options_known: ClassVar[Mapping[str, Key]] = {}
    #: Their values.
    options: Mapping[str, TemplateText] = dataclasses.field(default_factory=dict)

    def at(self, key: str) -> Place:
        """The place of a key's value; the section's own place if the key was not written."""
        return self.written[key].value.place if key in self.written else self.place

    def key_at(self, key: str) -> Place:
        """The place of the key itself."""
        return self.written[key].key.place if key in self.written else self.place

    def name_at(self, key: str, name: str) -> Place:
        """The place of a name in the map that is a key's value."""
        value = self.written[key].value if key in self.written else None
        pairs = value.pairs if isinstance(value, Map) else ()
        return next((pair.key.place for pair in pairs if pair.key.text == name), self.at(key))


def keys_of(section: type[Section]) -> Mapping[str, tuple[str, Key]]:
    """The keys of a section as written: field name and declaration."""
    fields = ((each.name, each.metadata.get("key")) for each in dataclasses.fields(section))
    declared = {key.name or name: (name, key) for name, key in fields if key is not None}
    return declared | {text: ("options", key) for text, key in section.options_known.items()}


def read_section(reading: Reading, node: Node, section: type[S], label: str) -> S | None:
    """Read a map by its declarations; None if it is not a map. A value that cannot be read keeps its default."""
    if not isinstance(node, Map):
        _expect_section(reading, node, section, label)
        return None
    keys = keys_of(section)
    written = {pair.key.text: pair for pair in node.pairs}
    _check_keys(reading, node, section, label)
    read = {
        text: keys[text][1].parse(reading, pair.value, f'"{text}" of {label}' if label else f'"{text}"')
        for text, pair in written.items()
        if text in keys
    }
    kept = {keys[text][0]: value for text, value in read.items() if value is not None}
    kept["options"] = {text: value for text, value in read.items() if text in section.options_known and value}
    return section(place=node.place, written=written, **kept)


def _expect_section(reading: Reading, node: Node, section: type[Section], label: str) -> None:
    """Report a section that is not a map; an address alone is meant as the url of a destination."""
    if isinstance(node, Scalar) and "url" in keys_of(section) and re.match(r"https?://|\$\{", node.text):
        reading.error(node, f"{label} must be a map", "write {url: ...} around the address")
        return
    if section.instead_of_text and not isinstance(node, Map):
        reference = re.search(r"\$\{[^}]*\}", node.text) if isinstance(node, Scalar) else None
        if reference is None:
            hide_all(reading.report, node)
        hint = section.instead_of_text.replace("${TOKEN}", reference[0] if reference else "${TOKEN}")
        reading.error(node, f"{label} must be a map", f"write {hint}")
        return
    values.expect_map(reading, node, label or "the file")


def _expect_names(reading: Reading, node: Node, label: str) -> None:
    """Report a section that is not a map of names; a list of maps with names in them is nearly one."""
    names = [
        pair.value.text
        for each in (node.nodes if isinstance(node, Items) else ())
        for pair in (each.pairs if isinstance(each, Map) else ())
        if pair.key.text == "name" and isinstance(pair.value, Scalar)
    ]
    if names:
        hint = f"write the name in front, without - and name: {names[0]}: {{...}}"
        reading.error(node, f"{label} must be a map of names, not a list", hint)
        return
    match node:
        case Items(nodes=(Map(pairs=(Pair(key=Scalar(text=name)), *_)), *_)):
            reading.error(
                node, f"{label} must be a map of names, not a list", f"write {name}: without - in front of it"
            )
            return
    values.expect_map(reading, node, label, "name:")


def _check_keys(reading: Reading, node: Map, section: type[Section], label: str) -> None:
    keys = keys_of(section)
    written = {pair.key.text for pair in node.pairs}
    for pair in node.pairs:
        if pair.key.text not in keys and not (section.may_have_x and pair.key.text.startswith("x-")):
            if "${" in section.foreign.get(pair.key.text, ""):
                hide_all(reading.report, pair.value)
            _report_unknown(reading, pair.key, section, label)
    for text, (_, declared) in keys.items():
        if declared.required and text not in written:
            reading.error(node, f'{label or "the file"} has no "{text}"', declared.about)


def is_nothing(node: Node) -> bool:
    """Whether a section is empty or null."""
    return isinstance(node, Scalar) and node.value is None


#: Keys that other tools use, and the key that is meant.
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
    elsewhere = reading.home_of(key.text)
    if key.text in _FOREIGN and _FOREIGN[key.text] in keys_of(section):
        reading.error(key, f'unknown key "{key.text}" in {label}', f"write {_FOREIGN[key.text]}")
        return
    if key.text in section.foreign:
        reading.error(key, f'{section.noun} cannot have "{key.text}"', f"write {section.foreign[key.text]}")
        return
    if elsewhere:
        reading.error(key, f'"{key.text}" belongs to {elsewhere}, not to {section.noun}', "move it there")
        return
    known = keys_of(section)
    name, colon, _ = key.text.partition(":")
    if colon and name in known:
        # What follows could be a secret.
        reading.error(key, f'"{name}:" has no space after its colon', f"write {name}: ...")
        return
    where = f" in {label}" if label else ""
    reading.error(key, f'unknown key "{key.text}"{where}', suggest_or_list(key.text, known))


def nested(section: type[S]) -> Parser[S]:
    """A parser for a value that is itself a section."""

    @shaped({"$ref": section})
    def parse(reading: Reading, node: Node, label: str) -> S | None:
        return read_section(reading, node, section, label)

    return parse


def map_by_name(parse: Parser[T], noun: str) -> Parser[Mapping[str, T]]:
    """A parser for a map whose keys are names that the user chooses."""

    @shaped(
        {
            "type": ["object", "null"],
            "propertyNames": shape_of(values.name),
            "additionalProperties": shape_of(parse),
        }
    )
    def parse_all(reading: Reading, node: Node, label: str) -> Mapping[str, T] | None:
        if is_nothing(node):
            return {}
        if not isinstance(node, Map):
            _expect_names(reading, node, label)
            reading.unread.add(noun)
            return None
        found: dict[str, T] = {}
        for pair in node.pairs:
            if not values.is_name(pair.key.text):
                reading.error(pair.key, f'"{pair.key.text}" is not a valid {noun} name', NAME_RULE)
            value = parse(reading, pair.value, f'{noun} "{pair.key.text}"')
            if value is not None:
                found[pair.key.text] = value
            else:
                reading.unread.add((noun, pair.key.text))
        return found

    return parse_all
