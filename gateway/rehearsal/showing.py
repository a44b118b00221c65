"""The requests of deliveries as they may be shown: without secrets of the file, and without redacted values."""

import base64
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec.structs import replace

from gateway.destinations.retry import schedule
from gateway.hiding.masks import Masks
from gateway.model import Delivery, Event, FileAppend, HttpRequest, Mail, OutboundRequest
from gateway.rehearsal import curl
from gateway.rehearsal.rehearse import (
    Asking,
    Rehearsal,
    Rehearsed,
    attempted,
    planned,
)
from gateway.routing import Config, Destination, Source
from gateway.routing.memory import NOTHING, Recollection


def requests(config: Config, rehearsal: Rehearsal) -> tuple[Rehearsed, ...]:
    """The deliveries with their requests, as they may be shown."""
    return _shown(config, rehearsal, rehearsal.deliveries, 1)


def shadow_requests(config: Config, rehearsal: Rehearsal) -> tuple[Rehearsed, ...]:
    """What entries with ``shadow: true`` would send, as it may be shown."""
    if config.shadow is None or not rehearsal.shadows:
        return ()
    return _shown(config.shadow, rehearsal, rehearsal.shadows, len(rehearsal.deliveries) + 1)


def _shown(config: Config, rehearsal: Rehearsal, deliveries: Sequence[Rehearsed], first: int) -> tuple[Rehearsed, ...]:
    show = Shown(config, rehearsal.event, rehearsal.facts["payload"])
    return tuple(
        show.delivery(each, planned(rehearsal.event, number, each.route, each.destination))
        for number, each in enumerate(deliveries, start=first)
    )


class Shown:
    """The deliveries of one event as they may be shown: built again from a file without secrets and an event without
    redacted values, so that no filter can disguise either.
    """

    def __init__(self, config: Config, event: Event, payload: object) -> None:
        redaction = config.redaction(event)
        self._config = config
        self._without_secrets = without_secrets(config)
        self._event = redaction.masked_event(event, payload)
        self._payload = redaction.masked(payload)
        self._hide = redaction.mask_of(event)

    def delivery(self, real: Rehearsed, delivery: Delivery, console: str = "") -> Rehearsed:
        """``real`` with a request, an error or ``not_shown`` that may be shown."""
        config = self._config
        real = replace(real, memory=tuple(config.masks.text(self._hide(line)) for line in real.memory))
        if real.request is None and not real.lookups:
            return replace(real, error=config.masks.text(self._hide(real.error)))
        recalled = self._hidden(real.recalled)
        # A request that computes with a secret cannot be built without it; there the secret is masked in the result.
        made = attempted(self._without_secrets, delivery, self._event, self._payload, console, recalled=recalled)
        real = replace(real, lookups=tuple(map(self._asking, made.lookups)))
        if real.request is None:
            return replace(real, error=config.masks.text(self._hide(real.error)))
        request = (
            made.request or attempted(config, delivery, self._event, self._payload, console, recalled=recalled).request
        )
        if request is None:
            return replace(real, request=None, not_shown="it depends on a value that the source redacts")
        masked = config.destinations[real.destination].masked(request)
        return replace(real, request=config.masks.request(masked))

    def _asking(self, each: Asking) -> Asking:
        if each.request is None:
            return replace(each, error=self._config.masks.text(self._hide(each.error)))
        masked = self._config.destinations[each.destination].masked(each.request)
        return replace(each, request=self._config.masks.request(masked))

    def _hidden(self, recalled: Recollection) -> Recollection:
        """What is recalled, without what the event's source redacts."""
        if not recalled:
            return recalled
        try:
            hidden = self._hide(msgspec.json.encode(recalled).decode())
            return msgspec.json.decode(hidden, type=dict[str, dict[str, object]])
        except (ValueError, RecursionError):
            return NOTHING


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


def document(each: Rehearsed, config: Config) -> Mapping[str, Any]:
    """A delivery that may be shown, as data."""
    destination = config.destinations.get(each.destination)
    return {
        "route": each.route,
        "destination": each.destination,
        "request": _request(each.request, destination, config.masks),
        "error": each.error,
        "retry": schedule(destination.retry) if destination else "",
        **({"memory": list(each.memory)} if each.memory else {}),
        **({"token": token_of(destination)} if destination and destination.oauth else {}),
        **({"not_shown": each.not_shown} if each.not_shown else {}),
        **({"discarded": each.discarded} if each.discarded else {}),
        **({"assumed": each.assumed} if each.assumed else {}),
        **({"lookups": [_lookup(one, config) for one in each.lookups]} if each.lookups else {}),
    }


def waits(each: Rehearsed, now: float) -> str:
    """``waits until Mon 09:00 (Europe/Berlin)``; empty: it is sent at once."""
    return each.waiting.words(now) if each.waiting else ""


def token_of(destination: Destination | None) -> str:
    """Where the access token of a request comes from, in words; empty: it has none."""
    if destination is None or destination.oauth is None:
        return ""
    # Without the file of a service account nobody knows where that is.
    host = destination.oauth.host or "its token endpoint"
    return f"from {host} at each attempt ({destination.oauth.grant})"


def _lookup(each: Asking, config: Config) -> Mapping[str, Any]:
    request = _request(each.request, config.destinations.get(each.destination), config.masks)
    return {"name": each.name, "destination": each.destination, "request": request, "error": each.error}


def _request(
    request: OutboundRequest | None, destination: Destination | None, masks: Masks
) -> Mapping[str, object] | None:
    if isinstance(request, Mail):
        request = request.shown
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
