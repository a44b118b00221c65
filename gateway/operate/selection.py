"""Which events and deliveries somebody means: from what people write to a query, or why it makes no sense.

Pure: ``now`` is the wall clock, seconds since the epoch.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import Struct

from gateway.errors import BadRequest, Unparsable
from gateway.event import tracks
from gateway.event.paths import MISSING, PathRefused, lookup, split_path
from gateway.event.payload import payload_of, query_fields
from gateway.model import DeliveryState, Event
from gateway.operate.search import Matches, Search
from gateway.store.queries import DeliveryQuery, EventQuery
from gateway.store.rules import words_in
from gateway.wording import is_duration, seconds

if TYPE_CHECKING:
    from gateway.routing import Config

#: Most rows of one page.
LARGEST_PAGE: Final = 1000
#: Most ids in one request.
MOST_IDS: Final = 1000
#: Most characters of a filter.
LONGEST_FILTER: Final = 500
#: Most words of a search that the index is asked for; payloads are compared with all of it anyway.
MOST_WORDS: Final = 16

_PATH: Final = re.compile(r"""((?:[\w.@$-]|\[(?:[0-9]{1,9}|"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')\])*)=(.*)""", re.DOTALL)
#: A number that the store's index may spell differently from JSON.
_ODD_NUMBER: Final = re.compile(r"-?[0-9]*(?:[0-9]{18}|[.eE])[0-9.eE+-]*")


class Filter(Struct, frozen=True, kw_only=True):
    """Filters on events or deliveries, as people write them; an empty one narrows nothing."""

    source: str = ""
    #: A glob: ``contact.*``.
    type: str = ""
    destination: str = ""
    state: str = ""
    route: str = ""
    #: The group of dead deliveries, ``answered 422``; None: any.
    cause: str | None = None
    #: ``2h``, or an ISO time.
    since: str = ""
    until: str = ""
    #: Free text, or ``path=value``.
    q: str = ""

    @property
    def is_empty(self) -> bool:
        return self == Filter()

    @property
    def is_about_deliveries(self) -> bool:
        """Whether it filters by something that only a delivery has."""
        return bool(self.destination or self.state or self.route or self.cause is not None)


def event_search(
    asked: Filter, config: "Config | None", now: float, *, limit: int = 50, before: str = "", after: str = ""
) -> Search:
    """The events that are meant; ``config`` is needed only for ``q``. Raises BadRequest."""
    if before and after:
        raise BadRequest("before and after together: a page is on one side of a row; leave one of them out")
    since_s, until_s = _span(asked, now)
    assert config is not None or not asked.q
    needed, matches = searched(asked.q, config) if config and asked.q else ((), None)
    query = EventQuery(
        source=_text("source", asked.source),
        type=_text("type", asked.type),
        destination=_text("destination", asked.destination),
        state=state(asked.state),
        since_s=since_s,
        until_s=until_s,
        words=needed,
        limit=page(limit),
        before=_text("before", before),
        after=_text("after", after),
    )
    return Search(query=query, matches=matches)


def delivery_query(
    asked: Filter, now: float, *, ids: Sequence[str] = (), limit: int = 50, before: str = ""
) -> DeliveryQuery:
    """The deliveries that are meant. Raises BadRequest."""
    since_s, until_s = _span(asked, now)
    in_state = state(asked.state)
    if asked.cause is not None and in_state not in (None, DeliveryState.DEAD):
        raise BadRequest(f"cause and state={in_state}: only dead deliveries have a cause; leave one of them out")
    return DeliveryQuery(
        state=in_state if asked.cause is None else DeliveryState.DEAD,
        destination=_text("destination", asked.destination),
        route=_text("route", asked.route),
        cause=None if asked.cause is None else _text("cause", asked.cause),
        source=_text("source", asked.source),
        type=_text("type", asked.type),
        since_s=since_s,
        until_s=until_s,
        ids=check_ids(ids),
        limit=page(limit),
        before=_text("before", before),
    )


def in_words(asked: Filter, ids: Sequence[str] = ()) -> str:
    """A selection for people: ``dead for crm, answered 422, since 2h``."""
    if ids:
        return ids[0] if len(ids) == 1 else f"{len(ids):,} ids, starting with {ids[0]}"
    said = [
        asked.state,
        f"for {asked.destination}" if asked.destination else "",
        f"of the route {asked.route}" if asked.route else "",
        f"from {asked.source}" if asked.source else "",
    ]
    more = [
        asked.cause,
        asked.type,
        f"since {asked.since}" if asked.since else "",
        f"until {asked.until}" if asked.until else "",
    ]
    return ", ".join(filter(None, [" ".join(filter(None, said)), *more])) or "all"


# --- parts ---


def page(limit: int) -> int:
    """The rows of a page. Raises BadRequest."""
    if not 1 <= limit <= LARGEST_PAGE:
        raise BadRequest(f"limit: {limit} is out of range: from 1 to {LARGEST_PAGE:,}; use next for the next page")
    return limit


def check_ids(ids: Sequence[str]) -> tuple[str, ...]:
    """Checked ids. Raises BadRequest."""
    if len(ids) > MOST_IDS:
        raise BadRequest(f"{len(ids):,} ids: at most {MOST_IDS:,} are allowed; narrow by destination, cause or time")
    return tuple(_text("id", each) for each in ids)


def state(text: str) -> DeliveryState | None:
    """A state by its name; None for the empty text. Raises BadRequest."""
    try:
        return DeliveryState(text) if text else None
    except ValueError:
        known = ", ".join(DeliveryState)
        raise BadRequest(f'state: "{_shown(text)}" is not known (known: {known})') from None


def interval_s(rate: str) -> float:
    """Seconds between two deliveries at ``5/s`` or ``60/min``; 0 for the empty text. Raises BadRequest."""
    if not rate:
        return 0.0
    from gateway.destinations import gates

    if gates.RATE.fullmatch(rate) is None:
        raise BadRequest(f'rate: "{_shown(rate)}" is not a valid rate: write 5/s, 60/min or 100/h')
    return gates.interval_s(rate)


def ago_s(name: str, text: str, now: float) -> float:
    """How long ago ``2h`` or an ISO time is, seconds (UTC unless it has an offset). Raises BadRequest."""
    if is_duration(text):
        return seconds(text)
    try:
        at = datetime.fromisoformat(text)
        return now - (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        raise BadRequest(
            f'{name}: "{_shown(text)}" is neither a duration nor a time: write 30m, 2h, 7d or 2026-04-16T12:00:00Z'
        ) from None


def _span(asked: Filter, now: float) -> tuple[float | None, float | None]:
    since_s = ago_s("since", asked.since, now) if asked.since else None
    until_s = ago_s("until", asked.until, now) if asked.until else None
    if since_s is not None and since_s < 0:
        raise BadRequest(f"since: {_shown(asked.since)} is in the future")
    if since_s is not None and until_s is not None and since_s <= until_s:
        raise BadRequest(f"since {_shown(asked.since)} is not before until {_shown(asked.until)}: swap them")
    # A span that ends in the future is still open.
    return since_s, until_s if until_s is None or until_s > 0 else None


def _text(name: str, text: str) -> str:
    if len(text) > LONGEST_FILTER or not text.isprintable():
        raise BadRequest(
            f'{name}: "{_shown(text)}" is not a valid {name}: at most {LONGEST_FILTER} printable characters'
        )
    return text


def _shown(text: str) -> str:
    return "".join(char if char.isprintable() else "?" for char in text[:100])


# --- searching payloads ---


def searched(q: str, config: "Config") -> tuple[tuple[str, ...], Matches]:
    """Words that an event's payload must have, and what decides whether it matches. Raises BadRequest.

    ``data.id=451``, ``payload.data.id=451``, ``attrs.id=451``, ``headers.x-y=z``, ``query.x=z``: the value there equals this text.
    Any other text, and one in double quotes: some value of the payload, or the sender's unsigned id, contains it,
    ignoring case, from the beginning of a word on; or what is shown of the event in a list does. Redacted values are not
    found.
    """
    path, text = _what(q, "q")
    if not path:
        wanted, is_in_body = text.lower(), _contains(text, lambda event: _masked(event, config))
        # One value has no part that another one begins with.
        is_in_list = " " in text.strip()

        def matches(event: Event) -> bool:
            from gateway.operate.summaries import summary

            if is_in_body(event) or wanted in config.redaction(event).masked_label(event).lower():
                return True
            return is_in_list and wanted in summary(config, event).lower()

        return _words_in_text(text), matches
    if path[0] == "headers":
        name = ".".join(path[1:]).lower()
        return (), lambda event: config.redaction(event).masked_headers(event.headers).get(name) == text
    if path[0] == "query":
        field = ".".join(path[1:])
        return (), lambda event: config.redaction(event).masked_query(event.query).get(field) == text
    return words(text), _has_value(path, text, config, lambda event: _masked(event, config))


def meant(q: str, config: "Config") -> tuple[str, str, Matches]:
    """Whom to forget: a description without the value, the value, and what decides whether an event is theirs.

    As in ``searched``, but redacted values count too, and so does a body that cannot be parsed and has the value
    anywhere. Raises BadRequest.
    """
    path, text = _what(q, "find")
    if not text.strip():
        raise BadRequest(f'find: "{_shown(q)}" has no value: write data.id=451')
    if path and path[0] == "headers":
        name = ".".join(path[1:]).lower()
        return f"events with {'.'.join(path)}=•••", text, lambda event: event.headers.get(name) == text
    if path and path[0] == "query":
        field = ".".join(path[1:])
        return f"events with {'.'.join(path)}=•••", text, lambda event: query_fields(event.query).get(field) == text
    is_in_body = _has_value(path, text, config, _raw) if path else _contains(text, _raw)
    needle = text.lower()

    def matches(event: Event) -> bool:
        if event.track and _remembers(event.track, path, text):
            return True
        if _raw(event) is MISSING:
            return needle in event.body.decode("utf-8", "replace").lower()
        if path or is_in_body(event):
            return is_in_body(event)
        return any(needle in text.lower() for text in (event.label, *query_fields(event.query).values()))

    return f"events with {'.'.join(path)}=•••" if path else "events with a text", text, matches


def _remembers(track: bytes, path: Sequence[str], text: str) -> bool:
    """Whether what was known of an event's record has a value, although the event itself may not."""
    values = tracks.values_of(track, "*")
    if not path:
        return any(text.lower() in leaf.lower() for value in values for leaf in _leaves(value))
    known = tracks.fields_of(track)
    ends = [path[at:] for at in range(len(path))]
    return any(as_text(lookup(fields, end)) == text for fields in known for end in ends)


def _what(q: str, key: str) -> tuple[Sequence[str], str]:
    """Path and value; no path for free text. Raises BadRequest, which names the ``key`` that this is the value of."""
    q = q.strip()
    if not q or len(q) > LONGEST_FILTER:
        raise BadRequest(f'{key}: "{_shown(q)}" cannot be searched for: write 1 to {LONGEST_FILTER} characters')
    if len(q) > 2 and q[0] == q[-1] == '"':
        return (), q[1:-1]
    found = _PATH.fullmatch(q)
    if found is None:
        return (), q
    try:
        path, value = split_path(found[1]), found[2]
    except PathRefused:
        path, value = (), found[2]
    if not path or not all(path):
        raise BadRequest(
            f'{key}: "{_shown(found[1])}" is not a path: write data.id={_shown(value)}, or "{_shown(q)}" in quotes'
        )
    return path, value


def words(value: str) -> tuple[str, ...]:
    """Words that the index has for a value; none where it may spell them differently."""
    if value == "null" or _ODD_NUMBER.fullmatch(value):
        return ()
    return tuple(dict.fromkeys(words_in(value)))[:MOST_WORDS]


def _words_in_text(text: str) -> tuple[str, ...]:
    """Words of free text: its last one may be a prefix, and the index ignores case for ASCII only."""
    found = [word for word in words_in(text) if word.isascii()]
    return (*found[:-1], f"{found[-1]}*") if found and text.endswith(found[-1]) else tuple(found)


def _contains(text: str, payload: Callable[[Event], object]) -> Matches:
    wanted = text.lower()
    return lambda event: any(wanted in leaf.lower() for leaf in _leaves(payload(event)))


def _has_value(path: Sequence[str], value: str, config: "Config", payload: Callable[[Event], object]) -> Matches:
    def matches(event: Event) -> bool:
        seen = payload(event)
        return seen is not MISSING and any(as_text(each) == value for each in found(event, seen))

    def found(event: Event, seen: object) -> Iterator[object]:
        yield lookup(seen, path)
        if path[0] == "payload":
            yield lookup(seen, path[1:])
        source = config.source(event.source)
        if source is not None and path[0] in source.naming.shortcut_names:
            yield lookup(source.naming.facts(event, seen), path)

    return matches


def _raw(event: Event) -> object:
    """The payload as it is stored; MISSING for a body that cannot be parsed."""
    try:
        return payload_of(event)
    except Unparsable:
        return MISSING


def _masked(event: Event, config: "Config") -> object:
    """The redacted payload, so that nobody finds a secret by guessing; MISSING for a body that cannot be parsed."""
    seen = _raw(event)
    return MISSING if seen is MISSING else config.redaction(event).masked(seen)


def as_text(value: object) -> str | None:
    """A value as it is compared; None for a missing one, a map and a list."""
    if isinstance(value, str):
        return value
    if value is MISSING or isinstance(value, dict | list):
        return None
    return msgspec.json.encode(value).decode()


def _leaves(payload: object) -> Iterator[str]:
    rest = [payload]
    while rest:
        value = rest.pop()
        if isinstance(value, dict):
            rest.extend(value.values())
        elif isinstance(value, list):
            rest.extend(value)
        elif (text := as_text(value)) is not None:
            yield text
