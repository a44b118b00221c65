"""The keys of an entry of ``always``, ``routes``, ``unmatched``, ``invalid`` or ``failed``."""

import dataclasses
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

from gateway.config.schema import addressing, conditions, failing, items, trees, values
from gateway.config.schema.conditions import Where
from gateway.config.schema.hours import DebounceKeys, DigestKeys, EntryHoursKeys
from gateway.config.schema.instead import CHOOSING, CONDITIONS, GROUPING
from gateway.config.schema.keys import Section, key, keys_of, map_by_name, nested, read_section
from gateway.config.schema.memory import RecallKeys, RememberKeys
from gateway.config.schema.reading import Parser, Reading, Shape, Words, shaped
from gateway.config.schema.remedies import Instead, Remedy, write
from gateway.config.schema.trees import Body
from gateway.config.text.reader import Broken, Items, Map, Node, Pair, Scalar
from gateway.render import TemplateText, actions
from gateway.render.forms import bare as in_yaml

#: One tag of a template and nothing else.
_IN_BRACES: Final = re.compile(r"\s*\{\{-?(?P<inside>.*?)-?\}\}\s*", re.DOTALL)


@shaped({**values.TEXT, "title": "expression"})
def _expression(reading: Reading, node: Node, label: str) -> TemplateText | None:
    """A bare expression; braces around it are removed."""
    if isinstance(node, Scalar) and "${" in node.text:
        # Its value would be run as code.
        inside = actions.braced(node.text)
        written = in_yaml(actions.expression(inside) or inside)
        hint = f"write if: {written}" if inside else "put it under vars and write vars.name"
        reading.error(node, f"{label} cannot contain ${{...}}", hint)
        return None
    if isinstance(node, Map | Items):
        reading.error(
            node, f"{label} must be one expression", 'write if: attrs.type == "lead"; put a map of fields under where'
        )
        return None
    found = trees.template(reading, node, label)
    if found is None:
        return None
    bare = _IN_BRACES.fullmatch(found.text)
    if bare is None or "{{" in bare["inside"]:
        return found
    expression = bare["inside"].strip()
    reading.warning(node, f"{label} is already an expression and needs no braces", f"write if: {expression}")
    start = found.text.index(expression, bare.start("inside"))
    return found.part(start, start + len(expression))


@shaped({"title": "map; its texts are templates", "type": "object"})
def _form(reading: Reading, node: Node, label: str) -> Body | None:
    if isinstance(node, Map):
        return trees.body(reading, node, label)
    values.expect_map(reading, node, label, "name: value")
    return None


#: The contents of a message; it has at most one of them.
CONTENTS: Final = ("text", "body", "form", "template")


_ONE_CONTENT: Final = {
    each: {"properties": dict.fromkeys((other for other in CONTENTS if other != each), False)} for each in CONTENTS
}


#: Keys that move into the elements of ``choose``, and of ``send``.
BESIDE_CHOOSE: Final = ("method", "path", "query", "headers", *CONTENTS)
BESIDE_SEND: Final = ("to", *BESIDE_CHOOSE, "recall", "remember")


@dataclass(frozen=True, kw_only=True)
class MessageKeys(Section):
    """What is sent, and to which destinations."""

    noun = "an element of send"
    foreign: ClassVar[Mapping[str, Remedy]] = addressing.FOREIGN
    together: ClassVar[Shape] = {"dependentSchemas": _ONE_CONTENT}
    #: Its name in problems, deliveries and the console.
    called: str = ""
    to: tuple[Words, ...] | None = key(addressing.to, "a destination or a list; [] ignores the event")
    method: str | None = key(values.method, "the HTTP method, instead of the destination's")
    path: TemplateText | None = key(trees.template, "appended to the destination's url: /contacts/{{ attrs.id }}")
    query: Mapping[str, TemplateText] = key(values.map_of(trees.template), "query parameters of the url", factory=dict)
    headers: Mapping[str, TemplateText] = key(
        values.map_of(trees.template), "headers added to the destination's, or overriding them", factory=dict
    )
    text: TemplateText | None = key(addressing.text, "a message for people")
    body: Body | None = key(trees.body, 'JSON, with {{ }} in its texts; "" sends no body')
    form: Body | None = key(_form, "a map of form-encoded fields, with {{ }} in its texts")
    template: Words | None = key(values.named, "a file in templates/: slack/contact-created.json.j2")
    recall: Mapping[str, RecallKeys] = key(
        map_by_name(nested(RecallKeys), "recall"),
        'values of an earlier answer, for its templates: {contact: {from: crm-id, per: "{{ attrs.id }}"}}',
        factory=dict,
    )
    remember: RememberKeys | None = key(
        nested(RememberKeys),
        'values of the answer to keep: {as: crm-id, per: "{{ attrs.id }}", values: {id: json.id}, for: 90d}',
    )


