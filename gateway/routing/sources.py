"""A source: who sends events, and how they are verified and named."""

import hashlib
from collections.abc import Mapping
from types import MappingProxyType

from msgspec import Struct

from gateway.event.naming import Naming
from gateway.event.payload import DROPPED_HEADERS, is_json, kept_headers, parse, parse_body, slices
from gateway.hiding.redaction import NOTHING, Redaction
from gateway.model import Event, Secret, new_id
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
    #: Where its secrets come from, in words: ``${XOBITO_WEBHOOK_SECRET}, which is read at start``; empty: it has none.
    secret_from: str = ""
    #: The method that the sender uses to check the address; empty: none.
    probe: str = ""
    #: The largest body accepted, bytes.
    max_body: int = 1024 * 1024
    #: Lower-case names of headers to forward with verbatim bytes.
    kept_headers: frozenset[str] = frozenset()
    #: Whether an event that is sent again has its dead deliveries replayed.
    replays_redelivered: bool = False
    #: Lower-case names of headers that its events do not keep.
    dropped_headers: frozenset[bytes] = DROPPED_HEADERS
    #: How long the key of an event is remembered, seconds.
    dedupe_s: float = 30 * 86400.0
    #: Its sample events by name, as the exact bytes: the preset's and those under ``samples``.
    samples: Mapping[str, bytes] = MappingProxyType({})
    #: The headers of each, with its content type.
    sample_headers: Mapping[str, Mapping[str, str]] = MappingProxyType({})
    #: Those that are its own.
    own_samples: frozenset[str] = frozenset()
    #: What to hide of its events.
    redaction: Redaction = NOTHING

    @property
    def secrets(self) -> tuple[Secret, ...]:
        """Its secrets, any of which is accepted."""
        return tuple(each.secret for each in self.verifier.credentials)

    @property
    def takes_get(self) -> bool:
        return any(handshake.method == "GET" for handshake, _ in self.handshakes)

    def received(self, headers: RawHeaders, body: bytes, *, now: float, query: bytes = b"") -> list[Received]:
        """The events of a request, each with a new id. Raises Unparsable if any of them cannot be parsed."""
        kept = kept_headers(headers, self.dropped_headers)
        items = slices(body, self.naming.split) if self.naming.split else []
        if not items:
            payload = parse_body(body, kept.get("content-type", ""))
            event = self._event(kept, body, payload, now)
            return [Received(event=event, payload=payload, key=self._key(event, payload, headers, query))]
        digest = self.bound.digest(headers, body, query, b"")
        found = []
        for at, item in enumerate(items):
            payload = parse(item)
            event = self._event(kept, item, payload, now)
            key = self.naming.key(payload, kept, digest or event.sha256, at)
            found.append(Received(event=event, payload=payload, key=key))
        return found

    def _key(self, event: Event, payload: object, headers: RawHeaders, query: bytes) -> bytes:
        is_read_as_json = isinstance(payload, dict | list) and is_json(event.headers.get("content-type", ""))
        if self.naming.ids and not is_read_as_json:
            payload = self.bound.payload(event.body, payload)
        digest = self.bound.digest(headers, event.body, query, event.sha256)
        return self.naming.key(payload, event.headers, digest)

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
