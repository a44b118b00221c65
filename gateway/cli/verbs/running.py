"""Run a gateway, and look after its store and its machine."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from gateway.cli import complete, options
from gateway.cli.verbs.looks import Verb

Command = Callable[..., Any]


def _listeners(command: Command) -> Command:
    command = click.option(
        "--admin-bind", envvar="GATEWAY_ADMIN_BIND", show_envvar=True, default="127.0.0.1:8081", show_default=True,
        metavar="HOST:PORT", shell_complete=complete.binds, help="Address of the admin listener: health, metrics, API and console.",
    )(command)  # fmt: skip
    return click.option(
        "--bind", envvar="GATEWAY_BIND", show_envvar=True, default="127.0.0.1:8080", show_default=True,
        metavar="HOST:PORT", shell_complete=complete.binds, help="Address that senders post to; port 0 picks a free port.",
    )(command)  # fmt: skip


def _logging(command: Command) -> Command:
    command = click.option("--json", "as_json", is_flag=True, help="Log as JSON: the same as --log json.")(command)
    command = click.option(
        "--log-level", envvar="GATEWAY_LOG_LEVEL", show_envvar=True, default="info", show_default=True,
        type=click.Choice(["debug", "info", "warning", "error"], case_sensitive=False),
        help="Lowest level to log.",
    )(command)  # fmt: skip
    return click.option(
        "--log", "log_format", envvar="GATEWAY_LOG", show_envvar=True, default="auto", show_default=True,
        type=click.Choice(["auto", "console", "json"]), help="Log format; auto: console on a terminal, else json.",
    )(command)  # fmt: skip


@click.command("serve", cls=Verb)
@options.config
@_listeners
@options.store
@_logging
@click.option(
    "--workers", envvar="GATEWAY_WORKERS", show_envvar=True, default=1, show_default=True, metavar="N",
    type=click.IntRange(1, 64), help="Processes that receive and deliver; 1: this process does everything.",
)  # fmt: skip
@click.option(
    "--shadow", metavar="FILE", type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Compare each event with what this file would make of it; none of it is sent. See `gateway shadow`.",
)  # fmt: skip
@click.option("--watch", is_flag=True, help="Reload routes.yaml and its templates whenever they are saved.")
@click.option(
    "--migrate", is_flag=True, help="Bring a database to this release's schema first, as `gateway migrate` does."
)
@click.option(
    "--env-file", metavar="FILE", type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Read variables from this file; the environment wins.",
)  # fmt: skip
def serve(**given: Any) -> None:
    """Run the gateway.

    To reload routes.yaml, use `gateway reload`, or send SIGHUP.

    Also read from the environment or --env-file: GATEWAY_ADMIN_TOKEN (required if other machines can reach the admin
    listener), GATEWAY_READ_TOKEN (read-only access), GATEWAY_ADMIN_HOSTS (further host names it answers to),
    GATEWAY_METRICS_TOKEN (required by /metrics when set), GATEWAY_SECRET_KEY (encrypts the logins of destinations). From
    the environment only: GATEWAY_STORE_DIRECT (URL of the database itself, where --store names a pooler).
    """
    if (workers := given.pop("workers")) > 1:
        from gateway.cli import several

        sys.exit(several.serve(workers=workers, **_logged(given)))
    from gateway.cli import run

    sys.exit(run.serve(dev=False, **_logged(given)))


@click.command("dev", cls=Verb)
@options.config
@_listeners
@options.store
@_logging
def dev(**given: Any) -> None:
    """Run the gateway for trying it out, with a demo secret and an inbox.

    An unset secret of a source becomes the demo secret. Requests to a destination whose url is not set are recorded in
    the inbox and not sent.
    Changes to routes.yaml, templates/ and .env take effect as soon as they are saved.
    """
    from gateway.cli import run

    given["env_file"] = given["config"].parent / ".env"
    sys.exit(run.serve(dev=True, watch=True, migrate=True, **_logged(given)))


def _logged(given: dict[str, Any]) -> dict[str, Any]:
    """With the form of the log that ``--json`` chooses."""
    as_json = given.pop("as_json")
    return {**given, "log_format": "json"} if as_json else given


@click.command("backup", cls=Verb)
@click.argument("file", type=click.Path(path_type=Path))
@options.store
@options.as_json
@click.option("--force", is_flag=True, help="Overwrite an existing file.")
def backup(**given: Any) -> None:
    """Copy the store to FILE, even while a gateway is running.

    To restore it, stop the gateway and replace the store with the copy. Back up a database with pg_dump.
    """
    from gateway.cli import backup as backups

    sys.exit(backups.backup(**given))


@click.command("migrate", cls=Verb)
@options.store
@options.as_json
def migrate(**given: Any) -> None:
    """Bring a database to the schema of this release.

    Replicas of the previous release keep running meanwhile. A file needs no such step: it is migrated when it is opened.
    Behind a pooler, set GATEWAY_STORE_DIRECT to the URL of the server itself.
    """
    from gateway.cli import migrate as migration

    sys.exit(migration.migrate(**given))


@click.command("copy", cls=Verb)
@click.option(
    "--from",
    "source",
    required=True,
    metavar="URL",
    shell_complete=complete.stores,
    help="Store to copy: sqlite:///gateway.db, postgresql://…",
)
@click.option(
    "--to",
    "target",
    required=True,
    metavar="URL",
    shell_complete=complete.stores,
    help="Empty store that becomes its copy.",
)
@options.as_json
def copy(**given: Any) -> None:
    """Copy everything in a store to another store, of another kind or of the same.

    First stop every gateway that uses either of them. An interrupted copy continues when you start it again. At the end,
    row counts and checksums of both are compared. The store that you copy from is not changed.
    """
    from gateway.cli import copy as copies

    sys.exit(copies.copy(**given))


@click.command("doctor", cls=Verb)
@options.config
@options.store
@options.url
@options.as_json
@click.option(
    "--online",
    is_flag=True,
    help="Also connect to each destination (DNS, TCP, TLS) and send it HEAD /; no event, login or path is sent.",
)
def doctor(**given: Any) -> None:
    """Check routes.yaml, the store, the machine and the gateway.

    Exits with 1 if a check fails. Nothing is changed.
    """
    from gateway.cli import doctor as doctors

    sys.exit(doctors.doctor(**given))


@click.command("completion", cls=Verb)
@click.argument("shell", type=click.Choice(complete.SHELLS))
@options.as_json
@click.pass_context
def completion(context: click.Context, /, shell: str, *, as_json: bool) -> None:
    """Print the completion script for a shell.

    It completes verbs, options, names in routes.yaml, samples, fields, and ids of events.

    bash and zsh: eval "$(gateway completion bash)" in ~/.bashrc. fish: gateway completion fish | source
    """
    script = complete.script(context.find_root().command, shell)
    print(json.dumps({"shell": shell, "script": script}, indent=2) if as_json else script)
