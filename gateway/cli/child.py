"""A child of the supervisor: the process that owns the store and serves operators, or a worker that receives and delivers."""

import asyncio
import ctypes
import os
import signal
import socket
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec
from msgspec.structs import replace

from gateway import __version__, server, telemetry
from gateway.cli import check, surroundings
from gateway.cli.assembly import Lifecycle, Parts, assembled
from gateway.cli.run import (
    admin_options,
    count_refused,
    log_failed,
    loopback_or_token,
    read_again,
    say_ready,
    shadow_file,
)
from gateway.cli.several import Setup, take_setup
from gateway.errors import ConfigError, GatewayError, StoreLocked, StoreUnavailable
from gateway.machine.memory import LEAST_FOR_BODIES
from gateway.operate.reload import log_warnings
from gateway.operate.watch import Watch
from gateway.poison import CrashSlot, blame
from gateway.routing import Config
from gateway.routing.peers import Senders
from gateway.store import Store, file_of, is_database, open_store
from gateway.store import migrate as migrated
from gateway.store.remote.asking import Asking
from gateway.store.remote.store import RemoteStore
from gateway.telemetry import sums
from gateway.web import PROBES, Desk, ingest_app
from gateway.workers.crew import FIGURES, LOOK, REFUSED, STANDING, Crew, Standing

T = TypeVar("T")

#: prctl(2).
_PR_SET_PDEATHSIG: Final = 1
#: Signals that the supervisor had blocked when it started this process.
_HELD_BACK: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)
#: Seconds between two reports of a worker.
REPORT_S: Final = 1.0
#: What a worker's senders have to read their answers once the store has gone, seconds.
LAST_WORDS_S: Final = 0.2
#: How long an owner may take to end after its supervisor was killed, seconds.
ENDING_S: Final = 2.0


