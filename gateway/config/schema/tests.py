"""The keys of ``tests``."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Final

from gateway.config.schema import trees, values
from gateway.config.schema.keys import Section, is_nothing, key, read_section
from gateway.config.schema.reading import Reading, Shape, Words, shaped
from gateway.config.text.reader import Broken, Items, Map, Node, Pair, Scalar
from gateway.routing.cases import Plain


@shaped(values.some({**values.TEXT, "minLength": 1}))
def _sought(reading: Reading, node: Node, label: str) -> tuple[Words, ...] | None:
    found = values.one_or_more(values.words)(reading, node, label)
    if found is not None and (not found or any(each.text == "" for each in found)):
        reading.error(
            node, f"{label} is an empty text or list, which every body contains", "write a text, or remove the key"
        )
        return None
    return found


@dataclass(frozen=True, kw_only=True)
class CheckKeys(Section):
    """What a test expects of one delivery."""

    noun = "an expectation"
    foreign: ClassVar[Mapping[str, str]] = {"body": "json or text"}
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
        case Map(pairs=pairs):
            found = [_expected(reading, pair, label) for pair in pairs]
            return tuple(expected for expected in found if expected is not None)
    reading.error(
        node, f"{label} must be a list of destinations, or a map of what each gets", "write [archive, slack-leads]"
    )
    return None


def _expected(reading: Reading, pair: Pair, label: str) -> Expected | None:
    if isinstance(pair.value, Scalar) and not pair.value.empty:
        return Expected(pair.key, pair.value)
    check = read_section(reading, pair.value, CheckKeys, f'"{pair.key.text}" in {label}')
    return None if check is None else Expected(pair.key, check)


#: The ways to give a test its event; each test has one.
EVENTS: Final = ("event", "file", "payload")


@dataclass(frozen=True, kw_only=True)
class TestKeys(Section):
    noun = "a test"
    together: ClassVar[Shape] = {"oneOf": [{"required": [each]} for each in EVENTS]}
    #: Keeps pytest from collecting it.
    __test__ = False
    name: Words | None = key(values.words, "what it checks, as a sentence", required=True)
    source: Words | None = key(values.named, "the source that the event comes from; required if there are several")
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
    fetched: Mapping[str, Plain] = key(
        values.map_of(trees.json),
        "what fetch finds, by name: {person: {items: [{id: 7}]}}; null, nothing was found, for those left out",
        factory=dict,
    )
    unset: tuple[Words, ...] = key(values.words_list, "fields and headers of the event to remove", default=())
    expect: tuple[Expected, ...] | None = key(
        _expect,
        "all destinations it goes to, as a list or a map of what each gets; or ignored, rejected, {failed: text}",
        required=True,
    )


@shaped({"type": ["array", "null"], "items": {"$ref": TestKeys}})
def read_tests(reading: Reading, node: Node, label: str) -> tuple[TestKeys, ...] | None:
    if is_nothing(node):
        return ()
    if not isinstance(node, Items):
        if not isinstance(node, Broken):
            with reading.about_tests():
                reading.error(node, f"{label} must be a list", values.without_dash(node, "test"))
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
