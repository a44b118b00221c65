"""Reading an answer: its status in words, its JSON, and how long it asks to wait."""

import calendar
import re
from collections.abc import Mapping, Sequence
from email.utils import parsedate_tz
from types import MappingProxyType
from typing import Final

import msgspec

from gateway.destinations.target import NO_JSON, Answer, Target
from gateway.event.paths import lookup
from gateway.hiding.addresses import masked_location, parts_that_open
from gateway.model import Dead, Delivered, Reply, Retry, Verdict

#: The longest wait that a destination can ask for, seconds.
LONGEST_RETRY_AFTER_S: Final = 86400.0

_SECONDS = re.compile(r"[0-9]+(\.[0-9]*)?")


def answer_of(reply: Reply) -> Answer:
    return Answer(reply.status, reply.body.decode("utf-8", "replace"), json_of(reply.body))


# --- its status ---

#: What a status usually means, and what to do.
_MEANINGS: Final[Mapping[int, str]] = MappingProxyType(
    {
        400: "it does not understand the request: check the content against its documentation",
        401: "it does not accept the login",
        402: "its plan does not cover this: check what you pay for",
        403: "it forbids this: check what the login is allowed to do",
        404: "nothing is there: correct url or path",
        405: "it does not accept this method: correct method",
        408: "it waited too long for the request",
        409: "it conflicts with what is there; if that is as good as done, say so under success",
        410: "it is gone for good",
        413: "it is too large: send less of it",
        415: "it does not accept this content type: send another, or set the header content-type",
        422: "it does not accept these values: correct the content; if it has them already, say so under success",
        425: "too early for it",
        429: "too many requests: set rate to what it accepts",
    }
)
#: Statuses about who is asking.
_ABOUT_THE_LOGIN: Final = frozenset({401, 403})
#: Statuses below 500 that may pass.
_PASSING: Final = frozenset({408, 425, 429})
#: Several things have this address; one that lists them is no redirect (RFC 9110, 15.4.1).
_SEVERAL: Final = 300


def is_final(status: int) -> bool:
    """Whether another attempt would get the same answer."""
    return 400 <= status < 500 and status not in _PASSING


def read_status(target: Target, reply: Reply, meaning: str = "") -> Verdict:
    """The verdict by the status alone: 2xx is a success; 408, 425, 429 and 5xx may pass; the rest is final.

    ``meaning`` is what the kind knows about this answer, with the remedy; it replaces what the status says.
    """
    status = reply.status
    if 200 <= status < 300:
        return Delivered()
    if status == _SEVERAL and "location" not in reply.headers and (words := beginning(reply)):
        return Dead(f"answered {status}{words} (several things are there: make path name one of them, then replay)")
    if 300 <= status < 400:
        return Dead(f"redirects are not followed: answered {status}{_elsewhere(target, reply)}, then replay")
    reason = f"answered {status}{beginning(reply)}{_meaning(target, status, meaning)}"
    return Dead(reason) if is_final(status) else Retry(reason)


def _elsewhere(target: Target, reply: Reply) -> str:
    """Where a redirect points, without secrets, and what to do about it."""
    location = reply.headers.get("location", "")
    if not location:
        return "; put the final address into url"
    sent = [value for _, value in (*target.headers, *([target.auth] if target.auth else []))]
    words = (word for value in sent for word in (value, value.rpartition(" ")[2]))
    shown = masked_location(location, {*parts_that_open(target.url), *words})
    if reply.status in (302, 303):
        return f", to {shown}; put the final address into url, or add status: {reply.status} to success if it means accepted"
    return f", to {shown}; put the final address into url"


def _meaning(target: Target, status: int, known: str) -> str:
    own_trouble = "an error on its side" if 500 <= status < 600 else ""
    login = target.login or ("" if known else "the destination has no auth")
    parts = (known or _MEANINGS.get(status, own_trouble), login if status in _ABOUT_THE_LOGIN else "")
    said = "; ".join(part for part in parts if part)
    return said and f" ({said})"


# --- what a receiver asks of its sender ---

#: Values of an answer's ``webhook-delivery`` (https://docs.svix.com/receiving/delivery-control): send nothing to this
#: address any more, and do not send this one again.
DISABLE: Final = "disable"
ABORT: Final = "abort-message"
_CONTROL: Final = "webhook-delivery"


def asks(reply: Reply, for_what: str) -> bool:
    """Whether the answer's ``webhook-delivery`` is DISABLE or ABORT; it may be both, divided by a comma."""
    written = reply.headers.get(_CONTROL)
    return written is not None and for_what in [each.strip().lower() for each in written.split(",")]


