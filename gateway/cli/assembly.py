"""What a process of the gateway is made of, and what happens when its server starts, drains and stops."""

import asyncio
import gc
import os
import signal
import socket
from collections.abc import Callable, Coroutine, Mapping
from contextlib import AsyncExitStack, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct, field

from gateway import __version__, telemetry
from gateway.cli import check
from gateway.dispatcher import Dispatcher
from gateway.dispatcher.steps import for_ever
from gateway.egress import Egress, Inbox
from gateway.errors import ConfigError, StoreUnavailable
from gateway.event.spans import Spans
from gateway.machine.memory import delivery_room, memory_limit
from gateway.operate import summaries
from gateway.operate.loop import LoopWatch
from gateway.operate.operations import Operations
from gateway.operate.reload import Reloader
from gateway.operate.replicas import Replicas
from gateway.operate.rotation import Rotation
from gateway.operate.shadows import ShadowFile, Shadows
from gateway.operate.upkeep import Upkeep
from gateway.operate.vigil import Vigil
from gateway.operate.watch import INTERVAL_S, Watch
from gateway.poison import CrashSlot
from gateway.process import Gateway, Part
from gateway.routing import Config
from gateway.store import Store
from gateway.web import AdminOptions, Context, Live, Readiness, Rejections
from gateway.web.auth import Access
from gateway.web.health import ALONE, Crew, Scrape
from gateway.web.sessions import Sessions

if TYPE_CHECKING:
    from gateway.telemetry.otlp import Otlp


#: Seconds to take the last figures for a collector.
LAST_FIGURES_S: Final = 1.0


class Parts(Struct, frozen=True, kw_only=True):
    """What runs in one process."""

    gateway: Gateway
    dispatcher: Dispatcher
    operations: Operations
    rejections: Rejections
    live: Live
    readiness: Readiness
    reloader: Reloader
    replicas: Replicas
    rotation: Rotation
    shadows: Shadows
    vigil: Vigil
    inbox: Inbox | None
    #: Where spans and metrics go; None: nowhere.
    otlp: "Otlp | None"

    def context(self, options: AdminOptions, crew: Crew = ALONE) -> Context:
        """What the admin listener works with. ``crew``: the processes that receive and deliver, if this one does not."""
        gateway = self.gateway
        sessions = Sessions(gateway.store.cluster, gateway.monotonic, options.tokens())
        return Context(
            gateway=gateway,
            dispatcher=self.dispatcher,
            readiness=self.readiness,
            reloader=self.reloader,
            replicas=self.replicas,
            operations=self.operations,
            access=Access(options, sessions, gateway.clock, lambda: gateway.config.console_url),
            live=self.live,
            rejections=self.rejections,
            shadows=self.shadows,
            vigil=self.vigil,
            scrape=Scrape(gateway, self.dispatcher, self.readiness, crew),
            inbox=self.inbox,
        )


