"""Another routes.yaml while events come in: read in a thread, swapped whole, or refused and the old one stays."""

import asyncio
import sys
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from gateway import telemetry
from gateway.config import format_problem
from gateway.dispatcher import Dispatcher
from gateway.errors import ConfigError, Place, Problem, StoreError, StoreUnavailable
from gateway.pipeline import Announcement, Gateway
from gateway.routing import Config, changes
from gateway.wording import count

#: While a file is compiled in a thread the event loop gets its turn after so many seconds; Python's own 5 ms, taken
#: several times for one event, would be felt by senders.
TURN_S: Final = 0.0005


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejection:
    """Why the file on disk is not the one in force."""

    problems: Sequence[Problem]
    #: When the file was first refused, wall clock, seconds since the epoch.
    since: float
    #: The patterns of what it includes: a mistake there will be mended there.
    includes: Sequence[str] = ()


class Reloader:
    """Puts the configuration on disk in force. ``read`` loads it as the start did, and raises ConfigError."""

    def __init__(self, gateway: Gateway, dispatcher: Dispatcher, read: Callable[[], Config]) -> None:
        self._gateway = gateway
        self._dispatcher = dispatcher
        self._read = read
        self._one_at_a_time = asyncio.Lock()
        #: None: what is in force is what was last read.
        self.rejection: Rejection | None = None
        self._count_success()

    @property
    def includes(self) -> Collection[str]:
        """The patterns of all that can make another configuration: of the file in force, and of one that was refused."""
        return {*self._gateway.config.includes, *(self.rejection.includes if self.rejection else ())}

    async def reload(self, *, by: str = "unknown") -> str:
        """Read the file anew and swap it in; what changed. Raises ConfigError: the old one stays in force, whole."""
        async with self._one_at_a_time:
            old = self._gateway.config
            try:
                new, changed = await asyncio.to_thread(self._prepare, old)
            except ConfigError as error:
                await self._refuse(error)
                await self._note(by, f"refused: {count(len(error.problems), 'problem')}")
                raise
            self._gateway.config = new
            self._dispatcher.reconfigured()
            self.rejection = None
            self._count_success()
            telemetry.log("config.reloaded", changed=changed, config=new.revision)
            log_warnings(new)
            await self._log_orphans(old, new)
            await self._note(by, f"{new.revision}: {changed}")
            return changed

    async def _note(self, by: str, subject: str) -> None:
        try:
            await self._gateway.note("reload", subject, by=by)
        except StoreUnavailable as error:
            # Another configuration needs no store, and the log has it.
            telemetry.log("store.unavailable", reason=str(error))

    def _prepare(self, old: Config) -> tuple[Config, str]:
        with _short_turns():
            try:
                new = self._read()
                return new, changes.changed(old, new)
            except ConfigError:
                raise
            except Exception as error:
                telemetry.log("internal.error", exc_info=True)
                message = f"a defect of the gateway: {type(error).__name__}"
                raise ConfigError([Problem(Place("routes.yaml"), message, "see the log")]) from error

    async def _refuse(self, error: ConfigError) -> None:
        is_first = self.rejection is None
        since = self.rejection.since if self.rejection else self._gateway.clock()
        errors = tuple(problem for problem in error.problems if problem.severity == "error")
        self.rejection = Rejection(problems=errors, since=since, includes=error.includes)
        telemetry.CONFIG_SUCCESSFUL.set(0)
        # Its first line says it all; the others show the place to people who look at a terminal.
        problems = [format_problem(problem).partition("\n")[0] for problem in error.problems]
        in_force = self._gateway.config.revision
        telemetry.log("config.rejected", in_force=in_force, problems=problems)
        if is_first:
            # Somebody who is editing saves more than once; the first time is news.
            message = f"routes.yaml was changed and is not in order; {in_force} stays in force. {' '.join(problems)}"
            fields = {"problems": problems, "in_force": in_force}
            await self._dispatcher.announce(Announcement("reload.rejected", message, fields, page=""))

    def _count_success(self) -> None:
        config = self._gateway.config
        telemetry.in_force(
            sources=config.sources, routes=config.takers, entries=config.entries, destinations=config.destinations
        )
        telemetry.CONFIG_SUCCESSFUL.set(1)
        telemetry.CONFIG_SUCCESS_TIME.set(self._gateway.clock())

    async def _log_orphans(self, old: Config, new: Config) -> None:
        """Name what deliveries wait for and the file no longer has: each of them will be dead, and can be replayed."""
        gone = changes.gone(old, new)
        if not gone:
            return
        try:
            waiting = await self._gateway.store.waiting()
        except StoreError as error:
            telemetry.log("store.unavailable", reason=str(error))
            return
        for (route, destination), deliveries in waiting.items():
            if (route, destination) in gone:
                telemetry.log("config.orphans", route=route, destination=destination, deliveries=deliveries)


def log_warnings(config: Config) -> None:
    """What deserves a look in a file that is in force."""
    for warning in config.warnings:
        telemetry.log("config.warning", place=str(warning.place), message=warning.message)


@contextmanager
def _short_turns() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(TURN_S)
    try:
        yield
    finally:
        sys.setswitchinterval(before)
