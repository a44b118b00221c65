"""Warnings: what is valid but probably a mistake, found by trying the file on the sample events of its sources."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from gateway import presets
from gateway.config.entries import EntryCompiler
from gateway.config.schema.conditions import Field, Where
from gateway.config.schema.entries import EntryKeys
from gateway.config.schema.file import FileKeys
from gateway.config.schema.reading import Reading
from gateway.errors import BuildError, Place, RenderError
from gateway.event.conditions import Check, Clause, Condition
from gateway.event.explain import explain
from gateway.event.match import Rule
from gateway.event.operators import OPERATORS
from gateway.event.paths import MISSING, Facts, lookup, split_path
from gateway.event.patterns import covers, fits
from gateway.hiding import redaction
from gateway.model import Event
from gateway.routing.destinations import Destination
from gateway.routing.entries import Entry, Message
from gateway.routing.sources import Source

#: Number of samples that a warning names; the rest are counted.
_NAMED: Final = 3
_KINDS: Final[Mapping[type, str]] = {
    str: "a text",
    int: "a number",
    float: "a number",
    bool: "a boolean",
    type(None): "null",
    list: "a list",
    dict: "an object",
}

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

#: The value of a field in each sample, with the sample's type.
_Values = Sequence[tuple[str, object]]

Compiled = tuple[EntryKeys, Sequence[Entry]]


class _Sample(Struct, frozen=True):
    """One documented event of a source, as rules and templates see it: whole, or with its promised fields only."""

    source: Source
    event: Event
    facts: Facts
    called: str


class Adviser:
    """Warns of entries that match no sample, fields that may be missing, templates that fail and unused names."""

    def __init__(
        self,
        reading: Reading,
        written: FileKeys,
        sources: Mapping[str, Source],
        destinations: Mapping[str, Destination],
        compiler: EntryCompiler,
        names: Mapping[tuple[str, str], Place],
    ) -> None:
        self._reading = reading
        self._written = written
        self._destinations = destinations
        self._compiler = compiler
        self._names = names
        self._open = [name for name, source in sources.items() if source.verifier.is_open and name != presets.OWN]
        self._dropped = {name: source.dropped_headers for name, source in sources.items()}
        self._samples = {name: _samples(source) for name, source in sources.items()}

    def advise(self, entries: Sequence[Compiled]) -> None:
        """Add every warning about these entries, which are enabled and have no error."""
        self._unused_destinations()
        self._redacting_nothing()
        self._replied()
        for name, condition in self._written.conditions.items():
            self._constant(condition.where, condition.place, f'the condition "{name}"')
        self._unreachable([each for each in entries if each[0].section == "routes"])
        self._unordered(entries)
        for keys, compiled in entries:
            self._unsigned(keys)
            self._patterns(keys)
            if "where" in keys.written:
                self._constant(keys.where, keys.key_at("where"), f'"where" of "{keys.called}"')
            self._never_kept(keys)
            samples = self._fitting(keys, compiled[0].rule)
            if samples:
                self._fields(keys, samples)
                self._rendered(compiled, samples)
            elif (
                keys.match
                and not any(each.is_stand_in for each in keys.match)
                and any(self._samples.get(source) for source in self._compiler.sources(keys))
            ):
                self._fits_nothing(keys)

    # --- names ---

    def _unused_destinations(self) -> None:
        written = self._written
        entries = (*written.always, *written.routes, *written.unmatched, *written.failed)
        messages = [message for entry in entries for message in (entry, *(entry.send or ()))]
        used = {name.text for each in messages for name in each.to or ()}
        for name in self._destinations:
            if name not in used:
                place = self._names["destinations", name]
                self._reading.warning(place, f'nothing is sent to "{name}"', 'add it to a route\'s "to", or remove it')

    def _unreachable(self, entries: Sequence[Compiled]) -> None:
        ends: list[tuple[EntryKeys, Rule]] = []
        for keys, compiled in entries:
            rule = compiled[0].rule
            end = _end_of_all(rule, ends)
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
            samples = [sample for keys, entry in taking for sample in self._fitting(keys, entry.rule)]
            if written is None or not samples:
                continue
            if all(destination.lane(sample.facts) is None for sample in samples):
                message = f'no sample sent to "{name}" has {written.shown}, so nothing would be ordered'
                self._reading.warning(written.node, message, "name a field that exists")

    def _redacting_nothing(self) -> None:
        """Warn of a ``redact`` that no sample has: the field would be shown under its real name."""
        for name, keys in self._written.sources.items():
            for path in keys.redact.paths if keys.redact else ():
                samples = self._samples[name]
                if path.text.startswith("headers.") or not samples:
                    continue
                one = redaction.of(samples[0].source.naming, [path.text], is_stored=False)
                payloads = [sample.facts["payload"] for sample in samples]
                if all(one.masked(payload) == payload for payload in payloads):
                    message = f'no sample of "{name}" has {path.shown}, so nothing would be redacted'
                    self._reading.warning(path.node, message, "name a field that exists")

    # --- which events ---

    def _known(self, keys: EntryKeys) -> Mapping[str, None]:
        """The types of the samples of the entry's sources."""
        samples = (sample for source in self._compiler.sources(keys) for sample in self._samples.get(source, ()))
        return dict.fromkeys(sample.event.type for sample in samples)

    def _patterns(self, keys: EntryKeys) -> None:
        known = self._known(keys)
        for pattern in keys.match or ():
            if pattern.is_stand_in:
                continue
            parts = pattern.text.split(".")
            wide = ".".join("**" if part == "*" else part for part in parts)
            more = [each for each in known if fits(wide, each) and not fits(pattern.text, each)]
            if more and wide != pattern.text:
                message = f'"{pattern.shown}" does not match {_listed(more)}: * is one segment of a type'
                self._reading.warning(pattern.node, message, f'write "{wide}" for any number of segments')

    def _fitting(self, keys: EntryKeys, rule: Rule) -> Sequence[_Sample]:
        samples = (sample for source in self._compiler.sources(keys) for sample in self._samples.get(source, ()))
        patterns = rule.patterns
        fitting = [each for each in samples if patterns is None or any(fits(one, each.event.type) for one in patterns)]
        if keys.section != "failed":
            return fitting
        return [replace(each, facts={**each.facts, "delivery": _GIVEN_UP}) for each in fitting]

    def _fits_nothing(self, keys: EntryKeys) -> None:
        place = keys.at("match")
        reported = ((problem.place.file, problem.place.line) for problem in self._reading.report.problems)
        if (place.file, place.line) not in reported:
            message = f'"{keys.called}" matches no sample event of its sources'
            self._reading.warning(place, message, f"known: {', '.join(self._known(keys))}")

    def _constant(self, where: Where, place: Place, called: str) -> None:
        if not where:
            message = f"{called} is empty, so every event matches"
            self._reading.warning(place, message, "name a field: attrs.type: customer; or remove it")
        for at, text, always in self._compiler.conditions.constants(where):
            message = f'"{text}" is always true' if always else f'"{text}" is never true'
            self._reading.warning(at, message, "remove it, or write what a field must be")

    # --- fields ---

    def _never_kept(self, keys: EntryKeys) -> None:
        """A header that shows a secret is gone before any rule sees the event."""
        dropped = [self._dropped[source] for source in self._compiler.sources(keys) if source in self._dropped]
        for field in self._compiler.conditions.required(keys.where):
            root, *rest = split_path(field.path.text)
            name = ".".join(rest).lower().encode("utf-8", "replace")
            if root == "headers" and dropped and all(name in each for each in dropped):
                message = f"no event keeps {field.path.text}, since it may show a secret"
                self._reading.warning(field.path, message, "name another field")

    def _fields(self, keys: EntryKeys, samples: Sequence[_Sample]) -> None:
        required = self._compiler.conditions.required(keys.where)
        sure = {field.path.text for field in required if any(map(_asks_existence, field.conditions))}
        for field in required:
            path = split_path(field.path.text)
            # Samples do not cover headers, nor the ids and times of events.
            if path[0] in ("headers", "vars") or path in (("event", "id"), ("event", "received_at")):
                continue
            values = [(each.event.type, lookup(each.facts, path)) for each in samples]
            if field.path.text not in sure:
                self._absent(keys, field, values)
            for condition in field.conditions:
                self._types(field, condition, values)

    def _absent(self, keys: EntryKeys, field: Field, values: _Values) -> None:
        if not any(_needs_value(condition) for condition in field.conditions):
            return
        lacking = list(dict.fromkeys(event_type for event_type, value in values if value is MISSING))
        if all(value is MISSING for _, value in values):
            message = f"no sample of {_listed(lacking)} has {field.path.text}, so the route never matches"
            self._reading.warning(field.path, message, "name a field that exists")
        elif lacking and keys.match is not None:
            are = "is" if len(lacking) == 1 else "are"
            message = (
                f"{_listed(lacking)} {are} partial: {field.path.text} may be missing, and then the route does not match"
            )
            self._reading.warning(
                field.path,
                message,
                f"narrow match; or, if you mean it, add all: [{{{field.path.text}: {{exists: true}}}}]",
            )

    def _types(self, field: Field, condition: Condition, values: _Values) -> None:
        if not isinstance(condition, Clause):
            return
        for event_type, value in values:
            if isinstance(value, list):
                written = condition.text.partition(": ")[2]
                message = f"{field.path.text} is a list in the sample {event_type}, which never equals a value"
                self._reading.warning(field.path, message, f"write {field.path.text}: {{contains: {written}}}")
                return
            if value is MISSING or value is None:
                continue
            kind = _KINDS[type(value)]
            if all(each is not None and _KINDS[type(each)] != kind for each in condition.values):
                message = f"{field.path.text} is {kind} in the sample {event_type}, which {_KINDS[type(condition.values[0])]} never equals"
                self._reading.warning(field.path, message, _as_written(value))
                return

    # --- what is sent ---

    def _rendered(self, entries: Sequence[Entry], samples: Sequence[_Sample]) -> None:
        failed: dict[tuple[Place, str], list[str]] = {}
        taken = [sample for sample in samples if _could_take(entries[0].rule, sample.facts)]
        for entry in entries:
            for name, message in entry.messages.items():
                destination = self._destinations[name]
                for sample in taken:
                    for failure in _failure(lambda: _build(entry, destination, message, sample), entry.place):  # noqa: B023 - called at once
                        types = failed.setdefault(failure, [])
                        # The whole sample comes first: a failure with it is reported once.
                        types += [sample.called] if sample.event.type not in types else []
        self._report_failed(failed)

    def _replied(self) -> None:
        failed: dict[tuple[Place, str], list[str]] = {}
        for name, keys in self._written.sources.items():
            for sample in self._samples.get(name, ()):
                reply = sample.source.replies
                if keys.reply is not None and reply is not None:
                    for failure in _failure(lambda: reply.answer(sample.facts), keys.reply.place):  # noqa: B023 - called at once
                        failed.setdefault(failure, []).append(sample.called)
        self._report_failed(failed)

    def _report_failed(self, failed: Mapping[tuple[Place, str], Sequence[str]]) -> None:
        for (place, words), types in failed.items():
            each = list(dict.fromkeys(types))
            noun = "sample" if len(each) == 1 else "samples"
            self._reading.warning(place, f"with the {noun} {_listed(each)}: {words}")


