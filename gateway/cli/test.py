"""``gateway test``: the ``tests`` of a routes.yaml."""

import json
from collections.abc import Sequence
from pathlib import Path

from gateway.errors import GatewayError
from gateway.rehearsal.expectations import failures, read
from gateway.routing.cases import Test
from gateway.wording import count


class NoTests(GatewayError):
    """The file has no tests, so nothing was tested."""


def test(*, config: Path, as_json: bool) -> int:
    """Run every test; 1 if one fails. Raises ConfigError."""
    loaded = read(config)
    if not loaded.tests:
        raise NoTests(
            f'{config} has no tests: write some under tests: (the page "Write a test" of the documentation shows how)'
        )
    results = [(each, failures(loaded, each, config.parent, config.name)) for each in loaded.tests]
    print(_as_json(results) if as_json else _as_text(results))
    return 1 if any(found for _, found in results) else 0


def _as_text(results: Sequence[tuple[Test, Sequence[str]]]) -> str:
    lines = [line for test, found in results for line in _lines(test, found)]
    failed = sum(bool(found) for _, found in results)
    return "\n".join([*lines, f"{count(len(results), 'test')}, {failed or 'none'} failed"])


def _lines(test: Test, found: Sequence[str]) -> Sequence[str]:
    if not found:
        return [f"ok    {test.name}"]
    return [f"FAIL  {test.name} ({test.place.file}:{test.place.line})", *(f"      {line}" for line in found)]


def _as_json(results: Sequence[tuple[Test, Sequence[str]]]) -> str:
    shown = [
        {"name": test.name, "file": test.place.file, "line": test.place.line, "ok": not found, "failures": found}
        for test, found in results
    ]
    failed = sum(bool(found) for _, found in results)
    return json.dumps({"tests": len(results), "failed": failed, "results": shown}, indent=2, ensure_ascii=False)
