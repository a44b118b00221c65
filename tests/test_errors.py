"""The error tree drawn in gateway/errors.py is the one in the code."""

import importlib
import pkgutil
import re
from collections.abc import Iterator
from typing import NamedTuple

import pytest

import gateway
from gateway import errors
from gateway.errors import GatewayError, RequestRefused

HOW = (
    "gateway/errors.py draws every error in its docstring. Draw it there as\n"
    "    Name    (room) what it means\n"
    "below its parent; no room for one defined in errors.py itself, and the words exit N or its HTTP status if it has one."
)


class Drawn(NamedTuple):
    name: str
    parent: str
    #: Where it is defined: a package or module of ``gateway``.
    room: str


def drawn() -> dict[Drawn, str]:
    """Every error of the drawing, and what is written next to it."""
    found, path = {}, ["GatewayError"]
    for line in (errors.__doc__ or "").splitlines():
        if branch := re.match(r"    ((?:│   |    )*)[├└]── (\w+) +(?:\((\w+)\) )?(.*)", line):
            depth = len(branch[1]) // 4 + 1
            path[depth:] = [branch[2]]
            found[Drawn(branch[2], path[depth - 1], branch[3] or "errors")] = branch[4]
    return found


def defined() -> dict[Drawn, type[GatewayError]]:
    """Every error of the package, by its place in the drawing."""
    for module in pkgutil.walk_packages(gateway.__path__, "gateway."):
        if module.name != "gateway.__main__":
            importlib.import_module(module.name)
    return {
        Drawn(each.__name__, each.__bases__[0].__name__, each.__module__.split(".")[1]): each
        for each in subclasses(GatewayError)
        if each.__module__.startswith("gateway.")
    }


def subclasses(kind: type[GatewayError]) -> Iterator[type[GatewayError]]:
    for each in kind.__subclasses__():
        yield each
        yield from subclasses(each)


def listing(of: set[Drawn]) -> str:
    return "\n".join(f"    {each.name} ({each.room}), below {each.parent}" for each in sorted(of))


def test_every_error_is_drawn_below_its_parent_with_the_room_that_defines_it():
    missing = defined().keys() - drawn().keys()
    assert not missing, f"not in the drawing:\n{listing(missing)}\n{HOW}"


def test_every_error_that_is_drawn_exists():
    gone = drawn().keys() - defined().keys()
    assert not gone, f"drawn, but not in the code (renamed, moved or removed?):\n{listing(gone)}\n{HOW}"


@pytest.mark.parametrize("error", defined().values(), ids=lambda each: each.__name__)
def test_the_drawing_names_exit_codes_and_statuses(error):
    place = Drawn(error.__name__, error.__bases__[0].__name__, error.__module__.split(".")[1])
    beside = drawn().get(place, "")
    if error.exit_code != GatewayError.exit_code:
        assert f"exit {error.exit_code}" in beside, HOW
    if issubclass(error, RequestRefused) and error is not RequestRefused:
        assert str(error.status) in beside, HOW


def test_every_error_says_what_it_means():
    silent = [each.__name__ for each in defined().values() if not each.__doc__]
    assert silent == []
