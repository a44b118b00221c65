"""The operators of a condition: one entry in OPERATORS says everything about an operator.

The loader, the JSON Schema, the reference, the warnings about conditions that always or never hold, and the tests are
all derived from the entries. ``explain`` quotes a condition as it was written, so an operator needs no words for it.
Only plain values are indexed (see ``match``): an operator is evaluated for each rule that uses it.

To add an operator, write its entry here and its cases in tests/event/test_operators.py, then run ``make docs`` and
``make test``. A test reports each part that is missing.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from itertools import repeat
from operator import ge, gt, is_, le, lt
from typing import Any, Final, TypeVar

from msgspec import Struct

from gateway.event import regexes
from gateway.event.paths import MISSING
from gateway.event.patterns import glob
from gateway.event.values import Value, as_json, as_number, json_key, moment, number
from gateway.wording import truth_like

T = TypeVar("T")

#: A total test of any value of an event, MISSING included.
Test = Callable[[object], bool]

#: Compiled regular expressions to keep: a reload compiles the same ones again.
_REGEXES_KEPT: Final = 4096


class OperandRefused(ValueError):
    """The operand does not fit the operator; the message continues '"prefix" of "attrs.phone"'."""

    def __init__(self, message: str, hint: str = "", position: int | None = None) -> None:
        self.hint = hint
        #: Which of the operands is at fault; None: all of them, or how they go together.
        self.position = position
        super().__init__(message)


class Kind(Struct, frozen=True, kw_only=True, eq=False):
    """What each value of an operand must be."""

    #: The same as JSON Schema.
    schema: Mapping[str, Any]
    fits: Callable[[Value], bool]
    #: What to write, for hints.
    needs: str
    #: What to say of a value that does not fit; ``{}`` is the value.
    problem: str = ""
    #: What to write instead of a value that does not fit; empty if only ``needs`` can say.
    hint: Callable[[Value], str] = lambda _: ""
    #: Stands in for an unset variable where any text would not fit.
    stand_in: str | None = None


class Operand(Struct, frozen=True):
    """The shape of an operand: which values, and how many of them."""

    kind: Kind
    #: How many values, in a list; None: one value or a list of alternatives, at least one of which must do.
    count: int | None = None

    @property
    def schema(self) -> Mapping[str, Any]:
        """The shape as JSON Schema."""
        most = {} if self.count is None else {"maxItems": self.count}
        several = {"type": "array", "items": self.kind.schema, "minItems": self.count or 1, **most}
        return several if self.count and self.count > 1 else {"anyOf": [self.kind.schema, several]}

    @property
    def needs(self) -> str:
        """What to write, for hints."""
        if self.count in (None, 1):
            return self.kind.needs
        return f"a list of {self.count} values, each {self.kind.needs}"

    def check(self, values: Sequence[Value]) -> None:
        """Raises OperandRefused."""
        if self.count not in (None, len(values)):
            if self.count == 1:
                raise OperandRefused("needs one value, not a list", f"write {self.needs}")
            raise OperandRefused(f"needs a list of {self.count} values", f"each {self.kind.needs}")
        for position, value in enumerate(values):
            if not self.kind.fits(value):
                raise OperandRefused(self.kind.problem.format(as_json(value)), self.kind.hint(value), position)


def _depends(*_: Value) -> bool | None:
    return None


class Operator(Struct, frozen=True, kw_only=True):
    """Everything about one operator of a condition."""

    #: When it holds, or what it is given, in one line: for the reference, editors and hints.
    about: str
    operand: Operand
    #: Turns operands of the right shape into a test of a field's value. May raise OperandRefused.
    compile: Callable[..., Test]
    #: Whether it can hold for a missing field.
    holds_when_missing: bool = False
    #: Whether it holds for every event (true) or none (false) with these operands; None: it depends on the event.
    constant: Callable[..., bool | None] = _depends
    #: Whether a map of operators may be written instead, which must not hold.
    nests: bool = False
    #: Its names in other languages, for a hint.
    also_called: tuple[str, ...] = ()

    @property
    def schema(self) -> Mapping[str, Any]:
        """What may be written after it, as JSON Schema."""
        if not self.nests:
            return self.operand.schema
        return {"anyOf": [*self.operand.schema["anyOf"], {"type": "object", "minProperties": 1}]}

    def test(self, operands: Sequence[Value]) -> Test:
        """The test of a field's value. Raises OperandRefused."""
        self.operand.check(operands)
        return self.compile(*operands)


