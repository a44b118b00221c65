"""Change what the gateway does: replay, discard, pause and mute."""

import sys
from collections.abc import Callable
from typing import Any

import click

from gateway.cli import complete, options
from gateway.cli.verbs.looks import Verb, Verbs

Command = Callable[..., Any]


def _moving(command: Command) -> Command:
    """What replay and discard have in common."""
    command = click.option(
        "--yes", is_flag=True, help="Skip the confirmation; required in scripts for more than one delivery."
    )(command)  # fmt: skip
    command = click.option("--detach", is_flag=True, help="Return at once; the gateway finishes in the background.")(
        command
    )
    command = click.option("--dry-run", is_flag=True, help="Show what would be affected and change nothing.")(command)
    command = click.option("--reason", default="", metavar="TEXT", help="Reason, shown in `gateway activity`.")(command)
    command = click.option("--dead", is_flag=True, help="Select dead letters; the filters narrow the selection.")(
        command
    )
    return click.argument("ids", metavar="[ID...]", nargs=-1, shell_complete=complete.ids)(options.deliveries(command))


@click.command("replay", cls=Verb)
@_moving
@click.option("--rate", default="", metavar="RATE", shell_complete=complete.rates, help="Maximum rate: 5/s, 60/min.")
@click.option("--reroute", is_flag=True, help="Match the events against the current routes; show the changes first.")
@click.option(
    "--new-id", "as_new", is_flag=True, help="Send under new ids, so that receivers that skip known ids accept the delivery."
)  # fmt: skip
@click.option(
    "--stop",
    "stopped",
    default="",
    metavar="ACTIVITY",
    shell_complete=complete.activities,
    help="Stop a replay, discard or erasure by its id: act_...",
)
@options.config
@options.server
def replay(**given: Any) -> None:
    """Replay deliveries by id, or dead letters by filter.

    The id of an event selects all of its deliveries. Requests are built from the current routes.yaml. The command waits
    until every delivery is delivered or dead again (exit 1). After Ctrl-C the replay continues in the gateway.
    """
    from gateway.cli import replay as replays
    from gateway.cli.wanted import Wanted

    place, stopped, reroute, dead = (
        options.place(given), given.pop("stopped"), given.pop("reroute"), given.pop("dead"),
    )  # fmt: skip
    if stopped:
        sys.exit(replays.stop(place, stopped, as_json=given["as_json"]))
    wanted = Wanted(
        verb="reroute" if reroute else "replay", ids=given.pop("ids"), reason=given.pop("reason"),
        which=options.which(given, state="dead" if dead else ""), rate=given.pop("rate"), as_new=given.pop("as_new"),
    )  # fmt: skip
    sys.exit(replays.move(place, wanted, **given))


@click.command("discard", cls=Verb)
@_moving
@options.config
@options.server
def discard(**given: Any) -> None:
    """Discard deliveries for good.

    They are never sent and cannot be replayed. Select them with the same options as `replay`.
    """
    from gateway.cli import replay as replays
    from gateway.cli.wanted import Wanted

    place, dead = options.place(given), given.pop("dead")
    wanted = Wanted(
        verb="discard", ids=given.pop("ids"), reason=given.pop("reason"),
        which=options.which(given, state="dead" if dead else ""),
    )  # fmt: skip
    sys.exit(replays.move(place, wanted, **given))


@click.command("forget", cls=Verb)
@click.option(
    "--find",
    required=True,
    metavar="TEXT",
    shell_complete=complete.fields,
    help="What their events contain: data.id=451, attrs.phone=+14155551234, headers.x-y=z, or any text.",
)
@click.option("--reason", default="", metavar="TEXT", help="Reason, shown in `gateway activity`.")
@click.option("--dry-run", is_flag=True, help="Count the events and change nothing.")
@click.option("--detach", is_flag=True, help="Return at once; the gateway finishes in the background.")
@click.option("--yes", is_flag=True, help="Skip the confirmation; required in scripts.")
@options.config
@options.server
def forget(**given: Any) -> None:
    """Erase every event of a person for good.

    Removes bodies, headers, answers, reasons and keys from the whole store, and refused requests that mention the value.
    Waiting and dead deliveries are discarded. Each event keeps its id, and says who erased it and when. Backups are not
    changed.
    """
    from gateway.cli import forget as forgetting

    sys.exit(forgetting.forget(options.place(given), given.pop("find"), **given))


