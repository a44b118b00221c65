"""Variables of the environment that the file needs and that are not set, or are empty."""

from collections.abc import Iterator, Mapping, Sequence

from gateway.config.schema.reading import Reading
from gateway.errors import Place
from gateway.wording import closest, joined

#: How like another name the name of a variable must be to be taken for it.
_CLOSENESS = 0.85
#: What precedes the path of a file whose content is a value.
_FILE = "file:"


def report_unset(reading: Reading) -> None:
    """Report all unset variables in one line."""
    if reading.missing:
        names = ", ".join(_shown(name, place, reading.report.file) for name, place in reading.missing.items())
        reading.error(Place(reading.report.file), f"not set: {names}", "; ".join(_remedies(reading)))


def _shown(name: str, place: Place, main: str) -> str:
    """A name with its line; that of a file has its reason in parentheses already."""
    where = f"line {place.line}" if place.file == main else f"{place.file}:{place.line}"
    return f"{name[:-1]}, {where})" if name.startswith(_FILE) and name.endswith(")") else f"{name} ({where})"


def _remedies(reading: Reading) -> Iterator[str]:
    names = [name for name in reading.missing if not name.startswith(_FILE)]
    if reading.no_env:
        them = _them([*reading.missing])
        yield f"set {them}, or write a default: ${{NAME:-...}}; no value can be made up for {them}"
        return
    environ = reading.references.environ
    empty = [name for name in names if name in environ]
    near = _near([name for name in names if name not in environ], environ)
    for name, right in near.items():
        yield f"{right} is set: write ${{{right}}} if that is what {name} means"
    if unset := [name for name in names if name not in empty]:
        them = "the others" if near and len(unset) > len(near) else _them(unset)
        start = f"otherwise set {them}" if len(near) == len(unset) else f"set {them}"
        yield f"{start} in the environment, or in .env next to the file, which `serve` reads with --env-file .env"
    if empty:
        yield f"{joined(empty)} {'is' if len(empty) == 1 else 'are'} empty: give {_them(empty)} a value"
    if len(names) < len(reading.missing):
        yield "the gateway must be able to read the files"
    yield f"gateway check --no-env checks the file without {_them([*reading.missing])}"


def _them(names: Sequence[str]) -> str:
    return "it" if len(names) == 1 else "them"


def _near(names: Sequence[str], environ: Mapping[str, str]) -> dict[str, str]:
    """For each variable whose name is like that of one which is set: that one."""
    known = [name for name, value in environ.items() if value]
    found = {name: closest(name, known, closeness=_CLOSENESS) for name in names}
    return {name: right for name, right in found.items() if right}
