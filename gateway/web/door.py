"""The ingest listener's application: one request in, one answer out. Decisions are made elsewhere."""

import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import Final, cast

import msgspec
from litestar import Litestar, asgi
from litestar.types import ASGIApp, HTTPScope, Receive, Scope, Send

from gateway import pipeline, signatures, telemetry
from gateway.errors import (
    EncodingRefused,
    KeysUnavailable,
    MethodRefused,
    NoRoom,
    RequestRefused,
    StoreFull,
    StoreUnavailable,
)
from gateway.event import codings
from gateway.process import Gateway
from gateway.routing import Config, Source, questions
from gateway.routing.peers import Senders
from gateway.routing.replies import Accepted
from gateway.signatures import handshakes
from gateway.store.nouns import Appended
from gateway.web.health import Readiness
from gateway.web.rejections import Rejections
from gateway.wording import count

#: Retry-After when nothing can be stored, seconds.
RETRY_AFTER_S: Final = 5
UNKNOWN: Final = "unknown"

#: Status, JSON body or exact bytes, further headers.
Answer = tuple[int, Mapping[str, object] | bytes, Sequence[tuple[bytes, bytes]]]

_encode = msgspec.json.Encoder().encode


def ingest_app(
    gateway: Gateway,
    dispatcher: pipeline.Starter,
    readiness: Readiness,
    rejections: Rejections,
    senders: Senders,
) -> ASGIApp:
    """The application of the ingest listener: it serves the paths of the sources and nothing else."""
    door = Door(gateway, dispatcher, readiness, rejections, senders)
    mount = asgi("/", is_mount=True, copy_scope=False)(door)
    return Litestar(route_handlers=[mount], openapi_config=None, logging_config=None)


class SenderGone(Exception):
    """The sender hung up, or was refused, before its whole body had arrived: there is nobody to answer."""


class Door:
    """One request in, one answer out: counts events and gives every refusal its status."""

    def __init__(
        self,
        gateway: Gateway,
        dispatcher: pipeline.Starter,
        readiness: Readiness,
        rejections: Rejections,
        senders: Senders,
    ) -> None:
        self._gateway = gateway
        self._dispatcher = dispatcher
        self._readiness = readiness
        self._rejections = rejections
        self._senders = senders

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        began = time.perf_counter()
        try:
            status, answer, extra = await self._answer(cast("HTTPScope", scope), receive)
        except SenderGone:
            return
        body = answer if isinstance(answer, bytes) else _encode(answer)
        # RFC 9110, 8.6: a 204 has none.
        headers = [*([] if status == 204 else [(b"content-length", b"%d" % len(body))]), *extra]
        if not isinstance(answer, bytes):
            headers.append((b"content-type", b"application/json"))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body, "more_body": False})
        telemetry.INGEST_SECONDS.observe(time.perf_counter() - began)

    async def _answer(self, scope: HTTPScope, receive: Receive) -> Answer:
        # The mount rewrites scope["path"]; raw_path is the path as requested.
        path = scope["raw_path"].decode("latin-1")
        config = self._gateway.config
        client = scope["client"][0] if scope["client"] else ""
        name = UNKNOWN
        try:
            source, path_secret = questions.source_at(config, path)
            name = source.name
            coding = _refuse_by_head(scope, source)
            accepted = await self._accept(scope, receive, config, source, path_secret, coding)
        except RequestRefused as refusal:
            self._rejections.refuse(name, path, refusal, client)
            return _refused(name, refusal)
        except KeysUnavailable as error:
            return _unavailable(name, "keys", str(error))
        except StoreFull as error:
            return _unavailable(name, "full", str(error))
        except StoreUnavailable as error:
            self._readiness.refused_at = time.monotonic()
            return _unavailable(name, "store", str(error))
        except SenderGone:
            raise
        except Exception as error:  # noqa: BLE001  a defect of ours may cost the sender a retry, but not its event
            telemetry.log("internal.error", source=name, exception=_traceback(error, config.source(name)))
            return _unavailable(name, "defect", type(error).__name__)
        if isinstance(accepted, handshakes.Answer):
            return _in_their_words(accepted)
        self._readiness.refused_at = None
        for one in accepted.appended:
            telemetry.EVENTS_RECEIVED.inc(name, "duplicate" if one.duplicate else "accepted", "")
            if one.duplicate:
                reason = f"duplicate of {one.event_id}: {_of_duplicate(one)}"
                self._rejections.repeated(name, path, source.reply, reason, client)
        if accepted.answer is not None:
            return _in_their_words(accepted.answer)
        return source.reply, _accepted(accepted.appended), []

    async def _accept(
        self, scope: HTTPScope, receive: Receive, config: Config, source: Source, path_secret: bytes, coding: str
    ) -> Accepted | handshakes.Answer:
        request = signatures.Request(
            method=scope["method"],
            query=scope["query_string"],
            headers=cast("signatures.RawHeaders", scope["headers"]),
            body=await _read(receive, source),
            path_secret=path_secret,
            coding=coding,
        )
        hold = (scope.get("extensions") or {}).get(codings.HOLD, codings.unbounded)
        found = await pipeline.receive(
            self._gateway, self._dispatcher, config, source, request, cast("Callable[[int], bool]", hold)
        )
        is_answer = isinstance(found, handshakes.Answer)
        if not is_answer and not source.verifier.is_open and (client := scope["client"]):
            self._senders.verified(client[0], scope["raw_path"])
        return found


