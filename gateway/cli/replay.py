"""``gateway replay`` and ``discard``: preview, confirm, start, follow to the end, stop."""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, Protocol
from uuid import uuid4

import click
from msgspec.structs import replace

from gateway.cli import api, terminal
from gateway.cli.client import NobodyListens, Unreachable
from gateway.cli.names import refuse_unknown
from gateway.cli.online import Online
from gateway.cli.place import Place
from gateway.cli.terminal import Column
from gateway.cli.wanted import Wanted
from gateway.errors import GatewayError
from gateway.operate.outcomes import outcome
from gateway.operate.selection import in_words
from gateway.wording import count

#: Time between two looks at the progress of a replay, seconds.
ASK_S: Final = 0.5
#: How long to wait for a gateway that restarts, seconds.
AWAY_S: Final = 120.0
#: Most lines of a diff that are printed.
LONGEST_DIFF: Final = 40
#: After a replay, the most ids and dead letters that are looked at for the reasons, and the most reasons that are printed.
MOST_ASKED: Final = 20
MOST_DEAD: Final = 100
MOST_REASONS: Final = 5


class NotConfirmed(GatewayError):
    """Several deliveries are selected, and there is no terminal to confirm on."""

    exit_code = 2


class NothingSelected(GatewayError):
    """Neither ids nor filters say which deliveries are meant, or they contradict each other."""

    exit_code = 2


def move(place: Place, wanted: Wanted, *, dry_run: bool, yes: bool, detach: bool, as_json: bool) -> int:
    """Preview, confirm, start, follow; 1 if a replayed delivery is dead again."""
    _check(wanted)
    with _somewhere(place, wanted) as gateway:
        preview = gateway.preview()
        if preview["count"] == 0:
            refuse_unknown(place, wanted.which)
        if dry_run:
            _show_preview(preview, wanted, as_json=as_json)
            return 0
        if preview["count"] == 0:
            return _nothing(wanted, as_json=as_json)
        if not yes and not terminal.is_watched() and preview["count"] > 1:
            how_many = _how_many(preview, wanted)
            raise NotConfirmed(f"{how_many}: add --yes in scripts, or see which with --dry-run")
        _show_changes(preview, as_json=as_json)
        if not yes and _is_worth_a_question(preview) and not _is_confirmed(preview, wanted):
            terminal.note("nothing was changed")
            return 1
        activity = gateway.start(uuid4().hex)
        return gateway.follow(activity, detach=detach, as_json=as_json)


def stop(place: Place, activity_id: str, *, as_json: bool) -> int:
    """Stop a replay, a discard or an erasure that is running in the gateway."""
    path = f"/api/activity/{api.part(activity_id)}"
    before = api.ask(place.url, path)
    activity = api.ask(place.url, f"{path}/stop", {"by": api.who()})
    if as_json:
        terminal.print_json(activity)
    elif before["progress"]["stopped_by"]:
        terminal.say(f"already stopped: {outcome(activity)}")
    else:
        said = "stopped" if activity["progress"]["stopped_by"] else "already finished"
        terminal.say(f"{said}: {outcome(activity)}")
    return 0


def _check(wanted: Wanted) -> None:
    if wanted.ids and not wanted.which.is_empty:
        raise NothingSelected("ids and filters cannot be combined: leave one of them out")
    if not wanted.ids and wanted.which.is_empty:
        raise NothingSelected(
            f"nothing to {wanted.verb}: give ids, or --dead with --destination, --cause, --since, ..."
        )
    if not wanted.ids and wanted.verb != "reroute" and not wanted.which.state:
        raise NothingSelected(f"filters select dead letters for a {wanted.verb}: add --dead")


# --- before ---


def _show_preview(preview: Mapping[str, Any], wanted: Wanted, *, as_json: bool) -> None:
    if as_json:
        terminal.print_json(preview)
        return
    _show_changes(preview)
    if not preview["diff"]:
        _show_sample(preview)
    terminal.say(f"{_how_many(preview, wanted)}; nothing was changed")


