"""A source: who sends events, and how they are verified and named."""

import hashlib
from collections.abc import Mapping
from contextlib import suppress
from functools import lru_cache
from types import MappingProxyType

from msgspec import Struct
from msgspec.structs import replace

from gateway.errors import Unparsable
from gateway.event import codings
from gateway.event.naming import Naming
from gateway.event.payload import (
    DROPPED_HEADERS,
    SECRET_QUERY,
    check_count,
    is_plain_json,
    kept_headers,
    kept_query,
    lines,
    parse,
    parse_body,
    slices,
)
from gateway.hiding.redaction import NOTHING, Redaction
from gateway.model import Event, Secret, new_id
from gateway.signatures import Credential, KeyRefused, RawHeaders, Verifier
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
    #: The methods of requests that are events.
    methods: frozenset[str] = frozenset({"POST"})
    #: Handshakes that the sender may start before it sends events, each with its own verifier.
    handshakes: tuple[tuple[Handshake, Verifier | None], ...] = ()
    #: Tokens that a handshake may present; empty: the secrets.
    handshake_tokens: tuple[Secret, ...] = ()
    #: The status that tells the sender "accepted".
    reply: int = 202
    #: Where its secrets come from, in words: ``${XOBITO_WEBHOOK_SECRET}, which is read at start``; empty: it has none.
    secret_from: str = ""
    #: The largest body accepted, bytes.
    max_body: int = 1024 * 1024
    #: Lower-case names of headers to forward with verbatim bytes.
    kept_headers: frozenset[str] = frozenset()
    #: Whether an event that is sent again has its dead deliveries replayed.
    replays_redelivered: bool = False
    #: Lower-case names of headers that its events do not keep.
    dropped_headers: frozenset[bytes] = DROPPED_HEADERS
    #: The same for the fields of the query.
    dropped_query: frozenset[str] = SECRET_QUERY
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

    def takes(self, method: str) -> bool:
        """Whether a request by that method can be an event or a handshake."""
        return method in self.methods or any(each.method == method for each, _ in self.handshakes)

    @property
    def learns(self) -> bool:
        """Whether its sender chooses secrets in a handshake."""
        return any(each.is_secret for each, _ in self.handshakes)

    @property
    def reads_content(self) -> bool:
        """Whether a body has to be decompressed before it is known who sent it."""
        return self.verifier.reads_content or any(
            each.reads_payload and each.proof != "source" for each, _ in self.handshakes
        )

    def knowing(self, secrets: tuple[Secret, ...]) -> "Source":
        """With the secrets that its sender chose, besides its own."""
        return replace(self, verifier=_knowing(self.verifier, secrets)) if secrets else self

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
        asked = kept_query(query, self.dropped_query) if query else ""
        content = codings.plain(body, self.max_body) if content is None else content
        items = self._items(content, kept.get("content-type", ""))
        if not items:
            payload = parse_body(content, kept.get("content-type", ""))
            event = self._event(kept, asked, body, payload, now)
            key = self._key(event, payload, headers, content, query, method)
            return [Received(event=event, payload=payload, key=key)]
        digest = self.bound.digest(headers, body, query, b"", content)
        # An item is sent on by itself, not compressed together with the others.
        kept = {name: value for name, value in kept.items() if name != "content-encoding"}
        found = []
        for at, item in enumerate(items):
            payload = _parsed_item(item, at, len(items))
            event = self._event(kept, asked, item, payload, now)
            key = self.naming.key(payload, kept, digest or event.sha256, at, query=asked)
            found.append(Received(event=event, payload=payload, key=key))
        return found

    def _items(self, content: bytes, content_type: str) -> list[bytes]:
        """The exact bytes of each event, if there are several. Raises Unparsable if there are too many."""
        split, found = self.naming.split, lines(content, content_type)
        if split:
            parts = [slices(line, split) or [line] for line in found] if found else [slices(content, split)]
            found = [item for items in parts for item in items]
        check_count(found)
        return found

    def _key(
        self, event: Event, payload: object, headers: RawHeaders, content: bytes, query: bytes, method: str
    ) -> bytes:
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
        )


@lru_cache(maxsize=64)
def _knowing(verifier: Verifier, secrets: tuple[Secret, ...]) -> Verifier:
    """With those of the secrets that can be keys: they were chosen for the scheme that the source had then."""
    known = verifier
    for secret in secrets:
        with suppress(KeyRefused):
            known = Verifier(known.schemes, (*known.credentials, Credential(secret)), known.public_url)
    return known


def _parsed_item(item: bytes, at: int, count: int) -> object:
    try:
        payload = parse(item)
    except Unparsable as error:
        raise Unparsable(f"item {at + 1} of {count}: {error}") from None
    if not isinstance(payload, dict):
        raise Unparsable(f"item {at + 1} of {count} is not an object; none of them was stored")
    return payload
