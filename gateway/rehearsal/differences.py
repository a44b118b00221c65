"""What two configurations make of one event: the requests that only one of them makes, and those that differ.

Nothing is sent, stored or looked up: both are rehearsed as if no ``once`` had fired before. Differences contain no
secret of either file and no value that the source of the event redacts.
"""

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, Literal

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from gateway.errors import Unparsable
from gateway.event.payload import payload_of
from gateway.model import Event
from gateway.rehearsal.rehearse import Rehearsed, attempted, planned
from gateway.rehearsal.showing import Shown, document
from gateway.routing import Config
from gateway.wording import count, iso_time, printable

Kind = Literal["added", "removed", "changed"]

#: Lines of a request that are compared; comparing takes up to the square of their number.
MOST_LINES: Final = 2000
#: A place in a file as errors name it: ``routes.yaml:12:7``.
_PLACE: Final = re.compile(r"[^\s():]+(?::[0-9]+){1,2}(?![^):])")
#: Lines around a change.
AROUND: Final = 2


class Difference(Struct, frozen=True, kw_only=True):
    """One delivery that is not the same in both configurations."""

    kind: Kind
    route: str
    destination: str
    #: As ``showing.document`` shows them; None: there is no such delivery.
    before: Mapping[str, Any] | None
    after: Mapping[str, Any] | None
    #: Both as text: what is removed after ``-``, what is added after ``+``. Printable.
    lines: tuple[str, ...]


class Comparison(Struct, frozen=True, kw_only=True):
    """What two configurations make of one event."""

    event_id: str
    source: str
    #: As the second configuration names it.
    type: str
    received_at: float
    differences: tuple[Difference, ...] = ()
    #: Number of deliveries that are the same in both.
    same: int = 0
    #: Why they were not compared, in words; empty: they were.
    why_not: str = ""

    def document(self, most_lines: int | None = None) -> Mapping[str, Any]:
        """As data, with at most ``most_lines`` lines of each difference and then without its whole requests."""
        return {
            "event_id": self.event_id,
            "source": self.source,
            "type": self.type,
            "received_at": iso_time(self.received_at),
            "same": self.same,
            "differences": [_document(each, most_lines) for each in self.differences],
            "why_not": self.why_not,
        }


def _document(each: Difference, most_lines: int | None) -> Mapping[str, Any]:
    named = {"kind": each.kind, "route": each.route, "destination": each.destination}
    if most_lines is None:
        return {**named, "before": each.before, "after": each.after, "lines": each.lines}
    return {**named, "lines": shortened(each.lines, most_lines)}


def shortened(lines: Sequence[str], most: int) -> Sequence[str]:
    """At most ``most`` lines of at most 300 characters, and how many more there are."""
    kept = [line if len(line) <= 300 else f"{line[:300]}…" for line in lines[:most]]
    return [*kept, f"… {count(len(lines) - most, 'more line')}"] if len(lines) > most else kept


def compare(old: Config, new: Config, event: Event) -> Comparison:
    """Compare what both files make of an event whose body is intact. Total."""
    source = new.source(event.source)
    known = Comparison(event_id=event.id, source=event.source, type=event.type, received_at=event.received_at)
    if old.source(event.source) is None and source is None:
        return replace(known, why_not=f"{event.source} is in neither file")
    try:
        payload = payload_of(event)
    except Unparsable as error:
        return replace(known, why_not=f"the stored body cannot be read: {error}")
    renamed = _renamed(old, new, event, payload)
    before, after = _Side(old, event, payload), _Side(new, renamed, payload)
    differences = tuple(_differences(before, after))
    return replace(
        known,
        type=renamed.type,
        differences=differences,
        same=len(before.deliveries) - sum(each.before is not None for each in differences),
    )


def _renamed(old: Config, new: Config, event: Event, payload: object) -> Event:
    """The event with the type that the new file gives it, if that names events in another way."""
    before, after = old.sources.get(event.source), new.sources.get(event.source)
    if after is None or (before is not None and before.naming.types == after.naming.types):
        return event
    return replace(event, type=after.naming.type_of(payload, event.headers, event.query))