@shaped({"type": "array", "items": {"$ref": MessageKeys, "required": ["to"]}, "minItems": 1})
def _send(reading: Reading, node: Node, label: str) -> tuple[MessageKeys, ...] | None:
    if not isinstance(node, Items) or not node.nodes:
        if not isinstance(node, Broken):
            reading.error(node, f"{label} must be a list of messages", "start each with - to: ...")
        return None
    found = [_read_message(reading, each, f"element {at} of {label}") for at, each in enumerate(node.nodes, start=1)]
    return tuple(message for message in found if message is not None)


def _read_message(reading: Reading, node: Node, label: str) -> MessageKeys | None:
    found = read_section(reading, node, MessageKeys, label)
    if found is not None and not found.has("to"):
        reading.error(node, f'{label} has no "to"', keys_of(MessageKeys)["to"][1].about)
    return found


@dataclass(frozen=True, kw_only=True)
class ChoiceKeys(MessageKeys):
    """One of the messages of which the first that holds is sent."""

    noun = "an element of choose"
    foreign: ClassVar[Mapping[str, Remedy]] = {**MessageKeys.foreign, **CHOOSING}
    #: It goes where its route sends to, and what is recalled and remembered is its route's.
    to: tuple[Words, ...] | None = None
    recall: Mapping[str, RecallKeys] = dataclasses.field(default_factory=dict)
    remember: RememberKeys | None = None
    condition: TemplateText | None = key(
        _expression,
        "what must hold for it to be sent, with the names of fetch: person.items; the last one needs none",
        name="if",
    )


@shaped({"type": "array", "items": {"$ref": ChoiceKeys}, "minItems": 1})
def _choose(reading: Reading, node: Node, label: str) -> tuple[ChoiceKeys, ...] | None:
    if not isinstance(node, Items) or not node.nodes:
        if not isinstance(node, Broken):
            reading.error(node, f"{label} must be a list of messages", "start each with - if: ...")
        return None
    found = [
        read_section(reading, each, ChoiceKeys, f"element {at} of {label}")
        for at, each in enumerate(node.nodes, start=1)
    ]
    return tuple(choice for choice in found if choice is not None)


@dataclass(frozen=True, kw_only=True)
class FetchKeys(Section):
    """One look-up."""

    noun = "fetch"
    together: ClassVar[Shape] = {"dependentSchemas": {"body": {"properties": {"form": False}}}}
    foreign: ClassVar[Mapping[str, Remedy]] = {
        **dict.fromkeys(("to", "destination", "target", "source", "using", "via"), "from"),
        "url": Instead("write from, the name of a destination, and path", ("from", "path")),
    }
    source: Words | None = key(
        values.named, "the destination to ask, with its auth, timeout and rate: crm", required=True, name="from"
    )
    method: str | None = key(values.choice(("GET", "POST"), "method"), "GET or POST", usual="GET")
    path: TemplateText | None = key(trees.template, "appended to the destination's url: /persons/search")
    query: Mapping[str, TemplateText] = key(
        values.map_of(trees.template), 'query parameters of the url: {term: "{{ attrs.email }}"}', factory=dict
    )
    headers: Mapping[str, TemplateText] = key(
        values.map_of(trees.template), "headers added to the destination's, or overriding them", factory=dict
    )
    body: Body | None = key(trees.body, "JSON, with {{ }} in its texts, for a search by POST")
    form: Body | None = key(_form, "a map of form-encoded fields instead, with {{ }} in its texts")
    cache: float | None = key(
        values.duration(1, "24h"),
        "how long an answer may be used again for the same request: 10m; if left out, every attempt asks",
    )