def obeyed(verdict: Verdict, reply: Reply, *, is_own_address: bool) -> Verdict:
    """The verdict on a failed attempt after what its receiver asks; ``is_own_address``: as for ``retry.overridden``."""
    if not isinstance(verdict, Retry):
        return verdict
    if asks(reply, ABORT):
        return Dead(f"{verdict.reason}; its answer says {_CONTROL}: {ABORT}, so it is not tried again")
    if is_own_address and asks(reply, DISABLE):
        end = "path or query is made from the event, so only this delivery is given up"
        return Dead(f"{verdict.reason}; its answer says {_CONTROL}: {DISABLE}; {end}")
    return verdict


# --- its body and headers ---


def json_of(body: bytes) -> object:
    """The JSON value of an answer; NO_JSON if it has none."""
    try:
        value: object = msgspec.json.decode(body)
    except (ValueError, RecursionError):
        return NO_JSON
    return value


def beginning(reply: Reply) -> str:
    """``": "`` and what an answer says, on one line, without secrets; empty for an empty answer."""
    return _on_a_line(said(reply.quotable)) or quoted(reply)


def quoted(reply: Reply) -> str:
    """The same with the first characters of the answer as they are, for somebody who has to write a rule about it."""
    return _on_a_line(reply.quotable[:1000].decode("utf-8", "replace"))


def _on_a_line(text: str) -> str:
    line = " ".join("".join(character if character.isprintable() else " " for character in text).split())
    return f": {line[:200]}" if line else ""


#: Where the JSON of an answer has its sentence for people, the usual places first.
_SENTENCES: Final[Sequence[tuple[str, ...]]] = (
    *(("error", name) for name in ("message", "detail", "description", "title", "reason")),
    *((name,) for name in ("error_description", "message", "detail", "description", "error_message", "errorMessage")),
    *(("error",), ("title",), ("reason",), ("msg",), ("fault", "faultstring")),
)
_LISTS: Final = ("errors", "error", "detail", "details", "messages")


def said(body: bytes) -> str:
    """The destination's own words in the JSON of an answer: ``property unknown``; empty if there are none. Total.

    RFC 9457 (``detail``, ``title``), OAuth (``error_description``), and what most APIs do besides.
    """
    value = json_of(body)
    found = next((text for path in _SENTENCES if (text := _sentence(lookup(value, path)))), "")
    if not isinstance(value, dict | list):
        return found
    lists = [value] if isinstance(value, list) else [value.get(name) for name in _LISTS]
    more = next((text for each in lists if each and (text := _of_errors(each))), "")
    return f"{found}: {more}" if found and more and more not in found else found or more


def _of_errors(errors: object) -> str:
    """The sentence of the first of several errors: in a list, or by the fields that they are about."""
    if isinstance(errors, dict):
        errors = [text for each in errors.values() for text in (each if isinstance(each, list) else [each])][:1]
    return _of_item(errors[0]) if isinstance(errors, list) and errors else ""


def _of_item(item: object) -> str:
    """The sentence of the first of several errors."""
    return _sentence(item) or next(
        (text for name in ("message", "detail", "msg", "title", "error") if (text := _sentence(lookup(item, (name,))))),
        "",
    )


def _sentence(value: object) -> str:
    return value.strip() if isinstance(value, str) else ""


def hinted(body: bytes, path: Sequence[str]) -> float:
    """The seconds at ``path`` in the JSON of an answer, 0 to 24 h; 0 if it has no number there."""
    value = lookup(json_of(body), path)
    if isinstance(value, str) and _SECONDS.fullmatch(value):
        value = float(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return 0.0
    return float(min(max(value, 0), LONGEST_RETRY_AFTER_S))


def retry_after(headers: Mapping[str, str], now: float) -> float:
    """How long an answer asks to wait (RFC 9110, 10.2.3), 0 to 24 h in seconds; 0 if it does not ask.

    A date is compared with the answer's own ``date``, so that their clock is compared with itself; without one, with ``now``.
    """
    text = headers.get("retry-after", "").strip()
    if _SECONDS.fullmatch(text):
        return min(float(text), LONGEST_RETRY_AFTER_S)
    until = http_date(text)
    if until is None:
        return 0.0
    then = http_date(headers.get("date", ""))
    return min(max(0.0, until - (now if then is None else then)), LONGEST_RETRY_AFTER_S)


def http_date(text: str) -> float | None:
    """The moment that a field's value is, seconds since the epoch; None if it is not a date. Total."""
    try:
        parsed = parsedate_tz(text)
        return None if parsed is None else float(calendar.timegm(parsed[:9]) - (parsed[9] or 0))
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
