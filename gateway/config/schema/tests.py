"""The keys of ``tests``."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar, Final

from gateway.config.schema import foreign, items, trees, values
from gateway.config.schema.keys import Section, key, read_section
from gateway.config.schema.memory import Remembered, remembered
from gateway.config.schema.reading import Reading, Shape, Unfit, Words, shaped
from gateway.config.schema.remedies import Instead, Remedy, write
from gateway.config.text.reader import Broken, Items, Map, Node, Pair, Scalar
from gateway.routing.cases import Plain
from gateway.routing.hours import DAYS


@shaped(values.some({**values.TEXT, "minLength": 1}))
def _sought(reading: Reading, node: Node, label: str) -> tuple[Words, ...] | None:
    found = values.one_or_more(values.words)(reading, node, label)
    if found is not None and (not found or any(each.text == "" for each in found)):
        reading.error(
            node, f"{label} is an empty text or list, which every body contains", "write a text, or remove the key"
        )
        return None
    return found


_ISO: Final = (
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,6})?)?(?:[Zz]|[+-][0-9]{2}:?[0-9]{2})"
)
_WEEKLY: Final = re.compile(rf"({'|'.join(DAYS)}) ([01][0-9]|2[0-3]):[0-5][0-9]", re.IGNORECASE)
_LIKE_TIME: Final = "write a date, a time and an offset: 2026-11-30T08:00:00Z"


def _moment(written: Words, label: str) -> float:
    """Seconds since the epoch."""
    try:
        if re.fullmatch(_ISO, written.text):
            return datetime.fromisoformat(written.text).timestamp()
    except ValueError:
        pass
    raise Unfit(f'{label}: "{written.shown}" is not a time with an offset', _LIKE_TIME)


def _waits(written: Words, label: str) -> str | float:
    if written.text == "none" or _WEEKLY.fullmatch(written.text):
        return written.text.capitalize()
    try:
        return _moment(written, label)
    except Unfit as error:
        raise Unfit(error.message.replace("a time with an offset", "a moment"), "write mon 09:00, or none") from None


_now: Final = values.typed(_moment, {**values.TEXT, "title": "time", "pattern": rf"^(?:{_ISO})$|\$\{{"})
_until: Final = values.typed(
    _waits, {**values.TEXT, "title": "moment", "pattern": rf"^(?:none|(?i:{_WEEKLY.pattern})|{_ISO})$|\$\{{"}
)


@dataclass(frozen=True, kw_only=True)
class CheckKeys(Section):
    """What a test expects of one delivery."""

    noun = "an expectation"
    foreign: ClassVar[Mapping[str, Remedy]] = {
        "body": Instead("write json or text", ("json", "text")),
        **dict.fromkeys(("times", "calls", "deliveries"), "count"),
        **dict.fromkeys(("includes", "include", "has"), "contains"),
        **dict.fromkeys(("excludes", "exclude"), "not_contains"),
    }
    method: str | None = key(values.method, "the method of the request")
    url: Words | None = key(values.words, "the whole url of the request")
    headers: Mapping[str, Words] = key(values.map_of(values.words), "headers of the request", factory=dict)
    json: Plain | None = key(trees.json, "the body as JSON")
    json_contains: Plain | None = key(trees.json, "JSON that the body contains; it may have more")
    text: Words | None = key(values.words, "the body as text, or what the message says")
    contains: tuple[Words, ...] = key(_sought, "texts that the body contains", default=())
    not_contains: tuple[Words, ...] = key(
        _sought,
        "texts that the body does not contain, nor the body of any other delivery that this line is about",
        default=(),
    )
    count: int | None = key(values.integer(1, 1000), "how many deliveries go there")
    waits_until: str | float | None = key(
        _until,
        "when it is sent, if not at once: mon 09:00 in the time zone of the hours, or a time with its offset: "
        "2026-11-30T09:00:00+01:00; none: it is sent at once",
    )


@dataclass(frozen=True, slots=True)
class Expected:
    """One destination of ``expect``, or the word for another outcome."""

    name: Scalar
    #: None: nothing more is expected; a Scalar: ``verbatim``, or the text of ``failed``.
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
        case Map(pairs=(Pair(key=Scalar(text=word), value=listed),)) if word in _ADDRESSING and _are_names(listed):
            named = foreign.shown(listed) if isinstance(listed, Items) else f"[{foreign.shown(listed)}]"
            reading.error(node, f'{label} names the destinations without "{word}"', f"write expect: {named}")
            return None
        case Map(pairs=pairs):
            found = [_expected(reading, pair, label) for pair in pairs]
            return tuple(expected for expected in found if expected is not None)
    has_maps = isinstance(node, Items) and any(isinstance(each, Map) for each in node.nodes)
    example = "{slack-leads: {contains: John}, archive: verbatim}" if has_maps else "[archive, slack-leads]"
    reading.error(node, f"{label} must be a list of destinations, or a map of what each gets", f"write {example}")
    return None


#: What the destinations of a route are called, and in other products.
_ADDRESSING: Final = ("to", "destination", "destinations", "sent_to")


def _are_names(node: Node) -> bool:
    """Whether it is a name, or a list of names."""
    nodes = node.nodes if isinstance(node, Items) else (node,)
    return bool(nodes) and all(isinstance(each, Scalar) and each.text not in ("", "verbatim") for each in nodes)


def _expected(reading: Reading, pair: Pair, label: str) -> Expected | None:
    if isinstance(pair.value, Scalar) and not pair.value.empty:
        return Expected(pair.key, pair.value)
    if isinstance(pair.value, Items):
        hint = f"write {pair.key.text}: {{contains: {foreign.shown(pair.value)}}}"
        reading.error(pair.value, f'"{pair.key.text}" in {label} must be a map of what it gets, not a list', hint)
        return None
    check = read_section(reading, pair.value, CheckKeys, f'"{pair.key.text}" in {label}')
    return None if check is None else Expected(pair.key, check)


#: The ways to give a test its event; each test has one.
EVENTS: Final = ("event", "file", "payload")


def _input(pair: Pair, _around: Map) -> Instead:
    """``input: contact.created``, a sample; ``input: x.json``, a file; or the payload itself."""
    text = pair.value.text if isinstance(pair.value, Scalar) and isinstance(pair.value.value, str) else ""
    if text.endswith(_FILES):
        return write("file")
    return write("event" if _SAMPLE.fullmatch(text) else "payload")


_FILES: Final = (".json", ".xml", ".form", ".txt")
_SAMPLE: Final = re.compile(r"[\w/:-]+(?:\.[\w/:-]+)*")


@dataclass(frozen=True, kw_only=True)
class EventKeys(Section):
    """One event as a sender would send it."""

    noun = "an event of a test"
    foreign: ClassVar[Mapping[str, Remedy]] = {
        **dict.fromkeys(("given", "when", "type", "match", "sample", "trigger", "on"), "event"),
        **dict.fromkeys(("input", "body", "data", "request", "fixture"), _input),
        **dict.fromkeys(("with", "override", "overrides", "patch"), "set"),
        **dict.fromkeys(("without", "remove", "delete"), "unset"),
    }
    together: ClassVar[Shape] = {"oneOf": [{"required": [each]} for each in EVENTS]}
    event: Words | None = key(values.named, "a sample event of the source: contact.created")
    file: Words | None = key(values.named, "a file with the event's JSON, relative to this one")
    payload: Plain | None = key(trees.json, "the event's JSON, written out")
    headers: Mapping[str, Words] = key(
        values.map_of(values.words), "headers that the sender sends with it: {x-github-event: push}", factory=dict
    )
    set: Mapping[str, Plain] = key(
        values.map_of(trees.json),
        "fields and headers of the event to change: {attrs.type: customer, headers.x-github-event: push}",
        factory=dict,
    )
    query: Mapping[str, Words] = key(
        values.map_of(values.words), "the fields of the request's query: {button: front}", factory=dict
    )
    before: Mapping[str, Plain] | None = key(
        values.map_of(trees.json), "what track knows of the event's record before it: {status_id: 1}"
    )
    fetched: Mapping[str, Plain] = key(
        values.map_of(trees.json),
        "what fetch finds, by name: {person: {items: [{id: 7}]}}; null, nothing was found, for those left out",
        factory=dict,
    )
    unset: tuple[Words, ...] = key(values.words_list, "fields and headers of the event to remove", default=())


@shaped({"type": "array", "minItems": 1, "items": {"anyOf": [values.TEXT, {"$ref": EventKeys}]}})
def _events(reading: Reading, node: Node, label: str) -> tuple[EventKeys, ...] | None:
    """Samples by name, and events that are written out."""
    if not isinstance(node, Items) or not node.nodes:
        if not isinstance(node, Broken):
            reading.error(node, f"{label} must be a list of events", "write [contact.created, contact.created]")
        return None
    found = [_event(reading, each, f"element {at} of {label}") for at, each in enumerate(node.nodes, start=1)]
    return tuple(each for each in found if each is not None)


def _event(reading: Reading, node: Node, label: str) -> EventKeys | None:
    if not isinstance(node, Scalar):
        return read_section(reading, node, EventKeys, label)
    name = values.named(reading, node, label)
    return None if name is None else EventKeys(place=node.place, written={"event": Pair(node, node)}, event=name)


@dataclass(frozen=True, kw_only=True)
class TestKeys(EventKeys):
    noun = "a test"
    foreign: ClassVar[Mapping[str, Remedy]] = {
        **EventKeys.foreign,
        **dict.fromkeys(("then", "expected", "expects", "output", "should", "assert", "to", "destinations"), "expect"),
        **dict.fromkeys(("title", "description", "it"), "name"),
    }
    together: ClassVar[Shape] = {"oneOf": [{"required": [each]} for each in (*EVENTS, "events")]}
    #: Keeps pytest from collecting it.
    __test__ = False
    name: Words | None = key(values.words, "what it checks, as a sentence", required=True)
    source: Words | None = key(values.named, "the source that the event comes from; required if there are several")
    events: tuple[EventKeys, ...] = key(
        _events,
        "several events instead of one, for a digest: [contact.created, {event: contact.created, set: {attrs.firstname: Eve}}]",
        default=(),
    )
    memory: Remembered = key(
        remembered,
        'what is remembered, by name and key: {slack-thread: {"451": {ts: "1.2"}}}; nothing if left out',
        factory=dict,
    )
    now: float | None = key(
        _now, "when the event is received: 2026-11-30T08:00:00Z; a moment that never changes if left out"
    )
    expect: tuple[Expected, ...] | None = key(
        _expect,
        "all destinations it goes to, as a list or a map of what each gets; or ignored, rejected, {failed: text}",
        required=True,
    )


@shaped({"type": ["array", "null"], "items": {"$ref": TestKeys}})
def read_tests(reading: Reading, node: Node, label: str) -> tuple[TestKeys, ...] | None:
    if values.is_nothing(node):
        return ()
    if not isinstance(node, Items):
        if not isinstance(node, Broken):
            with reading.about_tests():
                reading.error(node, f"{label} must be a list", items.without_dash(node, "test"))
        return None
    with reading.about_tests():
        found = [read_section(reading, each, TestKeys, _test_label(each)) for each in node.nodes]
    return tuple(test for test in found if test is not None)


def _test_label(node: Node) -> str:
    names = (
        [pair.value.text for pair in node.pairs if pair.key.text == "name" and isinstance(pair.value, Scalar)]
        if isinstance(node, Map)
        else []
    )
    return f'test "{names[0]}"' if names else "a test"
