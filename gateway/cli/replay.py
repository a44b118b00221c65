"""``gateway replay`` and ``discard``: counted first, asked about, followed until it is over, and to be stopped."""

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import click

from gateway.cli import api, check, destinations, look, terminal
from gateway.cli.look import Place
from gateway.config import load
from gateway.errors import GatewayError, StoreLocked
from gateway.operate import views
from gateway.operate.selection import Filter, in_words
from gateway.routing import Config
from gateway.store import Store, open_store
from gateway.store.activities import TaskVerb
from gateway.wording import count, suggest_or_list

#: How often a running replay is asked how far it has come, seconds.
ASK_S: Final = 0.5
#: A gateway that restarts is waited for so long, seconds.
AWAY_S: Final = 120.0
#: Lines of a diff that are printed before a question.
LONGEST_DIFF: Final = 40


class NotAsked(GatewayError):
    """It is about many, and nobody is there to be asked."""

    exit_code = 2


class UnknownDestination(GatewayError):
    """Nothing has ever been sent to a destination of this name, and the file has none."""


class NothingNamed(GatewayError):
    """It is not said what it is about."""

    exit_code = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is to become of which deliveries, and how."""

    verb: TaskVerb
    ids: tuple[str, ...]
    which: Filter
    reason: str = ""
    rate: str = ""
    as_new: bool = False

    def body(self, *, dry_run: bool) -> dict[str, object]:
        """As the API takes it; what is left at its default is left out."""
        asked: dict[str, object] = {**look.asked_of(self.which), "ids": list(self.ids), "reason": self.reason}
        asked |= {"rate": self.rate, "as_new": self.as_new, "reroute": self.verb == "reroute", "dry_run": dry_run}
        return {**{name: value for name, value in asked.items() if value}, "by": api.who()}


def move(place: Place, wanted: Wanted, *, dry_run: bool, yes: bool, detach: bool, as_json: bool) -> int:
    """Preview, ask, begin, follow; 1 when something that was sent again is dead again."""
    _check(wanted)
    with _somewhere(place, wanted) as gateway:
        preview = gateway.preview()
        if preview["count"] == 0:
            _check_destination(place, wanted.which.destination)
        if dry_run:
            _show_preview(preview, wanted, as_json=as_json)
            return 0
        if preview["count"] == 0:
            return _nothing(wanted, as_json=as_json)
        if not yes and not terminal.is_watched() and preview["count"] > 1:
            how_many = _how_many(preview, wanted)
            raise NotAsked(f"{how_many}: say --yes where nobody can be asked, or look first with --dry-run")
        _tell_before(preview, as_json=as_json)
        if not yes and _is_worth_a_question(preview) and not _is_confirmed(preview, wanted):
            terminal.note("nothing was done")
            return 1
        activity = gateway.begin(uuid4().hex)
        return gateway.follow(activity, detach=detach, as_json=as_json)


def stop(place: Place, activity_id: str, *, as_json: bool) -> int:
    """End a replay or a discard that goes on in the gateway."""
    path = f"/api/activity/{api.part(activity_id)}"
    before = api.require(place.url, path)
    activity = api.require(place.url, f"{path}/stop", {"by": api.who()})
    if as_json:
        terminal.print_json(activity)
    elif before["progress"]["stopped_by"]:
        terminal.say(f"stopped already: {look.outcome(activity['progress'])}")
    else:
        said = "stopped" if activity["progress"]["stopped_by"] else "over already"
        terminal.say(f"{said}: {look.outcome(activity['progress'])}")
    return 0


def _check(wanted: Wanted) -> None:
    if wanted.ids and not wanted.which.is_empty:
        raise NothingNamed("ids and filters together: leave one of them out")
    if not wanted.ids and wanted.which.is_empty:
        raise NothingNamed(f"a {wanted.verb} of what? Name ids, or --dead with --destination, --cause, --since, ...")
    if not wanted.ids and wanted.verb != "reroute" and not wanted.which.state:
        raise NothingNamed(f"a {wanted.verb} by filters is of dead letters: add --dead")


# --- before ---


def _show_preview(preview: Mapping[str, Any], wanted: Wanted, *, as_json: bool) -> None:
    if as_json:
        terminal.print_json(preview)
        return
    _tell_before(preview)
    terminal.say(f"{_how_many(preview, wanted)}; nothing was done")


def _tell_before(preview: Mapping[str, Any], *, as_json: bool = False) -> None:
    """What somebody should know first: the difference that today's routes make, and warnings."""
    diff = () if as_json else preview["diff"]
    for each in diff[:LONGEST_DIFF]:
        terminal.say(f"{each['event_id']}  {each['route']} > {each['destination']}  ", (each["fate"], "bold"))
    if len(diff) > LONGEST_DIFF:
        terminal.say(f"... and {len(diff) - LONGEST_DIFF:,} more; all of them with --dry-run --json")
    for warning in preview["warnings"]:
        terminal.note(("careful: ", "yellow"), warning)


