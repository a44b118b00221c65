"""``gateway serve --workers N``: the process that was started opens the listeners and supervises the others."""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

import gateway
from gateway import telemetry
from gateway.sockets import address_of, listening
from gateway.workers.supervisor import Kind, Supervisor, hold_back_signals

#: What a child is to do, as JSON: in its environment, since its arguments are for everybody to read.
SETUP: Final = "GATEWAY_SETUP"


class Settings(Struct, frozen=True, kw_only=True):
    """How the gateway was started."""

    config: str
    store: str
    log_format: str
    log_level: str
    env_file: str | None
    watch: bool
    migrate: bool
    workers: int
    shadow: str | None = None


class Setup(Struct, frozen=True, kw_only=True):
    """What one child is to do."""

    settings: Settings
    kind: Kind
    #: Of a worker: from 1 on.
    number: int
    #: The supervisor, with which it ends.
    parent: int
    #: Its listener, and its socket to the supervisor or to the owner.
    listener: int
    link: int
    #: The addresses of both listeners.
    ingest: str
    admin: str
    #: Whether the gateway was ready before: then it does not say so again.
    was_ready: bool


def serve(
    *,
    config: Path,
    bind: str,
    admin_bind: str,
    store: str,
    log_format: str,
    log_level: str,
    env_file: Path | None,
    watch: bool,
    migrate: bool,
    workers: int,
    shadow: Path | None = None,
) -> int:
    """Run until SIGTERM or SIGINT; the exit code."""
    hold_back_signals()
    telemetry.configure_log(log_format, log_level, shares_output=True)
    settings = Settings(
        config=str(config),
        store=store,
        log_format=log_format,
        log_level=log_level,
        env_file=None if env_file is None else str(env_file),
        watch=watch,
        migrate=migrate,
        workers=workers,
        shadow=None if shadow is None else str(shadow),
    )
    with listening(bind, admin_bind, os.environ) as (ingest, admin):
        addresses = address_of(ingest), address_of(admin)
        environ = _environ()

        def start(kind: Kind, number: int, descriptors: Sequence[int], was_ready: bool) -> "subprocess.Popen[bytes]":
            [link] = descriptors
            listener = (admin if kind == "owner" else ingest).fileno()
            setup = Setup(
                settings=settings,
                kind=kind,
                number=number,
                parent=os.getpid(),
                listener=listener,
                link=link,
                ingest=addresses[0],
                admin=addresses[1],
                was_ready=was_ready,
            )
            return subprocess.Popen(  # noqa: S603  our own program
                [sys.executable, "-P", "-m", "gateway.cli.child", kind, *([str(number)] if number else [])],
                env={**environ, SETUP: msgspec.json.encode(setup).decode()},
                pass_fds=(listener, link),
                stdin=subprocess.DEVNULL,
                # A Ctrl-C in the terminal is for the supervisor, which passes it on.
                process_group=0,
            )

        try:
            return Supervisor(start, settings.workers, (ingest, admin)).run()
        finally:
            telemetry.flush_log()


def _environ() -> Mapping[str, str]:
    """A child imports the same package as this process, wherever it runs. What systemd passed was for this one."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("LISTEN_")}
    root = str(Path(gateway.__file__).parents[1])
    known = environ.get("PYTHONPATH", "").split(os.pathsep)
    environ["PYTHONPATH"] = os.pathsep.join([root, *(each for each in known if each and each != root)])
    return environ


def take_setup() -> Setup:
    """What this child is to do; nothing that it starts sees it."""
    return msgspec.json.decode(os.environ.pop(SETUP), type=Setup)
