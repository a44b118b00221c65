"""The keywords about a value by itself: its type, its limits, its pattern."""

from collections.abc import Callable, Mapping
from typing import Any

from msgspec import json

from gateway.event.schemas.run import (
    LONGEST_PATH,
    TYPES,
    Check,
    Compiling,
    Failed,
    Path,
    Run,
    SchemaRefused,
    TooMuch,
    finder_of,
    is_integer,
    is_number,
    key_of,
    named,
)
from gateway.wording import printable


def type_check(_compiler: Compiling, written: object, _others: Mapping[str, Any], at: str) -> Check:
    names: list[Any] = written if isinstance(written, list) else [written]
    if not names or not all(isinstance(each, str) and each in TYPES for each in names):
        raise SchemaRefused(f"{at} is not a type", f"known: {', '.join(TYPES)}")
    kinds = [TYPES[each] for each in names]
    called = " or ".join(called for called, _ in kinds)

    def check(value: object, path: Path, _run: Run, _depth: int) -> None:
        if not any(fits(value) for _, fits in kinds):
            raise Failed(path, f"is not {called}")

    return check


def enum_check(_compiler: Compiling, written: object, _others: Mapping[str, Any], at: str) -> Check:
    if not isinstance(written, list):
        raise SchemaRefused(f"{at} is not a list")
    run = Run()
    try:
        allowed = {key_of(each, run, ()) for each in written}
    except TooMuch:
        raise SchemaRefused(f"{at} has too many values") from None
    shown = ", ".join(json.encode(each).decode() for each in written[:10] if not isinstance(each, dict | list))
    shown = printable(shown)[:LONGEST_PATH]

    def check(value: object, path: Path, run: Run, _depth: int) -> None:
        if key_of(value, run, path) not in allowed:
            raise Failed(path, f"is none of {shown}" if len(written) > 1 else f"is not {shown}")

    return check


def const_check(compiler: Compiling, written: object, others: Mapping[str, Any], at: str) -> Check:
    return enum_check(compiler, [written], others, at)


def bound_check(holds: Callable[[Any, Any], bool], words: str) -> Callable[..., Check]:
    def make(_compiler: Compiling, written: object, _others: Mapping[str, Any], at: str) -> Check:
        if not is_number(written):
            raise SchemaRefused(f"{at} is not a number")

        def check(value: object, path: Path, _run: Run, _depth: int) -> None:
            if is_number(value) and not holds(value, written):
                raise Failed(path, f"is {words} {written}")

        return check

    return make


def multiple_check(_compiler: Compiling, written: object, _others: Mapping[str, Any], at: str) -> Check:
    if not is_number(written) or not written > 0:  # type: ignore[operator]
        raise SchemaRefused(f"{at} is not a number above 0")
    from decimal import Decimal, InvalidOperation

    unit = Decimal(repr(written))

    def check(value: object, path: Path, _run: Run, _depth: int) -> None:
        if not is_number(value):
            return
        try:
            is_multiple = Decimal(repr(value)) % unit == 0
        except (InvalidOperation, ValueError):
            is_multiple = isinstance(value, int) and isinstance(written, int) and value % written == 0
        if not is_multiple:
            raise Failed(path, f"is not a multiple of {written}")

    return check


def size_check(of: type, words: str, *, least: bool) -> Callable[..., Check]:
    def make(_compiler: Compiling, written: object, _others: Mapping[str, Any], at: str) -> Check:
        if not is_integer(written) or written < 0:  # type: ignore[operator]
            raise SchemaRefused(f"{at} is not a whole number from 0")
        limit = int(written)  # type: ignore[call-overload]

        def check(value: object, path: Path, _run: Run, _depth: int) -> None:
            if isinstance(value, of) and (len(value) < limit if least else len(value) > limit):  # type: ignore[arg-type]
                raise Failed(path, f"has {'fewer' if least else 'more'} than {limit} {words}")

        return check

    return make


def pattern_check(_compiler: Compiling, written: object, _others: Mapping[str, Any], at: str) -> Check:
    finds, shown = finder_of(written, at), named(str(written))

    def check(value: object, path: Path, run: Run, _depth: int) -> None:
        if isinstance(value, str):
            run.step(path, len(value) >> 8)
            if not finds(value):
                raise Failed(path, f"does not match the pattern {shown}")

    return check
