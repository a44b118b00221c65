"""A new routes.yaml while events come in: read in a thread and swapped whole, or refused and the old one stays."""

import asyncio
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final

from msgspec import Struct

from gateway import telemetry
from gateway.config import format_problem
from gateway.dispatcher import Dispatcher
from gateway.errors import ConfigError, Place, Problem, StoreError, StoreUnavailable
from gateway.model import Announcement
from gateway.operate.outcomes import REFUSED
from gateway.process import Gateway
from gateway.routing import Config, changes
from gateway.wording import count

#: Interpreter switch interval while a file is compiled in a thread, seconds. Python's default of 5 ms, several times per
#: event, would be noticed by senders.
TURN_S: Final = 0.0005


class Rejection(Struct, frozen=True, kw_only=True):
    """Why the file on disk is not in force."""

    problems: Sequence[Problem]
    #: When the file was first refused, wall clock, seconds since the epoch.
    since: float
    #: Its include patterns: a mistake in an included file is fixed there.
    includes: Sequence[str]
    #: SHA-256 of the files that were read, by name.
    files: Mapping[str, bytes]


class Reloader:
    """Applies the configuration on disk. ``read`` loads it as at the start and raises ConfigError.

    ``show`` prints the problems of a refused file for people, each with its line.
    """

    def __init__(
        self,
        gateway: Gateway,
        dispatcher: Dispatcher,
        read: Callable[[], Config],
        show: Callable[[ConfigError], None] | None = None,
    ) -> None:
        self._gateway = gateway
        self._dispatcher = dispatcher
        self._read = read
        self._show = show
        self._one_at_a_time = asyncio.Lock()
        #: None if the configuration in force is the one last read.
        self.rejection: Rejection | None = None
        self._count_success()

    @property
    def includes(self) -> Collection[str]:
        """Include patterns of the file in force and of a refused one: a change there makes another configuration."""
        return {*self._gateway.config.includes, *(self.rejection.includes if self.rejection else ())}

    @property
    def files(self) -> Mapping[str, bytes]:
        """SHA-256 of each file as it was last read, for the configuration in force or for a refused one."""
        return {**self._gateway.config.files, **(self.rejection.files if self.rejection else {})}

    async def reload(self, *, by: str = "unknown") -> str:
        """Reload the file and apply it; returns what changed. Raises ConfigError, and the old one stays in force."""
        async with self._one_at_a_time:
            old = self._gateway.config
            try:
                new, changed = await asyncio.to_thread(_prepared, old, self._read)
            except ConfigError as error:
                await self._refuse(error)
                await self._note(by, f"{REFUSED}{count(len(_errors(error)), 'problem')}")
                raise
            self._put_in_force(new)
            self.rejection = None
            self._count_success()
            telemetry.log("config.reloaded", changed=changed, config=new.revision)
            log_warnings(new.warnings)
            await self._log_orphans(old, new)
            await self._note(by, f"{new.revision}: {changed}")
            return changed

    async def reread(self) -> str:
        """Apply the values that their files hold now, and nothing else; returns what changed. Raises ConfigError."""
        async with self._one_at_a_time:
            old = self._gateway.config
            new, changed = await asyncio.to_thread(_prepared, old, old.reread)
            self._put_in_force(new)
            return changed

    def _put_in_force(self, new: Config) -> None:
        self._gateway.config = new
        telemetry.hide_in_log(new.masks.text)
        self._dispatcher.reconfigured()

    async def _note(self, by: str, subject: str) -> None:
        if self._gateway.part == "deliveries":
            # The process that serves operators notes the same.
            return
        try:
            await self._gateway.note("reload", subject, by=by)
        except StoreUnavailable as error:
            # A new configuration needs no store, and the log mentions it.
            telemetry.log("store.unavailable", reason=str(error))

    async def _refuse(self, error: ConfigError) -> None:
        is_first = self.rejection is None
        since = self.rejection.since if self.rejection else self._gateway.clock()
        errors = _errors(error)
        self.rejection = Rejection(problems=errors, since=since, includes=error.includes, files=error.files)
        telemetry.CONFIG_SUCCESSFUL.set(0)
        # The first line says everything; the others show the place on a terminal.
        problems = [format_problem(problem).partition("\n")[0] for problem in errors]
        in_force = self._gateway.config.revision
        is_shown = self._show is not None and telemetry.is_for_people()
        telemetry.log("config.rejected", in_force=in_force, problems=len(problems) if is_shown else problems)
        if self._show is not None:
            self._show(error)
        if is_first:
            # An editor saves more than once; only the first refusal is news.
            message = f"routes.yaml was changed and has problems; {in_force} stays in force. {' '.join(problems)}"
            fields = {"problems": problems, "in_force": in_force}
            # Within a minute: every replica finds the same.
            key = f"{message} {since // 60:.0f}"
            await self._dispatcher.announce(Announcement("reload.rejected", message, fields, page="", key=key))

    def _count_success(self) -> None:
        config = self._gateway.config
        #: When the configuration in force was put there, wall clock, seconds since the epoch.
        self.since = self._gateway.clock()
        telemetry.in_force(
            sources=config.sources, routes=config.takers, entries=config.entries, destinations=config.destinations
        )
        telemetry.CONFIG_SUCCESSFUL.set(1)
        telemetry.CONFIG_SUCCESS_TIME.set(self.since)

    async def _log_orphans(self, old: Config, new: Config) -> None:
        """Log routes and destinations that deliveries wait for and the file no longer has: those will be dead letters."""
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


def _prepared(old: Config, read: Callable[[], Config]) -> tuple[Config, str]:
    """Another configuration, and how it differs. Raises ConfigError."""
    with _short_turns():
        try:
            new = read()
            new.masks.prepare()
            return new, changes.changed(old, new)
        except ConfigError:
            raise
        except Exception as error:
            telemetry.log("internal.error", exc_info=True)
            message = f"a defect of the gateway: {type(error).__name__}"
            raise ConfigError([Problem(Place("routes.yaml"), message, "see the log")]) from error


def _errors(error: ConfigError) -> tuple[Problem, ...]:
    """Why the file is refused: its warnings would not have kept it from being in force."""
    return tuple(problem for problem in error.problems if problem.severity == "error")


def log_warnings(warnings: Iterable[Problem]) -> None:
    """Log the warnings of a file that is in force."""
    for warning in warnings:
        telemetry.log("config.warning", place=str(warning.place), message=warning.message)


@contextmanager
def _short_turns() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(TURN_S)
    try:
        yield
    finally:
        sys.setswitchinterval(before)