class _Side:
    """The deliveries of one configuration. Each has the same id, so that requests differ only where the files do."""

    def __init__(self, config: Config, event: Event, payload: object) -> None:
        self.config, self._event, self._payload = config, event, payload
        self._show: Shown | None = None
        source = config.source(event.source)
        plan = () if source is None else config.plan(source, source.naming.facts(event, payload))
        self.deliveries = [attempted(config, planned(event, 1, *each), event, payload) for each in plan]

    def shown(self, each: Rehearsed) -> Mapping[str, Any]:
        # Made for what differs only: it takes as long as the rehearsal.
        self._show = self._show or Shown(self.config, self._event, self._payload)
        delivery = planned(self._event, 1, each.route, each.destination)
        return document(self._show.delivery(each, delivery), self.config)


def _differences(before: _Side, after: _Side) -> Iterator[Difference]:
    pairs = list(_paired(before.deliveries, after.deliveries))
    for old, new in pairs:
        if old is None or new is None or not _is_same(old, new):
            yield _difference(
                old, new, None if old is None else before.shown(old), None if new is None else after.shown(new)
            )


def _paired(
    before: Sequence[Rehearsed], after: Sequence[Rehearsed]
) -> Iterator[tuple[Rehearsed | None, Rehearsed | None]]:
    """Deliveries of one route to one destination; then those that only another route makes, if the request is the same."""
    left = list(before)
    unpaired = list[Rehearsed]()
    for new in after:
        old = next((each for each in left if (each.route, each.destination) == (new.route, new.destination)), None)
        if old is None:
            unpaired.append(new)
        else:
            left.remove(old)
            yield old, new
    for new in unpaired:
        old = next((each for each in left if each.destination == new.destination and _is_same(each, new)), None)
        if old is not None:
            left.remove(old)
        yield old, new
    yield from ((old, None) for old in left)


def _is_same(old: Rehearsed, new: Rehearsed) -> bool:
    return _made(old) == _made(new)


def _made(each: Rehearsed) -> object:
    """What is compared of a delivery: where an error is in either file is no difference."""
    asked = [replace(one, error=_placeless(one.error)) for one in each.lookups]
    return each.request, _placeless(each.error), _placeless(each.discarded), each.not_shown, asked


def _placeless(text: str) -> str:
    return _PLACE.sub("", text) if text else text


def _difference(
    old: Rehearsed | None, new: Rehearsed | None, before: Mapping[str, Any] | None, after: Mapping[str, Any] | None
) -> Difference:
    named = new or old
    assert named is not None
    kind: Kind = "added" if old is None else "removed" if new is None else "changed"
    texts = _text(before), _text(after)
    lines = tuple(_lines(*texts))
    if not lines:
        lines = (
            "  differs only in the spacing of its JSON, or in a value that is not shown: a secret, a redacted field",
        )
    return Difference(
        kind=kind, route=named.route, destination=named.destination, before=before, after=after, lines=lines
    )


def _lines(before: Sequence[str], after: Sequence[str]) -> Iterator[str]:
    if not before or not after:
        yield from (f"- {line}" for line in before)
        yield from (f"+ {line}" for line in after)
        return
    if max(len(before), len(after)) > MOST_LINES:
        if before != after:
            yield f"- {len(before):,} lines, too many to compare line by line"
            yield f"+ {len(after):,} lines"
        return
    for at, line in enumerate(difflib.unified_diff(before, after, n=AROUND, lineterm="")):
        if at >= 2:  # below the names of two files
            yield "…" if line.startswith("@@") else f"{line[0]} {line[1:]}"


def _text(delivery: Mapping[str, Any] | None) -> Sequence[str]:
    """A request as lines, the address first; why there is none, if there is none."""
    if delivery is None:
        return ()
    match delivery["request"]:
        case {"method": method, "url": url, "headers": headers, "body": body}:
            lines = [f"{method} {url}", *(f"{name}: {value}" for name, value in headers.items()), *_body(body)]
        case {"file": file, "line": line}:
            lines = [f"a line in {file}", *_body(line)]
        case _ if hidden := delivery.get("not_shown"):
            lines = [f"not shown: {hidden}"]
        case _ if reason := delivery.get("discarded"):
            lines = [f"discarded: {reason}"]
        case _:
            lines = [f"dead: {delivery['error']}"]
    asked = [f"fetch {each['name']}: {_asked(each)}" for each in delivery.get("lookups", ())]
    return [printable(line) for line in (*asked, *lines)]


def _asked(lookup: Mapping[str, Any]) -> str:
    request = lookup["request"]
    return f"{request['method']} {request['url']}" if request else str(lookup["error"])


def _body(body: object) -> Sequence[str]:
    if body == "":
        return ()
    if isinstance(body, str):
        return body.split("\n")
    return msgspec.json.format(msgspec.json.encode(body), indent=2).decode().split("\n")
