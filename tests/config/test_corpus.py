"""Every mistake has its file, and beside it exactly what ``gateway check`` prints about it."""

from pathlib import Path

import pytest

from gateway.config import format_problem, load
from gateway.errors import ConfigError

HERE = Path(__file__).parent
ENVIRON = {"HUSH": "the-value-of-hush", "CRM_TOKEN": "t0ken"}
BAD = sorted((HERE / "bad").glob("*.yaml"))
GOOD = sorted((HERE / "good").glob("*.yaml"))
WARNED = sorted((HERE / "warned").glob("*.yaml"))


def check(path: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        load(path, environ=ENVIRON)
    return as_printed(path, caught.value.problems)


def as_printed(path, problems):
    printed = "\n".join(format_problem(problem) for problem in problems)
    return printed.replace(path.name, "routes.yaml") + "\n"


@pytest.mark.parametrize("path", BAD, ids=lambda path: path.stem)
def test_a_mistake_is_explained_with_its_place_and_its_remedy(path):
    assert check(path) == path.with_suffix(".txt").read_text("utf-8")


@pytest.mark.parametrize("path", BAD, ids=lambda path: path.stem)
def test_what_comes_from_outside_is_never_printed(path):
    printed = check(path)
    assert "the-value-of-hush" not in printed
    assert "t0ken" not in printed
    assert "hush-hush" not in printed


@pytest.mark.parametrize("path", GOOD, ids=lambda path: path.stem)
def test_a_file_in_order_loads_without_a_warning(path):
    assert load(path, environ=ENVIRON).warnings == ()


@pytest.mark.parametrize("path", WARNED, ids=lambda path: path.stem)
def test_what_is_hardly_meant_is_a_warning_and_the_file_loads(path):
    assert as_printed(path, load(path, environ=ENVIRON).warnings) == path.with_suffix(".txt").read_text("utf-8")