def _build(entry: Entry, destination: Destination, message: Message, sample: _Sample) -> None:
    if entry.rule.expression is not None:
        entry.rule.expression.evaluate(sample.facts)
    parts = message.render(sample.facts, sample.event, "dlv_sample", sample.source.forwarded_headers(sample.event))
    destination.kind.request(destination.target, parts)


def _failure(build: Callable[[], object], place: Place) -> Iterator[tuple[Place, str]]:
    try:
        build()
    except RenderError as error:
        yield error.place, str(error).removeprefix(f"{error.place}: ")
    except BuildError as error:
        yield place, str(error)


def _could_take(rule: Rule, facts: Facts) -> bool:
    """Whether the rule matches the event, or one that differs only in the values of some fields."""
    findings = explain(rule, facts).findings
    return all(
        finding.held or (bool(finding.path) and finding.seen is not MISSING and finding.seen is not None)
        for finding in findings
    )


def _samples(source: Source) -> Sequence[_Sample]:
    preset = presets.load(source.preset)
    found = []
    for name, body in preset.samples.items():
        headers = [(key.encode(), value.encode()) for key, value in preset.sample_headers[name].items()]
        first = source.received(headers, body, now=0.0)[0]
        event, payload = replace(first.event, id="evt_sample"), first.payload
        facts = source.naming.facts(event, payload)
        found.append(_Sample(source, event, facts, event.type))
        promised = preset.promised.get(event.type)
        attrs = facts.get("attrs")
        if promised is not None and isinstance(attrs, Mapping):
            least = {name: value for name, value in attrs.items() if name in promised}
            called = f"{event.type} (with the fields that are always present)"
            found.append(_Sample(source, event, {**facts, "attrs": least}, called))
    return found


