"""Shell completion of names in routes.yaml and samples of its senders; click completes verbs and options."""

from collections.abc import Callable, Iterable
from os import environ
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
from click.shell_completion import CompletionItem, get_completion_class

from gateway.errors import GatewayError

if TYPE_CHECKING:
    from gateway.cli.answers import Answers
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


def _file(context: click.Context) -> Path:
    named: Any = context.find_root().params.get("config") or context.params.get("config")
    return Path(named or environ.get("GATEWAY_CONFIG") or "routes.yaml")


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
    return [*_a_sample(context, parameter, typed), *map(CompletionItem, _event_files(typed))]


def _event_files(typed: str) -> Iterable[str]:
    """Files that may hold an event, and folders on the way to one; none before something is typed."""
    from gateway.presets import CONTENT_TYPES

    folder, slash, begun = typed.rpartition("/")
    place = Path(folder + slash or ".")
    for file in sorted(place.iterdir()) if typed and place.is_dir() else ():
        if not file.name.startswith(begun):
            continue
        if file.is_dir():
            yield f"{folder}{slash}{file.name}/"
        elif file.suffix.removeprefix(".") in CONTENT_TYPES:
            yield f"{folder}{slash}{file.name}"


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


def _templates(context: click.Context, _: click.Parameter, typed: str) -> list[CompletionItem]:
    folder = _file(context).parent / "templates"
    names = sorted(file.relative_to(folder).as_posix() for file in folder.rglob("*.j2"))
    return [CompletionItem(name) for name in names if name.startswith(typed)]


def types_of(config: "Config") -> Iterable[str]:
    """The types of samples, and a pattern for each resource."""
    names = set(_samples(config))
    return names | {f"{name.partition('.')[0]}.*" for name in names if "." in name}


def _fields(config: "Config") -> Iterable[str]:
    """The fields of the samples, as ``--set`` and ``--find`` name them."""
    from gateway.config.samples import documented

    for source in config.sources.values():
        roots = ("payload", *source.naming.shortcut_names)
        for sample in documented(source):
            for root in roots:
                record = sample.facts.get(root)
                yield from (f"{root}.{name}=" for name in record) if isinstance(record, dict) else ()


def _headers(config: "Config") -> Iterable[str]:
    sent = (headers for source in config.sources.values() for headers in source.sample_headers.values())
    return {f"{name}={value}" for headers in sent for name, value in headers.items()}


def _looked_up(ask: "Callable[[Answers], Iterable[str]]") -> Complete:
    """From the running gateway, or from the store; nothing if neither answers."""

    def complete(context: click.Context, _: click.Parameter, typed: str) -> list[CompletionItem]:
        from gateway.cli.place import Place

        given = {**context.find_root().params, **context.params}
        place = Place(
            url=given.get("url") or environ.get("GATEWAY_URL", ""),
            store=given.get("store") or environ.get("GATEWAY_STORE") or "sqlite:///gateway.db",
            config=_file(context),
        )
        try:
            return [
                CompletionItem(each) for each in place.ask(lambda asked: list(ask(asked))) if each.startswith(typed)
            ]
        except (GatewayError, OSError):
            return []

    return complete


def _ids(asked: "Answers") -> Iterable[str]:
    from gateway.operate.selection import Filter

    for event in asked.events(Filter(), limit=_OFFERED)["events"]:
        yield event["id"]
        yield from (each["id"] for each in event["deliveries"])


def _causes(asked: "Answers") -> Iterable[str]:
    return dict.fromkeys(each["cause"] for each in asked.dead())


def _activities(asked: "Answers") -> Iterable[str]:
    return [each["id"] for each in asked.activity(limit=_OFFERED)["activities"]]


def _stored(*shown: str) -> Complete:
    return _of(lambda: shown)


#: Most ids that are offered.
_OFFERED: Final = 20

senders: Final = _of(_senders)
kinds: Final = _of(_kinds)
templates: Final[Complete] = _templates
types: Final = _of_the_file(types_of)
fields: Final = _of_the_file(lambda config: set(_fields(config)))
headers: Final = _of_the_file(_headers)
ids: Final = _looked_up(_ids)
causes: Final = _looked_up(_causes)
activities: Final = _looked_up(_activities)
stores: Final = _stored("sqlite:///gateway.db", "postgresql://")
addresses: Final = _stored("http://127.0.0.1:8080", "http://127.0.0.1:8081")
binds: Final = _stored("127.0.0.1:8080", "127.0.0.1:8081", "0.0.0.0:8080", "127.0.0.1:0")
durations: Final = _stored("15m", "30m", "1h", "2h", "8h", "24h", "7d")
rates: Final = _stored("1/s", "5/s", "60/min")
