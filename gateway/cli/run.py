"""``gateway serve`` and ``gateway dev``: assemble the parts and run until a signal."""

import asyncio
import gc
import ipaddress
import os
import signal
import time
from collections.abc import Callable, Coroutine, Mapping
from contextlib import AsyncExitStack, suppress
from functools import partial
from pathlib import Path
from typing import Any

from msgspec import Struct, field

from gateway import __version__, server, telemetry
from gateway.cli import check, surroundings
from gateway.cli.banner import banner
from gateway.config import load
from gateway.dispatcher import Dispatcher, for_ever
from gateway.egress import Egress, Inbox
from gateway.errors import ConfigError, GatewayError, Place, Problem, StoreUnavailable
from gateway.model import Secret
from gateway.operate import summaries
from gateway.operate.loop import LoopWatch
from gateway.operate.operations import Operations
from gateway.operate.reload import Reloader, log_warnings
from gateway.operate.replicas import Replicas
from gateway.operate.rotation import Rotation
from gateway.operate.upkeep import Upkeep
from gateway.operate.watch import INTERVAL_S, Watch
from gateway.pipeline import Gateway
from gateway.poison import CrashSlot, blame
from gateway.routing import Config
from gateway.routing.peers import Senders
from gateway.store import file_of, is_database, open_store
from gateway.store import migrate as migrated
from gateway.web import PROBES, UNKNOWN, AdminOptions, Context, Live, Readiness, Rejections, admin_app, ingest_app
from gateway.web.auth import Access
from gateway.web.sessions import Sessions
from gateway.web.tokens import HOW_TO_MAKE_ONE, weakness


class UnsafeBind(GatewayError):
    """The admin listener would be unsafe: reachable without a token, or with a weak one."""


def serve(
    *,
    config: Path,
    bind: str,
    admin_bind: str,
    store: str,
    log_format: str,
    log_level: str,
    env_file: Path | None,
    watch: bool,
    migrate: bool,
    dev: bool,
) -> int:
    """Run until SIGTERM or SIGINT; the exit code. With ``watch`` a saved file takes effect at once."""
    _occupy_standard_descriptors()
    telemetry.configure_log(log_format, log_level)
    telemetry.BUILD_INFO.labels(__version__).set(1)
    # Before the file is read, so that a save in between is noticed.
    watching = Watch(config, env_file if dev else None) if watch else None
    try:
        environ = surroundings.environment(env_file)
        loaded = load(config, environ=environ, dev=dev)
    except ConfigError as error:
        check.report(error)
        return 1
    log_warnings(loaded.warnings)
    for sentence in surroundings.exposed_secrets(env_file):
        telemetry.log("config.warning", place=str(env_file), message=sentence)
    read = partial(_read_again, config, env_file, environ, dev=dev)
    try:
        return server.run(
            _serve(loaded, config.parent, read, watching, environ, bind, admin_bind, store, migrate=migrate, dev=dev)
        )
    finally:
        telemetry.flush_log()


