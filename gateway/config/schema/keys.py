"""Keys and sections of routes.yaml as dataclasses, and the walk that reads a section by its declarations.

One class per section, one field per key. To add a key, add a field: nothing else lists the keys.
"""

import dataclasses
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final, TypeVar

from gateway.config.schema import addressing, values
from gateway.config.schema.foreign import shown
from gateway.config.schema.instead import beside, header_in, instead, snake
from gateway.config.schema.reading import GRANTING, Parser, Reading, Shape, shape_of, shaped
from gateway.config.schema.remedies import Instead, Remedy, write, write_part
from gateway.config.schema.values import NAME_RULE
from gateway.config.text import indentation
from gateway.config.text.reader import Items, Map, Node, Pair, Scalar, hide_all
from gateway.config.text.report import Report
from gateway.egress.files import path_in
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
    def meant_by(cls, _text: str) -> str:
        """What to write instead of a text, by what it says."""
        return cls.instead_of_text

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
    meant, covered = _check_keys(reading, node, section, label)
    read = {
        text: keys[text][1].parse(reading, pair.value, f'"{text}" of {label}' if label else f'"{text}"')
        for text, pair in written.items()
        if text in keys and text not in covered
    }
    kept = {keys[text][0]: value for text, value in read.items() if value is not None}
    kept["options"] = {text: value for text, value in read.items() if text in section.options_known and value}
    is_faulty = not written.keys() <= keys.keys() or any(value is None for value in read.values())
    return section(place=node.place, written=written, meant=meant, is_faulty=is_faulty, **kept)


def _expect_section(reading: Reading, node: Node, section: type[Section], label: str) -> None:
    """Report a section that is not a map; an address alone is meant as the url of a destination."""
    if isinstance(node, Scalar) and "url" in keys_of(section) and re.match(r"https?://|\$\{", node.text):
        reading.error(node, f"{label} must be a map", f"write {addressing.around(label, node.text)}")
        return
    if isinstance(node, Scalar) and "path" in keys_of(section) and (path := path_in(node.text)):
        reading.error(node, f"{label} must be a map", f"write {{type: file, path: {path}}}")
        return
    right = section.meant_by(node.text) if isinstance(node, Scalar) else section.instead_of_text
    if right and not isinstance(node, Map):
        reference = re.search(r"\$\{[^}]*\}", node.text) if isinstance(node, Scalar) else None
        header = header_in(node.text) if isinstance(node, Scalar) else ""
        if reference is None and not (header and "{header: " in right) and section.is_text_secret:
            hide_all(reading.report, node)
        hint = right.replace("${TOKEN}", reference[0] if reference else "${TOKEN}")
        hint = re.sub(r"(?<=\{header: )x-[a-z]+(?=\})", header or r"\g<0>", hint)
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
        hint = f"write {names[0]}: {{...}}, with the name as the key"
        reading.error(node, f"{label} must be a map of names, not a list", hint)
        return
    match node:
        case Items(nodes=(Map(pairs=(Pair(key=Scalar(text=name)), *_)), *_)):
            reading.error(
                node, f"{label} must be a map of names, not a list", f"write {name}: without - in front of it"
            )
            return
    values.expect_map(reading, node, label, "name:")


def _check_keys(reading: Reading, node: Map, section: type[Section], label: str) -> tuple[frozenset[str], set[str]]:
    """Report unknown and missing keys; the keys that unknown ones are meant as, and those that their hints cover."""
    keys = keys_of(section)
    written = {pair.key.text: pair.value for pair in node.pairs}
    around = _Around(node, section, label, written, section.fitting(node))
    meant: set[str] = set()
    unknown = [
        pair
        for pair in node.pairs
        if pair.key.text not in keys and not (section.may_have_x and pair.key.text.startswith("x-"))
    ]
    # The keys that another hint covers, and whether it has a variable instead of what they say.
    covered: dict[str, bool] = {}
    # What a name of another product is meant as may cover other keys, too.
    for pair in sorted(unknown, key=lambda each: each.key.text not in section.foreign):
        if pair.key.text not in covered:
            found = _report_unknown(reading, pair, around)
            meant |= {*found.keys}
            covered |= dict.fromkeys(found.covered, "${" in found.hint)
        else:
            _hide_granting(reading.report, pair, everything=covered[pair.key.text])
    for text, (_, declared) in keys.items():
        if declared.required and text not in written and text not in meant:
            reading.error(node, f'{label or "the file"} has no "{text}"', declared.remedy or declared.about)
    return frozenset(meant), {*covered}


#: How like a key another one must be to be taken for it, whatever else has that name, and where nothing else has.
_SAME: Final = 0.88
_LIKE: Final = 0.7
#: Letters of a short key.
_FEW: Final = 4
#: A value that a hint may repeat.
_SHORT: Final = re.compile(r"[^\n$]{1,40}")