def _how_many(preview: Mapping[str, Any], wanted: Wanted) -> str:
    what = {"replay": "would be sent again", "reroute": "would be sent", "discard": "would be discarded"}[wanted.verb]
    return f"{count(preview['count'], 'delivery', 'deliveries')} {what}"


def _is_worth_a_question(preview: Mapping[str, Any]) -> bool:
    return terminal.is_watched() and (preview["count"] > 1 or bool(preview["warnings"]))


def _is_confirmed(preview: Mapping[str, Any], wanted: Wanted) -> bool:
    try:
        return click.confirm(f"{_how_many(preview, wanted)}. Go on?", err=True)
    except click.Abort:
        # What click makes of Ctrl-C.
        raise KeyboardInterrupt from None


def _check_destination(place: Place, name: str) -> None:
    known = destinations.names(place) if name else ()
    if name not in known and name:
        raise UnknownDestination(
            f'no destination "{name}", neither in routes.yaml nor in the store  ({suggest_or_list(name, known)})'
        )


def _nothing(wanted: Wanted, *, as_json: bool) -> int:
    if as_json:
        terminal.print_json(None)
    elif wanted.verb == "reroute":
        terminal.say(f"Nothing to do: by today's file nothing is to be sent of {in_words(wanted.which, wanted.ids)}.")
    elif wanted.ids:
        terminal.say(f"Nothing to do: {in_words(wanted.which, wanted.ids)} has no delivery left for a {wanted.verb}.")
    else:
        terminal.say(f"Nothing to do: no delivery is left that is {in_words(wanted.which)}.")
    return 0


# --- where ---


@contextmanager
def _somewhere(place: Place, wanted: Wanted) -> Iterator["Running | Alone"]:
    """The running gateway, or the store itself, of which this process is then the owner."""
    preview = api.ask(place.url, _path(wanted), wanted.body(dry_run=True))
    if preview is not None:
        yield Running(place, wanted, preview)
        return
    with asyncio.Runner() as runner:
        alone = runner.run(Alone.open(runner, place, wanted))
        try:
            yield alone
        finally:
            runner.run(alone.close())


def _path(wanted: Wanted) -> str:
    return "/api/discard" if wanted.verb == "discard" else "/api/replay"


class Running:
    """A running gateway, which does it and goes on by itself."""

    def __init__(self, place: Place, wanted: Wanted, preview: Mapping[str, Any]) -> None:
        self._place, self._wanted, self._preview = place, wanted, preview

    def preview(self) -> Mapping[str, Any]:
        return self._preview

    def begin(self, key: str) -> Mapping[str, Any]:
        """Its activity. Asked once more when the answer was lost, which changes nothing: the key is the same."""
        body = self._wanted.body(dry_run=False)
        answer = _patiently(lambda: api.require(self._place.url, _path(self._wanted), body, key=key))
        activity: Mapping[str, Any] = answer["activity"]
        return activity

    def follow(self, activity: Mapping[str, Any], *, detach: bool, as_json: bool) -> int:
        if detach:
            if as_json:
                terminal.print_json(activity)
            else:
                terminal.say(
                    f"{activity['id']} goes on in the gateway; stop it: gateway replay --stop {activity['id']}"
                )
            return 0
        try:
            activity = self._followed(activity)
        except KeyboardInterrupt:
            terminal.note(f"it goes on in the gateway; stop it: gateway replay --stop {activity['id']}")
            raise
        return _tell_end(activity, as_json=as_json)

    def _followed(self, activity: Mapping[str, Any]) -> Mapping[str, Any]:
        path = f"/api/activity/{api.part(activity['id'])}"
        with terminal.counting() as counting:
            while not _is_over(activity):
                counting(*_numbers(activity["progress"]))
                time.sleep(ASK_S)
                activity = _patiently(lambda: api.require(self._place.url, path))
            counting(*_numbers(activity["progress"]))
        return activity


