"""The two Litestar applications: the door for senders, and the listener for operators. No decisions live here."""

import hmac
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final, cast

import msgspec
from litestar import Litestar, Request, Response, asgi, get, post
from litestar.connection import ASGIConnection
from litestar.exceptions import (
    HTTPException,
    NotAuthorizedException,
    NotFoundException,
    PermissionDeniedException,
    ValidationException,
)
from litestar.handlers.base import BaseRouteHandler
from litestar.params import FromPath, Parameter
from litestar.response import Redirect
from litestar.types import ASGIApp, HTTPScope, Receive, Scope, Send

from gateway import console, handshakes, pipeline, signatures, telemetry, views
from gateway.config import Config, Source
from gateway.egress import Inbox
from gateway.errors import (
    BodyTooLarge,
    ConfigError,
    EncodingRefused,
    GatewayError,
    RequestRefused,
    StoreUnavailable,
)
from gateway.facts import iso_time, masked_path
from gateway.model import Appended, DeliveryState, Secret
from gateway.reload import Reloader

#: Bodies held at one time; beyond it senders are told to come back. Bytes.
BYTES_IN_FLIGHT: Final = 32 * 1024 * 1024
#: What a sender is told to wait when nothing can be kept, seconds.
RETRY_AFTER_S: Final = 5
#: How long an event that could not be kept speaks against this process. Then senders may try it again, seconds.
REFUSED_COUNTS_S: Final = 10.0
UNKNOWN: Final = "unknown"

#: Status, JSON body or exact bytes, header fields beside the usual ones.
Answer = tuple[int, Mapping[str, object] | bytes, Sequence[tuple[bytes, bytes]]]

_encode = msgspec.json.Encoder().encode


# --- the door ---


def ingest_app(gateway: pipeline.Gateway, dispatcher: pipeline.Dispatcher, readiness: "Readiness") -> ASGIApp:
    """The application on the ingest listener: the paths of the sources and nothing else."""
    door = Door(gateway, dispatcher, readiness)
    mount = asgi("/", is_mount=True, copy_scope=False)(door)
    return Litestar(route_handlers=[mount], openapi_config=None, logging_config=None)


class SenderGone(Exception):
    """The sender hung up before its body had arrived: there is nobody to answer."""


class MethodRefused(RequestRefused):
    """A source takes POST."""

    status, answer, reason = 405, "method not allowed: POST", "method"


class OverBudget(GatewayError):
    """Too many bytes are in flight; the sender is told to come back."""