@dataclass(frozen=True, kw_only=True)
class OnceKeys(Section):
    noun = "once"
    is_text_secret = False
    instead_of_text = 'once: {per: "{{ attrs.id }}", for: 90d}'
    foreign: ClassVar[Mapping[str, Remedy]] = {
        **dict.fromkeys(("key", "by", "id", "field", "unique"), write("per", '"{{ attrs.id }}"')),
        **dict.fromkeys(("within", "window", "ttl", "every"), "for"),
    }
    per: TemplateText | None = key(
        trees.template, 'the key to send once for: "{{ attrs.id }}:{{ attrs.status_id }}"', required=True
    )
    for_s: float = key(
        values.duration(1, values.LONGEST), "how long to remember a key: 90d", default=30 * 86400.0, name="for"
    )


def _source(pair: Pair, _around: Map) -> Instead | None:
    """``from: xobito``; an address is the sender of a mail."""
    is_name = isinstance(pair.value, Scalar) and re.fullmatch(r"[A-Za-z][\w-]*", pair.value.text)
    return write("source", pair.value.text) if is_name and isinstance(pair.value, Scalar) else None


@dataclass(frozen=True, kw_only=True)
class EntryKeys(MessageKeys):
    noun = "a route"
    foreign: ClassVar[Mapping[str, Remedy]] = {
        **MessageKeys.foreign,
        **CONDITIONS,
        **GROUPING,
        **failing.OF_ENTRIES,
        "from": _source,
    }
    together: ClassVar[Shape] = {
        "dependentSchemas": {
            **_ONE_CONTENT,
            "send": {"properties": dict.fromkeys((*BESIDE_SEND, "choose"), False)},
            "choose": {"properties": dict.fromkeys(BESIDE_CHOOSE, False)},
        }
    }
    #: always, routes, unmatched, invalid or failed.
    section: str = ""
    name: str | None = key(values.name, "its name, which stored deliveries refer to")
    source: tuple[Words, ...] | None = key(values.some_names, "a source or a list; every source if left out")
    match: tuple[Words, ...] | None = key(
        addressing.match,
        "an event type or a list, with * for one segment or the rest of one and ** for any number; every event if left out",
    )
    where: Where = key(
        conditions.where,
        "what the event's fields must be: {attrs.type: customer}; a list means any of its values; see Conditions",
        default=(),
    )
    condition: TemplateText | None = key(
        _expression, "an expression for what where cannot say: attrs.total > 2 * attrs.paid", name="if"
    )
    send: tuple[MessageKeys, ...] | None = key(
        _send, "instead of to: a list of messages, each with its own to and content; named name/1, name/2"
    )
    fetch: Mapping[str, FetchKeys] = key(
        map_by_name(nested(FetchKeys), "fetch"),
        'look up before sending, at each attempt: {person: {from: crm, path: /search, query: {term: "{{ attrs.email }}"}}}; '
        "templates and choose see the JSON of the answer under that name",
        factory=dict,
    )
    choose: tuple[ChoiceKeys, ...] | None = key(
        _choose,
        "instead of one message: a list; the first whose if holds is sent, decided at each attempt; if none holds, "
        "nothing is sent",
    )
    once: OnceKeys | None = key(
        nested(OnceKeys),
        'send only once per key: {per: "{{ attrs.id }}", for: 90d}',
    )
    delay: float | None = key(values.duration(1, "30d"), "how long after its event a delivery is first sent: 10m")
    hours: EntryHoursKeys | None = key(
        nested(EntryHoursKeys),
        "when it sends; outside of them its deliveries wait, without using up retry.for: {days: mon-fri, from: 09:00, to: 18:00, "
        "zone: Europe/Berlin}; or otherwise: skip",
    )
    digest: DigestKeys | None = key(
        nested(DigestKeys),
        "one message for many events: {every: 15m}, or {at: mon 09:00, zone: Europe/Berlin}; its content sees "
        "events, count, by, first and last",
    )
    debounce: DebounceKeys | None = key(
        nested(DebounceKeys),
        'send only the last event of a key, once it is quiet: {per: "{{ attrs.id }}", for: 2m, at_most: 30m}',
    )
    stop: bool = key(values.boolean, "true: later routes do not see an event that this one matches", default=False)
    shadow: bool = key(
        values.boolean,
        "true: match and render its events, but send nothing; gateway shadow shows what it would have sent",
        default=False,
    )
    enabled: bool = key(values.boolean, "false: as if it were not in the file", default=True)


_ADDRESSED: Final = [{"required": ["to"]}, {"required": ["send"]}]


