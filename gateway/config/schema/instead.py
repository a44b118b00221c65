"""What to write instead of a key that a section does not have: the names of other products, and flags the other way round.

A remedy is what follows "write", or a function that makes the whole hint of the pair and of the map around it.
"""

import json
import re
from collections.abc import Callable, Collection, Mapping
from typing import Final

from gateway.config.schema import foreign, workflows
from gateway.config.text.compared import all_but
from gateway.config.text.reader import Items, Map, Node, Pair, Scalar
from gateway.render import actions
from gateway.render.forms import bare

Remedy = str | Callable[[Pair, Map], str]
#: Of every key that a section neither has nor knows otherwise.
ANY: Final = "*"

#: Keys that other tools use, and the key that is meant.
_FOREIGN: Final[Mapping[str, str]] = {
    **dict.fromkeys(("on", "event", "events", "event_type", "event_types", "trigger", "triggers", "topic"), "match"),
    **dict.fromkeys(
        ("destination", "destinations", "receiver", "receivers", "send_to", "target", "targets", "sink", "sinks"), "to"
    ),
    **dict.fromkeys(("message", "msg"), "text"),
    **dict.fromkeys(("data", "payload", "content"), "body"),
    **dict.fromkeys(("uri", "endpoint", "address", "webhook", "webhook_url", "hook", "hook_url", "incoming_webhook"), "url"),
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
_TRUTH: Final = {**dict.fromkeys(("true", "yes", "on", "1"), True), **dict.fromkeys(("false", "no", "off", "0"), False)}
#: What each flag is where nobody writes it.
_USUAL: Final = {"enabled": True}
#: What may hold a secret, by its key.
GRANTING: Final = re.compile(r"secret|token|passw|(?:api|access|auth|account|private|sign\w*)[_-]?key|^key$|bearer|credential|auth", re.IGNORECASE)  # fmt: skip


def instead(pair: Pair, around: Map, own: Mapping[str, Remedy], known: Collection[str]) -> str:
    """The hint for a key that a section with these known ones does not have; empty if nobody knows better."""
    name = pair.key.text
    remedy = own.get(name) or own.get(ANY, "")
    if found := remedy(pair, around) if callable(remedy) else remedy and f"write {remedy}":
        return found
    if name in _FLAGS and _FLAGS[name][0] in known:
        return _flag(pair.value, *_FLAGS[name])
    return f"write {_FOREIGN[name]}" if _FOREIGN.get(name) in known else ""


def meant_by(hint: str) -> tuple[str, ...]:
    """The keys that a hint says to write, here or elsewhere."""
    return tuple(re.findall(r"(?:^write |, | and )(\w+)", hint))


def beside(hint: str, written: Collection[str]) -> str:
    """A hint whose key is written already: one key is there once."""
    found = re.fullmatch(r"write (?P<key>\w+)(?P<more>.*)", hint, re.DOTALL)
    if found is None or found["key"] not in written:
        return hint
    value = found["more"].removeprefix(": ") if found["more"].startswith(": ") else ""
    match found["key"]:
        case "where":
            return f"add {value[1:-1] if value.startswith('{') else 'it'} to the existing where"
        case "if":
            return f"add it to the existing if: ... and ({value})" if value else "add it to the existing if, with and"
        case "verify" if value:
            return f"add {value[1:-1]} to the existing verify"
        case "match":
            return f"add {value or 'it'} to the existing match"
    return f"{found['key']} is already there: keep one of them"


def _flag(value: Node, name: str, is_opposite: bool) -> str:
    asked = _TRUTH.get(value.text.lower()) if isinstance(value, Scalar) else None
    if asked is None:
        return f"write {name}: true or false" + (", the other way round" if is_opposite else "")
    wanted = str(asked is not is_opposite).lower()
    usual = (asked is not is_opposite) is _USUAL.get(name, False)
    return f"remove it: {name} is {wanted} if left out" if usual else f"write {name}: {wanted}"


# --- conditions under other names ---

#: A type of events, or a pattern.
_TYPE: Final = re.compile(r"[\w*]+(?:[./:][\w*]+)*")


def condition(pair: Pair, _around: Map) -> str:
    """``when:``, ``filter:``: a pattern, a map of conditions or an expression, by its value."""
    match _here(pair.value):
        case Map() as conditions:
            return f"write where: {foreign.shown(rooted(conditions))}"
        case Items(nodes=nodes) if any(isinstance(each, Map) for each in nodes):
            return f"write where: {{all: {foreign.shown(pair.value)}}}"
        case Items() as listed:
            return f"write match: {foreign.shown(listed)}"
        case Scalar(text=text) if _TYPE.fullmatch(text):
            return f"write match: {text}"
        case Scalar(text=text) if (
            (compared := foreign.compared_key(text)) and compared[1] and not foreign.is_combined(text)
        ):
            return f"write where: {{{compared[1]}}}"
        case Scalar(text=text, empty=False):
            return f"write if: {bare(foreign.as_expression(text))}"
    return "write where: {attrs.type: lead}"


def in_choice(pair: Pair, _around: Map) -> str:
    """``when:`` of an element of choose, which has no conditions but ``if``."""
    asked = 'attrs.type == "lead"'
    match _here(pair.value):
        case Map(pairs=pairs) if pairs and all(isinstance(each.value, Scalar) for each in pairs):
            asked = " and ".join(
                f"{each.key.text} == {_json(each.value)}" for each in rooted(Map(pair.key.place, pairs)).pairs
            )
        case Scalar(text=text, empty=False):
            asked = foreign.as_expression(text)
    return f"write if: not ({asked})" if pair.key.text in EXCLUDING else f"write if: {bare(asked)}"


def _json(node: Node) -> str:
    value = node.value if isinstance(node, Scalar) else None
    return json.dumps(value, ensure_ascii=False) if value is not None else "none"


#: Braces around an expression, as GitHub Actions and templates have them.
_BRACES: Final = re.compile(r"\s*\$?\{\{\s*(?P<inside>[^{}$]*?)\s*\}\}\s*")


def _here(node: Node) -> Node:
    """A condition of GitHub Actions as it is written here; any other as it is."""
    if not isinstance(node, Scalar) or node.empty:
        return node
    inside = found["inside"] if (found := _BRACES.fullmatch(node.text)) else node.text
    written = actions.expression(inside) or inside
    return node if written == node.text else Scalar(node.place, written, written, node.content)


def rooted(conditions: Map) -> Map:
    """Conditions with ``attrs.`` before each name that is not a path: ``severity``, a label of Alertmanager."""
    return Map(conditions.place, tuple(Pair(_rooted(pair.key), pair.value) for pair in conditions.pairs))


def _rooted(key: Scalar) -> Scalar:
    is_path = not re.fullmatch(r"\w+", key.text) or foreign.combination(key.text) or foreign.is_operator(key.text)
    return key if is_path else Scalar(key.place, f"attrs.{key.text}", f"attrs.{key.text}", key.content)


def matchers(pair: Pair, around: Map) -> str:
    """``matchers: [severity="critical"]``, ``match_re: {severity: warning|critical}``: labels of Alertmanager."""
    if isinstance(pair.value, Map):
        how = "regex" if pair.key.text == "match_re" else "eq"
        named = [(_rooted(each.key).text, each.value) for each in pair.value.pairs]
        found = [(name, foreign.comparison(name, how, value)) for name, value in named]
    else:
        nodes = pair.value.nodes if isinstance(pair.value, Items) else (pair.value,)
        texts = [each.text.strip() if isinstance(each, Scalar) else "" for each in nodes]
        found = [
            foreign.compared_key(each if "." in each.split("=")[0] else f"attrs.{each}") or ("", "") for each in texts
        ]
    if not found or not all(line for _, line in found):
        return condition(pair, around)
    return f"write where: {{{', '.join(line for _, line in found)}}}"


def exclusion(pair: Pair, _around: Map) -> str:
    """``unless:``, ``exclude:``: what is not to be sent."""
    nodes = pair.value.nodes if isinstance(pair.value, Items) else (pair.value,)
    types = [each.text for each in nodes if isinstance(each, Scalar) and _TYPE.fullmatch(each.text)]
    if types and len(types) == len(nodes):
        return f"write where: {{{all_but(types)}}}"
    if isinstance(asked := _here(pair.value), Scalar) and asked.text:
        return f"write if: not ({foreign.as_expression(asked.text)})"
    if isinstance(pair.value, Map) or any(isinstance(each, Map) for each in nodes):
        return f"write where: {{not: {foreign.shown(pair.value)}}}"
    return "write where: {not: {attrs.type: lead}}"


EXCLUDING: Final = frozenset({"unless", "not", "exclude", "except", "ignore"})
#: Of an entry.
CONDITIONS: Final[Mapping[str, Remedy]] = {
    **dict.fromkeys(("when", "filter", "filters", "condition", "conditions", "only_if", "rule", "rules"), condition),
    **dict.fromkeys(("matchers", "match_re", "match_labels", "matchLabels", "labels"), matchers),
    **dict.fromkeys(sorted(EXCLUDING), exclusion),
    **workflows.KEYS,
}
#: Of an element of choose.
CHOOSING: Final[Mapping[str, Remedy]] = {
    **dict.fromkeys(("else", "default", "otherwise"), lambda _pair, _around: "remove it: the last element needs no if"),
    **dict.fromkeys(
        ("when", "where", "filter", "filters", "condition", "conditions", "only_if", "case", *sorted(EXCLUDING)),
        in_choice,
    ),
}
