"""Why an event went where it did, and the requests it makes, as data: the same for the command line, the API and the
console. It contains no secret of the file.
"""

import base64
import dataclasses
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from gateway.destinations.retry import schedule
from gateway.errors import Unparsable
from gateway.event.explain import Explanation, Finding
from gateway.event.match import Rule
from gateway.event.paths import MISSING, Path, as_written
from gateway.event.payload import payload_of
from gateway.hiding.masks import Masks
from gateway.hiding.redaction import seen
from gateway.model import Attempt, Delivery, Event, FileAppend, HttpRequest, OutboundRequest
from gateway.rehearsal import curl
from gateway.rehearsal.as_test import as_test
from gateway.rehearsal.rehearse import Rehearsal, Rehearsed, attempted, once, planned, rehearse_event
from gateway.routing import Config, Destination, Source
from gateway.routing.entries import Considered
from gateway.store.nouns import EventHistory, HeldBack
from gateway.wording import iso_time


def explained(config: Config, rehearsal: Rehearsal) -> Mapping[str, Any]:
    """What happens to an event: ``{"event", "entries", "deliveries"}``. Each entry has its clauses and the values they
    saw; each delivery has its request, or ``not_shown`` if that would reveal what is redacted.
    """
    event = rehearsal.event
    return {
        "event": {
            "id": event.id,
            "source": event.source,
            "type": event.type,
            "received_at": iso_time(event.received_at),
        },
        "entries": entries(config, rehearsal),
        "deliveries": [_delivery(each, config) for each in requests(config, rehearsal)],
    }


# --- stored events ---


def explained_history(config: Config, history: EventHistory, console: str = "") -> Mapping[str, Any]:
    """What the current file makes of a stored event: ``{"config", "why_not_explained", "entries", "requests", "test"}``.

    ``config`` is the file's revision; ``why_not_explained`` says why entries and requests are empty, if they are. Each
    delivery has a request, by ``delivery_id``, as an attempt would make it now, or ``not_shown`` with why it would
    reveal what is redacted; ``changed`` says whether its body differs from what the last attempt sent, null if nothing
    was sent. ``test`` is an item of ``tests:`` with the event, empty if it has none. ``console`` is the address the console listens at.
    """
    event = history.event
    nothing = {"config": config.revision, "why_not_explained": "", "entries": [], "requests": [], "test": ""}
    reason = why_not(config, event.id, event.source, intact=history.intact, body_is=history.body_is)
    if reason := reason or _deadly(history):
        return {**nothing, "why_not_explained": reason}
    try:
        rehearsal = _played(config, history)
    except Unparsable as error:
        return {**nothing, "why_not_explained": f"the stored body of {event.id} cannot be read: {error}"}
    return {
        **nothing,
        "entries": entries(config, rehearsal),
        "requests": list(_requests_now(config, history, rehearsal, console)),
        "test": as_test(config, history.event),
    }


def why_not(config: Config, event_id: str, source: str, *, intact: bool, body_is: str = "kept") -> str:
    """Why a stored event cannot be played again, in words; empty if it can. ``intact``, ``body_is``: see EventHistory."""
    if body_is == "removed":
        return f"the body of {event_id} is no longer kept (retention.bodies), so it cannot be played or sent again"
    if body_is == "redacted":
        return f"the body of {event_id} was redacted after its last delivery, so what the routes saw is gone"
    if body_is == "forgotten":
        return f"{event_id} was forgotten and its data is erased, so it cannot be played or sent again"
    if config.source(source) is None:
        return f"{event_id} came from {source}, which is no longer in routes.yaml"
    if not intact:
        return f"the stored body of {event_id} no longer matches its checksum and will not be sent"
    return ""


def _deadly(history: EventHistory) -> str:
    """Why playing the event here is dangerous: the process died while it worked on one of its deliveries."""
    for each in history.deliveries:
        if each.crashes:
            times = "once" if each.crashes == 1 else f"{each.crashes} times"
            return (
                f"the gateway died {times} while it worked on {each.id}, so the event is not played here: "
                f"run gateway explain {history.event.id}, which plays it in a separate process"
            )
    return ""


def _played(config: Config, history: EventHistory) -> Rehearsal:
    source = config.source(history.event.source)
    assert source is not None
    hide = config.redaction(history.event).key_mask_of(history.event)
    fired = {each.name: _fired_before(each, hide(each.key)) for each in history.held_back}
    return rehearse_event(config, source, history.event, payload_of(history.event), fired)


