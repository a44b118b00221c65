"""Every filter, test and function that a template may use. Pure; none makes a text much longer than it was.

A filter gets its value first and is never called on a missing field (``default`` excepted).
Adding one: a function with a doctest, and its line in FILTERS.
"""

import hashlib
import hmac
import json
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, tzinfo
from operator import itemgetter
from typing import Any, cast
from urllib.parse import quote
from zoneinfo import ZoneInfo

from jinja2 import tests as jinja_tests
from jinja2.utils import missing

from gateway.destinations import slack
from gateway.destinations.escapes import Escaper, no_escape
from gateway.render.sandbox import MAX_OUTPUT, MAX_RANGE, member
from gateway.render.values import (
    MAX_SHOWN,
    OMIT,
    Escaped,
    Fragment,
    Spend,
    Trouble,
    UndefinedField,
    encodable,
    jsonable,
    kind,
    readable,
    weigh,
)

#: A replacement, a separator, a format: texts of the author, not of the event.
MAX_ARGUMENT = 200


def _short(text: object, role: str) -> str:
    short = readable(text, role)
    if len(short) > MAX_ARGUMENT:
        raise Trouble(f"{role} has {len(short)} characters: {MAX_ARGUMENT} are allowed")
    return short


def _items(value: object) -> Iterable[Any]:
    if isinstance(value, str | Mapping | list | tuple | range):
        return value
    raise Trouble(f"a list is needed, and this is {kind(value)}")


def _by(value: object, attribute: object) -> list[Any]:
    """The elements, or that field of each of them."""
    return list(_items(value)) if attribute is None else map_(value, attribute)


# --- what is not there ---


def default(value: object, replacement: object = "", empty_too: bool = False) -> object:
    """``replacement`` for what is missing or null; with ``true`` also for what is empty, 0 or false.

    >>> default(None, "no e-mail"), default("", "no e-mail"), default("", "no e-mail", True)
    ('no e-mail', '', 'no e-mail')
    """
    if value is None or isinstance(value, UndefinedField) or (empty_too and not value):
        return replacement
    return value


# --- texts ---


def upper(value: object) -> str:
    """In capitals.

    >>> upper("vip")
    'VIP'
    """
    return readable(value).upper()


def lower(value: object) -> str:
    """In small letters.

    >>> lower("VIP")
    'vip'
    """
    return readable(value).lower()


def title(value: object) -> str:
    """Every word with a capital.

    >>> title("ann o'neill-smith")
    "Ann O'neill-Smith"
    """
    return re.sub(r"[^\s(\[{<-]+", lambda word: word[0].capitalize(), readable(value))


def capitalize(value: object) -> str:
    """The first letter as a capital, the others small.

    >>> capitalize("lead")
    'Lead'
    """
    return readable(value).capitalize()


def trim(value: object) -> str:
    """Without blanks at its ends.

    >>> trim("  Ann ")
    'Ann'
    """
    return readable(value).strip()


def replace(value: object, old: object, new: object) -> str:
    """Every ``old`` as ``new``.

    >>> replace("+1 415 555", " ", "")
    '+1415555'
    """
    text, wanted, other = readable(value), _short(old, "what is replaced"), _short(new, "the replacement")
    if text.count(wanted) * len(other) > MAX_OUTPUT:
        raise Trouble(f"replace would add more than {MAX_OUTPUT:,} characters")
    return text.replace(wanted, other)


def truncate(value: object, length: int = 255, end: str = "…") -> str:
    """At most ``length`` characters, the last of them ``end`` where something was cut.

    >>> truncate("a long story", 7)
    'a long…'
    """
    text, mark = readable(value), _short(end, "the end of truncate")
    return text if len(text) <= length else text[: max(length - len(mark), 0)] + mark


def string(value: object) -> str:
    """As text.

    >>> string(451), string(True)
    ('451', 'true')
    """
    return readable(value)


def urlencode(value: object) -> str:
    """Percent-encoded, for one value inside an address.

    >>> urlencode("a b/c")
    'a%20b%2Fc'
    """
    return quote(readable(value), safe="", errors="replace")


