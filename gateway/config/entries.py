"""One entry of always, routes, unmatched, invalid or failed: which events it matches, with the messages that it sends."""

import re
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Final

from msgspec.structs import replace

from gateway import presets
from gateway.config import checks, lookups, memory, mismatches, patterns
from gateway.config.conditions import ConditionCompiler
from gateway.config.fields import Fields
from gateway.config.gathering import GatheringCompiler
from gateway.config.headers import in_braces
from gateway.config.lookups import FetchCompiler
from gateway.config.messages import MessageCompiler, compiled
from gateway.config.prefixes import without_sources
from gateway.config.samples import Known
from gateway.config.schema.conditions import Field
from gateway.config.schema.destinations import DestinationKeys
from gateway.config.schema.entries import BESIDE_CHOOSE, BESIDE_SEND, ChoiceKeys, EntryKeys, MessageKeys
from gateway.config.schema.file import FileKeys
from gateway.config.schema.hours import hours
from gateway.config.schema.reading import Reading, Words
from gateway.config.text.disk import TEMPLATES
from gateway.destinations.escapes import no_escape
from gateway.errors import RenderError
from gateway.event.match import Expression, Rule
from gateway.event.naming import INVALID
from gateway.event.paths import as_written
from gateway.render import Renderer, Templates
from gateway.render.reads import names_in
from gateway.routing.destinations import Destination
from gateway.routing.entries import Entry, Message, Once
from gateway.routing.gathering import DIGEST_ROOTS
from gateway.routing.hours import Hours
from gateway.routing.timing import Timing, overlap

#: Deliveries of one event: a route and a destination each. The stores have room for some more, which are made later.
MOST_DELIVERIES: Final = 4_000

#: The roots that only entries of one section have.
ROOTS_OF_SECTION: Final[Mapping[str, frozenset[str]]] = {
    "failed": frozenset({"delivery"}),
    "invalid": frozenset({INVALID}),
}