def any_of(one: Callable[[T], Test]) -> Callable[..., Test]:
    """Turn the test for one operand into the test for a list of alternatives."""

    def compile_all(*operands: T) -> Test:
        tests = tuple(map(one, operands))
        return tests[0] if len(tests) == 1 else lambda value: any(test(value) for test in tests)

    return compile_all


# --- how operators compare ---


def _flag(is_so: Callable[[object], bool]) -> Callable[..., Test]:
    return any_of(lambda wanted: lambda value: is_so(value) is wanted)


def _both_flags(*flags: Value) -> bool | None:
    return True if {True, False} <= set(flags) else None


def _is_empty(value: object) -> bool:
    return value is MISSING or value is None or value in ("", [], {})


def _none_of(*operands: Value) -> Test:
    keys = frozenset(map(json_key, operands))
    return lambda value: json_key(value) not in keys


@any_of
def _prefix(text: str) -> Test:
    return lambda value: isinstance(value, str) and value.startswith(text)


@any_of
def _suffix(text: str) -> Test:
    return lambda value: isinstance(value, str) and value.endswith(text)


@any_of
def _equals_ignore_case(text: str) -> Test:
    folded = text.casefold()
    # Folding never makes a text shorter, so a longer one is not folded at all.
    return lambda value: isinstance(value, str) and len(value) <= len(folded) and value.casefold() == folded


@any_of
def _regex(pattern: str) -> Test:
    search = compiled_regex(pattern).search

    def test(value: object) -> bool:
        try:
            return isinstance(value, str) and search(value) is not None
        except UnicodeEncodeError:
            # An unpaired surrogate, which neither UTF-8 nor RE2 knows.
            return False

    return test


@lru_cache(maxsize=_REGEXES_KEPT)
def compiled_regex(pattern: str) -> Any:
    """A regular expression of RE2, which is linear in its text. Raises OperandRefused."""
    import re2

    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(pattern, options)
    except re2.error as error:
        why = error.args[0].decode("utf-8", "replace") if isinstance(error.args[0], bytes) else str(error)
        is_foreign = "perl operator" in why or "escape sequence" in why
        hint = "RE2 has no lookaheads or backreferences" if is_foreign else ""
        if "repetition operator" in why:
            hint = regexes.instead(pattern)
        raise OperandRefused(f"cannot be compiled: {why}", hint) from None


@any_of
def _contains(operand: Value) -> Test:
    def test(value: object) -> bool:
        if isinstance(value, list):
            if operand not in (0, 1):
                return operand in value
            # To Python, true is 1 and false is 0. A step in Python for each element would take ten times as long.
            flags = sum(map(is_, value, repeat(bool(operand))))
            return flags > 0 if isinstance(operand, bool) else value.count(operand) > flags
        return isinstance(value, str) and isinstance(operand, str) and operand in value

    return test


def _is_ordered(value: Value) -> bool:
    return number(value) is not None or moment(value) is not None


def _ordered(compare: Callable[[float, float], bool]) -> Callable[..., Test]:
    """Numbers are compared with numbers and times with times."""

    def compile_one(operand: Value) -> Test:
        read: Callable[[object], int | float | None] = moment if number(operand) is None else number
        bound = read(operand)
        assert bound is not None

        def test(value: object) -> bool:
            found = read(value)
            return found is not None and compare(found, bound)

        return test

    return any_of(compile_one)


def _between(first: Value, last: Value) -> Test:
    read: Callable[[object], int | float | None] = moment if number(first) is None else number
    low, high = read(first), read(last)
    if low is None or high is None:
        raise OperandRefused("compares with a number and a time", "write two numbers or two times")
    if low > high:
        raise OperandRefused("has the greater value first", f"write [{as_json(last)}, {as_json(first)}]")

    def test(value: object) -> bool:
        found = read(value)
        return found is not None and low <= found <= high

    return test


