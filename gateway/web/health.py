"""Endpoints for probes and Prometheus: alive, ready, metrics."""

import asyncio
import math
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, Protocol

from litestar import Response, get
from msgspec import Struct, field

from gateway import telemetry
from gateway.dispatcher import Dispatcher
from gateway.errors import StoreError
from gateway.operate.loop import Lateness
from gateway.operate.reload import Reloader
from gateway.process import Gateway
from gateway.store import Store
from gateway.store.queries import DestinationStats, Stats
from gateway.store.room import filling, refusal
from gateway.wording import count, iso_time

if TYPE_CHECKING:
    from gateway.telemetry.sums import Figures

#: Seconds after a failed store during which this process reports not ready; then senders may try it again.
REFUSED_COUNTS_S: Final = 10.0


class Crew(Protocol):
    """The processes that receive and deliver, where this one does not."""

    def trouble(self) -> str:
        """Why no event can be received; empty: it can."""

    async def figures(self) -> Sequence[Sequence["Figures"]]:
        """What each of them has counted, and what those had that have ended."""


class Alone:
    """There are none: this process does everything."""

    def trouble(self) -> str:
        return ""

    async def figures(self) -> Sequence[Sequence["Figures"]]:
        return ()


ALONE: Final = Alone()


class Readiness(Struct, kw_only=True):
    """Whether a load balancer should send events here, and if not, why."""

    draining: bool = False
    #: When an event could last not be stored, on the monotonic clock; None once one was stored.
    refused_at: float | None = None
    #: How late the event loop was.
    lateness: Lateness = field(default_factory=Lateness)

    def status(self, gateway: Gateway, dispatcher: Dispatcher) -> str:
        """``ready``, or why it is not."""
        if self.draining:
            return "draining"
        if trouble := gateway.store.trouble:
            return f"the store is unavailable: {trouble}"
        if full := refusal(gateway.store.room, gateway.config.limits):
            return f"no new events are accepted: {full}"
        refused = self.refused_at is not None and time.monotonic() - self.refused_at < REFUSED_COUNTS_S
        if refused or not gateway.store.healthy or not dispatcher.recording:
            return "the store is unavailable: see the log"
        if self.lateness.is_overloaded(time.monotonic()):
            return "the event loop is late: see loop.late in the log"
        return "ready"


class Scrape:
    """The metrics, with the gauges as they are when somebody asks."""

    def __init__(self, gateway: Gateway, dispatcher: Dispatcher, readiness: Readiness, crew: Crew = ALONE) -> None:
        self._gateway, self._dispatcher, self._readiness, self._crew = gateway, dispatcher, readiness, crew
        self._one_at_a_time = asyncio.Lock()

    def status(self) -> str:
        """``ready``, or why the gateway is not."""
        status = self._readiness.status(self._gateway, self._dispatcher)
        return (self._crew.trouble() if status == "ready" else "") or status

    async def text(self) -> bytes:
        """In Prometheus' text format."""
        async with self._one_at_a_time:
            # Thousands of routes make thousands of lines: events are still received meanwhile.
            if others := await self._gauge():
                from gateway.telemetry import sums

                return await asyncio.to_thread(sums.scrape, others)
            return await asyncio.to_thread(telemetry.scrape)

    async def figures(self) -> Sequence["Figures"]:
        """As numbers."""
        from gateway.telemetry import sums

        async with self._one_at_a_time:
            return await asyncio.to_thread(sums.together, await self._gauge())

    async def _gauge(self) -> Sequence[Sequence["Figures"]]:
        """Set every gauge; the figures of the other processes."""
        gateway, dispatcher = self._gateway, self._dispatcher
        telemetry.READY.set(self.status() == "ready")
        telemetry.STORE_CHECKED_RATIO.set(gateway.store.checked)
        telemetry.STORE_DAMAGED.set(bool(gateway.store.room.damage))
        # One replica reports what all of them have together.
        stats = await _stats(gateway) if dispatcher.holds.assignments.does_upkeep else None
        for gauge in telemetry.OF_DESTINATIONS:
            gauge.clear()
        _gauge_gates(gateway, dispatcher)
        if stats is None:
            telemetry.STORE_BYTES.set(math.nan)
            telemetry.DISK_FREE_BYTES.set(math.nan)
        else:
            _gauge_store(gateway, dispatcher, stats)
        return await self._crew.figures()


