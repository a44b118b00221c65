"""A destination: where deliveries go."""

from collections.abc import Iterator

from msgspec import Struct, field

from gateway.destinations import Kind, Target
from gateway.destinations.gates import Rules
from gateway.destinations.retry import Policy
from gateway.egress import Door
from gateway.event.paths import Facts, lookup
from gateway.hiding.addresses import masked_url
from gateway.hiding.requests import masked_request, secrets_of_settings
from gateway.model import OutboundRequest
from gateway.oauth.settings import OAuth
from gateway.routing.keys import key_text


class Destination(Struct, frozen=True, kw_only=True):
    """How to reach a destination, and how to pace and retry its deliveries."""

    name: str
    kind: Kind
    target: Target
    #: Maximum number of deliveries in flight.
    concurrency: int = 32
    #: Timeout of one attempt, seconds.
    timeout_s: float = 10.0
    retry: Policy = field(default_factory=Policy)
    #: Rate and pause.
    gate: Rules = field(default_factory=Rules)
    #: Which addresses it may resolve to, and whom its TLS trusts.
    door: Door = field(default_factory=Door)
    #: The path of the field that orders deliveries; empty: they are not ordered.
    order: tuple[str, ...] = ()
    #: How it gets its access tokens; None: it wants none.
    oauth: OAuth | None = None

    @property
    def secrets(self) -> Iterator[str]:
        """What may be a secret in its settings."""
        headers = self.target.fixed_headers.items()
        return secrets_of_settings(self.target.url, headers, is_path_public=self.kind.is_path_public)

    def masked(self, request: OutboundRequest) -> OutboundRequest:
        """A request to it, with ``***`` for every possible secret of the file."""
        return masked_request(request, self.target.url, is_path_public=self.kind.is_path_public)

    def masked_url(self, url: str) -> str:
        """The url of a request to it, masked in the same way."""
        return masked_url(url, self.target.url, is_path_public=self.kind.is_path_public)

    def lane(self, facts: Facts) -> str | None:
        """The key that an event shares with those it must stay in order with; None: it has none."""
        return key_text(lookup(facts, self.order)) if self.order else None
