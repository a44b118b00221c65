"""``events``, ``show``, ``dead``, ``activity``: of the running gateway by its API, else of the store itself."""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Final, TypeVar

from gateway.cli import api, check, terminal
from gateway.cli.terminal import Column, Part, local
from gateway.config import load
from gateway.errors import GatewayError
from gateway.operate import search, selection, views
from gateway.operate.selection import Filter
from gateway.rehearsal.explained import explained_history
from gateway.routing import Config
from gateway.store import Reads, open_reads
from gateway.store.nouns import EventHistory
from gateway.wording import count, duration, printable

T = TypeVar("T")


class NotFound(GatewayError):
    """The store has no such thing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where to look: a running gateway, or its store and its file."""

    url: str
    store: str
    config: Path

    def ask(self, path: str, query: Mapping[str, object], otherwise: Callable[[Reads], Awaitable[Any]]) -> Any:
        """What the running gateway answers; if none runs, what ``otherwise`` gets from the opened store."""
        answer = api.ask(self.url, path, query=query)
        return asyncio.run(from_store(self.store, otherwise)) if answer is None else answer

    def loaded(self) -> Config:
        """The file, with made-up values for what is not set. Raises ConfigError."""
        return load(self.config, environ=check.environment(self.config.parent / ".env"), no_env=True)


async def from_store(url: str, ask: Callable[[Reads], Awaitable[T]]) -> T:
    """Ask an opened store."""
    async with open_reads(url) as reads:
        return await ask(reads)


def asked_of(which: Filter) -> dict[str, object]:
    """A filter as the API takes it."""
    pairs = ((each.name, getattr(which, each.name)) for each in fields(which))
    return {name: value for name, value in pairs if value not in ("", None)}


# --- events ---


def events(place: Place, which: Filter, *, limit: int, before: str, as_json: bool) -> int:
    """The newest events that fit, a line each."""

    def asked(limit: int, before: str) -> Any:
        query = {**asked_of(which), "limit": limit, "before": before}
        return place.ask("/api/events", query, lambda reader: _events(reader, place, which, limit, before))

    page = _searched(asked, "events", limit, before)
    if as_json:
        terminal.print_json(page["events"])
    elif page["events"]:
        _show_events(page["events"])
    elif not page["next"]:
        terminal.say("No events yet. `gateway send contact.created` posts one." if which.is_empty else "No such event.")
    _say_how_to_go_on(page)
    return 0


async def _events(reader: Reads, place: Place, which: Filter, limit: int, before: str) -> Any:
    wanted = selection.event_search(which, searching(place, which), time.time(), limit=limit, before=before)
    return views.event_page(await search.events(reader, wanted))


def searching(place: Place, which: Filter) -> Config | None:
    """The file, if payloads are looked into: one with problems must not hide the events."""
    return place.loaded() if which.q else None


#: How long a listing goes on by itself, seconds.
PATIENCE_S: Final = 10.0
#: Narrower terminals show the fates of deliveries as signs, so that ids have room.
_WIDE: Final = 100
SIGNS: Final = {
    "dead": "\N{BALLOT X}",
    "pending": "\N{HORIZONTAL ELLIPSIS}",
    "delivered": "\N{CHECK MARK}",
    "discarded": "-",
}


def _show_events(events: Sequence[Mapping[str, Any]]) -> None:
    cells = terminal.width()
    is_wide = cells is None or cells >= _WIDE
    columns = (
        Column("received"), Column("event", least=12), Column("deliveries", least=26 if is_wide else 8),
        Column("source", leave=2), Column("id", leave=1),
    )  # fmt: skip
    say_fates = fates if is_wide else _signs
    times = terminal.moments([each["received_at"] for each in events])
    rows = [
        [[at], [each["type"]], say_fates(each["deliveries"]), [each["source"]], [each["id"]]]
        for at, each in zip(times, events, strict=True)
    ]
    terminal.show_table(columns, rows)


