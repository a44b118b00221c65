"""``gateway check``, and the way every verb loads routes.yaml."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from gateway.config import Config, format_problem, load, read_env_file
from gateway.errors import ConfigError, GatewayError


class EnvFileUnreadable(GatewayError):
    """The file of variables is there and cannot be read."""


def environment(env_file: Path | None) -> Mapping[str, str]:
    """The process environment on top of the variables in ``env_file``, if there is one.

    Raises ConfigError for what is wrong in it, EnvFileUnreadable when it cannot be read.
    """
    if env_file is None:
        return os.environ
    try:
        return {**read_env_file(env_file), **os.environ}
    except FileNotFoundError:
        return os.environ
    except OSError as error:
        raise EnvFileUnreadable(f"{env_file}: {os.strerror(error.errno or 0).lower()}") from None


def usual_address(variable: str, default: str) -> str:
    """Where a gateway that was started from the same environment listens: ``http://127.0.0.1:8080``."""
    host, _, port = os.environ.get(variable, default).rpartition(":")
    if port == "0" or not host:
        return f"http://{default}"
    return f"http://{'127.0.0.1' if host in ('0.0.0.0', '[::]') else host}:{port}"  # noqa: S104  it is not bound here


def check(path: Path) -> int:
    """Print every problem; 1 if one of them is an error."""
    try:
        config = load(path, environ=environment(path.parent / ".env"))
    except ConfigError as error:
        report(error)
        return 1
    for warning in config.warnings:
        print(format_problem(warning))
    print(summary(path, config))
    return 0


def report(error: ConfigError) -> None:
    """The problems, as people and editors read them, and their number."""
    for problem in error.problems:
        print(format_problem(problem), file=sys.stderr)
    errors = sum(problem.severity == "error" for problem in error.problems)
    print(f"{errors} problem{'s' if errors != 1 else ''}", file=sys.stderr)


def summary(path: Path, config: Config) -> str:
    """One sentence on a file that is in order."""
    parts = (
        _count(len(config.sources), "source"), _count(config.routes, "route"), _count(len(config.destinations), "destination")
    )  # fmt: skip
    return f"{path}: ok, {', '.join(parts)}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
