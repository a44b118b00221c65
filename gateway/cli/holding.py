"""``gateway destinations pause``, ``resume``, ``mute`` and ``unmute``."""

from collections.abc import Mapping
from typing import Any, Literal

from gateway.cli import api, terminal
from gateway.errors import GatewayError
from gateway.wording import is_duration, seconds


class BadDuration(GatewayError):
    """``--for`` is not a duration."""

    exit_code = 2


def hold(verb: Literal["pause", "mute"], *, url: str, as_json: bool, name: str, reason: str, for_: str | None) -> int:
    """Hold a destination's deliveries, or silence its notifications, for a time, or until a person resumes or unmutes it."""
    if for_ is not None and not is_duration(for_):
        raise BadDuration(f"--for {for_}: not a valid duration; write 30m, 2h or 1d")
    for_s = None if for_ is None else seconds(for_)
    answer = api.ask(url, f"{_path(name)}/{verb}", {"reason": reason, "for_s": for_s, "by": api.who()})
    if as_json:
        terminal.print_json(answer)
    elif verb == "pause":
        terminal.say(f"{name} is {answer['held']}")
    else:
        terminal.say(f"{name} is muted{f' for {for_}' if for_ else ''}: {reason}")
    return 0


def free(verb: Literal["resume", "unmute"], *, url: str, as_json: bool, name: str) -> int:
    """Undo a pause or a mute."""
    answer = api.ask(url, f"{_path(name)}/{verb}", {"by": api.who()})
    if as_json:
        terminal.print_json(answer)
    else:
        terminal.say(_freed(verb, name, answer))
    return 0


def _freed(verb: str, name: str, answer: Mapping[str, Any]) -> str:
    if verb == "unmute":
        return f"notifications for {name} are back on" if answer.get("was_muted", True) else f"{name} was not muted"
    return str(answer["did"])


def _path(name: str) -> str:
    return f"/api/destinations/{api.part(name)}"
