"""The command line: every verb with its options. What a verb does is in the module it names, loaded on first use."""

import os
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click

from gateway import __version__
from gateway.cli import complete
from gateway.errors import ConfigError, GatewayError
from gateway.model import DeliveryState
from gateway.wording import printable

if TYPE_CHECKING:
    from gateway.cli.look import Place
    from gateway.operate.selection import Filter

Command = Callable[..., Any]


class Verbs(click.RichGroup):
    """Ends quietly when whoever reads its output has seen enough, and with 130 on Ctrl-C."""

    def make_context(self, *arguments: Any, **more: Any) -> Any:
        with _ending_quietly():
            return super().make_context(*arguments, **more)

    def invoke(self, ctx: click.Context) -> Any:
        with _ending_quietly():
            return super().invoke(ctx)


@contextmanager
def _ending_quietly() -> Iterator[None]:
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        # What is left in the buffer has nowhere to go, and the interpreter would complain of it at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except KeyboardInterrupt:
        sys.exit(130)


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


def _json(command: Command) -> Command:
    return click.option("--json", "as_json", is_flag=True, help="Print JSON.")(command)


def _url(command: Command) -> Command:
    return click.option(
        "--url", envvar="GATEWAY_URL", show_envvar=True, default="",
        help="The admin address of a running gateway. Left out: GATEWAY_ADMIN_BIND or http://127.0.0.1:8081, and "
        "the store itself when nobody answers there.",
    )(command)  # fmt: skip


def _server(command: Command) -> Command:
    return _store(_url(_json(command)))


def _page(command: Command) -> Command:
    command = click.option("--before", default="", metavar="CURSOR", help="Go on where a page before ended.")(command)
    return click.option(
        "--limit", default=20, show_default=True, type=click.IntRange(1, 1000), help="At most so many."
    )(command)


def _span(command: Command) -> Command:
    command = click.option(
        "--until", default="", metavar="TIME", help="Received before then: 30m (ago), 2026-12-31T12:00:00Z."
    )(command)
    return click.option(
        "--since", default="", metavar="TIME", help="Received then or later: 2h (ago), 2026-12-31T12:00:00Z."
    )(command)


def _about(command: Command) -> Command:
    command = click.option(
        "--destination", default="", shell_complete=complete.destinations, help="With a delivery to it."
    )(command)
    command = click.option("--type", default="", metavar="GLOB", help="Of this type: contact.created, contact.*")(
        command
    )
    return click.option("--source", default="", shell_complete=complete.sources, help="From this source.")(command)


def _events(command: Command) -> Command:
    """Which events."""
    command = click.option(
        "--find", "q", default="", metavar="TEXT",
        help="What the payload holds: data.id=451, attrs.phone=+14155551234, headers.x-y=z, or any text.",
    )(_span(command))  # fmt: skip
    command = click.option(
        "--state", type=click.Choice([each.value for each in DeliveryState]), help="With a delivery in this state.",
    )(command)  # fmt: skip
    return _about(command)


def _deliveries(command: Command) -> Command:
    """Which deliveries."""
    command = click.option("--cause", metavar="CAUSE", help='Of this group of `gateway dead`: "answered 422".')(
        _span(command)
    )
    command = click.option("--route", default="", shell_complete=complete.routes, help="Because of this route.")(
        command
    )
    return _about(command)


def _moving(command: Command) -> Command:
    """What a replay and a discard have in common."""
    command = click.option("--yes", is_flag=True, help="Do not ask; needed for more than one where nobody can answer.")(
        command
    )
    command = click.option("--detach", is_flag=True, help="Do not wait for the end.")(command)
    command = click.option("--dry-run", is_flag=True, help="Only say what it would be about.")(command)
    command = click.option("--reason", default="", help="Why, for the others who look after the gateway.")(command)
    command = click.option("--dead", is_flag=True, help="Dead letters, narrowed by the filters.")(command)
    return click.argument("ids", metavar="[ID...]", nargs=-1)(_deliveries(command))


def _place(options: dict[str, Any]) -> "Place":
    from gateway.cli.look import Place

    return Place(url=options.pop("url"), store=options.pop("store"), config=options.pop("config"))


