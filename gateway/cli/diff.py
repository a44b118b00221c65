"""``gateway diff``: what another routes.yaml would send instead, for stored events."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import click

from gateway.cli import terminal
from gateway.cli.place import Place
from gateway.cli.surroundings import environment
from gateway.cli.terminal import echo
from gateway.errors import GatewayError
from gateway.wording import count, printable

_COLOURS: Final = {"+": "green", "-": "red"}
#: Lines of a difference on a terminal; ``--json`` has all of them.
LINES: Final = 60


class SameFile(GatewayError):
    """Both files are one."""

    exit_code = 2


def diff(place: Place, *, new: Path, last: int, source: str, type_: str, as_json: bool) -> int:
    """Print how the requests of stored events differ between two files; 1 if any does. Raises ConfigError."""
    from gateway.cli.offline import Offline
    from gateway.config import load
    from gateway.rehearsal.differences import compare

    if new.resolve() == place.config.resolve():
        raise SameFile(f"{new} is the file in force: name the one to compare it with, or give the other with --config")
    # One environment: variables that only differ between two folders are no difference between the files.
    environ = environment(place.config.parent / ".env")
    before, after = (load(each, environ=environ, no_env=True) for each in (place.config, new))
    with Offline.opened(place.store, lambda: before, has_file=True) as store:
        events, gone = store.last_events(last, source=source, type=type_)
    compared = [compare(before, after, each) for each in events]
    differing = [each for each in compared if each.differences]
    not_compared = [each for each in compared if each.why_not]
    counts: Counter[tuple[str, str, str]] = Counter(
        (each.kind, each.route, each.destination) for one in differing for each in one.differences
    )
    if as_json:
        terminal.print_json(
            {
                "events": len(events) + gone,
                "without_body": gone,
                "not_compared": [each.document() for each in not_compared],
                "same": len(compared) - len(differing) - len(not_compared),
                "counts": [
                    {"kind": kind, "route": route, "destination": destination, "count": number}
                    for (kind, route, destination), number in counts.most_common()
                ],
                "differing": [each.document() for each in differing],
            }
        )
        return 1 if differing else 0
    echo(line for each in differing for line in event_lines(each.document(LINES)))
    echo(_summary(len(compared), gone, len(differing), [each.why_not for each in not_compared], counts))
    return 1 if differing else 0


def _summary(
    compared: int, gone: int, differing: int, why_not: Sequence[str], counts: Mapping[tuple[str, str, str], int]
) -> Iterator[str]:
    yield f"{count(compared, 'event')} compared, {differing or 'none'} with a difference"
    for (kind, route, destination), number in sorted(counts.items(), key=lambda each: -each[1]):
        yield f"  {number:>7,} {kind:<8} {route} > {destination}"
    if gone:
        yield f"{count(gone, 'event')} not compared: the body is no longer kept, or damaged"
    for reason, number in Counter(why_not).most_common(5):
        yield f"{count(number, 'event')} not compared: {printable(reason)}"


def event_lines(event: Mapping[str, Any]) -> Iterator[str]:
    """An event and its differences, as ``gateway shadow`` shows them, too."""
    head = click.style(printable(event["type"]), bold=True)
    yield f"{head} from {event['source']}, {event['event_id']}, {terminal.local(event['received_at'])}"
    if event["why_not"]:
        yield f"  not compared: {printable(event['why_not'])}"
    for each in event["differences"]:
        yield f"  {each['kind']} {each['route']} > {each['destination']}"
        for line in each["lines"]:
            yield f"    {click.style(line, fg=_COLOURS.get(line[:1]))}"
    yield ""
