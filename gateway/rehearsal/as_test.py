"""A stored event as an item of ``tests``: it runs as it is pasted below ``tests:``."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import urlencode

import msgspec

from gateway.config.text.reader import Items, Map, Node, Scalar, read
from gateway.config.text.report import Report
from gateway.errors import ConfigError, GatewayError
from gateway.event import tracks
from gateway.event.payload import ENVELOPE, payload_of
from gateway.model import Event
from gateway.rehearsal.rehearse import Rehearsal, rehearse, sender_headers
from gateway.routing import Config, Source
from gateway.routing.cases import JSON_HEADERS
from gateway.wording import iso_time, printable

#: Characters of the longest test that is made.
LONGEST: Final = 20_000
#: Headers about one connection or one client: no sender names an event by them.
_OF_TRANSPORT: Final = re.compile(
    r"accept.*|alt-used|authorization|baggage|cache-control|cdn-.*|cf-.*|connection|content-(encoding|length)|cookie"
    r"|date|expect|fly-.*|forwarded|host|pragma|priority|sec-.*|te|trace(parent|state)|true-client-ip|user-agent|via"
    r"|x-amzn?-trace.*|x-forwarded-.*|x-real-ip|x-request-start"
)
#: A name that says that the value proves who sends.
_PROOF: Final = re.compile(r".*(?:signature|hmac|secret|token|password|api-?key|digest).*")
#: What JSON may hold as it is and YAML may not, or reads as a line break.
_AWKWARD: Final = re.compile(
    "[^\t\n\r\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]"
)


_UNUSUAL: Final = re.compile(r"[^\n\x20-\x7e]")


def as_test(config: Config, event: Event) -> str:
    """A test that expects what today's file makes of an event, without what its source redacts.

    Empty if there is none: the payload is not JSON, or too long or too deep for the file.
    """
    source = config.source(event.source)
    # Indented, a value is longer still, and takes many times as long.
    if source is None or len(event.body) > LONGEST:
        return ""
    try:
        payload = config.redaction(event).masked(payload_of(event))
        return _written(config, source, event, payload)
    except (GatewayError, RecursionError, ValueError):
        return ""


def sent_headers(source: Source, headers: Mapping[str, str]) -> Mapping[str, str]:
    """Those of an event's headers that a sample of it needs: none of a connection, and none that proves who sends."""
    return {
        name: value
        for name, value in headers.items()
        if name != ENVELOPE
        and name not in source.signing_headers
        and not _OF_TRANSPORT.fullmatch(name)
        and not _PROOF.fullmatch(name)
    }


def _written(config: Config, source: Source, event: Event, payload: object) -> str:
    if not isinstance(payload, dict | list):
        return ""
    redaction = config.redaction(event)
    headers = dict(sent_headers(source, redaction.masked_headers(event.headers)))
    # The payload of a test is JSON, whatever its sender made of it.
    headers.pop("content-type", None)
    query = redaction.masked_query(event.query) if event.query else {}
    before = tracks.before_of(redaction.masked_track(event.track)) if source.naming.tracking else {}
    rehearsal = _played(config, source, payload, headers, query, before)
    text = "\n".join(f"  {line}" for line in _lines(event, payload, headers, query, before, rehearsal))
    return text if len(text) <= LONGEST and _is_read_as(text, _literal(payload)) else ""


def _played(
    config: Config,
    source: Source,
    payload: object,
    headers: Mapping[str, str],
    query: Mapping[str, str],
    before: Mapping[str, object],
) -> Rehearsal:
    """The event as the test has it: what is redacted may be what a route looks at."""
    body = msgspec.json.encode(payload)
    sent = sender_headers(source, body, headers={**JSON_HEADERS, **headers}, kept=headers)
    return rehearse(config, source, body, sent, 0.0, urlencode(query).encode(), before=before, known={}, looked_up={})


def _lines(
    event: Event,
    payload: object,
    headers: Mapping[str, str],
    query: Mapping[str, str],
    before: Mapping[str, object],
    rehearsal: Rehearsal,
) -> Iterator[str]:
    yield f"- name: {_text(f'{event.type} of {iso_time(event.received_at)[:10]}')}"
    yield f"  source: {_text(event.source)}"
    if headers:
        yield "  headers:"
        yield from (f"    {_text(name)}: {_text(_literal(value))}" for name, value in headers.items())
    if query:
        yield "  query:"
        yield from (f"    {_text(name)}: {_text(_literal(value))}" for name, value in query.items())
    if names := dict.fromkeys(one.name for each in rehearsal.deliveries for one in each.lookups):
        # Nothing was found: whoever pastes it writes what is.
        yield f"  fetched: {_text(names)}"
    if before:
        yield f"  before: {_text(_literal(before))}"
    first, *more = _escaped(json.dumps(_literal(payload), indent=2, ensure_ascii=False)).split("\n")
    yield f"  payload: {first}"
    yield from (f"  {line}" for line in more)
    yield f"  expect: {_expected(rehearsal)}"


def _expected(rehearsal: Rehearsal) -> str:
    broken = next((each.error for each in rehearsal.deliveries if each.error), "")
    if broken:
        # Without the line, which the next edit changes.
        return f"{{failed: {_text(re.sub(r'^[^ ]+:[0-9]+: ', '', broken))}}}"
    return _text(list(dict.fromkeys(each.destination for each in rehearsal.deliveries if not each.discarded)))


def _text(value: object) -> str:
    return _escaped(json.dumps(value, ensure_ascii=False))


def _escaped(text: str) -> str:
    """With an escape for what YAML reads otherwise than JSON, and what a page shows otherwise than it is."""
    return _AWKWARD.sub(lambda found: f"\\u{ord(found[0]):04x}", _UNUSUAL.sub(_visible, text))


def _visible(found: re.Match[str]) -> str:
    code = ord(found[0])
    return found[0] if printable(found[0]) == found[0] else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _literal(value: object) -> object:
    """The value without references to variables: ``${NAME}`` is an ordinary text of the sender's."""
    match value:
        case str():
            return value.replace("${", "$${")
        case list():
            return [_literal(each) for each in value]
        case dict():
            return {name: _literal(each) for name, each in value.items()}
    return value


def _is_read_as(text: str, payload: object) -> bool:
    """Whether the reader of routes.yaml finds the same payload in it."""
    try:
        test = _plain(read(f"tests:\n{text}\n".encode(), Report("routes.yaml")))
    except (ConfigError, UnicodeEncodeError):
        return False
    return isinstance(test, dict) and test["tests"][0].get("payload") == payload


def _plain(node: Node) -> Any:
    match node:
        case Map(pairs=pairs):
            return {pair.key.text: _plain(pair.value) for pair in pairs}
        case Items(nodes=nodes):
            return [_plain(each) for each in nodes]
        case Scalar(value=value):
            return value
    return None
