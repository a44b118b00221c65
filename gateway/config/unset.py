"""Variables of the environment that the file needs and that are not set, or are empty."""

from gateway.config.schema.reading import Reading
from gateway.errors import Place
from gateway.wording import joined, suggest

#: How like another name the name of a variable must be to be taken for it.
_CLOSENESS = 0.85


def report_unset(reading: Reading) -> None:
    """Report all unset variables in one line."""
    if not reading.missing:
        return
    main = reading.report.file
    names = ", ".join(
        f"{name} (line {place.line})" if place.file == main else f"{name} ({place.file}:{place.line})"
        for name, place in reading.missing.items()
    )
    hints = [*_near(reading), _hint(reading)]
    reading.error(Place(main), f"not set: {names}", "; ".join(hints))


def _near(reading: Reading) -> list[str]:
    """For each variable whose name is like that of one which is set: that one."""
    environ = reading.references.environ
    known = [name for name, value in environ.items() if value]
    found = ((name, suggest(name, known, closeness=_CLOSENESS)) for name in reading.missing if name not in environ)
    return [f"for {name}, {near}" for name, near in found if near]


def _hint(reading: Reading) -> str:
    empty = [name for name in reading.missing if name in reading.references.environ]
    if reading.no_env:
        return "set them, or write a default: ${NAME:-...}; no value can be made up for them"
    if len(empty) == len(reading.missing):
        return "they are empty: give each a value in the environment or in .env"
    are = f"{joined(empty)} {'is' if len(empty) == 1 else 'are'} there, but empty; " if empty else ""
    return (
        f"{are}set them in the environment, or in .env next to the file, which `serve` reads with --env-file .env; "
        "gateway check --no-env does without them"
    )
