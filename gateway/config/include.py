"""A file and the files it includes, merged into one."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from msgspec import Struct

from gateway.config.schema.file import FileKeys, IncludedKeys, read_file, read_included
from gateway.config.schema.reading import Reading, Words
from gateway.config.text.disk import Disk, Match
from gateway.config.text.reader import MAX_BYTES, read
from gateway.errors import ConfigError, Place, Problem

#: Sections whose names must be unique across all files, with the noun for problems.
_NAMED: Final = {"sources": "source", "destinations": "destination", "vars": "variable", "conditions": "condition"}
_LISTED: Final = ("always", "routes", "unmatched", "invalid", "failed", "tests")


class Written(Struct, frozen=True, kw_only=True):
    """The merged content of all files."""

    keys: FileKeys
    #: The place of each name, by section and name: ``("destinations", "crm")``.
    names: Mapping[tuple[str, str], Place]


def read_all(reading: Reading, path: Path) -> Written | None:
    """The file at ``path`` with everything it includes; None if it is not a map. Raises ConfigError if it is not YAML."""
    main = read_file(reading, read(_content(reading.disk, path.name), reading.report))
    if main is None:
        return None
    parts: list[IncludedKeys] = [main]
    for pattern in main.include:
        for name in _matching(reading, pattern, path.name):
            part = _included(reading, name)
            parts += [] if part is None else [part]
    return _merged(reading, main, parts)


def _content(disk: Disk, name: str) -> bytes:
    path = disk.folder / name
    try:
        if path.is_fifo() or path.is_socket():
            # Opening one would block a reload until something opens its other end.
            raise ConfigError([Problem(Place(path.name), f"{path} is not a file", "name a file with -c")])
        return disk.read(name, MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is not a valid path"
        hint = "name the file with -c"
        if isinstance(error, FileNotFoundError):
            hint += ", or let `gateway init` write a first one"
        problem = Problem(Place(path.name), f"cannot read {path}: {reason}", hint)
        raise ConfigError([problem]) from None


def _matching(reading: Reading, pattern: Words, main: str) -> Sequence[str]:
    parts = Path(pattern.text).parts
    if not parts or Path(pattern.text).is_absolute() or ".." in parts or "\0" in pattern.text:
        hint = "name files below this file's folder: routes.d/*.yaml"
        reading.error(pattern.node, f'include: "{pattern.shown}" leads outside this file\'s folder', hint)
        return ()
    reading.includes.append(pattern.text)
    try:
        found = reading.disk.matching(pattern.text)
    except (OSError, ValueError, NotImplementedError) as error:
        reading.error(pattern.node, f'include: "{pattern.shown}" cannot be searched: {error}')
        return ()
    _judge(reading, pattern, found, main)
    others = [match.name for match in found if match.name != main and not match.leads_out]
    return [name for name in others if name not in reading.report.included]


def _judge(reading: Reading, pattern: Words, found: Sequence[Match], main: str) -> None:
    """Report files that a pattern should not match, and a pattern that matches nothing."""
    names = [match.name for match in found]
    if names == [main] and not _is_glob(pattern.text):
        reading.error(pattern.node, f'include: "{pattern.shown}" is this file itself', "remove it")
    elif not found and not _is_glob(pattern.text):
        reading.error(pattern.node, f'include: there is no file "{pattern.shown}"', "name an existing file")
    elif not any(name != main for name in names):
        reading.warning(pattern.node, f'include: no file matches "{pattern.shown}"', "add one, or remove the pattern")
    for match in found:
        if match.leads_out:
            message = f'include: "{match.name}" is a link that leads outside this file\'s folder'
            reading.error(pattern.node, message, "replace the link with the file itself")


def _is_glob(pattern: str) -> bool:
    return any(sign in pattern for sign in "*?[")


def _included(reading: Reading, name: str) -> IncludedKeys | None:
    report = reading.report.of(name)
    try:
        return read_included(reading, read(_content(reading.disk, name), report, begin="routes:"), name)
    except ConfigError as error:
        # The reader's own problems are in the report already; a file that cannot be read is not.
        for problem in error.problems:
            if problem.place.file == Path(name).name != name:
                report.error(Place(name), problem.message)
        return None


def _merged(reading: Reading, main: FileKeys, parts: Sequence[IncludedKeys]) -> Written:
    names: dict[tuple[str, str], Place] = {}
    sections: dict[str, Any] = {section: {} for section in _NAMED}
    for keys in parts:
        for section in _NAMED:
            for name, value in getattr(keys, section).items():
                place = keys.name_at(section, name)
                first = names.setdefault((section, name), place)
                if first is place:
                    sections[section][name] = value
                else:
                    _refuse_second(reading, section, name, first, place)
    lists: dict[str, Any] = {
        section: tuple(each for keys in parts for each in getattr(keys, section)) for section in _LISTED
    }
    return Written(keys=dataclasses.replace(main, **sections, **lists), names=names)


def _refuse_second(reading: Reading, section: str, name: str, first: Place, second: Place) -> None:
    places = f"{first.file}:{first.line} and {second.file}:{second.line}"
    reading.error(second, f'two {_NAMED[section]}s are named "{name}": {places}', "keep one of them")
