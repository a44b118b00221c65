"""Keys of a workflow of GitHub Actions in an entry: ``on``, ``branches``, ``tags`` and ``types``."""

from collections.abc import Mapping, Sequence
from typing import Final

from gateway.config.schema.remedies import Instead, Remedy, write
from gateway.config.text.reader import Items, Map, Node, Pair, Scalar

#: The prefix of a ref, by the key that names some, and whether those are left out.
_REFS: Final[Mapping[str, tuple[str, bool]]] = {
    "branches": ("refs/heads/", False),
    "branches-ignore": ("refs/heads/", True),
    "branches_ignore": ("refs/heads/", True),
    "branch": ("refs/heads/", False),
    "tags": ("refs/tags/", False),
    "tags-ignore": ("refs/tags/", True),
}
#: Some of the events that have an action after their name.
_WITH_ACTIONS: Final = frozenset(
    {
        "check_run",
        "check_suite",
        "deployment",
        "issue_comment",
        "issues",
        "pull_request",
        "pull_request_review",
        "release",
        "workflow_job",
        "workflow_run",
    }
)
#: Events whose type is their name; others have an action after it.
_WHOLE: Final = frozenset({"push", "create", "delete", "fork", "public", "status", "gollum", "page_build"})


def refs(pair: Pair, around: Map) -> Instead:
    """``branches: [main]`` as ``where: {payload.ref: refs/heads/main}``."""
    is_of_pull_request = any("pull_request" in text for each in around.pairs for text in _texts(each.value))
    line = _of_refs(pair, is_of_pull_request=is_of_pull_request)
    return write("where", f"{{{line or 'payload.ref: refs/heads/main'}}}")


def types(pair: Pair, _around: Map) -> Instead:
    """``types: [opened]`` as ``where: {event.action: opened}``."""
    found = _texts(pair.value)
    return write("where", f"{{event.action: {_listed(found)}}}") if found else write("match", "pull_request.opened")


def trigger(pair: Pair, _around: Map) -> Instead | None:
    """``on: {push: {branches: [main]}}``, ``on: pull_request``; None for types as they are here."""
    if not isinstance(pair.value, Map):
        named = _texts(pair.value)
        with_actions = [f"{each}.*" if each in _WITH_ACTIONS else each for each in named]
        return write("match", _listed(with_actions)) if with_actions != named else None
    if not pair.value.pairs:
        return None
    inner = [(each.key.text, each.value.pairs if isinstance(each.value, Map) else ()) for each in pair.value.pairs]
    matched = [text for name, below in inner for text in _matched(name, below)]
    lines = [
        _of_refs(each, is_of_pull_request="pull_request" in name)
        for name, below in inner
        for each in below
        if each.key.text in _REFS
    ]
    is_limited = len(inner) == len(lines) == 1 and lines[0]
    return write("match", _listed(matched), f", and where: {{{lines[0]}}}" if is_limited else "")


def _matched(name: str, below: Sequence[Pair]) -> Sequence[str]:
    actions = [text for each in below if each.key.text == "types" for text in _texts(each.value)]
    return [f"{name}.{action}" for action in actions] or [name if name in _WHOLE else f"{name}.*"]


def _of_refs(pair: Pair, *, is_of_pull_request: bool) -> str:
    """The line of a condition; empty if no ref is named."""
    prefix, is_left_out = _REFS[pair.key.text]
    field, prefix = ("payload.pull_request.base.ref", "") if is_of_pull_request else ("payload.ref", prefix)
    found = [f"{prefix}{text.replace('**', '*')}" for text in _texts(pair.value) if not text.startswith("!")]
    if not found:
        return ""
    value = f"{{glob: {_listed(found)}}}" if any("*" in each for each in found) else _listed(found)
    return f"{field}: {{not: {value}}}" if is_left_out else f"{field}: {value}"


def _listed(texts: Sequence[str]) -> str:
    written = [f"'{each}'" if each.startswith("*") else each for each in texts]
    return written[0] if len(written) == 1 else f"[{', '.join(written)}]"


def _texts(node: Node) -> Sequence[str]:
    nodes = node.nodes if isinstance(node, Items) else (node,)
    return [each.text for each in nodes if isinstance(each, Scalar) and each.text]


KEYS: Final[Mapping[str, Remedy]] = {**dict.fromkeys(_REFS, refs), "types": types, "on": trigger}