def tojson(value: object, escape: Escaper = no_escape, spend: Spend = lambda _: None) -> Fragment:
    """As JSON text, every text in it escaped; in value position of a ``.json.j2`` file it is written as it is.

    >>> tojson({"groups": [1, 2]})
    '{"groups": [1, 2]}'
    """
    return Fragment(json.dumps(jsonable(value, "", escape, spend), ensure_ascii=False))


def mrkdwn_raw(value: object) -> Escaped:
    """As it is, ``<``, ``>`` and ``&`` alive: only for text that no stranger can write.

    >>> mrkdwn_raw("<!here>")
    '<!here>'
    """
    return Escaped(readable(value))


# --- lists ---


def length(value: object) -> int:
    """How many characters, elements or fields.

    >>> length([1, 2])
    2
    """
    return len(_items(value))  # type: ignore[arg-type]


def join(value: object, separator: object = "", attribute: object = None) -> str:
    """The elements as one text.

    >>> join([1, 2], ", ")
    '1, 2'
    """
    texts = [readable(element, "an element of the list") for element in _by(value, attribute)]
    between = _short(separator, "the separator of join")
    if sum(map(len, texts)) + len(between) * len(texts) > MAX_OUTPUT:
        raise Trouble(f"join would make more than {MAX_OUTPUT:,} characters")
    return between.join(texts)


def first(value: object) -> object:
    """The first element; missing if there is none.

    >>> first(["a", "b"])
    'a'
    """
    return next(iter(_items(value)), UndefinedField(name="the first element of an empty list"))


def last(value: object) -> object:
    """The last element; missing if there is none.

    >>> last(["a", "b"])
    'b'
    """
    return next(reversed(list(_items(value))), UndefinedField(name="the last element of an empty list"))


def list_(value: object) -> list[object]:
    """The elements, or the names of an object's fields.

    >>> list_({"id": 451})
    ['id']
    """
    return list(_items(value))


def items(value: object) -> list[tuple[object, object]]:
    """An object's fields as pairs: ``{% for name, value in attrs | items %}``.

    >>> items({"id": 451})
    [('id', 451)]
    """
    if isinstance(value, Mapping):
        return list(value.items())
    raise Trouble(f"items needs an object, and this is {kind(value)}")


def map_(value: object, attribute: object) -> list[Any]:
    """One field of every element: ``map("sku")`` or ``map(attribute="sku")``.

    >>> map_([{"sku": "A"}, {"sku": "B"}], attribute="sku")
    ['A', 'B']
    """
    found = [member(element, attribute) for element in _items(value)]
    name = readable(attribute, "the field of map")
    # Cut, a secret would not be known for one.
    path = f"{name if len(name) <= MAX_SHOWN else f'({len(name):,} characters)'} in an element"
    return [UndefinedField(name=path) if one is missing else one for one in found]


def sort(
    value: object, reverse: bool = False, attribute: object = None, *, spend: Spend = lambda _: None
) -> list[object]:
    """In order, by themselves or by one of their fields.

    >>> sort([2, 1]), sort([{"n": 2}, {"n": 1}], attribute="n")
    ([1, 2], [{'n': 1}, {'n': 2}])
    """
    elements, keys = list(_items(value)), _by(value, attribute)
    # An element is compared again and again, as often as their number can be halved.
    weigh(keys, lambda characters: spend(characters * len(keys).bit_length()))
    order: list[Any] = sorted(zip(keys, elements, strict=True), key=itemgetter(0), reverse=reverse)
    return [element for _, element in order]


def unique(value: object, *, spend: Spend = lambda _: None) -> list[object]:
    """Without repetitions of texts and numbers, in the order of first appearance.

    >>> unique([2, 1, 2])
    [2, 1]
    """
    weigh(value, spend)
    return list(dict.fromkeys(_items(value)))


def reverse(value: object) -> object:
    """From the end to the beginning.

    >>> reverse([1, 2]), reverse("ab")
    ([2, 1], 'ba')
    """
    return value[::-1] if isinstance(value, str) else list(_items(value))[::-1]


# --- numbers and times ---


def int_(value: object, default: object = missing) -> object:
    """As a whole number; ``default`` where it is none, or an error.

    >>> int_("42"), int_("3.9"), int_("many", 0)
    (42, 3, 0)
    """
    return _number(
        value, lambda text: int(text) if re.fullmatch(r"\s*[-+]?\d+\s*", text) else int(float(text)), default
    )