class Door:
    """One request in, one answer out: counts what arrives, and gives every refusal its status."""

    def __init__(self, gateway: pipeline.Gateway, dispatcher: pipeline.Dispatcher, readiness: "Readiness") -> None:
        self._gateway = gateway
        self._dispatcher = dispatcher
        self._readiness = readiness
        self._bytes_in_flight = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        began = time.perf_counter()
        try:
            status, answer, extra = await self._answer(cast("HTTPScope", scope), receive)
        except SenderGone:
            return
        body = answer if isinstance(answer, bytes) else _encode(answer)
        headers = [(b"content-length", b"%d" % len(body)), *extra]
        if not isinstance(answer, bytes):
            headers.append((b"content-type", b"application/json"))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body, "more_body": False})
        telemetry.INGEST_SECONDS.observe(time.perf_counter() - began)

    async def _answer(self, scope: HTTPScope, receive: Receive) -> Answer:
        # The mount rewrites scope["path"]; raw_path is what was asked for.
        path = scope["raw_path"].decode("latin-1")
        config = self._gateway.config
        name = UNKNOWN
        try:
            source, path_secret = pipeline.source_at(config, path)
            name = source.name
            if scope["method"] == source.probe:
                return 200, b"", []
            _refuse_by_head(scope, source)
            appended = await self._accept(scope, receive, config, source, path_secret)
        except RequestRefused as refusal:
            return _refused(name, path, refusal)
        except StoreUnavailable as error:
            self._readiness.refused_at = time.monotonic()
            return _unavailable(name, str(error))
        except OverBudget as error:
            return _unavailable(name, str(error))
        except SenderGone:
            raise
        except Exception as error:  # noqa: BLE001  a defect of ours must cost the sender a retry and not its event
            telemetry.log("internal.error", source=name, exc_info=True)
            return _unavailable(name, type(error).__name__)
        if isinstance(appended, handshakes.Answer):
            extra = [(b"content-type", appended.content_type.encode()), (b"x-content-type-options", b"nosniff")]
            return 200, appended.body, extra
        self._readiness.refused_at = None
        for one in appended:
            telemetry.EVENTS_RECEIVED.labels(name, "duplicate" if one.duplicate else "accepted", "").inc()
        return source.reply, _taken(appended), []

    async def _accept(
        self, scope: HTTPScope, receive: Receive, config: Config, source: Source, path_secret: bytes
    ) -> Sequence[Appended] | handshakes.Answer:
        body = bytearray()
        try:
            await self._read_into(body, receive, source.max_body)
            request = signatures.Request(
                method=scope["method"],
                query=scope["query_string"],
                headers=cast("signatures.RawHeaders", scope["headers"]),
                body=bytes(body),
                path_secret=path_secret,
            )
            if request.method == "GET":
                return pipeline.answer_get(self._gateway, source, request)
            return await pipeline.receive(self._gateway, self._dispatcher, config, source, request)
        finally:
            self._bytes_in_flight -= len(body)

    async def _read_into(self, body: bytearray, receive: Receive, max_body: int) -> None:
        more = True
        while more:
            message = await receive()
            if message["type"] != "http.request":
                raise SenderGone
            body += message["body"]
            self._bytes_in_flight += len(message["body"])
            if len(body) > max_body:
                raise BodyTooLarge(f"over {max_body} bytes")
            if self._bytes_in_flight > BYTES_IN_FLIGHT:
                raise OverBudget("too many bytes in flight")
            more = message["more_body"]


def _taken(appended: Sequence[Appended]) -> Mapping[str, object]:
    first = {"id": appended[0].event_id}
    ids = {"ids": [one.event_id for one in appended]} if len(appended) > 1 else {}
    return {**first, **ids, "duplicate": all(one.duplicate for one in appended)}


def _refuse_by_head(scope: HTTPScope, source: Source) -> None:
    """What can be refused before a byte of the body is read."""
    max_body = source.max_body
    if scope["method"] != "POST" and not (scope["method"] == "GET" and source.takes_get):
        raise MethodRefused(str(scope["method"]))
    for name, value in scope["headers"]:
        if name == b"content-encoding" and value.strip().lower() not in (b"", b"identity"):
            raise EncodingRefused("a content encoding")
        if name == b"content-length" and int(value) > max_body:
            raise BodyTooLarge(f"over {max_body} bytes")


def _refused(source: str, path: str, refusal: RequestRefused) -> Answer:
    telemetry.EVENTS_RECEIVED.labels(source, "rejected", refusal.reason).inc()
    telemetry.log("event.rejected", source=source, path=masked_path(path), status=refusal.status, reason=str(refusal))
    extra = [(b"allow", b"POST")] if refusal.status == 405 else []
    return refusal.status, {"error": refusal.answer}, extra


def _unavailable(source: str, reason: str) -> Answer:
    telemetry.EVENTS_RECEIVED.labels(source, "unavailable", "").inc()
    telemetry.log("event.not_stored", source=source, reason=reason)
    return 503, {"error": "it could not be stored; send it again"}, [(b"retry-after", b"%d" % RETRY_AFTER_S)]


# --- the operators' listener ---


@dataclass(slots=True, kw_only=True)
class Readiness:
    """Whether a load balancer should send events here, and why not."""

    draining: bool = False
    #: When an event could not be kept, on the monotonic clock; None once one was.
    refused_at: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AdminOptions:
    """Who may talk to the admin listener."""

    #: Host names it answers to, lower case, without a port.
    hosts: Collection[str]
    token: Secret | None = None
    metrics_token: Secret | None = None


class ReplayRequest(msgspec.Struct, forbid_unknown_fields=True):
    """What to send again: ids of deliveries, or of events for all of theirs."""

    ids: list[str]


class PauseRequest(msgspec.Struct, forbid_unknown_fields=True):
    """Why and for how long; ``for_s`` left out: until somebody resumes it."""

    reason: str
    for_s: float | None = None
    by: str = "api"


