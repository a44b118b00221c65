"""Several events, one after the other, as if nothing else came: what is sent of them. Nothing is stored or leaves the process."""

from collections.abc import Sequence

from msgspec.structs import replace

from gateway.errors import BuildError, RenderError
from gateway.rehearsal.rehearse import Rehearsal, Rehearsed, planned
from gateway.render import Namespace
from gateway.routing import Config
from gateway.routing.gathering import Debounce, Digest

#: Route, destination and key of what is sent together.
_Group = tuple[str, str, str]


def together(config: Config, rehearsals: Sequence[Rehearsal]) -> Rehearsal:
    """What becomes of the events of these rehearsals, which were received in this order.

    A digest is one delivery, of what is debounced only the last one is sent, and an entry fires once for each key.
    """
    fired: set[tuple[str, str]] = set()
    alone: list[Rehearsed] = []
    groups: dict[_Group, list[tuple[Rehearsal, Rehearsed]]] = {}
    for each in rehearsals:
        late = _held_back(each, fired)
        for delivery in each.deliveries:
            delivery = replace(delivery, event=each.event)  # noqa: PLW2901
            if delivery.route in late:
                continue
            key = _key(config, each, delivery)
            if key is None:
                alone.append(delivery)
            else:
                groups.setdefault((delivery.route, delivery.destination, key), []).append((each, delivery))
    gathered = [_sent(config, number, found) for number, found in enumerate(groups.values(), start=1)]
    first = rehearsals[0]
    considered = [one for each in rehearsals for one in each.considered]
    shadows = tuple(one for each in rehearsals for one in each.shadows)
    deliveries = (*alone, *(each for some in gathered for each in some))
    return replace(first, considered=considered, deliveries=deliveries, shadows=shadows)


def _held_back(rehearsal: Rehearsal, fired: set[tuple[str, str]]) -> set[str]:
    """Routes that have fired for the key of an event before it."""
    late: set[str] = set()
    now = rehearsal.event.received_at
    for entry in (each.entry for each in rehearsal.considered if each.taken):
        if entry.once is None or entry.is_skipped(now):
            continue
        try:
            firing = entry.once.firing(entry, Namespace(rehearsal.facts))
        except RenderError:
            continue
        if firing is not None:
            late |= firing.routes if (firing.name, firing.key) in fired else set()
            fired.add((firing.name, firing.key))
    return late


def _key(config: Config, rehearsal: Rehearsal, delivery: Rehearsed) -> str | None:
    """The key by which a delivery gathers; None: it is sent by itself."""
    match config.entries[delivery.route].gathers:
        case Digest() as digest:
            return digest.gather(rehearsal.facts).key
        case Debounce() as debounce:
            try:
                gather = debounce.gather(Namespace(rehearsal.facts))
            except RenderError:
                return None
            return None if gather is None else gather.key
    return None


def _sent(config: Config, number: int, found: Sequence[tuple[Rehearsal, Rehearsed]]) -> Sequence[Rehearsed]:
    """The deliveries of a group: the last one, or digests with as many events as each takes."""
    digest = config.entries[found[0][1].route].gathers
    if not isinstance(digest, Digest):
        return [found[-1][1]]
    parts = [found[at : at + digest.most] for at in range(0, len(found), digest.most)]
    return [_digest(config, number, part) for part in parts]


def _digest(config: Config, number: int, found: Sequence[tuple[Rehearsal, Rehearsed]]) -> Rehearsed:
    (first, delivery), *others = found
    more = [(each.event, each.facts["payload"]) for each, _ in others]
    head = planned(first.event, number, delivery.route, delivery.destination)
    try:
        request = config.built(head, first.event, first.facts["payload"], others=more).request
        request = config.destinations[delivery.destination].signed(request, head.id, first.event.received_at)
    except BuildError as error:
        return replace(delivery, request=None, error=str(error))
    return replace(delivery, request=request, error="")