def _filter(options: dict[str, Any], **more: str) -> "Filter":
    from dataclasses import fields

    from gateway.operate.selection import Filter

    given = {each.name: options.pop(each.name) for each in fields(Filter) if each.name in options}
    return Filter(**{name: value for name, value in given.items() if value is not None}, **more)


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"]})
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
    other machines), GATEWAY_READ_TOKEN (for those who only look), GATEWAY_ADMIN_HOSTS (more names it answers to),
    GATEWAY_METRICS_TOKEN (asked for by /metrics).
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
@click.argument("event", shell_complete=complete.samples)
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
    "--for", "kind", type=complete.Kinds(),
    help="Escape values as for this type of destination; left out, the one that its folder is called by: slack/.",
)  # fmt: skip
def render_verb(**options: Any) -> None:
    """Print what TEMPLATE, a file in templates/, makes of one event."""
    from gateway.cli import render

    sys.exit(render.render(**options))


@cli.command("send")
@click.argument("sample", shell_complete=complete.samples)
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
@_events
@_page
@_config
@_server
def events_verb(**options: Any) -> None:
    """List the newest events and what became of their deliveries, or find one by what its payload holds.

    A narrow terminal shows how many deliveries are dead \N{BALLOT X}, pending \N{HORIZONTAL ELLIPSIS}, delivered
    \N{CHECK MARK} and discarded -.
    """
    from gateway.cli import look

    sys.exit(look.events(_place(options), _filter(options), **options))


@cli.command("show")
@click.argument("event_id", metavar="ID")
@click.option(
    "--why", is_flag=True, help="Every route: why it takes the event by today's file, or which clause does not."
)
@click.option("--request", is_flag=True, help="Each request as it would be made now, without its secrets.")
@_config
@_server
def show_verb(**options: Any) -> None:
    """Show one event, by its id or a delivery's: headers, deliveries, every attempt, payload."""
    from gateway.cli import look

    sys.exit(look.show(_place(options), **options))


@cli.command("dead")
@click.option("--list", "as_list", is_flag=True, help="Each one with its reason; so do filters other than these two.")
@_deliveries
@_page
@_config
@_server
def dead_verb(**options: Any) -> None:
    """Say how many dead letters there are of each cause: deliveries that were given up."""
    from gateway.cli import look

    sys.exit(look.dead(_place(options), _filter(options), **options))


@cli.command("tail")
@_events
@click.option(
    "-n", "--lines", default=10, show_default=True, type=click.IntRange(0, 1000), help="Begin with the last few."
)
@_config
@_server
def tail_verb(**options: Any) -> None:
    """Follow events as they come and what becomes of them, until Ctrl-C. With --json an object on each line.

    When the gateway restarts, it goes on with the next one; when none runs, it follows the store.
    """
    from gateway.cli import tail

    sys.exit(tail.tail(_place(options), _filter(options), **options))


@cli.command("replay")
@_moving
@click.option("--rate", default="", metavar="RATE", help="Not all at once: 5/s, 60/min.")
@click.option("--reroute", is_flag=True, help="Match events again by today's routes; what that changes is shown first.")
@click.option(
    "--new-id", "as_new", is_flag=True, help="With ids of their own, for receivers that have seen the old ones."
)
@click.option("--stop", "stopped", default="", metavar="ACTIVITY", help="End one that goes on, by its id: act_...")
@_config
@_server
def replay_verb(**options: Any) -> None:
    """Send again: deliveries by their ids, all deliveries of events, or dead letters by filters.

    It goes out by today's routes.yaml, and is followed until all of it is delivered or dead again (exit 1). Ctrl-C
    leaves it going on in the gateway.
    """
    from gateway.cli import replay

    place, stopped, reroute, dead = _place(options), options.pop("stopped"), options.pop("reroute"), options.pop("dead")
    if stopped:
        sys.exit(replay.stop(place, stopped, as_json=options["as_json"]))
    wanted = replay.Wanted(
        verb="reroute" if reroute else "replay", ids=options.pop("ids"), reason=options.pop("reason"),
        which=_filter(options, state="dead" if dead else ""), rate=options.pop("rate"), as_new=options.pop("as_new"),
    )  # fmt: skip
    sys.exit(replay.move(place, wanted, **options))


@cli.command("discard")
@_moving
@_config
@_server
def discard_verb(**options: Any) -> None:
    """Give up for good: nothing of it is sent, and no replay brings it back. The selection is as of a replay."""
    from gateway.cli import replay

    place, dead = _place(options), options.pop("dead")
    wanted = replay.Wanted(
        verb="discard", ids=options.pop("ids"), reason=options.pop("reason"),
        which=_filter(options, state="dead" if dead else ""),
    )  # fmt: skip
    sys.exit(replay.move(place, wanted, **options))


