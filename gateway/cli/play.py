"""The event that ``explain`` and ``render`` are asked about, played through routes.yaml: nothing is sent."""

import hashlib
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

import msgspec

from gateway import presets
from gateway.cli import entries, terminal
from gateway.cli.given import EventRefused, changed, given, notes
from gateway.cli.place import Place
from gateway.cli.samples import fresh, sender_of, value_of
from gateway.event.payload import parse
from gateway.hiding.redaction import MASK
from gateway.model import Event
from gateway.rehearsal.explained import why_not
from gateway.rehearsal.rehearse import Rehearsal, rehearse, rehearse_event, sender_headers
from gateway.routing import Config, Source


class NotPlayable(EventRefused):
    """The stored event is no longer as the routes saw it."""

    exit_code = 1


def play(
    config: Config,
    place: Place,
    event: str,
    *,
    source: str,
    changes: Sequence[str],
    headers: Sequence[str],
    before: Sequence[str] = (),
) -> Rehearsal:
    """``event`` played: a sample, a JSON file, or the id of a stored event or delivery; "": the first sample.

    ``before``: ``--before``, what is known of its record beside what was known of a stored event's.
    """
    if event.startswith(("evt_", "dlv_")):
        stored = place.ask(lambda asked: asked.raw_event(event))
        return _play_stored(config, stored, source, changes, headers, before)
    is_own = source == presets.OWN or (not source and event in presets.load(presets.OWN).samples)
    sender, now = config.own if is_own else sender_of(config, source, event), time.time()
    asked = given(sender, event, changes, headers)
    for hint in notes(sender, asked):
        terminal.note(f"note: {hint}")
    body = _changed(asked.body, sender, asked.changes, now)
    sent = sender_headers(sender, body, headers=asked.headers, kept=asked.written)
    return rehearse(config, sender, body, sent, now, before=_known(sender, before))


def _play_stored(
    config: Config,
    history: Mapping[str, Any],
    name: str,
    changes: Sequence[str],
    headers: Sequence[str] = (),
    before: Sequence[str] = (),
) -> Rehearsal:
    if name not in ("", history["source"]):
        raise EventRefused(f"{history['id']} came from {history['source']}, not from {name}: leave --source out")
    body_is = history.get("body_is", "kept")
    if reason := why_not(config, history["id"], history["source"], intact=history["intact"], body_is=body_is):
        raise NotPlayable(reason)
    source, received_at = config.source(history["source"]), datetime.fromisoformat(history["received_at"]).timestamp()
    assert source is not None
    of_payload, written = changed(changes, headers)
    body = _changed(msgspec.json.encode(history["payload"]), source, of_payload, received_at)
    kept = {**history["headers"], **written}
    payload = parse(body)
    if source.redaction.paths and MASK.encode() in body:
        terminal.note(
            f"note: the routes see {MASK} here for what {source.name} redacts; the API and the console show what they saw"
        )
    query = urlencode(history.get("query", {}))
    event = Event(
        id=history["id"],
        source=source.name,
        type=source.naming.type_of(payload, kept, query) if changes or headers else history["type"],
        received_at=received_at,
        headers=kept,
        body=body,
        sha256=hashlib.sha256(body).digest(),
        query=query,
    )
    known = {**history.get("tracked", {}).get("before", {}), **_known(source, before)}
    if "tracked" in history or known:
        event = source.naming.after(event, payload, known)
    held_back = {each["route"]: entries.fired_before(each) for each in history["held_back"]}
    return rehearse_event(config, source, event, payload, held_back)


def _known(source: Source, before: Sequence[str]) -> Mapping[str, object]:
    """What ``--before`` says of a record. Raises EventRefused."""
    if before and source.naming.tracking is None:
        raise EventRefused(f"--before: {source.name} remembers nothing of its records: add track: 180d to it")
    known = dict[str, object]()
    for each in before:
        name, equals, text = each.partition("=")
        if not equals or not name:
            raise EventRefused(f"--before {each}: write NAME=VALUE, for example status_id=1")
        known[name] = value_of(text)
    return known


def _changed(body: bytes, source: Source, changes: Sequence[str], now: float) -> bytes:
    try:
        return fresh(body, source.naming, now, changes) if changes else body
    except ValueError as error:
        raise EventRefused(str(error)) from None
