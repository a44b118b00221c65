"""Shell completion of names in routes.yaml and samples of its senders; click completes verbs and options."""

from collections.abc import Callable, Iterable
from os import environ
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
from click.shell_completion import CompletionItem, get_completion_class

from gateway.errors import GatewayError

if TYPE_CHECKING:
    from gateway.routing import Config

SHELLS: Final = ("bash", "zsh", "fish")
#: The variable that the scripts set to ask for completions.
VARIABLE: Final = "_GATEWAY_COMPLETE"

Complete = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


class Kinds(click.Choice[str]):
    """The types of destination with a url. They are loaded only when a command line or a help page needs them."""

    def __init__(self) -> None:
        super().__init__(())

    @property
    def choices(self) -> tuple[str, ...]:
        from gateway.destinations import KINDS

        return tuple(name for name, kind in KINDS.items() if kind.has_url)

    @choices.setter
    def choices(self, _: object) -> None:
        """Click sets what ``__init__`` was given: nothing yet."""


def script(cli: click.Command, shell: str) -> str:
    """The script that a shell reads when it starts."""
    kind = get_completion_class(shell)
    assert kind is not None
    return kind(cli, {}, "gateway", VARIABLE).source()


def _of_the_file(names: "Callable[[Config], Iterable[str]]") -> Complete:
    def complete(context: click.Context, _: click.Parameter, typed: str) -> list[CompletionItem]:
        config = _config(context)
        return [CompletionItem(name) for name in sorted(names(config)) if name.startswith(typed)] if config else []

    return complete


def _config(context: click.Context) -> "Config | None":
    """The file that the command line names so far; None if it has problems: this is no place to report them."""
    from gateway.config import load

    named: Any = context.find_root().params.get("config") or context.params.get("config")
    try:
        return load(
            Path(named or environ.get("GATEWAY_CONFIG") or "routes.yaml"), environ=environ, no_env=True, tests=False
        )
    except (GatewayError, OSError):
        return None


def _samples(config: "Config") -> Iterable[str]:
    return {name for source in config.sources.values() for name in source.samples}


def _routes(config: "Config") -> Iterable[str]:
    from gateway.cli.names import routes_of

    return routes_of(config)


destinations: Final = _of_the_file(lambda config: config.destinations)
sources: Final = _of_the_file(lambda config: config.sources)
routes: Final = _of_the_file(_routes)
_a_sample: Final = _of_the_file(_samples)


def events(context: click.Context, parameter: click.Parameter, typed: str) -> list[CompletionItem]:
    """Samples and files."""
    return [*_a_sample(context, parameter, typed), CompletionItem(typed, type="file")]


def _of(names: Callable[[], Iterable[str]]) -> Complete:
    def complete(_context: click.Context, _: click.Parameter, typed: str) -> list[CompletionItem]:
        return [CompletionItem(name) for name in names() if name.startswith(typed)]

    return complete


def _senders() -> Iterable[str]:
    from gateway import presets

    return presets.NAMES


def _kinds() -> Iterable[str]:
    from gateway.destinations import KINDS

    return KINDS


senders: Final = _of(_senders)
kinds: Final = _of(_kinds)