def fates(deliveries: Sequence[Mapping[str, Any]]) -> Sequence[Part]:
    """``crm delivered, slack dead``; of more than three how many of each."""
    if not deliveries:
        return [("matched nothing", "dim")]
    if len(deliveries) > 3:
        return listed([(f"{number} ", terminal.state(name)) for name, number in _counted(deliveries)])
    return listed([(f"{each['destination']} ", terminal.state(each["state"])) for each in deliveries])


def _signs(deliveries: Sequence[Mapping[str, Any]]) -> Sequence[Part]:
    """``✗1 ✓2``."""
    signs = [(f"{SIGNS[name]}{number} ", terminal.STYLES[name]) for name, number in _counted(deliveries)]
    return signs or [("none", "dim")]


def _counted(deliveries: Sequence[Mapping[str, Any]]) -> Sequence[tuple[str, int]]:
    """How many are in each state, the worst first."""
    counts = Counter(each["state"] for each in deliveries)
    return [(name, counts[name]) for name in SIGNS if counts[name]]


def listed(items: Sequence[Sequence[Part]]) -> Sequence[Part]:
    """The items with a comma between them."""
    return [part for at, item in enumerate(items) for part in ((", ", *item) if at else item)]


def _searched(asked: Callable[[int, str], Any], what: str, limit: int, before: str) -> dict[str, Any]:
    """A page that goes on for PATIENCE_S where the answers end early: each looks only so far."""
    until = time.monotonic() + PATIENCE_S
    page = asked(limit, before)
    rows = page[what]
    with terminal.waiting() as waiting:
        while page.get("searched_to") and page["next"] and len(rows) < limit and time.monotonic() < until:
            waiting(f"{count(len(rows), 'row')}, searched back to {local(page['searched_to'])}")
            page = asked(limit - len(rows), page["next"])
            rows = [*rows, *page[what]]
    return {**page, what: rows}


def _say_how_to_go_on(page: Mapping[str, Any]) -> None:
    if page.get("searched_to") and page["next"]:
        terminal.note(f"searched back to {local(page['searched_to'])}; to go on: --before {page['next']}")
    elif page["next"]:
        terminal.note(f"there are more: --before {page['next']}")


# --- one event ---


def show(place: Place, event_id: str, *, why: bool, request: bool, as_json: bool) -> int:
    """One event: its payload, its deliveries, every attempt; with ``why`` each route, with ``request`` each request."""
    history = place.ask(_path_of(event_id), {}, lambda reader: _explained(reader, place, event_id))
    if as_json:
        terminal.print_json(history)
        return 0
    _show_head(history)
    for each in history["deliveries"]:
        _show_delivery(each)
    for each in history["held_back"]:
        terminal.gap()
        terminal.say(f"{each['route']}  {fired_before(each)}")
    if why or request:
        _show_explained(history, why=why, request=request)
    terminal.gap()
    terminal.say(("payload", "bold"))
    print(terminal.printed_json(history["payload"]))
    return 0


def stored(*, url: str, store: str, event_id: str) -> Any:
    """An event with its payload, by its id or a delivery's, as the API shows it."""
    answer = api.ask(url, _path_of(event_id))
    if answer is not None:
        return answer
    return views.event_history(asyncio.run(from_store(store, lambda reads: _history(reads, event_id))))


async def _explained(reader: Reads, place: Place, event_id: str) -> Any:
    history, config = await _history(reader, event_id), place.loaded()
    shown = views.event_history(history, config.redaction(history.event))
    return {**shown, **explained_history(config, history)}


def _path_of(event_id: str) -> str:
    return f"/api/events/{api.part(event_id)}"


async def _history(reader: Reads, event_id: str) -> EventHistory:
    history = await reader.event(event_id)
    if history is None:
        raise NotFound(f"no event or delivery {event_id}: `gateway events` lists them")
    return history


def fired_before(held_back: Mapping[str, Any]) -> str:
    """Why a route with ``once`` did not send an event."""
    when = local(held_back["fired_at"])
    return f"already fired for the key {held_back['key']}: {held_back['event_id']}, {when}"


