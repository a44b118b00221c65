"""A destination: how to reach someone."""

from dataclasses import dataclass, field

from gateway.destinations import Kind, Target
from gateway.destinations.gates import Rules
from gateway.destinations.retry import Policy
from gateway.egress import Door
from gateway.event.paths import Facts, lookup
from gateway.routing.keys import key_text


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """How to reach someone."""

    name: str
    kind: Kind
    target: Target
    #: Deliveries that may be on their way at once.
    concurrency: int = 32
    #: Of one attempt.
    timeout_s: float = 10.0
    retry: Policy = field(default_factory=Policy)
    #: When it may be sent to.
    gate: Rules = field(default_factory=Rules)
    #: How it may be reached.
    door: Door = field(default_factory=Door)
    #: Where the key of an event's lane stands; empty: order is nothing to it.
    order: tuple[str, ...] = ()

    def lane(self, facts: Facts) -> str | None:
        """What events that are to arrive one after the other have in common; None: this one has no such key."""
        return key_text(lookup(facts, self.order)) if self.order else None
