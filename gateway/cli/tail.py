"""``gateway tail``: events as they come and what becomes of them, from the running gateway or from its store."""

import asyncio
import os
import select
import signal
import stat
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, Literal

import msgspec

from gateway.cli import api, look, terminal
from gateway.cli.look import Place
from gateway.cli.terminal import Part
from gateway.operate import search, selection, views
from gateway.operate.selection import Filter
from gateway.wording import count, duration

#: How often the store is looked at when no gateway runs, and how often a gateway that went is asked for, seconds.
POLL_S: Final = 0.5
#: Rows of the newest events that are looked at again for what became of them.
WATCHED: Final = 200
#: Events whose deliveries are remembered; what becomes of older ones is not told.
REMEMBERED: Final = 10_000
#: Cells of an event's type.
_TYPE: Final = 18

Row = Mapping[str, Any]
#: A page of the newest events: of so many rows, before this cursor, after this event.
Fetch = Callable[[int, str, str], Row]


def tail(place: Place, which: Filter, *, lines: int, as_json: bool) -> int:
    """A line for each event and for each change of a delivery, until Ctrl-C."""
    _end_with_the_reader()
    told = Told()
    for row in _rows(place, which, lines, told):
        news = told.news(row)
        if news is not None:
            _tell(news, as_json=as_json)
    return 0


# --- what is news ---


class Told:
    """What was told of the last events, so that only news is."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, Mapping[str, str]] = OrderedDict()
        #: The newest event that was told of; empty: there was none; None: nothing was looked at yet.
        self.newest: str | None = None
        #: Events up to this one were there before: of them it is only told what becomes of them.
        self.floor = ""

    def news(self, row: Row) -> Row | None:
        """An event with ``what`` is new of it: ``event``, or ``fate`` and only the deliveries that changed."""
        fate = {each["id"]: _fate(each) for each in row["deliveries"]}
        known = self._known.get(row["id"])
        self._known[row["id"]] = fate
        if known is not None:
            changed = [each for each in row["deliveries"] if known.get(each["id"]) != fate[each["id"]]]
            return {"what": "fate", **row, "deliveries": changed} if changed else None
        while len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
        if row["id"] <= self.floor:
            return None
        self.newest = row["id"]
        return {"what": "event", **row}


def _fate(delivery: Row) -> str:
    return f"{delivery['state']} {delivery['attempts']}"


# --- where it comes from ---


def _rows(place: Place, which: Filter, lines: int, told: Told) -> Iterator[Row]:
    """Rows of events as they come and change, for ever."""
    try:
        yield from _live(place, which, lines, told)
    except api.NobodyListens:
        if place.url:
            raise
        yield from _polled(place, which, lines, told)


def _live(place: Place, which: Filter, lines: int, told: Told) -> Iterator[Row]:
    """From the running gateway, and from the next one when it restarts. Raises NobodyListens if there was none."""
    asked = look.asked_of(which)

    def fetch(limit: int, before: str, after: str) -> Row:
        query = {**asked, "limit": limit, "before": before, "after": after}
        page: Row = api.require(place.url, "/api/events", query=query)
        return page

    connected = is_away = False
    while True:
        try:
            with api.listening(place.url, "/api/live", asked) as messages:
                # Behind the beginning of the stream: nothing falls in between.
                yield from _since(fetch, lines, told)
                if is_away:
                    terminal.note("the gateway is there again")
                connected, is_away = True, False
                for message in messages:
                    yield from rows_of(message)
        except api.Unreachable:
            if not connected:
                raise
        if not is_away:
            terminal.note("the gateway has gone; waiting for it to come back")
        is_away = True
        time.sleep(POLL_S)


def rows_of(message: api.Message) -> Iterator[Row]:
    """The rows in a message of the stream, the oldest first; those of other kinds have none."""
    if message.kind != "events":
        return
    data = msgspec.json.decode(message.data)
    if data["skipped"]:
        terminal.note(f"{count(data['skipped'], 'event')} left out: they come too fast to be shown")
    yield from reversed(data["events"])


def _polled(place: Place, which: Filter, lines: int, told: Told) -> Iterator[Row]:
    """From the store itself, which another program may be writing."""
    config = look.searching(place, which)

    def fetch(limit: int, before: str, after: str) -> Row:
        wanted = selection.event_search(which, config, time.time(), limit=limit, before=before, after=after)
        page = asyncio.run(look.from_store(place.store, lambda reads: search.events(reads, wanted)))
        return views.event_page(page)

    terminal.note("no gateway is running here: following its store")
    while True:
        yield from _since(fetch, lines, told)
        yield from reversed(fetch(WATCHED, "", "")["events"])
        time.sleep(POLL_S)


def _since(fetch: Fetch, lines: int, told: Told) -> Iterator[Row]:
    """What came since the last time, the oldest first; at the first time the last few."""
    if told.newest is not None:
        yield from reversed(list(_pages(fetch, told.newest)))
        return
    newest_first = fetch(max(lines, 1), "", "")["events"]
    yield from reversed(newest_first[:lines])
    told.floor = told.newest = newest_first[0]["id"] if newest_first else ""


def _pages(fetch: Fetch, after: str) -> Iterator[Row]:
    page = fetch(selection.LARGEST_PAGE, "", after)
    yield from page["events"]
    while page["next"]:
        page = fetch(selection.LARGEST_PAGE, page["next"], "")
        for row in page["events"]:
            if row["id"] <= after:
                return
            yield row


# --- telling ---


def _tell(news: Row, *, as_json: bool) -> None:
    if as_json:
        terminal.print_json_line(news)
        return
    what: Literal["event", "fate"] = news["what"]
    at = terminal.local(news["received_at"]) if what == "event" else _now()
    fates = look.fates(news["deliveries"]) if what == "event" else _changes(news["deliveries"])
    said = terminal.line((at.rpartition(" ")[2], "dim"), f"  {news['type']:<{_TYPE}}  ", *fates)
    terminal.print_with(said, (news["id"], "dim"))


def _now() -> str:
    return datetime.now().astimezone().strftime("%H:%M:%S")


def _changes(deliveries: Sequence[Row]) -> Sequence[Part]:
    """``crm delivered``, ``crm dead: answered 422``, ``crm again in 4s: answered 503``."""
    return look.listed([list(_change(each)) for each in deliveries])


def _change(each: Row) -> Iterator[Part]:
    yield f"{each['destination']} "
    due = each["due_in_s"]
    yield (f"again in {duration(round(due))}", "yellow") if due and due >= 1 else terminal.state(each["state"])
    if each["state"] != "delivered" and each["reason"]:
        yield f": {each['reason']}"


def _end_with_the_reader() -> None:
    """End when whoever reads a pipe has seen enough, and not only at the next line: ``gateway tail | head -1``."""
    if not stat.S_ISFIFO(os.fstat(sys.stdout.fileno()).st_mode):
        return
    main = threading.main_thread().ident
    assert main is not None

    def gone(*_: object) -> None:
        # Not the OSError that it is: that would be taken for a trouble of the network.
        raise SystemExit(0)

    def watch() -> None:
        poll = select.poll()
        poll.register(sys.stdout.fileno(), 0)
        poll.poll()
        signal.pthread_kill(main, signal.SIGPIPE)

    signal.signal(signal.SIGPIPE, gone)
    threading.Thread(target=watch, daemon=True).start()
