"""Keys and sections of routes.yaml as dataclasses, and the walk that reads a section by its declarations.

One class per section, one field per key. To add a key, add a field: nothing else lists the keys.
"""

import dataclasses
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final, TypeVar

from gateway.config.schema import values
from gateway.config.schema.instead import GRANTING, Remedy, beside, instead, meant_by
from gateway.config.schema.reading import Parser, Reading, Shape, shape_of, shaped
from gateway.config.schema.values import NAME_RULE
from gateway.config.text.reader import Items, Map, Node, Pair, Scalar, hide_all
from gateway.config.text.report import Report
from gateway.errors import Place
from gateway.render import TemplateText
from gateway.wording import closest, folded

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
    #: What to do where it is required and not there, if ``about`` does not say it.
    remedy: str = ""
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
    remedy: str = "",
) -> Any:
    """Declare one key, as the default of its field."""
    declared = Key(parse=parse, about=about, required=required, name=name, types=types, usual=usual, remedy=remedy)
    metadata = {"key": declared}
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
    #: Keys of other products or sections that people write here, and what to write instead.
    foreign: ClassVar[Mapping[str, Remedy]] = {}
    #: What to write instead of a text or a list; a reference in that text replaces ``${TOKEN}``. Empty: nothing in particular.
    instead_of_text: ClassVar[str] = ""
    #: Whether such a text could be a secret.
    is_text_secret: ClassVar[bool] = True
    #: Whether keys that start with ``x-`` are the user's own.
    may_have_x: ClassVar[bool] = False
    #: Keys that no field declares: the options of destination types.
    options_known: ClassVar[Mapping[str, Key]] = {}
    #: Their values.
    options: Mapping[str, TemplateText] = dataclasses.field(default_factory=dict)
    #: Keys that others were written for, which are reported: nothing is missing that one of them is meant as.
    meant: frozenset[str] = frozenset()
    #: Whether a key, or the value of one, was reported.
    is_faulty: bool = False

    def has(self, key: str) -> bool:
        """Whether a key is written, or another one that is meant as it."""
        return key in self.written or key in self.meant

    def means(self, key: str) -> bool:
        """Whether a key was written for another one, here or in a section below."""
        return key in self.meant or any(each.means(key) for each in self._below())

    def was_reported(self) -> bool:
        """Whether a problem of its keys was reported, or of those of a section below."""
        return self.is_faulty or any(each.was_reported() for each in self._below())

    def _below(self) -> Iterator["Section"]:
        values = (getattr(self, each.name) for each in dataclasses.fields(self))
        yield from (value for value in values if isinstance(value, Section))

    def value_at(self, key: str, name: str) -> Node | None:
        """The value of a name in the map under a key, as written; None if it is not there."""
        value = self.written[key].value if key in self.written else None
        pairs = value.pairs if isinstance(value, Map) else ()
        return next((pair.value for pair in pairs if pair.key.text == name), None)

    @classmethod
    def fitting(cls, _node: Map) -> Collection[str]:
        """The keys that such a map can have."""
        return keys_of(cls)

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


def place_of(section: Section, path: str) -> Place:
    """The place of ``signature.signed`` in a section; of the last part of it that is written."""
    place = section.place
    for part in filter(None, path.split(".")):
        place = section.at(part)
        inner = next((getattr(section, each.name) for each in dataclasses.fields(section) if each.name == part), None)
        if not isinstance(inner, Section):
            break
        section = inner
    return place


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
    meant = _check_keys(reading, node, section, label)
    read = {
        text: keys[text][1].parse(reading, pair.value, f'"{text}" of {label}' if label else f'"{text}"')
        for text, pair in written.items()
        if text in keys
    }
    kept = {keys[text][0]: value for text, value in read.items() if value is not None}
    kept["options"] = {text: value for text, value in read.items() if text in section.options_known and value}
    is_faulty = not written.keys() <= keys.keys() or any(value is None for value in read.values())
    return section(place=node.place, written=written, meant=meant, is_faulty=is_faulty, **kept)


def _expect_section(reading: Reading, node: Node, section: type[Section], label: str) -> None:
    """Report a section that is not a map; an address alone is meant as the url of a destination."""
    if isinstance(node, Scalar) and "url" in keys_of(section) and re.match(r"https?://|\$\{", node.text):
        reading.error(node, f"{label} must be a map", "write {url: ...} around the address")
        return
    if section.instead_of_text and not isinstance(node, Map):
        reference = re.search(r"\$\{[^}]*\}", node.text) if isinstance(node, Scalar) else None
        if reference is None and section.is_text_secret:
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


