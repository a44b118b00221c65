"""Numbers and states in words, the same on every page."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from gateway.routing.hours import day_and_time
from gateway.wording import count

#: A first attempt that is later than this is given by its time, seconds.
LONG_S: Final = 3600.0
#: The shape and colour of a condition.
_KINDS: Final[Mapping[str, str]] = {
    "circuit open": "dead", "denied": "dead", "giving up": "dead", "paused": "paused", "probing": "retrying",
    "throttled": "retrying", "failing": "retrying", "dead letters": "retrying", "healthy": "delivered", "idle": "idle",
    "not in routes.yaml": "discarded",
}  # fmt: skip


def fate(delivery: Mapping[str, Any]) -> str:
    """``delivered``, ``dead``, ``discarded``, or for a pending one: ``waiting``, ``retrying`` or ``behind``."""
    state = delivery["state"]
    if state != "pending":
        return str(state)
    if delivery.get("behind"):
        return "behind"
    return "retrying" if delivery["attempts"] else "waiting"


def tale(delivery: Mapping[str, Any]) -> str:
    """The state of a delivery in a few words: ``dead after 3 attempts``, ``next attempt in 14 s``."""
    if delivery.get("digest") not in (None, delivery["id"]):
        return f"{fate(delivery)}, in digest {delivery['digest']}"
    attempts = count(delivery["attempts"], "attempt")
    match fate(delivery):
        case "delivered":
            return "delivered" if delivery["attempts"] == 1 else f"delivered, {attempts}"
        case "dead":
            return f"dead after {attempts}" if delivery["attempts"] else "dead, no attempt made"
        case "discarded":
            return "discarded"
        case "behind":
            return "behind an earlier delivery"
        case word:
            return f"{word}, {_held(delivery) or next_attempt(delivery)}"


def _held(delivery: Mapping[str, Any]) -> str:
    is_due = not (delivery.get("due_in_s") or 0) > 0
    return "held" if is_due and delivery.get("held") else ""


def next_attempt(delivery: Mapping[str, Any]) -> str:
    """``due now``, ``due in 4 min``, ``waits until Mon 09:00 UTC``, ``gathers until ...``, ``next attempt in 14 s``."""
    due = delivery.get("due_in_s")
    if due is None or due <= 0:
        return "due now"
    until = delivery.get("waits_until")
    if until and delivery.get("gathered"):
        at = moment(until).timestamp()
        return f"gathers until {day_and_time(at, now=at - due)}, {count(delivery['gathered'], 'event')} so far"
    if until and due >= LONG_S:
        at = moment(until).timestamp()
        return f"waits until {day_and_time(at, now=at - due)}"
    return f"due in {span(due)}" if until or not delivery["attempts"] else f"next attempt in {span(due)}"


def own_words(reason: str, status: int | None) -> str:
    """A reason without its status, where that is shown beside it: what the destination said comes first."""
    return reason.removeprefix(f"answered {status}: ")


def span(seconds: float | None) -> str:
    """A duration in one or two units: ``0 s``, ``14 s``, ``4 min``, ``2 h 05 min``, ``3 d``."""
    if seconds is None:
        return "–"
    whole = int(seconds)
    if whole < 100:
        return f"{whole} s"
    if whole < 100 * 60:
        return f"{whole // 60} min"
    if whole < 48 * 3600:
        hours, minutes = divmod(whole // 60, 60)
        return f"{hours} h {minutes:02} min" if minutes else f"{hours} h"
    return f"{whole // 86400} d"


def pause(seconds: float) -> str:
    """A wait between two attempts: ``0.4 s``, ``18 s``, ``4 min``."""
    return f"{seconds:.1f} s" if seconds < 10 else span(seconds)


def took(milliseconds: float | None) -> str:
    """A short duration: ``84 ms``, ``1.2 s``; a dash for none."""
    if milliseconds is None:
        return "–"
    if milliseconds < 1000:
        return f"{milliseconds:.0f} ms"
    return f"{milliseconds / 1000:.1f} s"


def short(number: float) -> str:
    """A number where space is short: ``987``, ``12.4k``, ``1.2M``."""
    if number < 10_000:
        return f"{number:,.0f}"
    scaled, unit = (number / 1_000, "k") if number < 999_500 else (number / 1_000_000, "M")
    return f"{scaled:.0f}{unit}" if scaled >= 100 else f"{scaled:.1f}{unit}"


def percent(share: float | None) -> str:
    """``99.2 %``, never rounded up to 100; a dash for none."""
    if share is None:
        return "–"
    return "100 %" if share >= 100 else f"{min(share, 99.9):.1f} %"


def moment(iso: str) -> datetime:
    """The moment of an ISO time; the epoch if it is not one."""
    try:
        return datetime.fromisoformat(iso).astimezone(UTC)
    except (ValueError, TypeError):
        return datetime.fromtimestamp(0, UTC)


def clock(iso: str, now: str) -> str:
    """The time, with its date unless it is today: ``12:34:56``, ``16 Apr 12:34:56``."""
    at = moment(iso)
    today = moment(now).date() == at.date()
    return f"{at:%H:%M:%S}" if today else f"{at.day} {at:%b %H:%M:%S}"


def ago(iso: str, now: str) -> str:
    """``just now``, ``40 s ago``, ``in 2 h``."""
    seconds = (moment(now) - moment(iso)).total_seconds()
    if abs(seconds) < 1:
        return "just now"
    return f"{span(seconds)} ago" if seconds > 0 else f"in {span(-seconds)}"


def earlier(iso: str, later: str) -> str:
    """``just before``, ``5 h earlier``."""
    seconds = (moment(later) - moment(iso)).total_seconds()
    return "just before" if seconds < 1 else f"{span(seconds)} earlier"


def condition(destination: Mapping[str, Any]) -> tuple[str, str]:
    """The condition of a destination: a key for its shape and colour, and a word."""
    word = destination["condition"]
    return _KINDS[word], word


def rate(per_second: float) -> str:
    """``0``, ``0.3``, ``12.4``, ``475``."""
    if per_second <= 0:
        return "0"
    return f"{per_second:.1f}" if per_second < 100 else short(per_second)
