"""From routes.yaml to an immutable Config: read with positions, checked as a whole, compiled."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.config.text.dotenv import doubts, read_env_file
from gateway.config.text.report import format_problem

if TYPE_CHECKING:
    from gateway.routing import Config

__all__ = ["doubts", "format_problem", "load", "read_env_file"]


def load(
    path: Path, *, environ: Mapping[str, str], dev: bool = False, no_env: bool = False, tests: bool = True
) -> "Config":
    """The configuration in ``path``, as ``compile.load`` compiles it: loaded on first use, since it takes its time.

    Raises ConfigError with all of its problems.
    """
    from gateway.config.compile import load

    return load(path, environ=environ, dev=dev, no_env=no_env, tests=tests)
