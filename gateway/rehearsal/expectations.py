"""The ``tests`` of a routes.yaml: each event is rehearsed and held against what is expected of it.

The clock stands still, no request is sent, and no variable of the environment is read: a result depends on the
files alone.
"""

import difflib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from gateway.config import load
from gateway.destinations import KINDS
from gateway.destinations.requests import json_bytes
from gateway.errors import BuildError, GatewayError, RequestRefused, Unparsable
from gateway.event.paths import MISSING, assign, lookup, unassign
from gateway.event.payload import parse
from gateway.model import Event, FileAppend, HttpRequest, OutboundRequest
from gateway.rehearsal.rehearse import Rehearsal, Rehearsed, once, rehearse, sample, sender_headers
from gateway.routing import Config, Destination, Source
from gateway.routing.cases import Check, Test
from gateway.wording import printable

#: Every test runs at 2026-01-01T00:00:00Z, seconds since the epoch.
NOW: Final = 1767225600.0


class NoEvent(GatewayError):
    """A test's event cannot be made as it is written."""


def read(path: Path) -> Config:
    """The configuration with made-up values for everything from the environment. Raises ConfigError."""
    return load(path, environ={}, no_env=True)


def failures(config: Config, test: Test, folder: Path) -> Sequence[str]:
    """What is not as ``test`` expects, in lines for people; none if it passes. ``folder`` is where its ``file`` is.

    What a destination holds as a secret is not in them, and nothing that came from outside.
    """
    return [printable(config.masks.text(line)) for line in _failures(config, test, folder)]


def _failures(config: Config, test: Test, folder: Path) -> Sequence[str]:
    source = config.source(test.source)
    assert source is not None
    try:
        body = _body(test, source, folder)
        rehearsal = rehearse(config, source, body, sender_headers(source, body, test.event or ""), NOW)
    except NoEvent as error:
        return [str(error)]
    except RequestRefused as error:
        return [] if test.outcome == "rejected" else [f"expected {_wanted(test)}", f"but it is rejected: {error}"]
    match test.outcome:
        case "deliveries":
            return [*_wrong_set(test, rehearsal), *_wrong_content(config, test, rehearsal)]
        case "ignored" if rehearsal.is_ignored:
            return []
        case "failed" if any(each.error and test.reason in each.error for each in rehearsal.deliveries):
            return []
    return [
        f"expected {_wanted(test)}",
        _came(rehearsal),
        *_once(rehearsal),
        *_dead(rehearsal),
    ]


# --- the event ---


def _body(test: Test, source: Source, folder: Path) -> bytes:
    body = _written(test, source, folder)
    if not test.set and not test.unset:
        return body
    try:
        payload = parse(body)
    except Unparsable as error:
        raise NoEvent(f"set and unset need an event that is JSON: {error}") from None
    for path, value in test.set.items():
        with _changing(f"set {path}"):
            assign(payload, source.naming.payload_path(path, payload), value)
    for path in test.unset:
        with _changing(f"unset {path}"):
            unassign(payload, source.naming.payload_path(path, payload))
    return _encoded(payload)


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
    raise NoEvent(f"file: {name}: {reason} (looked for from the folder of routes.yaml)")


def _encoded(payload: object) -> bytes:
    try:
        return json_bytes(payload)
    except BuildError as error:
        raise NoEvent(f"the event cannot be written as JSON: {error}") from None


# --- which deliveries there are ---


def _wanted(test: Test) -> str:
    match test.outcome:
        case "deliveries":
            return f"deliveries to {', '.join(map(_asked, test.checks))}" if test.checks else "no delivery"
        case "ignored":
            return "it to be ignored: taken by a to: [] and sent by no other route"
        case "rejected":
            return "it to be rejected"
        case "failed":
            return f'a delivery that fails with "{test.reason}"'


def _wrong_set(test: Test, rehearsal: Rehearsal) -> Iterator[str]:
    # Where one line names a route, the others need theirs: a line without one would take in whatever comes.
    by_route = {check.destination for check in test.checks if check.route is not None}
    naming = [check for check in test.checks if check.route is not None or check.destination not in by_route]
    surplus = [each for each in rehearsal.deliveries if not any(_is_of(each, check) for check in naming)]
    missing = [check for check in test.checks if not _meant(check, rehearsal)]
    if surplus or missing:
        yield f"expected {_wanted(test)}"
        yield _came(rehearsal)
        yield from _once(rehearsal)
    yield from (f"missing: {_asked(check)}" for check in missing)
    for each in surplus:
        own_line = f": write a line of its own, {each.route} > {each.destination}"
        yield f"not expected: {_called(each)}{own_line if each.destination in by_route else ''}"
    yield from _dead(rehearsal)


def _dead(rehearsal: Rehearsal) -> Iterator[str]:
    return (f"{_called(each)} cannot be sent: {each.error}" for each in rehearsal.deliveries if each.error)


