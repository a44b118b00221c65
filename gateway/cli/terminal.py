"""Output for people: lines and tables that fit their terminal, without control characters from a payload.

Data goes to standard output, notes about it to standard error. Colours and progress are for terminals only.
"""

import os
import re
import shutil
import sys
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Final, TextIO, TypeVar

import click
import msgspec
from msgspec import Struct

from gateway.wording import printable

if TYPE_CHECKING:
    # Loaded when something is printed: a gateway that serves has little to say here.
    from rich.console import Console
    from rich.text import Text

#: A text, or a text and its style.
Part = str | tuple[str, str]

STYLES: Final = {"delivered": "green", "dead": "red", "pending": "yellow", "discarded": "bright_black"}
_GAP: Final = 2
#: Seconds between two looks at how far something has come.
LOOK_S: Final = 0.1
#: In JSON these occur only inside strings, where an escape means the same.
_STEERING: Final = re.compile("[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")


Result = TypeVar("Result")


class Column(Struct, frozen=True):
    """A column of a table, and how it gives way when there is no room."""

    title: str
    #: Narrowest width, cells; 0: never narrowed.
    least: int = 0
    #: The column with the highest is left out first; 0: never left out.
    leave: int = 0
    is_number: bool = False


def out() -> "Console":
    return _console(sys.stdout)


def err() -> "Console":
    return _console(sys.stderr)


@cache
def _console(stream: TextIO) -> "Console":
    from rich.console import Console

    class Output(Console):
        def on_broken_pipe(self) -> None:
            """Raise, so that the program ends: a reader that has seen enough is not a failure."""
            raise BrokenPipeError

    is_terminal = stream.isatty()
    return Output(
        file=stream,
        force_terminal=is_terminal,
        color_system="auto" if is_terminal and not os.environ.get("NO_COLOR") else None,
        highlight=False,
        markup=False,
        emoji=False,
        soft_wrap=True,
    )


def is_watched() -> bool:
    """Whether a person is at the terminal and can answer."""
    return sys.stdin.isatty() and sys.stdout.isatty() and sys.stderr.isatty()


def width() -> int | None:
    """Cells of the terminal; None: standard output is not a terminal, and nothing is cut off."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


# --- lines ---


def line(*parts: Part) -> "Text":
    """One line; its texts may come from a sender."""
    from rich.text import Text

    pairs = ((part, "") if isinstance(part, str) else part for part in parts)
    return Text.assemble(*((printable(text), style) for text, style in pairs))


def say(*parts: Part) -> None:
    """A line on standard output."""
    out().print(line(*parts))


def gap() -> None:
    """An empty line on standard output."""
    out().print()


def row(*parts: Part) -> None:
    """A line on standard output, cut off where the terminal ends."""
    out().print(_fitted(line(*parts), width()))


def print_with(text: "Text", more: Part) -> None:
    """A line on standard output, cut off where the terminal ends, followed by ``more`` if there is room."""
    cells, appended = width(), line("  ", more)
    if cells is None or text.cell_len + appended.cell_len <= cells:
        text = text + appended
    out().print(_fitted(text, cells))
    sys.stdout.flush()


def note(*parts: Part) -> None:
    """A line on standard error."""
    err().print(line(*parts))


def echo(lines: Iterable[str]) -> None:
    """Lines with click's styles on standard output."""
    # click drops the colours where the output is not a terminal.
    color = False if os.environ.get("NO_COLOR") else None
    for each in lines:
        click.echo(each, color=color)


def state(name: str) -> Part:
    """The name of a delivery's state, in its colour."""
    return (name, STYLES.get(name, ""))


def _fitted(text: "Text", cells: int | None) -> "Text":
    if cells is not None:
        text.truncate(max(cells, 1), overflow="ellipsis")
    return text


# --- tables ---


def show_table(columns: Sequence[Column], rows: Sequence[Sequence[Sequence[Part]]]) -> None:
    """The titles and a line for each row, on standard output."""
    for each in laid_out(columns, rows, width()):
        out().print(each)


def laid_out(
    columns: Sequence[Column], rows: Sequence[Sequence[Sequence[Part]]], cells: int | None
) -> Sequence["Text"]:
    """The lines of a table, titles first, none wider than ``cells``; None: any width.

    Columns are narrowed first; if that is not enough, whole columns are left out.
    """
    titles = [line((column.title, "dim")) for column in columns]
    table = [titles, *([line(*parts) for parts in each] for each in rows)]
    natural = [max(each[at].cell_len for each in table) for at in range(len(columns))]
    widths = _widths(columns, natural, cells)
    return [_fitted(_joined(columns, each, widths), cells) for each in table]


