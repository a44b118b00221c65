"""``gateway forget``: count, confirm, erase, follow to the end."""

import asyncio
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol
from uuid import uuid4

import click

from gateway.cli import api, terminal
from gateway.cli.client import NobodyListens
from gateway.cli.place import Place
from gateway.cli.replay import ASK_S, NotConfirmed, how_to_stop, leave, patiently
from gateway.operate import views
from gateway.operate.outcomes import outcome
from gateway.wording import count

Part = Mapping[str, Any]


class Eraser(Protocol):
    """Who erases: a running gateway, or this process as the owner of the store."""

    def look(self, find: str, after: str) -> Part:
        """Count the events of the next part of the store: ``count``, ``looked_at``, ``next``."""

    def begin(self, find: str, reason: str) -> Mapping[str, Any]:
        """Begin to erase; the activity."""

    def now(self, activity: Mapping[str, Any]) -> Mapping[str, Any]:
        """The activity as it is now."""


def forget(place: Place, find: str, *, reason: str, dry_run: bool, yes: bool, detach: bool, as_json: bool) -> int:
    """Erase every event that has this, after a question."""
    with _somewhere(place) as eraser:
        found = _counted(eraser, find)
        if dry_run:
            if as_json:
                terminal.print_json({"count": found})
            else:
                terminal.say(f"{count(found, 'event')} would be forgotten; nothing was changed")
            return 0
        if not yes and not terminal.is_watched():
            raise NotConfirmed(f"{count(found, 'event')} would be forgotten: add --yes in scripts")
        # With no event there may still be refused requests and keys.
        if not yes and not _is_confirmed(found):
            terminal.note("nothing was changed")
            return 1
        activity = eraser.begin(find, reason)
        if detach:
            return leave(activity, as_json=as_json)
        return _follow(eraser, activity, as_json=as_json)


def _counted(eraser: Eraser, find: str) -> int:
    found = looked_at = 0
    after: str | None = ""
    with terminal.waiting() as say:
        while after is not None:
            part = eraser.look(find, after)
            found, looked_at, after = found + part["count"], looked_at + part["looked_at"], part["next"]
            say(f"{count(looked_at, 'event')} looked at, {found:,} found")
    return found


def _is_confirmed(found: int) -> bool:
    try:
        return click.confirm(
            f"{count(found, 'event')} will be erased for good, with what was sent and answered. Continue?", err=True
        )
    except click.Abort:
        # click turns Ctrl-C into Abort.
        raise KeyboardInterrupt from None


def _follow(eraser: Eraser, activity: Mapping[str, Any], *, as_json: bool) -> int:
    try:
        with terminal.waiting() as say:
            while not activity["progress"]["finished"]:
                say(outcome(activity))
                time.sleep(ASK_S)
                activity = eraser.now(activity)
    except KeyboardInterrupt:
        terminal.note(how_to_stop(activity))
        raise
    if as_json:
        terminal.print_json(activity)
    else:
        terminal.say(f"{outcome(activity)} ({activity['id']})")
    return 0


# --- where ---


@contextmanager
def _somewhere(place: Place) -> Iterator[Eraser]:
    try:
        api.ask(place.url, "/api/stats")
    except NobodyListens:
        with _alone(place) as alone:
            yield alone
        return
    yield Running(place)


class Running:
    """A running gateway, which continues by itself."""

    def __init__(self, place: Place) -> None:
        self._place = place

    def look(self, find: str, after: str) -> Part:
        part: Part = api.ask(self._place.url, "/api/forget", {"find": find, "dry_run": True, "after": after})
        return part

    def begin(self, find: str, reason: str) -> Mapping[str, Any]:
        body, key = {"find": find, "reason": reason, "by": api.who()}, uuid4().hex
        activity: Mapping[str, Any] = patiently(lambda: api.ask(self._place.url, "/api/forget", body, key=key))[
            "activity"
        ]
        return activity

    def now(self, activity: Mapping[str, Any]) -> Mapping[str, Any]:
        path = f"/api/activity/{api.part(activity['id'])}"
        found: Mapping[str, Any] = patiently(lambda: api.ask(self._place.url, path))
        return found


@contextmanager
def _alone(place: Place) -> Iterator[Eraser]:
    """Own the store. Raises StoreLocked, StoreError, ConfigError."""
    from gateway.cli.alone import owned
    from gateway.dispatcher import Dispatcher
    from gateway.egress import Egress
    from gateway.operate.operations import Operations
    from gateway.process import Gateway

    with asyncio.Runner() as runner:
        store = runner.run(owned(place.store))
        try:
            gateway = Gateway(config=place.loaded(), store=store, egress=Egress(), replica="cli")
            yield Alone(runner, Operations(gateway, Dispatcher(gateway)))
        finally:
            runner.run(store.close())


class Alone:
    """The store itself: it is erased to the end at once."""

    def __init__(self, runner: asyncio.Runner, operations: Any) -> None:
        self._runner, self._operations = runner, operations

    def look(self, find: str, after: str) -> Part:
        found = self._runner.run(self._operations.look(find, after=after))
        return {"count": found.count, "looked_at": found.looked_at, "next": found.next or None}

    def begin(self, find: str, reason: str) -> Mapping[str, Any]:
        activity = self._runner.run(self._operations.forget(find, by=api.who(), reason=reason))
        return views.activity(self._runner.run(self._operations.finish(activity.id)))

    def now(self, activity: Mapping[str, Any]) -> Mapping[str, Any]:
        return activity