@dataclass(frozen=True, slots=True)
class _Around:
    """The map that an unknown key is in: what is about all of its keys is made once."""

    node: Map
    section: type[Section]
    label: str
    #: The values by key.
    written: Mapping[str, Node]
    #: The keys that it can have.
    known: Collection[str]


def _report_unknown(reading: Reading, pair: Pair, around: _Around) -> Instead:
    """Report a key that a section does not have; what is meant by it."""
    key, name, section, known, written = pair.key, pair.key.text, around.section, around.known, around.written
    unknown = f'unknown key "{name}"' + (f" in {around.label}" if around.label else "")
    found = instead(pair, around.node, section.foreign, known)
    _hide_granting(reading.report, pair, everything=found is not None and "${" in found.hint)
    if found is not None:
        reading.guess(reading.error(key, unknown, beside(found, name, written)), found.guessed)
        return found
    before, colon, _ = name.partition(":")
    if colon and before in known:
        # What follows could be a secret.
        reading.error(key, f'"{before}:" has no space after its colon', f"write {before}: ...")
        return write(before)
    close = next((each for each in known if folded(each) == folded(name)), "") or closest(name, known, closeness=_SAME)
    if not close and (misplaced := _misplaced(reading, pair, around)):
        where, right = misplaced
        reading.error(key, f'"{name}" belongs to {where}, not to {section.noun}', beside(right, name, written))
        return right
    close = close or closest(name, known, closeness=_LIKE)
    # A short word is in many others: rate in rotate.
    close = close if len(close) > _FEW or len(name) <= len(close) + 1 or close in re.split("[_-]", snake(name)) else ""
    lines = reading.report.of_place(key.place).lines
    if not close and (of_text := indentation.unindented_text(key.place.line, lines, is_key=True)):
        reading.error(key, of_text.message, of_text.hint)
        return Instead(of_text.hint)
    hint = f'did you mean "{close}"?' if close else f"known: {', '.join(known)}"
    if close in written:
        hint = f'did you mean "{close}", which is already there?'
    reading.error(key, unknown, hint)
    return Instead(hint, (close,) if close else ())


#: Keys whose value says how something is done, so it is not a secret.
_OPEN: Final = frozenset({"type", "scheme", "method", "kind", "in"})


def _hide_granting(report: Report, pair: Pair, *, everything: bool) -> None:
    """Never show what may be a secret by its key."""
    if (everything and pair.key.text not in _OPEN) or GRANTING.search(pair.key.text):
        hide_all(report, pair.value)
        return
    for node in pair.value.nodes if isinstance(pair.value, Items) else (pair.value,):
        for each in node.pairs if isinstance(node, Map) else ():
            _hide_granting(report, each, everything=False)


def _misplaced(reading: Reading, pair: Pair, around: _Around) -> tuple[str, Instead] | None:
    """The section that a key belongs to, and what to write there; one below this section comes first."""
    name, section = pair.key.text, around.section
    elsewhere = reading.home_of(name, section)
    if elsewhere.startswith(("a ", "the ")):
        # It is a key of a whole section.
        return elsewhere, Instead("move it there")
    below = [(text, inner) for text in around.known for inner in _sections_below(keys_of(section)[text][1])]
    exact = [(text, inner) for text, inner in below if name in keys_of(inner)]
    nearly = [(text, inner) for text, inner in below if inner.foreign.get(name) in keys_of(inner)]
    for text, inner in (exact + nearly)[:1]:
        together = [
            pair,
            *(each for each in around.node.pairs if each is not pair and _is_only_below(each, inner, section)),
        ]
        parts = [f"{_name_below(each, inner)}: {_repeated(each)}" for each in together]
        return text, write_part(text, f"{{{', '.join(parts)}}}", [each.key.text for each in together])
    return (elsewhere, Instead("move it there")) if elsewhere else None


def _is_only_below(pair: Pair, inner: type[Section], section: type[Section]) -> bool:
    """Whether a key is one of the section below, and has no meaning in this one."""
    name = pair.key.text
    return name in keys_of(inner) and name not in keys_of(section) and name not in section.foreign


def _name_below(pair: Pair, inner: type[Section]) -> str:
    """The key of a section that one is meant as which it has, or has under another name."""
    name = pair.key.text
    return name if name in keys_of(inner) else str(inner.foreign[name])


def _repeated(pair: Pair) -> str:
    """A value as a hint repeats it; dots for one that may be a secret, or is long."""
    value = pair.value if not GRANTING.search(pair.key.text) else None
    return shown(value) if isinstance(value, Scalar) and _SHORT.fullmatch(value.text) else "..."


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