def _widths(columns: Sequence[Column], natural: Sequence[int], cells: int | None) -> dict[int, int]:
    """The width of each column that remains, by its position."""
    widths = dict(enumerate(natural))
    if cells is None:
        return widths
    least = {at: min(natural[at], column.least or natural[at]) for at, column in enumerate(columns)}
    while _total(least) > cells and (leaving := [at for at in least if columns[at].leave]):
        gone = max(leaving, key=lambda at: columns[at].leave)
        del least[gone], widths[gone]
    while _total(widths) > cells and (wide := [at for at in widths if widths[at] > least[at]]):
        widths[max(wide, key=lambda at: widths[at])] -= 1
    return widths


def _total(widths: dict[int, int]) -> int:
    return sum(widths.values()) + _GAP * (len(widths) - 1)


def _joined(columns: Sequence[Column], cells: Sequence["Text"], widths: dict[int, int]) -> "Text":
    from rich.text import Text

    joined = Text()
    for at, wide in widths.items():
        cell = cells[at].copy()
        cell.truncate(wide, overflow="ellipsis")
        padding = " " * (wide - cell.cell_len)
        joined.append_text(Text(padding) + cell if columns[at].is_number else cell + Text(padding))
        joined.append(" " * _GAP)
    joined.rstrip()
    return joined


# --- values ---


def printed_json(value: object, *, indent: int = 2) -> str:
    """JSON for programs, without control characters either. ``indent`` below 0: on one line."""
    encoded = msgspec.json.encode(value)
    text = (msgspec.json.format(encoded, indent=indent) if indent >= 0 else encoded).decode()
    return _STEERING.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def pretty(data: bytes) -> str:
    """JSON on several lines, other text as it is; printable characters only."""
    try:
        text = msgspec.json.format(data, indent=2).decode()
    except (ValueError, RecursionError):
        text = data.decode("utf-8", "replace")
    return "\n".join(map(printable, text.split("\n")))


def print_json(value: object) -> None:
    """Data for programs, on standard output."""
    print(printed_json(value))


def print_json_line(value: object) -> None:
    """One value on one line, flushed."""
    print(printed_json(value, indent=-1), flush=True)


def local(iso: str) -> str:
    """A time of the API in local time: ``2026-12-31 12:00:00``."""
    return datetime.fromisoformat(iso).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def moments(times: Sequence[str]) -> Sequence[str]:
    """Times of the API for a column; on a terminal, without the date if all are today's."""
    texts = [local(each) for each in times]
    today = datetime.now().astimezone().strftime("%Y-%m-%d ")
    is_short = width() is not None and all(each.startswith(today) for each in texts)
    return [each.removeprefix(today) for each in texts] if is_short else texts


def size(number: float) -> str:
    """Bytes: ``812 B``, ``3.4 MiB``."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if number < 1024 or unit == "GiB":
            break
        number /= 1024
    return f"{number:,.0f} {unit}" if unit == "B" or number >= 100 else f"{number:.1f} {unit}"


async def watched(what: str, work: Awaitable[Result], how_far: Callable[[], tuple[int, int]]) -> Result:
    """The result of work that takes its time; meanwhile a bar shows how far it has come. Cancelled, it cancels the work."""
    import asyncio

    task = asyncio.ensure_future(work)
    try:
        with progress(what) as show:
            while not (await asyncio.wait([task], timeout=LOOK_S))[0]:
                show(*how_far())
        return task.result()
    finally:
        task.cancel()


@contextmanager
def progress(what: str) -> Iterator[Callable[[int, int], None]]:
    """A bar on standard error, updated with (done, total); only on a terminal."""
    if not sys.stderr.isatty():
        yield lambda _done, _total: None
        return
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    bar = Progress(
        TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn(),
        console=err(), transient=True,
    )  # fmt: skip
    with bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


@contextmanager
def counting() -> Iterator[Callable[[int, int, str], None]]:
    """As ``progress``, with words after the bar."""
    if not sys.stderr.isatty():
        yield lambda _done, _total, _said: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    bar = Progress(
        BarColumn(bar_width=24), MofNCompleteColumn(), TextColumn("{task.description}"), console=err(), transient=True
    )
    with bar:
        task = bar.add_task("", total=None)
        yield lambda done, total, said: bar.update(task, completed=done, total=total, description=printable(said))


@contextmanager
def waiting() -> Iterator[Callable[[str], None]]:
    """A line on standard error that shows the progress and disappears at the end; only on a terminal."""
    if not sys.stderr.isatty():
        yield lambda _said: None
        return
    status = err().status("")

    def show(said: str) -> None:
        status.update(printable(said))
        status.start()

    try:
        yield show
    finally:
        status.stop()
