"""Names in filters: one that nobody knows is a mistake, and not an empty answer."""

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Final

from gateway.cli import complete, destinations, terminal
from gateway.cli.place import Place
from gateway.errors import GatewayError
from gateway.event.likeness import type_like
from gateway.operate.selection import Filter
from gateway.wording import suggest, suggest_or_list

if TYPE_CHECKING:
    from gateway.routing import Config


#: Most causes of dead letters that are named.
MOST_CAUSES: Final = 5


class UnknownName(GatewayError):
    """Neither routes.yaml nor the store knows a source, a route or a destination of that name."""

    exit_code = 2


def refuse_unknown(place: Place, which: Filter) -> None:
    """Raise UnknownName if a filter has one. What only older events have is known, too."""
    if which.destination:
        _refuse("destination", which.destination, destinations.names(place))
    if which.cause:
        _refuse_misspelt_cause(place, which.cause)
    if not (which.source or which.route):
        return
    from gateway.presets import OWN

    try:
        config = place.loaded()
    except (GatewayError, OSError):
        # Without a file nothing is known of the names in it.
        return
    if which.source not in ("", OWN, *config.sources) and not _has_events(place, Filter(source=which.source)):
        _refuse("source", which.source, config.sources)
    if which.route and which.route not in (known := routes_of(config)) and not _has_deliveries(place, which.route):
        _refuse("route", which.route, sorted(known))


def refuse_unknown_source(place: Place, name: str) -> None:
    """The same for a filter of refused requests, which can also be to no source at all."""
    try:
        config = place.loaded()
    except (GatewayError, OSError):
        return
    if not place.ask(lambda asked: asked.refused(source=name, client="", reason="", limit=1)):
        _refuse("source", name, (*config.sources, "unknown"))


def meant_type(place: Place, event_type: str) -> str:
    """``did you mean "push"?`` for a type like that of a sample; empty if there is none. Senders have types of which no
    sample is known, so that it is only a hint.
    """
    try:
        known = set(complete.types_of(place.loaded()))
    except (GatewayError, OSError):
        return ""
    meant = "" if event_type in known else type_like(event_type, sorted(known))
    return f'did you mean "{meant}"?' if meant else ""


def _refuse_misspelt_cause(place: Place, cause: str) -> None:
    """Refuse a cause that is nearly one of those that exist; for any other that no dead letter has, name those."""
    known = sorted({each["cause"] for each in place.ask(lambda asked: asked.dead())})
    if not known or cause in known:
        return
    if hint := suggest(cause, known, closeness=0.9):
        raise UnknownName(f'no dead letter has the cause "{cause}"  ({hint})')
    named = ", ".join(f'"{each}"' for each in known[:MOST_CAUSES])
    more = f", and {len(known) - MOST_CAUSES} more: `gateway dead` lists them" if len(known) > MOST_CAUSES else ""
    terminal.note(f"dead letters have other causes: {named}{more}")


def routes_of(config: "Config") -> Collection[str]:
    """The routes that deliveries can be of."""
    entries: Iterable[tuple[str, str]] = (pair for each in config.entries.values() for pair in each.deliveries)
    return {route for route, _ in entries}


def _has_events(place: Place, which: Filter) -> bool:
    return bool(place.ask(lambda asked: asked.events(which, limit=1)["events"]))


def _has_deliveries(place: Place, route: str) -> bool:
    return bool(place.ask(lambda asked: asked.deliveries(Filter(route=route), limit=1)["deliveries"]))


def _refuse(noun: str, name: str, known: Collection[str]) -> None:
    if name not in known:
        hint = suggest_or_list(name, known)
        raise UnknownName(f'no {noun} "{name}", neither in routes.yaml nor in the store  ({hint})')
