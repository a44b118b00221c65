"""What to write instead of a key that a section does not have: the names of other products, and flags the other way round.

A remedy is the key that is meant, what else to write, or a function that makes that of the pair and of the map around it.
"""

import json
import re
from collections.abc import Callable, Collection, Mapping
from typing import Final

from gateway.config.schema import foreign, workflows
from gateway.config.schema.remedies import Instead, Remedy, write
from gateway.config.text.compared import all_but
from gateway.config.text.reader import Items, Map, Node, Pair, Scalar
from gateway.render import actions
from gateway.render.forms import bare
from gateway.wording import duration, is_duration

#: Of every key that a section neither has nor knows otherwise.
ANY: Final = "*"

#: Keys that other tools use, and the key that is meant.
_FOREIGN: Final[Mapping[str, str]] = {
    **dict.fromkeys(("on", "event", "events", "event_type", "event_types", "trigger", "triggers", "topic"), "match"),
    **dict.fromkeys(
        ("destination", "destinations", "receiver", "receivers", "send_to", "target", "targets", "sink", "sinks", "uses"), "to"
    ),
    **dict.fromkeys(("message", "msg"), "text"),
    **dict.fromkeys(("data", "payload", "content"), "body"),
    **dict.fromkeys(("uri", "endpoint", "address", "webhook", "webhook_url", "hook", "hook_url", "incoming_webhook"), "url"),
    **dict.fromkeys(("api_url", "base_url", "target_url", "server"), "url"),
    **dict.fromkeys(("params", "query_params", "query_string", "querystring", "qs", "search_params"), "query"),
    **dict.fromkeys(("switch", "cases", "one_of"), "choose"),
    **dict.fromkeys(("token", "key", "signing_secret"), "secret"),
}  # fmt: skip

#: Flags that other tools have, the one that is meant, and whether it says the opposite.
_FLAGS: Final[Mapping[str, tuple[str, bool]]] = {
    **dict.fromkeys(("disabled", "disable", "inactive", "deactivated", "skip"), ("enabled", True)),
    **dict.fromkeys(("active", "enable", "activated"), ("enabled", False)),
    "continue": ("stop", True),
    **dict.fromkeys(("break", "final", "last", "terminal"), ("stop", False)),
    **dict.fromkeys(("dry_run", "dryrun", "test_mode"), ("shadow", False)),
    "pause": ("paused", False),
}
#: What each flag is where nobody writes it.
_USUAL: Final = {"enabled": True}


def instead(pair: Pair, around: Map, own: Mapping[str, Remedy], known: Collection[str]) -> Instead | None:
    """What to write for a key that a section with these known ones does not have; None if nobody knows better."""
    name = snake(pair.key.text)
    remedy = own.get(pair.key.text) or own.get(name) or own.get(ANY)
    found = write(remedy) if isinstance(remedy, str) else remedy(pair, around) if callable(remedy) else remedy
    if found is not None:
        return found
    if name in _FLAGS and _FLAGS[name][0] in known:
        return _flag(pair.value, *_FLAGS[name])
    if _TIMEOUT.fullmatch(name) and "timeout" in known:
        return write("timeout", _timeout(pair.value, name))
    return write(_FOREIGN[name]) if _FOREIGN.get(name) in known else None


#: A time to wait for, with its unit in its name: ``timeoutSeconds``, ``request_timeout_ms``.
_TIMEOUT: Final = re.compile(r"(?:request_|read_|http_)?timeout_?(?P<unit>s|secs?|seconds?|ms|millis|milliseconds)?")


def _timeout(value: Node, name: str) -> str:
    """``30s`` for ``timeout_seconds: 30``; empty if it cannot be said."""
    text = value.text if isinstance(value, Scalar) else ""
    unit = found["unit"] if (found := _TIMEOUT.fullmatch(name)) else None
    if unit and re.fullmatch(r"\d{1,9}", text):
        return duration(int(text) / 1000 if unit.startswith("m") else int(text))
    return text if is_duration(text) else ""