def _show_head(history: Mapping[str, Any]) -> None:
    size = terminal.size(history["size"])
    terminal.say((history["type"], "bold"), f" from {history['source']}, {local(history['received_at'])}, {size}")
    terminal.say(history["id"])
    if not history["intact"]:
        terminal.say(("The stored body does not match its checksum: it is never sent.", "red"))
    for name, value in history["headers"].items():
        terminal.say((f"  {name}: {value}", "dim"))


def _show_delivery(each: Mapping[str, Any]) -> None:
    terminal.gap()
    terminal.say(
        (f"{each['route']} > {each['destination']}", "bold"), "  ", terminal.state(each["state"]), _next(each),
        (f"  {each['id']}", "dim"),
    )  # fmt: skip
    for one in each["attempts_made"]:
        _show_attempt(one)
    if each["reason"] and not each["attempts_made"]:
        terminal.say(f"       {each['reason']}")


def _show_attempt(one: Mapping[str, Any]) -> None:
    said = one["reason"] or str(one["status"] or "")
    again = "" if one["next_s"] is None else f", again in {duration(one['next_s'])}"
    outcome = (one["outcome"], _OUTCOMES.get(one["outcome"], ""))
    terminal.say(
        f"  {one['number']:>3}  {local(one['started_at'])}  {one['duration_ms']:>8.1f} ms  ", outcome,
        f"  {said}{again}".rstrip(),
    )  # fmt: skip
    if one["answer"] and one["outcome"] != "delivered" and printable(one["answer"][:20]) not in one["reason"]:
        terminal.row((f"       {one['answer']}", "dim"))


_OUTCOMES: Final = {"delivered": "green", "dead": "red", "retry": "yellow"}


def _next(delivery: Mapping[str, Any]) -> str:
    due = delivery["due_in_s"]
    if delivery.get("behind"):
        return ", behind an earlier one with the same key"
    if due is None:
        return ""
    return f", next try in {duration(round(due))}" if due >= 1 else ", due now"


def _show_explained(history: Mapping[str, Any], *, why: bool, request: bool) -> None:
    if history["why_not_explained"]:
        terminal.gap()
        terminal.say(history["why_not_explained"])
        return
    if why:
        from gateway.cli import explain

        explain.echo(explain.entry_lines(history["entries"]))
    for each in history["requests"] if request else ():
        terminal.gap()
        terminal.say((f"{each['route']} > {each['destination']}, as it would be sent now", "bold"), _change(each))
        _show_request(each)


def _change(each: Mapping[str, Any]) -> str:
    return ", another body than the last attempt sent: the file has changed since" if each["changed"] else ""


def _show_request(each: Mapping[str, Any]) -> None:
    request = each["request"]
    if request is None:
        said = f"  not shown: {each['not_shown']}" if "not_shown" in each else f"  dead: {each['error']}"
        terminal.say((said, "red"))
        return
    if "file" in request:
        terminal.say(f"  a line in {request['file']}")
    else:
        terminal.say(f"  {request['method']} {request['url']}")
        for name, value in request["headers"].items():
            terminal.say(f"  {name}: {value}")
    body = request.get("body", request.get("line"))
    for text in (body if isinstance(body, str) else terminal.printed_json(body)).split("\n") if body != "" else ():
        terminal.say(f"  {text}")


# --- dead letters ---


def dead(place: Place, which: Filter, *, as_list: bool, limit: int, before: str, as_json: bool) -> int:
    """Dead letters: how many of each cause, or one by one."""
    if as_list or which != Filter(destination=which.destination, cause=which.cause):
        return _dead_letters(place, which, limit, before, as_json=as_json)
    groups = [
        each
        for each in place.ask("/api/dead", {}, _dead_groups)["groups"]
        if which.destination in ("", each["destination"]) and which.cause in (None, each["cause"])
    ]
    if as_json:
        terminal.print_json(groups)
    elif not groups:
        terminal.say("No dead letters.")
    else:
        columns = (Column("count", is_number=True), Column("destination", least=8), Column("cause", least=10))
        terminal.show_table(
            columns, [[[f"{each['count']:,}"], [each["destination"]], [each["cause"]]] for each in groups]
        )
        terminal.note("each of them: --list; again: gateway replay --dead --destination NAME --cause CAUSE")
    return 0


