"""The file ``.env`` next to routes.yaml: ``KEY=VALUE`` lines for a developer's machine."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from gateway.errors import ConfigError, Place, Problem

_LINE: Final = re.compile(r"\s*(?:export\s+)?(?P<key>[A-Za-z_][A-Za-z0-9_]*)\s*=\s*(?P<value>.*?)\s*")
_SINGLE: Final = re.compile(r"'(?P<text>[^']*)'\s*(?:#.*)?")
_DOUBLE: Final = re.compile(r'"(?P<text>(?:[^"\\]|\\.)*)"\s*(?:#.*)?')
#: A variable as a shell expands it.
_NAMED: Final = re.compile(r"(?<![\\$])\$(?:\{(?P<braces>[A-Za-z_]\w*)\}|(?P<bare>[A-Za-z_]\w*))")
_ESCAPES: Final = {"n": "\n", "r": "\r", "t": "\t"}


class _Unreadable(ValueError):
    """One line cannot be read; the text does not show its value, which may be a secret."""


def read_env_file(path: Path) -> dict[str, str]:
    """The variables of a ``.env`` file; later lines win. Quotes, comments and ``export`` are understood.

    Raises ConfigError with every line that cannot be read, and OSError if there is no such file.
    """
    values: dict[str, str] = {}
    problems: list[Problem] = []
    for number, line in _lines(path):
        try:
            values.update(_read_line(line))
        except _Unreadable as error:
            problems.append(Problem(Place(path.name, number), str(error), "write KEY=VALUE"))
    if problems:
        raise ConfigError(problems)
    return values


def doubts(path: Path, environ: Mapping[str, str]) -> Iterator[Problem]:
    """A warning for each variable of a file, which can be read, that is set twice, or whose value names another one.

    A value in single quotes is meant as it is. ``environ``: the other variables that there are.
    """
    found = [(number, line["key"], line["value"]) for number, text in _lines(path) if (line := _LINE.fullmatch(text))]
    known = {**environ, **{key: "" for _, key, _ in found}}
    first: dict[str, int] = {}
    for number, key, written in found:
        place = Place(path.name, number)
        if (before := first.setdefault(key, number)) != number:
            yield Problem(
                place, f"{key} is already set on line {before}: this line wins", "remove one of them", "warning"
            )
        names = _NAMED.finditer(_without_comment(written))
        named = next((each for each in names if each["braces"] or each["bare"] in known), None)
        if named is not None and not _SINGLE.fullmatch(written):
            message = f"{named[0]} in the value of {key} is plain text: variables are not expanded here"
            hint = f"write the value of {named[0]} instead, or put all of it in single quotes if it is meant literally"
            yield Problem(place, message, hint, "warning")


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ConfigError([Problem(Place(path.name), "the file is not UTF-8 text", "save the file as UTF-8")]) from None
    yield from enumerate(re.split(r"\r\n|\n|\r", text), start=1)


def _read_line(line: str) -> dict[str, str]:
    if not line.strip() or line.lstrip().startswith("#"):
        return {}
    found = _LINE.fullmatch(line)
    if found is None:
        raise _Unreadable("this line is not KEY=VALUE")
    return {found["key"]: _value(found["key"], found["value"])}


def _value(key: str, written: str) -> str:
    if single := _SINGLE.fullmatch(written):
        return single["text"]
    if double := _DOUBLE.fullmatch(written):
        return re.sub(r"\\(.)", lambda escape: _ESCAPES.get(escape[1], escape[1]), double["text"])
    if written[:1] in ("'", '"'):
        raise _Unreadable(f"the quote around the value of {key} is not closed on this line")
    if "\0" in written:
        raise _Unreadable(f"the value of {key} contains a NUL character")
    return _without_comment(written).rstrip()


def _without_comment(written: str) -> str:
    double = _DOUBLE.fullmatch(written)
    return double["text"] if double else re.split(r"(?:^|\s)#", written, maxsplit=1)[0]
