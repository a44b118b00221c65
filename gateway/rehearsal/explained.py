"""Why an event went where it did, and the requests it makes, as data: the same for the command line, the API and the
console. It contains no secret of the file.
"""

import hashlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from gateway.errors import BuildError, Unparsable
from gateway.event.explain import Explanation, Finding
from gateway.event.match import Rule
from gateway.event.paths import MISSING, Path, as_written
from gateway.event.payload import payload_of
from gateway.event.tracks import BEFORE, CHANGES, RECORD, is_one_of
from gateway.hiding.redaction import MASK, seen
from gateway.model import Attempt, Event
from gateway.rehearsal.as_test import as_test
from gateway.rehearsal.rehearse import (
    Rehearsal,
    Rehearsed,
    attempted,
    gathers,
    hours,
    once,
    rehearse_event,
)
from gateway.rehearsal.showing import Shown, document, requests, shadow_requests, waits
from gateway.routing import Config
from gateway.routing.entries import Considered
from gateway.routing.memory import Known
from gateway.routing.silences import followed
from gateway.store.memory import Subject
from gateway.store.nouns import HeldBack
from gateway.store.queries import EventHistory
from gateway.wording import iso_time


def explained(config: Config, rehearsal: Rehearsal) -> Mapping[str, Any]:
    """What happens to an event: ``{"event", "tracked", "follow_ups", "entries", "deliveries", "shadows"}``.

    ``tracked`` is there if its source has ``track``: ``{"before", "changes", "record"}``. Each entry has its clauses and the
    values they saw; each delivery has its request, or ``not_shown`` if that would reveal what is redacted; what it looks up first is in
    ``lookups``, and ``assumed`` says what the request then takes for granted. ``shadows`` are what entries with ``shadow:
    true`` would send.
    """
    event = rehearsal.event
    return {
        "event": {
            "id": event.id,
            "source": event.source,
            "type": event.type,
            "received_at": iso_time(event.received_at),
            **invalid(event),
        },
        **_of_record(record_of(config, rehearsal)),
        "follow_ups": follow_ups(config, rehearsal),
        "entries": entries(config, rehearsal),
        "deliveries": [
            {**document(each, config), "waits": waits(each, event.received_at)} for each in requests(config, rehearsal)
        ],
        "shadows": [document(each, config) for each in shadow_requests(config, rehearsal)],
    }


def _of_record(record: Mapping[str, Any] | None) -> Mapping[str, Any]:
    return {} if record is None else {"tracked": record}


def follow_ups(config: Config, rehearsal: Rehearsal) -> Sequence[str]:
    """What the event is expected to be followed by, and what it was expected as, in words."""
    event, source = rehearsal.event, config.source(rehearsal.event.source)
    rules = source.follow_ups if source else ()
    done = followed(rules, event.type, rehearsal.facts)
    met, awaited = {name for name, _ in done.meets}, {each.name for each in done.awaits}
    return [
        *(f"is what was awaited after {' or '.join(rule.after)}" for rule in rules if rule.name in met),
        *(rule.words for rule in rules if rule.name in awaited),
    ]


def invalid(event: Event) -> Mapping[str, Any]:
    """``{"invalid": {"path", "reason"}}`` of an event that does not fit the schema of its source; empty for any other."""
    misfit = event.invalid
    return {"invalid": {"path": misfit.path, "reason": misfit.reason}} if misfit is not None else {}


# --- stored events ---


