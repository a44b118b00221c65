"""From the text that a template printed to what is sent: text, JSON, a form, or a part of a request."""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Final
from urllib.parse import quote, unquote

import msgspec

from gateway.destinations.escapes import Escaper
from gateway.model import Json, Raw
from gateway.render.compiler import FORM_ENDING, HTML_ENDING
from gateway.render.keys import Keys
from gateway.render.values import MAX_SECRET, Trouble, encodable, form_escape, percent_encoded, readable
from gateway.wording import escaped

FORM_TYPE: Final = "application/x-www-form-urlencoded"
#: Characters of a path, or of one query value, once it is encoded: no server accepts a longer address.
MAX_ENCODED: Final = 32_768
#: How often a path is decoded in search of a segment that climbs: a value that is itself encoded twice, and once more.
_DECODINGS: Final = 4
#: Overlong UTF-8 for the signs that matter, which lenient servers accept (CVE-2000-0884), read as Latin-1.
_OVERLONG: Final = {"\xc0\xae": ".", "\xc0\xaf": "/", "\xc1\x9c": "\\"}
#: A segment that climbs, or stays where it is; servers cut parameters (``..;x``), and some trim what is not printed.
_CLIMBING: Final = re.compile(r"(?:^|[/\\])[\x00-\x20\x7f]*(\.{1,2})[\x00-\x20\x7f]*(?=$|[/\\;?#])")
#: Fields of a form, of which PHP reads 1,000; and its bytes before they are encoded.
MAX_PAIRS: Final = 10_000
MAX_FORM: Final = 1 << 19
#: Characters shown before and after the place where a result is not JSON.
_NEAR: Final = 20


_BLANK: Final = re.compile(r"\n(?:[^\S\n]*+\n){2,}+")


def tidy(text: str) -> str:
    """``text`` without blank lines at its ends, and with at most one between others."""
    if "\n" not in text:
        return text
    start = text.rfind("\n", 0, len(text) - len(text.lstrip())) + 1
    end = text.find("\n", max(len(text.rstrip()), start))
    kept = text[start:] if end < 0 else text[start:end]
    # Ten times faster than the expression alone where there is nothing else.
    while "\n\n\n" in kept:
        kept = kept.replace("\n\n\n", "\n\n")
    return _BLANK.sub("\n\n", kept)


def parsed(hide: Escaper, keys: Keys, text: str) -> Json:
    """The JSON that ``text`` is. Raises Trouble, with secrets hidden by ``hide``, also for a key of the author's twice."""
    body = encodable(text).encode()
    try:
        made = Json(msgspec.json.decode(body))
    except msgspec.MsgspecError as error:
        raise Trouble(f"the result is not JSON: {_where(str(error), body, hide)}") from None
    keys.check(text)
    return made


def _where(message: str, body: bytes, hide: Escaper) -> str:
    """Msgspec's message, with its byte as a line and column of the output, and the text around it."""
    words = message.removeprefix("JSON is malformed: ")
    found = re.search(r"\s*\(byte (\d+)\)", words)
    at = int(found[1]) if found else len(body)
    before, after = body[:at].decode(errors="replace"), body[at:].decode(errors="replace")
    line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
    # Secrets are hidden before the cut: a part of one would not be recognized.
    near = _end(hide(before[-MAX_SECRET:])) + _beginning(hide(after[:MAX_SECRET]))
    return f"{words[: found.start()] if found else words} in line {line}, column {column} of it, near '{near}'"


def _beginning(text: str) -> str:
    kept = text[:_NEAR]
    while len(escaped(kept)) > _NEAR:
        kept = kept[:-1]
    return escaped(kept)


def _end(text: str) -> str:
    kept = text[-_NEAR:]
    while len(escaped(kept)) > _NEAR:
        kept = kept[1:]
    return escaped(kept)


def _plain(text: str) -> Raw:
    return Raw(encodable(text).encode(), "text/plain; charset=utf-8")


def _html(text: str) -> Raw:
    return Raw(encodable(text).encode(), "text/html; charset=utf-8")


def _form(text: str) -> Raw:
    """Pairs, on one line or several; characters of the author's that a form cannot hold are encoded."""
    written = (pair.strip() for line in text.splitlines() for pair in line.split("&"))
    encoded = "&".join(quote(pair, safe="=%+!*'()~[]") for pair in written if pair)
    return Raw(encoded.encode(), FORM_TYPE)


#: By the ending of the file; "" is every other one.
FINISH: Final[Mapping[str, Callable[[str], Raw]]] = {HTML_ENDING: _html, FORM_ENDING: _form, "": _plain}


def form(fields: Mapping[str, object]) -> bytes:
    """A map of fields as a form: a list repeats its name, a map inside becomes ``name[key]``, and null is empty text."""
    found: list[str] = []
    left = MAX_FORM
    for name, text in _pairs("", fields):
        # Percent-encoding never makes bytes fewer.
        left -= len(name) + len(encodable(text).encode()) + len("=&")
        if left < 0 or len(found) == MAX_PAIRS:
            raise Trouble(f"a form has at most {MAX_PAIRS:,} fields and {MAX_FORM:,} bytes: send JSON")
        found.append(f"{name}={form_escape(text)}")
    return "&".join(found).encode()


def _pairs(name: str, value: object) -> Iterator[tuple[str, str]]:
    """The name of each field, which is encoded already, and its text."""
    if isinstance(value, Mapping):
        for key, each in value.items():
            called = form_escape(key)
            yield from _pairs(f"{name}%5B{called}%5D" if name else called, each)
    elif isinstance(value, list):
        for each in value:
            yield from _pairs(name, each)
    else:
        yield name, "" if value is None else readable(value)


def safe_path(path: str) -> str:
    """``path`` if none of its segments climbs, not even on a server that decodes it before it looks. Raises Trouble."""
    if len(path) > MAX_ENCODED:
        raise Trouble(f"a path has at most {MAX_ENCODED:,} characters, percent-encoded: send the rest in the body")
    climbing = _climbing(path)
    if climbing:
        raise Trouble(f'the path has a segment "{climbing}", which would lead elsewhere')
    return path


def _climbing(path: str) -> str:
    """The first segment that is ``.`` or ``..``, between slashes or backslashes, however it is encoded; empty: none is."""
    if "." not in path and "%" not in path:
        return ""
    decoded = path
    for _ in range(_DECODINGS):
        before, decoded = decoded, unquote(decoded, "latin-1")
        for overlong, meant in _OVERLONG.items():
            decoded = decoded.replace(overlong, meant)
        if decoded == before:
            break
    found = _CLIMBING.search(decoded)
    return found[1] if found else ""


def query_value(text: str) -> str:
    """``text`` percent-encoded. Raises Trouble if the result is too long."""
    # Encoding never makes a text shorter.
    encoded = percent_encoded(text) if len(text) <= MAX_ENCODED else text
    if len(encoded) > MAX_ENCODED:
        raise Trouble(f"a query value has at most {MAX_ENCODED:,} characters, percent-encoded: send it in the body")
    return encoded


def header_value(text: str) -> str:
    """``text`` as the value of a header field. Raises Trouble if it has other characters than printable ASCII."""
    value = text.strip(" \t")
    odd = re.search(r"[^\t\x20-\x7e]", value)
    if odd:
        raise Trouble(f"a header value cannot hold {odd[0]!a}: only printable ASCII, on one line")
    return value
