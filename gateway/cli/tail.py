"""``gateway tail``: events and changes of their deliveries as they happen, from a running gateway or from its store."""

import os
import select
import signal
import stat
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Final, Literal

import msgspec

from gateway.cli import api, terminal
from gateway.cli.answers import Answers, Row
from gateway.cli.client import NobodyListens, Unreachable
from gateway.cli.events import fates, listed
from gateway.cli.names import refuse_unknown
from gateway.cli.online import Online, parameters
from gateway.cli.place import Place
from gateway.cli.terminal import Part
from gateway.operate.selection import LARGEST_PAGE, Filter
from gateway.wording import count, duration

#: Time between two looks at the store, or for a gateway that has gone, seconds.
POLL_S: Final = 0.5
#: Number of the newest events whose deliveries are looked at again.
WATCHED: Final = 200
#: Number of events whose deliveries are remembered; changes of older ones are not shown.
REMEMBERED: Final = 10_000
#: Width of an event's type, cells.
_TYPE: Final = 18


def tail(place: Place, which: Filter, *, lines: int, as_json: bool) -> int:
    """Print a line for each event and for each change of a delivery, until Ctrl-C."""
    refuse_unknown(place, which)
    _end_with_the_reader()
    seen = Seen()
    for row in rows(place, which, lines, seen):
        news = seen.news(row)
        if news is not None:
            _show(news, as_json=as_json)
    return 0


# --- news ---


class Seen:
    """What was shown of the last events, so that only news is shown."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, Mapping[str, str]] = OrderedDict()
        #: Position of the newest event shown; "": there was none; None: nothing was looked at yet.
        self.newest: str | None = None
        #: Events received before this time were there before: only changes of their deliveries are shown.
        self.floor = ""

    def begin(self, newest: Row | None) -> None:
        """What comes after ``newest`` is news."""
        self.newest, self.floor = (newest["position"], newest["received_at"]) if newest else ("", "")
        if newest:
            self._known[newest["id"]] = _fates(newest)

    def news(self, row: Row) -> Row | None:
        """The event and ``what`` is new: ``event``, or ``fate`` with only the deliveries that changed."""
        fate = _fates(row)
        known = self._known.get(row["id"])
        self._known[row["id"]] = fate
        if known is not None:
            changed = [each for each in row["deliveries"] if known.get(each["id"]) != fate[each["id"]]]
            return {"what": "fate", **row, "deliveries": changed} if changed else None
        while len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
        if row["received_at"] < self.floor:
            return None
        self.newest = row["position"]
        return {"what": "event", **row}


def _fates(row: Row) -> Mapping[str, str]:
    return {each["id"]: f"{each['state']} {each['attempts']}" for each in row["deliveries"]}


# --- where it comes from ---


def rows(place: Place, which: Filter, lines: int, seen: Seen) -> Iterator[Row]:
    """Rows of events as they arrive and change, forever."""
    try:
        yield from _live(place, which, lines, seen)
    except NobodyListens:
        with place.offline() as offline:
            yield from _polled(offline, which, lines, seen)


def _live(place: Place, which: Filter, lines: int, seen: Seen) -> Iterator[Row]:
    """From the running gateway, and from the next one when it restarts. Raises NobodyListens if there was none."""
    online = Online(place.url)
    connected = is_away = False
    while True:
        try:
            with api.listening(place.url, "/api/live", parameters(which)) as messages:
                # After the stream has begun: nothing falls in between.
                yield from _since(online, which, lines, seen)
                if is_away:
                    terminal.note("the gateway is back")
                connected, is_away = True, False
                for message in messages:
                    yield from rows_of(message)
        except Unreachable:
            if not connected:
                raise
        if not is_away:
            terminal.note("the gateway has gone; waiting for it to come back")
        is_away = True
        time.sleep(POLL_S)


def rows_of(message: api.Message) -> Iterator[Row]:
    """The rows in a message of the stream, the oldest first; messages of other kinds have none."""
    if message.kind != "events":
        return
    data = msgspec.json.decode(message.data)
    if data["skipped"]:
        terminal.note(f"{count(data['skipped'], 'event')} left out: they arrive too fast to be shown")
    yield from reversed(data["events"])


def _polled(asked: Answers, which: Filter, lines: int, seen: Seen) -> Iterator[Row]:
    """From the store itself, which another program may be writing."""
    terminal.note("no gateway is running here: following its store")
    while True:
        yield from _since(asked, which, lines, seen)
        yield from reversed(asked.events(which, limit=WATCHED)["events"])
        time.sleep(POLL_S)


def _since(asked: Answers, which: Filter, lines: int, seen: Seen) -> Iterator[Row]:
    """What came since the last time, the oldest first; the first time, the last few."""
    if seen.newest is not None:
        yield from reversed(list(_pages(asked, which, seen.newest)))
        return
    newest_first = asked.events(which, limit=max(lines, 1))["events"]
    yield from reversed(newest_first[:lines])
    seen.begin(newest_first[0] if newest_first else None)


def _pages(asked: Answers, which: Filter, after: str) -> Iterator[Row]:
    page = asked.events(which, limit=LARGEST_PAGE, after=after)
    yield from page["events"]
    while page["next"]:
        page = asked.events(which, limit=LARGEST_PAGE, before=page["next"])
        yield from page["events"]


# --- showing it ---


def _show(news: Row, *, as_json: bool) -> None:
    if as_json:
        terminal.print_json_line(news)
        return
    what: Literal["event", "fate"] = news["what"]
    at = terminal.local(news["received_at"]) if what == "event" else _now()
    parts = fates(news["deliveries"]) if what == "event" else _changes(news["deliveries"])
    said = terminal.line((at.rpartition(" ")[2], "dim"), f"  {news['type']:<{_TYPE}}  ", *parts)
    terminal.print_with(said, (news["id"], "dim"))


def _now() -> str:
    return datetime.now().astimezone().strftime("%H:%M:%S")


def _changes(deliveries: Sequence[Row]) -> Sequence[Part]:
    """``crm delivered``, ``crm dead: answered 422``, ``crm again in 4s: answered 503``."""
    return listed([list(_change(each)) for each in deliveries])


def _change(each: Row) -> Iterator[Part]:
    yield f"{each['destination']} "
    due = each["due_in_s"]
    word = "again" if each["attempts"] else "sent"
    yield (f"{word} in {duration(round(due))}", "yellow") if due and due >= 1 else terminal.state(each["state"])
    if each["state"] != "delivered" and each["reason"]:
        yield f": {each['reason']}"


def _end_with_the_reader() -> None:
    """End as soon as the reader of a pipe has gone, not only at the next line: ``gateway tail | head -1``."""
    if not stat.S_ISFIFO(os.fstat(sys.stdout.fileno()).st_mode):
        return
    main = threading.main_thread().ident
    assert main is not None

    def gone(*_: object) -> None:
        # Nothing is left to do, whatever is being done: an exception would be taken for a network failure, or come to light
        # in the middle of the interpreter's own end.
        os._exit(0)

    def watch() -> None:
        poll = select.poll()
        poll.register(sys.stdout.fileno(), 0)
        poll.poll()
        signal.pthread_kill(main, signal.SIGPIPE)

    signal.signal(signal.SIGPIPE, gone)
    threading.Thread(target=watch, daemon=True).start()
