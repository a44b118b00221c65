"""How verbs look to people: rich-click lays out their help and their errors, and is loaded only to show them."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import click

if TYPE_CHECKING:
    import rich_click

#: The verbs below a title of the first help page.
SECTIONS: Final[dict[str, Sequence[str]]] = {}


class Verb(click.Command):
    """A verb."""

    def get_help(self, ctx: click.Context) -> str:
        return _laid_out(ctx)


class Verbs(click.Group):
    """A verb with others below it."""

    command_class = Verb

    def get_help(self, ctx: click.Context) -> str:
        return _laid_out(ctx)


@contextmanager
def showing_errors() -> Iterator[None]:
    """End the program for a command line that cannot be obeyed, after saying what is wrong with it."""
    try:
        yield
    except click.exceptions.NoArgsIsHelpError as error:
        print(error.message)
        raise SystemExit(error.exit_code) from None
    except click.ClickException as error:
        _show(error)
        raise SystemExit(error.exit_code) from None


def _laid_out(context: click.Context) -> str:
    rich = _context(context)
    return rich.command.get_help(rich)


def _show(error: click.ClickException) -> None:
    from rich_click import RichHelpConfiguration, RichHelpFormatter

    if isinstance(error, click.UsageError) and error.ctx is not None:
        error.ctx = _context(error.ctx)
    formatter = RichHelpFormatter(config=RichHelpConfiguration.load_from_globals())
    formatter.write_error(error)
    print(formatter.getvalue(), file=sys.stderr, end="")


def _context(context: click.Context) -> "rich_click.RichContext":
    import rich_click

    rich_click.rich_click.COMMAND_GROUPS = {
        "gateway": [{"name": title, "commands": [*names]} for title, names in SECTIONS.items()]
    }
    parent = _context(context.parent) if context.parent else None
    made = rich_click.RichContext(
        _command(context.command), info_name=context.info_name, parent=parent, **context.command.context_settings
    )
    made.params = context.params
    return made


def _command(command: click.Command) -> "rich_click.RichCommand":
    import rich_click

    more: dict[str, Any] = {
        "name": command.name, "params": command.params, "help": command.help, "epilog": command.epilog, "short_help": command.short_help,
        "context_settings": command.context_settings,
    }  # fmt: skip
    if not isinstance(command, click.Group):
        return rich_click.RichCommand(**more)
    below: dict[str, click.Command] = {name: _command(each) for name, each in command.commands.items()}
    return rich_click.RichGroup(commands=below, invoke_without_command=command.invoke_without_command, **more)
