"""Compiles routes.yaml to a Config, or reports every problem in it."""

import dataclasses
import hashlib
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from collections.abc import Set as AbstractSet
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Final

from msgspec.structs import replace

from gateway.config import (
    checks,
    lookups,
    memory,
    oauth,
    replies,
    retention,
    retries,
    schemas,
    sections,
    signing,
    silences,
    summaries,
    tracking,
    ways,
)  # fmt: skip
from gateway.config.advice import Adviser
from gateway.config.cases import TestCompiler
from gateway.config.conditions import ConditionCompiler
from gateway.config.entries import EntryCompiler, refuse_names_twice, refuse_too_many
from gateway.config.fields import Fields
from gateway.config.include import Written, read_all
from gateway.config.own_secrets import own_secrets
from gateway.config.samples import Known
from gateway.config.schema.destinations import DestinationKeys
from gateway.config.schema.entries import EntryKeys
from gateway.config.schema.file import home_of
from gateway.config.schema.hours import hours
from gateway.config.schema.reading import TEST_TEXT, Reading
from gateway.config.schema.success import SuccessKeys
from gateway.config.sound import sound
from gateway.config.sources import advise_secrets, compiled_source, own_source
from gateway.config.text.disk import Disk, Values
from gateway.config.text.references import References
from gateway.config.text.report import Report
from gateway.config.trial import Trials, shown_as
from gateway.config.unset import report_unset
from gateway.destinations import KINDS, Kind, Target
from gateway.destinations.gates import Rules, interval_s
from gateway.errors import ConfigError, Place, Problem
from gateway.hiding.masks import Masks
from gateway.render import is_literal
from gateway.routing.cases import Test
from gateway.routing.config import Config
from gateway.routing.destinations import Destination
from gateway.routing.entries import Entry
from gateway.routing.peers import Peers
from gateway.routing.sources import Source
from gateway.routing.success import Success, SuccessRule
from gateway.store.nouns import Limits, Retention

_ESCAPERS: Final = frozenset(kind.escape for kind in KINDS.values())
PAUSED_IN_FILE: Final = "paused in routes.yaml"
#: The text for a chat destination if the entry has no content, by section.
FALLBACK_TEXTS: Final[Mapping[str, str]] = {
    "unmatched": "No route matched {{ event.type }} from {{ event.source }}",
    "invalid": "{{ event.type }} from {{ event.source }}: {{ invalid.path }} {{ invalid.reason }}",
    "failed": "{{ delivery.destination }} did not accept {{ event.type }}: {{ delivery.reason }} {{ delivery.link }}",
}


def load(
    path: Path, *, environ: Mapping[str, str], dev: bool = False, no_env: bool = False, tests: bool = True
) -> Config:
    """Load the file at ``path`` with the files it includes and the templates next to it.

    Raises ConfigError with every problem. With ``dev`` a destination with an unset variable in its address becomes an
    inbox, and an unset secret of a source becomes DEMO_SECRET. With ``no_env`` every unset variable gets a made-up
    value. Without ``tests`` their errors are warnings.
    """
    return _compiled(path, Disk(path.parent), environ, dev=dev, no_env=no_env, tests=tests)


def _compiled(
    path: Path, disk: Disk, environ: Mapping[str, str], *, dev: bool, no_env: bool, tests: bool = True, kind: str = ""
) -> Config:
    report, values = Report(path.name), Values(path.parent)
    references = References(environ, values, TEST_TEXT if no_env else "")
    reading = Reading(report, disk, references, dev, no_env, home_of)
    written = read_all(reading, path)
    if written is not None and kind:
        written = shown_as(written, kind)
    # The secrets from before, too: an answer that is on its way may show one.
    secrets = disk.secrets | reading.secrets
    masks = Masks(secrets, _ESCAPERS)
    report.masked = masks.text
    again = partial(_compiled, path, disk, environ, dev=dev, no_env=no_env, tests=tests)
    trials = Trials(disk, path.name, partial(_tried, path, environ, dev=dev, no_env=no_env))
    config = None if written is None else _Compiler(reading, written, secrets, masks, again, trials).config()
    is_unset = config is not None and bool(reading.missing) and not no_env
    report_unset(reading)
    if config is None or report.has_errors or (tests and report.of_tests):
        more = _problems_if_set(path, environ, report, dev=dev, tests=tests) if is_unset else ()
        raise ConfigError(report.sorted(more), reading.includes, disk.digests)
    disk.secrets = frozenset(reading.secrets)
    if not report.of_tests:
        return config
    return dataclasses.replace(config, warnings=tuple(replace(each, severity="warning") for each in config.warnings))