class ResumeRequest(msgspec.Struct, forbid_unknown_fields=True):
    """Who lets it go on."""

    by: str = "api"


#: Of a pause that ends by itself, seconds: a year.
LONGEST_PAUSE_S: Final = 366 * 86400
#: Probes come by the pod's address and without a token.
_OPEN_PATHS: Final = frozenset({"/healthz", "/readyz"})


def admin_app(
    gateway: pipeline.Gateway,
    dispatcher: pipeline.Dispatcher,
    readiness: Readiness,
    reloader: Reloader,
    options: AdminOptions,
    inbox: Inbox | None = None,
) -> ASGIApp:
    """The application on the admin listener: health, metrics, the API, and in ``gateway dev`` the inbox."""

    @get("/healthz")
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @get("/readyz")
    async def readyz() -> Response[dict[str, str]]:
        status = _readiness(readiness, gateway, dispatcher)
        detail = {"status": status, **_config_detail(reloader)}
        return Response(detail, status_code=200 if status == "ready" else 503)

    @get("/metrics", media_type="text/plain; version=0.0.4; charset=utf-8")
    async def metrics() -> bytes:
        return telemetry.metrics()

    @get("/api/events")
    async def events(limit: int = 50, before: str = "") -> list[dict[str, Any]]:
        rows = await gateway.store.events(limit=_page(limit), before=before)
        return [views.event_row(row) for row in rows]

    @get("/api/events/{event_id:str}")
    async def event(event_id: FromPath[str]) -> dict[str, Any]:
        history = await gateway.store.event(event_id)
        if history is None:
            raise NotFoundException(f"no event or delivery {event_id}")
        return views.event_history(history)

    @get("/api/deliveries")
    async def deliveries(
        in_state: Annotated[DeliveryState, Parameter(query="state")],
        destination: str = "",
        limit: int = 50,
        before: str = "",
    ) -> list[dict[str, Any]]:
        found = await gateway.store.deliveries(
            state=in_state, destination=destination, limit=_page(limit), before=before
        )
        return [views.delivery(each) for each in found]

    @get("/api/destinations")
    async def destinations() -> list[dict[str, Any]]:
        return [_destination(each.name) for each in gateway.config.destinations.values()]

    def _destination(name: str) -> dict[str, Any]:
        kind = gateway.config.destinations[name].kind.name
        return {"name": name, "type": kind, "held": dispatcher.health(name)}

    def _known(name: str) -> None:
        if name not in gateway.config.destinations:
            known = ", ".join(gateway.config.destinations) or "none"
            raise NotFoundException(f"no destination {name[:100]} in routes.yaml (known: {known})")

    @post("/api/destinations/{name:str}/pause", status_code=200)
    async def pause(name: FromPath[str], data: PauseRequest) -> dict[str, Any]:
        _known(name)
        if data.for_s is not None and not 0 < data.for_s <= LONGEST_PAUSE_S:
            raise ValidationException(f"for_s: {data.for_s:g} is out of range: from 1 second to {LONGEST_PAUSE_S}")
        await dispatcher.pause(name, by=data.by, reason=data.reason, for_s=data.for_s)
        return _destination(name)

    @post("/api/destinations/{name:str}/resume", status_code=200)
    async def resume(name: FromPath[str], data: ResumeRequest) -> dict[str, Any]:
        _known(name)
        was_paused = await dispatcher.resume(name, by=data.by)
        return {**_destination(name), "was_paused": was_paused}

    @post("/api/replay", status_code=200)
    async def replay(data: ReplayRequest) -> dict[str, Any]:
        try:
            moved = await pipeline.replay(gateway, data.ids, by="api")
        except KeyError as error:
            raise NotFoundException(f"no event or delivery {error.args[0]}") from None
        return {"replayed": [views.delivery(each) for each in moved]}

    @post("/api/reload", status_code=200)
    async def reload() -> dict[str, str]:
        return {"changed": await reloader.reload()}

    handlers: list[Any] = [
        healthz,
        readyz,
        metrics,
        events,
        event,
        deliveries,
        destinations,
        pause,
        resume,
        replay,
        reload,
    ]
    if inbox is not None:
        handlers += _inbox_handlers(inbox)
    return Litestar(
        route_handlers=handlers,
        guards=[_guard(options)],
        openapi_config=None,
        logging_config=None,
        exception_handlers={
            HTTPException: _error_answer,
            StoreUnavailable: _store_error_answer,
            ConfigError: _config_error_answer,
        },
        response_headers=console.SECURITY_HEADERS,
    )


