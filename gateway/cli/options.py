"""Options that several verbs share, and how their values are passed on."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gateway.cli import complete
from gateway.cli.place import Place
from gateway.model import DeliveryState

if TYPE_CHECKING:
    from gateway.operate.selection import Filter

Command = Callable[..., Any]

as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
config = click.option(
    "-c", "--config", "config", envvar="GATEWAY_CONFIG", show_envvar=True, default="routes.yaml", show_default=True,
    metavar="FILE", type=click.Path(path_type=Path), help="Configuration file.",
)  # fmt: skip


def _store(about: str) -> Callable[[Command], Command]:
    return click.option(
        "--store", envvar="GATEWAY_STORE", show_envvar=True, default="sqlite:///gateway.db", show_default=True,
        metavar="URL", help=about, shell_complete=complete.stores,
    )  # fmt: skip


store = _store("Store of the gateway.")
url = click.option(
    "--url", envvar="GATEWAY_URL", show_envvar=True, default="", metavar="URL", shell_complete=complete.addresses,
    help="Admin address of a running gateway. Default: GATEWAY_ADMIN_BIND, else http://127.0.0.1:8081.",
)  # fmt: skip
source_of_sample = click.option(
    "--source", default="", metavar="NAME", shell_complete=complete.sources,
    help="Source in routes.yaml that sent the event; required if more than one source matches.",
)  # fmt: skip
changes = click.option(
    "--set", "changes", multiple=True, metavar="PATH=VALUE", shell_complete=complete.fields,
    help="Change a field or a header: attrs.email=a@b.c, headers.x-github-event=push",
)  # fmt: skip
before = click.option(
    "--before", "before", multiple=True, metavar="NAME=VALUE",
    help="What was known of the event's record before this event, if its source has track: status_id=1",
)  # fmt: skip
headers = click.option(
    "--header", "headers", multiple=True, metavar="'NAME: VALUE'", shell_complete=complete.headers,
    help="Add or replace a header of the event: 'X-GitHub-Event: push'",
)  # fmt: skip


def server(command: Command) -> Command:
    """Where to look, and whether to print JSON."""
    return _store("Store to use if no gateway is running.")(url(as_json(command)))


def page(command: Command) -> Command:
    """A page of a list."""
    command = click.option("--before", default="", metavar="CURSOR", help="Continue after the previous page.")(command)
    return click.option(
        "--limit", default=20, show_default=True, metavar="N", type=click.IntRange(1, 1000),
        help="Maximum number of rows.",
    )(command)  # fmt: skip


def _span(command: Command) -> Command:
    command = click.option(
        "--until",
        default="",
        metavar="TIME",
        shell_complete=complete.durations,
        help="Skip events received at this time or later: 30m (ago), 2026-12-31T12:00:00Z.",
    )(command)
    return click.option(
        "--since",
        default="",
        metavar="TIME",
        shell_complete=complete.durations,
        help="Skip events received before this time: 2h (ago), 2026-12-31T12:00:00Z.",
    )(command)


def _about(command: Command) -> Command:
    command = click.option(
        "--destination", default="", metavar="NAME", shell_complete=complete.destinations,
        help="Filter by destination.",
    )(command)  # fmt: skip
    command = click.option(
        "--type", default="", metavar="GLOB", shell_complete=complete.types,
        help="Filter by event type: contact.created, contact.*",
    )(command)  # fmt: skip
    return click.option(
        "--source", default="", metavar="NAME", shell_complete=complete.sources, help="Filter by source."
    )(command)  # fmt: skip


def events(command: Command) -> Command:
    """Which events."""
    command = click.option(
        "--find", "q", default="", metavar="TEXT", shell_complete=complete.fields,
        help="Search payloads: data.id=451, attrs.phone=+14155551234, headers.x-y=z, or any text.",
    )(_span(command))  # fmt: skip
    command = click.option(
        "--state", type=click.Choice([each.value for each in DeliveryState]), help="Filter by the state of a delivery.",
    )(command)  # fmt: skip
    return _about(command)


def deliveries(command: Command) -> Command:
    """Which deliveries."""
    command = click.option(
        "--cause", metavar="CAUSE", shell_complete=complete.causes, help='Filter by cause, as `gateway dead` lists it: "answered 422".'
    )(_span(command))  # fmt: skip
    command = click.option(
        "--route", default="", metavar="NAME", shell_complete=complete.routes, help="Filter by route."
    )(command)  # fmt: skip
    return _about(command)


def place(options: dict[str, Any]) -> Place:
    """Take the options of ``server`` and ``config`` out of ``options``."""
    return Place(url=options.pop("url"), store=options.pop("store"), config=options.pop("config"))


def which(options: dict[str, Any], **more: str) -> "Filter":
    """Take the options of ``events`` or ``deliveries`` out of ``options``."""
    from msgspec.structs import fields

    from gateway.operate.selection import Filter

    given = {each.name: options.pop(each.name) for each in fields(Filter) if each.name in options}
    return Filter(**{name: value for name, value in given.items() if value is not None}, **more)
