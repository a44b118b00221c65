"""The keywords about what is inside a list or an object."""

from collections.abc import Mapping, Sequence
from typing import Any

from gateway.event.schemas.run import (
    Check,
    Compiling,
    Failed,
    Node,
    Path,
    Run,
    SchemaRefused,
    below,
    beside,
    finder_of,
    is_integer,
    key_of,
    named,
    names_of,
)


def items_check(compiler: Compiling, written: object, others: Mapping[str, Any], at: str) -> Check:
    if isinstance(written, list):
        # Before 2020-12 a list of schemas is one for each position.
        first = [compiler.schema(each, f"{at}/{number}") for number, each in enumerate(written)]
        rest = compiler.schema(others.get("additionalItems", True), beside(at, "additionalItems"))
    else:
        before = others.get("prefixItems", [])
        first, rest = [], compiler.schema(written, at)
        return each_item_check(first, rest, len(before) if isinstance(before, list) else 0)
    return each_item_check(first, rest, len(first))


def prefix_items_check(compiler: Compiling, written: object, _others: Mapping[str, Any], at: str) -> Check:
    first = compiler.list(written, at)
    return each_item_check(first, None, len(first))


def each_item_check(first: Sequence[Node], rest: Node | None, start: int) -> Check:
    def check(value: object, path: Path, run: Run, depth: int) -> None:
        if not isinstance(value, list):
            return
        for number, (schema, each) in enumerate(zip(first, value, strict=False)):
            schema.check(each, (*path, str(number)), run, depth)
        if rest is not None and (rest.checks or start):
            for number, each in enumerate(value[start:], start):
                rest.check(each, (*path, str(number)), run, depth)

    return check


def contains_check(compiler: Compiling, written: object, others: Mapping[str, Any], at: str) -> Check:
    schema = compiler.schema(written, at)
    least, most = others.get("minContains", 1), others.get("maxContains")
    for name, limit in (("minContains", least), ("maxContains", most)):
        if limit is not None and not is_integer(limit):
            raise SchemaRefused(f"{beside(at, name)} is not a whole number")

    def check(value: object, path: Path, run: Run, depth: int) -> None:
        if not isinstance(value, list):
            return
        found = sum(schema.fits(each, path, run, depth) for each in value)
        if found < least:
            raise Failed(path, "has too few of the elements that it must contain")
        if most is not None and found > most:
            raise Failed(path, "has too many of the elements that it may contain")

    return check


def unique_check(_compiler: Compiling, written: object, _others: Mapping[str, Any], at: str) -> Check:
    if not isinstance(written, bool):
        raise SchemaRefused(f"{at} is not true or false")

    def check(value: object, path: Path, run: Run, _depth: int) -> None:
        if written and isinstance(value, list) and len({key_of(each, run, path) for each in value}) < len(value):
            raise Failed(path, "has an element twice")

    return check


def required_check(_compiler: Compiling, written: object, _others: Mapping[str, Any], at: str) -> Check:
    names = names_of(written, at)

    def check(value: object, path: Path, run: Run, _depth: int) -> None:
        if isinstance(value, dict):
            run.step(path, len(names))
            for name in names:
                if name not in value:
                    raise Failed(path, f"has no {named(name)}")

    return check


def properties_check(compiler: Compiling, _written: object, others: Mapping[str, Any], at: str) -> Check:
    """``properties`` with ``patternProperties`` and ``additionalProperties``, which look at what the others leave."""
    known = compiler.map(others.get("properties", {}), beside(at, "properties"))
    at_patterns = beside(at, "patternProperties")
    patterns = [
        (finder_of(pattern, below(at_patterns, pattern)), schema)
        for pattern, schema in compiler.map(others.get("patternProperties", {}), at_patterns).items()
    ]
    additional = others.get("additionalProperties", True)
    rest = compiler.schema(additional, beside(at, "additionalProperties"))

    def check(value: object, path: Path, run: Run, depth: int) -> None:
        if not isinstance(value, dict):
            return
        if additional is True and not patterns:
            for name, schema in known.items():
                if name in value:
                    schema.check(value[name], (*path, name), run, depth)
            return
        for name, each in value.items():
            run.step(path, 1 + len(patterns))
            own = [known[name]] if name in known else []
            own += [schema for finds, schema in patterns if finds(name)]
            if not own and additional is False:
                raise Failed(path, f"has {named(name)}, which is not allowed")
            for schema in own or [rest]:
                schema.check(each, (*path, name), run, depth)

    return check


def _nothing(_value: object, _path: Path, _run: Run, _depth: int) -> None:
    """What another keyword checks."""


def pattern_properties_check(compiler: Compiling, written: object, others: Mapping[str, Any], at: str) -> Check:
    return _nothing if "properties" in others else properties_check(compiler, written, others, at)


def additional_check(compiler: Compiling, written: object, others: Mapping[str, Any], at: str) -> Check:
    is_done = "properties" in others or "patternProperties" in others
    return _nothing if is_done else properties_check(compiler, written, others, at)


def property_names_check(compiler: Compiling, written: object, _others: Mapping[str, Any], at: str) -> Check:
    schema = compiler.schema(written, at)

    def check(value: object, path: Path, run: Run, depth: int) -> None:
        for name in value if isinstance(value, dict) else ():
            if not schema.fits(name, path, run, depth):
                raise Failed(path, f"has {named(name)}, a name that is not allowed")

    return check


def dependent_required_check(_compiler: Compiling, written: object, _others: Mapping[str, Any], at: str) -> Check:
    if not isinstance(written, dict):
        raise SchemaRefused(f"{at} is not an object")
    needed = {name: names_of(each, below(at, name)) for name, each in written.items()}

    def check(value: object, path: Path, run: Run, _depth: int) -> None:
        if not isinstance(value, dict):
            return
        for name, others in needed.items():
            run.step(path, len(others))
            if name in value and (lacking := next((each for each in others if each not in value), None)) is not None:
                raise Failed(path, f"has {named(name)} but no {named(lacking)}")

    return check


def dependent_schemas_check(compiler: Compiling, written: object, _others: Mapping[str, Any], at: str) -> Check:
    schemas = compiler.map(written, at)

    def check(value: object, path: Path, run: Run, depth: int) -> None:
        for name, schema in schemas.items() if isinstance(value, dict) else ():
            if name in value:  # type: ignore[operator]
                schema.check(value, path, run, depth)

    return check


def dependencies_check(compiler: Compiling, written: object, others: Mapping[str, Any], at: str) -> Check:
    if not isinstance(written, dict):
        raise SchemaRefused(f"{at} is not an object")
    names = {name: each for name, each in written.items() if isinstance(each, list)}
    schemas = {name: each for name, each in written.items() if name not in names}
    checks = (
        dependent_required_check(compiler, names, others, at),
        dependent_schemas_check(compiler, schemas, others, at),
    )

    def check(value: object, path: Path, run: Run, depth: int) -> None:
        for each in checks:
            each(value, path, run, depth)

    return check
