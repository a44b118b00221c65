"""One check of one payload: its steps, how values are compared, and what a rule that is not met says."""

from collections.abc import Callable, Mapping, Sequence
from math import isfinite
from typing import Final, Protocol

from gateway.event.operators import OperandRefused, compiled_regex
from gateway.event.paths import as_written
from gateway.wording import printable

#: Checks of one keyword against one value that a payload may take, and how deep schemas and values may be nested.
MOST_STEPS: Final = 50_000
DEEPEST: Final = 100
#: Characters of a path and of a name in a reason.
LONGEST_PATH: Final = 200
LONGEST_NAME: Final = 60

Path = tuple[str, ...]


class SchemaRefused(ValueError):
    """The file is no schema that can be used; the message says where in it and why."""

    def __init__(self, message: str, hint: str = "") -> None:
        self.hint = hint
        super().__init__(message)


class Failed(Exception):
    """The value does not fit: where, and why."""

    def __init__(self, path: Path, reason: str) -> None:
        self.path, self.reason = path, reason
        super().__init__(reason)


class Run:
    """One check of one payload."""

    __slots__ = ("left",)

    def __init__(self) -> None:
        self.left = MOST_STEPS

    def step(self, path: Path, count: int = 1) -> None:
        self.left -= count
        if self.left < 0:
            raise TooMuch(path)


class TooMuch(Exception):
    """The check takes too long."""

    def __init__(self, path: Path) -> None:
        self.path = path
        super().__init__()


#: One keyword of a schema: raises Failed for a value that does not fit.
Check = Callable[[object, Path, Run, int], None]


class Node:
    """A compiled schema; its keywords are added once it is known, so that it can refer to itself."""

    __slots__ = ("checks",)

    def __init__(self) -> None:
        self.checks: list[Check] = []

    def check(self, value: object, path: Path, run: Run, depth: int) -> None:
        if depth > DEEPEST:
            raise RecursionError
        run.step(path)
        for check in self.checks:
            run.step(path)
            check(value, path, run, depth + 1)

    def fits(self, value: object, path: Path, run: Run, depth: int) -> bool:
        try:
            self.check(value, path, run, depth)
        except Failed:
            return False
        return True


def shown(path: Path) -> str:
    text = printable(as_written(path))
    return text if len(text) <= LONGEST_PATH else f"{text[: LONGEST_PATH - 1]}…"


def named(name: str) -> str:
    text = printable(name)
    return f'"{text}"' if len(text) <= LONGEST_NAME else f'"{text[: LONGEST_NAME - 1]}…"'


# --- values, as JSON Schema compares them ---


def is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def is_integer(value: object) -> bool:
    return is_number(value) and (isinstance(value, int) or (isfinite(value) and value == int(value)))  # type: ignore[arg-type, call-overload]


TYPES: Final[Mapping[str, tuple[str, Callable[[object], bool]]]] = {
    "null": ("null", lambda value: value is None),
    "boolean": ("true or false", lambda value: isinstance(value, bool)),
    "object": ("an object", lambda value: isinstance(value, dict)),
    "array": ("a list", lambda value: isinstance(value, list)),
    "number": ("a number", is_number),
    "string": ("a text", lambda value: isinstance(value, str)),
    "integer": ("an integer", is_integer),
}


def key_of(value: object, run: Run, path: Path) -> object:
    """Equal for values that JSON Schema calls equal: 1 is 1.0, and is not true."""
    run.step(path)
    match value:
        case bool() | None:
            return (type(value), value)
        case int() | float() | str():
            return value
        case list():
            return ("list", tuple(key_of(each, run, path) for each in value))
        case dict():
            return ("object", frozenset((name, key_of(each, run, path)) for name, each in value.items()))
    return value


def finder_of(pattern: object, at: str) -> Callable[[str], bool]:
    """Whether a text has what a pattern finds. Total."""
    if not isinstance(pattern, str):
        raise SchemaRefused(f"{at} is not a text")
    try:
        search = compiled_regex(pattern).search
    except OperandRefused as refused:
        raise SchemaRefused(f"{at} {refused}", refused.hint) from None

    def finds(text: str) -> bool:
        try:
            return search(text) is not None
        except UnicodeEncodeError:
            # An unpaired surrogate, which neither UTF-8 nor RE2 knows.
            return False

    return finds


def names_of(written: object, at: str) -> list[str]:
    if not isinstance(written, list) or not all(isinstance(each, str) for each in written):
        raise SchemaRefused(f"{at} is not a list of names")
    return written


def below(at: str, name: str) -> str:
    """The JSON pointer of something inside of what is at another one."""
    return f"{at}/{name.replace('~', '~0').replace('/', '~1')}"


def beside(at: str, keyword: str) -> str:
    """The JSON pointer of a keyword of the same schema."""
    return f"{at.rpartition('/')[0]}/{keyword}"


class Compiling(Protocol):
    """What makes the schemas inside a schema."""

    def schema(self, written: object, at: str) -> "Node": ...

    def map(self, written: object, at: str) -> dict[str, "Node"]: ...

    def list(self, written: object, at: str) -> Sequence["Node"]: ...
