"""Secrets that change while the gateway runs: the files that hold them are read again, without a reload."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from gateway import telemetry
from gateway.config import format_problem
from gateway.config.text.disk import look_of
from gateway.dispatcher import Dispatcher
from gateway.errors import ConfigError, StoreUnavailable
from gateway.operate.reload import Reloader, log_warnings
from gateway.process import Gateway
from gateway.routing import Config, changes
from gateway.routing.config import Look
from gateway.store.holds import ITSELF

#: How often the files are looked at, seconds.
INTERVAL_S: Final = 1.0
#: How long an attempt that was refused waits for a look, seconds: a network disk may hang.
PATIENCE_S: Final = 5.0


class Rotation:
    """Puts a secret or certificate in force as soon as its file holds another one; ``folder`` is that of routes.yaml.

    Nothing else that was saved meanwhile is put in force with it.
    """

    def __init__(self, gateway: Gateway, dispatcher: Dispatcher, reloader: Reloader, folder: Path) -> None:
        self._gateway = gateway
        self._dispatcher = dispatcher
        self._reloader = reloader
        self._folder = folder
        self._one_at_a_time = asyncio.Lock()
        #: Number of looks begun.
        self._begun = 0
        #: How the files looked at the last look.
        self._seen: Mapping[str, Look | None] = gateway.config.values
        #: How they looked when they were last read again, and the configuration in force after that.
        self._tried: Mapping[str, Look | None] = self._seen
        self._tried_by = gateway.config
        #: Why their content is not in force.
        self._problems: list[str] = []

    async def step(self) -> None:
        """Look, after an interval."""
        await asyncio.sleep(INTERVAL_S)
        await self.look()

    async def look(self) -> None:
        """Put what changed in force, once nothing moved between two looks: until then it may be half written."""
        async with self._one_at_a_time:
            before = self._seen
            if before == await self._look():
                await self._apply(is_settled=True)

    async def look_now(self) -> None:
        """Put what changed in force at once: a destination has refused the login."""
        with suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE_S):
                await asyncio.shield(asyncio.create_task(self._look_after(self._begun)))

    async def _look_after(self, begun: int) -> None:
        async with self._one_at_a_time:
            # Those who wait together share the first look that began after all of them asked.
            if self._begun == begun:
                await self._look()
                await self._apply(is_settled=False)

    async def _look(self) -> Mapping[str, Look | None]:
        self._begun += 1
        names = self._gateway.config.values
        self._seen = await asyncio.to_thread(_looks, self._folder, list(names)) if names else {}
        return self._seen

    async def _apply(self, *, is_settled: bool) -> None:
        old, seen = self._gateway.config, self._seen
        if seen == old.values:
            self._problems = []
        elif old is not self._tried_by or seen != self._tried:
            try:
                changed = await self._reloader.reread()
            except ConfigError as error:
                if is_settled:
                    self._tried, self._tried_by = seen, old
                    self._say_refused(error)
                return
            self._tried, self._tried_by, self._problems = seen, self._gateway.config, []
            if changed != "nothing":
                await self._say(old, self._gateway.config, changed)

    def _say_refused(self, error: ConfigError) -> None:
        problems = [format_problem(each).partition("\n")[0] for each in error.problems if each.severity == "error"]
        if problems != self._problems:
            self._problems = problems
            telemetry.log("secret.rejected", problems=problems)

    async def _say(self, old: Config, new: Config, changed: str) -> None:
        files = [name for name, look in new.values.items() if look != old.values.get(name)]
        telemetry.log("secret.reloaded", files=files, changed=changed)
        log_warnings([warning for warning in new.warnings if warning not in old.warnings])
        for name in changes.renewed(old, new):
            await self._renew(name)

    async def _renew(self, name: str) -> None:
        """Send to a destination again that is held for what it answered: it has not seen what changed."""
        standing = self._dispatcher.holds.standing(name)
        is_own_pause = standing.paused is not None and standing.paused.by == ITSELF
        if is_own_pause or standing.circuit == "open":
            try:
                await self._dispatcher.holds.resume(name, by="a changed secret")
            except StoreUnavailable as error:
                telemetry.log("store.unavailable", reason=str(error))


def _looks(folder: Path, names: list[str]) -> Mapping[str, Look | None]:
    found: dict[str, Look | None] = {}
    for name in names:
        found[name] = None
        with suppress(OSError, ValueError):
            found[name] = look_of((folder / name).stat())
    return found
