"""What senders send: known senders, signatures, sample events."""

import sys
from pathlib import Path
from typing import Any

import click

from gateway.cli import complete, options
from gateway.cli.verbs.looks import Verb


@click.command("send", cls=Verb)
@click.argument("event", shell_complete=complete.events)
@options.config
@options.source_of_sample
@options.changes
@options.headers
@click.option(
    "--to", default="", metavar="URL", shell_complete=complete.addresses,
    help="Address to post to. Default: the source's path at GATEWAY_BIND, else at 127.0.0.1:8080.",
)  # fmt: skip
@click.option(
    "--count", default=1, show_default=True, metavar="N", type=click.IntRange(1), help="Number of events, all distinct."
)  # fmt: skip
@click.option(
    "--rate", default=0.0, metavar="N", type=click.FloatRange(0),
    help="Maximum events per second. Default: as fast as they are answered.",
)  # fmt: skip
@click.option("--same", is_flag=True, help="Send the sample unchanged; sent twice, the second is a duplicate.")
@click.option("--json", "as_json", is_flag=True, help="Print each answer as JSON.")
def send(**given: Any) -> None:
    """Sign and post an event.

    EVENT is a sample (contact.created), or a file with the body; FILE.request.json also has the headers.
    Unless you give --same, an event in JSON or a form gets a new id, so that it is not taken for a duplicate.
    `gateway sources NAME` lists the samples of a sender: contact.created, status.updated, message.failed, ...
    """
    from gateway.cli import send as sending

    sys.exit(sending.send(**given))


@click.command("sources", cls=Verb)
@click.argument("name", default="", metavar="[NAME]", shell_complete=complete.senders)
@options.as_json
def sources(name: str, as_json: bool) -> None:
    """List the known senders, or show how to configure one.

    NAME is a name in the list, for example stripe. Its page also has the fields that its events have under `attrs`.
    """
    from gateway.cli import sources as senders

    sys.exit(senders.show(name, as_json=as_json) if name else senders.list_all(as_json=as_json))


@click.command("capture", cls=Verb)
@click.argument("name", shell_complete=complete.sources)
@click.option("--last", is_flag=True, help="Take the newest stored event instead of waiting for the next one.")
@click.option("--force", is_flag=True, help="Overwrite an existing sample.")
@options.config
@options.server
def capture(**given: Any) -> None:
    """Make a sample of the next real event of a source.

    NAME is a source in routes.yaml. Its body and headers are written into the folder of its samples, without signatures
    and other secrets; values of fields that the source redacts are replaced.
    """
    from gateway.cli import capture as capturing

    sys.exit(capturing.capture(options.place(given), **given))


@click.command("verify", cls=Verb)
@options.config
@click.option(
    "--source", required=True, metavar="NAME", shell_complete=complete.sources,
    help="Source in routes.yaml that the request is for.",
)  # fmt: skip
@click.option(
    "--request", required=True, metavar="FILE", type=click.Path(path_type=Path),
    help="JSON file with method, url, headers (as [name, value] pairs), and body or body_base64.",
)  # fmt: skip
@click.option(
    "--at", metavar="TIME", help="Verify as of this time: 2026-12-31T12:00:00Z, or seconds since 1970. Default: now."
)  # fmt: skip
@options.as_json
def verify(**given: Any) -> None:
    """Show step by step how a request is verified, or why it is refused."""
    from gateway.cli import verify as verifying

    sys.exit(verifying.verify(**given))


@click.command("sign", cls=Verb)
@click.argument("event", shell_complete=complete.events)
@options.config
@options.source_of_sample
@options.changes
@options.headers
@click.option(
    "--url", default="", metavar="URL", shell_complete=complete.addresses, help="Address of the gateway. Default: GATEWAY_BIND, else 127.0.0.1:8080."
)  # fmt: skip
@click.option(
    "--json", "as_json", is_flag=True, help="Print the request as `gateway verify` reads it, not as a curl command."
)  # fmt: skip
def sign(**given: Any) -> None:
    """Print a signed request that a source accepts.

    EVENT is a sample, or a file with the body; FILE.request.json also has the headers.
    """
    from gateway.cli import verify

    sys.exit(verify.sign(**given))
