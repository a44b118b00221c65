"""A destination: where deliveries go."""

from collections.abc import Iterator, Mapping
from typing import Protocol

from msgspec import Struct, field
from msgspec.structs import replace

from gateway.destinations import Kind, Target
from gateway.destinations.gates import Rules
from gateway.destinations.retry import Policy
from gateway.egress import Door
from gateway.event.paths import Facts, lookup
from gateway.hiding.addresses import MASK, masked_url
from gateway.hiding.requests import masked_request, secrets_of_settings
from gateway.model import HttpRequest, OutboundRequest
from gateway.oauth.settings import TOKENS_S, OAuth
from gateway.routing.hours import Hours
from gateway.routing.keys import key_text
from gateway.signatures.outgoing import Signer


class Signs(Protocol):
    """Proves who sends a request, from its bytes and the time."""

    @property
    def headers(self) -> frozenset[str]:
        """The lower-case names of the headers that it sets."""

    @property
    def words(self) -> str:
        """``as GitHub``, with the public keys that receivers need, and without a secret."""

    def sign(self, request: HttpRequest, message_id: str, now: float) -> HttpRequest:
        """The signed request; ``now`` is the wall clock. Raises BuildError."""


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
    #: What signs its requests, in this order: each signs what the one before has made.
    signers: tuple[Signs, ...] = ()
    #: The path of the field that orders deliveries; empty: they are not ordered.
    order: tuple[str, ...] = ()
    #: When it may be sent to; None: always.
    hours: Hours | None = None
    #: How it gets its access tokens; None: it wants none.
    oauth: OAuth | None = None
    #: How long the look-ups of a delivery may take before it is sent, with their waiting, seconds; 0: no route has any.
    lookups_s: float = 0.0
    #: What the destinations that ``fetch`` joins have in common, directly or over others; empty: it is joined to none.
    group: str = ""

    @property
    def request_s(self) -> float:
        """The longest time that one request to it may take, with its access tokens, seconds."""
        return self.timeout_s if self.oauth is None else self.timeout_s + TOKENS_S

    @property
    def longest_s(self) -> float:
        """The longest time that an attempt may take, with its look-ups, seconds."""
        return self.request_s + self.lookups_s

    @property
    def identity(self) -> tuple[object, ...]:
        """What shows who asks apart from the request itself: a login, what signs it, a client certificate."""
        return self.oauth, self.signers, self.door

    def signed(self, request: OutboundRequest, delivery_id: str, now: float) -> OutboundRequest:
        """What is sent of a request that was built for it, in an attempt at ``now`` by the wall clock. Raises BuildError."""
        if not isinstance(request, HttpRequest):
            return request
        for each in self.signers:
            request = each.sign(request, delivery_id, now)
        return request

    @property
    def changes_body(self) -> bool:
        """Whether no two attempts send the same body, because the signature or its time is a part of it."""
        return any(each.changes_body for each in self.signers if isinstance(each, Signer))

    @property
    def signed_as(self) -> str:
        """How its requests are signed, in words: ``as GitHub``; empty: they are not."""
        return " and ".join(each.words for each in self.signers)

    @property
    def own_headers(self) -> Mapping[str, str]:
        """The lower-case names of headers that no other key can set, and the key that does: ``auth`` or ``sign``."""
        found = {name: "sign" if isinstance(each, Signer) else "auth" for each in self.signers for name in each.headers}
        return found | ({self.target.auth[0].lower(): "auth"} if self.target.auth else {})

    @property
    def secrets(self) -> Iterator[str]:
        """What may be a secret in its settings."""
        headers = self.target.fixed_headers.items()
        return secrets_of_settings(self.target.url, headers, is_path_public=self.kind.is_path_public)

    def masked(self, request: OutboundRequest) -> OutboundRequest:
        """A request to it, with ``***`` for every possible secret of the file."""
        masked = masked_request(request, self.target.url, is_path_public=self.kind.is_path_public)
        if not self.signers or not isinstance(masked, HttpRequest):
            return masked
        own = self.own_headers
        return replace(masked, headers=tuple((name, MASK if name in own else value) for name, value in masked.headers))

    def masked_url(self, url: str) -> str:
        """The url of a request to it, masked in the same way."""
        return masked_url(url, self.target.url, is_path_public=self.kind.is_path_public)

    def lane(self, facts: Facts) -> str | None:
        """The key that an event shares with those it must stay in order with; None: it has none."""
        return key_text(lookup(facts, self.order)) if self.order else None