def _check_keys(reading: Reading, node: Map, section: type[Section], label: str) -> frozenset[str]:
    """Report unknown and missing keys; the keys that unknown ones are meant as."""
    keys = keys_of(section)
    written = {pair.key.text for pair in node.pairs}
    meant: set[str] = set()
    for pair in node.pairs:
        if pair.key.text not in keys and not (section.may_have_x and pair.key.text.startswith("x-")):
            meant |= {*_report_unknown(reading, pair, node, section, label)}
    for text, (_, declared) in keys.items():
        if declared.required and text not in written | meant:
            reading.error(node, f'{label or "the file"} has no "{text}"', declared.remedy or declared.about)
    return frozenset(meant)


#: How like a key another one must be to be taken for it, whatever else has that name, and where nothing else has.
_SAME: Final = 0.88
_LIKE: Final = 0.7
#: A value that a hint may repeat.
_SHORT: Final = re.compile(r"[\w.:/%-]{1,40}")


def _report_unknown(reading: Reading, pair: Pair, node: Map, section: type[Section], label: str) -> Collection[str]:
    """Report a key that a section does not have; the keys that are meant by it."""
    key, name, known = pair.key, pair.key.text, section.fitting(node)
    unknown = f'unknown key "{name}"' + (f" in {label}" if label else "")
    hint = instead(pair, node, section.foreign, known)
    _hide_granting(reading.report, pair, everything="${" in hint)
    if hint:
        message = f'{section.noun} cannot have "{name}"' if name in section.foreign else unknown
        reading.error(key, message, beside(hint, {each.key.text for each in node.pairs if each is not pair}))
        return meant_by(hint)
    before, colon, _ = name.partition(":")
    if colon and before in known:
        # What follows could be a secret.
        reading.error(key, f'"{before}:" has no space after its colon', f"write {before}: ...")
        return (before,)
    close = next((each for each in known if folded(each) == folded(name)), "") or closest(name, known, closeness=_SAME)
    if not close and (misplaced := _misplaced(reading, pair, section, known)):
        reading.error(key, *misplaced)
        return ()
    close = close or closest(name, known, closeness=_LIKE)
    hint = f'did you mean "{close}"?' if close else f"known: {', '.join(known)}"
    if any(each.key.text == close for each in node.pairs):
        hint = f'did you mean "{close}", which is already there?'
    reading.error(key, unknown, hint)
    return (close,) if close else ()


def _hide_granting(report: Report, pair: Pair, *, everything: bool) -> None:
    """Never show what may be a secret by its key."""
    if everything or GRANTING.search(pair.key.text):
        hide_all(report, pair.value)
        return
    for node in pair.value.nodes if isinstance(pair.value, Items) else (pair.value,):
        for each in node.pairs if isinstance(node, Map) else ():
            _hide_granting(report, each, everything=False)


def _misplaced(reading: Reading, pair: Pair, section: type[Section], known: Collection[str]) -> tuple[str, str] | None:
    """What is wrong with a key that belongs to another section, and what to do; a section below this one comes first."""
    name = pair.key.text
    elsewhere = reading.home_of(name)
    if elsewhere.startswith(("a ", "the ")):
        # It is a key of a whole section.
        return f'"{name}" belongs to {elsewhere}, not to {section.noun}', "move it there"
    below = [(text, inner) for text in known for inner in _sections_below(keys_of(section)[text][1])]
    exact = [(text, name) for text, inner in below if name in keys_of(inner)]
    nearly = [(text, right) for text, inner in below if (right := inner.foreign.get(name)) in keys_of(inner)]
    for text, right in (exact + nearly)[:1]:
        value = pair.value.text if isinstance(pair.value, Scalar) and not GRANTING.search(name) else ""
        shown = value if _SHORT.fullmatch(value) else "..."
        return f'"{name}" belongs to {text}, not to {section.noun}', f"write {text}: {{{right}: {shown}}}"
    return (f'"{name}" belongs to {elsewhere}, not to {section.noun}', "move it there") if elsewhere else None


def _sections_below(declared: Key) -> Iterator[type[Section]]:
    """The sections that the value of a key can be."""
    shape = shape_of(declared.parse)
    yield from (each["$ref"] for each in (shape, *shape.get("anyOf", ())) if "$ref" in each)


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
        if values.is_nothing(node):
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