def _meant(check: Check, rehearsal: Rehearsal) -> Sequence[Rehearsed]:
    return [each for each in rehearsal.deliveries if _is_of(each, check)]


def _is_of(delivery: Rehearsed, check: Check) -> bool:
    return delivery.destination == check.destination and check.route in (None, delivery.route)


def _called(delivery: Rehearsed) -> str:
    return f"{delivery.destination} (by {delivery.route})"


def _asked(check: Check) -> str:
    return check.destination if check.route is None else f"{check.destination} (by {check.route})"


def _came(rehearsal: Rehearsal) -> str:
    called = ", ".join(map(_called, rehearsal.deliveries))
    return f"but it goes to {called}" if called else "but it goes nowhere"


def _once(rehearsal: Rehearsal) -> Iterator[str]:
    return (f"{each.entry.name}: {words}" for each in rehearsal.considered if (words := once(each, rehearsal)))


# --- what they say ---


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sent:
    """One delivery as checks see it."""

    destination: Destination
    request: OutboundRequest
    #: Of a file's line only what it says about the event: its ``body``.
    body: bytes
    #: The body as JSON, or MISSING.
    value: object
    #: The event's bytes as this destination takes them.
    verbatim: bytes

    @property
    def text(self) -> str:
        return self.body.decode("utf-8", "replace")

    @property
    def message(self) -> str:
        """What it says to a reader: the text of a chat's message, else the body."""
        paths = dict.fromkeys((self.destination.kind.text_at, *(kind.text_at for kind in KINDS.values())))
        found = (self.value, *(lookup(self.value, path) for path in paths))
        return next((said for said in found if isinstance(said, str)), self.text)

    def has(self, text: str) -> bool:
        """Whether ``text`` is in the body: as it is sent, or in one of its JSON texts."""
        return text in self.text or any(text in each for each in _texts(self.value))


class _Line(msgspec.Struct):
    body: msgspec.Raw


def _sent(destination: Destination, request: OutboundRequest, event: Event) -> _Sent:
    body, verbatim = b"", event.body
    match request:
        case HttpRequest():
            body = request.body
        case FileAppend(line=line):
            body = bytes(msgspec.json.decode(line, type=_Line).body)
            verbatim = msgspec.json.format(event.body, indent=-1)
    try:
        value: object = parse(body)
    except Unparsable:
        value = MISSING
    return _Sent(destination=destination, request=request, body=body, value=value, verbatim=verbatim)


def _texts(value: object) -> Iterator[str]:
    match value:
        case str():
            yield value
        case list():
            for each in value:
                yield from _texts(each)
        case dict():
            for each in value.values():
                yield from _texts(each)


def _wrong_content(config: Config, test: Test, rehearsal: Rehearsal) -> Iterator[str]:
    """With several deliveries to one destination a check must hold for one of them, ``not_contains`` for each."""
    for check in test.checks:
        meant = _meant(check, rehearsal)
        if meant and check.count not in (None, len(meant)):
            yield f"{_asked(check)}: count is {len(meant)}, expected {check.count}"
        sent = {
            _called(each): _sent(config.destinations[each.destination], each.request, rehearsal.event)
            for each in meant
            if each.request
        }
        unmet = {called: list(_unmet(check, each)) for called, each in sent.items()}
        none_holds = all(unmet.values())
        for called, each in sent.items():
            forbidden = [f'it contains "{text}"' for text in check.not_contains if each.has(text)]
            lines = [*(unmet[called] if none_holds else ()), *(_with_whole(each, forbidden))]
            if lines:
                yield f"{called} is not as expected in {check.place.file}:{check.place.line}:"
                yield from (f"  {line}" for line in lines)


def _unmet(check: Check, sent: _Sent) -> Iterator[str]:
    yield from _of_request(check, sent)
    for compare in _COMPARISONS:
        yield from compare(check, sent)


def _of_request(check: Check, sent: _Sent) -> Iterator[str]:
    if isinstance(sent.request, FileAppend):
        if check.method or check.url or check.headers:
            yield f"{check.destination} is a file: it has no method, url or headers; ask for json or contains"
        return
    if check.method not in (None, sent.request.method):
        yield f"method is {sent.request.method}, expected {check.method}"
    if check.url not in (None, sent.request.url):
        url, expected = (sent.destination.masked_url(each) for each in (sent.request.url, check.url or ""))
        if url == expected:
            yield f"url is {url}, which differs from the expected one in a masked value"
        else:
            yield f"url is      {url}"
            yield f"expected    {expected}"
    headers, safe = dict(sent.request.headers), sent.destination.masked(sent.request)
    assert isinstance(safe, HttpRequest)
    for name, expected in check.headers.items():
        yield from _of_header(name, expected, headers.get(name), dict(safe.headers).get(name))