async def _read(receive: Receive, source: Source) -> bytes:
    """The whole body; the server limits how many bytes of bodies are held at one time."""
    pieces: list[bytes] = []
    size, more = 0, True
    while more:
        message = await receive()
        if message["type"] != "http.request":
            raise SenderGone
        pieces.append(message["body"])
        size, more = size + len(message["body"]), message["more_body"]
        if size > source.max_body:
            raise source.too_large
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _traceback(error: Exception, source: Source | None) -> str:
    """An error for the log; without what it says if that could quote a redacted value."""
    if source is None or not source.redaction.paths:
        return "".join(traceback.format_exception(error))
    return "".join((*traceback.format_tb(error.__traceback__), type(error).__name__))


def _accepted(appended: Sequence[Appended]) -> Mapping[str, object]:
    first = {"id": appended[0].event_id}
    if len(appended) == 1 and not appended[0].duplicate:
        return {**first, "duplicate": False}
    ids = {"ids": [one.event_id for one in appended]} if len(appended) > 1 else {}
    answer = {**first, **ids, "duplicate": all(one.duplicate for one in appended)}
    # Somebody who presses "Redeliver" at the sender sees this there.
    return {**answer, "note": _of_duplicate(appended[0])} if len(appended) == 1 and appended[0].duplicate else answer


def _in_their_words(answer: handshakes.Answer) -> Answer:
    own = [(name.encode(), value.encode()) for name, value in answer.headers]
    safe = [(b"content-type", answer.content_type.encode()), (b"x-content-type-options", b"nosniff")]
    return answer.status, answer.body, [*own, *(safe if answer.body else [])]


def _of_duplicate(one: Appended) -> str:
    """What became of an event that was known already, and how to send those of its deliveries that died."""
    if one.replayed:
        return f"{count(one.replayed, 'dead delivery', 'dead deliveries')} replayed"
    return f"not delivered again; if some of its deliveries died, send them with: gateway replay --dead {one.event_id}"


def _refuse_by_head(scope: HTTPScope, source: Source) -> str:
    """Refuse whatever can be refused before any of the body is read; how the body is compressed."""
    encodings = []
    if scope["method"] not in source.methods and not source.takes(scope["method"]):
        raise MethodRefused(scope["method"], source.all_methods)
    for name, value in scope["headers"]:
        if name == b"content-length":
            if int(value) > source.max_body:
                raise source.too_large
        elif name == b"content-encoding":
            encodings.append(value)
    if not encodings:
        return ""
    coding = codings.declared(encodings)
    if coding is None:
        raise EncodingRefused(f"a content encoding: {b', '.join(encodings).decode('latin-1')[:40]}")
    return coding


def _refused(source: str, refusal: RequestRefused) -> Answer:
    telemetry.EVENTS_RECEIVED.inc(source, "rejected", refusal.reason)
    extra: list[tuple[bytes, bytes]] = []
    if isinstance(refusal, MethodRefused):
        extra = [(b"allow", ", ".join(refusal.allowed).encode())]
    elif isinstance(refusal, EncodingRefused):
        extra = [(b"accept-encoding", b"gzip, deflate")]
    elif isinstance(refusal, NoRoom):
        extra = [(b"retry-after", b"%d" % RETRY_AFTER_S)]
    return refusal.status, {"error": refusal.answer}, extra


def _unavailable(source: str, word: str, reason: str) -> Answer:
    telemetry.EVENTS_RECEIVED.inc(source, "unavailable", word)
    telemetry.log("event.not_stored", source=source, reason=reason)
    return 503, {"error": "the event could not be stored: send it again"}, [(b"retry-after", b"%d" % RETRY_AFTER_S)]
