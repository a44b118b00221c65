"""Write routes.yaml and try it out: nothing here sends to a destination."""

import sys
from pathlib import Path
from typing import Any

import click

from gateway.cli import complete, options
from gateway.cli.verbs.looks import Verb


@click.command("init", cls=Verb)
@click.argument("folder", default=".", type=click.Path(path_type=Path))
@click.option(
    "--source", default="", metavar="SENDER", shell_complete=complete.senders,
    help="Write a small file for this sender: github, stripe. `gateway sources` lists them.",
)  # fmt: skip
@click.option(
    "--to", default="", metavar="TYPE", shell_complete=complete.kinds,
    help="Write a small file for this type of destination: slack, http.",
)  # fmt: skip
@options.as_json
def init(**given: Any) -> None:
    """Create a commented routes.yaml with its templates in FOLDER.

    With --source or --to, a small one for just that. Also creates .env.example and the JSON Schema for editors. Nothing
    is overwritten.
    """
    from gateway.cli import init as starter

    sys.exit(starter.init(given.pop("folder"), **given))


@click.command("schema", cls=Verb)
@click.option("--json", "_", is_flag=True, expose_value=False, help="Print JSON, which it always does.")
def schema() -> None:
    """Print the JSON Schema of routes.yaml, for editors."""
    from gateway.cli import schema as schemas

    sys.exit(schemas.schema())


@click.command("check", cls=Verb)
@options.config
@click.option("--strict", is_flag=True, help="Exit with 1 on warnings, too.")
@click.option(
    "--format", "output", default="text", show_default=True, type=click.Choice(["text", "json", "github"]),
    help="json: an array of findings. github: annotations on a pull request.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print JSON: the same as --format json.")
@click.option("--no-env", is_flag=True, help="Make up values for unset variables, for example in CI.")
def check(**given: Any) -> None:
    """Report every problem in routes.yaml and its templates.

    Exits with 1 if any problem is an error. Errors in tests count too, although a gateway starts with them and /readyz
    does not report them. Secrets in the file and private addresses are information, not warnings.
    """
    from gateway.cli import check as checks

    output = "json" if given.pop("as_json") else given.pop("output")
    sys.exit(checks.check(**{**given, "output": output}))


@click.command("test", cls=Verb)
@options.config
@options.as_json
def test(**given: Any) -> None:
    """Run the tests in routes.yaml.

    They match and render events and build the requests; nothing is sent. Variables have made-up values, and the time is
    always 2026-01-01T00:00:00Z.
    """
    from gateway.cli import test as tests

    sys.exit(tests.test(**given))


@click.command("explain", cls=Verb)
@click.argument("event", shell_complete=complete.events)
@options.config
@options.server
@options.source_of_sample
@options.changes
@options.headers
@options.before
@click.option("--curl", "as_curl", is_flag=True, help="Print each request as a curl command.")
def explain(**given: Any) -> None:
    """Show what would happen to EVENT, and why.

    Lists which entries match it, clause by clause, and every request, without secrets. Nothing is sent. EVENT is a
    sample (contact.created), a file, or the id of a stored event or delivery. Unset variables get made-up values.
    """
    from gateway.cli import explain as explaining

    sys.exit(explaining.explain(options.place(given), **given))


@click.command("render", cls=Verb)
@click.argument("template", shell_complete=complete.templates)
@options.config
@options.server
@click.option(
    "--event", default="", metavar="EVENT", shell_complete=complete.events,
    help="Sample, JSON file or stored id to render with. Default: the first sample.",
)  # fmt: skip
@options.source_of_sample
@options.changes
@options.headers
@options.before
@click.option(
    "--for", "kind", type=complete.Kinds(),
    help="Escape values for this type of destination. Default: the type its folder is named after (slack/).",
)  # fmt: skip
def render(**given: Any) -> None:
    """Print what a template renders for one event.

    TEMPLATE is a file in templates/.
    """
    from gateway.cli import render as rendering

    sys.exit(rendering.render(options.place(given), **given))


@click.command("diff", cls=Verb)
@click.argument("new", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@options.config
@options.store
@click.option(
    "--last", default=1000, show_default=True, metavar="N", type=click.IntRange(1, 100_000),
    help="Number of newest events to compare.",
)  # fmt: skip
@click.option("--source", default="", metavar="NAME", shell_complete=complete.sources, help="Filter by source.")
@click.option(
    "--type", "type_", default="", metavar="GLOB", shell_complete=complete.types,
    help="Filter by event type: contact.created, contact.*",
)  # fmt: skip
@options.as_json
def diff(**given: Any) -> None:
    """Show how requests would differ if NEW were the routes.yaml in force.

    Plays the newest stored events through both files and compares the requests one by one, bodies too. Nothing is sent,
    stored or looked up, and `once` counts as not fired. It reads the store, even while the gateway runs. Exits with 1 if
    a request differs. Both files get the variables of the one in force; unset ones get made-up values.
    """
    from gateway.cli import diff as diffs
    from gateway.cli.place import Place

    place = Place(url="", store=given.pop("store"), config=given.pop("config"))
    sys.exit(diffs.diff(place, **given))
