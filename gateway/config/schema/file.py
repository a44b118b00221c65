"""The top level of routes.yaml, and of the files that it includes."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_network
from typing import ClassVar, Final

from gateway.config.schema import conditions, trees, values
from gateway.config.schema.auth import AuthKeys
from gateway.config.schema.conditions import Where
from gateway.config.schema.destinations import DefaultsKeys, DestinationKeys, read_destination
from gateway.config.schema.entries import EntryKeys, FetchKeys, OnceKeys, entries_of
from gateway.config.schema.hours import DebounceKeys, DigestKeys, EntryHoursKeys
from gateway.config.schema.keys import Section, key, keys_of, map_by_name, nested, read_section
from gateway.config.schema.memory import RecallKeys, RememberKeys
from gateway.config.schema.operands import as_written
from gateway.config.schema.reading import Reading, Unfit, Words, shape_of, shaped
from gateway.config.schema.remedies import Remedy, write
from gateway.config.schema.retry import RetryKeys
from gateway.config.schema.sources import FollowUpKeys, RedactKeys, SilenceKeys, SourceKeys, read_source
from gateway.config.schema.success import SuccessKeys
from gateway.config.schema.tests import CheckKeys, TestKeys, read_tests
from gateway.config.text.reader import Map, Node
from gateway.errors import Place
from gateway.routing.peers import Network
from gateway.wording import closest


def _version(written: Words, label: str) -> int:
    if written.text != "1":
        raise Unfit(f"{label}: {as_written(written.node)} is not a valid version", "write version: 1")
    return 1


@shaped({**values.TEXT, "pattern": r"^https?://|\$\{"})
def _console_url(reading: Reading, node: Node, label: str) -> Words | None:
    return values.words(reading, node, label)


def _trusted(written: Words, label: str) -> Network:
    try:
        network = ip_network(written.text, strict=False)
    except ValueError:
        hint = "write one such as 10.0.0.0/8 or 203.0.113.7"
        raise Unfit(f'{label}: "{written.shown}" is not an address or a network', hint) from None
    if not network.prefixlen:
        hint = "name the proxies' own addresses or networks"
        raise Unfit(f'{label}: "{written.shown}" would let every client choose its own address', hint)
    return network


_network: Final = values.typed(
    _trusted, {**values.TEXT, "title": "address or network", "pattern": r"^[0-9A-Fa-f:.]+(?:/[0-9]{1,3})?$|\$\{"}
)


@dataclass(frozen=True, slots=True)
class Variable:
    """One of ``vars``."""

    place: Place
    value: object


@shaped({"type": ["object", "null"]})
def _vars(reading: Reading, node: Node, label: str) -> Mapping[str, Variable] | None:
    if values.is_nothing(node):
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
    """At least a minute each: the store is pruned once a minute."""

    noun = "retention"
    events: float | None = key(
        values.duration(60, values.LONGEST), "how long an event and its deliveries are kept: 30d", usual="30d"
    )
    bodies: float | None = key(
        values.duration(60, values.LONGEST),
        "how long an event's body is kept once none of its deliveries is pending or dead; as long as the event if left out",
    )
    attempts: float | None = key(
        values.duration(60, values.LONGEST), "how long the record of an attempt is kept: 30d", usual="30d"
    )
    dead: float | None = key(
        values.duration(60, values.LONGEST), "how long a dead delivery and its event are kept: 90d", usual="90d"
    )


@dataclass(frozen=True, kw_only=True)
class LimitsKeys(Section):
    noun = "limits"
    max_pending: int | None = key(
        values.integer(1, 1_000_000_000),
        "how many deliveries may wait before new events are refused: 1000000",
        usual=1_000_000,
    )
    free_disk: int | None = key(
        values.size(0, "1000GiB"),
        "how much of the store's disk stays free before new events are refused: 1GiB; usually 2 % of the disk, at "
        "least 256MiB and at most 2GiB, but no more than 10 %",
    )
    share_private: bool = key(
        values.boolean,
        "true: loopback and private addresses, too, may have only their share of the connections and of the bytes",
        default=False,
    )


#: Sections whose names other parts of the file refer to, and what each of them names.
_NAMED: Final[Mapping[str, str]] = {"sources": "source", "destinations": "destination", "conditions": "condition"}


_VARIABLES: Final = write(
    "vars",
    more=" for values of your own; for a secret or another environment variable, write ${NAME} where it is used",
)


@dataclass(frozen=True, kw_only=True)
class IncludedKeys(Section):
    """What an included file may contain."""

    noun = "an included file"
    may_have_x = True
    foreign: ClassVar[Mapping[str, Remedy]] = {
        **{singular: plural for plural, singular in _NAMED.items()},
        **dict.fromkeys(("route", "rule", "rules", "handlers", "workflows", "pipelines"), "routes"),
        **dict.fromkeys(("inputs", "webhooks", "providers", "senders"), "sources"),
        **dict.fromkeys(("outputs", "receivers", "targets", "sinks", "services", "endpoints"), "destinations"),
        **dict.fromkeys(("variables", "env", "environment", "secrets"), _VARIABLES),
        "test": "tests",
    }
    sources: Mapping[str, SourceKeys] = key(map_by_name(read_source, "source"), "who sends events", factory=dict)
    destinations: Mapping[str, DestinationKeys] = key(
        map_by_name(read_destination, "destination"), "where events can be delivered", factory=dict
    )
    vars: Mapping[str, Variable] = key(
        _vars,
        "your own values, written vars.name in conditions and templates: {statuses: {3: Qualified}}",
        factory=dict,
    )
    conditions: Mapping[str, NamedCondition] = key(
        map_by_name(_condition, "condition"),
        "named conditions, for is: in where: {vip: {attrs.type: partner}}",
        factory=dict,
    )
    always: tuple[EntryKeys, ...] = key(
        entries_of("always"), "entries for every event, whichever routes match", default=()
    )
    routes: tuple[EntryKeys, ...] = key(
        entries_of("routes"), "what to send where; every route that matches sends", default=()
    )
    unmatched: tuple[EntryKeys, ...] = key(
        entries_of("unmatched"), "entries for events that no route matches", default=()
    )
    invalid: tuple[EntryKeys, ...] = key(
        entries_of("invalid"),
        "entries for events that do not fit the schema of their source; templates have invalid.path and invalid.reason",
        default=(),
    )
    failed: tuple[EntryKeys, ...] = key(
        entries_of("failed"), "who to notify of dead deliveries; templates have delivery.", default=()
    )
    tests: tuple[TestKeys, ...] = key(read_tests, "events and what should happen to them, for gateway test", default=())

    @property
    def entries(self) -> tuple[EntryKeys, ...]:
        """The entries of all sections."""
        return (*self.always, *self.routes, *self.unmatched, *self.invalid, *self.failed)


@dataclass(frozen=True, kw_only=True)
class FileKeys(IncludedKeys):
    noun = "the top level of the file"
    foreign: ClassVar[Mapping[str, Remedy]] = {
        **IncludedKeys.foreign,
        **dict.fromkeys(("api_version", "schema_version", "file_version", "config_version"), write("version", "1")),
    }
    version: int = key(
        values.typed(_version, {"enum": [1, "1"]}),
        "the version of the file format: 1",
        default=1,
        required=True,
        remedy="write version: 1",
    )
    defaults: DefaultsKeys | None = key(
        nested(DefaultsKeys), "values for destinations that do not set the key themselves"
    )
    console_url: Words | None = key(
        _console_url, "where people reach the console, for links in messages: https://gateway.example.com"
    )
    retention: RetentionKeys | None = key(
        nested(RetentionKeys),
        "how long events and deliveries are kept: {events: 30d, bodies: 7d, attempts: 30d, dead: 90d}",
    )
    limits: LimitsKeys | None = key(
        nested(LimitsKeys), "how much the gateway accepts: {max_pending: 1000000, free_disk: 1GiB, share_private: true}"
    )
    trusted_proxies: tuple[Network, ...] = key(
        values.one_or_more(_network),
        "proxies in front of the gateway, whose X-Forwarded-For or Forwarded names the client: [10.0.0.0/8, 203.0.113.7]",
        default=(),
    )
    include: tuple[Words, ...] = key(
        values.names_list,
        "more files, by pattern: routes.d/*.yaml; their entries come after those of this file",
        default=(),
    )


#: Where a misplaced key may belong, the likeliest section first.
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
    EntryHoursKeys,
    DigestKeys,
    DebounceKeys,
    RememberKeys,
    RecallKeys,
    FetchKeys,
    RetentionKeys,
    LimitsKeys,
    RedactKeys,
    SilenceKeys,
    FollowUpKeys,
)


def _within(section: type[Section]) -> frozenset[type[Section]]:
    """The sections in a section, and in those."""
    found = {inner for _, declared in keys_of(section).values() for inner in _referred(shape_of(declared.parse))}
    return frozenset(found.union(*(_within(each) for each in found)))


def _referred(shape: object) -> Iterator[type[Section]]:
    """The sections that a shape refers to, however deep."""
    if isinstance(shape, Mapping):
        if "$ref" in shape:
            yield shape["$ref"]
        for each in shape.values():
            yield from _referred(each)
    for each in shape if isinstance(shape, list | tuple) else ():
        yield from _referred(each)


#: More types are not listed.
_FEW_TYPES: Final = 3


def home_of(key: str, section: type[Section]) -> str:
    """The section that has such a key, as a noun; empty: none. A part of a section has only those around it."""
    is_whole = section.noun.startswith(("a ", "an ", "the ", "defaults"))
    places = (each for each in _PLACES if key in keys_of(each))
    fitting = (each for each in places if is_whole or section in _within(each) or each.noun.startswith(section.noun))
    return next((each.noun + _of_types(keys_of(each)[key][1].types) for each in fitting), "")


def _of_types(types: Sequence[str]) -> str:
    """Few types of destination that have a key."""
    return f" of type {' or '.join(types)}" if 0 < len(types) <= _FEW_TYPES else ""


def read_file(reading: Reading, node: Node) -> FileKeys | None:
    """Read the whole file by its declarations."""
    _miss_misnamed(reading, node)
    return read_section(reading, node, FileKeys, "")


def read_included(reading: Reading, node: Node, file: str) -> IncludedKeys | None:
    """Read a file that another one includes."""
    _miss_misnamed(reading, node)
    return read_section(reading, node, IncludedKeys, file)


def _miss_misnamed(reading: Reading, node: Node) -> None:
    """No name is unknown that may be below a key which is meant as its section: ``destination:``."""
    written = [pair.key.text for pair in node.pairs] if isinstance(node, Map) else []
    known = keys_of(FileKeys)
    for key_text in (each for each in written if each not in known):
        right = FileKeys.foreign.get(key_text)
        meant = right if isinstance(right, str) else closest(key_text, known)
        if meant in _NAMED:
            reading.unread.add(_NAMED[meant])
