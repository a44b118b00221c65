"""``gateway serve`` and ``gateway dev``: assemble the parts and run until a signal."""

import ipaddress
import os
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from gateway import __version__, server, telemetry
from gateway.cli import check, surroundings
from gateway.cli.assembly import Lifecycle, assembled
from gateway.cli.banner import banner
from gateway.config import load
from gateway.egress import Inbox
from gateway.errors import ConfigError, GatewayError, Place, Problem
from gateway.model import Secret
from gateway.operate.reload import log_warnings
from gateway.operate.shadows import ShadowFile
from gateway.operate.watch import Watch
from gateway.poison import CrashSlot, blame
from gateway.process import Gateway
from gateway.routing import Config
from gateway.routing.peers import Senders
from gateway.store import file_of, is_database, open_store
from gateway.store import migrate as migrated
from gateway.web import PROBES, UNKNOWN, AdminOptions, Desk, ingest_app
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
    shadow: Path | None = None,
) -> int:
    """Run until SIGTERM or SIGINT; the exit code. With ``watch`` a saved file takes effect at once."""
    occupy_standard_descriptors()
    telemetry.configure_log(log_format, log_level)
    telemetry.BUILD_INFO.labels(__version__).set(1)
    # Before the file is read, so that a save in between is noticed.
    watching = Watch(config, env_file if dev else None) if watch else None
    try:
        environ = surroundings.environment(env_file)
        loaded = load(config, environ=environ, dev=dev, tests=False)
        shadowing = shadow_file(shadow, env_file, environ)
    except ConfigError as error:
        check.report(error)
        return 1
    log_warnings(loaded.warnings)
    surroundings.log_doubts(env_file)
    read = partial(read_again, config, env_file, environ, dev=dev)
    try:
        return server.run(
            _serve(
                loaded,
                config.parent,
                read,
                watching,
                environ,
                bind,
                admin_bind,
                store,
                shadowing,
                migrate=migrate,
                dev=dev,
            )
        )
    finally:
        telemetry.flush_log()


def occupy_standard_descriptors() -> None:
    """Open closed standard streams: otherwise the next socket or file would get their number, and the log's lines."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            # It gets the lowest free number.
            os.open(os.devnull, os.O_RDWR)


def read_again(config: Path, env_file: Path | None, environ: Mapping[str, str], *, dev: bool) -> Config:
    """The file as it is now, with the variables of the start; ``gateway dev`` reads .env again, too."""
    try:
        return load(config, environ=surroundings.environment(env_file) if dev else environ, dev=dev, tests=False)
    except surroundings.EnvFileUnreadable as error:
        raise ConfigError([Problem(Place(str(env_file)), str(error), "make it readable")]) from None


def shadow_file(path: Path | None, env_file: Path | None, environ: Mapping[str, str]) -> ShadowFile | None:
    """The file of ``--shadow``; None: there is none. Raises ConfigError."""
    if path is None:
        return None
    read = partial(read_again, path, env_file, environ, dev=False)
    return ShadowFile(name=path.name, config=read(), read=read)


def admin_options(environ: Mapping[str, str], admin_bind: str) -> AdminOptions:
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


def loopback_or_token(options: AdminOptions, host: str) -> None:
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
    shadow: ShadowFile | None,
    *,
    migrate: bool,
    dev: bool,
) -> int:
    options = admin_options(environ, admin_bind)
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
    parts = assembled(config, store, folder, read, crash_slot=crash_slot, inbox=inbox, shadow=shadow, environ=environ)
    context = parts.context(options)
    desk = Desk(context)

    async def announce() -> None:
        say_ready(parts.gateway)
        if dev:
            # Somebody is going to look at it.
            hooks.begin(desk.prepare())
            telemetry.say(banner(config, parts.gateway.ingest, parts.gateway.console, store_url, folder))

    hooks = Lifecycle(parts=parts, watching=watching, say_ready=announce, scrape=context.scrape, dev=dev)
    hooks.listen_for_changes()
    senders = Senders(lambda: parts.gateway.config.peers)
    try:
        await parts.dispatcher.recall()
        return await server.serve(
            ingest=ingest_app(parts.gateway, parts.dispatcher, parts.readiness, parts.rejections, senders),
            admin=desk,
            ingest_bind=bind,
            admin_bind=admin_bind,
            hooks=hooks,
            senders=senders,
            probes=PROBES,
            may_serve_admin_at=partial(loopback_or_token, options),
            refused=count_refused,
            failed=log_failed,
        )
    finally:
        await hooks.stopped()


def _crash_slot(store_url: str) -> CrashSlot:
    """Beside the store's file; for a database in the working directory, which may be that of several replicas."""
    return CrashSlot.among(Path.cwd()) if is_database(store_url) else CrashSlot(f"{file_of(store_url)}.now")


def say_ready(gateway: Gateway) -> None:
    """The line that says that the gateway accepts, and where."""
    config = gateway.config
    telemetry.say(
        f"ready {gateway.ingest} admin={gateway.console} routes={config.routes} "
        f"destinations={len(config.destinations)} store={gateway.store.name} config={config.revision}"
    )
    telemetry.log("gateway.started", ingest=gateway.ingest, admin=gateway.console, config=config.revision)


def count_refused(listener: str, reason: str, _client: str) -> None:
    if listener != "ingest" or reason == "evicted":
        return
    outcome = ("unavailable", "overload") if reason in server.ADVICE else ("rejected", reason)
    telemetry.EVENTS_RECEIVED.inc(UNKNOWN, *outcome)


def log_failed(error: Exception) -> None:
    telemetry.log("internal.error", exc_info=error)
