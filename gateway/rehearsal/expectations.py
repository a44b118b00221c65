"""Runs the ``tests`` of a routes.yaml: rehearses each event and compares the deliveries with what is expected.

The clock stands still, no request is sent and no environment variable is read: results depend on the files alone.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final
from urllib.parse import urlencode

from msgspec.structs import replace

from gateway.config import load
from gateway.errors import RequestRefused
from gateway.event.naming import UNKNOWN_TYPE
from gateway.event.payload import parse
from gateway.model import Event, FileAppend, HttpRequest
from gateway.rehearsal.comparing import difference, lacking, lines, same
from gateway.rehearsal.reasons import command, why_dead, why_missing
from gateway.rehearsal.rehearse import Rehearsal, Rehearsed, once, rehearse, sender_headers
from gateway.rehearsal.sent import Sent, lines_of, sent_by, with_whole
from gateway.rehearsal.together import together
from gateway.routing import Config
from gateway.routing.cases import Check, NoEvent, Test, body_of, headers_of, written_headers
from gateway.routing.hours import day_and_time
from gateway.wording import iso_time, printable

#: The time of every test, 2026-01-01T00:00:00Z, in seconds since the epoch.
NOW: Final = 1767225600.0


#: Between two events of a test, seconds.
BETWEEN_S: Final = 0.001


def read(path: Path) -> Config:
    """Load the configuration with made-up values for everything from the environment. Raises ConfigError."""
    return load(path, environ={}, no_env=True)


def failures(config: Config, test: Test, folder: Path, file: str = "routes.yaml") -> Sequence[str]:
    """What differs from the expectations of ``test``, in lines for people; empty if it passes.

    ``folder`` is the folder that its ``file`` is relative to, and has the configuration ``file``. The lines contain no
    secret of a destination, and no value from outside.
    """
    return [printable(config.masks.text(line)) for line in _failures(config, test, folder, file)]


def _failures(config: Config, test: Test, folder: Path, file: str) -> Sequence[str]:
    try:
        played = list[Rehearsal]()
        for each in test.each:
            played.append(_played(config, each, folder, [one.event for one in played], test))
        if any(each.before and not one.event.track for each, one in zip(test.each, played, strict=True)):
            return ["before: the event does not say what identifies its record: see track of its source"]
        rehearsal = together(config, played) if test.events else played[0]
    except NoEvent as error:
        return [str(error)]
    except RequestRefused as error:
        return [] if test.outcome == "rejected" else [f"expected {_wanted(test)}", f"but it is rejected: {error}"]
    # What the file discards is no delivery to expect.
    discarded = [f"{_called(each)} is discarded: {each.discarded}" for each in rehearsal.deliveries if each.discarded]
    rehearsal = replace(rehearsal, deliveries=tuple(each for each in rehearsal.deliveries if not each.discarded))
    wrong = _wrong(config, test, rehearsal)
    shown = command(config, test, folder / file)
    return [*wrong, *discarded, *([f"see why: {shown}"] if shown else [])] if wrong else []


def _wrong(config: Config, test: Test, rehearsal: Rehearsal) -> Sequence[str]:
    match test.outcome:
        case "deliveries":
            return [*_wrong_set(config, test, rehearsal), *_wrong_content(config, test, rehearsal)]
        case "ignored" if rehearsal.is_ignored:
            return []
        case "failed" if any(each.error and test.reason in each.error for each in rehearsal.deliveries):
            return []
    return [
        f"expected {_wanted(test)}",
        _came(rehearsal),
        *_untyped(config, rehearsal),
        *_once(rehearsal),
        *_dead(rehearsal),
    ]


def _played(config: Config, test: Test, folder: Path, earlier: Sequence[Event], whole: Test) -> Rehearsal:
    """One of the events of a test, which is ``whole``, after the ``earlier`` ones. Raises NoEvent and RequestRefused."""
    source = config.source(test.source)
    assert source is not None
    body = body_of(test, source, folder)
    declared, given = headers_of(test, source), written_headers(test)
    headers, query = sender_headers(source, body, headers=declared, kept=given), urlencode(test.query).encode()
    now = NOW if test.now is None else test.now
    at, known, looked_up = now + len(earlier) * BETWEEN_S, whole.memory, whole.fetched
    return rehearse(
        config,
        source,
        body,
        headers,
        at,
        query=query,
        before=test.before,
        earlier=earlier,
        known=known,
        looked_up=looked_up,
    )


# --- which deliveries there are ---


def _wanted(test: Test) -> str:
    match test.outcome:
        case "deliveries":
            return f"deliveries to {', '.join(map(_asked, test.checks))}" if test.checks else "no delivery"
        case "ignored":
            return "it to be ignored: matched by a to: [] and sent by no other route"
        case "rejected":
            return "it to be rejected"
        case "failed":
            return f'a delivery that fails with "{test.reason}"'


def _untyped(config: Config, rehearsal: Rehearsal) -> Iterator[str]:
    """The header to add to an event without a type."""
    event, source = rehearsal.event, config.source(rehearsal.event.source)
    if event.type != UNKNOWN_TYPE or source is None:
        return
    if named := source.missing_header(event.body, event.headers):
        header, value = named
        yield f"its event has no type, which is in the header {header}: add headers: {{{header}: ...}}, for example {value}"


def _wrong_set(config: Config, test: Test, rehearsal: Rehearsal) -> Iterator[str]:
    # If one line names a route, the others need theirs too: a line without one would cover every delivery.
    # What a shadow would send is not counted: a check of it needs its route.
    shadows = {each.route for each in rehearsal.shadows}
    by_route = {check.destination for check in test.checks if check.route is not None and check.route not in shadows}
    naming = [check for check in test.checks if check.route is not None or check.destination not in by_route]
    surplus = [each for each in rehearsal.deliveries if not any(_is_of(each, check) for check in naming)]
    missing = [check for check in test.checks if not _meant(check, rehearsal)]
    if surplus or missing:
        yield f"expected {_wanted(test)}"
        yield _came(rehearsal)
        yield from _untyped(config, rehearsal)
        yield from _once(rehearsal)
    for check in missing:
        yield f"missing: {_asked(check)}"
        yield from why_missing(config, rehearsal, check)
    for each in surplus:
        own_line = f": add a line {each.route} > {each.destination}"
        yield f"not expected: {_called(each)}{own_line if each.destination in by_route else ''}"
    yield from _dead(rehearsal)


def _dead(rehearsal: Rehearsal) -> Iterator[str]:
    for each in rehearsal.deliveries:
        if each.error:
            yield f"{_called(each)} cannot be sent: {why_dead(each.error, rehearsal)}"


def _meant(check: Check, rehearsal: Rehearsal) -> Sequence[Rehearsed]:
    of_route = rehearsal.shadows if check.route is not None else ()
    return [each for each in (*rehearsal.deliveries, *of_route) if _is_of(each, check)]


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
    seen = {f"{each.entry.name}: {words}": None for each in rehearsal.considered if (words := once(each, rehearsal))}
    return iter(seen)


# --- what they say ---


def _wrong_content(config: Config, test: Test, rehearsal: Rehearsal) -> Iterator[str]:
    """Of several deliveries to one destination, one must pass the check; ``not_contains`` applies to each."""
    for check in test.checks:
        meant = _meant(check, rehearsal)
        if meant and check.count not in (None, len(meant)):
            yield f"{_asked(check)}: count is {len(meant)}, expected {check.count}"
        sent = {
            _called(each): sent_by(config.destinations[each.destination], each.request, each.event or rehearsal.event)
            for each in meant
            if each.request
        }
        late = {_called(each): list(_unfit_time(check, each, rehearsal.event.received_at)) for each in meant}
        unmet = {called: [*late[called], *_unmet(check, each)] for called, each in sent.items()}
        none_holds = all(unmet.values())
        for called, each in sent.items():
            forbidden = [f'it contains "{text}"' for text in check.not_contains if each.has(text)]
            wrong = [*(unmet[called] if none_holds else ()), *(with_whole(each, forbidden))]
            if wrong:
                yield f"{called} is not as expected in {check.place.file}:{check.place.line}:"
                yield from (f"  {line}" for line in wrong)


def _unfit_time(check: Check, each: Rehearsed, now: float) -> Iterator[str]:
    """It is sent at another time than expected."""
    expected, waiting = check.waits_until, each.waiting
    if expected is None:
        return
    found = waiting.words(now) if waiting else "it is sent at once"
    if isinstance(expected, float):
        is_met, expected = waiting is not None and abs(waiting.until - expected) < 1, iso_time(expected)
    else:
        said = day_and_time(waiting.until, waiting.zone)[: len("Mon 09:00")] if waiting else "None"
        is_met = said == expected
    if not is_met:
        yield f"{found}, expected {'that it is sent at once' if expected == 'None' else f'until {expected}'}"


def _unmet(check: Check, sent: Sent) -> Iterator[str]:
    yield from _of_request(check, sent)
    for compare in _COMPARISONS:
        yield from compare(check, sent)


def _of_request(check: Check, sent: Sent) -> Iterator[str]:
    if not isinstance(sent.request, HttpRequest):
        what = "a file" if isinstance(sent.request, FileAppend) else "e-mail"
        if check.method or check.url or check.headers:
            yield f"{check.destination} is {what}, without method, url and headers: check json or contains"
        return
    if check.method not in (None, sent.request.method):
        yield f"method is {sent.request.method}, expected {check.method}"
    if check.url not in (None, sent.request.url):
        url, expected = (sent.destination.masked_url(each) for each in (sent.request.url, check.url or ""))
        if url == expected:
            yield f"url is {url}, which differs from the expected url in a masked value"
        else:
            yield f"url is      {url}"
            yield f"expected    {expected}"
    headers, safe = dict(sent.request.headers), sent.destination.masked(sent.request)
    assert isinstance(safe, HttpRequest)
    for name, expected in check.headers.items():
        yield from _of_header(name, expected, headers.get(name), dict(safe.headers).get(name))


def _of_header(name: str, expected: str, value: str | None, safe: str | None) -> Iterator[str]:
    if value is None:
        yield f"header {name} is missing"
    elif value != expected:
        yield (
            f'header {name} is "{value}", expected "{expected}"'
            if safe == value
            else (f"header {name} is not as expected (its value may be a secret: ***)")
        )


def _verbatim(check: Check, sent: Sent) -> Iterator[str]:
    if check.verbatim and sent.body != sent.verbatim:
        differing = list(difference(lines(parse(sent.verbatim)), lines_of(sent)))
        yield "the body is not what was received" + (":" if differing else ", although the JSON is equal")
        yield from differing


def _json(check: Check, sent: Sent) -> Iterator[str]:
    if check.json is not None and not same(check.json.value, sent.value):
        yield "the body is not the expected JSON:"
        yield from difference(lines(check.json.value), lines_of(sent))


def _json_contains(check: Check, sent: Sent) -> Iterator[str]:
    if check.json_contains is not None:
        yield from with_whole(sent, list(lacking(check.json_contains.value, sent.value, "")))


def _text(check: Check, sent: Sent) -> Iterator[str]:
    if check.text is None or check.text.strip("\n") in (sent.message.strip("\n"), sent.text.strip("\n")):
        return
    yield "the text is not as expected:"
    yield from difference(check.text.strip("\n").split("\n"), sent.message.strip("\n").split("\n"))


def _contains(check: Check, sent: Sent) -> Iterator[str]:
    yield from with_whole(sent, [f'it does not contain "{text}"' for text in check.contains if not sent.has(text)])


_COMPARISONS: Final[Sequence[Callable[[Check, Sent], Iterator[str]]]] = (
    _verbatim,
    _json,
    _json_contains,
    _text,
    _contains,
)


# --- comparing and showing ---
