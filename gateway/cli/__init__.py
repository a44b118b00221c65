"""The command line: every verb with its options. What a verb does is in the module it names, loaded on first use."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import rich_click as click

from gateway import __version__
from gateway.errors import GatewayError

Command = Callable[..., Any]


def _config(command: Command) -> Command:
    return click.option(
        "-c", "--config", "config", envvar="GATEWAY_CONFIG", show_envvar=True, default="routes.yaml", show_default=True,
        type=click.Path(path_type=Path), help="The file that says what goes where.",
    )(command)  # fmt: skip


def _store(command: Command) -> Command:
    return click.option(
        "--store", envvar="GATEWAY_STORE", show_envvar=True, default="sqlite:///gateway.db", show_default=True,
        help="Where events are kept.",
    )(command)  # fmt: skip


def _listeners(command: Command) -> Command:
    command = click.option(
        "--admin-bind", envvar="GATEWAY_ADMIN_BIND", show_envvar=True, default="127.0.0.1:8081", show_default=True,
        help="Health, metrics and the API listen here.",
    )(command)  # fmt: skip
    return click.option(
        "--bind", envvar="GATEWAY_BIND", show_envvar=True, default="127.0.0.1:8080", show_default=True,
        help="Senders post here; port 0 picks a free one.",
    )(command)  # fmt: skip


def _logging(command: Command) -> Command:
    command = click.option(
        "--log-level", envvar="GATEWAY_LOG_LEVEL", show_envvar=True, default="info", show_default=True,
        type=click.Choice(["debug", "info", "warning", "error"], case_sensitive=False),
    )(command)  # fmt: skip
    return click.option(
        "--log", "log_format", envvar="GATEWAY_LOG", show_envvar=True, default="auto", show_default=True,
        type=click.Choice(["auto", "console", "json"]), help="auto: console on a terminal, else json.",
    )(command)  # fmt: skip


def _server(command: Command) -> Command:
    command = click.option("--json", "as_json", is_flag=True, help="Print JSON.")(command)
    command = click.option(
        "--url", envvar="GATEWAY_URL", show_envvar=True, default="",
        help="The admin address of a running gateway. Left out: GATEWAY_ADMIN_BIND or http://127.0.0.1:8081, and "
        "the store itself when nobody answers there.",
    )(command)  # fmt: skip
    return _store(command)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="gateway")
def cli() -> None:
    """Receive webhooks, keep them on disk before answering, forward them until they are taken."""


@cli.command("serve")
@_config
@_listeners
@_store
@_logging
@click.option("--watch", is_flag=True, help="Put routes.yaml and its templates in force as soon as they are saved.")
@click.option(
    "--env-file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Read variables from this file; the environment wins.",
)
def serve_verb(**options: Any) -> None:
    """Run the gateway; SIGHUP, or a POST to /api/reload of the admin listener, reads routes.yaml anew.

    Also from the environment or --env-file: GATEWAY_ADMIN_TOKEN (needed when the admin listener is reachable from
    other machines), GATEWAY_ADMIN_HOSTS (more names it answers to), GATEWAY_METRICS_TOKEN (asked for by /metrics).
    """
    from gateway.cli import run

    sys.exit(run.serve(dev=False, **options))


@cli.command("dev")
@_config
@_listeners
@_store
@_logging
def dev_verb(**options: Any) -> None:
    """Run it to try things out: a demo secret, and an inbox for every destination whose url is not set.

    What is saved in routes.yaml, templates/ or .env is in force at once.
    """
    from gateway.cli import run

    options["env_file"] = options["config"].parent / ".env"
    sys.exit(run.serve(dev=True, watch=True, **options))


@cli.command("init")
@click.argument("folder", default=".", type=click.Path(path_type=Path))
def init_verb(folder: Path) -> None:
    """Begin in FOLDER: a commented routes.yaml with its templates, .env.example and the schema for editors."""
    from gateway.cli import init

    sys.exit(init.init(folder))


@cli.command("schema")
def schema_verb() -> None:
    """Print the JSON Schema of routes.yaml: editors complete and explain with it."""
    from gateway.cli import schema

    sys.exit(schema.schema())


@cli.command("check")
@_config
@click.option("--strict", is_flag=True, help="Exit with 1 on a warning, too.")
@click.option(
    "--format", "output", default="text", show_default=True, type=click.Choice(["text", "json", "github"]),
    help="json: one array of findings. github: annotations in a pull request.",
)  # fmt: skip
@click.option("--no-env", is_flag=True, help="Take made-up values for variables that are not set: for CI.")
def check_verb(**options: Any) -> None:
    """Report every problem of routes.yaml and its templates, all at once; 1 if one of them is an error.

    A destination at a private address is named: it is information and no warning.
    """
    from gateway.cli import check

    sys.exit(check.check(**options))


@cli.command("test")
@_config
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def test_verb(**options: Any) -> None:
    """Run the tests of routes.yaml: match, render, build the request; nothing is sent.

    Variables have made-up values and the clock stands still at 2026-01-01T00:00:00Z.
    """
    from gateway.cli import test

    sys.exit(test.test(**options))


@cli.command("explain")
@click.argument("event")
@_config
@_server
@click.option("--source", default="", help="Which source of routes.yaml it is from; needed when there are several.")
@click.option("--set", "changes", multiple=True, metavar="PATH=VALUE", help="Change a field: attrs.email=a@b.c")
@click.option("--curl", "as_curl", is_flag=True, help="Print each request as a curl command.")
def explain_verb(**options: Any) -> None:
    """Show what becomes of EVENT: which entry takes it or why not, and every request, without its secrets.

    EVENT is a sample (contact.created), a JSON file, or the id of a stored event or delivery. Nothing is sent.
    Variables that are not set have made-up values.
    """
    from gateway.cli import explain

    sys.exit(explain.explain(**options))


@cli.command("render")
@click.argument("template")
@_config
@_server
@click.option("--event", default="", help="A sample, a JSON file or a stored id; left out, the first sample.")
@click.option("--source", default="", help="Which source of routes.yaml it is from; needed when there are several.")
@click.option("--set", "changes", multiple=True, metavar="PATH=VALUE", help="Change a field: attrs.email=a@b.c")
@click.option(
    "--for", "kind", type=click.Choice(["slack", "discord", "teams", "googlechat", "telegram", "http"]),
    help="Escape values as for this type of destination; left out, the one that its folder is called by: slack/.",
)  # fmt: skip
def render_verb(**options: Any) -> None:
    """Print what TEMPLATE, a file in templates/, makes of one event."""
    from gateway.cli import render

    sys.exit(render.render(**options))


@cli.command("send")
@click.argument("sample")
@_config
@click.option("--source", default="", help="Which source of routes.yaml to post as; needed when there are several.")
@click.option("--set", "changes", multiple=True, metavar="PATH=VALUE", help="Change a field: attrs.email=a@b.c")
@click.option(
    "--to",
    default="",
    metavar="URL",
    help="Where to post; left out, the source's path at GATEWAY_BIND or 127.0.0.1:8080.",
)
@click.option("--count", default=1, show_default=True, type=click.IntRange(1), help="How many events, each different.")
@click.option(
    "--rate", default=0.0, type=click.FloatRange(0), help="Events per second; 0: as fast as they are answered."
)
@click.option("--same", is_flag=True, help="The documented bytes as they are: a second one is a duplicate.")
@click.option("--json", "as_json", is_flag=True, help="Print each answer as JSON.")
def send_verb(**options: Any) -> None:
    """Sign and post a sample event: contact.created, status.updated, message.failed, ..."""
    from gateway.cli import send

    sys.exit(send.send(**options))


@cli.command("sources")
@click.argument("name", default="", metavar="[NAME]")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def sources_verb(name: str, as_json: bool) -> None:
    """List the senders that are known, or show one with what to write into routes.yaml."""
    from gateway.cli import sources

    sys.exit(sources.show(name, as_json=as_json) if name else sources.list_all(as_json=as_json))


@cli.command("verify")
@_config
@click.option("--source", required=True, help="The source of routes.yaml that the request is for.")
@click.option(
    "--request",
    required=True,
    type=click.Path(path_type=Path),
    help="A JSON file: method, url, headers as [name, value] pairs, body or body_base64.",
)
@click.option("--at", help="As if it were then: 2026-12-31T12:00:00Z, or seconds since 1970; now if left out.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def verify_verb(**options: Any) -> None:
    """Say step by step why a request verifies, or where it stops."""
    from gateway.cli import verify

    sys.exit(verify.verify(**options))


@cli.command("sign")
@click.argument("file", type=click.Path(path_type=Path))
@_config
@click.option("--source", required=True, help="The source of routes.yaml to sign as.")
@click.option("--url", default="", help="Where the gateway is; left out, GATEWAY_BIND or 127.0.0.1:8080.")
@click.option("--json", "as_json", is_flag=True, help="Print what `gateway verify` reads, in place of a curl command.")
def sign_verb(**options: Any) -> None:
    """Make a request that the source accepts, of a body in a file or of a sample event."""
    from gateway.cli import verify

    sys.exit(verify.sign(**options))


@cli.command("events")
@_server
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 1000))
def events_verb(**options: Any) -> None:
    """List the newest events and what became of their deliveries."""
    from gateway.cli import look

    sys.exit(look.events(**options))


@cli.command("show")
@click.argument("event_id", metavar="ID")
@_server
def show_verb(**options: Any) -> None:
    """Show one event, by its id or a delivery's: payload, deliveries, every attempt."""
    from gateway.cli import look

    sys.exit(look.show(**options))


