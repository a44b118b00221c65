"""Warnings: what is valid but probably a mistake, found by trying the file on the sample events of its sources."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Final

from msgspec.structs import replace

from gateway import presets
from gateway.config import slips
from gateway.config.entries import EntryCompiler
from gateway.config.failures import Failures
from gateway.config.headers import fields_read, half_opened, headers_read, silent_fields, texts
from gateway.config.lookups import certain
from gateway.config.meanings import Meanings
from gateway.config.mismatches import UNSAMPLED, Values, better, lacks, mismatched, nearest, typo, written_as_field
from gateway.config.reach import asks_existence, could_take, end_of_all, needs_value
from gateway.config.samples import Known, Sample
from gateway.config.schema.conditions import Field, Where
from gateway.config.schema.entries import EntryKeys
from gateway.config.schema.file import FileKeys
from gateway.config.schema.reading import Reading
from gateway.config.shortcuts import ATTRS, undeclared
from gateway.errors import NothingChosen, Place, Problem
from gateway.event.conditions import Clause, changes_in
from gateway.event.likeness import suggest_type
from gateway.event.match import Rule
from gateway.event.paths import EACH, MISSING, Facts, Path, elements, parse_path
from gateway.event.patterns import fits, resource_and_action, widened
from gateway.hiding import redaction
from gateway.render.silent import Silent, Use
from gateway.routing.destinations import Destination
from gateway.routing.entries import Entry, Message
from gateway.routing.gathering import Digest
from gateway.routing.replies import Reply
from gateway.wording import few

#: What other products call all events.
_EVERY_EVENT: Final = frozenset({"all", "always", "any", "true", "every", "everything", "all events", ".*"})
#: The fields of `delivery` for trying entries of `failed`.
_GIVEN_UP: Final[Facts] = {
    "id": "dlv_sample",
    "destination": "sample",
    "route": "sample",
    "attempts": 12,
    "reason": "HTTP 503 Service Unavailable",
    "status": 503,
    "count": 1,
    "link": "https://gateway.example.com/events/evt_sample",
}

_FACTS_OF_SECTION: Final[Mapping[str, Facts]] = {
    "failed": {"delivery": _GIVEN_UP},
    "invalid": {"invalid": {"path": "payload.id", "reason": "is not an integer"}},
}

#: What follows if a field is missing, by how it is used.
_SO: Final[Mapping[Use, str]] = {
    "loop": "so this loop never runs",
    "test": "so this is never true",
    "denial": "so this is always true",
}

Compiled = tuple[EntryKeys, Sequence[Entry]]


class Adviser:
    """Warns of entries that match no sample, fields that may be missing, templates that fail and unused names."""

    def __init__(
        self,
        reading: Reading,
        written: FileKeys,
        known: Known,
        destinations: Mapping[str, Destination],
        replies: Mapping[str, Reply],
        compiler: EntryCompiler,
        names: Mapping[tuple[str, str], Place],
    ) -> None:
        self._reading = reading
        self._written = written
        self._destinations = destinations
        self._replies = replies
        self._compiler = compiler
        self._names = names
        self._known = known
        sources = known.sources
        self._open = [name for name, source in sources.items() if source.verifier.is_open and name != presets.OWN]
        self._dropped = {
            name: {
                "headers": {each.decode("latin-1") for each in source.dropped_headers},
                "query": source.dropped_query,
            }
            for name, source in sources.items()
        }
        #: Fields that are not kept, by their place: a template can be the content of several entries.
        self._told: set[tuple[str, str, Place]] = set()
        #: Fields without which a template fails, by their file and line.
        self._lacking: set[tuple[str, int, str]] = set()

    def advise(self, entries: Sequence[Compiled]) -> None:
        """Add every warning about these entries, which are enabled and have no error."""
        self._unused_destinations()
        self._redacting_nothing()
        self._replied()
        for name, condition in self._written.conditions.items():
            self._constant(condition.where, condition.place, f'the condition "{name}"')
        self._unreachable([each for each in entries if each[0].section == "routes"])
        self._unordered(entries)
        slips.in_tests(self._reading, self._written, self._known)
        self.advise_entries(entries)

    def advise_entries(self, entries: Sequence[Compiled]) -> None:
        """Add the warnings about each of these entries alone."""
        for keys, compiled in entries:
            self._unsigned(keys)
            self._patterns(keys)
            if "where" in keys.written:
                self._constant(keys.where, keys.key_at("where"), f'"where" of "{keys.called}"')
            self._never_kept(keys)
            self._whole_types(keys)
            sources, rule = self._compiler.sources(keys), compiled[0].rule
            samples = self._fitting(keys, rule, self._known.samples(sources))
            tests = self._fitting(keys, rule, self._known.tests(sources))
            lacking = self._compiler.fields.without_attrs(sources)
            # An entry for every source may be meant for the others.
            if lacking and (keys.source is not None or len(lacking) == len(sources)):
                undeclared(self._reading, lacking, self._named(keys, samples), [each.facts for each in samples])
            if samples:
                if self._known.are_all_documented(sources):
                    self._fields(keys, samples, tests)
                read = keys, self._written.destinations, self._reading.disk.templates
                meanings = Meanings(partial(texts, *read))
                self._rendered(compiled, samples, Failures(samples, tests, meanings, told=[ATTRS] if lacking else ()))
                self._misread(keys, [*samples, *tests], meanings)
            elif (
                keys.match
                and not tests
                and not any(each.is_stand_in for each in keys.match)
                and self._known.are_all_documented(sources)
            ):
                self._fits_nothing(keys)

    # --- names ---

    def _unused_destinations(self) -> None:
        written = self._written
        entries = written.entries
        messages = [message for entry in entries for message in (entry, *(entry.send or ()))]
        used = {name.text for each in messages for name in each.to or ()}
        used |= {each.source.text for entry in entries for each in entry.fetch.values() if each.source is not None}
        for name in self._destinations:
            if name not in used:
                place = self._names["destinations", name]
                self._reading.warning(place, f'nothing is sent to "{name}"', 'add it to a route\'s "to", or remove it')

    def _unreachable(self, entries: Sequence[Compiled]) -> None:
        ends: list[tuple[EntryKeys, Rule]] = []
        for keys, compiled in entries:
            rule = compiled[0].rule
            end = end_of_all(rule, ends)
            if end is not None:
                message = f'"{keys.called}" is never reached: "{end.called}" in {_line(end.place, keys.place)} stops before it'
                self._reading.warning(keys.place, message, "move it up, or remove one of them")
            if rule.stops and not rule.where and rule.expression is None:
                ends.append((keys, rule))

    def _unsigned(self, keys: EntryKeys) -> None:
        """Archiving what anyone may post is fine; acting on it is not."""
        feeding = set(self._compiler.sources(keys)).intersection(self._open)
        if keys.section not in ("always", "failed"):
            for name in (each for each in self._open if each in feeding):
                message = f'"{keys.called}" acts on events of the source "{name}", which anyone can forge'
                hint = "give that source a secret, or use its events under always only (with source:)"
                self._reading.warning(keys.place, message, hint)

    def _unordered(self, entries: Sequence[Compiled]) -> None:
        """Warn of an ``order_by`` that no sample has."""
        for name, destination in self._destinations.items():
            written = self._written.destinations[name].order_by
            taking = [(keys, found[0]) for keys, found in entries if any(name in each.messages for each in found)]
            samples = [
                sample
                for keys, entry in taking
                for sample in self._fitting(keys, entry.rule, self._known.samples(self._compiler.sources(keys)))
            ]
            if written is None or not samples:
                continue
            if all(destination.lane(sample.facts) is None for sample in samples):
                message = f'no sample sent to "{name}" has {written.shown}, so nothing would be ordered'
                self._reading.warning(written.node, message, "name a field that exists")

    def _redacting_nothing(self) -> None:
        """Warn of a ``redact`` that no sample has: the field would be shown under its real name."""
        for name, keys in self._written.sources.items():
            for path in keys.redact.paths if keys.redact else ():
                samples = self._known.documented[name]
                if path.text.startswith("headers.") or not samples:
                    continue
                one = redaction.of(samples[0].source.naming, [path.text], is_stored=False)
                payloads = [sample.facts["payload"] for sample in (*samples, *self._known.tests([name]))]
                if all(one.masked(payload) == payload for payload in payloads):
                    message = f'no sample of "{name}" has {path.shown}, so nothing would be redacted'
                    self._reading.warning(path.node, message, "name a field that exists")

    # --- which events ---

    def _patterns(self, keys: EntryKeys) -> None:
        known = sorted(self._known.types(self._compiler.sources(keys)))
        for pattern in keys.match or ():
            if pattern.is_stand_in:
                continue
            wide = widened(pattern.text)
            more = [each for each in known if fits(wide, each) and not fits(pattern.text, each)]
            if more and wide != pattern.text:
                message = f'"{pattern.shown}" does not match {few(more)}: * is one segment of a type'
                self._reading.warning(pattern.node, message, f'write "{wide}" for any number of segments')

    def _fitting(self, keys: EntryKeys, rule: Rule, samples: Sequence[Sample]) -> Sequence[Sample]:
        """The samples that the source and the patterns of an entry match."""
        patterns = rule.patterns
        fitting = [each for each in samples if patterns is None or any(fits(one, each.event.type) for one in patterns)]
        if not (more := _FACTS_OF_SECTION.get(keys.section)):
            return fitting
        return [replace(each, facts={**each.facts, **more}) for each in fitting]

    def _fits_nothing(self, keys: EntryKeys) -> None:
        place = keys.at("match")
        if not self._reading.report.has_problem_on(place):
            message = f'"{keys.called}" matches no sample event of its sources'
            known = sorted(self._known.types(self._compiler.sources(keys)))
            meant = [suggest_type(each.text, known) for each in keys.match or ()]
            hint = min(filter(None, meant), key=lambda each: each.startswith("known"), default="there are none")
            if any(each.text.lower() in _EVERY_EVENT for each in keys.match or ()):
                self._reading.warning(place, message, 'write match: "**" for every event')
                return
            self._reading.warning(place, message, f"{hint}; an event of tests counts as a sample")

    def _constant(self, where: Where, place: Place, called: str) -> None:
        if not where:
            message = f"{called} is empty, so every event matches"
            self._reading.warning(place, message, "name a field: attrs.type: customer; or remove it")
        for at, text, always in self._compiler.conditions.constants(where):
            message = f'"{text}" is always true' if always else f'"{text}" is never true'
            self._reading.warning(at, message, "remove it, or write what a field must be")

    # --- fields ---

    def _never_kept(self, keys: EntryKeys) -> None:
        """A header or a field of the query that shows a secret is gone before any rule or template sees the event."""
        dropped = [self._dropped[source] for source in self._compiler.sources(keys) if source in self._dropped]
        asked = [(parse_path(field.path.text), field.path) for field in self._compiler.conditions.required(keys.where)]
        required = [(str(root), ".".join(map(str, below)).lower(), path.place) for (root, *below), path in asked]
        read = headers_read(keys, self._written.destinations, self._reading.disk.templates)
        for root, name, place in (*required, *(("headers", name, place) for name, place in read)):
            is_gone = dropped and all(name in each.get(root, ()) for each in dropped)
            if is_gone and (root, name, place) not in self._told:
                self._told.add((root, name, place))
                why = "it may show a secret" + (" or concerns one connection" if root == "headers" else "")
                self._reading.warning(place, f"no event keeps {root}.{name}, since {why}", "name another field")

    def _whole_types(self, keys: EntryKeys) -> None:
        """A resource that was a whole type before slashes and colons parted types."""
        known = {resource_and_action(each)[0] for each in self._known.types(self._compiler.sources(keys))}
        for field in self._compiler.conditions.required(keys.where):
            clauses = [each for each in field.conditions if isinstance(each, Clause)]
            for text in (value for clause in clauses for value in clause.values if isinstance(value, str)):
                resource, action = resource_and_action(text)
                if field.path.text == "event.resource" and {"/", ":"} & set(text) and text not in known:
                    message = f'event.resource of an event of the type {text} is "{resource}", its action "{action}"'
                    self._reading.warning(field.path, message, f"write match: {text}, or event.resource: {resource}")

    def _fields(self, keys: EntryKeys, samples: Sequence[Sample], tests: Sequence[Sample]) -> None:
        """Warn of conditions that no sample meets; what an event of a test meets is not worth a warning."""
        required = self._compiler.conditions.required(keys.where)
        sure = {field.path.text for field in required if any(map(asks_existence, field.conditions))}
        for field in required:
            path = parse_path(field.path.text)
            # Samples do not cover headers and queries, nor the ids and times of events.
            if path[0] in UNSAMPLED or path in (("event", "id"), ("event", "received_at")):
                continue
            values = [(each.event.type, value) for each in samples for value in _values(each, path)]
            shown = [(each.event.type, value) for each in tests for value in _values(each, path)]
            if field.path.text not in sure and not any(value is not MISSING for _, value in shown):
                self._absent(keys, field, values, samples)
            for condition in field.conditions:
                mismatch = mismatched(field.path.text, condition, [*values, *shown])
                if mismatch is not None:
                    self._reading.warning(field.value, *mismatch)

    def _named(self, keys: EntryKeys, samples: Sequence[Sample]) -> Iterator[tuple[str, Place]]:
        """The fields that templates read, and those of conditions if no sample says that they are absent."""
        yield from fields_read(keys, self._written.destinations, self._reading.disk.templates)
        if not samples:
            yield from ((each.path.text, each.path.place) for each in self._compiler.conditions.required(keys.where))

    def _absent(self, keys: EntryKeys, field: Field, values: Values, samples: Sequence[Sample]) -> None:
        path = parse_path(field.path.text)
        if not any(needs_value(condition) for condition in field.conditions):
            return
        lacking = list(dict.fromkeys(event_type for event_type, value in values if value is MISSING))
        if all(value is MISSING for _, value in values):
            message = f"no sample of {few(lacking)} has {field.path.text}, so the route never matches"
            self._reading.warning(field.path, message, nearest(field.path.text, [each.facts for each in samples]))
        elif lacking and keys.match is not None and not any(changes_in(field.conditions)) and EACH not in path:
            are = "is" if len(lacking) == 1 else "are"
            message = (
                f"{few(lacking)} {are} partial: {field.path.text} may be missing, and then the route does not match"
            )
            self._reading.warning(
                field.path,
                message,
                f"narrow match, or add all: [{{{field.path.text}: {{exists: true}}}}] so that only events with it are matched",
            )

    def _misread(self, keys: EntryKeys, samples: Sequence[Sample], meanings: Meanings) -> None:
        """Warn of a tag that is not one, and of a misspelt field that a default or a condition keeps from failing."""
        read = keys, self._written.destinations, self._reading.disk.templates
        for written, place in half_opened(*read):
            inside = written.strip("{}[]<>#%$= ")
            message = f"{{ {inside} }}}} has one {{ too few" if written.endswith("}}") else f"{written} is plain text"
            self._reading.warning(place, message, f"write {{{{ {inside} }}}}")
        facts = [each.facts for each in samples]
        for path, place in fields_read(*read):
            if (place.file, place.line, path) in self._lacking:
                continue
            if right := meanings.as_written(place, path, typo(written_as_field(meanings.path(place, path)), facts)):
                self._reading.warning(place, f"no sample has {path}", f'did you mean "{right}"?')
        if self._are_covered(keys, samples):
            for each in silent_fields(*read):
                self._silent(each, samples)

    def _are_covered(self, keys: EntryKeys, samples: Sequence[Sample]) -> bool:
        """Whether there are samples of all that an entry matches, so that what none of them has is worth a warning."""
        types = {each.event.type for each in samples}
        return self._known.are_all_documented(self._compiler.sources(keys)) and all(
            any(fits(pattern.text, each) for each in types) for pattern in keys.match or ()
        )

    def _silent(self, found: Silent, samples: Sequence[Sample]) -> None:
        """Warn of a field that no sample has, and that is false or repeats nothing where others would fail."""
        field, (root, *below) = written_as_field(found.path), found.path
        is_sampled = below and root not in (*UNSAMPLED, "event") and all(root in each.facts for each in samples)
        is_told = (found.place.file, found.place.line, field) in self._lacking
        facts = [each.facts for each in samples]
        if not is_sampled or is_told or typo(field, facts) or not all(lacks(each, found.path) for each in facts):
            return
        message = f"no sample has {field}, {_SO[found.use]}"
        hint = better(field, facts) or "name a field that exists; events of tests count as samples"
        self._reading.report.add(Problem(found.place, message, hint, "warning", near=found.written))

    # --- what is sent ---

    def _rendered(self, entries: Sequence[Entry], samples: Sequence[Sample], failures: Failures) -> None:
        taken = [sample for sample in samples if could_take(entries[0].rule, sample.facts)]
        for entry in entries:
            for name, message in certain(entry):
                destination = self._destinations[name]
                for sample in taken:
                    failures.add(partial(_build, entry, destination, message, sample), sample, entry.place)
        self._report(failures)

    def _replied(self) -> None:
        for name, reply in self._replies.items():
            keys = self._written.sources[name].reply
            if keys is None:
                # The preset's own.
                continue
            samples = self._known.samples([name])
            failures = Failures(samples)
            for sample in samples:
                failures.add(reply.answer, sample, keys.place)
            self._report(failures)

    def _report(self, failures: Failures) -> None:
        failures.report(self._reading)
        self._lacking |= failures.lacking


def _build(entry: Entry, destination: Destination, message: Message, sample: Sample, facts: Facts) -> None:
    if entry.rule.expression is not None:
        entry.rule.expression.evaluate(facts)
    facts = entry.gathers.facts([facts]) if isinstance(entry.gathers, Digest) else facts
    if message.recalls:
        facts = {**facts, **{each.name: each.example for each in message.recalls}}
    try:
        message, _ = message.chosen(facts)
    except NothingChosen:
        return
    parts = message.render(facts, sample.event, "dlv_sample", sample.source.forwarded_headers(sample.event))
    destination.kind.request(destination.target, parts)


def _values(sample: Sample, path: Path) -> Sequence[object]:
    """What a sample has at a path: one value, or that of each element of a list; MISSING if there is none."""
    return elements(sample.facts, path) or [MISSING]


def _line(place: Place, seen_from: Place) -> str:
    return f"line {place.line}" if place.file == seen_from.file else f"{place.file}:{place.line}"
