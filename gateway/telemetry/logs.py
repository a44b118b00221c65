"""The log: one line per event on stderr, as JSON or for a terminal."""

import logging
import os
import sys
import traceback
from collections.abc import Callable, Mapping, MutableMapping
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from gateway.telemetry.lines import LOG_EVENTS, LOG_LEVELS, Level
from gateway.telemetry.output import LinePump
from gateway.wording import printable

_STDOUT: Final = 1
_STDERR: Final = 2

#: The fields of an exception, and of its traceback as text.
_TRACEBACK: Final = frozenset({"exc_info", "exception"})
#: The most characters of a traceback in a line: its end, which says what happened.
LONGEST_TRACEBACK: Final = 16_384

#: Writes the fields of one line of this name and level.
_Write = Callable[[str, Level, MutableMapping[str, Any]], None]

_pump: LinePump | None = None
_is_for_people = False
_write: _Write | None = None
#: Levels of the lines that are written, by name; empty before ``configure_log``.
_levels: Mapping[str, Level] = {}
#: Hides the secrets of the configuration in force.
_hide: Callable[[str], str] = str


def log(name: str, **fields: Any) -> None:
    """Write one line of an event declared in LOG_EVENTS; nothing is written before ``configure_log``.

    ``exc_info`` is True for the exception being handled, or an exception: its traceback is the field ``exception``. A
    caller that has more to hide in it than secrets makes that text itself.
    """
    if _write is not None and (level := _levels.get(name)):
        _write(name, level, fields if _TRACEBACK.isdisjoint(fields) else _traced(fields))


def hide_in_log(hide: Callable[[str], str]) -> None:
    """Have ``hide`` applied to what others wrote: the text of an exception, and the message of a library."""
    global _hide  # noqa: PLW0603  every part of a process shares one log
    _hide = hide


def configure_log(form: str = "auto", level: str = "info", *, shares_output: bool = False) -> None:
    """Choose ``console`` or ``json`` lines on stderr (``auto``: console on a terminal) and the lowest level.

    ``shares_output``: other processes write there, too.
    """
    global _pump, _write, _levels, _is_for_people  # noqa: PLW0603  every part of a process shares one log
    if form == "auto":
        form = "console" if os.isatty(_STDERR) else "json"
    _is_for_people = form == "console"
    _pump = _pump or LinePump(_STDERR, _count_dropped, is_shared=shares_output)
    _write = _json_lines(_pump.put) if form == "json" else _console_lines(_pump.put)
    _levels = {
        name: declared.level
        for name, declared in LOG_EVENTS.items()
        if LOG_LEVELS.index(declared.level) >= LOG_LEVELS.index(level)
    }
    # By default a library's line goes straight to stderr, and its caller waits if the pipe is full.
    logging.basicConfig(handlers=[_Libraries()], level=logging.WARNING)
    logging.captureWarnings(capture=True)


def is_for_people() -> bool:
    """Whether the lines are written for a terminal."""
    return _is_for_people


def flush_log() -> None:
    """Give the last lines a second to leave before the process ends."""
    if _pump is not None:
        _pump.flush()


def say(text: str) -> None:
    """Print a line on stdout for the process that started this one; if nobody reads it, give up after a second."""
    pump = LinePump(_STDOUT, _count_dropped, gather_s=0.0)
    pump.put(text.encode("utf-8", "replace"))
    pump.flush()


def _count_dropped(lines: int) -> None:
    from gateway.telemetry.metrics import LOG_LINES_DROPPED

    LOG_LINES_DROPPED.inc(lines)


def _json_lines(put: Callable[[bytes], None]) -> _Write:
    # Without structlog's processors: they take three times as long, and every event writes two lines.
    encode = msgspec.json.Encoder(enc_hook=str).encode

    def write(name: str, level: Level, fields: MutableMapping[str, Any]) -> None:
        line = {"time": datetime.now(UTC), "level": level, "event": name, **fields}
        try:
            put(encode(line))
        except UnicodeEncodeError:
            put(encode(_harmless(line)))

    return write


def _console_lines(put: Callable[[bytes], None]) -> _Write:
    import structlog

    colors = os.isatty(_STDERR) and not os.environ.get("NO_COLOR")
    render = structlog.dev.ConsoleRenderer(
        colors=colors, timestamp_key="time", pad_event_to=20, exception_formatter=structlog.dev.plain_traceback
    )
    stamp = structlog.processors.TimeStamper(fmt="iso", utc=True, key="time")

    def write(name: str, level: Level, fields: MutableMapping[str, Any]) -> None:
        line = stamp(None, level, {"event": name, "level": level, **_short(_harmless(fields))})
        put(render(None, level, line).encode("utf-8", "backslashreplace"))

    return write


def _short(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Fields for people: without those that say nothing, and with seconds to the millisecond."""
    return {
        name: round(value, 3) if isinstance(value, float) else value
        for name, value in fields.items()
        if value not in (None, "")
    }


def _traced(fields: Mapping[str, Any]) -> MutableMapping[str, Any]:
    """The fields with a traceback as text, without secrets and not too long."""
    traced = {name: value for name, value in fields.items() if name not in _TRACEBACK}
    if text := fields.get("exception") or _formatted(fields.get("exc_info")):
        # Cut only after its secrets are hidden, as none is found by a part of it: an exception can quote a whole payload.
        traced["exception"] = _hide(text)[-LONGEST_TRACEBACK:]
    return traced


def _formatted(exc_info: object) -> str:
    """The traceback of ``exc_info`` as ``logging`` has it: an exception, what ``sys.exc_info`` returns, or True for that."""
    found = sys.exc_info() if exc_info is True else exc_info
    error = found[1] if isinstance(found, tuple) else found
    return "".join(traceback.format_exception(error)).rstrip("\n") if isinstance(error, BaseException) else ""


def _harmless(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Fields that are safe to print: a reason can quote a sender's text, and a terminal obeys control characters."""
    return {
        name: printable(value) if isinstance(value, str) and name != "exception" else value
        for name, value in fields.items()
    }


class _Libraries(logging.Handler):
    """Turns what libraries log into lines."""

    def emit(self, record: logging.LogRecord) -> None:
        log("library.warning", logger=record.name, message=_hide(record.getMessage()), exc_info=record.exc_info)
