"""Filters for text."""

import hashlib
import hmac
import re

from gateway.destinations.escapes import Escaper, no_escape
from gateway.destinations.markup import said
from gateway.render.filters.arguments import short
from gateway.render.sandbox import MAX_OUTPUT
from gateway.render.values import (
    Fragment,
    Spend,
    Trouble,
    UndefinedField,
    encodable,
    json_of,
    percent_encoded,
    readable,
)


def default(value: object, replacement: object = "", empty_too: bool = False) -> object:
    """``replacement`` if the value is missing or null; with ``true`` also if it is empty, 0 or false.

    >>> default(None, "no e-mail"), default("", "no e-mail"), default("", "no e-mail", True)
    ('no e-mail', '', 'no e-mail')
    """
    if value is None or isinstance(value, UndefinedField) or (empty_too and not value):
        return replacement
    return value


def upper(value: object) -> str:
    """In upper case.

    >>> upper("vip")
    'VIP'
    """
    return readable(value).upper()


def lower(value: object) -> str:
    """In lower case.

    >>> lower("VIP")
    'vip'
    """
    return readable(value).lower()


def title(value: object) -> str:
    """Every word capitalized.

    >>> title("ann o'neill-smith")
    "Ann O'neill-Smith"
    """
    return re.sub(r"[^\s(\[{<-]+", lambda word: word[0].capitalize(), readable(value))


def capitalize(value: object) -> str:
    """The first letter in upper case, the others in lower case.

    >>> capitalize("lead")
    'Lead'
    """
    return readable(value).capitalize()


def trim(value: object) -> str:
    """Without whitespace at the ends.

    >>> trim("  Ann ")
    'Ann'
    """
    return readable(value).strip()


def replace(value: object, old: object, new: object) -> str:
    """Every ``old`` replaced by ``new``.

    >>> replace("+1 415 555", " ", "")
    '+1415555'
    """
    text, wanted, other = readable(value), short(old, "what is replaced"), short(new, "the replacement")
    if text.count(wanted) * len(other) > MAX_OUTPUT:
        raise Trouble(f"replace would add more than {MAX_OUTPUT:,} characters")
    return text.replace(wanted, other)


def truncate(value: object, length: int = 255, end: str = "…") -> str:
    """At most ``length`` characters, with ``end`` as the last of them if the text was cut.

    >>> truncate("a long story", 7)
    'a long…'
    """
    text, mark = readable(value), short(end, "the end of truncate")
    return text if len(text) <= length else (text[: max(length - len(mark), 0)] + mark)[: max(length, 0)]


def string(value: object) -> str:
    """As text.

    >>> string(451), string(True)
    ('451', 'true')
    """
    return readable(value)


def urlencode(value: object) -> str:
    """Percent-encoded, as one value in a URL.

    >>> urlencode("a b/c")
    'a%20b%2Fc'
    """
    return percent_encoded(readable(value))


def tojson(value: object, escape: Escaper = no_escape, spend: Spend = lambda _: None) -> Fragment:
    """As JSON, with every text in it escaped; the value position of a ``.json.j2`` file prints it unchanged.

    >>> tojson({"groups": [1, 2]})
    '{"groups": [1, 2]}'
    """
    output = json_of(value, "", escape, spend)
    return Fragment(output, said(output))


def sha256(value: object) -> str:
    """The SHA-256 of its UTF-8 bytes in hex: equal values stay recognizable, but not readable.

    >>> sha256("ann@example.com")[:16]
    '71d4f55f72fa128d'
    """
    return hashlib.sha256(encodable(readable(value)).encode()).hexdigest()


def hmac_(value: object, secret: object) -> str:
    """The HMAC-SHA256 of its UTF-8 bytes in hex, with ``secret`` as the key.

    >>> hmac_("ann@example.com", "key")[:16]
    '9e477c88a6434858'
    """
    key = encodable(readable(secret, "the secret of hmac")).encode()
    return hmac.new(key, encodable(readable(value)).encode(), "sha256").hexdigest()


def mask(value: object, keep: int = 4) -> str:
    """With stars instead of all but the last ``keep`` characters; a text no longer than that is all stars.

    >>> mask("+14155551234"), mask("1234")
    ('********1234', '****')
    """
    text = readable(value)
    hidden = len(text) - keep if 0 < keep < len(text) else len(text)
    return "*" * hidden + text[hidden:]


def phone(value: object) -> str:
    """Only the digits, with a leading ``+`` kept.

    >>> phone("+1 (415) 555-1234"), phone("0415 5551234")
    ('+14155551234', '04155551234')
    """
    text = readable(value).strip()
    return "+" * text.startswith("+") + re.sub(r"[^0-9]+", "", text)