def handlers(scrape: Scrape, store: Store, reloader: Reloader, readiness: Readiness) -> list[Any]:
    """/healthz, /readyz and /metrics."""

    @get("/healthz", include_in_schema=False)
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @get("/readyz", include_in_schema=False)
    async def readyz() -> Response[dict[str, str]]:
        status = scrape.status()
        detail = {
            "status": status,
            **_loop_detail(readiness),
            **_config_detail(reloader),
            **_store_detail(store.checked),
        }
        return Response(detail, status_code=200 if status == "ready" else 503)

    @get("/metrics", media_type="text/plain; version=0.0.4", include_in_schema=False)
    async def metrics() -> bytes:
        return await scrape.text()

    return [healthz, readyz, metrics]


async def _stats(gateway: Gateway) -> Stats | None:
    """None if the store is unavailable: metrics that do not need it matter most then."""
    with suppress(StoreError):
        return await gateway.store.stats()
    return None


def _gauge_gates(gateway: Gateway, dispatcher: Dispatcher) -> None:
    for name in gateway.config.destinations:
        telemetry.CIRCUIT_STATE.labels(name).set(dispatcher.holds.standing(name).circuit != "closed")
        telemetry.PAUSED.labels(name).set(_is_paused(name, gateway, dispatcher))
        telemetry.MUTED.labels(name).set(dispatcher.holds.is_muted(name))


def _is_paused(name: str, gateway: Gateway, dispatcher: Dispatcher) -> bool:
    """Whether its deliveries wait because somebody wants them to: nobody is to be alarmed that they are late."""
    hours = gateway.config.destinations[name].hours
    return dispatcher.holds.is_paused(name) or (hours is not None and hours.opens_in(gateway.clock()) > 0)


def _gauge_store(gateway: Gateway, dispatcher: Dispatcher, stats: Stats) -> None:
    """Deliveries for destinations no longer in routes.yaml count under ``other``."""
    telemetry.STORE_BYTES.set(stats.used_bytes)
    telemetry.DISK_FREE_BYTES.set(math.nan if stats.free_bytes is None else stats.free_bytes)
    names = gateway.config.destinations
    if full := filling(stats.pending, gateway.config.limits):
        name = full.destination if full.destination in names else telemetry.OTHER
        telemetry.MAX_PENDING_RATIO.labels(name).set(full.share)
    for name in names:
        each, standing = stats.destinations.get(name, DestinationStats()), dispatcher.holds.standing(name)
        is_held = standing.circuit != "closed" or _is_paused(name, gateway, dispatcher)
        _gauge_deliveries(name, each, in_flight=standing.in_flight, rest="held" if is_held else "waiting")
    others = [each for name, each in stats.destinations.items() if name not in names]
    if others:
        together = DestinationStats(
            pending=sum(each.pending for each in others),
            dead=sum(each.dead for each in others),
            oldest_due_s=max(each.oldest_due_s for each in others),
        )
        _gauge_deliveries(telemetry.OTHER, together, in_flight=0, rest="waiting")


def _gauge_deliveries(name: str, stats: DestinationStats, *, in_flight: int, rest: str) -> None:
    # A slot is taken before its delivery is stored.
    in_flight = min(in_flight, stats.pending)
    open_by_state = {"in_flight": in_flight, "held": 0, "waiting": 0, rest: stats.pending - in_flight}
    for state, number in open_by_state.items():
        telemetry.OPEN.labels(name, state).set(number)
    telemetry.OLDEST_DUE_SECONDS.labels(name).set(stats.oldest_due_s)
    telemetry.DEAD.labels(name).set(stats.dead)


def _store_detail(checked: float) -> Mapping[str, str]:
    return {"store": f"{checked:.0%} checked for damage since the start"} if checked < 1 else {}


def _loop_detail(readiness: Readiness) -> Mapping[str, str]:
    late = readiness.lateness.status(time.monotonic())
    return {"loop": late} if late else {}


def _config_detail(reloader: Reloader) -> Mapping[str, str]:
    """A rejected configuration is only a detail: the one in force still serves events."""
    rejection = reloader.rejection
    if rejection is None:
        return {}
    problems = count(len(rejection.problems), "problem")
    return {"config": f"rejected: {problems}, since {iso_time(rejection.since)}"}
