"""``gateway check``, and how every verb prints the problems of routes.yaml."""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from gateway.cli import surroundings, terminal
from gateway.config import format_problem
from gateway.egress import unix
from gateway.egress.addresses import Reach, is_localhost, literal, standing
from gateway.errors import ConfigError, Problem
from gateway.operate import views
from gateway.routing import Config
from gateway.routing.destinations import Destination
from gateway.wording import count


def check(*, config: Path, strict: bool, output: str, no_env: bool) -> int:
    """Print every problem; 1 if one of them is an error, or a warning with ``strict``."""
    loaded, problems = everything(config, no_env=no_env)
    _FORMATS[output](config, problems)
    if loaded is None:
        return 1
    refused = strict and bool(problems)
    if output == "text":
        print("\n".join(_verdict(config, loaded, len(problems), refused=refused)))
    return 1 if refused else 0


def everything(path: Path, *, no_env: bool = False) -> tuple[Config | None, Sequence[Problem]]:
    """The file, and every problem in it and around it; None if one is an error, in its tests or elsewhere."""
    env_file = path.parent / ".env"
    variables = (*surroundings.exposed_secrets(env_file), *surroundings.doubtful_variables(env_file))
    try:
        loaded = surroundings.loaded(path, no_env=no_env, tests=True)
    except ConfigError as error:
        return None, [*error.problems, *variables]
    # Without an environment this is not the machine of the gateway.
    unwritable = surroundings.unwritable(path, loaded, elsewhere=no_env)
    return loaded, [*loaded.warnings, *variables, *unwritable]


def report(error: ConfigError) -> None:
    """Print the problems and their number on standard error, for verbs whose output is something else."""
    for problem in error.problems:
        print(format_problem(problem), file=sys.stderr)
    print(_counted(error.problems), file=sys.stderr)


def summary(path: Path, config: Config) -> str:
    """One line about a file without errors."""
    parts = (
        count(len(config.sources), "source"), count(config.routes, "route"), count(len(config.destinations), "destination")
    )  # fmt: skip
    return f"{path}: ok, {', '.join(parts)}"


# --- the formats ---


def _as_text(_path: Path, problems: Sequence[Problem]) -> None:
    for problem in problems:
        print(format_problem(problem))
    if errors(problems):
        print(_counted(problems))


def _verdict(path: Path, config: Config, warned: int, *, refused: bool) -> Iterator[str]:
    """The lines below the warnings of a file that can be loaded; ``warned``: how many there are."""
    yield from _secrets_in(config)
    yield from _private_addresses(config)
    warnings = count(warned, "warning")
    if refused:
        yield f"{path}: {warnings}, which --strict does not allow"
    else:
        yield summary(path, config) + (f", {warnings}" if warned else "")


def _as_json(_path: Path, problems: Sequence[Problem]) -> None:
    terminal.print_json([views.problem(each) for each in problems])


def _as_github(path: Path, problems: Sequence[Problem]) -> None:
    """An annotation for each, which GitHub shows in the pull request at its line."""
    for each in problems:
        place = {"file": str(path.parent / each.place.file), "line": each.place.line, "col": each.place.column}
        parts = [f"{name}={_property(str(value))}" for name, value in place.items() if value]
        hint = f"  ({each.hint})" if each.hint else ""
        message = _data(f"{each.message}{hint}")
        print(f"::{each.severity} {','.join([*parts, 'title=gateway check'])}::{message}")


_FORMATS: Final[Mapping[str, Callable[[Path, Sequence[Problem]], None]]] = {
    "text": _as_text,
    "json": _as_json,
    "github": _as_github,
}


def _data(text: str) -> str:
    """GitHub's escaping of a command's message (actions/toolkit, command.ts)."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def _counted(problems: Sequence[Problem]) -> str:
    """``1 problem, 2 warnings``."""
    found = errors(problems)
    warnings = len(problems) - found
    return count(found, "problem") + (f", {count(warnings, 'warning')}" if warnings else "")


def errors(problems: Sequence[Problem]) -> int:
    return sum(problem.severity == "error" for problem in problems)


def _secrets_in(config: Config) -> Iterator[str]:
    """Information, not a finding: a file that nobody else reads may hold its secrets."""
    return (f"note: {each.place}: {each.message}  ({each.hint})" for each in config.literal_secrets)


def _private_addresses(config: Config) -> Iterator[str]:
    """Information, not a finding: a sidecar is meant to forward to a service next to it."""
    for name, destination in config.destinations.items():
        if name not in config.inboxes and (where := _whereabouts(destination)):
            yield f"note: {name}: {config.masks.text(where)}"


def _whereabouts(destination: Destination) -> str:
    """What is not on the internet, or may not be; empty: nothing to say."""
    url, door = destination.target.url, destination.door
    if url.startswith(unix.SCHEME):
        return f"{unix.parted(url)[0]} is a socket of this machine"
    host = urlsplit(url).hostname or ""
    if host and door.proxy:
        return f"{host} is looked up by the proxy {urlsplit(door.proxy).hostname}"
    if host and _is_private(host):
        if is_localhost(host) or host in {"127.0.0.1", "::1"}:
            return f"{host} is the machine or container of the gateway: right if the destination runs there"
        return f"{host} is a private address: fine if the gateway runs in the same network"
    if destination.kind.is_hosted and not door.public:
        return f"{host} may resolve to a private address (public: false)"
    return f"{host} is a name in the local network" if _is_short(host) and not door.public else ""


def _is_short(host: str) -> bool:
    return bool(host) and "." not in host and ":" not in host


def _is_private(host: str) -> bool:
    address = literal(host)
    return is_localhost(host) if address is None else standing(address).reach is Reach.PRIVATE