def _occupy_standard_descriptors() -> None:
    """Open closed standard streams: otherwise the next socket or file would get their number, and the log's lines."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            # It gets the lowest free number.
            os.open(os.devnull, os.O_RDWR)


def _read_again(config: Path, env_file: Path | None, environ: Mapping[str, str], *, dev: bool) -> Config:
    """The file as it is now, with the variables of the start; ``gateway dev`` reads .env again, too."""
    try:
        return load(config, environ=surroundings.environment(env_file) if dev else environ, dev=dev)
    except surroundings.EnvFileUnreadable as error:
        raise ConfigError([Problem(Place(str(env_file)), str(error), "make it readable")]) from None


def _admin_options(environ: Mapping[str, str], admin_bind: str) -> AdminOptions:
    token, read_token = _token(environ, "GATEWAY_ADMIN_TOKEN"), _token(environ, "GATEWAY_READ_TOKEN")
    if read_token is not None and read_token == token:
        raise UnsafeBind(
            "GATEWAY_READ_TOKEN equals GATEWAY_ADMIN_TOKEN, so it would allow everything: change one of them"
        )
    bound = admin_bind.rpartition(":")[0].strip("[]").lower()
    extra = environ.get("GATEWAY_ADMIN_HOSTS", "").lower().replace(",", " ").split()
    return AdminOptions(
        hosts=frozenset({"localhost", "127.0.0.1", "::1", bound, *extra}),
        token=token,
        read_token=read_token,
        metrics_token=_token(environ, "GATEWAY_METRICS_TOKEN"),
    )


def _token(environ: Mapping[str, str], name: str) -> Secret | None:
    token = environ.get(name, "")
    if token and (reason := weakness(token)):
        raise UnsafeBind(f"{name} {reason}: make one with {HOW_TO_MAKE_ONE}")
    return Secret(token) if token else None


def _loopback_or_token(options: AdminOptions, host: str) -> None:
    if not ipaddress.ip_address(host.partition("%")[0]).is_loopback and options.token is None:
        raise UnsafeBind(
            f"the admin listener at {host} is reachable from other machines: set GATEWAY_ADMIN_TOKEN "
            f"({HOW_TO_MAKE_ONE}), or bind 127.0.0.1"
        )


async def _serve(
    config: Config,
    folder: Path,
    read: Callable[[], Config],
    watching: Watch | None,
    environ: Mapping[str, str],
    bind: str,
    admin_bind: str,
    store_url: str,
    *,
    migrate: bool,
    dev: bool,
) -> int:
    options = _admin_options(environ, admin_bind)
    inbox = Inbox(clock=time.time) if dev else None
    if migrate:
        await migrated(store_url)
    store = await open_store(store_url)
    try:
        crash_slot = _crash_slot(store_url)
        await blame(crash_slot, store)
    except GatewayError:
        await store.close()
        raise
    telemetry.hide_in_log(config.masks.text)
    gateway = Gateway(
        config=config,
        store=store,
        egress=Egress(inbox=inbox),
        replica=store.cluster.me,
        crash_slot=crash_slot,
    )
    dispatcher = Dispatcher(gateway)
    operations = Operations(gateway, dispatcher)
    rejections = Rejections(store, gateway.clock)
    live = Live(store, lambda rows: summaries.of_rows(store, gateway.config, rows))
    readiness = Readiness()
    reloader = Reloader(gateway, dispatcher, read)
    replicas = Replicas(gateway, reloader)
    rotation = Rotation(gateway, dispatcher, reloader, folder)
    dispatcher.look_for_login = rotation.look_now
    hooks = _Lifecycle(
        gateway,
        dispatcher,
        operations,
        rejections,
        live,
        readiness,
        reloader,
        replicas,
        rotation,
        watching,
        store_url,
        dev=dev,
    )
    hooks.listen_for_changes()
    senders = Senders(lambda: gateway.config.peers)
    context = Context(
        gateway=gateway,
        dispatcher=dispatcher,
        readiness=readiness,
        reloader=reloader,
        replicas=replicas,
        operations=operations,
        access=Access(
            options, Sessions(store.cluster, gateway.monotonic), gateway.clock, lambda: gateway.config.console_url
        ),
        live=live,
        inbox=inbox,
    )
    try:
        await dispatcher.recall()
        return await server.serve(
            ingest=ingest_app(gateway, dispatcher, readiness, rejections, senders),
            admin=admin_app(context),
            ingest_bind=bind,
            admin_bind=admin_bind,
            hooks=hooks,
            senders=senders,
            probes=PROBES,
            may_serve_admin_at=partial(_loopback_or_token, options),
            refused=_count_refused,
            failed=_log_failed,
        )
    finally:
        await hooks.stopped()


def _crash_slot(store_url: str) -> CrashSlot:
    """Beside the store's file; for a database in the working directory, which may be that of several replicas."""
    return CrashSlot.among(Path.cwd()) if is_database(store_url) else CrashSlot(f"{file_of(store_url)}.now")