def explained_history(
    config: Config, history: EventHistory, console: str = "", known: Known | None = None
) -> Mapping[str, Any]:
    """What the current file makes of a stored event: ``{"config", "why_not_explained", "entries", "requests", "test"}``.

    ``config`` is the file's revision; ``why_not_explained`` says why entries and requests are empty, if they are. Each
    delivery has a request, by ``delivery_id``, as an attempt would make it now, or ``not_shown`` with why it would
    reveal what is redacted; ``changed`` says whether its body differs from what the last attempt sent, null if nothing
    was sent. ``test`` is an item of ``tests:`` with the event, empty if it has none. ``console`` is the address the console listens at, ``known``
    what is remembered of what ``recalled_by`` names.
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
        "requests": list(_requests_now(config, history, rehearsal, console, known)),
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
    config: Config, history: EventHistory, rehearsal: Rehearsal, console: str, known: Known | None
) -> Iterator[Mapping[str, Any]]:
    show = Shown(config, rehearsal.event, rehearsal.facts["payload"])
    for each in history.deliveries:
        real = attempted(config, each, rehearsal.event, rehearsal.facts["payload"], console, known=known)
        if each.gathered > 1 or each.digest not in ("", each.id):
            real = replace(real, assumed="as if its digest had no other event")
        attempts = history.attempts.get(each.id, ())
        yield {
            "delivery_id": each.id,
            **document(show.delivery(real, each, console), config),
            # A digest has sent other events as well.
            "changed": None if each.digest else _is_changed(config, real, attempts[-1] if attempts else None),
        }


def recalled_by(config: Config, history: EventHistory) -> Collection[Subject]:
    """What the deliveries of a stored event recall."""
    if not any(config.recalls(each) for each in history.deliveries) or _deadly(history):
        return ()
    try:
        payload = payload_of(history.event)
        asked = [each for delivery in history.deliveries for each in config.asked(delivery, history.event, payload)]
    except (BuildError, Unparsable):
        return ()
    return {subject for _, subject in asked if subject is not None}


def _fired_before(each: HeldBack, key: str) -> str:
    return f"already fired for the key {key}: {each.event_id}, {iso_time(each.fired_at)}"


def _is_changed(config: Config, now: Rehearsed, last: Attempt | None) -> bool | None:
    """Whether an attempt would send a different body than the last one.

    None if that sent none, if each is different, or if nobody can know.
    """
    destination = config.destinations.get(now.destination)
    if last is None or not last.sent_sha256 or (destination is not None and destination.changes_body):
        return None
    if now.assumed or (now.lookups and now.not_shown):
        return None
    return now.request is None or hashlib.sha256(now.request.sent).digest() != last.sent_sha256


def record_of(config: Config, rehearsal: Rehearsal) -> Mapping[str, Any] | None:
    """What was known of an event's record and what it changed, as it may be shown: ``{"before", "changes", "record"}``.

    None: its source remembers none.
    """
    event, payload = rehearsal.event, rehearsal.facts["payload"]
    source, redaction = config.source(event.source), config.redaction(event)
    if source is None or source.naming.tracking is None:
        return None
    shown = source.naming.facts(redaction.masked_event(event, payload), redaction.masked(payload))
    return {root: config.masks.value(shown[root]) for root in (BEFORE, CHANGES, RECORD)}


# --- entries ---


class _Hiding(Struct, frozen=True):
    """Hides secrets and redacted values in entries."""

    #: In a text.
    text: Callable[[str], str]
    #: In a key of ``once``.
    key: Callable[[str], str]
    #: In the value that a condition saw at a path; or in the values of a record, given the path below its fields.
    seen: Callable[[Path, object, Path], object]


def entries(config: Config, rehearsal: Rehearsal) -> Sequence[Mapping[str, Any]]:
    """Every entry in order: whether it matches the event, and each of its clauses with the value it saw."""
    hiding = _hiding(config, rehearsal)
    return [_entry(each, rehearsal, hiding) for each in (*rehearsal.considered, *rehearsal.told)]


def _hiding(config: Config, rehearsal: Rehearsal) -> _Hiding:
    event, facts, masks = rehearsal.event, rehearsal.facts, config.masks
    redaction, source = config.redaction(event), config.source(event.source)
    hide = redaction.mask_of(event)
    if source is None or not redaction.paths:
        return _Hiding(masks.text, str, lambda _, value, _below: masks.value(value))
    headers = redaction.masked_headers(event.headers)
    query = redaction.masked_query(event.query)
    masked = {**facts, "payload": redaction.masked(facts["payload"]), "headers": headers, "query": query}
    masked |= record_of(config, rehearsal) or {}

    def shown(path: Path, value: object, below: Path) -> object:
        if below:
            return MASK if is_one_of(str(below[0]), redaction.tracked) else masks.value(value)
        return masks.value(seen(source.naming, path, value, facts, masked))

    return _Hiding(lambda text: masks.text(hide(text)), redaction.key_mask_of(event), shown)


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
        "shadow": entry.shadow,
        "once": hiding.text(once(each, rehearsal, hiding.key)),
        "hours": hours(each, rehearsal),
        "gathers": hiding.text(gathers(each, rehearsal, hiding.key)),
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
    if entry["shadow"]:
        return ", ".join(filter(None, (every, "shadow: nothing is sent")))
    ends = "stop: no later entry is checked" if entry["ends"] else ""
    return ", ".join(filter(None, (told or every, entry["hours"], entry["once"], entry["gathers"], ends)))


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
        is_unknown = bool(finding.below) and finding.seen is MISSING
        clause["field"] = as_written((BEFORE, *finding.below) if is_unknown else finding.path)
        clause["missing"] = finding.seen is MISSING
        if finding.seen is not MISSING:
            clause["seen"] = hiding.seen(finding.path, finding.seen, finding.below)
    if finding.error:
        clause["error"] = hiding.text(finding.error)
    if finding.inner:
        clause["inner"] = [_clause(each, hiding) for each in finding.inner]
    return clause
