"""Pages for operators: server-rendered, no script, nothing from another host."""

import re
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from typing import Any, Final

import jinja2
import msgspec
from markupsafe import Markup, escape

SECURITY_HEADERS: Final = {
    "content-security-policy": "default-src 'none'; style-src 'self'; img-src 'self'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
}

#: The last one last: what it gives is not looked at again.
_ENTITIES: Final = (("&lt;", "<"), ("&gt;", ">"), ("&amp;", "&"))
_BOLD: Final = re.compile(r"(?<![\w*])\*(?! )([^*\n]+)(?<! )\*(?![\w*])")

_FOLDER: Final = resources.files(__name__)


def inbox_page(entries: Sequence[Mapping[str, Any]]) -> bytes:
    """What would have been sent, newest first; ``entries`` as ``views.inbox_entry`` makes them."""
    shown = [{**entry, "text": _readable(entry["body"]), "body": _indented(entry["body"])} for entry in entries]
    return _template("inbox.html").render(entries=shown).encode("utf-8", "replace")


def stylesheet() -> bytes:
    """The one stylesheet of all pages."""
    return (_FOLDER / "console.css").read_bytes()


@cache
def _template(name: str) -> jinja2.Template:
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    return environment.from_string((_FOLDER / name).read_text("utf-8"))


def _decoded(body: str) -> Any:
    try:
        return msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None


def _readable(body: str) -> Markup:
    """The text of a chat message as Slack shows it: its three entities are characters, ``*...*`` is bold."""
    value = _decoded(body)
    text = value.get("text") if isinstance(value, dict) else None
    if not isinstance(text, str):
        return Markup()
    for entity, character in _ENTITIES:
        text = text.replace(entity, character)
    return Markup(_BOLD.sub(r"<strong>\1</strong>", str(escape(text))))  # noqa: S704  escaped one call before


def _indented(body: str) -> str:
    value = _decoded(body)
    return body if value is None else msgspec.json.format(msgspec.json.encode(value), indent=2).decode()