@click.group("destinations", cls=Verbs, invoke_without_command=True)
@options.config
@options.server
@click.pass_context
def destinations(context: click.Context, /, **given: Any) -> None:
    """List destinations; pause, resume, mute or unmute one.

    The 1h columns count attempts in the last hour: delivered, retried, given up. p50 and p95: half and 95 % of attempts
    took no longer than this.
    """
    context.obj = given
    if context.invoked_subcommand is None:
        from gateway.cli import destinations as listing

        sys.exit(listing.list_all(options.place(given), **given))


@click.command("handshake", cls=Verb)
@click.argument("name", shell_complete=complete.sources)
@options.url
@options.as_json
def handshake(**given: Any) -> None:
    """Accept the secret that a sender chooses, for ten minutes.

    Some senders send their secret when a webhook is created there (becomes: secret, in the handshake of the source). Run
    this first: at any other time such a request is refused.
    """
    from gateway.cli import handshake as handshakes

    sys.exit(handshakes.expect(**given))


@click.command("login", cls=Verb)
@click.argument("name", shell_complete=complete.destinations)
@click.option(
    "--paste", is_flag=True, help="Paste the address that the browser ends up at, for a browser on another machine."
)
@options.config
@options.url
@options.as_json
def login(**given: Any) -> None:
    """Log in for a destination whose auth is oauth2 with grant authorization_code or device_code.

    Prints the page where you log in, waits for the browser to come back, and hands the refresh token to the running
    gateway, which keeps it encrypted (GATEWAY_SECRET_KEY) and renews it from then on.
    """
    from gateway.cli.login import log_in

    sys.exit(log_in(**given))


def _held(command: Command) -> Command:
    command = click.option(
        "--for", "for_", metavar="DURATION", shell_complete=complete.durations, help="How long it lasts: 30m, 2h. Default: until you resume or unmute it."
    )(command)  # fmt: skip
    command = click.option("--reason", required=True, metavar="TEXT", help="Reason, shown in `gateway destinations`.")(
        command
    )
    return _one(command)


def _one(command: Command) -> Command:
    """For one destination; ``--url`` and ``--json`` may come before or after the verb."""
    return click.pass_obj(
        click.argument("name", shell_complete=complete.destinations)(options.url(options.as_json(command)))
    )


def _either(before: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    return {**given, **{name: given[name] or before[name] for name in ("url", "as_json")}}


@destinations.command("pause")
@_held
def pause(before: Any, /, **given: Any) -> None:
    """Hold a destination's deliveries.

    It stays paused across restarts. Nothing is lost, and time spent paused does not count towards retry.for.
    """
    from gateway.cli import holding

    sys.exit(holding.hold("pause", **_either(before, given)))


@destinations.command("resume")
@_one
def resume(before: Any, /, **given: Any) -> None:
    """Resume a paused destination and send what has waited; try one whose circuit is open at once."""
    from gateway.cli import holding

    sys.exit(holding.free("resume", **_either(before, given)))


@destinations.command("mute")
@_held
def mute(before: Any, /, **given: Any) -> None:
    """Silence a destination's notifications for a while.

    Deliveries continue as usual.
    """
    from gateway.cli import holding

    sys.exit(holding.hold("mute", **_either(before, given)))


@destinations.command("unmute")
@_one
def unmute(before: Any, /, **given: Any) -> None:
    """Turn a destination's notifications back on."""
    from gateway.cli import holding

    sys.exit(holding.free("unmute", **_either(before, given)))


@click.command("reload", cls=Verb)
@click.option(
    "--all", "all_", is_flag=True,
    help="Have every replica reload its own files, once the one you ask has accepted its own.",
)  # fmt: skip
@options.url
@options.as_json
def reload(**given: Any) -> None:
    """Reload routes.yaml and its templates. A file with errors changes nothing."""
    from gateway.cli import replicas

    sys.exit(replicas.reload(**given))