@cli.command("dead")
@_server
@click.option("--destination", default="", help="Only of this destination.")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 1000))
def dead_verb(**options: Any) -> None:
    """List dead letters: deliveries that were given up, and why."""
    from gateway.cli import look

    sys.exit(look.dead(**options))


@cli.command("replay")
@click.argument("ids", metavar="ID...", nargs=-1, required=True)
@_server
def replay_verb(**options: Any) -> None:
    """Send again: a delivery by its id, or all deliveries of an event."""
    from gateway.cli import look

    sys.exit(look.replay(**options))


@cli.group("destinations", invoke_without_command=True)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option(
    "--url", envvar="GATEWAY_URL", show_envvar=True, default="",
    help="The admin address of the running gateway; GATEWAY_ADMIN_BIND or http://127.0.0.1:8081 if left out.",
)  # fmt: skip
@click.pass_context
def destinations_verb(context: click.Context, /, **options: Any) -> None:
    """List the destinations of the running gateway and what holds them; pause and resume one."""
    context.obj = options
    if context.invoked_subcommand is None:
        from gateway.cli import destinations

        sys.exit(destinations.list_all(**options))


@destinations_verb.command("pause")
@click.argument("name")
@click.option("--reason", required=True, help="Why, for whoever finds it paused.")
@click.option("--for", "for_", metavar="DURATION", help="Ends by itself: 30m, 2h; until it is resumed if left out.")
@click.pass_obj
def pause_verb(server: Any, /, **options: Any) -> None:
    """Hold its deliveries, also after a restart. Nothing is lost, and no budget of retries runs."""
    from gateway.cli import destinations

    sys.exit(destinations.pause(**server, **options))


@destinations_verb.command("resume")
@click.argument("name")
@click.pass_obj
def resume_verb(server: Any, /, **options: Any) -> None:
    """Let a paused destination go on with what has waited."""
    from gateway.cli import destinations

    sys.exit(destinations.resume(**server, **options))


def main() -> None:
    """The entry point: errors of ours are one clear line, not a traceback."""
    try:
        cli()
    except GatewayError as error:
        print(f"gateway: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