# --- the registry ---

FLAG: Final = Kind(
    schema={"type": "boolean"},
    fits=lambda value: isinstance(value, bool),
    needs="true or false",
    problem="must be true or false",
    hint=lambda value: "" if (meant := truth_like(str(value))) is None else f"write {str(meant).lower()}",
)
TEXT: Final = Kind(
    schema={"type": "string"},
    fits=lambda value: isinstance(value, str),
    needs='text: "abc"',
    problem='needs text: write "{}" in quotes',
)
_NUMBER_OR_TIME: Final = "a number or an ISO time: 5, 2026-04-16, 2026-04-16T12:00:00Z"
ORDERED: Final = Kind(
    schema={"type": ["number", "string"]},
    fits=_is_ordered,
    needs=_NUMBER_OR_TIME,
    problem=f"needs {_NUMBER_OR_TIME}",
    hint=lambda value: "" if number(as_number(value)) is None else f"write {str(value).strip()}, without quotes",
    stand_in="2026-01-01T00:00:00Z",
)
ANY: Final = Kind(
    schema={"title": "value", "type": ["string", "number", "boolean", "null"]},
    fits=lambda _: True,
    needs="a plain value",
)

#: Every operator, in the order of the reference.
OPERATORS: Final[Mapping[str, Operator]] = {
    "exists": Operator(
        about="true: the field is there, even if it is null; false: it is missing",
        operand=Operand(FLAG),
        compile=_flag(lambda value: value is not MISSING),
        holds_when_missing=True,
        constant=_both_flags,
    ),
    "empty": Operator(
        about='true: the field is missing, null, "", [] or {}; false: it is none of these',
        operand=Operand(FLAG),
        compile=_flag(_is_empty),
        holds_when_missing=True,
        constant=_both_flags,
    ),
    "not": Operator(
        about="none of these values, or a map of operators that must not hold; holds for a missing field",
        operand=Operand(ANY),
        compile=_none_of,
        holds_when_missing=True,
        nests=True,
        also_called=("ne", "neq", "not_equals", "!=", "not_in", "nin", "$ne", "$nin"),
    ),
    "glob": Operator(
        about="text in which * stands for any characters: Order-*", operand=Operand(TEXT), compile=any_of(glob)
    ),
    "prefix": Operator(
        about='how the text begins: "+49"',
        operand=Operand(TEXT),
        compile=_prefix,
        also_called=("starts_with", "startswith", "begins_with"),
    ),
    "suffix": Operator(
        about="how the text ends: @example.com",
        operand=Operand(TEXT),
        compile=_suffix,
        also_called=("ends_with", "endswith"),
    ),
    "regex": Operator(
        about="an RE2 expression to find anywhere in the text, in single quotes: '^[0-9]+$'",
        operand=Operand(TEXT),
        compile=_regex,
        also_called=("matches", "match", "=~", "$regex"),
    ),
    "equals_ignore_case": Operator(
        about="the same text, in upper or lower case", operand=Operand(TEXT), compile=_equals_ignore_case
    ),
    "contains": Operator(about="an element of a list, or part of a text", operand=Operand(ANY), compile=_contains),
    "gt": Operator(
        about="greater than a number, or later than an ISO time",
        operand=Operand(ORDERED),
        compile=_ordered(gt),
        also_called=(">",),
    ),
    "gte": Operator(
        about="at least a number, or not before an ISO time",
        operand=Operand(ORDERED),
        compile=_ordered(ge),
        also_called=(">=",),
    ),
    "lt": Operator(
        about="less than a number, or earlier than an ISO time",
        operand=Operand(ORDERED),
        compile=_ordered(lt),
        also_called=("<",),
    ),
    "lte": Operator(
        about="at most a number, or not after an ISO time",
        operand=Operand(ORDERED),
        compile=_ordered(le),
        also_called=("<=",),
    ),
    "between": Operator(
        about="from the first to the second of two numbers or ISO times, both included: [100, 500]",
        operand=Operand(ORDERED, 2),
        compile=_between,
    ),
}
