"""What ``gateway doctor`` says of dead letters, and of destinations that get nothing or give up: each with its remedy."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any, Final

from gateway.cli.destinations import condition
from gateway.cli.place import Place
from gateway.config.compile import PAUSED_IN_FILE
from gateway.errors import ConfigError, GatewayError
from gateway.wording import count

#: What a finding is about, what is wrong, and the remedy.
Trouble = tuple[str, str, str]
#: By condition of a destination, what to do about it.
_REMEDIES: Final[Mapping[str, str]] = {
    "circuit open": (
        "check that its server runs and that its url is right; once it answers, deliveries continue by themselves, "
        "or at once with `gateway destinations resume {name}`"
    ),
    "probing": "nothing: if the probe succeeds, deliveries continue by themselves",
    "denied": (
        "fix what its answer objects to; once it accepts an event, deliveries continue by themselves, "
        "or at once with `gateway destinations resume {name}`"
    ),
    "giving up": "fix what the reason names, then `gateway replay --dead --destination {name}`",
    "not in routes.yaml": "put it back into routes.yaml, or `gateway discard --dead --destination {name}`",
}


def troubles(place: Place) -> Iterator[Trouble]:
    """Those of the running gateway, or of the store if none is running."""
    try:
        yield from dead_letters(place.ask(lambda asked: asked.dead()))
        # The file has a finding of its own.
        with suppress(ConfigError):
            yield from held(place.ask(lambda asked: asked.destinations()))
    except GatewayError as error:
        yield "destinations", f"unknown: {error}", "once that is fixed, `gateway destinations` shows each"


def dead_letters(groups: Iterable[Mapping[str, Any]]) -> Iterator[Trouble]:
    """How many there are, and of which destinations."""
    by_destination = Counter[str]()
    for each in groups:
        by_destination[each["destination"]] += each["count"]
    if by_destination:
        of = ", ".join(f"{name} {number:,}" for name, number in by_destination.most_common())
        remedy = "`gateway dead` shows the causes; once they are fixed, `gateway replay --dead` sends them again"
        yield (
            "dead letters",
            f"{count(by_destination.total(), 'delivery was', 'deliveries were')} given up: {of}",
            remedy,
        )


def held(destinations: Iterable[Mapping[str, Any]]) -> Iterator[Trouble]:
    """The destinations that get nothing, only a probe, or what they refuse."""
    for each in destinations:
        word = each["condition"]
        if word == "not in routes.yaml" and not (each["pending"] or each["dead"]):
            continue
        if word == "paused":
            in_file = each["held"].startswith(PAUSED_IN_FILE)
            remedy = "remove its paused: from routes.yaml" if in_file else "`gateway destinations resume {name}`"
        else:
            remedy = _REMEDIES.get(word, "")
        if remedy:
            yield each["name"], condition(each)[0], remedy.format(name=each["name"])
