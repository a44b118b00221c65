"""The tests of a routes.yaml, compiled: an event and what is expected of it."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Final, Literal

from msgspec import Struct, field

from gateway.destinations.requests import json_bytes
from gateway.errors import BuildError, GatewayError, Place, Unparsable
from gateway.event.paths import assign, split_path, unassign
from gateway.event.payload import parse
from gateway.routing.sources import Source
from gateway.store.memory import Subject

#: The headers of an event that has none of its own.
JSON_HEADERS: Final[Mapping[str, str]] = MappingProxyType({"content-type": "application/json"})


class UnknownSample(GatewayError):
    """The source has no sample of that name."""


class NoEvent(GatewayError):
    """The event of a test cannot be made as written."""


class Plain(Struct, frozen=True):
    """A literal value without templates, possibly null."""

    value: object


class Check(Struct, frozen=True, kw_only=True):
    """What is expected of one delivery; None and empty expect nothing."""

    place: Place
    destination: str
    #: None: any route.
    route: str | None = None
    #: Whether the body must be the exact bytes received.
    verbatim: bool = False
    method: str | None = None
    url: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    #: A Plain, because null is a value.
    json: Plain | None = None
    json_contains: Plain | None = None
    text: str | None = None
    contains: tuple[str, ...] = ()
    not_contains: tuple[str, ...] = ()
    #: Number of deliveries to the destination.
    count: int | None = None
    #: ``Mon 09:00`` in the zone of its hours, seconds since the epoch, or ``None`` as a text: it is sent at once.
    waits_until: str | float | None = None


class Test(Struct, frozen=True, kw_only=True):
    """One of ``tests``. Exactly one of ``event``, ``file``, ``payload`` and ``events`` is set."""

    #: Keeps pytest from collecting it.
    __test__ = False

    name: str
    place: Place
    source: str
    #: A sample of the source.
    event: str | None = None
    #: Relative to the folder of the configuration.
    file: str | None = None
    payload: Plain | None = None
    #: Headers that the sender sends with it, by lower-case name.
    headers: Mapping[str, str] = field(default_factory=dict)
    #: By path: ``attrs.type``, ``payload.data.id``, ``headers.x-github-event``.
    set: Mapping[str, object] = field(default_factory=dict)
    unset: tuple[str, ...] = ()
    #: When the event is received, seconds since the epoch; None: at the time of every test.
    now: float | None = None
    #: The fields of the request's query.
    query: Mapping[str, str] = field(default_factory=dict)
    #: What is remembered, by what it is remembered as and by key: values by name.
    memory: Mapping[Subject, Mapping[str, object]] = field(default_factory=dict)
    #: What is known of the event's record before it; None: nothing.
    before: Mapping[str, object] | None = None
    #: What is found by look-ups, by name; null for the others.
    fetched: Mapping[str, object] = field(default_factory=dict)
    #: ``deliveries``: exactly those of ``checks``; ``failed``: one becomes dead with ``reason``.
    outcome: Literal["deliveries", "ignored", "rejected", "failed"] = "deliveries"
    checks: tuple[Check, ...] = ()
    reason: str = ""
    #: Events that come one after the other, instead of one; each as a test that expects nothing.
    events: tuple["Test", ...] = ()

    @property
    def each(self) -> tuple["Test", ...]:
        """Itself for each of its events."""
        return self.events or (self,)


def sample(source: Source, name: str) -> bytes:
    """The exact bytes of one of the source's sample events. Raises UnknownSample."""
    if name not in source.samples:
        known = f"known: {', '.join(source.samples)}" if source.samples else "it has none: name a folder under samples"
        raise UnknownSample(f"unknown sample {name} of {source.preset or source.name} ({known})")
    return source.samples[name]


def body_of(test: Test, source: Source, folder: Path) -> bytes:
    """The body of a test's event; ``folder`` is what its ``file`` is relative to. Raises NoEvent or UnknownSample."""
    body = _written(test, source, folder)
    changed = {path: value for path, value in test.set.items() if header_of(path) is None}
    removed = [path for path in test.unset if header_of(path) is None]
    if not changed and not removed:
        return body
    try:
        payload = parse(body)
    except Unparsable as error:
        raise NoEvent(f"set and unset need a JSON event: {error}") from None
    for path, value in changed.items():
        with _changing(f"set {path}"):
            assign(payload, source.naming.payload_path(path, payload), value)
    for path in removed:
        with _changing(f"unset {path}"):
            unassign(payload, source.naming.payload_path(path, payload))
    return _encoded(payload)


def headers_of(test: Test, source: Source) -> Mapping[str, str]:
    """The headers of a test's event: those of its sample, with the test's own and its changes. Raises NoEvent."""
    headers = {**source.sample_headers.get(test.event or "", JSON_HEADERS), **test.headers}
    for path, value in test.set.items():
        if (name := header_of(path)) is not None:
            headers[name] = str(value)
    for path in test.unset:
        if (name := header_of(path)) is not None and headers.pop(name, None) is None:
            raise NoEvent(f"unset {path}: the event has no such header")
    return headers


def written_headers(test: Test) -> frozenset[str]:
    """The headers that a test writes out itself."""
    return frozenset({*test.headers, *(name for path in test.set if (name := header_of(path)) is not None)})


def header_of(path: str) -> str | None:
    """The header that a path to change names: ``headers.x-github-event``; None if it is a field of the payload."""
    segments = split_path(path)
    return segments[1].lower() if segments[0] == "headers" and len(segments) == 2 else None


@contextmanager
def _changing(what: str) -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        raise NoEvent(f"{what}: {error}") from None


def _written(test: Test, source: Source, folder: Path) -> bytes:
    if test.event is not None:
        return sample(source, test.event)
    if test.file is not None:
        return _file(test.file, folder)
    assert test.payload is not None
    return _encoded(test.payload.value)


def _file(name: str, folder: Path) -> bytes:
    try:
        return (folder / name).read_bytes()
    except OSError as error:
        reason = os.strerror(error.errno or 0).lower()
    except ValueError as error:
        reason = str(error)
    raise NoEvent(f"file: {name}: {reason} (relative to the folder of routes.yaml)")


def _encoded(payload: object) -> bytes:
    try:
        return json_bytes(payload)
    except BuildError as error:
        raise NoEvent(f"the event cannot be written as JSON: {error}") from None