def _of_header(name: str, expected: str, value: str | None, safe: str | None) -> Iterator[str]:
    if value is None:
        yield f"header {name} is not there"
    elif value != expected:
        yield (
            f'header {name} is "{value}", expected "{expected}"'
            if safe == value
            else (f"header {name} is another one than expected (it may be a secret: ***)")
        )


def _verbatim(check: Check, sent: _Sent) -> Iterator[str]:
    if check.verbatim and sent.body != sent.verbatim:
        difference = list(_difference(_lines(parse(sent.verbatim)), _lines_of(sent)))
        yield "the body is not what was received" + (":" if difference else ", although it says the same")
        yield from difference


def _json(check: Check, sent: _Sent) -> Iterator[str]:
    if check.json is not None and not _same(check.json.value, sent.value):
        yield "the body is not the JSON expected:"
        yield from _difference(_lines(check.json.value), _lines_of(sent))


def _json_contains(check: Check, sent: _Sent) -> Iterator[str]:
    if check.json_contains is not None:
        yield from _with_whole(sent, list(_lacking(check.json_contains.value, sent.value, "")))


def _text(check: Check, sent: _Sent) -> Iterator[str]:
    if check.text is None or check.text.strip("\n") in (sent.message.strip("\n"), sent.text.strip("\n")):
        return
    yield "the text is not the one expected:"
    yield from _difference(check.text.strip("\n").split("\n"), sent.message.strip("\n").split("\n"))


def _contains(check: Check, sent: _Sent) -> Iterator[str]:
    yield from _with_whole(sent, [f'it does not contain "{text}"' for text in check.contains if not sent.has(text)])


_COMPARISONS: Final[Sequence[Callable[[Check, _Sent], Iterator[str]]]] = (
    _verbatim,
    _json,
    _json_contains,
    _text,
    _contains,
)


# --- comparing and showing ---


def _same(expected: object, value: object) -> bool:
    """Equality as JSON has it: 13 is not "13", true is not 1, but 1 is 1.0."""
    if isinstance(expected, dict) and isinstance(value, dict):
        return expected.keys() == value.keys() and all(_same(expected[name], value[name]) for name in expected)
    if isinstance(expected, list) and isinstance(value, list):
        return len(expected) == len(value) and all(map(_same, expected, value))
    return isinstance(expected, bool) == isinstance(value, bool) and expected == value


def _lacking(expected: object, value: object, path: str) -> Iterator[str]:
    """Where ``value`` does not have what is expected; a map may have more fields, a list more elements."""
    where = path or "the body"
    if value is MISSING:
        yield f"{where} is missing, expected {_short(expected)}" if path else "the body is not JSON"
    elif isinstance(expected, dict) and isinstance(value, dict):
        for name, each in expected.items():
            yield from _lacking(each, value.get(name, MISSING), f"{path}.{name}" if path else str(name))
    elif isinstance(expected, list) and isinstance(value, list):
        yield from _lacking_elements(expected, value, where)
    elif not _same(expected, value):
        yield f"{where} is {_short(value)}, expected {_short(expected)}"


def _lacking_elements(expected: Sequence[object], value: Sequence[object], where: str) -> Iterator[str]:
    """Each element stands for one that is expected: the most that can be paired are (Kuhn's augmenting paths)."""
    fitting = [[at for at, one in enumerate(value) if not any(_lacking(each, one, where))] for each in expected]
    pairs: dict[int, int] = {}
    for number, each in enumerate(expected):
        if not fitting[number]:
            yield f"{where} has no element {_short(each)}"
        elif not _paired(number, fitting, pairs, set()):
            yield f"{where} has too few elements {_short(each)}: one element stands for one that is expected"


def _paired(number: int, fitting: Sequence[Sequence[int]], pairs: dict[int, int], tried: set[int]) -> bool:
    """Find an element for what is expected as ``number``; others move to another of theirs where they can."""
    for at in fitting[number]:
        if at not in tried:
            tried.add(at)
            if at not in pairs or _paired(pairs[at], fitting, pairs, tried):
                pairs[at] = number
                return True
    return False


def _short(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 200 else f"{text[:200]}..."


def _lines(value: object) -> Sequence[str]:
    return json.dumps(value, ensure_ascii=False, indent=2, sort_keys=True).split("\n")


def _lines_of(sent: _Sent) -> Sequence[str]:
    return sent.text.split("\n") if sent.value is MISSING else _lines(sent.value)


def _difference(expected: Sequence[str], sent: Sequence[str]) -> Iterator[str]:
    return difflib.unified_diff(expected, sent, "expected", "sent", lineterm="")


def _with_whole(sent: _Sent, wrong: Sequence[str]) -> Iterator[str]:
    """What is wrong, and below it all that is sent."""
    if wrong:
        yield from (*wrong, "sent:", *(f"  {line}" for line in _lines_of(sent)))
