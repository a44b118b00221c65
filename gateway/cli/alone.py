"""A replay or a discard without a gateway's help: this process owns the store meanwhile, or is one of its replicas."""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from gateway.cli import api, terminal
from gateway.cli.place import Place
from gateway.cli.surroundings import loaded
from gateway.cli.wanted import Wanted
from gateway.dispatcher import Dispatcher
from gateway.egress import Egress
from gateway.errors import StoreLocked
from gateway.operate import views
from gateway.operate.operations import Move, Operations
from gateway.operate.outcomes import outcome
from gateway.process import Gateway
from gateway.store import Store, is_database, open_store

if TYPE_CHECKING:
    from gateway.store.activities import Activity


class Alone:
    """The store itself; what is replayed waits for the next start of a gateway."""

    def __init__(
        self, runner: asyncio.Runner, store: Store, operations: Operations, wanted: Wanted, *, is_shared: bool
    ) -> None:
        """``is_shared``: replicas on other machines may be running on the store."""
        self._runner, self._store, self._operations, self._wanted = runner, store, operations, wanted
        self._when = "The deliveries are sent by the replicas that run on this store, or at the next start of one."
        if not is_shared:
            self._when = "No gateway is running: the deliveries are sent at its next start."

    @classmethod
    @contextmanager
    def opened(cls, place: Place, wanted: Wanted) -> Iterator["Alone"]:
        """Own the store. Raises StoreLocked, StoreError, ConfigError."""
        # Events that are matched again must not be matched with made-up values.
        config = loaded(place.config) if wanted.verb == "reroute" else place.loaded()
        with asyncio.Runner() as runner:
            store = runner.run(owned(place.store))
            try:
                gateway = Gateway(config=config, store=store, egress=Egress())
                yield cls(
                    runner, store, Operations(gateway, Dispatcher(gateway)), wanted, is_shared=is_database(place.store)
                )
            finally:
                runner.run(store.close())

    def preview(self) -> Mapping[str, Any]:
        return views.preview(self._runner.run(self._operations.preview(self._move(""))))

    def start(self, key: str) -> Mapping[str, Any]:
        return views.activity(self._runner.run(self._carried_out(key)))

    async def _carried_out(self, key: str) -> "Activity":
        activity = await self._operations.carry_out(self._move(key))
        with terminal.progress(self._wanted.verb) as progress:
            while await self._store.go_on("cli"):
                now = await self._store.activity(activity.id)
                if now is not None and now.progress is not None:
                    progress(now.progress.moved, now.progress.total)
        return await self._store.activity(activity.id) or activity

    def follow(self, activity: Mapping[str, Any], *, detach: bool, as_json: bool) -> int:  # noqa: ARG002  it has ended
        if as_json:
            terminal.print_json(activity)
            return 0
        terminal.say(f"{activity['verb']} of {activity['subject']}: {outcome(activity)}")
        if activity["verb"] != "discard":
            terminal.say(self._when)
        return 0

    def _move(self, key: str) -> Move:
        return Move(
            verb=self._wanted.verb, by=api.who(), filter=self._wanted.which, ids=self._wanted.ids,
            reason=self._wanted.reason, key=key, rate=self._wanted.rate, as_new=self._wanted.as_new,
        )  # fmt: skip


async def owned(url: str) -> Store:
    try:
        return await open_store(url)
    except StoreLocked as error:
        raise StoreLocked(f"{error}; if a gateway is running, give its admin address with --url") from None
