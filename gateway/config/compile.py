"""routes.yaml to a Config, or to every problem it has."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Final

from gateway import presets
from gateway.config import checks
from gateway.config.config import Config, Destination, Entries, Source
from gateway.config.entries import EntryCompiler
from gateway.config.reader import MAX_BYTES, read
from gateway.config.references import References
from gateway.config.report import Report
from gateway.config.schema import DefaultsKeys, DestinationKeys, EntryKeys, FileKeys, SourceKeys, read_file
from gateway.config.values import Reading
from gateway.destinations import KINDS, Target
from gateway.errors import ConfigError, Place, Problem
from gateway.retry import Policy

#: What a chat destination of `unmatched` says when the entry says nothing.
UNMATCHED_TEXT: Final = "No route took {{ event.type }} from {{ event.source }}"


def load(path: Path, *, environ: Mapping[str, str], dev: bool = False) -> Config:
    """The configuration in ``path`` with the templates beside it. Raises ConfigError with all of its problems.

    With ``dev`` a destination with a variable in its address that is not set becomes an inbox, and an unset
    secret of a source becomes DEMO_SECRET.
    """
    report = Report(path.name)
    data = _content(path)
    reading = Reading(report, References(environ, path.parent), dev)
    written = read_file(reading, read(data, report))
    config = None if written is None else _Compiler(reading, written, path.parent).config(data)
    _report_missing(reading)
    problems = report.sorted()
    if config is None or any(problem.severity == "error" for problem in problems):
        raise ConfigError(problems)
    return config


def _content(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "the path is not one"
        problem = Problem(Place(path.name), f"cannot read {path}: {reason}", "name the file with -c")
        raise ConfigError([problem]) from None


def _report_missing(reading: Reading) -> None:
    """All that is not set, in one line."""
    if reading.missing:
        names = ", ".join(f"{name} (line {place.line})" for name, place in reading.missing.items())
        hint = "set them in the environment, or in .env beside the file; `serve` reads that with --env-file .env"
        reading.error(Place(reading.report.file), f"not set: {names}", hint)


class _Compiler:
    """Holds the parts of one file against each other."""

    def __init__(self, reading: Reading, written: FileKeys, folder: Path) -> None:
        self._reading = reading
        self._written = written
        self._templates = folder / "templates"

    def config(self, data: bytes) -> Config:
        written = self._written
        sources = self._sources()
        destinations = {name: self._destination(name, keys) for name, keys in written.destinations.items()}
        compiler = EntryCompiler(self._reading, written, destinations, self._templates)
        always = [compiler.entry(keys) for keys in written.always]
        routes = [compiler.entry(keys) for keys in written.routes]
        unmatched = [compiler.entry(keys, UNMATCHED_TEXT) for keys in written.unmatched]
        self._refuse_names_twice((*written.always, *written.routes, *written.unmatched))
        return Config(
            revision=self._revision(data),
            sources=MappingProxyType(sources),
            doors=MappingProxyType({source.path: source for source in sources.values()}),
            destinations=MappingProxyType(destinations),
            entries=MappingProxyType({entry.name: entry for entry in (*always, *routes, *unmatched)}),
            always=Entries(always),
            routed=Entries(routes),
            unmatched=Entries(unmatched),
            inboxes=frozenset(name for name, keys in written.destinations.items() if keys.is_inbox),
            demo_sources=frozenset(
                name for name, keys in written.sources.items() if keys.secret and keys.secret.is_demo
            ),
            warnings=self._reading.report.sorted(),
        )

    def _refuse_names_twice(self, written: Sequence[EntryKeys]) -> None:
        first: dict[str, EntryKeys] = {}
        for entry in written:
            if entry.to is None:
                continue
            known = first.setdefault(entry.called, entry)
            if known is not entry:
                message = f'two entries are called "{entry.called}": this one and the one in line {known.place.line}'
                self._reading.error(entry.at("name"), message, "give each a name of its own")

    def _revision(self, data: bytes) -> str:
        """Over the file and the template files it names."""
        digest = hashlib.sha256(data)
        entries = (*self._written.always, *self._written.routes, *self._written.unmatched)
        for name in sorted({entry.template.text for entry in entries if entry.template is not None}):
            try:
                digest.update(b"\0" + name.encode() + b"\0" + (self._templates / name).read_bytes())
            except (OSError, ValueError):
                # The template was refused already.
                continue
        return digest.hexdigest()[:8]

    # --- sources and destinations ---

    def _sources(self) -> dict[str, Source]:
        found: dict[str, Source] = {}
        for name, keys in self._written.sources.items():
            source = self._source(name, keys)
            if source is None:
                continue
            rival = next((other for other in found.values() if other.path == source.path), None)
            if rival is not None:
                message = f'"{rival.name}" and "{name}" both listen at {keys.path.shown if keys.path else source.path}'
                self._reading.error(keys.at("path"), message, "give one of them another path")
            found[name] = source
        return found

    def _source(self, name: str, keys: SourceKeys) -> Source | None:
        if name == "gateway":
            self._reading.error(
                keys.place, 'the name "gateway" is taken by the gateway itself', "call this source otherwise"
            )
        if keys.path is not None:
            checks.source_path(self._reading, keys.path)
        if keys.preset is None or keys.secret is None:
            return None
        preset = presets.load(keys.preset)
        return Source(
            name=name,
            path=f"/in/{name}" if keys.path is None else keys.path.text,
            preset=preset.name,
            scheme=preset.scheme,
            secrets=keys.secret.values,
            naming=preset.naming,
            max_body=keys.max_body,
            kept_headers=preset.kept_headers,
        )

    def _destination(self, name: str, keys: DestinationKeys) -> Destination:
        defaults = self._written.defaults
        kind = KINDS["http"] if keys.is_inbox and keys.type == "file" else KINDS[keys.type]
        return Destination(
            name=name,
            kind=kind,
            target=self._target(name, keys),
            concurrency=keys.concurrency or (defaults and defaults.concurrency) or 32,
            timeout_s=keys.timeout or (defaults and defaults.timeout) or 10.0,
            retry=self._policy(keys, defaults),
        )

    def _policy(self, keys: DestinationKeys, defaults: DefaultsKeys | None) -> Policy:
        retry = keys.retry or (defaults.retry if defaults else None)
        if retry is None:
            return Policy()
        if retry.first_s > retry.max_s:
            self._reading.error(retry.place, "retry: first is longer than max", "make max at least as long as first")
        return Policy(for_s=retry.for_s, first_s=retry.first_s, max_s=retry.max_s)

    def _target(self, name: str, keys: DestinationKeys) -> Target:
        reading = self._reading
        if keys.url is not None and not keys.is_inbox:
            checks.url(reading, keys.url)
        if keys.path is not None:
            checks.file_path(reading, keys.path)
        auth = checks.auth(reading, keys.auth)
        for header, value in keys.headers.items():
            checks.header_name(reading, header, keys.name_at("headers", header), auth)
            checks.header_value(reading, f'header "{header}"', value.text, value.place)
        return Target(
            url=f"inbox://{name}" if keys.is_inbox else keys.url.text if keys.url else "",
            path=keys.path.text if keys.path and not keys.is_inbox else "",
            method=keys.method,
            headers=tuple((header, value.text) for header, value in keys.headers.items()),
            auth=auth,
        )
