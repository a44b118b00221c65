"""Compiles ``fetch``: what an entry looks up, and which destinations that joins to one another."""

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Final

from msgspec.structs import replace

from gateway.config import checks
from gateway.config.headers import in_braces, paths_in
from gateway.config.messages import MessageCompiler
from gateway.config.schema.entries import EntryKeys, FetchKeys
from gateway.config.schema.reading import Reading
from gateway.errors import Place
from gateway.render import FUNCTIONS, Templates
from gateway.render.reads import names_in
from gateway.routing.destinations import Destination
from gateway.routing.entries import Entry, Fetch, Message
from gateway.routing.lookups import PATIENCE_S

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
#: Names that mean something else in a template.
_RESERVED: Final = frozenset({
    "and", "block", "call", "caller", "context", "delivery", "do", "elif", "else", "extends", "false", "filter",
    "for", "from", "if", "import", "in", "include", "is", "kwargs", "loop", "macro", "none", "not", "omit", "or",
    "recursive", "self", "set", "super", "true", "varargs", "with", "without",
})  # fmt: skip

Compiled = tuple[EntryKeys, Sequence[Entry]]


def names(keys: EntryKeys) -> frozenset[str]:
    """What the templates of an entry call what it looks up."""
    return frozenset(name for name in keys.fetch if _NAME.fullmatch(name))


class FetchCompiler:
    """Compiles the look-ups of entries, checked against the destinations that they name."""

    def __init__(
        self,
        reading: Reading,
        messages: MessageCompiler,
        destinations: Mapping[str, Destination],
        disabled: Collection[str],
    ) -> None:
        self._reading = reading
        self._messages = messages
        self._destinations = destinations
        self._disabled = disabled

    def fetches(
        self, keys: EntryKeys, roots: frozenset[str], templates_for: Callable[[frozenset[str]], Templates]
    ) -> tuple[Fetch, ...]:
        """The look-ups of an entry; each may use what the ones before it have found."""
        self._refuse_places(keys)
        for place, said, hint in _around_answers(keys):
            self._reading.warning(place, said, hint)
        found: list[Fetch] = []
        known = roots
        for name, fetch in keys.fetch.items():
            place = keys.name_at("fetch", name)
            if self._is_name(name, known, place):
                destination = self._destination(fetch, name)
                if destination is not None:
                    message = self._messages.lookup(fetch, name, destination, templates_for(known))
                    found.append(
                        Fetch(name=name, destination=destination.name, message=message, cache_s=fetch.cache or 0.0)
                    )
                known |= {name}
        return tuple(found)

    def _refuse_places(self, keys: EntryKeys) -> None:
        if not keys.fetch:
            return
        if keys.section == "failed":
            hint = "remove it: the report of a failure must not wait for another system"
            self._reading.error(keys.key_at("fetch"), f'"fetch" cannot be used in failed: "{keys.called}"', hint)
        checks.sent_nowhere(self._reading, keys, "fetch")

    def _is_name(self, name: str, known: frozenset[str], place: Place) -> bool:
        if not _NAME.fullmatch(name):
            hint = f"write it with letters, digits and _: {re.sub(r'[^A-Za-z0-9_]', '_', name).lower()}"
            self._reading.error(place, f'fetch: templates cannot use the name "{name}"', hint)
            return False
        if name in known or name in FUNCTIONS or name.lower() in _RESERVED:
            hint = "give the look-up another name: found"
            self._reading.error(place, f'fetch: "{name}" means something else in templates already', hint)
            return False
        return True

    def _destination(self, keys: FetchKeys, name: str) -> Destination | None:
        asked = keys.source
        if asked is None or asked.is_stand_in:
            return None
        destination = self._messages.known(asked)
        if destination is None:
            return None
        if destination.name in self._disabled:
            hint = "enable it; to hold deliveries and look-ups instead, write paused: true"
            self._reading.error(asked.node, f'fetch "{name}" looks in "{asked.shown}", which is disabled', hint)
            return None
        if not destination.kind.shapes_request:
            message = f'fetch "{name}" looks in "{asked.shown}", which is of type {destination.kind.name}'
            self._reading.error(asked.node, message, "name a destination of type http")
            return None
        return destination