def _requests_now(
    config: Config, history: EventHistory, rehearsal: Rehearsal, console: str
) -> Iterator[Mapping[str, Any]]:
    show = _Shown(config, rehearsal)
    for each in history.deliveries:
        real = attempted(config, each, rehearsal.event, rehearsal.facts["payload"], console)
        attempts = history.attempts.get(each.id, ())
        yield {
            "delivery_id": each.id,
            **_delivery(show.delivery(real, each, console), config),
            "changed": _is_changed(real, attempts[-1] if attempts else None),
        }


def _fired_before(each: HeldBack, key: str) -> str:
    return f"already fired for the key {key}: {each.event_id}, {iso_time(each.fired_at)}"


def _is_changed(now: Rehearsed, last: Attempt | None) -> bool | None:
    """Whether an attempt would send a different body than the last one; None if that sent none."""
    if last is None or not last.sent_sha256:
        return None
    return now.request is None or hashlib.sha256(now.request.sent).digest() != last.sent_sha256


# --- requests, without secrets and redacted values ---


def requests(config: Config, rehearsal: Rehearsal) -> tuple[Rehearsed, ...]:
    """The deliveries with their requests, as they may be shown."""
    show = _Shown(config, rehearsal)
    return tuple(
        show.delivery(each, planned(rehearsal.event, number, each.route, each.destination))
        for number, each in enumerate(rehearsal.deliveries, start=1)
    )


class _Shown:
    """The deliveries of one event as they may be shown: built again from a file without secrets and an event without
    redacted values, so that no filter can disguise either.
    """

    def __init__(self, config: Config, rehearsal: Rehearsal) -> None:
        event, payload = rehearsal.event, rehearsal.facts["payload"]
        redaction = config.redaction(event)
        self._config = config
        self._without_secrets = without_secrets(config)
        self._event = redaction.masked_event(event, payload)
        self._payload = redaction.masked(payload)
        self._hide = redaction.mask_of(event)

    def delivery(self, real: Rehearsed, delivery: Delivery, console: str = "") -> Rehearsed:
        config = self._config
        if real.request is None:
            return replace(real, error=config.masks.text(self._hide(real.error)))
        # A request that computes with a secret cannot be built without it; there the secret is masked in the result.
        made = (
            attempted(each, delivery, self._event, self._payload, console) for each in (self._without_secrets, config)
        )
        request = next((each.request for each in made if each.request), None)
        if request is None:
            return replace(real, request=None, not_shown="it depends on a value that the source redacts")
        masked = config.destinations[real.destination].masked(request)
        return replace(real, request=config.masks.request(masked))


def secretless(values: object, masks: Masks) -> Mapping[str, object]:
    """The root ``vars`` without values from outside."""
    found = masks.value(values)
    assert isinstance(found, Mapping)
    return found


def without_secrets(config: Config) -> Config:
    """The configuration without values from outside in ``vars``: nothing that runs on it can compute with a secret."""
    sources = {name: _secretless(source, config.masks) for name, source in config.sources.items()}
    return dataclasses.replace(config, sources=sources, own=_secretless(config.own, config.masks))


def _secretless(source: Source, masks: Masks) -> Source:
    return replace(source, naming=replace(source.naming, vars=secretless(source.naming.vars, masks)))


def _delivery(each: Rehearsed, config: Config) -> Mapping[str, Any]:
    destination = config.destinations.get(each.destination)
    return {
        "route": each.route,
        "destination": each.destination,
        "request": _request(each.request, destination, config.masks),
        "error": each.error,
        "retry": schedule(destination.retry) if destination else "",
        **({"token": token_of(destination)} if destination and destination.oauth else {}),
        **({"not_shown": each.not_shown} if each.not_shown else {}),
    }


def token_of(destination: Destination | None) -> str:
    """Where the access token of a request comes from, in words; empty: it has none."""
    if destination is None or destination.oauth is None:
        return ""
    return f"from {destination.oauth.host} at each attempt ({destination.oauth.grant})"


def _request(
    request: OutboundRequest | None, destination: Destination | None, masks: Masks
) -> Mapping[str, object] | None:
    match request:
        case HttpRequest():
            options = [masks.text(each) for each in curl.options(destination.door)] if destination else []
            return {
                "method": request.method,
                "url": request.url,
                "headers": dict(request.headers),
                "body": _content(request.body),
                **({"curl_options": options} if options else {}),
            }
        case FileAppend():
            return {"file": request.path, "line": _content(request.line)}
    return None


