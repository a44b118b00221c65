"""What a verb finds where it runs: the environment, ``.env``, routes.yaml, and the usual addresses of a gateway."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.errors import GatewayError

if TYPE_CHECKING:
    from gateway.routing import Config


class EnvFileUnreadable(GatewayError):
    """The file of variables exists but cannot be read."""


def environment(env_file: Path | None) -> Mapping[str, str]:
    """The process environment, plus the variables in ``env_file`` if it exists; the environment wins.

    Raises ConfigError for mistakes in the file, EnvFileUnreadable when it cannot be read.
    """
    if env_file is None or not os.path.lexists(env_file):
        return os.environ
    from gateway.config import read_env_file

    try:
        return {**read_env_file(env_file), **os.environ}
    except FileNotFoundError:
        return os.environ
    except OSError as error:
        raise EnvFileUnreadable(f"{env_file}: {os.strerror(error.errno or 0).lower()}") from None


def loaded(path: Path, *, dev: bool = False, no_env: bool = False) -> "Config":
    """routes.yaml with the variables of this environment and of the ``.env`` beside it. Raises ConfigError.

    ``no_env`` makes up values for unset variables; ``dev`` does as ``gateway dev``: a demo secret, and an inbox for
    each destination whose URL is not set.
    """
    from gateway.config import load

    return load(path, environ=environment(path.parent / ".env"), dev=dev, no_env=no_env)


def usual_address(variable: str, default: str) -> str:
    """Where a gateway started from the same environment listens: ``http://127.0.0.1:8080``."""
    host, _, port = os.environ.get(variable, default).rpartition(":")
    if port == "0" or not host:
        return f"http://{default}"
    return f"http://{'127.0.0.1' if host in ('0.0.0.0', '[::]') else host}:{port}"  # noqa: S104  it is not bound here
