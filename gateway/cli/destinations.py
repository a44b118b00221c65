"""``gateway destinations``: what holds a destination of the running gateway; pausing and resuming one."""

import getpass
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import click

from gateway.cli.look import Unreachable, ask, print_json
from gateway.config.values import is_duration, seconds
from gateway.errors import GatewayError, printable


class PauseRefused(GatewayError):
    """It cannot be paused for so long."""


def list_all(*, url: str, as_json: bool) -> int:
    """Every destination, a line each, with what holds it."""
    found = _asked(url, "/api/destinations")
    if as_json:
        print_json(found)
        return 0
    width = max((len(each["name"]) for each in found), default=0)
    for each in found:
        click.echo(f"{each['name']:<{width}}  {each['type']:<10}  {printable(each['held']) or 'open'}")
    return 0


def pause(*, url: str, as_json: bool, name: str, reason: str, for_: str | None) -> int:
    """Hold its deliveries until it is resumed, or for a time."""
    if for_ is not None and not is_duration(for_):
        raise PauseRefused(f"--for {for_}: that is no duration; write 30m, 2h or 1d")
    for_s = None if for_ is None else seconds(for_)
    told = _asked(url, f"{_path(name)}/pause", {"reason": reason, "for_s": for_s, "by": _who()})
    _tell(told, f"{name} is {printable(told['held'])}", as_json=as_json)
    return 0


def resume(*, url: str, as_json: bool, name: str) -> int:
    """Let it go on with what has waited."""
    told = _asked(url, f"{_path(name)}/resume", {"by": _who()})
    if told["held"]:
        said = f"{name} is still held: {printable(told['held'])}"
    elif told["was_paused"]:
        said = f"{name} goes on"
    else:
        said = f"{name} was not paused"
    _tell(told, said, as_json=as_json)
    return 0


def _path(name: str) -> str:
    return f"/api/destinations/{quote(name, safe='')}"


def _asked(url: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
    answer = ask(url, path, body)
    if answer is None:
        raise Unreachable("no gateway is running here: start it, or name its admin address with --url")
    return answer


def _who() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "cli"


def _tell(told: object, said: str, *, as_json: bool) -> None:
    if as_json:
        print_json(told)
    else:
        click.echo(said)
