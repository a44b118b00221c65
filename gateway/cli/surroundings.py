"""What a verb finds where it runs: the environment, ``.env``, routes.yaml, and the usual addresses of a gateway."""

import os
import shlex
import stat
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from gateway.errors import ConfigError, GatewayError, Place, Problem

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


#: What nobody but its owner needs on a file of secrets.
OTHERS: Final = stat.S_IRGRP | stat.S_IWGRP | stat.S_IROTH | stat.S_IWOTH


def exposed(path: Path, mode: int) -> tuple[str, str]:
    """Who else can get at a file of this mode, and what to do about it."""
    if mode & (stat.S_IROTH | stat.S_IWOTH):
        return f"{path} is open to every user of this machine ({stat.filemode(mode)})", f"chmod go-rwx {path}"
    return f"{path} is open to its group ({stat.filemode(mode)})", f"chmod g-rwx {path}"


def exposed_secrets(env_file: Path | None) -> Sequence[Problem]:
    """A warning if other users can read or write the file of variables."""
    try:
        # Elsewhere a mode says nothing of other users.
        mode = env_file.stat().st_mode if env_file and os.name == "posix" else 0
    except OSError:
        return ()
    if env_file is None or not mode & OTHERS:
        return ()
    said, remedy = exposed(env_file, mode)
    return (Problem(Place(env_file.name), said, remedy, "warning"),)


def doubtful_variables(env_file: Path | None) -> Sequence[Problem]:
    """A warning for each line of the file of variables that probably means something else; none if it cannot be read."""
    from gateway.config import doubts

    try:
        return tuple(doubts(env_file, os.environ)) if env_file is not None else ()
    except (OSError, ConfigError):
        return ()


def unwritable_files(config: "Config", *, elsewhere: bool = False) -> Iterator[tuple[str, str, str]]:
    """The destinations that are files to which nothing can be appended here: their name, what is wrong, the remedy.

    ``elsewhere``: this is not the machine of the gateway, so only the folders of relative paths are known.
    """
    from gateway.destinations.file import FILE
    from gateway.egress.files import path_in, without_folder

    for name, destination in config.destinations.items():
        if destination.kind is not FILE:
            continue
        file, shown = Path(destination.target.path), config.masks.text(destination.target.path)
        if elsewhere and (file.is_absolute() or name in config.made_up_paths):
            continue
        folder = file.parent
        if wrong := without_folder(file):
            remedy = f"mkdir -p {config.masks.text(shlex.quote(str(folder)))}"
            if local := path_in(destination.target.path):
                remedy = f"write path: {config.masks.text(local)}"
            elif destination.target.path.startswith("~"):
                remedy = "write the whole path: ~ is not expanded"
            elif not file.is_absolute():
                remedy += ", in the working directory of the gateway"
            yield name, f"{shown}: {config.masks.text(wrong)}", remedy
        elif not elsewhere and not os.access(lacking := file if file.exists() else folder, os.W_OK):
            remedy = "let the user of the gateway write there"
            yield name, f"{shown}: {config.masks.text(str(lacking))} is not writable", remedy


def unwritable(path: Path, config: "Config", *, elsewhere: bool) -> Sequence[Problem]:
    """A warning for each of them."""
    found = []
    for name, said, remedy in unwritable_files(config, elsewhere=elsewhere):
        place, line = config.paths.get(name, (Place(path.name), ""))
        found.append(Problem(place, f"destinations.{name}.path: {said}", remedy, "warning", line))
    return found


def log_doubts(env_file: Path | None) -> None:
    """Log what is doubtful about the file of variables."""
    from gateway import telemetry

    for each in (*exposed_secrets(env_file), *doubtful_variables(env_file)):
        telemetry.log(
            "config.warning", place=str(replace(each.place, file=str(env_file))), message=f"{each.message}: {each.hint}"
        )


def loaded(path: Path, *, dev: bool = False, no_env: bool = False, tests: bool = False) -> "Config":
    """routes.yaml with the variables of this environment and of the ``.env`` beside it. Raises ConfigError.

    ``no_env`` makes up values for unset variables; ``dev`` does as ``gateway dev``: a demo secret, and an inbox for
    each destination whose URL is not set. Mistakes in ``tests`` stop no verb but those that are about them.
    """
    from gateway.config import load

    return load(path, environ=environment(path.parent / ".env"), dev=dev, no_env=no_env, tests=tests)


def loaded_for_senders(path: Path) -> "Config":
    """routes.yaml for what only its sources are needed: variables of destinations may be unset. Raises ConfigError."""
    return loaded(path, dev=True, no_env=True)


def usual_address(variable: str, default: str) -> str:
    """Where a gateway started from the same environment listens: ``http://127.0.0.1:8080``."""
    host, _, port = os.environ.get(variable, default).rpartition(":")
    if port == "0" or not host:
        return f"http://{default}"
    return f"http://{'127.0.0.1' if host in ('0.0.0.0', '[::]') else host}:{port}"  # noqa: S104  it is not bound here
