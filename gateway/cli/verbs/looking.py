"""See what the gateway received and did."""

import sys
from typing import Any

import click

from gateway.cli import complete, options
from gateway.cli.verbs.looks import Verb


@click.command("events", cls=Verb)
@options.events
@options.page
@options.config
@options.server
def events(**given: Any) -> None:
    """List the newest events, or find events by payload.

    On a narrow terminal, deliveries are counted by state: dead \N{BALLOT X}, pending \N{HORIZONTAL ELLIPSIS}, delivered
    \N{CHECK MARK}, discarded -.
    """
    from gateway.cli import events as listing

    sys.exit(listing.events(options.place(given), options.which(given), **given))


@click.command("show", cls=Verb)
@click.argument("event_id", metavar="ID", shell_complete=complete.ids)
@click.option("--why", is_flag=True, help="Show why each route matches the event now, or which condition fails.")
@click.option("--request", is_flag=True, help="Show each request as it would be sent now, with secrets hidden.")
@options.config
@options.server
def show(**given: Any) -> None:
    """Show one event: headers, deliveries, every attempt, payload.

    ID is the id of the event or of one of its deliveries.
    """
    from gateway.cli import show as showing

    sys.exit(showing.show(options.place(given), **given))


@click.command("dead", cls=Verb)
@click.option(
    "--list", "as_list", is_flag=True,
    help="List them one by one with their reasons; this is the default with any filter except --destination and --cause.",
)  # fmt: skip
@options.deliveries
@options.page
@options.config
@options.server
def dead(**given: Any) -> None:
    """Count dead letters (deliveries that were given up) by cause."""
    from gateway.cli import dead as dead_letters

    sys.exit(dead_letters.dead(options.place(given), options.which(given), **given))


@click.command("tail", cls=Verb)
@options.events
@click.option(
    "-n", "--lines", default=10, show_default=True, metavar="N", type=click.IntRange(0, 1000),
    help="Number of past events to start with.",
)  # fmt: skip
@options.config
@options.server
def tail(**given: Any) -> None:
    """Follow events and their deliveries as they happen.

    Press Ctrl-C to stop. It keeps following when the gateway restarts. When no gateway is running, it follows the
    store. With --json it prints one object per line.
    """
    from gateway.cli import tail as following

    sys.exit(following.tail(options.place(given), options.which(given), **given))


@click.command("refused", cls=Verb)
@click.option(
    "--source", default="", metavar="NAME", shell_complete=complete.sources,
    help="Only requests to this source; `unknown` for no source.",
)  # fmt: skip
@click.option("--from", "client", default="", metavar="ADDRESS", help="Only from addresses that begin like this.")
@click.option("--reason", default="", metavar="TEXT", help="Only with this text in the reason, or this status.")
@click.option(
    "--limit", default=50, show_default=True, metavar="N", type=click.IntRange(1, 1000), help="Maximum number of rows."
)
@options.config
@options.server
def refused(**given: Any) -> None:
    """List refused requests and duplicates, and what to do about each.

    Includes the latest of every worker; those of other replicas follow within about a second.
    """
    from gateway.cli import refused as refusals

    sys.exit(refusals.refused(options.place(given), **given))


@click.command("activity", cls=Verb)
@options.page
@options.config
@options.server
def activity(**given: Any) -> None:
    """List what people did: replays, discards, pauses, reloads."""
    from gateway.cli import activity as deeds

    sys.exit(deeds.activity(options.place(given), **given))


@click.command("replicas", cls=Verb)
@options.url
@options.as_json
def replicas(**given: Any) -> None:
    """List the replicas that share the store, and the configuration that each has in force."""
    from gateway.cli import replicas as listing

    sys.exit(listing.replicas(**given))


@click.command("shadow", cls=Verb)
@click.option(
    "--limit", default=20, show_default=True, metavar="N", type=click.IntRange(1, 1000),
    help="Maximum number of events.",
)  # fmt: skip
@options.url
@options.as_json
def shadow(**given: Any) -> None:
    """Show what a shadow would have sent instead, for the events since the start.

    A shadow is a route with `shadow: true`, or the file of `gateway serve --shadow new.yaml`: it is matched and rendered
    for each event that comes in, and sends nothing. The last 1,000 events that differ are in memory.
    """
    from gateway.cli import shadow as shadows

    sys.exit(shadows.shadow(**given))


@click.command("mcp", cls=Verb)
@options.config
@options.url
@click.option("--allow-writes", is_flag=True, help="Also offer tools that replay, discard, pause, mute and reload.")
@click.option(
    "--json", "_", is_flag=True, expose_value=False, help="Accepted for consistency: the protocol is always JSON."
)
def mcp(**given: Any) -> None:
    """Offer the gateway to an AI assistant as tools, over the Model Context Protocol.

    The assistant's program starts it and talks to it over standard input and output. The tools read from the API of a
    running gateway; explain, check and run_tests use the routes.yaml of this machine. It uses the token in GATEWAY_MCP_TOKEN, or
    else GATEWAY_READ_TOKEN or GATEWAY_ADMIN_TOKEN. What it changes is recorded in the activity. It needs the extra mcp: pip install 'hookkeeper[mcp]'
    """
    from gateway.cli import assistant

    sys.exit(assistant.serve(**given))
