"""The command line: the group of all verbs and the entry point."""

import os
import re
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from io import TextIOWrapper
from pathlib import Path
from typing import Any, Final

import click

from gateway import __version__
from gateway.cli import complete
from gateway.cli.verbs import acting, examples, looking, looks, running, sending, writing
from gateway.errors import ConfigError, GatewayError
from gateway.wording import printable

#: A file among the arguments that a verb refuses.
_EXTRA_FILE: Final = re.compile(r"extra arguments? \(.*?([^\s(]+\.ya?ml)\b")


class Gateway(looks.Verbs):
    """Ends quietly when its reader has seen enough, and with 130 on Ctrl-C."""

    def make_context(self, *arguments: Any, **more: Any) -> Any:
        with _ending_quietly(), looks.showing_errors():
            return super().make_context(*arguments, **more)

    def invoke(self, ctx: click.Context) -> Any:
        with _ending_quietly(), looks.showing_errors(), _naming_the_option():
            return super().invoke(ctx)


@contextmanager
def _ending_quietly() -> Iterator[None]:
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        _drop_what_is_left()
        sys.exit(0)
    except KeyboardInterrupt:
        sys.exit(130)


@contextmanager
def _naming_the_option() -> Iterator[None]:
    """A file that is written as an argument belongs after ``--config``; say so."""
    try:
        yield
    except click.UsageError as error:
        file = _EXTRA_FILE.search(error.message)
        if file and error.ctx and any(each.name == "config" for each in error.ctx.command.params):
            raise click.UsageError(f"{error.message}: write --config {file[1]}", error.ctx) from None
        raise


@click.group(cls=Gateway, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="gateway")
def cli() -> None:
    """Receive webhooks, store them before answering, and forward them until they are delivered."""


#: As ``gateway --help`` lists them.
_VERBS: Final = {
    "Start": (writing.init, running.dev, running.serve),
    "Write routes.yaml": (writing.check, writing.test, writing.explain, writing.render, writing.diff, writing.schema),
    "Receive": (sending.sources, sending.send, sending.sign, sending.verify, sending.capture),
    "Look": (
        looking.events,
        looking.show,
        looking.dead,
        looking.refused,
        looking.tail,
        looking.activity,
        looking.shadow,
        looking.mcp,
        looking.replicas,
    ),
    "Act": (
        acting.replay,
        acting.discard,
        acting.forget,
        acting.destinations,
        acting.login,
        acting.handshake,
        acting.reload,
    ),
    "Maintain": (running.doctor, running.backup, running.migrate, running.copy, running.completion),
}
for _verbs in _VERBS.values():
    for _verb in _verbs:
        cli.add_command(_verb)
examples.add(cli.commands)
looks.SECTIONS.update({title: [str(each.name) for each in verbs] for title, verbs in _VERBS.items()})


def main() -> None:
    """The entry point: a failure is one clear line, not a traceback."""
    _open_standard_streams()
    try:
        cli(prog_name="gateway", complete_var=complete.VARIABLE)
    except ConfigError as error:
        from gateway.cli import check

        check.report(error)
        sys.exit(error.exit_code)
    except GatewayError as error:
        _fail(str(error), error.exit_code)
    except OSError as error:
        _fail(str(error))
    except Exception as error:  # noqa: BLE001  a defect: say where it is without showing our code
        place = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{Path(place.filename).name}:{place.lineno}"
        _fail(f"this is a bug in the gateway, please report it: {type(error).__name__}: {error} ({where})")


def _drop_what_is_left() -> None:
    """What is left in the buffer has nowhere to go; the interpreter would complain about it on exit, with a code of its own."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _fail(said: str, exit_code: int = 1) -> None:
    try:
        sys.stdout.flush()
    except OSError:
        _drop_what_is_left()
    print(f"gateway: {printable(said)}", file=sys.stderr)
    sys.exit(exit_code)


def _open_standard_streams() -> None:
    """Replace closed streams with the null device, so that no file of ours gets their numbers; have the others print anything."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open(mode))  # noqa: SIM115  until the end
        elif mode == "w" and isinstance(stream := getattr(sys, name), TextIOWrapper):
            # A terminal in another encoding shows what it can.
            stream.reconfigure(errors="backslashreplace")