def _inbox_handlers(inbox: Inbox) -> list[Any]:
    def entries() -> list[dict[str, Any]]:
        return [views.inbox_entry(entry) for entry in inbox.entries()]

    @get("/inbox")
    async def page(request: Request[Any, Any, Any]) -> Response[Any]:
        if "html" not in request.headers.get("accept", ""):
            return Response(entries())
        return Response(console.inbox_page(entries()), media_type="text/html; charset=utf-8")

    @get("/inbox.json")
    async def listed() -> list[dict[str, Any]]:
        return entries()

    @get("/console.css", media_type="text/css; charset=utf-8")
    async def stylesheet() -> bytes:
        return console.stylesheet()

    @get("/")
    async def home() -> Redirect:
        return Redirect("/inbox")

    return [home, page, listed, stylesheet]


def _readiness(readiness: Readiness, gateway: pipeline.Gateway, dispatcher: pipeline.Dispatcher) -> str:
    if readiness.draining:
        return "draining"
    refused = readiness.refused_at is not None and time.monotonic() - readiness.refused_at < REFUSED_COUNTS_S
    if refused or not gateway.store.healthy or not dispatcher.recording:
        return "the store refuses: see the log"
    return "ready"


def _config_detail(reloader: Reloader) -> Mapping[str, str]:
    """What is in force still serves: a refused file is a detail, and no reason to send events elsewhere."""
    rejection = reloader.rejection
    if rejection is None:
        return {}
    problems = f"{len(rejection.problems)} problem{'' if len(rejection.problems) == 1 else 's'}"
    return {"config": f"rejected: {problems}, since {iso_time(rejection.since)}"}


def _page(limit: int) -> int:
    return min(max(limit, 1), 1000)


def _guard(options: AdminOptions) -> Any:
    """Refuse a foreign Host (DNS rebinding), a foreign Origin (a page of another site), and a wrong token."""

    def guard(connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
        path = connection.scope["path"]
        if path in _OPEN_PATHS:
            return
        host = connection.headers.get("host", "").lower()
        if _host_name(host) not in options.hosts:
            raise PermissionDeniedException(f"unknown Host {host[:100]}: add it to GATEWAY_ADMIN_HOSTS")
        origin = connection.headers.get("origin")
        if origin is not None and origin.lower().partition("://")[2] != host:
            raise PermissionDeniedException("a page of another origin may not do this")
        token = options.metrics_token if path == "/metrics" else options.token
        if token is not None and not _carries(connection, token):
            raise NotAuthorizedException("send the header Authorization: Bearer <token>")

    return guard


def _host_name(host: str) -> str:
    """``[::1]:8081`` -> ``::1``; ``localhost:8081`` -> ``localhost``."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.rpartition(":")[0] or host


def _carries(connection: ASGIConnection[Any, Any, Any, Any], token: Secret) -> bool:
    given = connection.headers.get("authorization", "").encode("latin-1", "replace")
    return hmac.compare_digest(given, f"Bearer {token.reveal()}".encode())


def _error_answer(_: Request[Any, Any, Any], error: HTTPException) -> Response[dict[str, str]]:
    details = [str(each.get("message", "")) for each in error.extra or () if isinstance(each, dict)]
    return Response({"error": ": ".join([error.detail, *details])}, status_code=error.status_code)


def _store_error_answer(_: Request[Any, Any, Any], error: StoreUnavailable) -> Response[dict[str, str]]:
    return Response({"error": str(error)}, status_code=503)


def _config_error_answer(_: Request[Any, Any, Any], error: ConfigError) -> Response[dict[str, Any]]:
    return Response(
        {
            "error": "the file was refused, the one before stays in force",
            "problems": [views.problem(each) for each in error.problems],
        },
        status_code=422,
    )
