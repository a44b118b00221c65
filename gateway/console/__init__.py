"""Pages for operators: server-rendered, no script, nothing from another host."""

from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from typing import Any, Final

import jinja2
import msgspec

SECURITY_HEADERS: Final = {
    "content-security-policy": "default-src 'none'; style-src 'self'; img-src 'self'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
}

_FOLDER: Final = resources.files(__name__)


def inbox_page(entries: Sequence[Mapping[str, Any]]) -> bytes:
    """What would have been sent, newest first; ``entries`` as ``views.inbox_entry`` makes them."""
    shown = [{**entry, "text": _readable(entry["body"]), "body": _indented(entry["body"])} for entry in entries]
    return _template("inbox.html").render(entries=shown).encode()


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


def _readable(body: str) -> str:
    """The text of a chat message, for people."""
    value = _decoded(body)
    text = value.get("text") if isinstance(value, dict) else None
    return text if isinstance(text, str) else ""


def _indented(body: str) -> str:
    value = _decoded(body)
    return body if value is None else msgspec.json.format(msgspec.json.encode(value), indent=2).decode()