def entries_of(section: str) -> Parser[tuple[EntryKeys, ...]]:
    @shaped({"type": ["array", "null"], "items": {"$ref": EntryKeys, "anyOf": _ADDRESSED}})
    def parse(reading: Reading, node: Node, label: str) -> tuple[EntryKeys, ...] | None:
        if values.is_nothing(node):
            return ()
        if not isinstance(node, Items):
            if not isinstance(node, Broken):
                alone = _to(node) if section != "routes" else ""
                alone = alone or _by_type(node)
                reading.error(node, f"{label} must be a list", alone or items.without_dash(node, "entry"))
            return None
        found = (_read_entry(reading, each, section) for each in node.nodes)
        return tuple(entry for entry in found if entry is not None)

    return parse


def _read_entry(reading: Reading, node: Node, section: str) -> EntryKeys | None:
    if not isinstance(node, Map):
        if not isinstance(node, Broken):
            right = "write - name: ..., and its other keys below it"
            if section != "routes" and isinstance(node, Scalar) and node.text:
                right = f"write {{to: {node.text}}}"
            reading.error(node, f'an entry of "{section}" must be a map', right)
        return None
    if inner := _below_its_name(node):
        right = f"write - {_entry_like(node.pairs[0].key.text, inner)}"
        reading.error(node, f'an entry of "{section}" has its name before its keys', right)
        return None
    called = _called(node, section)
    found = read_section(reading, node, EntryKeys, f'route "{called}"')
    if found is None:
        return None
    if not found.has("to") and not found.has("send"):
        reading.error(node, f'route "{called}" has no "to"', keys_of(EntryKeys)["to"][1].about)
    send = found.send and tuple(
        dataclasses.replace(each, called=f"{called}/{at}") for at, each in enumerate(found.send, start=1)
    )
    choose = found.choose and tuple(dataclasses.replace(each, called=called) for each in found.choose)
    return dataclasses.replace(found, called=called, section=section, send=send, choose=choose)


def _to(node: Node) -> str:
    """What to write for a destination alone: ``always: archive``."""
    return f"write [{{to: {node.text}}}]" if isinstance(node, Scalar) and node.text else ""


def _below_its_name(node: Map) -> Sequence[str]:
    """The keys of ``- lead: {match: contact.created, to: crm}``; empty for any other entry."""
    if len(node.pairs) != 1 or node.pairs[0].key.text in keys_of(EntryKeys):
        return ()
    inner = [*_values_of(node.pairs[0].value)]
    return inner if {"to", "send", "match", "source"}.intersection(inner) else ()


#: A type of event, which a name cannot be.
_TYPE: Final = re.compile(r"[\w*-]+(?:[./:][\w*-]+)+|\*+")


def _entry_like(name: str, inner: Sequence[str]) -> str:
    is_type = _TYPE.fullmatch(name) and "match" not in inner
    return items.item_like(f"{'match' if is_type else 'name'}: {_pattern(name)}", inner)


def _pattern(text: str) -> str:
    """As YAML, where a star at the beginning is something else."""
    return f'"{text}"' if text.startswith("*") else text


def _by_type(node: Node) -> str:
    """What to write instead of types of events with their destinations: ``contact.created: slack-leads``."""
    match node:
        case Map(pairs=[Pair(key=Scalar(text=text), value=Scalar(text=to)), *_]) if _TYPE.fullmatch(text) and to:
            return f"write - {{match: {_pattern(text)}, to: {to}}}"
        case Map(pairs=[Pair(key=Scalar(text=text), value=Map() as inner), *_]) if _TYPE.fullmatch(text):
            return f"start each entry with - and its type: write - {_entry_like(text, [*_values_of(inner)])}"
    return ""


def _called(node: Node, section: str) -> str:
    """Its name, or else its section and destinations: ``always/archive``."""
    written = _values_of(node)
    own = written.get("name")
    if isinstance(own, Scalar) and own.text:
        return own.text
    send = written.get("send")
    messages = [_values_of(each) for each in send.nodes] if isinstance(send, Items) else [written]
    names = [name for each in messages for name in _texts(each.get("to"))]
    return f"{section}/{'+'.join(dict.fromkeys(names)) or 'ignored'}"


def _values_of(node: Node) -> Mapping[str, Node]:
    return {pair.key.text: pair.value for pair in node.pairs} if isinstance(node, Map) else {}


def _texts(node: Node | None) -> Sequence[str]:
    nodes = node.nodes if isinstance(node, Items) else (node,)
    return [each.text for each in nodes if isinstance(each, Scalar) and each.text]