def _tried(path: Path, environ: Mapping[str, str], edited: Disk, kind: str, *, dev: bool, no_env: bool) -> Config:
    return _compiled(path, edited, environ, dev=dev, no_env=no_env, kind=kind)


def _problems_if_set(
    path: Path, environ: Mapping[str, str], report: Report, *, dev: bool, tests: bool
) -> Sequence[Problem]:
    """What else there would be to report if every variable were set."""
    try:
        found: Sequence[Problem] = _compiled(
            path, Disk(path.parent), environ, dev=dev, no_env=True, tests=tests
        ).warnings
    except ConfigError as error:
        found = error.problems
    # What is known may be more than before, and with it a remedy.
    said = {(each.place, each.message) for each in report.sorted()}
    return [each for each in found if each.place.line and (each.place, each.message) not in said]


def _reaches(keys: EntryKeys, disabled: Collection[str]) -> bool:
    """Whether an entry has an enabled destination, or none at all on purpose (``to: []``)."""
    named = [name.text for each in (keys, *(keys.send or ())) for name in each.to or ()]
    return not named or any(name not in disabled for name in named)


class _Compiler:
    """Checks the parts of one file against each other, and compiles them."""

    def __init__(
        self,
        reading: Reading,
        written: Written,
        secrets: AbstractSet[str],
        masks: Masks,
        reread: Callable[[], Config],
        trials: Trials,
    ) -> None:
        self._reading = reading
        self._written = written.keys
        self._names = written.names
        self._secrets = secrets
        self._masks = masks
        self._reread = reread
        self._trials = trials
        self._ways = ways.Ways(reading, written.keys.defaults)

    def config(self) -> Config:
        written = self._written
        sources = self._sources()
        every = {name: self._destination(name, keys) for name, keys in written.destinations.items()}
        disabled = frozenset(name for name, keys in written.destinations.items() if not keys.enabled)
        destinations = {name: destination for name, destination in every.items() if name not in disabled}
        own = own_source(self._values())
        tests = self._tests({**sources, own.name: own})
        known = Known({**sources, own.name: own}, tests, self._reading.disk.folder)
        compiler = EntryCompiler(self._reading, written, every, disabled, self._masks.text, known)
        compiler.check_conditions()
        destinations = {
            name: replace(each, order=compiler.lane(name, written.destinations[name]))
            for name, each in destinations.items()
        }
        sources = {name: self._answering(each, compiler) for name, each in sources.items()}
        own = summaries.with_usual(own, compiler.templates_of([own.name]))
        entries = [(keys, compiler.entry(keys, FALLBACK_TEXTS.get(keys.section))) for keys in written.entries]
        refuse_names_twice(self._reading, entries)
        refuse_too_many(self._reading, entries)
        enabled = [(keys, found) for keys, found in entries if keys.enabled and _reaches(keys, disabled)]
        destinations = lookups.joined(self._reading, enabled, destinations)
        if not self._reading.missing:
            replies = {name: each.replies for name, each in sources.items() if each.replies is not None}
            adviser = Adviser(self._reading, written, known, destinations, replies, compiler, self._names)
            self._advise(adviser, enabled, known)
        real = [(keys, found) for keys, found in enabled if not keys.shadow]
        config = Config(
            revision=self._revision(),
            files=self._reading.disk.digests,
            values=self._reading.references.values.looks,
            includes=tuple(self._reading.includes),
            sources=MappingProxyType(sources),
            doors=MappingProxyType({source.path: source for source in sources.values()}),
            destinations=MappingProxyType(destinations),
            entries=sections.by_name(real),
            fetches=sections.fetches(real),
            sections=sections.sections(real),
            with_hours=sections.with_hours(real),
            timed=sections.timed(real),
            own=own,
            own_sections=sections.own_sections(real),
            failed=sections.section("failed", real),
            console_url=self._console_url(),
            retention=self._retention(every),
            limits=self._limits(),
            peers=self._peers(),
            inboxes=frozenset(
                name for name, keys in written.destinations.items() if keys.is_inbox and name in destinations
            ),
            paths=self._paths(),
            made_up_paths=frozenset(
                name for name, keys in written.destinations.items() if keys.path is not None and keys.path.is_stand_in
            ),
            demo_sources=frozenset(
                name for name, keys in written.sources.items() if keys.secret and keys.secret.is_demo
            ),
            disabled=disabled,
            tests=tests,
            warnings=self._reading.report.sorted(),
            literal_secrets=self._reading.report.finished(self._reading.literal),
            masks=Masks(self._secrets, _ESCAPERS, own_secrets(written, destinations.values(), self._secrets)),
            reread=self._reread,
            trials=self._trials,
        )
        if len(real) == len(enabled):
            return config
        shadow = dataclasses.replace(
            config,
            entries=sections.by_name(enabled),
            sections=sections.sections(enabled),
            own_sections=sections.own_sections(enabled),
            fetches=sections.fetches(enabled),
            with_hours=sections.with_hours(enabled),
            timed=sections.timed(enabled),
        )
        return dataclasses.replace(config, shadow=shadow)

    def _advise(self, adviser: Adviser, enabled: Sequence[tuple[EntryKeys, Sequence[Entry]]], known: Known) -> None:
        """Add the warnings; with an error in the file, those about entries that it does not concern."""
        if self._reading.report.has_errors:
            adviser.advise_entries(sound(self._written, enabled, tuple(self._reading.report.problems)))
            return
        for name, keys in self._written.sources.items():
            advise_secrets(self._reading, name, keys)
        schemas.advise(self._reading, self._written, known)
        tracking.advise(self._reading, self._written, known)
        adviser.advise(enabled)

    def _values(self) -> dict[str, object]:
        return {variable: each.value for variable, each in self._written.vars.items()}

    def _console_url(self) -> str:
        url = self._written.console_url
        if url is None:
            return ""
        if re.fullmatch(r"https?://[^/?#\s@]+(?:/[^?#\s]*)?", url.text) is None:
            hint = "write scheme, host and the path to the console, if any: https://gateway.example.com"
            self._reading.error(url.node, f'console_url: "{url.shown}" is not a valid page address', hint)
        return url.text.rstrip("/")

    def _peers(self) -> Peers:
        written = self._written
        share_private = written.limits is not None and written.limits.share_private
        return Peers(trusted=written.trusted_proxies, share_private=share_private)

    def _retention(self, destinations: Mapping[str, Destination]) -> Retention:
        written = self._written
        kept = retention.retention(self._reading, written.retention)
        policies = {name: (keys, destinations[name].retry) for name, keys in written.destinations.items()}
        fallback = written.retention.at("events") if written.retention else written.place
        retention.check_retries(self._reading, kept, policies, written.defaults, fallback)
        return kept

    def _limits(self) -> Limits:
        written, usual = self._written.limits, Limits()
        if written is None:
            return usual
        return Limits(max_pending=written.max_pending or usual.max_pending, free_disk=written.free_disk)

    def _paths(self) -> Mapping[str, tuple[Place, str]]:
        """Where the path of each destination is written, with the line as it may be shown."""
        places = {name: keys.at("path") for name, keys in self._written.destinations.items() if keys.path is not None}
        shown = {
            each.place: each.line_text
            for each in self._reading.report.finished(Problem(at, "") for at in places.values())
        }
        return {name: (place, shown[place]) for name, place in places.items()}

    def _tests(self, sources: Mapping[str, Source]) -> tuple[Test, ...]:
        written, fields = self._written, Fields(self._reading, self._written)
        shortcuts = {name: fields.shortcuts(name) for name in written.sources}
        routes = [each.called for keys in written.entries for each in (keys, *(keys.send or ()))]
        samples = {name: source.samples for name, source in sources.items()}
        known = (routes, memory.kept(written.entries), {name for keys in written.entries for name in keys.fetch})
        tests = TestCompiler(self._reading, written.sources, samples, written.destinations, *known)
        with self._reading.about_tests():
            found = [tests.test(keys, shortcuts) for keys in written.tests]
        return tuple(test for test in found if test is not None)

    def _revision(self) -> str:
        """A hash of the files, and of every template and certificate that they use."""
        disk = self._reading.disk
        used = {**disk.templates, **self._ways.certificates}
        texts = [part for name in sorted(used) for part in (name, used[name])]
        content = [*disk.contents.values(), *(text.encode() for text in texts)]
        return hashlib.sha256(b"\0".join(content)).hexdigest()[:8]

    # --- sources and destinations ---

    def _sources(self) -> dict[str, Source]:
        found: dict[str, Source] = {}
        values = self._values()
        for name, keys in self._written.sources.items():
            source = compiled_source(self._reading, name, keys, values, self._ways.usual)
            if source is None:
                continue
            rival = next((other for other in found.values() if other.path == source.path), None)
            if rival is not None:
                message = f'"{rival.name}" and "{name}" both listen at {keys.path.shown if keys.path else source.path}'
                self._reading.error(keys.at("path"), message, "give one of them another path")
            found[name] = source
        return found

    def _answering(self, source: Source, compiler: EntryCompiler) -> Source:
        """The source with what its sender is answered, and what its events are about."""
        keys = self._written.sources[source.name]
        templates = compiler.templates_of([source.name])
        found = replies.reply(self._reading, source.name, keys, source.reply, templates)
        status = (keys.reply and keys.reply.status) or source.reply
        said = summaries.summary(self._reading, keys, templates)
        expected = silences.expected(self._reading, source.name, keys, compiler)
        return replace(source, reply=status, replies=found, summary=said, **expected)

    def _destination(self, name: str, keys: DestinationKeys) -> Destination:
        defaults = self._written.defaults
        kind = KINDS[keys.type]
        if keys.is_inbox and not kind.has_url:
            kind = KINDS["http"]
        target = self._target(name, keys)
        found = Destination(
            name=name,
            kind=kind,
            target=target,
            signers=signing.signers(self._reading, name, keys, target.auth),
            concurrency=keys.concurrency or (defaults and defaults.concurrency) or 32,
            timeout_s=keys.timeout or (defaults and defaults.timeout) or 10.0,
            retry=retries.policy(self._reading, keys, defaults),
            gate=Rules(interval_s=_interval_s(keys, kind), paused=PAUSED_IN_FILE if keys.paused else ""),
            door=self._ways.door(keys, kind),
            hours=hours(self._reading, keys.hours, f'"{name}"'),
            oauth=oauth.settings(self._reading, name, keys),
        )
        checks.headers(self._reading, keys, found.own_headers)
        return found

    def _target(self, name: str, keys: DestinationKeys) -> Target:
        reading = self._reading
        url = keys.url and ways.made_up_url(name, keys.url, is_mail=KINDS[keys.type].is_mail)
        if url is not None and KINDS[keys.type].has_url and not keys.is_inbox and not keys.has_unknown_type:
            self._ways.check(keys, url)
        if keys.path is not None:
            checks.file_path(reading, keys.path)
        auth = checks.auth(reading, keys.auth, is_mail=KINDS[keys.type].is_mail)
        return Target(
            url=f"inbox://{name}" if keys.is_inbox else url.text if url else "",
            path=keys.path.text if keys.path and not keys.is_inbox else "",
            method=keys.method,
            headers=tuple((header, value.text) for header, value in keys.headers.items()),
            auth=auth,
            host=keys.host or "",
            user_agent=keys.user_agent or "",
            login=checks.login(self._reading, keys),
            options=MappingProxyType({name: each.text for name, each in keys.options.items() if is_literal(each.text)}),
            success=self._success(keys),
            hint=keys.retry_after or (),
        )

    def _success(self, keys: DestinationKeys) -> Success | None:
        """The rules of a destination; None leaves it to its kind."""
        defaults = self._written.defaults
        written = keys.success or (defaults.success if defaults and keys.type == "http" else None)
        return Success(tuple(self._rule(each) for each in written)) if written else None

    def _rule(self, keys: SuccessKeys) -> SuccessRule:
        # A response has the destination's own fields: any path is valid, and none of `conditions` applies.
        fields = ConditionCompiler(self._reading, {})
        json = None if keys.json is None else fields.compile(keys.json, lambda _path: None)
        return SuccessRule(status=keys.status, json=json, text=keys.text or ())


def _interval_s(keys: DestinationKeys, kind: Kind) -> float:
    """Seconds between two starts. What `dev` records needs no vendor's limit."""
    return interval_s(keys.rate or (None if keys.is_inbox else kind.rate))
