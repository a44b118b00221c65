"""The declarations: every key of routes.yaml, where it belongs, how its value is read, what it is for.

One class for each place. To add a key: one field. The loader walks the fields; nothing else knows the keys.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from gateway.config.schema import conditions, trees, values
from gateway.config.schema.conditions import Where
from gateway.config.schema.destinations import AuthKeys, DefaultsKeys, DestinationKeys, read_destination
from gateway.config.schema.entries import EntryKeys, OnceKeys, entries_of
from gateway.config.schema.keys import Section, is_nothing, key, keys_of, map_by_name, nested, read_section
from gateway.config.schema.reading import Reading, Unfit, Words, shaped
from gateway.config.schema.retry import RetryKeys
from gateway.config.schema.sources import RedactKeys, SourceKeys
from gateway.config.schema.success import SuccessKeys
from gateway.config.schema.tests import CheckKeys, TestKeys, read_tests
from gateway.config.text.reader import Map, Node
from gateway.errors import Place


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
    if is_nothing(node):
        return {}
    if not isinstance(node, Map):
        values.expect_map(reading, node, label, "name: value")
        return None
    found = ((pair, trees.plain(reading, pair.value, f'"{pair.key.text}" in {label}')) for pair in node.pairs)
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


@dataclass(frozen=True, kw_only=True)
class RetentionKeys(Section):
    """Shorter than a minute nothing is kept: so often is looked for what may go."""

    noun = "retention"
    events: float | None = key(
        values.duration(60, values.LONGEST), "how long an event stays in the store with its deliveries: 30d"
    )
    bodies: float | None = key(
        values.duration(60, values.LONGEST),
        "how long its body stays, once none of its deliveries is pending or dead; as long as the event if left out",
    )
    attempts: float | None = key(values.duration(60, values.LONGEST), "how long the record of an attempt stays: 30d")
    dead: float | None = key(
        values.duration(60, values.LONGEST), "how long a delivery that was given up stays, with its event: 90d"
    )


@dataclass(frozen=True, kw_only=True)
class IncludedKeys(Section):
    """What a file may hold that another one includes."""

    noun = "an included file"
    may_have_x = True
    sources: Mapping[str, SourceKeys] = key(map_by_name(nested(SourceKeys), "source"), "who sends events", factory=dict)
    destinations: Mapping[str, DestinationKeys] = key(
        map_by_name(read_destination, "destination"), "how to reach whom", factory=dict
    )
    vars: Mapping[str, Variable] = key(
        _vars, "values of your own, under vars. in conditions and templates: {statuses: {3: Qualified}}", factory=dict
    )
    conditions: Mapping[str, NamedCondition] = key(
        map_by_name(_condition, "condition"),
        "conditions by name, for is: in where: {vip: {attrs.type: partner}}",
        factory=dict,
    )
    always: tuple[EntryKeys, ...] = key(
        entries_of("always"), "for every event, whatever else becomes of it", default=()
    )
    routes: tuple[EntryKeys, ...] = key(
        entries_of("routes"), "what to say to whom; every route that matches sends", default=()
    )
    unmatched: tuple[EntryKeys, ...] = key(
        entries_of("unmatched"), "for events that no entry of routes took", default=()
    )
    failed: tuple[EntryKeys, ...] = key(
        entries_of("failed"), "whom to tell of deliveries that are given up; see delivery. in templates", default=()
    )
    tests: tuple[TestKeys, ...] = key(read_tests, "events and what becomes of them, for gateway test", default=())


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
        values.names_list,
        "more files, by pattern: routes.d/*.yaml; their entries come behind those of this file",
        default=(),
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


def home_of(key: str) -> str:
    """The kind of section that has such a key; empty: none."""
    return next((section.noun for section in _PLACES if key in keys_of(section)), "")


def read_file(reading: Reading, node: Node) -> FileKeys | None:
    """The whole file by its declarations."""
    return read_section(reading, node, FileKeys, "")


def read_included(reading: Reading, node: Node, file: str) -> IncludedKeys | None:
    """A file that another one includes."""
    return read_section(reading, node, IncludedKeys, file)
