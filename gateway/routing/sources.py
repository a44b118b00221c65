"""A source: who sends events, and how they are verified and named."""

import hashlib
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import lru_cache
from types import MappingProxyType

from msgspec import Struct
from msgspec.structs import replace

from gateway import telemetry
from gateway.egress import Door
from gateway.errors import BodyTooLarge, GatewayError, RenderError
from gateway.event import codings
from gateway.event.naming import UNKNOWN_TYPE, Naming
from gateway.event.payload import (
    DROPPED_HEADERS,
    ENVELOPE,
    SECRET_QUERY,
    is_plain_json,
    kept_headers,
    kept_query,
    parse_body,
)
from gateway.event.schemas import Schema
from gateway.event.split import Piece, parsed, pieces
from gateway.hiding.redaction import NOTHING, Redaction
from gateway.model import NO_HEADERS, Event, Secret, Text, new_id
from gateway.routing.replies import Reply
from gateway.routing.silences import FollowUp, Silence
from gateway.signatures import Credential, KeyRefused, RawHeaders, Verifier
from gateway.signatures.bound import OPEN, Bound
from gateway.signatures.handshakes import Answer, Handshake
from gateway.store.nouns import NewRecord


class Received(Struct, frozen=True, kw_only=True):
    """One event of a request, not matched yet."""

    event: Event
    payload: object
    #: Identifies the event within its source.
    key: bytes
    #: The record that it is about; None: none, or it is not planned yet.
    record: NewRecord | None = None


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
    #: The methods of requests that are events.
    methods: frozenset[str] = frozenset({"POST"})
    #: Handshakes that the sender may start before it sends events, each with its own verifier.
    handshakes: tuple[tuple[Handshake, Verifier | None], ...] = ()
    #: Tokens that a handshake may present; empty: the secrets.
    handshake_tokens: tuple[Secret, ...] = ()
    #: The status that tells the sender "accepted".
    reply: int = 202
    #: The whole answer, if it is not the gateway's own.
    replies: Reply | None = None
    #: Where its secrets come from, in words: ``${XOBITO_WEBHOOK_SECRET}, which is read at start``; empty: it has none.
    secret_from: str = ""
    #: The same for the verify token that its sender shows in a handshake; empty: it shows none.
    token_from: str = ""
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
    #: The same for the fields of the query.
    dropped_query: frozenset[str] = SECRET_QUERY
    #: What the whole body of an unsigned request looks like by which its sender only checks the address.
    ping: re.Pattern[bytes] | None = None
    #: How its sender's keys are fetched.
    door: Door = Door()
    #: What is known of its sender's bodies: ``GitHub sends up to 25MiB``.
    largest: str = ""
    #: How long an event that comes again is the same event, seconds; 0: every one is an event of its own.
    dedupe_s: float = 30 * 86400.0
    #: Its sample events by name, as the exact bytes: the preset's and those under ``samples``.
    samples: Mapping[str, bytes] = MappingProxyType({})
    #: The headers of each, with its content type.
    sample_headers: Mapping[str, Mapping[str, str]] = MappingProxyType({})
    #: Those that are its own.
    own_samples: frozenset[str] = frozenset()
    #: Where they are, relative to the configuration; empty: it has none.
    samples_folder: str = ""
    #: What to hide of its events.
    redaction: Redaction = NOTHING
    #: What it is expected to send.
    silence: Silence | None = None
    follow_ups: tuple[FollowUp, ...] = ()
    #: What its payloads look like; None: nothing is known.
    schema: Schema | None = None
    #: What an event is about, for lists of events; None: nothing is said about it.
    summary: Callable[[Mapping[str, object]], Text] | None = None

    @property
    def secrets(self) -> tuple[Secret, ...]:
        """Its secrets, any of which is accepted."""
        return tuple(each.secret for each in self.verifier.credentials)

    def takes(self, method: str) -> bool:
        """Whether a request by that method can be an event or a handshake."""
        return method in self.methods or any(each.method == method for each, _ in self.handshakes)

    @property
    def learns(self) -> bool:
        """Whether its sender chooses secrets in a handshake."""
        return bool(self.handshakes) and any(each.is_secret for each, _ in self.handshakes)

    @property
    def reads_content(self) -> bool:
        """Whether a body has to be decompressed before it is known who sent it."""
        return self.verifier.reads_content or (
            bool(self.handshakes) and any(each.reads_payload and each.proof != "source" for each, _ in self.handshakes)
        )

    def knowing(self, secrets: tuple[Secret, ...]) -> "Source":
        """With the secrets that its sender chose, besides its own."""
        return replace(self, verifier=_knowing(self.verifier, secrets)) if secrets else self

    @property
    def too_large(self) -> BodyTooLarge:
        """Why a larger body is refused."""
        said = f"max_body of this source is {self.max_body} bytes"
        if not self.largest:
            return BodyTooLarge(f"over {self.max_body} bytes", said)
        return BodyTooLarge(f"over {self.max_body} bytes: {self.largest}, raise max_body", f"{said}; {self.largest}")

    @property
    def window_s(self) -> float:
        """How long the store keeps the key of an event, seconds. A key of its own only has to outlive its transaction."""
        return self.dedupe_s or 60.0

    def reply_to(self, received: Received, known_as: str) -> Answer | None:
        """Its own answer to an event, which may be a duplicate; None if it has none, or if it cannot be made."""
        if self.replies is None:
            return None
        try:
            return self.replies.answer(self.naming.facts(replace(received.event, id=known_as), received.payload))
        except RenderError as error:
            reason = self.redaction.mask_of(received.event)(str(error))
            telemetry.log("event.not_replied", event_id=known_as, source=self.name, reason=reason)
            return None

    def forwarded_headers(self, event: Event) -> frozenset[str]:
        """The headers that travel with an event's exact bytes."""
        return self.kept_headers - self.signing_headers if ENVELOPE in event.headers else self.kept_headers

    def fits(self, secret: Secret) -> bool:
        """Whether it can be a key of the source."""
        return bool(_knowing(self.verifier, (secret,)).credentials[len(self.verifier.credentials) :])

    @property
    def first_method(self) -> str:
        """The method of its requests; POST if it takes that among others."""
        return "POST" if "POST" in self.methods else min(self.methods)

    @property
    def all_methods(self) -> tuple[str, ...]:
        """Every method that it takes, those of events first."""
        return (*sorted(self.methods), *sorted({each.method for each, _ in self.handshakes} - self.methods))

    def missing_header(self, body: bytes, headers: Mapping[str, str]) -> tuple[str, str] | None:
        """The header that would name the type of an event without one, and an example of its value; None: no header would."""
        named = [path[1] for template in self.naming.types for path in template.paths if path[0] == "headers"]
        if not named or any(name in headers for name in named):
            return None
        raw = [
            (name.encode("latin-1", "replace"), value.encode("latin-1", "replace")) for name, value in headers.items()
        ]
        try:
            found = self.received(raw, body, now=0.0)
        except GatewayError:
            return None
        if any(each.event.type != UNKNOWN_TYPE for each in found):
            return None
        return named[0], next((each[named[0]] for each in self.sample_headers.values() if named[0] in each), "...")

    def received(
        self,
        headers: RawHeaders,
        body: bytes,
        *,
        now: float,
        query: bytes = b"",
        method: str = "POST",
        content: bytes | None = None,
    ) -> list[Received]:
        """The events of a request, each with a new id; ``content`` is its body decompressed, if somebody has done that.

        Raises Unparsable if any of them cannot be parsed, or BodyTooLarge.
        """
        kept = kept_headers(headers, self.dropped_headers)
        if self.aliases:
            kept |= {name: kept[other] for name, other in self.aliases.items() if other in kept and name not in kept}
        asked = kept_query(query, self.dropped_query) if query else ""
        content = codings.plain(body, self.max_body) if content is None else content
        items = pieces(content, self.naming.split, kept.get("content-type", ""))
        if not items:
            payload = parse_body(content, kept.get("content-type", ""))
            event = self._event(kept, asked, body, payload, now)
            key = self._key(event, payload, headers, content, query, method)
            return [Received(event=event, payload=payload, key=key)]
        digest = self.bound.digest(headers, body, query, b"", content)
        # An item is sent on by itself, not compressed together with the others.
        kept = {name: value for name, value in kept.items() if name != "content-encoding"}
        payloads = [parsed(each, at, len(items)) for at, each in enumerate(items)]
        both = enumerate(zip(items, payloads, strict=True))
        return [self._piece(each, payload, at, kept, asked, digest, now) for at, (each, payload) in both]

    def _piece(
        self, piece: Piece, payload: object, at: int, kept: Mapping[str, str], asked: str, digest: bytes, now: float
    ) -> Received:
        headers = {**kept, ENVELOPE: piece.envelope}
        event = self._event(headers, asked, piece.body, payload, now)
        key = self._own_key(event) or self.naming.key(payload, headers, digest or event.sha256, at, query=asked)
        return Received(event=event, payload=payload, key=key)

    def _own_key(self, event: Event) -> bytes:
        """The key of an event that is like no other; empty if others can be like it."""
        return b"" if self.dedupe_s else event.id.encode()

    def _key(
        self, event: Event, payload: object, headers: RawHeaders, content: bytes, query: bytes, method: str
    ) -> bytes:
        if own := self._own_key(event):
            return own
        if self.naming.ids:
            content_type = event.headers.get("content-type", "")
            if not isinstance(payload, dict | list) or not is_plain_json(content, content_type):
                payload = self.bound.payload(content, payload)
        if event.body or self.bound.is_signed:
            digest = self.bound.digest(headers, event.body, query, event.sha256, content)
        else:
            # Without a body nothing else tells requests apart.
            digest = hashlib.sha256(f"request\0{method}\0{self.path}\0{event.query}".encode()).digest()
        return self.naming.key(payload, event.headers, digest, query=event.query)

    def _event(self, kept: Mapping[str, str], query: str, body: bytes, payload: object, now: float) -> Event:
        return Event(
            id=new_id("evt", now),
            source=self.name,
            type=self.naming.type_of(payload, kept, query),
            received_at=now,
            headers=kept,
            body=body,
            sha256=hashlib.sha256(body).digest(),
            label=self.naming.label(payload, kept, query) if self.naming.labels else "",
            query=query,
            invalid=None if self.schema is None else self.schema.misfit(payload),
        )


@lru_cache(maxsize=64)
def _knowing(verifier: Verifier, secrets: tuple[Secret, ...]) -> Verifier:
    """With those of the secrets that can be keys: they were chosen for the scheme that the source had then."""
    known = verifier
    for secret in secrets:
        with suppress(KeyRefused):
            known = Verifier(known.schemes, (*known.credentials, Credential(secret)), known.public_url)
    return known