def certain(entry: Entry) -> Iterator[tuple[str, Message]]:
    """What can be built without an answer to a look-up: the first one, or else what is sent, each with its destination."""
    if entry.fetches:
        yield entry.fetches[0].destination, entry.fetches[0].message
    else:
        yield from entry.messages.items()


#: What other products have an answer's JSON under.
_AROUND: Final = frozenset({"body", "json"})


def _around_answers(keys: EntryKeys) -> Iterator[tuple[Place, str, str]]:
    """``known.body.id``, as if what is looked up were the whole answer: place, message and remedy."""
    known = names(keys)
    for path, place in paths_in(keys):
        name, _, below = path.partition(".")
        around, dot, field = below.partition(".")
        if name in known and around in _AROUND and dot:
            message = f"{name} is the JSON of the answer itself, and {path} is in it only if it has a field {around}"
            yield place, message, f'write {name}.{field}; for a field of that name, {name}["{around}"].{field}'


# --- names that are known only at the attempt ---


def named_early(keys: EntryKeys) -> Iterator[tuple[Place, str, str]]:
    """Where an entry uses what it looks up before that is known: place, key and name."""
    known = names(keys)
    if not known:
        return
    texts = [("if", in_braces(keys.condition))] if keys.condition is not None else []
    if keys.once is not None and keys.once.per is not None:
        texts.append(("once", keys.once.per))
    for key, text in texts:
        yield from ((text.place, key, name) for name in sorted(known & names_in(text.text)))


def refuse_early(reading: Reading, place: Place, key: str, name: str) -> None:
    """Report a name that is used before it is known."""
    message = f'"{key}" names {name}, which is looked up only when a delivery is sent'
    reading.error(place, message, f"{key} is decided when the event arrives: put the condition into choose")


# --- destinations that are joined ---


def joined(
    reading: Reading, entries: Iterable[Compiled], destinations: Mapping[str, Destination]
) -> dict[str, Destination]:
    """The destinations with what look-ups ask of them: time, and one replica for all that are joined."""
    looks_in: dict[str, set[str]] = {}
    longest: dict[str, float] = {}
    for keys, compiled in entries:
        for entry in compiled:
            for name in entry.messages if entry.fetches else ():
                others = [each.destination for each in entry.fetches if each.destination in destinations]
                looks_in.setdefault(name, set()).update(each for each in others if each != name)
                spent_s = sum(destinations[each].request_s for each in others) + PATIENCE_S
                longest[name] = max(longest.get(name, 0.0), spent_s)
                _refuse_cycle(reading, keys, name, looks_in)
    if not longest:
        return dict(destinations)
    groups = _groups(looks_in)
    return {
        name: replace(each, lookups_s=longest.get(name, 0.0), group=groups.get(name, ""))
        for name, each in destinations.items()
    }


def _refuse_cycle(reading: Reading, keys: EntryKeys, name: str, looks_in: dict[str, set[str]]) -> None:
    """Two destinations that look in each other would wait for each other's slots."""
    cycle = _way(name, name, looks_in, ())
    if cycle:
        shown = " > ".join((name, *cycle))
        looks_in[name] -= {cycle[0]}
        hint = "they would wait for each other: look up in a second destination with the same url"
        reading.error(keys.key_at("fetch"), f'"{keys.called}" closes a cycle of look-ups: {shown}', hint)


def _way(start: str, end: str, looks_in: Mapping[str, Collection[str]], around: tuple[str, ...]) -> tuple[str, ...]:
    for each in sorted(looks_in.get(start, ())):
        if each == end:
            return (*around, each)
        if each not in around and (found := _way(each, end, looks_in, (*around, each))):
            return found
    return ()


def _groups(looks_in: Mapping[str, Collection[str]]) -> Mapping[str, str]:
    """By destination, the first name among all those that it is joined to, directly or over others."""
    groups: dict[str, str] = {}
    edges = [(name, other) for name, others in looks_in.items() for other in others]
    for name, other in edges:
        mine, theirs = groups.get(name, name), groups.get(other, other)
        first = min(mine, theirs)
        groups |= {each: first for each, group in groups.items() if group in (mine, theirs)}
        groups |= {name: first, other: first}
    return groups