def _show_sample(preview: Mapping[str, Any]) -> None:
    """Print the first of the deliveries, a line each, with the reason of those that are dead."""
    terminal.show_table(
        _COLUMNS,
        [
            [[each["id"]], [each["route"]], [each["destination"]], [terminal.state(each["state"])], [each["reason"]]]
            for each in preview["sample"]
        ],
    )
    if (more := preview["count"] - len(preview["sample"])) > 0:
        terminal.say(
            f"... and {more:,} more; `gateway dead` counts dead letters by cause, `gateway dead --list` lists them"
        )


_COLUMNS: Final = (
    Column("delivery", least=8), Column("route", least=6, leave=2), Column("destination", least=6), Column("state", leave=1),
    Column("reason", least=16),
)  # fmt: skip


def _show_changes(preview: Mapping[str, Any], *, as_json: bool = False) -> None:
    """Print what a person should know first: what today's routes change, and warnings."""
    diff = () if as_json else preview["diff"]
    for each in diff[:LONGEST_DIFF]:
        terminal.say(f"{each['event_id']}  {each['route']} > {each['destination']}  ", (each["fate"], "bold"))
    if len(diff) > LONGEST_DIFF:
        terminal.say(f"... and {len(diff) - LONGEST_DIFF:,} more; --dry-run --json lists all of them")
    for warning in preview["warnings"]:
        terminal.note(("warning: ", "yellow"), warning)


def _how_many(preview: Mapping[str, Any], wanted: Wanted) -> str:
    what = {"replay": "would be replayed", "reroute": "would be sent", "discard": "would be discarded"}[wanted.verb]
    return f"{count(preview['count'], 'delivery', 'deliveries')} {what}"


def _is_worth_a_question(preview: Mapping[str, Any]) -> bool:
    return terminal.is_watched() and (preview["count"] > 1 or bool(preview["warnings"]))


def _is_confirmed(preview: Mapping[str, Any], wanted: Wanted) -> bool:
    try:
        return click.confirm(f"{_how_many(preview, wanted)}. Continue?", err=True)
    except click.Abort:
        # click turns Ctrl-C into Abort.
        raise KeyboardInterrupt from None


def _nothing(wanted: Wanted, *, as_json: bool) -> int:
    if as_json:
        terminal.print_json(None)
    elif wanted.verb == "reroute":
        terminal.say(f"Nothing to do: the current routes.yaml sends nothing for {in_words(wanted.which, wanted.ids)}.")
    elif wanted.ids:
        terminal.say(f"Nothing to do: there is no delivery to {wanted.verb} for {in_words(wanted.which, wanted.ids)}.")
    else:
        is_dead = wanted.which.state == "dead"
        asked = in_words(replace(wanted.which, state="") if is_dead else wanted.which)
        which = "" if asked == "all" else f" ({asked})"
        terminal.say(f"No {'dead letters' if is_dead else 'deliveries'} to {wanted.verb}{which}.")
    return 0


# --- where ---


class Mover(Protocol):
    """Who carries it out: a running gateway, or this process as the owner of the store."""

    def preview(self) -> Mapping[str, Any]: ...
    def start(self, key: str) -> Mapping[str, Any]:
        """Start it and return its activity. Repeated with the same key, it starts nothing again."""

    def follow(self, activity: Mapping[str, Any], *, detach: bool, as_json: bool) -> int:
        """Show the progress until the end; the exit code."""


@contextmanager
def _somewhere(place: Place, wanted: Wanted) -> Iterator[Mover]:
    try:
        running = Running(place, wanted, api.ask(place.url, _path(wanted), wanted.body(dry_run=True)))
    except NobodyListens:
        from gateway.cli.alone import Alone

        with Alone.opened(place, wanted) as alone:
            yield alone
        return
    yield running


def _path(wanted: Wanted) -> str:
    return "/api/discard" if wanted.verb == "discard" else "/api/replay"