def _patiently(ask: Callable[[], Any]) -> Any:
    """The answer, also of a gateway that restarts meanwhile."""
    until = time.monotonic() + AWAY_S
    while True:
        try:
            return ask()
        except api.Unreachable:
            if time.monotonic() > until:
                raise
        time.sleep(ASK_S)


def _is_over(activity: Mapping[str, Any]) -> bool:
    progress = activity["progress"]
    return progress is None or bool(progress["over"])


def _numbers(progress: Mapping[str, Any]) -> tuple[int, int, str]:
    """Done, of how many, and in words."""
    done = progress["moved"] - progress["pending"]
    return done, progress["total"], look.outcome(progress)


def _tell_end(activity: Mapping[str, Any], *, as_json: bool) -> int:
    if as_json:
        terminal.print_json(activity)
    else:
        terminal.say(f"{activity['verb']} of {activity['subject']}: {look.outcome(activity['progress'])}")
    return 1 if activity["verb"] != "discard" and activity["progress"]["dead"] else 0


class Alone:
    """The store without a gateway: what is sent again waits for its next start."""

    def __init__(self, runner: asyncio.Runner, store: Store, operations: Any, wanted: Wanted) -> None:
        self._runner, self._store, self._operations, self._wanted = runner, store, operations, wanted

    @classmethod
    async def open(cls, runner: asyncio.Runner, place: Place, wanted: Wanted) -> "Alone":
        """Become the owner of the store. Raises StoreLocked, ConfigError."""
        from gateway.dispatcher import Dispatcher
        from gateway.egress import Egress
        from gateway.operate.operations import Operations
        from gateway.pipeline import Gateway

        config = _of_today(place.config) if wanted.verb == "reroute" else place.loaded()
        try:
            store = await open_store(place.store)
        except StoreLocked as error:
            raise StoreLocked(f"{error}; of a running gateway, name its admin address with --url") from None
        gateway = Gateway(config=config, store=store, egress=Egress())
        return cls(runner, store, Operations(gateway, Dispatcher(gateway)), wanted)

    async def close(self) -> None:
        await self._store.close()

    def preview(self) -> Mapping[str, Any]:
        return views.preview(self._runner.run(self._operations.preview(self._move(""))))

    def begin(self, key: str) -> Mapping[str, Any]:
        return views.activity(self._runner.run(self._begun(key)))

    async def _begun(self, key: str) -> Any:
        activity = await self._operations.carry_out(self._move(key))
        with terminal.progress(self._wanted.verb) as progress:
            while await self._store.go_on("cli"):
                now = await self._store.activity(activity.id)
                if now is not None and now.progress is not None:
                    progress(now.progress.moved, now.progress.total)
        return await self._store.activity(activity.id)

    def follow(self, activity: Mapping[str, Any], *, detach: bool, as_json: bool) -> int:  # noqa: ARG002  nothing goes on
        if as_json:
            terminal.print_json(activity)
            return 0
        terminal.say(f"{activity['verb']} of {activity['subject']}: {look.outcome(activity['progress'])}")
        if activity["verb"] != "discard":
            terminal.say("No gateway is running: they go out at its next start.")
        return 0

    def _move(self, key: str) -> Any:
        from gateway.operate.operations import Move

        return Move(
            verb=self._wanted.verb, by=api.who(), filter=self._wanted.which, ids=self._wanted.ids,
            reason=self._wanted.reason, key=key, rate=self._wanted.rate, as_new=self._wanted.as_new,
        )  # fmt: skip


def _of_today(path: Path) -> Config:
    """With the variables of this environment: what events are matched with again must be no made-up value."""
    return load(path, environ=check.environment(path.parent / ".env"))
