"""What a value of an earlier step of n8n or Make is here: a field of the event. Pure; empty where it is not theirs."""

import re
from collections.abc import Mapping
from typing import Final

from gateway.render.formats import strftime
from gateway.render.scripts import QUOTED

_STEP: Final = r"""(?:\.\w+|\[(?:\d+|"[^"]*"|'[^']*')\])"""
_ONE: Final = r"""(?:\.(?:item|first\(\)|last\(\)|all\(\)\[\d+\]))"""
#: The output of a step of n8n: of the one before, of one by its name.
_OF_N8N: Final = re.compile(
    rf"""\$(?:json|input{_ONE}\.json|node\[(?:"[^"]*"|'[^']*')\](?:{_ONE})?\.(?:json|data)"""
    rf"""|\((?:"[^"]*"|'[^']*')\){_ONE}\.json|items\([^()]*\)\[\d+\]\.json)(?P<below>{_STEP}*)"""
)
_NOW: Final = re.compile(r"""\$(?:now|today)(?P<called>(?:\.\w+\([^()]*\))*)""")
_FORMAT: Final = re.compile(r"""\.(?:toFormat|format)\((?P<format>"[^"]*"|'[^']*')\)""")
#: The output of a module of Make: its number, then a field.
_OF_MAKE: Final = re.compile(r"""(?<![\w.)\]"'])\d+\.(?=[A-Za-z_`])""")
#: What else n8n knows, and what to write instead of it.
_OTHERS: Final[Mapping[str, str]] = {
    "env": "${NAME} outside the braces, for a variable of the environment",
    "vars": "vars.name, which routes.yaml declares under vars",
}
_NOT_HERE: Final = "a field of the event, such as payload.name: a template cannot see the steps of a workflow"
_LEFT: Final = re.compile(
    r"\$(?P<name>node|input|json|items|now|today|workflow|execution|env|vars|prevNode|runIndex|\()"
)
_NAMED: Final = re.compile(r"""\[(?:"([A-Za-z_]\w*)"|'([A-Za-z_]\w*)')\]""")
#: A header as a key: ``headers["x-id"]``.
_HEADER: Final = re.compile(r"""\.(?P<bare>[\w-]+)|\[["'](?P<quoted>[\w-]+)["']\]""")


def read(content: str) -> tuple[str, str] | None:
    """Whose value a tag has, and what is in it here: ``n8n`` and ``payload.phone`` for ``$("Webhook").item.json.body.phone``."""
    written = _NOW.sub(_now, _OF_N8N.sub(lambda found: _field(found["below"]), content))
    if written != content and not _LEFT.search(written):
        return "n8n", written
    if _OF_MAKE.search(QUOTED.sub("", content)):
        plain = re.sub(
            rf"(?P<text>{QUOTED.pattern})|{_OF_MAKE.pattern}|[`;]",
            lambda found: found["text"] or {"`": "", ";": ","}.get(found[0], "payload."),
            content,
        )
        return "Make", plain
    return None


def instead(content: str) -> str:
    """What to write instead of something of n8n that is not a value of the event; empty if there is none."""
    left = _LEFT.search(QUOTED.sub("''", content))
    return _OTHERS.get(left["name"], _NOT_HERE) if left else ""


def _field(below: str) -> str:
    below = _NAMED.sub(lambda found: f".{found[1] or found[2]}", below)
    root, _, rest = below[1:].partition(".") if below.startswith(".") else ("", "", "")
    if below.startswith(".headers") and (header := _HEADER.fullmatch(below.removeprefix(".headers"))):
        return f'headers["{header["bare"] or header["quoted"]}"]'
    if root == "query" and rest:
        return f"query.{rest}"
    return "payload" + re.sub(r"^\.body(?!\w)", "", below)


def _now(found: re.Match[str]) -> str:
    shown = _FORMAT.search(found["called"])
    return f'event.received_at | date("{strftime(shown["format"][1:-1])}")' if shown else "event.received_at"
