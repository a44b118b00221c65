"""What an event is about, in a few words, for a list of events: from the fields that most senders have. Pure and total."""

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from gateway.wording import printable

#: Characters of a summary.
LONGEST: Final = 140
#: Parts of a summary are separated by this; empty ones are left out.
BETWEEN: Final = " · "
#: Values of a payload that are looked at, and levels.
_MOST, _DEEPEST = 400, 4

_PERSON: Final = (("firstname", "lastname"), ("first_name", "last_name"), ("given_name", "family_name"))
#: Fields that say what something is, the telling ones first.
_WHAT: Final = (
    *("full_name", "display_name", "title", "subject", "summary", "name", "username", "login", "text", "message"),
    *("description", "email", "phone", "number", "key", "id"),
)
_STATE: Final = ("status", "state", "type", "action", "level", "severity", "reason")
_WHERE: Final = ("email", "phone", "total", "amount", "currency")
#: Characters of one value.
_LONGEST_VALUE: Final = 60


def usual(payload: object) -> str:
    """``Ada Lovelace · lead · ada@example.com``, by common names of fields; empty if it has none of them."""
    fields = _fields(payload)
    who = next((said for pair in _PERSON if (said := " ".join(fields[each] for each in pair if each in fields))), "")
    what = who or _first(fields, _WHAT)
    return line(BETWEEN.join([what, _first(fields, _STATE), *(fields[each] for each in _WHERE if each in fields)]))


def line(text: str) -> str:
    """A summary on one line: each part once, empty ones left out, bounded, without invisible characters."""
    parts = (" ".join(printable(part).split()) for part in text.replace("\n", " ").split(BETWEEN.strip()))
    found = BETWEEN.join(dict.fromkeys(part for part in parts if part))
    return found if len(found) <= LONGEST else found[: LONGEST - 1] + "…"


def _first(fields: Mapping[str, str], names: Sequence[str]) -> str:
    return next((fields[name] for name in names if name in fields), "")


def _fields(payload: object) -> Mapping[str, str]:
    """The short values by lower-case name, of each name the one nearest to the top."""
    found: dict[str, str] = {}
    for name, value in _values(payload):
        text = str(value).strip() if isinstance(value, str | int | float) and not isinstance(value, bool) else ""
        if len(text) > 0 and name not in found:
            found[name] = text if len(text) <= _LONGEST_VALUE else text[: _LONGEST_VALUE - 1] + "…"
    return found


def _values(payload: object) -> Iterator[tuple[str, object]]:
    """Names and values, level by level; of a list its first element."""
    rest: deque[tuple[int, object]] = deque([(0, payload)])
    seen = 0
    while rest and seen < _MOST:
        depth, value = rest.popleft()
        if isinstance(value, list):
            value = value[0] if value else None
        if not isinstance(value, Mapping):
            continue
        for name, each in value.items():
            seen += 1
            if isinstance(each, Mapping | list):
                if depth < _DEEPEST:
                    rest.append((depth + 1, each))
            else:
                yield str(name).lower(), each
            if seen >= _MOST:
                return
