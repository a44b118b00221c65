"""What a person says beside a deed: who, why, for how long. Each function returns it as it is recorded, or raises BadRequest."""

from typing import Final

from gateway.errors import BadRequest
from gateway.wording import printable

#: The longest pause or mute that ends by itself, seconds: a year.
LONGEST_PAUSE_S: Final = 366 * 86400
#: Most characters of a name, a reason, a key.
LONGEST_BY, LONGEST_REASON, LONGEST_KEY = 100, 500, 200


def by(by: str) -> str:
    """Who does something."""
    if not by or len(by) > LONGEST_BY or not by.isprintable():
        raise BadRequest(f"by: say who you are, in 1 to {LONGEST_BY} printable characters")
    return by


def key(key: str) -> str:
    """What a second request of the same is known by."""
    if len(key) > LONGEST_KEY or not key.isprintable():
        raise BadRequest(f"key: at most {LONGEST_KEY} printable characters")
    return key


def reason(reason: str, *, is_needed: bool = False) -> str:
    """Why somebody does it; for an optional one it may be empty."""
    if is_needed and not reason.strip():
        raise BadRequest("reason: say why, for others who look after the gateway")
    if len(reason) > LONGEST_REASON:
        raise BadRequest(f"reason: at most {LONGEST_REASON} characters")
    return printable(reason)


def for_s(for_s: float | None) -> float | None:
    """How long a pause or a mute lasts, in seconds; None: until a person ends it."""
    if for_s is not None and not 0 < for_s <= LONGEST_PAUSE_S:
        raise BadRequest(f"for_s: {for_s:g} is out of range: from 1 second to {LONGEST_PAUSE_S}")
    return for_s
