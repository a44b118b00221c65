"""What an entry sends for several events at once: one message for the events of a digest, the last event of what is debounced."""

import math
from collections.abc import Sequence
from typing import ClassVar, Final

from msgspec import Struct

from gateway.event.paths import MISSING, Facts, lookup
from gateway.model import Text
from gateway.render import Renderer
from gateway.routing.hours import Returning
from gateway.routing.keys import key_text
from gateway.store.nouns import Gather

#: What the templates of a digest see.
DIGEST_ROOTS: Final = frozenset({"events", "count", "by", "first", "last", "vars"})


class Digest(Struct, frozen=True, kw_only=True):
    """One message for the events of an entry and a destination, or for those of them with the same value."""

    #: Its key in routes.yaml.
    key: ClassVar[str] = "digest"

    #: Seconds after its first event; None: at ``at``.
    every_s: float | None = None
    at: Returning | None = None
    #: The most events of one.
    most: int = 100
    #: The path of the field whose values have a digest each; empty: all events are in one.
    by: tuple[str, ...] = ()

    def wait_s(self, now: float) -> float:
        """Seconds until it is sent if its first event is received now; ``now``: wall clock."""
        if self.every_s is not None:
            return self.every_s
        assert self.at is not None
        return self.at.comes_in(now)

    def gather(self, facts: Facts) -> Gather:
        """How the delivery of an event gathers with others."""
        key = key_text(lookup(facts, self.by)) if self.by else None
        return Gather(what="digest", key=key or "", most=self.most, is_sent_full=self.every_s is not None)

    def facts(self, events: Sequence[Facts]) -> Facts:
        """What its templates see, given what those of each event would: at least one, in the order of acceptance."""
        by = lookup(events[0], self.by) if self.by else ""
        return {
            "events": list(events),
            "count": len(events),
            "by": None if by is MISSING else by,
            "first": events[0],
            "last": events[-1],
            "vars": events[0]["vars"],
        }


class Debounce(Struct, frozen=True, kw_only=True):
    """Only the last event of a key, once there was no other one for a while."""

    key: ClassVar[str] = "debounce"

    per: Renderer[Text]
    quiet_s: float
    #: Seconds after the first event of the key, at the latest; infinity: whenever it is quiet.
    at_most_s: float = math.inf

    def gather(self, facts: Facts) -> Gather | None:
        """How the delivery of an event gathers with others; None: it has no key, and is sent at once. Raises RenderError."""
        key = key_text(self.per(facts).text.strip())
        return None if key is None else Gather(what="debounce", key=key, at_most_s=self.at_most_s)
