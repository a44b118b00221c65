"""routes.yaml to a Config, or to every problem it has: what is written in one place is held against the others."""

import hashlib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Final, TypeVar

from gateway import presets
from gateway.config import checks
from gateway.config.config import Config, Destination, Entries, Entry, Message, Source
from gateway.config.reader import MAX_BYTES, read
from gateway.config.references import References
from gateway.config.report import Report, suggest_or_list
from gateway.config.schema import (
    AuthKeys,
    DefaultsKeys,
    DestinationKeys,
    EntryKeys,
    FileKeys,
    RetryKeys,
    SourceKeys,
    read_file,
)
from gateway.config.values import Reading
from gateway.destinations import KINDS, Kind, Target
from gateway.errors import ConfigError, Place, Problem, TemplateRefused
from gateway.facts import ROOTS, split_path
from gateway.match import Clause, Rule
from gateway.model import Content, Raw
from gateway.render import Renderer, Templates, TemplateText
from gateway.retry import Policy

T = TypeVar("T")

#: What a chat destination of `unmatched` says when the entry says nothing.
_UNMATCHED_TEXT: Final = "No route took {{ event.type }} from {{ event.source }}"
_CONTENTS: Final = ("text", "body", "template")


def load(path: Path, *, environ: Mapping[str, str], dev: bool = False) -> Config:
    """The configuration in ``path`` with the templates beside it. Raises ConfigError with all of its problems.

    With ``dev`` a destination with a variable that is not set becomes an inbox, and an unset secret of a
    source becomes DEMO_SECRET.
    """
    report = Report(path.name)
    data = _content(path)
    reading = Reading(report, References(environ, path.parent), dev)
    written = read_file(reading, read(data, report))
    config = None if written is None else _Compiler(reading, written, path.parent / "templates").config(data)
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
        hint = "set them in the environment, or in .env beside the file"
        reading.error(Place(reading.report.file), f"not set: {names}", hint)


class _Compiler:
    """Holds the parts of one file against each other."""

    def __init__(self, reading: Reading, written: FileKeys, folder: Path) -> None:
        self._reading = reading
        self._written = written
        self._folder = folder
        self._presets = {
            name: presets.load(source.preset) for name, source in written.sources.items() if source.preset is not None
        }
        self._templates: dict[frozenset[str], Templates] = {}
        self._names: dict[str, EntryKeys] = {}

    def config(self, data: bytes) -> Config:
        written = self._written
        sources = {name: self._source(name, keys) for name, keys in written.sources.items()}
        doors = self._doors({name: source for name, source in sources.items() if source is not None})
        destinations = {name: self._destination(name, keys) for name, keys in written.destinations.items()}
        sections = {
            "always": [self._entry(entry, fallback=None) for entry in written.always],
            "routes": [self._entry(entry, fallback=None) for entry in written.routes],
            "unmatched": [self._entry(entry, fallback=_UNMATCHED_TEXT) for entry in written.unmatched],
        }
        return Config(
            revision=self._revision(data),
            sources=MappingProxyType({source.name: source for source in doors.values()}),
            doors=MappingProxyType(doors),
            destinations=MappingProxyType(destinations),
            entries=MappingProxyType({entry.name: entry for entries in sections.values() for entry in entries}),
            always=Entries(sections["always"]),
            routed=Entries(sections["routes"]),
            unmatched=Entries(sections["unmatched"]),
            inboxes=frozenset(name for name, keys in written.destinations.items() if keys.is_inbox),
            demo_sources=frozenset(
                name for name, keys in written.sources.items() if keys.secret is not None and keys.secret.is_demo
            ),
            warnings=self._reading.report.sorted(),
        )

    def _revision(self, data: bytes) -> str:
        """Over the file and the template files it names."""
        digest = hashlib.sha256(data)
        entries = (*self._written.always, *self._written.routes, *self._written.unmatched)
        for name in sorted({entry.template.text for entry in entries if entry.template is not None}):
            try:
                digest.update(b"\0" + name.encode() + b"\0" + (self._folder / name).read_bytes())
            except (OSError, ValueError):
                # The template was refused already.
                continue
        return digest.hexdigest()[:8]

    # --- sources and destinations ---

    def _source(self, name: str, keys: SourceKeys) -> Source | None:
        if name == "gateway":
            self._reading.error(keys.place, '"gateway" is the built-in source', "call this one otherwise")
        preset = self._presets.get(name)
        path = f"/in/{name}" if keys.path is None else keys.path.text
        if keys.path is not None:
            checks.source_path(self._reading, keys.path)
        if preset is None or keys.secret is None:
            return None
        return Source(
            name=name,
            path=path,
            preset=preset.name,
            scheme=preset.scheme,
            secrets=keys.secret.values,
            naming=preset.naming,
            max_body=keys.max_body,
            kept_headers=preset.kept_headers,
        )

    def _doors(self, sources: Mapping[str, Source]) -> dict[str, Source]:
        doors: dict[str, Source] = {}
        for name, source in sources.items():
            first = doors.setdefault(source.path, source)
            if first is not source:
                place = self._written.sources[name].at("path")
                self._reading.error(place, f'"{first.name}" and "{name}" both listen at {source.path}', "give one another path")
        return doors

    def _destination(self, name: str, keys: DestinationKeys) -> Destination:
        defaults = self._written.defaults
        kind = KINDS["http"] if keys.is_inbox and keys.type == "file" else KINDS[keys.type]
        return Destination(
            name=name,
            kind=kind,
            target=self._target(name, keys),
            concurrency=_first(keys.concurrency, defaults and defaults.concurrency, 32),
            timeout_s=_first(keys.timeout, defaults and defaults.timeout, 10.0),
            retry=self._policy(keys, defaults),
        )

    def _policy(self, keys: DestinationKeys, defaults: DefaultsKeys | None) -> Policy:
        retry = keys.retry or (defaults and defaults.retry)
        if retry is None:
            return Policy()
        if retry.first_s > retry.max_s:
            self._reading.error(retry.at("first"), "retry: first is longer than max", "make max at least as long as first")
        return Policy(for_s=retry.for_s, first_s=retry.first_s, max_s=retry.max_s)

    def _target(self, name: str, keys: DestinationKeys) -> Target:
        if keys.url is not None and not keys.is_inbox:
            checks.url(self._reading, keys.url)
        for header, value in keys.headers.items():
            place = keys.written["headers"].value.place if value is None else value.place
            checks.header_name(self._reading, header, place)
            checks.literal_header_value(self._reading, header, value)
        auth = checks.auth(self._reading, keys.auth)
        checks.not_auth(self._reading, keys.headers, auth, {header: value.place for header, value in keys.headers.items()})
        return Target(
            url=f"inbox://{name}" if keys.is_inbox else keys.url.text if keys.url else "",
            path="" if keys.path is None or keys.is_inbox else keys.path.text,
            method=keys.method,
            headers=tuple((header, value.text) for header, value in keys.headers.items()),
            auth=auth,
        )