def snake(name: str) -> str:
    """A name with its words apart: ``event_types`` for ``eventTypes``."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower() if _CAMEL.fullmatch(name) else name


#: A name whose words begin with capitals after the first.
_CAMEL: Final = re.compile(r"[a-z][a-z0-9]*(?:[A-Z][a-z0-9]*)+")


def beside(found: Instead, name: str, written: Mapping[str, Node]) -> str:
    """The hint for a key of that name, also if the one to write is among the ``written`` ones: one key is there once."""
    key, value = next(iter(found.keys), ""), found.value
    # What has the same name elsewhere is not there yet, and what the hint covers is replaced.
    if key not in written or key == name or key in found.covered:
        return found.hint
    if found.is_part and value and isinstance(written[key], Map):
        more = found.hint.removeprefix(f"write {key}: {value}")
        return f"add {value[1:-1]} to the existing {key}{more}"
    match key:
        case "where":
            return f"add {value[1:-1] if value.startswith('{') else 'it'} to the existing where"
        case "if":
            return f"add it to the existing if: ... and ({value})" if value else "add it to the existing if, with and"
        case "match":
            return f"add {value or 'it'} to the existing match"
    return f"{key} is already there: keep one of them"


#: The name of a header in full, unlike any secret: X-Hub-Signature-256, Billing-Timestamp.
_HEADER: Final = re.compile(r"[A-Za-z]{1,16}(?:-(?:[A-Za-z]{1,16}|[0-9]{1,3}|[Ss][Hh][Aa]-?[0-9]{1,3}))+")
_OF_HEADERS: Final = frozenset({"signature", "sig", "timestamp"})


def header_in(text: str) -> str:
    """The text if it is the name of a header that holds a part of a signature, a token or a time; empty if it may be a secret."""
    words = text.lower().split("-")
    return text if _HEADER.fullmatch(text) and (words[0] == "x" or not _OF_HEADERS.isdisjoint(words)) else ""


def _flag(value: Node, name: str, is_opposite: bool) -> Instead:
    asked = foreign.truth(value)
    if asked is None:
        return write(name, "true or false", ", the other way round" if is_opposite else "")
    wanted = str(asked is not is_opposite).lower()
    usual = (asked is not is_opposite) is _USUAL.get(name, False)
    return Instead(f"remove it: {name} is {wanted} if left out") if usual else write(name, wanted)


# --- conditions under other names ---

#: A type of events, or a pattern.
_TYPE: Final = re.compile(r"[\w*]+(?:[./:][\w*]+)*")


def condition(pair: Pair, _around: Map) -> Instead:
    """``when:``, ``filter:``: a pattern, a map of conditions or an expression, by its value."""
    match _here(pair.value):
        case Map() as conditions:
            return where(foreign.shown(rooted(conditions)), alone(conditions))
        case Items(nodes=nodes) if any(isinstance(each, Map) for each in nodes):
            return where(f"{{all: {foreign.shown(rooted(pair.value))}}}", alone(pair.value))
        case Items() as listed:
            return write("match", foreign.shown(listed))
        case Scalar(text=text) if _TYPE.fullmatch(text):
            return write("match", text)
        case Scalar(text=text) if not foreign.is_combined(text) and (line := compared(text)):
            return where(f"{{{line}}}", alone_in(text))
        case Scalar(text=text, empty=False):
            return write("if", bare(foreign.as_expression(text)))
    return write("where", "{attrs.type: lead}")


def where(conditions: str, guessed: tuple[str, ...] = ()) -> Instead:
    return Instead(f"write where: {conditions}", ("where",), conditions, guessed=guessed)


def in_choice(pair: Pair, _around: Map) -> Instead:
    """``when:`` of an element of choose, which has no conditions but ``if``."""
    asked = 'attrs.type == "lead"'
    match _here(pair.value):
        case Map(pairs=pairs) if pairs and all(isinstance(each.value, Scalar) for each in pairs):
            asked = " and ".join(f"{_rooted(each.key).text} == {_json(each.value)}" for each in pairs)
        case Scalar(text=text, empty=False):
            asked = foreign.as_expression(text)
    return write("if", f"not ({asked})" if pair.key.text in EXCLUDING else bare(asked))


def _json(node: Node) -> str:
    value = node.value if isinstance(node, Scalar) else None
    return json.dumps(value, ensure_ascii=False) if value is not None else "none"


def _here(node: Node) -> Node:
    """A condition of GitHub Actions as it is written here; any other as it is."""
    if not isinstance(node, Scalar) or node.empty:
        return node
    inside = actions.braced(node.text) or node.text
    written = actions.expression(inside) or inside
    return node if written == node.text else Scalar(node.place, written, written, node.content)


def rooted(node: Node) -> Node:
    """Conditions with ``attrs.`` before each name that is not a path: ``severity``, a label of Alertmanager."""
    match node:
        case Map(place=place, pairs=pairs):
            return Map(place, tuple(Pair(_rooted(each.key), _below(each, rooted)) for each in pairs))
        case Items(place=place, nodes=nodes):
            return Items(place, tuple(map(rooted, nodes)))
    return node


def _below(pair: Pair, rooted: Callable[[Node], Node]) -> Node:
    """The value of a pair, rooted if it is conditions, too: those of ``any``, ``all`` and ``not``."""
    return rooted(pair.value) if foreign.combination(pair.key.text) else pair.value


def alone(node: Node) -> tuple[str, ...]:
    """The names in conditions that are not paths."""
    nodes = node.nodes if isinstance(node, Items) else ()
    pairs = node.pairs if isinstance(node, Map) else ()
    names = [each.key.text for each in pairs if _is_alone(each.key.text)]
    below = [each.value for each in pairs if foreign.combination(each.key.text)]
    return (*names, *(name for each in (*nodes, *below) for name in alone(each)))


def _is_alone(name: str) -> bool:
    return bool(re.fullmatch(r"\w[\w-]*", name)) and not foreign.combination(name) and not foreign.is_operator(name)


def _rooted(key: Scalar) -> Scalar:
    text = f"attrs.{key.text}"
    return Scalar(key.place, text, text, key.content) if _is_alone(key.text) else key


#: How other products call the parts of a condition that is a map of three.
_FIELDS: Final = ("field", "path", "key", "property", "fact", "variable")
_OPERATORS: Final = ("operator", "op", "comparator", "condition", "type")
_VALUES: Final = ("value", "values")


def in_three(node: Node) -> tuple[str, tuple[str, ...]]:
    """The line for ``{field: attrs.type, operator: equals, value: lead}``, and its field if that is not a path.

    The line is empty if the node is something else.
    """
    parts = {pair.key.text: pair.value for pair in node.pairs} if isinstance(node, Map) else {}
    found = [next((name for name in names if name in parts), "") for names in (_FIELDS, _OPERATORS, _VALUES)]
    field, operator, value = (parts.get(name) for name in found)
    if len(parts) != sum(map(bool, found)) or not isinstance(field, Scalar) or value is None:
        return "", ()
    word = operator.text if isinstance(operator, Scalar) else "eq"
    return foreign.comparison(_rooted(field).text, word, value), (field.text,) * _is_alone(field.text)


def compared(text: str) -> str:
    """The condition that a comparison says, also of a name that is not a path; empty if it says none."""
    found = foreign.compared_key(f"attrs.{text}" if alone_in(text) else text)
    return found[1] if found else ""


#: A name that is compared and is not a path.
_COMPARED: Final = re.compile(r"([A-Za-z_][\w-]*)\s*[=!<>~]")


def alone_in(text: str) -> tuple[str, ...]:
    """The name that a comparison is about, if it is not a path."""
    found = _COMPARED.match(text)
    return (found[1],) if found else ()


def matchers(pair: Pair, around: Map) -> Instead:
    """``matchers: [severity="critical"]``, ``match_re: {severity: warning|critical}``: labels of Alertmanager."""
    if isinstance(pair.value, Map):
        how = "regex" if pair.key.text == "match_re" else "eq"
        named, guessed = [(_rooted(each.key).text, each.value) for each in pair.value.pairs], alone(pair.value)
        found = [(name, foreign.comparison(name, how, value)) for name, value in named]
    else:
        nodes = pair.value.nodes if isinstance(pair.value, Items) else (pair.value,)
        texts = [each.text.strip() if isinstance(each, Scalar) else "" for each in nodes]
        found = [("", compared(each)) for each in texts]
        guessed = tuple(name for each in texts for name in alone_in(each))
    if not found or not all(line for _, line in found):
        return condition(pair, around)
    lines = [line for _, line in found]
    if len({line.partition(": ")[0] for line in lines}) < len(lines):
        # A map has each field once.
        return where(f"{{all: [{', '.join(f'{{{line}}}' for line in lines)}]}}", guessed)
    return where(f"{{{', '.join(lines)}}}", guessed)


def exclusion(pair: Pair, _around: Map) -> Instead:
    """``unless:``, ``exclude:``: what is not to be sent."""
    nodes = pair.value.nodes if isinstance(pair.value, Items) else (pair.value,)
    types = [each.text for each in nodes if isinstance(each, Scalar) and _TYPE.fullmatch(each.text)]
    if types and len(types) == len(nodes):
        return write("where", f"{{{all_but(types)}}}")
    if isinstance(asked := _here(pair.value), Scalar) and asked.text:
        return write("if", f"not ({foreign.as_expression(asked.text)})")
    if isinstance(pair.value, Map) or any(isinstance(each, Map) for each in nodes):
        return where(f"{{not: {foreign.shown(rooted(pair.value))}}}", alone(pair.value))
    return write("where", "{not: {attrs.type: lead}}")


EXCLUDING: Final = frozenset({"unless", "not", "exclude", "except", "ignore"})
#: Of an entry.
CONDITIONS: Final[Mapping[str, Remedy]] = {
    **dict.fromkeys(("when", "filter", "filters", "condition", "conditions", "only_if", "rule", "rules"), condition),
    **dict.fromkeys(("matchers", "match_re", "match_labels", "matchLabels", "labels"), matchers),
    **dict.fromkeys(sorted(EXCLUDING), exclusion),
    **workflows.KEYS,
}


def _grouping(pair: Pair, around: Map) -> Instead:
    """``group_by: [alertname]``, ``group_wait: 30s``: one message for several events, as Alertmanager has it."""
    written = {each.key.text: each.value for each in around.pairs if each.key.text in _GROUPING}
    texts = {name: node.text for name, node in written.items() if isinstance(node, Scalar)}
    wait = next((texts[name] for name in ("group_wait", "group_interval") if is_duration(texts.get(name, ""))), "5m")
    by = written.get("group_by")
    nodes = by.nodes if isinstance(by, Items) else (by,)
    named = [each.text for each in nodes if isinstance(each, Scalar) and re.fullmatch(r"\w[\w.-]*", each.text)]
    names = [_rooted(Scalar(pair.key.place, each, each, pair.key.place)).text for each in named[:1]]
    value = f"{{every: {wait}{''.join(f', by: {each}' for each in names)}}}"
    more = ", for one message about all events of that time; or debounce, for the last one only"
    return Instead(
        f"write digest: {value}{more}",
        ("digest",),
        value,
        frozenset(written),
        guessed=tuple(each for each in named[:1] if _is_alone(each)),
    )


_GROUPING: Final = ("group_by", "group_wait", "group_interval", "repeat_interval", "groupBy", "batch", "aggregate")
GROUPING: Final[Mapping[str, Remedy]] = dict.fromkeys(_GROUPING, _grouping)
#: Of an element of choose.
CHOOSING: Final[Mapping[str, Remedy]] = {
    **dict.fromkeys(("else", "default", "otherwise"), Instead("remove it: the last element needs no if")),
    **dict.fromkeys(
        ("when", "where", "filter", "filters", "condition", "conditions", "only_if", "case", *sorted(EXCLUDING)),
        in_choice,
    ),
}
