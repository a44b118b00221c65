"""A pytest plugin: wherever this package is installed, pytest collects the ``tests`` of a routes.yaml.

It imports nothing else of the gateway until there is such a file.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from gateway.routing import Config
    from gateway.routing.cases import Test

#: Other programs may have a routes.yaml, too. Ours has a version, and tests in it or in an included file.
_VERSION = re.compile(rb"^(?:\xef\xbb\xbf)?version:", re.MULTILINE)
_TESTS = re.compile(rb"^(?:tests|include):", re.MULTILINE)


class Failed(Exception):
    """A test in routes.yaml failed."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--routes``."""
    group = parser.getgroup("gateway")
    group.addoption(
        "--routes", metavar="FILE", action="append", default=[], help="Also run the tests of this routes.yaml."
    )


def pytest_configure(config: pytest.Config) -> None:
    """Collect the files given with ``--routes``, whatever their name and folder."""
    named = config.getoption("--routes")
    config.args.extend(path for path in named if path not in config.args)


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> "RoutesFile | None":
    """Collect a routes.yaml with tests, and every file given with ``--routes``."""
    named = parent.config.getoption("--routes")
    if _is_one_of(file_path, named) or (file_path.name == "routes.yaml" and _is_ours(file_path)):
        return RoutesFile.from_parent(parent, path=file_path)
    return None


def _is_one_of(path: Path, named: Sequence[str]) -> bool:
    return bool(named) and path.resolve() in {Path(each).resolve() for each in named}


def _is_ours(path: Path) -> bool:
    try:
        text = path.read_bytes()
    except OSError:
        return False
    return bool(_VERSION.search(text) and _TESTS.search(text))


class RoutesFile(pytest.File):
    """A routes.yaml."""

    def collect(self) -> Iterator["RoutesItem"]:
        """Its tests. Raises CollectError with the problems of a file that does not load."""
        from gateway.config import format_problem
        from gateway.errors import ConfigError
        from gateway.rehearsal.expectations import read

        try:
            config = read(self.path)
        except ConfigError as error:
            raise self.CollectError("\n".join(map(format_problem, error.problems))) from None
        for test in config.tests:
            yield RoutesItem.of(self, config, test)


class RoutesItem(pytest.Item):
    """One test of a routes.yaml."""

    gateway_config: "Config"
    test: "Test"

    @classmethod
    def of(cls, parent: RoutesFile, config: "Config", test: "Test") -> "RoutesItem":
        """The item for ``test``."""
        item: RoutesItem = cls.from_parent(parent, name=test.name)
        item.gateway_config, item.test = config, test
        return item

    def runtest(self) -> None:
        """Rehearse the event. Raises Failed."""
        from gateway.rehearsal.expectations import failures

        found = failures(self.gateway_config, self.test, self.path.parent, self.path.name)
        if found:
            raise Failed("\n".join(found))

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """The same text as ``gateway test`` prints."""
        if isinstance(excinfo.value, Failed):
            return f"{self.test.place.file}:{self.test.place.line}: {self.test.name}\n{excinfo.value}"
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int, str]:
        """Where it is written, possibly in an included file."""
        return self.path.parent / self.test.place.file, self.test.place.line - 1, self.test.name