def _content(data: bytes) -> object:
    """JSON as its value, other text as text, anything else as base64."""
    try:
        return msgspec.json.decode(data)
    except (ValueError, RecursionError):
        pass
    try:
        return data.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(data).decode()}


# --- entries ---


class _Hiding(Struct, frozen=True):
    """Hides secrets and redacted values in entries."""

    #: In a text.
    text: Callable[[str], str]
    #: In a key of ``once``.
    key: Callable[[str], str]
    #: In the value that a condition saw at a path.
    seen: Callable[[Path, object], object]


def entries(config: Config, rehearsal: Rehearsal) -> Sequence[Mapping[str, Any]]:
    """Every entry in order: whether it matches the event, and each of its clauses with the value it saw."""
    hiding = _hiding(config, rehearsal)
    return [_entry(each, rehearsal, hiding) for each in (*rehearsal.considered, *rehearsal.told)]


def _hiding(config: Config, rehearsal: Rehearsal) -> _Hiding:
    event, facts, masks = rehearsal.event, rehearsal.facts, config.masks
    redaction, source = config.redaction(event), config.source(event.source)
    hide = redaction.mask_of(event)
    if source is None or not redaction.paths:
        return _Hiding(masks.text, str, lambda _, value: masks.value(value))
    headers = redaction.masked_headers(event.headers)
    query = redaction.masked_query(event.query)
    masked = {**facts, "payload": redaction.masked(facts["payload"]), "headers": headers, "query": query}
    return _Hiding(
        lambda text: masks.text(hide(text)),
        redaction.key_mask_of(event),
        lambda path, value: masks.value(seen(source.naming, path, value, facts, masked)),
    )


def _entry(each: Considered, rehearsal: Rehearsal, hiding: _Hiding) -> Mapping[str, Any]:
    entry = each.entry
    return {
        "section": entry.section,
        "name": entry.name,
        "place": f"{entry.place.file}:{entry.place.line}",
        "considered": each.explanation is not None,
        "taken": each.taken,
        "ignores": not entry.deliveries,
        "ends": entry.rule.stops,
        "once": hiding.text(once(each, rehearsal, hiding.key)),
        "clauses": [_clause(finding, hiding) for finding in _findings(each, rehearsal.event)],
    }


def in_words(entry: Mapping[str, Any]) -> str:
    """What happened with an entry of ``entries``; empty: one of its clauses shows why it does not match."""
    if not entry["considered"]:
        return "not checked: an earlier entry matched"
    if not entry["taken"]:
        return ""
    if entry["ignores"]:
        return "to: [] ignores the event"
    every = "" if entry["clauses"] else "matches every event"
    told = "would report the first delivery that is given up" if entry["section"] == "failed" else ""
    ends = "stop: no later entry is checked" if entry["ends"] else ""
    return ", ".join(filter(None, (told or every, entry["once"], ends)))


def _findings(each: Considered, event: Event) -> Sequence[Finding]:
    """What the entry asks; if it is not about such events, only why not."""
    rule, explanation = each.entry.rule, each.explanation
    if explanation is None:
        return ()
    about = list(_about(rule, explanation, event))
    if not (explanation.source and explanation.type):
        return [finding for finding in about if not finding.held]
    conditions = len(rule.where)
    expression = (replace(found, text=f"if: {found.text}") for found in explanation.findings[conditions:])
    return [*about, *explanation.findings[:conditions], *expression]


def _about(rule: Rule, explanation: Explanation, event: Event) -> Iterator[Finding]:
    if rule.sources is not None:
        text = f"source: {', '.join(sorted(rule.sources))}"
        yield Finding(text=text, held=explanation.source, path=("event", "source"), seen=event.source)
    if rule.patterns is not None:
        text = f"match: {', '.join(rule.patterns)}"
        yield Finding(text=text, held=explanation.type, path=("event", "type"), seen=event.type)


def _clause(finding: Finding, hiding: _Hiding) -> Mapping[str, Any]:
    clause: dict[str, Any] = {"text": hiding.text(finding.text), "held": finding.held}
    if finding.path:
        clause["field"] = as_written(finding.path)
        clause["missing"] = finding.seen is MISSING
        if finding.seen is not MISSING:
            clause["seen"] = hiding.seen(finding.path, finding.seen)
    if finding.error:
        clause["error"] = hiding.text(finding.error)
    if finding.inner:
        clause["inner"] = [_clause(each, hiding) for each in finding.inner]
    return clause