def float_(value: object, default: object = missing) -> object:
    """As a number; ``default`` where it is none, or an error.

    >>> float_("3.5")
    3.5
    """
    return _number(value, float, default)


def _number(value: object, convert: Callable[[str], object], default: object) -> object:
    try:
        return convert(str(int(value)) if isinstance(value, bool) else readable(value))
    except (ValueError, OverflowError, Trouble):
        if default is missing:
            raise _about("{} is not a number", value) from None
        return default


def round_(value: object, precision: int = 0) -> object:
    """To so many decimals, at most 15; without decimals, a whole number.

    >>> round_(2.7), round_(3.14159, 2)
    (3, 3.14)
    """
    if not isinstance(value, int | float):
        raise Trouble(f"round needs a number, and this is {kind(value)}")
    if not 0 <= precision <= 15:
        raise Trouble(f"round to {precision} decimals: 0 to 15 are possible")
    return round(value, precision) if precision else round(value)


def abs_(value: object) -> object:
    """Without its sign.

    >>> abs_(-3)
    3
    """
    if not isinstance(value, int | float):
        raise Trouble(f"abs needs a number, and this is {kind(value)}")
    return abs(value)


def sum_(value: object, attribute: object = None) -> object:
    """The sum of numbers, or of one field of every element.

    >>> sum_([1, 2]), sum_([{"n": 1}, {"n": 2}], attribute="n")
    (3, 3)
    """
    numbers = _by(value, attribute)
    for number in numbers:
        if not isinstance(number, int | float):
            raise Trouble(f"sum needs numbers, and one element is {kind(number)}")
    return sum(numbers)


def min_(value: object, *, spend: Spend = lambda _: None) -> object:
    """The least element; missing if there is none.

    >>> min_([2, 1])
    1
    """
    weigh(value, spend)
    return min(_items(value), default=UndefinedField(name="the least element of an empty list"))


def max_(value: object, *, spend: Spend = lambda _: None) -> object:
    """The greatest element; missing if there is none.

    >>> max_([2, 1])
    2
    """
    weigh(value, spend)
    return max(_items(value), default=UndefinedField(name="the greatest element of an empty list"))


def date(value: object, format: str = "%Y-%m-%d %H:%M", tz: str = "UTC") -> str:
    """An ISO 8601 text or a number of seconds (from 1e11 on: milliseconds) since 1970, in strftime's ``format``.

    A text without an offset is taken as UTC.

    >>> date("2026-04-16T12:34:56.000000Z", "%d %b %Y"), date(1776342896, "%H:%M"), date(1776342896000, "%H:%M")
    ('16 Apr 2026', '12:34', '12:34')
    """
    pattern = _short(format, "the format of date")
    return _moment(value).astimezone(_zone(tz)).strftime(pattern)


def _moment(value: object) -> datetime:
    try:
        if isinstance(value, str):
            moment = datetime.fromisoformat(value.strip())
            return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        if isinstance(value, int | float) and not isinstance(value, bool):
            return datetime.fromtimestamp(value / 1000 if abs(value) >= 1e11 else value, UTC)
    except (ValueError, OverflowError, OSError):
        pass
    raise _about("date: {} is neither an ISO 8601 time nor seconds since 1970", value)


def _zone(name: str) -> tzinfo:
    try:
        return UTC if name == "UTC" else ZoneInfo(name)
    except (ValueError, OSError, KeyError, TypeError):
        raise _about('date: unknown time zone {}: write a name such as "Europe/Berlin"', name) from None


def _about(text: str, value: object) -> Trouble:
    """What is wrong with a value, which is quoted if it is short to say."""
    return Trouble(text, value) if isinstance(value, str | int | float) else Trouble(text.format(kind(value)))


# --- functions ---