def _end_of_all(rule: Rule, ends: Sequence[tuple[EntryKeys, Rule]]) -> EntryKeys | None:
    """The entry that leaves nothing for a later rule; None if something is left."""
    found = None
    for pattern in rule.patterns or ("**",):
        found = next((keys for keys, end in ends if _ends(end, rule, pattern)), None)
        if found is None:
            return None
    return found


def _ends(end: Rule, rule: Rule, pattern: str) -> bool:
    if end.sources is None:
        sources = rule.sources is None or presets.OWN not in rule.sources
    else:
        sources = rule.sources is not None and rule.sources <= end.sources
    return sources and any(covers(each, pattern) for each in end.patterns or ("**",))


def _line(place: Place, seen_from: Place) -> str:
    return f"line {place.line}" if place.file == seen_from.file else f"{place.file}:{place.line}"


def _asks_existence(condition: Condition) -> bool:
    return isinstance(condition, Check) and condition.operator == "exists" and condition.operands == (True,)


def _needs_value(condition: Condition) -> bool:
    if isinstance(condition, Check):
        return not OPERATORS[condition.operator].holds_when_missing
    return isinstance(condition, Clause)


def _as_written(value: object) -> str:
    match value:
        case bool() | int() | float():
            return f"write {str(value).lower()}, without quotes"
        case str():
            return f'write "{value[:40]}", in quotes'
    return "name one of its fields"


def _listed(types: Sequence[str]) -> str:
    more = f" and {len(types) - _NAMED} more" if len(types) > _NAMED else ""
    return ", ".join(types[:_NAMED]) + more
