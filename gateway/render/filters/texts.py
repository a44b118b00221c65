"""Filters for text."""

import hashlib
import hmac
import re
import unicodedata
from typing import Final

from markupsafe import Markup

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


def replace(value: object, old: object, new: object, count: int = -1) -> str:
    """Every ``old`` replaced by ``new``, or the first ``count`` of them.

    >>> replace("+1 415 555", " ", "")
    '+1415555'
    """
    text, wanted, other = readable(value), short(old, "what is replaced"), short(new, "the replacement")
    if text.count(wanted) * len(other) > MAX_OUTPUT:
        raise Trouble(f"replace would add more than {MAX_OUTPUT:,} characters")
    return text.replace(wanted, other, count)


def truncate(value: object, length: int = 255, end: object = "…", last: object = "…") -> str:
    """At most ``length`` characters, with ``end`` as the last of them if the text was cut; words are cut, too.

    Jinja's own form ``truncate(7, true, "...")`` is read as well.

    >>> truncate("a long story", 7), truncate("a long story", 7, True, "...")
    ('a long…', 'a lo...')
    """
    text, mark = readable(value), short(last if isinstance(end, bool) else end, "the end of truncate")
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


#: What comes before an extension.
_EXTENSION: Final = re.compile(
    r"(?:;ext=|,|#|(?:ext(?:ension)?|x)\b\.?:?)\s*(\d{1,11})\W*\Z|(?<=\d)\s*x(\d{1,11})\Z", re.IGNORECASE
)


def phone(value: object) -> str:
    """Only the digits, of any alphabet, with a leading ``+`` kept; an extension is apart (RFC 3966, 5.1.5).

    A text without a digit is unchanged.

    >>> phone("+1 (415) 555-1234"), phone("0415 5551234"), phone("+1 415 555 1234 ext. 12"), phone("٠٤١٥")
    ('+14155551234', '04155551234', '+14155551234;ext=12', '0415')
    """
    # As JSON has it, 1.4155551234e10 is a whole number: the zero after its point is no digit of it.
    whole = int(value) if isinstance(value, float) and value.is_integer() else value
    text = readable(whole).strip()
    extension = _EXTENSION.search(text[-LONGEST_EXTENSION:])
    number = text[: len(text) - len(extension[0])] if extension else text
    digits = _digits(number)
    if not digits:
        return text
    apart = f";ext={_digits(extension[0])}" if extension else ""
    return "+" * text.lstrip("\u200e\u202a\u202d(").startswith(("+", "\N{FULLWIDTH PLUS SIGN}")) + digits + apart


#: Characters at the end of a number in which an extension is looked for.
LONGEST_EXTENSION: Final = 40


def _digits(text: str) -> str:
    return "".join(str(unicodedata.decimal(char)) for char in re.sub(r"\D+", "", text))


def striptags(value: object) -> str:
    r"""Without HTML's tags and comments, with its entities as their characters, and with single spaces.

    >>> striptags("<p>Tom &amp;\n <b>Ann</b></p>")
    'Tom & Ann'
    """
    return str(Markup(readable(value)).striptags())  # noqa: S704 - it is a value again, and escaped as one