class EntryCompiler:
    """Compiles entries, checked against the sources, destinations and templates that they name."""

    def __init__(
        self,
        reading: Reading,
        written: FileKeys,
        destinations: Mapping[str, Destination],
        disabled: Collection[str],
        hide: Callable[[str], str],
        known: Known,
    ) -> None:
        self._reading = reading
        self.fields = Fields(reading, written)
        self._where_named = {name: named.where for name, named in written.conditions.items()}
        self.conditions = ConditionCompiler(reading, self._where_named)
        self._messages = MessageCompiler(reading, written.destinations, destinations, disabled)
        self._memory = memory.MemoryCompiler(reading, written, destinations)
        self._fetches = FetchCompiler(reading, self._messages, destinations, disabled)
        self._hide = hide
        self._destinations = destinations
        self._known = known
        self._gathering = GatheringCompiler(reading, self.fields)
        self._templates: dict[frozenset[str], Templates] = {}

    def entry(self, keys: EntryKeys, fallback: str | None = None) -> Sequence[Entry]:
        """An entry, followed by one for each element of its ``send``; ``fallback`` is the text for people if it has none."""
        sources = self.sources(keys)
        self._reading.samples = [each.facts for each in self._known.samples(sources)]
        self._settle_guesses(keys, sources)
        roots = self.fields.roots(sources) | ROOTS_OF_SECTION.get(keys.section, frozenset())
        templates = self._templates_for(roots)
        rule = self._rule(keys, sources, roots, templates)
        self._refuse_beside_send(keys)
        self._refuse_empty(keys)
        self._refuse_in_failed(keys)
        timing = self._timing(keys)
        gathers = self._gathering.gathers(keys, tuple(sources), templates)
        if keys.digest is not None:
            fallback = None
        self._refuse_choose(keys)
        fetches = self._fetches.fetches(keys, roots, self._templates_for)
        self._refuse_beside_digest(keys)
        # What is looked up has a name in what is sent, and nowhere else.
        parts = (keys, *(keys.send or ()))
        known = (DIGEST_ROOTS if keys.digest is not None else roots) | lookups.names(keys)
        messages = [self._sent(each, known, fallback, keys.choose if each is keys else None) for each in parts]
        if timing is not None and timing.hours is not None and not timing.skips:
            self._refuse_never_open(keys, timing.hours, {name for found in messages for name in found})
        deliveries = [tuple((each.called, name) for name in found) for each, found in zip(parts, messages, strict=True)]
        # The entry itself sends what its parts send, too.
        deliveries[0] = tuple(delivery for each in deliveries for delivery in each)
        return [
            Entry(
                name=each.called,
                section=keys.section,
                place=each.place,
                rule=rule,
                messages=MappingProxyType(messages[at]),
                deliveries=deliveries[at],
                once=self._once(keys, templates) if at == 0 else None,
                timing=timing,
                gathers=gathers,
                shadow=keys.shadow,
                fetches=fetches,
            )
            for at, each in enumerate(parts)
        ]

    def _settle_guesses(self, keys: EntryKeys, sources: Sequence[str]) -> None:
        """Say where the fields are that a hint about a key of this entry names."""
        if not self._reading.guesses:
            return
        usual = self.fields.usual_root(sources)

        def home(name: str) -> str:
            path = mismatches.home(name, self._reading.samples) or (usual, name)
            written = as_written(path)
            return f'"{written}"' if "[" in written else written

        for pair in keys.written.values():
            for place in (pair.key.place, pair.value.place):
                self._reading.settle(place, home)

    def _sent(
        self, keys: MessageKeys, roots: frozenset[str], fallback: str | None, choose: Sequence[ChoiceKeys] | None
    ) -> dict[str, Message]:
        """What is sent to each destination; only there is what the message recalls known."""
        templates = self._templates_for(roots)
        if not keys.recall and keys.remember is None:
            return self._messages.messages(keys, templates, fallback, choose)
        recalls, remember = self._memory.recalls(keys, roots, templates), self._memory.remember(keys, templates)
        found = self._messages.messages(keys, self._templates_for(roots | frozenset(keys.recall)), fallback, choose)
        return {name: replace(each, recalls=recalls, remember=remember) for name, each in found.items()}

    def _rule(self, keys: EntryKeys, sources: Sequence[str], roots: frozenset[str], templates: Templates) -> Rule:
        return Rule(
            sources=None if keys.source is None else frozenset(sources),
            patterns=self._patterns(keys, sources),
            where=self.conditions.compile(
                keys.where,
                lambda field: self._check_condition(keys, field, sources, roots),
                frozenset(self.fields.tracked(sources).values()),
            ),
            expression=self._expression(keys, templates),
            stops=keys.stop or keys.to == (),
        )

    def _check_condition(self, keys: EntryKeys, field: Field, sources: Sequence[str], roots: frozenset[str]) -> None:
        root = re.split(r"[.\[]", field.path.text, maxsplit=1)[0]
        name = memory.recalled(keys, (root,))
        if root in lookups.names(keys):
            lookups.refuse_early(self._reading, field.path.place, "where", root)
        elif name and name not in roots:
            memory.refuse_too_early(self._reading, field.path, f'"where" of "{keys.called}"', name)
        else:
            self.fields.check_condition(field, sources, roots)

    def _is_early(self, keys: EntryKeys, key: str) -> bool:
        """Whether a key uses what is looked up before that is known; reports it."""
        found = [each for each in lookups.named_early(keys) if each[1] == key]
        for place, _, name in found:
            lookups.refuse_early(self._reading, place, key, name)
        return bool(found)

    def _once(self, keys: EntryKeys, templates: Templates) -> Once | None:
        if keys.once is None or keys.once.per is None or self._is_early(keys, "once"):
            return None
        per = compiled(self._reading, templates.text, keys.once.per, no_escape)
        if "{{" not in keys.once.per.text:
            message = f'"once" of "{keys.called}" has the same key for every event, so it would send only once'
            self._reading.error(keys.once.at("per"), message, 'name a field: per: "{{ attrs.id }}"')
        return None if per is None else Once(per=per, window_s=keys.once.for_s)

    def _timing(self, keys: EntryKeys) -> Timing | None:
        if keys.delay is None and keys.hours is None:
            return None
        skips = keys.hours is not None and keys.hours.otherwise == "skip"
        checks.sent_nowhere(self._reading, keys, "delay" if keys.delay else "hours")
        if skips and keys.section == "failed":
            message = f'hours of "{keys.called}" cannot skip what failed'
            hint = "write otherwise: wait; the messages are sent when they open"
            self._reading.error(keys.hours.at("otherwise") if keys.hours else keys.place, message, hint)
        return Timing(
            delay_s=keys.delay or 0.0, hours=hours(self._reading, keys.hours, f'"{keys.called}"'), skips=skips
        )

    def _refuse_never_open(self, keys: EntryKeys, own: Hours, names: Collection[str]) -> None:
        for name in sorted(names):
            theirs = self._destinations[name].hours
            if theirs is not None and not overlap(own, theirs):
                message = f'hours of "{keys.called}" and of its destination "{name}" are never open at the same time'
                self._reading.error(keys.key_at("hours"), message, "change one of them: nothing would be sent")

    def _refuse_beside_digest(self, keys: EntryKeys) -> None:
        if keys.digest is None:
            return
        for each in (keys, *(keys.send or ())):
            for key in ("fetch", "recall", "remember"):
                if key in each.written:
                    message = f'"{key}" of "{keys.called}" is about one event, and a digest is about many'
                    self._reading.error(each.key_at(key), message, f"remove {key}, or digest")

    def _refuse_in_failed(self, keys: EntryKeys) -> None:
        if keys.section != "failed":
            return
        if keys.shadow:
            hint = "remove it: `gateway explain` shows what would be sent about failed deliveries"
            self._reading.error(keys.key_at("shadow"), f'"shadow" has no effect in "{keys.called}"', hint)
        for key in ("once", "delay", "digest", "debounce"):
            if key in keys.written:
                hint = "remove it: failures within a minute are reported in one message"
                self._reading.error(keys.key_at(key), f'"{key}" has no effect in "{keys.called}"', hint)
        for name in keys.source or ():
            if name.text == presets.OWN:
                message = f'"{keys.called}": failed deliveries of the gateway\'s own events are never reported'
                self._reading.error(name.node, message, "leave source out, or name your own sources")

    def lane(self, name: str, keys: DestinationKeys) -> tuple[str, ...]:
        """The path of the field that orders deliveries to a destination; empty: none does."""
        if keys.order_by is None:
            return ()
        node = keys.order_by.node
        if "{" in keys.order_by.text:
            self._reading.error(node, f'order_by of "{name}" must be the path of a field', "write order_by: attrs.id")
            return ()
        return checks.path_to_one(self._reading, keys.order_by) if self.fields.check_anywhere(node) else ()

    def check_conditions(self) -> None:
        """Check all of ``conditions``, including those that no entry names."""
        for where in self._where_named.values():
            self.conditions.compile(where, self.fields.check_named)

    def _expression(self, keys: EntryKeys, templates: Templates) -> Expression | None:
        if keys.condition is None or self._is_early(keys, "if"):
            return None
        if name := memory.recalled(keys, names_in(in_braces(keys.condition).text)):
            memory.refuse_too_early(self._reading, keys.at("if"), f'"if" of "{keys.called}"', name)
            return None
        evaluate = compiled(self._reading, templates.truth, keys.condition)
        if evaluate is None:
            return None
        if templates.is_constant(keys.condition):
            self._warn_constant(keys, evaluate)
        return Expression(text=keys.condition.text, evaluate=evaluate)

    def _warn_constant(self, keys: EntryKeys, evaluate: Renderer[bool]) -> None:
        try:
            verdict = "always holds" if evaluate({}) else "never holds"
        except RenderError:
            verdict = "fails for every event"
        message = f'"if" of "{keys.called}" names no field: it {verdict}'
        self._reading.warning(keys.at("if"), message, 'name a field: attrs.type == "lead"; or remove it')

    def _refuse_empty(self, keys: EntryKeys) -> None:
        if keys.section == "always" and (keys.to == () or keys.stop):
            place = keys.at("stop") if keys.stop else keys.at("to")
            self._reading.error(place, f'"{keys.called}" would keep events from later entries of always', "remove it")
        for each in keys.send or ():
            if each.to == ():
                self._reading.error(
                    each.at("to"), f'"{each.called}" is sent nowhere', "remove it, or name a destination"
                )

    def _refuse_beside_send(self, keys: EntryKeys) -> None:
        if keys.send is None:
            return
        for text in BESIDE_SEND:
            if text in keys.written:
                message = f'route "{keys.called}" has both "{text}" and "send"'
                is_there = keys.send and all(each.has(text) for each in keys.send)
                hint = "remove it: each element of send has its own"
                self._reading.error(
                    keys.key_at(text), message, hint if is_there else "move it into the elements of send that need it"
                )

    def _refuse_choose(self, keys: EntryKeys) -> None:
        if keys.choose is None:
            return
        for text in (*BESIDE_CHOOSE, "send"):
            if text in keys.written:
                message = f'route "{keys.called}" has both "{text}" and "choose"'
                self._reading.error(keys.key_at(text), message, "move it into the elements of choose that need it")
        for each in keys.choose[:-1]:
            if not each.has("if"):
                message = (
                    f'an element of choose without "if" always holds: what follows it in "{keys.called}" is never sent'
                )
                self._reading.error(each.place, message, "give it an if, or put it last")
        checks.sent_nowhere(self._reading, keys, "choose")

    # --- which events ---

    def sources(self, keys: EntryKeys) -> Sequence[str]:
        """The sources whose events an entry can match."""
        known = self.fields.sources
        if keys.source == ():
            self._reading.error(
                keys.at("source"), f'"source" of "{keys.called}" is an empty list', "leave it out for every source"
            )
        if keys.source is None:
            return tuple(name for name in known if name != presets.OWN)
        for name in keys.source:
            if name.text not in known:
                self._reading.refuse_unknown("source", name.node, name.shown, known)
        return tuple(name.text for name in keys.source if name.text in known)

    def _patterns(self, keys: EntryKeys, sources: Sequence[str]) -> tuple[str, ...] | None:
        if keys.match is None:
            return None
        if not keys.match:
            self._reading.error(
                keys.at("match"),
                "match is an empty list, which no event can match",
                "leave match out to match every event",
            )
        rest = self._without_sources(keys, keys.match, sources)
        self.patterns(rest, sources, has_where="where" in keys.written)
        return tuple(pattern.text for pattern in keys.match)

    def _without_sources(self, keys: EntryKeys, written: Sequence[Words], sources: Sequence[str]) -> Sequence[Words]:
        kinds = {name: self.fields.sources[name].preset or "" for name in sources}
        times = Counter(kinds.values())
        called = {kind: name for name, kind in kinds.items() if kind and times[kind] == 1} | {
            name: name for name in kinds
        }
        is_chosen = keys.source is not None
        return without_sources(self._reading, written, called, self._known.types, is_chosen=is_chosen)

    def patterns(
        self, written: Sequence[Words], sources: Sequence[str], *, has_where: bool | None = None
    ) -> tuple[str, ...]:
        """Patterns of the types of some sources, checked; ``has_where``: as for ``patterns.check``."""
        named = {preset for source in sources if (preset := self.fields.sources[source].preset) is not None}
        patterns.check(self._reading, written, self._known.types(sources), named, has_where=has_where)
        return tuple(pattern.text for pattern in written)

    # --- templates ---

    def templates_of(self, sources: Sequence[str]) -> Templates:
        """Templates that may use what the events of all these sources have."""
        return self._templates_for(self.fields.roots(sources))

    def _templates_for(self, roots: frozenset[str]) -> Templates:
        if roots not in self._templates:
            disk = self._reading.disk
            folder = disk.folder / TEMPLATES
            self._templates[roots] = Templates(folder, roots=roots, hide=self._hide, texts=disk.templates)
        return self._templates[roots]


def refuse_names_twice(reading: Reading, entries: Sequence[tuple[EntryKeys, Sequence[Entry]]]) -> None:
    """Report each entry whose name another one has."""
    first: dict[str, Entry] = {}
    complete = ((keys, found) for keys, found in entries if keys.to is not None or keys.send is not None)
    for keys, entry in ((keys, entry) for keys, found in complete for entry in found):
        known = first.setdefault(entry.name, entry)
        if known is not entry:
            where = f"line {known.place.line}" + (
                f" of {known.place.file}" if known.place.file != entry.place.file else ""
            )
            message = f'two entries are named "{entry.name}": this one and the one in {where}'
            reading.error(keys.at("name"), message, "give each its own name")


def refuse_too_many(reading: Reading, entries: Sequence[tuple[EntryKeys, Sequence[Entry]]]) -> None:
    """Report entries that would make more deliveries of one event than there may be, should all of them match it."""
    count = 0
    for keys, found in entries:
        before, count = count, count + (len(found[0].deliveries) if keys.enabled else 0)
        if before <= MOST_DELIVERIES < count:
            what = f"up to here one event may have {count} deliveries, and {MOST_DELIVERIES} are the most"
            reading.error(found[0].place, what, "send to one destination that passes it on, or run a second gateway")
