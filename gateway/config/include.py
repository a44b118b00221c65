"""A file and those that it includes, put together as if they were one."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from gateway.config.reader import MAX_BYTES, read
from gateway.config.schema import FileKeys, IncludedKeys, read_file, read_included
from gateway.config.values import Reading, Words
from gateway.errors import ConfigError, Place, Problem

#: Sections whose names must differ over all files, as a problem calls what is in them.
_NAMED: Final = {"sources": "source", "destinations": "destination", "vars": "variable", "conditions": "condition"}
_LISTED: Final = ("always", "routes", "unmatched", "tests")


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What all files say together."""

    keys: FileKeys
    #: The content of each file, in the order of their reading.
    content: Sequence[bytes]
    #: Where a name of a section stands: ``("destinations", "crm")``.
    names: Mapping[tuple[str, str], Place]


def read_all(reading: Reading, path: Path) -> Written | None:
    """The file at ``path`` with all that it includes; None if it is no map. Raises ConfigError where YAML ends."""
    data = _content(path)
    main = read_file(reading, read(data, reading.report))
    if main is None:
        return None
    parts: list[tuple[bytes, IncludedKeys]] = [(data, main)]
    for pattern in main.include:
        for file in _matching(reading, pattern, path):
            parts += _included(reading, file, file.relative_to(path.parent).as_posix())
    return _merged(reading, main, parts)


def _content(path: Path) -> bytes:
    try:
        if path.is_fifo() or path.is_socket():
            # Opening one waits for its other end, and a reload with it.
            raise ConfigError([Problem(Place(path.name), f"{path} is no file", "name a file with -c")])
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "the path is not one"
        problem = Problem(Place(path.name), f"cannot read {path}: {reason}", "name the file with -c")
        raise ConfigError([problem]) from None


def _matching(reading: Reading, pattern: Words, main: Path) -> Sequence[Path]:
    parts = Path(pattern.text).parts
    if not parts or Path(pattern.text).is_absolute() or ".." in parts or "\0" in pattern.text:
        hint = "name files below the folder of this one: routes.d/*.yaml"
        reading.error(pattern.node, f'include: "{pattern.shown}" leads elsewhere', hint)
        return ()
    try:
        found = sorted(file for file in main.parent.glob(pattern.text) if file.is_file() and file != main)
    except (OSError, ValueError) as error:
        reading.error(pattern.node, f'include: "{pattern.shown}" cannot be looked for: {error}')
        return ()
    if not found and "*" not in pattern.text:
        reading.error(pattern.node, f'include: there is no file "{pattern.shown}"', "name one that is there")
    return [file for file in found if file.relative_to(main.parent).as_posix() not in reading.report.included]


def _included(reading: Reading, path: Path, name: str) -> Iterator[tuple[bytes, IncludedKeys]]:
    report = reading.report.of(name)
    try:
        data = _content(path)
        found = read_included(reading, read(data, report), name)
    except ConfigError as error:
        # What the reader found is in the report already; that the file cannot be read is not.
        for problem in error.problems:
            if problem.place.file == path.name != name:
                report.error(Place(name), problem.message)
        return
    if found is not None:
        yield data, found


def _merged(reading: Reading, main: FileKeys, parts: Sequence[tuple[bytes, IncludedKeys]]) -> Written:
    names: dict[tuple[str, str], Place] = {}
    sections: dict[str, Any] = {section: {} for section in _NAMED}
    for _, keys in parts:
        for section in _NAMED:
            for name, value in getattr(keys, section).items():
                place = keys.name_at(section, name)
                first = names.setdefault((section, name), place)
                if first is place:
                    sections[section][name] = value
                else:
                    _refuse_second(reading, section, name, first, place)
    lists: dict[str, Any] = {
        section: tuple(each for _, keys in parts for each in getattr(keys, section)) for section in _LISTED
    }
    keys = dataclasses.replace(main, **sections, **lists)
    return Written(keys=keys, content=[data for data, _ in parts], names=names)


def _refuse_second(reading: Reading, section: str, name: str, first: Place, second: Place) -> None:
    places = f"{first.file}:{first.line} and {second.file}:{second.line}"
    reading.error(second, f'two {_NAMED[section]}s are called "{name}": {places}', "keep one of them")
