"""What other products call what happens when a delivery fails, the elements of a list and the order of routes."""

import re
from collections.abc import Mapping
from typing import Final

from gateway.config.schema.remedies import Instead, Remedy
from gateway.config.schema.values import is_name
from gateway.config.text.reader import Items, Map, Node, Pair, Scalar

#: Values that say what is done anyway.
_RETRIED: Final = frozenset({"retry", "backoff", "requeue"})
_CONTINUED: Final = frozenset({"continue", "ignore", "skip", "next", "resume"})
_SWITCHES: Final = frozenset({"true", "false", "yes", "no", "on", "off", "stop", "fail", "abort", "log", "keep"})
_KEPT: Final = "remove it: a delivery that is given up is kept as a dead letter, and a section failed notifies of it"


def _failed(pair: Pair, around: Map) -> Instead:
    """``on_error: slack-ops``: a destination to send to instead."""
    found = _word(pair.value)
    if found in _RETRIED:
        return Instead("remove it: a delivery that fails is retried, as retry of its destination says")
    if found in _CONTINUED:
        return _continued(pair, around)
    name = _destination(pair.value)
    if not name and found in _SWITCHES:
        return Instead(_KEPT)
    hint = f"write failed: [{{to: {name or '...'}}}] as a section of the file: it sends when a delivery is given up"
    return Instead(hint, ("failed",))


def _continued(_pair: Pair, _around: Map) -> Instead:
    return Instead("remove it: a delivery that fails never keeps another from being sent")


def _word(node: Node) -> str:
    return node.text.lower() if isinstance(node, Scalar) else ""


def _destination(node: Node) -> str:
    """The destination that a value names, alone or under a key; empty if it names none."""
    match node:
        case Items(nodes=[only]):
            return _destination(only)
        case Map(pairs=pairs):
            named = [pair.value for pair in pairs if pair.key.text in ("to", "destination", "target", "name")]
            return _destination(named[0]) if named else ""
        case Scalar(text=text) if is_name(text) and text.lower() not in _SWITCHES:
            return text
    return ""


_PATH: Final = re.compile(r"(?:\{\{\s*)?(?P<path>[A-Za-z_]\w*(?:\.\w+)*)(?:\[\*?\]|\.\*)?(?:\s*\}\})?")


def _each(pair: Pair, _around: Map) -> Instead:
    """``foreach: payload.items``: something for each element of a list."""
    found = _PATH.fullmatch(pair.value.text) if isinstance(pair.value, Scalar) else None
    path = found["path"] if found else "payload.items"
    in_payload = path if path.startswith("payload.") else "payload.items"
    return Instead(
        f"write {{% for one in {path} %}}{{{{ one.name }}}}{{% endfor %}} in text, for one message about all of them; "
        f"or split: {in_payload}.* in the source, for an event of each",
        ("split",),
    )


def _order(pair: Pair, _around: Map) -> Instead:
    of_ntfy = "; the priority of ntfy belongs to its destination" if pair.key.text == "priority" else ""
    return Instead(f"remove it: routes apply in the order of the file, and stop: true ends them{of_ntfy}")


#: Of an entry and of a destination.
FAILING: Final[Mapping[str, Remedy]] = {
    **dict.fromkeys(("on_error", "onerror", "onError", "error_handler", "on_failure", "onFailure", "on_fail"), _failed),
    **dict.fromkeys(("fallback", "fallback_to", "fallback_url", "failover", "backup", "secondary", "catch"), _failed),
    **dict.fromkeys(
        ("dead_letter", "deadletter", "deadLetter", "dead_letters", "dead_letter_queue", "deadLetterQueue", "dlq"),
        _failed,
    ),
    **dict.fromkeys(("ignore_errors", "continue_on_error", "continueOnError", "allow_failure"), _continued),
}
#: Of an entry.
OF_ENTRIES: Final[Mapping[str, Remedy]] = {
    **FAILING,
    **dict.fromkeys(("foreach", "forEach", "for_each", "each", "loop", "iterate", "with_items", "repeat"), _each),
    **dict.fromkeys(("priority", "precedence", "order", "rank", "position"), _order),
}