def assembled(
    config: Config,
    store: Store,
    folder: Path,
    read: Callable[[], Config],
    *,
    crash_slot: CrashSlot,
    part: Part = "all",
    processes: int = 1,
    inbox: Inbox | None = None,
    shadow: ShadowFile | None = None,
    environ: Mapping[str, str],
) -> Parts:
    """The parts of a process. ``folder``: that of routes.yaml; ``read`` loads it as at the start and raises ConfigError.

    ``processes``: how many share the memory that there is for deliveries; ``environ`` names the collector, if there is one.
    """
    telemetry.hide_in_log(config.masks.text)
    gateway = Gateway(
        config=config,
        store=store,
        egress=Egress(inbox=inbox),
        replica=store.cluster.me,
        part=part,
        crash_slot=crash_slot,
    )
    otlp = _otlp(environ, part, store.cluster.me)
    if otlp is not None and otlp.spans is not None:
        gateway.spans = Spans(put=otlp.spans.put, clock=gateway.clock)
    dispatcher = Dispatcher(gateway, room=delivery_room(memory_limit()) // processes)
    # Somebody looks at it; of several processes, one shows it.
    is_seen = part != "deliveries" and (inbox is not None or telemetry.is_for_people())
    reloader = Reloader(gateway, dispatcher, read, check.report if is_seen else None)
    rotation = Rotation(gateway, dispatcher, reloader, folder)
    dispatcher.attempts.look_for_login = rotation.look_now
    return Parts(
        gateway=gateway,
        dispatcher=dispatcher,
        operations=Operations(gateway, dispatcher),
        rejections=Rejections(store, gateway.clock),
        live=Live(store, lambda rows: summaries.of_rows(store, gateway.config, rows)),
        readiness=Readiness(),
        reloader=reloader,
        replicas=Replicas(gateway, reloader),
        rotation=rotation,
        shadows=Shadows(gateway, shadow),
        vigil=Vigil(gateway, dispatcher, lambda: dispatcher.holds.assignments.does_upkeep),
        inbox=inbox,
        otlp=otlp,
    )


def _otlp(environ: Mapping[str, str], part: Part, replica: str) -> "Otlp | None":
    """What tells a collector, if the environment names one. Of several processes one sends the metrics of all."""
    if not any(name.startswith("OTEL_EXPORTER_OTLP_") for name in environ):
        return None
    from gateway.telemetry import otlp

    instance = f"{socket.gethostname()}/{replica}"
    return otlp.begin(environ, version=__version__, instance=instance, with_metrics=part != "deliveries")


async def nothing_more() -> None:
    """Return at once."""


class Lifecycle(Struct, kw_only=True):
    """What happens when the server starts, drains and stops."""

    parts: Parts
    watching: Watch | None
    #: What is done once the listeners accept and everything runs.
    say_ready: Callable[[], Coroutine[Any, Any, None]]
    #: Nothing more is waited for when the attempts in flight have ended.
    then_drained: Callable[[], Coroutine[Any, Any, None]] = nothing_more
    #: The metrics, if this process serves them.
    scrape: Scrape | None = None
    dev: bool = False
    running: asyncio.Task[None] | None = None
    #: Background tasks that are cancelled at the end.
    others: set[asyncio.Task[None]] = field(default_factory=set)
    closed: bool = False

    async def started(self, ingest_address: str, admin_address: str) -> None:
        _settle_garbage_collector()
        parts, gateway = self.parts, self.parts.gateway
        gateway.egress.avoid(ingest_address, admin_address)
        gateway.ingest, gateway.console = ingest_address, admin_address
        self.running = asyncio.create_task(parts.dispatcher.run())
        self.begin(parts.replicas.run())
        if gateway.part != "deliveries":
            self.begin(parts.operations.run())
            self.begin(for_ever(parts.shadows.step))
            self.begin(for_ever(parts.vigil.step))
        self.begin(Upkeep(gateway, lambda: parts.dispatcher.holds.assignments.does_upkeep).run())
        self.begin(parts.rejections.run())
        self.begin(LoopWatch(parts.readiness.lateness, gateway.crash_slot.found).run())
        if parts.otlp is not None and parts.otlp.figures is not None and self.scrape is not None:
            self.begin(for_ever(partial(self._tell_figures, parts.otlp, self.scrape)))
        await self.say_ready()
        self.begin(asyncio.to_thread(gateway.config.masks.prepare))

    async def _tell_figures(self, otlp: "Otlp", scrape: Scrape) -> None:
        await asyncio.sleep(otlp.metrics_s)
        await self._tell_figures_now(otlp, scrape)

    async def _tell_figures_now(self, otlp: "Otlp", scrape: Scrape) -> None:
        if otlp.figures is not None:
            otlp.figures.put(await scrape.figures())

    def begin(self, work: Coroutine[Any, Any, None]) -> None:
        """Do it beside everything else; it is cancelled at the end."""
        task = asyncio.create_task(work)
        self.others.add(task)
        task.add_done_callback(self.others.discard)

    def listen_for_changes(self) -> None:
        """Obey SIGHUP, look after secrets, and watch the files if asked to. Call it before the ready line, after which signals may come."""
        # A terminal that closes sends SIGHUP, too, and must end `gateway dev`.
        if not (self.dev and os.isatty(0)):
            asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, lambda: self.begin(self._reload("SIGHUP")))
        self.begin(for_ever(self.parts.rotation.step))
        if self.watching is not None:
            self.begin(for_ever(partial(self._watch, self.watching)))

    async def _watch(self, watching: Watch) -> None:
        await asyncio.to_thread(watching.follow, self.parts.reloader.files, self.parts.reloader.includes)
        await asyncio.sleep(INTERVAL_S)
        if await asyncio.to_thread(watching.poll):
            await self._reload("a saved file")

    async def _reload(self, by: str) -> None:
        # The reloader shows the problems of a file that it refuses.
        with suppress(ConfigError):
            await self.parts.reloader.reload(by=by)

    def draining(self) -> None:
        self.parts.readiness.draining = True
        self.parts.dispatcher.stop()
        self.parts.live.end()
        if self._speaks:
            telemetry.log("gateway.draining")

    async def drained(self) -> None:
        await self.parts.dispatcher.drained()
        await self.then_drained()

    async def _last_rejections(self) -> None:
        with suppress(StoreUnavailable):
            await self.parts.rejections.flush(is_last=True)

    async def _last_figures(self) -> None:
        otlp = self.parts.otlp
        if otlp is not None and self.scrape is not None:
            # TimeoutError, or a store that is gone.
            with suppress(Exception):
                async with asyncio.timeout(LAST_FIGURES_S):
                    await self._tell_figures_now(otlp, self.scrape)

    async def _close_otlp(self) -> None:
        if self.parts.otlp is not None:
            await asyncio.to_thread(self.parts.otlp.close)

    async def stopped(self) -> None:
        """Close everything, once; also after a start that failed."""
        if self.closed:
            return
        self.closed = True
        async with AsyncExitStack() as closing:
            # Last, so that the collector hears of everything up to the end.
            closing.push_async_callback(self._close_otlp)
            closing.callback(self.parts.gateway.crash_slot.close)
            closing.push_async_callback(self.parts.gateway.store.close)
            closing.push_async_callback(self.parts.gateway.egress.close)
            # Before the store: a refresh token that is in use has a successor that must be kept.
            closing.push_async_callback(self.parts.gateway.tokens.close)
            closing.push_async_callback(self._last_rejections)
            closing.push_async_callback(self._last_figures)
            for task in self.others:
                task.cancel()
            self.parts.dispatcher.stop()
            await self.parts.dispatcher.abandon()
            if self.running is not None:
                await self.running
                if self._speaks:
                    telemetry.log("gateway.stopped")

    @property
    def _speaks(self) -> bool:
        """Whether this process says how the gateway is: of several, the one that serves its operators."""
        return self.parts.gateway.part != "deliveries"


def _settle_garbage_collector() -> None:
    """Freeze the objects of the start, which live forever: scanning them took 7 % of the CPU time under load, and the
    longest pauses delayed answers to senders (99th percentile 68 ms before, 27 ms after).
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 50, 100)