def slack_link(url: object, label: object = None) -> Escaped:
    """Slack's markup for a link; ``url`` must be http, https or mailto, ``label`` is the url if left out.

    >>> slack_link("https://crm.example.com/?id=1&x=2", "Ann <VIP>")
    '<https://crm.example.com/?id=1&amp;x=2|Ann &lt;VIP&gt;>'
    """
    address = readable(url, "the url of slack_link").strip()
    if not re.match(r"(?:https?://|mailto:)[^\s/]", address, re.IGNORECASE):
        raise Trouble("slack_link: {} is not an http, https or mailto address", address)
    # ``|`` and ``>`` end an address, blanks and controls break it; "&" is escaped as in text.
    target = quote(address, safe="%/:?#[]@!$&'()*+,;=~", errors="replace").replace("&", "&amp;")
    # Slack takes what follows the first "|" as the label; a second one has no escape.
    shown = readable(address if label is None else label, "the label of slack_link").replace("|", "¦")
    return Escaped(f"<{target}|{slack.escape(shown)}>")


def slack_user(id: object) -> Escaped:
    """Slack's markup that mentions a person.

    >>> slack_user("U024BE7LH")
    '<@U024BE7LH>'
    """
    name = readable(id, "the id of slack_user")
    if not re.fullmatch(r"[UW][A-Z0-9]{1,30}", name):
        raise Trouble("slack_user: {} is not a member id such as U024BE7LH", name)
    return Escaped(f"<@{name}>")


def range_(*bounds: int) -> range:
    """Whole numbers, at most 1,000 of them.

    >>> list(range_(3))
    [0, 1, 2]
    """
    numbers = range(*bounds)
    if len(numbers) > MAX_RANGE:
        raise Trouble(f"range of {len(numbers):,} numbers: {MAX_RANGE:,} are allowed")
    return numbers


def sha256(value: object) -> str:
    """The SHA-256 of its UTF-8 bytes in hex: the same value can be told, and not read.

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
    """With stars for all but the last ``keep`` characters; one of no more than these is all stars.

    >>> mask("+14155551234"), mask("1234")
    ('********1234', '****')
    """
    text = readable(value)
    hidden = len(text) - keep if 0 < keep < len(text) else len(text)
    return "*" * hidden + text[hidden:]


def phone(value: object) -> str:
    """Its digits, behind the ``+`` that it begins with, if any.

    >>> phone("+1 (415) 555-1234"), phone("0415 5551234")
    ('+14155551234', '04155551234')
    """
    text = readable(value).strip()
    return "+" * text.startswith("+") + re.sub(r"[^0-9]+", "", text)


FILTERS: Mapping[str, Callable[..., object]] = {
    "abs": abs_,
    "capitalize": capitalize,
    "count": length,
    "date": date,
    "default": default,
    "first": first,
    "float": float_,
    "hmac": hmac_,
    "int": int_,
    "items": items,
    "join": join,
    "last": last,
    "length": length,
    "list": list_,
    "lower": lower,
    "map": map_,
    "mask": mask,
    "max": max_,
    "min": min_,
    "mrkdwn_raw": mrkdwn_raw,
    "phone": phone,
    "replace": replace,
    "reverse": reverse,
    "round": round_,
    "sha256": sha256,
    "slack_link": slack_link,
    "slack_user": slack_user,
    "sort": sort,
    "string": string,
    "sum": sum_,
    "title": title,
    "tojson": tojson,
    "trim": trim,
    "truncate": truncate,
    "unique": unique,
    "upper": upper,
    "urlencode": urlencode,
}

FUNCTIONS: Mapping[str, object] = {
    "omit": OMIT,
    "range": range_,
    "slack_link": slack_link,
    "slack_user": slack_user,
}

TESTS: Mapping[str, Callable[..., Any]] = {
    name: cast("Callable[..., Any]", jinja_tests.TESTS[name])
    for name in [
        "boolean",
        "defined",
        "divisibleby",
        "eq",
        "equalto",
        "even",
        "false",
        "float",
        "ge",
        "gt",
        "in",
        "integer",
        "iterable",
        "le",
        "lower",
        "lt",
        "mapping",
        "ne",
        "none",
        "number",
        "odd",
        "sequence",
        "string",
        "true",
        "undefined",
        "upper",
        "==",
        "!=",
        ">",
        ">=",
        "<",
        "<=",
    ]
}

#: Tests that look into what they are given.
COMPARING_TESTS = frozenset(
    ["==", "!=", "<", "<=", ">", ">=", "eq", "equalto", "ge", "gt", "in", "le", "lower", "lt", "ne", "upper"]
)