async def _dead_groups(reader: Reads) -> Any:
    return views.dead_groups((await reader.stats()).dead)


def _dead_letters(place: Place, which: Filter, limit: int, before: str, *, as_json: bool) -> int:
    def asked(limit: int, before: str) -> Any:
        query = {**asked_of(which), "state": "dead", "limit": limit, "before": before}
        return place.ask("/api/deliveries", query, lambda reader: _deliveries(reader, which, limit, before))

    page = _searched(asked, "deliveries", limit, before)
    if as_json:
        terminal.print_json(page["deliveries"])
    elif not page["deliveries"]:
        terminal.say("No dead letters." if which.is_empty else "No such dead letter.")
    else:
        terminal.show_table(_LETTER_COLUMNS, [list(_letter(each)) for each in page["deliveries"]])
    _say_how_to_go_on(page)
    return 0


async def _deliveries(reader: Reads, which: Filter, limit: int, before: str) -> Any:
    query = selection.delivery_query(replace(which, state="dead"), time.time(), limit=limit, before=before)
    return views.delivery_page(await reader.deliveries(query))


_LETTER_COLUMNS: Final = (
    Column("delivery", leave=1), Column("route", least=6, leave=3), Column("destination", least=6),
    Column("attempts", is_number=True, leave=2), Column("reason", least=16),
)  # fmt: skip


def _letter(each: Mapping[str, Any]) -> Iterator[Sequence[Part]]:
    yield from (
        [each["id"]], [each["route"]], [each["destination"]], [f"{each['attempts']:,}"], [(each["reason"], "red")],
    )  # fmt: skip


# --- what was done ---


def activity(place: Place, *, limit: int, before: str, as_json: bool) -> int:
    """Who did what, the newest first."""
    query = {"limit": limit, "before": before}
    page = place.ask("/api/activity", query, lambda reader: _activities(reader, limit, before))
    if as_json:
        terminal.print_json(page["activity"])
    elif not page["activity"]:
        terminal.say("Nobody has done anything yet.")
    else:
        times = terminal.moments([each["at"] for each in page["activity"]])
        rows = [_deed(at, each) for at, each in zip(times, page["activity"], strict=True)]
        terminal.show_table(_DEED_COLUMNS, rows)
    _say_how_to_go_on(page)
    return 0


async def _activities(reader: Reads, limit: int, before: str) -> Any:
    return views.activity_page(await reader.activities(limit=limit, before=before))


_DEED_COLUMNS: Final = (
    Column("at"), Column("by", least=6), Column("did"), Column("to", least=10), Column("outcome", least=10),
    Column("reason", least=8, leave=2), Column("id", leave=1),
)  # fmt: skip


def _deed(at: str, each: Mapping[str, Any]) -> Sequence[Sequence[Part]]:
    return [
        [at], [each["by"]], [each["verb"]], [each["subject"]], [outcome(each["progress"])], [each["reason"]],
        [each["id"]],
    ]  # fmt: skip


def outcome(progress: Mapping[str, Any] | None) -> str:
    """How far a replay or a discard has come: ``998 delivered, 2 dead``."""
    if progress is None:
        return ""
    left = progress["total"] - progress["moved"]
    counts = (
        ("delivered", progress["delivered"]),
        ("dead", progress["dead"]),
        ("waiting", progress["pending"]),
        ("not sent", progress["not_sent"]),
    )
    said = [f"{number:,} {what}" for what, number in counts if number]
    said += [f"{left:,} not reached"] if left > 0 else []
    said += [f"stopped by {progress['stopped_by']}"] if progress["stopped_by"] else []
    return ", ".join(said) or f"{progress['moved']:,} of {progress['total']:,}"