@cli.group("destinations", invoke_without_command=True)
@_config
@_server
@click.pass_context
def destinations_verb(context: click.Context, /, **options: Any) -> None:
    """List the destinations with their health, and what holds them; pause, resume, mute and unmute one.

    1h counts the attempts of the last hour: delivered, to be tried again, given up. Half of them took no longer than p50,
    95 of 100 no longer than p95.
    """
    context.obj = options
    if context.invoked_subcommand is None:
        from gateway.cli import destinations

        sys.exit(destinations.list_all(_place(options), **options))


def _held(command: Command) -> Command:
    command = click.option(
        "--for", "for_", metavar="DURATION", help="Ends by itself: 30m, 2h; until it is undone if left out."
    )(command)
    command = click.option("--reason", required=True, help="Why, for whoever finds it so.")(command)
    return _one(command)


def _one(command: Command) -> Command:
    """About one destination; ``--url`` and ``--json`` may stand before or behind the verb."""
    return click.pass_obj(click.argument("name", shell_complete=complete.destinations)(_url(_json(command))))


def _either(before: dict[str, Any], options: dict[str, Any]) -> dict[str, Any]:
    return {**options, **{name: options[name] or before[name] for name in ("url", "as_json")}}


@destinations_verb.command("pause")
@_held
def pause_verb(before: Any, /, **options: Any) -> None:
    """Hold its deliveries, also after a restart. Nothing is lost, and no budget of retries runs."""
    from gateway.cli import destinations

    sys.exit(destinations.hold("pause", **_either(before, options)))


@destinations_verb.command("resume")
@_one
def resume_verb(before: Any, /, **options: Any) -> None:
    """Let a paused destination go on with what has waited."""
    from gateway.cli import destinations

    sys.exit(destinations.free("resume", **_either(before, options)))


@destinations_verb.command("mute")
@_held
def mute_verb(before: Any, /, **options: Any) -> None:
    """Tell nobody of its troubles for a while. Its deliveries go on as ever."""
    from gateway.cli import destinations

    sys.exit(destinations.hold("mute", **_either(before, options)))


@destinations_verb.command("unmute")
@_one
def unmute_verb(before: Any, /, **options: Any) -> None:
    """Tell of its troubles again."""
    from gateway.cli import destinations

    sys.exit(destinations.free("unmute", **_either(before, options)))


@cli.command("activity")
@_page
@_config
@_server
def activity_verb(**options: Any) -> None:
    """List who did what: replays, discards, pauses, reloads."""
    from gateway.cli import look

    sys.exit(look.activity(_place(options), **options))


@cli.command("backup")
@click.argument("file", type=click.Path(path_type=Path))
@_store
@_json
@click.option("--force", is_flag=True, help="Take the place of a file that is there.")
def backup_verb(**options: Any) -> None:
    """Copy the store to FILE as of now, beside a running gateway or without one.

    To restore it, stop the gateway and put the copy in the place of the store.
    """
    from gateway.cli import backup

    sys.exit(backup.backup(**options))


@cli.command("doctor")
@_config
@_server
@click.option("--online", is_flag=True, help="Also connect to each destination: name, address, TLS. Nothing is sent.")
def doctor_verb(**options: Any) -> None:
    """Check what a gateway needs: its file, its store, the machine, the running process; 1 if something fails."""
    from gateway.cli import doctor

    sys.exit(doctor.doctor(**options))


@cli.command("completion")
@click.argument("shell", type=click.Choice(complete.SHELLS))
def completion_verb(shell: str) -> None:
    """Print the script with which SHELL completes verbs, options, destinations, samples and states.

    bash and zsh: eval "$(gateway completion bash)" in ~/.bashrc. fish: gateway completion fish | source
    """
    print(complete.script(cli, shell))


def _open_standard_streams() -> None:
    """What the caller has closed leads nowhere; and no file of ours gets its number, which others may write to."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open(mode))  # noqa: SIM115  until the end


def main() -> None:
    """The entry point: what goes wrong is one clear line, not a traceback."""
    _open_standard_streams()
    try:
        cli(prog_name="gateway", complete_var=complete.VARIABLE)
    except ConfigError as error:
        from gateway.cli import check

        check.report(error)
        sys.exit(error.exit_code)
    except GatewayError as error:
        print(f"gateway: {printable(str(error))}", file=sys.stderr)
        sys.exit(error.exit_code)
    except OSError as error:
        print(f"gateway: {printable(str(error))}", file=sys.stderr)
        sys.exit(1)
    except Exception as error:  # noqa: BLE001  ours to mend: who meets it is told where, and is not shown our code
        place = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{Path(place.filename).name}:{place.lineno}"
        said = printable(f"{type(error).__name__}: {error}")
        print(f"gateway: a defect of the gateway, please report it: {said} ({where})", file=sys.stderr)
        sys.exit(1)
