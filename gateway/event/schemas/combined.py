"""The keywords that combine schemas."""

from collections.abc import Mapping
from typing import Any

from gateway.event.schemas.run import Check, Compiling, Failed, Path, Run, beside


def all_of_check(compiler: Compiling, written: object, _others: Mapping[str, Any], at: str) -> Check:
    schemas = compiler.list(written, at)

    def check(value: object, path: Path, run: Run, depth: int) -> None:
        for schema in schemas:
            schema.check(value, path, run, depth)

    return check


def any_of_check(compiler: Compiling, written: object, _others: Mapping[str, Any], at: str) -> Check:
    schemas = compiler.list(written, at)

    def check(value: object, path: Path, run: Run, depth: int) -> None:
        first: Failed | None = None
        for schema in schemas:
            try:
                schema.check(value, path, run, depth)
            except Failed as failed:
                first = first or failed
            else:
                return
        assert first is not None
        raise Failed(first.path, first.reason if len(schemas) == 1 else f"{first.reason}, and fits no alternative")

    return check


def one_of_check(compiler: Compiling, written: object, others: Mapping[str, Any], at: str) -> Check:
    schemas, any_of = compiler.list(written, at), any_of_check(compiler, written, others, at)

    def check(value: object, path: Path, run: Run, depth: int) -> None:
        fitting = sum(schema.fits(value, path, run, depth) for schema in schemas)
        if fitting > 1:
            raise Failed(path, f"fits {fitting} alternatives, of which only one may fit")
        if not fitting:
            any_of(value, path, run, depth)

    return check


def not_check(compiler: Compiling, written: object, _others: Mapping[str, Any], at: str) -> Check:
    schema = compiler.schema(written, at)

    def check(value: object, path: Path, run: Run, depth: int) -> None:
        if schema.fits(value, path, run, depth):
            raise Failed(path, "is what it must not be")

    return check


def if_check(compiler: Compiling, written: object, others: Mapping[str, Any], at: str) -> Check:
    condition = compiler.schema(written, at)
    then = compiler.schema(others.get("then", True), beside(at, "then"))
    otherwise = compiler.schema(others.get("else", True), beside(at, "else"))

    def check(value: object, path: Path, run: Run, depth: int) -> None:
        schema = then if condition.fits(value, path, run, depth) else otherwise
        schema.check(value, path, run, depth)

    return check
