"""A source: who sends events, and how they are verified and named."""

import hashlib
import re
from collections.abc import Mapping

from msgspec import Struct

from gateway.egress import Door
from gateway.errors import BodyTooLarge
from gateway.event.naming import Naming
from gateway.event.payload import DROPPED_HEADERS, ENVELOPE, is_json, kept_headers, parse, parse_body
from gateway.event.split import Piece, pieces
from gateway.hiding.redaction import NOTHING, Redaction
from gateway.model import NO_HEADERS, Event, Secret, new_id
from gateway.routing.replies import Reply
from gateway.signatures import RawHeaders, Verifier
from gateway.signatures.bound import OPEN, Bound
from gateway.signatures.handshakes import Handshake


class Received(Struct, frozen=True, kw_only=True):
    """One event of a request, not matched yet."""

    event: Event
    payload: object
    #: Identifies the event within its source.
    key: bytes


class Source(Struct, frozen=True, kw_only=True):
    """Who sends events, and how they are verified and named."""

    name: str
    #: Its path on the ingest listener: ``/in/xobito``.
    path: str
    #: Empty: none.
    preset: str
    verifier: Verifier
    #: What its signatures cover, and so what can identify an event.
    bound: Bound = OPEN
    naming: Naming
    #: Handshakes that the sender may start before it sends events, each with its own verifier.
    handshakes: tuple[tuple[Handshake, Verifier | None], ...] = ()
    #: Tokens that a GET handshake may present; empty: the secrets.
    handshake_tokens: tuple[Secret, ...] = ()
    #: The status that tells the sender "accepted".
    reply: int = 202
    #: The whole answer, if it is not the gateway's own.
    replies: Reply | None = None
    #: Where its secrets come from, in words: ``${XOBITO_WEBHOOK_SECRET}, which is read at start``; empty: it has none.
    secret_from: str = ""
    #: The method that the sender uses to check the address; empty: none.
    probe: str = ""
    #: The largest body accepted, bytes.
    max_body: int = 1024 * 1024
    #: Lower-case names of headers to forward with verbatim bytes.
    kept_headers: frozenset[str] = frozenset()
    #: Those of them that sign a request as a whole: one of several events in it does not carry them.
    signing_headers: frozenset[str] = frozenset()
    #: Whether an event that is sent again has its dead deliveries replayed.
    replays_redelivered: bool = False
    #: Names of headers by other names that the sender may use.
    aliases: Mapping[str, str] = NO_HEADERS
    #: Lower-case names of headers that its events do not keep.
    dropped_headers: frozenset[bytes] = DROPPED_HEADERS
    #: What the whole body of an unsigned request looks like by which its sender only checks the address.
    ping: re.Pattern[bytes] | None = None
    #: How its sender's keys are fetched.
    door: Door = Door()
    #: What is known of its sender's bodies: ``GitHub sends up to 25MiB``.
    largest: str = ""
    #: How long an event that comes again is the same event, seconds; 0: every one is an event of its own.
    dedupe_s: float = 30 * 86400.0
    #: What to hide of its events.
    redaction: Redaction = NOTHING

    @property
    def secrets(self) -> tuple[Secret, ...]:
        """Its secrets, any of which is accepted."""
        return tuple(each.secret for each in self.verifier.credentials)

    @property
    def takes_get(self) -> bool:
        return any(handshake.method == "GET" for handshake, _ in self.handshakes)

    @property
    def too_large(self) -> BodyTooLarge:
        """Why a larger body is refused."""
        return BodyTooLarge(self.max_body, self.largest)

    @property
    def window_s(self) -> float:
        """How long the store keeps the key of an event, seconds. A key of its own only has to outlive its transaction."""
        return self.dedupe_s or 60.0

    def forwarded_headers(self, event: Event) -> frozenset[str]:
        """The headers that travel with an event's exact bytes."""
        return self.kept_headers - self.signing_headers if ENVELOPE in event.headers else self.kept_headers

    def received(self, headers: RawHeaders, body: bytes, *, now: float, query: bytes = b"") -> list[Received]:
        """The events of a request, each with a new id. Raises Unparsable if any of them cannot be parsed."""
        kept = kept_headers(headers, self.dropped_headers)
        if self.aliases:
            kept |= {name: kept[other] for name, other in self.aliases.items() if other in kept and name not in kept}
        items = pieces(body, self.naming.split) if self.naming.split else []
        if not items:
            payload = parse_body(body, kept.get("content-type", ""))
            event = self._event(kept, body, payload, now)
            return [Received(event=event, payload=payload, key=self._key(event, payload, query))]
        digest = self.bound.digest(body, query, b"")
        return [self._piece(each, at, kept, digest, now) for at, each in enumerate(items)]

    def _piece(self, piece: Piece, at: int, kept: Mapping[str, str], digest: bytes, now: float) -> Received:
        payload = parse(piece.body)
        headers = {**kept, ENVELOPE: piece.envelope}
        event = self._event(headers, piece.body, payload, now)
        key = self.naming.key(payload, headers, digest or event.sha256, at) if self.dedupe_s else event.id.encode()
        return Received(event=event, payload=payload, key=key)

    def _key(self, event: Event, payload: object, query: bytes) -> bytes:
        if not self.dedupe_s:
            return event.id.encode()
        is_read_as_json = isinstance(payload, dict | list) and is_json(event.headers.get("content-type", ""))
        if self.naming.ids and not is_read_as_json:
            payload = self.bound.payload(event.body, payload)
        return self.naming.key(payload, event.headers, self.bound.digest(event.body, query, event.sha256))

    def _event(self, kept: Mapping[str, str], body: bytes, payload: object, now: float) -> Event:
        return Event(
            id=new_id("evt", now),
            source=self.name,
            type=self.naming.type_of(payload, kept),
            received_at=now,
            headers=kept,
            body=body,
            sha256=hashlib.sha256(body).digest(),
            label=self.naming.label(payload, kept) if self.naming.labels else "",
        )