class Running:
    """A running gateway, which continues by itself."""

    def __init__(self, place: Place, wanted: Wanted, preview: Mapping[str, Any]) -> None:
        self._place, self._wanted, self._preview = place, wanted, preview

    def preview(self) -> Mapping[str, Any]:
        return self._preview

    def start(self, key: str) -> Mapping[str, Any]:
        # Asked again when the answer is lost: the key is the same.
        body = self._wanted.body(dry_run=False)
        answer = patiently(lambda: api.ask(self._place.url, _path(self._wanted), body, key=key))
        activity: Mapping[str, Any] = answer["activity"]
        return activity

    def follow(self, activity: Mapping[str, Any], *, detach: bool, as_json: bool) -> int:
        if detach:
            return leave(activity, as_json=as_json)
        try:
            activity = self._followed(activity)
        except KeyboardInterrupt:
            terminal.note(how_to_stop(activity))
            raise
        if not as_json and _died(activity):
            _show_end(activity, as_json=False)
            self._say_why(activity)
            return 1
        return _show_end(activity, as_json=as_json)

    def _say_why(self, activity: Mapping[str, Any]) -> None:
        """Why the deliveries died again, each reason once."""
        which, online = self._wanted.which, Online(self._place.url)
        if which.is_empty:
            rows = [row for id_ in self._wanted.ids[:MOST_ASKED] for row in online.event(id_)["deliveries"]]
        else:
            # It may die of another cause than before.
            dead = replace(which, state="dead", cause=None)
            rows = online.deliveries(dead, limit=MOST_DEAD)["deliveries"]
        died = Counter(
            (each["destination"], each["reason"])
            for each in rows
            if each["state"] == "dead" and each["replayed_by"] == activity["id"]
        )
        for (destination, reason), number in died.most_common(MOST_REASONS):
            terminal.say(f"{number:>5,}  {destination}  ", (reason, "red"))
        if len(died) > MOST_REASONS or died.total() < activity["progress"]["dead"]:
            terminal.note("the others: gateway dead --list")

    def _followed(self, activity: Mapping[str, Any]) -> Mapping[str, Any]:
        path = f"/api/activity/{api.part(activity['id'])}"
        with terminal.counting() as counting:
            while not _is_over(activity):
                counting(*_numbers(activity))
                time.sleep(ASK_S)
                activity = patiently(lambda: api.ask(self._place.url, path))
            counting(*_numbers(activity))
        return activity


def leave(activity: Mapping[str, Any], *, as_json: bool) -> int:
    """Show what continues without anybody watching; the exit code."""
    if as_json:
        terminal.print_json(activity)
    else:
        terminal.say(how_to_stop(activity))
    return 0


def how_to_stop(activity: Mapping[str, Any]) -> str:
    return f"{activity['id']} continues in the gateway; to stop it: gateway replay --stop {activity['id']}"


def patiently(ask: Callable[[], Any]) -> Any:
    """The answer, even if the gateway restarts meanwhile."""
    until = time.monotonic() + AWAY_S
    while True:
        try:
            return ask()
        except Unreachable:
            if time.monotonic() > until:
                raise
        time.sleep(ASK_S)


def _is_over(activity: Mapping[str, Any]) -> bool:
    progress = activity["progress"]
    return progress is None or bool(progress["over"])


def _numbers(activity: Mapping[str, Any]) -> tuple[int, int, str]:
    """Deliveries done, deliveries in total, and the outcome in words."""
    progress = activity["progress"]
    done = progress["moved"] - progress["pending"]
    return done, progress["total"], outcome(activity)


def _show_end(activity: Mapping[str, Any], *, as_json: bool) -> int:
    if as_json:
        terminal.print_json(activity)
    else:
        terminal.say(f"{activity['verb']} of {activity['subject']}: {outcome(activity)}")
    return 1 if _died(activity) else 0


def _died(activity: Mapping[str, Any]) -> bool:
    return activity["verb"] != "discard" and bool(activity["progress"] and activity["progress"]["dead"])