def _settle_garbage_collector() -> None:
    """Freeze the objects of the start, which live forever: scanning them took 7 % of the CPU time under load, and the
    longest pauses delayed answers to senders (99th percentile 68 ms before, 27 ms after).
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 50, 100)


def _count_refused(listener: str, reason: str, _client: str) -> None:
    if listener != "ingest" or reason == "evicted":
        return
    outcome = ("unavailable", "overload") if reason in server.ADVICE else ("rejected", reason)
    telemetry.EVENTS_RECEIVED.of(UNKNOWN, *outcome).inc()


def _log_failed(error: Exception) -> None:
    telemetry.log("internal.error", exc_info=error)


class _Lifecycle(Struct):
    """What happens when the server starts, drains and stops."""

    gateway: Gateway
    dispatcher: Dispatcher
    operations: Operations
    rejections: Rejections
    live: Live
    readiness: Readiness
    reloader: Reloader
    replicas: Replicas
    rotation: Rotation
    watching: Watch | None
    store_url: str
    dev: bool
    running: asyncio.Task[None] | None = None
    #: Background tasks that are cancelled at the end.
    others: set[asyncio.Task[None]] = field(default_factory=set)
    closed: bool = False

    async def started(self, ingest_address: str, admin_address: str) -> None:
        _settle_garbage_collector()
        self.gateway.egress.avoid(ingest_address, admin_address)
        self.gateway.ingest, self.gateway.console = ingest_address, admin_address
        self.running = asyncio.create_task(self.dispatcher.run())
        self._begin(self.replicas.run())
        self._begin(self.operations.run())
        self._begin(Upkeep(self.gateway, lambda: self.dispatcher.holds.does_upkeep).run())
        self._begin(self.rejections.run())
        self._begin(LoopWatch(self.readiness.lateness, self.gateway.crash_slot.found).run())
        config = self.gateway.config
        telemetry.say(
            f"ready {ingest_address} admin={admin_address} routes={config.routes} "
            f"destinations={len(config.destinations)} store={self.gateway.store.name} config={config.revision}"
        )
        telemetry.log("gateway.started", ingest=ingest_address, admin=admin_address, config=config.revision)
        self._begin(asyncio.to_thread(config.masks.prepare))
        self._begin(self.gateway.egress.warm({each.door for each in config.destinations.values()}))
        if self.dev:
            telemetry.say(banner(config, ingest_address, admin_address, self.store_url))

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self.others.add(task)
        task.add_done_callback(self.others.discard)

    def listen_for_changes(self) -> None:
        """Obey SIGHUP, look after secrets, and watch the files if asked to. Call it before the ready line, after which signals may come."""
        # A terminal that closes sends SIGHUP, too, and must end `gateway dev`.
        if not (self.dev and os.isatty(0)):
            asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, lambda: self._begin(self._reload("SIGHUP")))
        self._begin(for_ever(self.rotation.step))
        if self.watching is not None:
            self._begin(for_ever(partial(self._watch, self.watching)))

    async def _watch(self, watching: Watch) -> None:
        await asyncio.to_thread(watching.follow, self.reloader.files, self.reloader.includes)
        await asyncio.sleep(INTERVAL_S)
        if await asyncio.to_thread(watching.poll):
            await self._reload("a saved file")

    async def _reload(self, by: str) -> None:
        try:
            await self.reloader.reload(by=by)
        except ConfigError as error:
            # It is in the log; `gateway dev` also prints it as `gateway check` does.
            if self.dev:
                check.report(error)

    def draining(self) -> None:
        self.readiness.draining = True
        self.dispatcher.stop()
        self.live.end()
        telemetry.log("gateway.draining")

    async def drained(self) -> None:
        await self.dispatcher.drained()

    async def _last_rejections(self) -> None:
        with suppress(StoreUnavailable):
            await self.rejections.flush(is_last=True)

    async def stopped(self) -> None:
        """Close everything, once; also after a start that failed."""
        if self.closed:
            return
        self.closed = True
        async with AsyncExitStack() as closing:
            closing.callback(self.gateway.crash_slot.close)
            closing.push_async_callback(self.gateway.store.close)
            closing.push_async_callback(self.gateway.egress.close)
            closing.push_async_callback(self._last_rejections)
            for task in self.others:
                task.cancel()
            self.dispatcher.stop()
            await self.dispatcher.abandon()
            if self.running is not None:
                await self.running
                telemetry.log("gateway.stopped")
