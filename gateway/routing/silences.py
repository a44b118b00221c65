"""What a source is expected to send: something from time to time (``silence``), and something after something else (``follow_up``).

Pure. Keys of expectations are hashes: what an event is about may be somebody's address.
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Final

from msgspec import Struct

from gateway.event.braces import Template
from gateway.event.patterns import fits
from gateway.routing.hours import Hours
from gateway.store.nouns import Awaited
from gateway.wording import duration

#: Characters of a key.
_KEY: Final = 32


class Silence(Struct, frozen=True, kw_only=True):
    """How long a source may send nothing."""

    after_s: float
    #: Patterns of the types that count; empty: every event.
    patterns: tuple[str, ...] = ()
    #: The time that counts; None: all of it.
    hours: Hours | None = None

    def is_over(self, since: float, now: float) -> bool:
        """Whether nothing since a moment is too long. Both: wall clock, seconds since the epoch."""
        return self.quiet_s(since, now) >= self.after_s

    def quiet_s(self, since: float, now: float) -> float:
        """How long it has been quiet, of the time that counts."""
        return self.hours.open_s(since, now) if self.hours else max(0.0, now - since)

    @property
    def wanted(self) -> str:
        """What is missed, in words."""
        return " or ".join(self.patterns) or "event"


class FollowUp(Struct, frozen=True, kw_only=True):
    """What has to come after an event, and by when."""

    after: tuple[str, ...]
    want: tuple[str, ...]
    #: What both are about; an event for which it is empty neither opens nor meets an expectation.
    per: Template
    within_s: float

    @property
    def name(self) -> str:
        return f"{', '.join(self.after)} > {', '.join(self.want)}"

    @property
    def words(self) -> str:
        """``waits 2h for pull_request_review.submitted``."""
        return f"waits {duration(self.within_s)} for {' or '.join(self.want)}"

    def opens(self, event_type: str) -> bool:
        return any(fits(pattern, event_type) for pattern in self.after)

    def meets(self, event_type: str) -> bool:
        return any(fits(pattern, event_type) for pattern in self.want)

    def key(self, facts: Mapping[str, object]) -> str:
        """What an event is about, as a hash; empty: it does not say."""
        text = self.per.render(facts)
        return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:_KEY] if text else ""


class Followed(Struct, frozen=True):
    """What an event meets, and what is awaited after it."""

    meets: Sequence[tuple[str, str]] = ()
    awaits: Sequence[Awaited] = ()


NOTHING: Final = Followed()


def followed(rules: Sequence[FollowUp], event_type: str, facts: Mapping[str, object]) -> Followed:
    """What an event of a source meets and opens. Total."""
    meets, awaits = list[tuple[str, str]](), list[Awaited]()
    for rule in rules:
        met, opened = rule.meets(event_type), rule.opens(event_type)
        if (met or opened) and (key := rule.key(facts)):
            if met:
                meets.append((rule.name, key))
            if opened:
                awaits.append(Awaited(name=rule.name, key=key, within_s=rule.within_s))
    return Followed(meets, awaits) if meets or awaits else NOTHING