def main() -> None:
    """Run until a signal."""
    setup = take_setup()
    _end_with(setup.parent)
    settings = setup.settings
    telemetry.configure_log(settings.log_format, settings.log_level, shares_output=True)
    telemetry.BUILD_INFO.labels(__version__).set(1)
    run = _own(setup) if setup.kind == "owner" else _work(setup)
    try:
        sys.exit(server.run(run))
    except ConfigError as error:
        check.report(error)
        sys.exit(error.exit_code)
    except GatewayError as error:
        print(f"gateway: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    finally:
        telemetry.flush_log()


def _end_with(parent: int) -> None:
    """Have the system end this process with the one that started it."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)  # it had ended before that was arranged


class _Loaded:
    """The configuration of a child, and how it is read again."""

    def __init__(self, setup: Setup) -> None:
        settings = setup.settings
        self.workers = settings.workers
        self.file = Path(settings.config)
        self.env_file = None if settings.env_file is None else Path(settings.env_file)
        self.environ = surroundings.environment(self.env_file)
        # Before the file is read, so that a save in between is noticed.
        self.watching = Watch(self.file, None) if settings.watch else None
        self.read = partial(read_again, self.file, self.env_file, self.environ, dev=False)
        self.config: Config = self.read()

    def parts(self, store: Store, **more: Any) -> Parts:
        return assembled(
            self.config, store, self.file.parent, self.read, processes=self.workers, environ=self.environ, **more
        )


def _listener(setup: Setup) -> socket.socket:
    listener = socket.socket(fileno=setup.listener)
    listener.setblocking(False)
    return listener


def _obey() -> None:
    """Take the signals that came meanwhile: they can be obeyed from now on."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _HELD_BACK)


# --- the owner ---


async def _own(setup: Setup) -> int:
    loaded, url = _Loaded(setup), setup.settings.store
    shadowed = setup.settings.shadow
    shadow = shadow_file(None if shadowed is None else Path(shadowed), loaded.env_file, loaded.environ)
    log_warnings(loaded.config.warnings)
    surroundings.log_doubts(loaded.env_file)
    options = admin_options(loaded.environ, setup.admin.removeprefix("http://"))
    admin = _listener(setup)
    loopback_or_token(options, admin.getsockname()[0])
    if setup.settings.migrate and not setup.was_ready:
        await migrated(url)
    store = await _once_free(lambda: open_store(url, is_shared=True))
    try:
        if not is_database(url):
            await _blame_all(url, store)
    except GatewayError:
        await store.close()
        raise
    parts = loaded.parts(store, crash_slot=CrashSlot(), part="upkeep", shadow=shadow)
    crew = Crew(store, setup.settings.workers)
    parts.dispatcher.holds.elsewhere = crew.in_flight
    parts.rejections.elsewhere = crew.refusals
    control = socket.socket(fileno=setup.link)
    crew.follow(control)

    async def announce() -> None:
        hooks.begin(when_complete())

    async def when_complete() -> None:
        await crew.complete.wait()
        if not setup.was_ready:
            say_ready(parts.gateway)
        crew.say_ready()

    context = parts.context(options, crew)
    hooks = Lifecycle(
        parts=parts,
        watching=loaded.watching,
        say_ready=announce,
        then_drained=crew.gone,
        scrape=context.scrape,
    )
    hooks.listen_for_changes()
    try:
        await parts.dispatcher.recall()
        parts.replicas.waits = True
        serving = server.serve_part(
            "admin",
            Desk(context),
            admin,
            addresses=(setup.ingest, setup.admin),
            hooks=hooks,
            limits=server.Limits(),
            # The workers drain first.
            drain_s=server.DRAIN_S + 2 * server.FINISH_S,
            probes=PROBES,
            failed=log_failed,
            prepared=_obey,
        )
        return await serving
    finally:
        crew.close()
        await hooks.stopped()


async def _once_free(take: Callable[[], Awaitable[T]]) -> T:
    """What the process before this one may still have: it may just be ending, with its supervisor."""
    deadline = time.monotonic() + ENDING_S
    while True:
        try:
            return await take()
        except (StoreLocked, BlockingIOError):
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(ENDING_S / 20)


async def _slot(path: str) -> CrashSlot:
    return CrashSlot(path)


async def _blame_all(url: str, store: Store) -> None:
    """Count what any process of the last start died over, whether it was one alone or a worker."""
    file = Path(file_of(url))
    for path in [file.with_name(f"{file.name}.now"), *sorted(file.parent.glob(f"{file.name}.*.now"))]:
        if path.exists():
            slot = await _once_free(partial(_slot, str(path)))
            await blame(slot, store)
            slot.close()


# --- a worker ---


async def _work(setup: Setup) -> int:
    asking = Asking()
    sock = socket.socket(fileno=setup.link)
    sock.setblocking(False)
    try:
        me, name = await asking.begin(sock)
    except StoreUnavailable:
        # The owner has said why.
        return 1
    loaded, url = _Loaded(setup), setup.settings.store
    if is_database(url):
        store: Store = await open_store(url)
        slot = CrashSlot.among(Path.cwd())
    else:
        store = RemoteStore(asking, me, name)
        slot = await _once_free(partial(_slot, f"{file_of(url)}.{setup.number}.now"))
    try:
        await blame(slot, store)
    except GatewayError:
        await store.close()
        raise
    parts = loaded.parts(store, crash_slot=slot, part="deliveries")
    asking.hear(_Hearing(parts, asking).hear)

    async def announce() -> None:
        hooks.begin(report())

    async def report() -> None:
        while True:
            status = parts.readiness.status(parts.gateway, parts.dispatcher)
            standing = Standing(status, dict(parts.dispatcher.holds.in_flight))
            asking.tell(STANDING, msgspec.json.encode(standing))
            await asyncio.sleep(REPORT_S)

    async def last_figures() -> None:
        asking.tell(FIGURES, sums.taken())

    hooks = Lifecycle(parts=parts, watching=loaded.watching, say_ready=announce, then_drained=last_figures)
    hooks.listen_for_changes()
    senders = Senders(lambda: parts.gateway.config.peers)
    try:
        await parts.dispatcher.recall()
        serving = asyncio.create_task(
            server.serve_part(
                "ingest",
                ingest_app(parts.gateway, parts.dispatcher, parts.readiness, parts.rejections, senders),
                _listener(setup),
                addresses=(setup.ingest, setup.admin),
                hooks=hooks,
                limits=_part_of(server.Limits(), setup.settings.workers),
                senders=senders,
                refused=count_refused,
                failed=log_failed,
                prepared=_obey,
            )
        )
        return await _while_owned(serving, asking, hooks)
    finally:
        await hooks.stopped()
        await asking.close()


class _Hearing:
    """What a worker does when the owner of the store tells it something."""

    def __init__(self, parts: Parts, asking: Asking) -> None:
        self._parts = parts
        self._asking = asking
        self._storing: set[asyncio.Task[None]] = set()

    def hear(self, word: str, _what: bytes) -> None:
        if word == LOOK:
            self._parts.dispatcher.reread.set()
            self._parts.replicas.beat_now()
        elif word == FIGURES:
            self._asking.tell(FIGURES, sums.taken())
        elif word == REFUSED:
            task = asyncio.get_running_loop().create_task(self._store_refused())
            self._storing.add(task)
            task.add_done_callback(self._storing.discard)

    async def _store_refused(self) -> None:
        # A full disk keeps nobody from reading.
        with suppress(StoreUnavailable):
            await self._parts.rejections.flush()
        self._asking.tell(REFUSED, b"")


def _part_of(limits: server.Limits, workers: int) -> server.Limits:
    """What one of the workers may hold of what the gateway may."""
    return replace(
        limits,
        connections=max(16, limits.connections // workers),
        body_bytes=max(LEAST_FOR_BODIES, limits.body_bytes // workers),
    )


async def _while_owned(serving: "asyncio.Task[int]", asking: Asking, hooks: Lifecycle) -> int:
    """Serve until the end, or until the process is gone that has the store."""
    first: Sequence[asyncio.Future[Any]] = [serving, asking.ended]
    await asyncio.wait(first, return_when=asyncio.FIRST_COMPLETED)
    if not serving.done() and not hooks.closed:
        # What was asked of the store has failed, and senders are told so.
        await asyncio.sleep(LAST_WORDS_S)
        serving.cancel()
        with suppress(asyncio.CancelledError):
            await serving
        return 1
    return await serving


if __name__ == "__main__":
    main()
