"""Answers that the protocol gives by itself, before any app sees the request or after one has failed."""

import json
from http import HTTPStatus

from msgspec import Struct


class Refusal(Struct, frozen=True):
    """One such answer; ``reason`` labels its counter."""

    status: HTTPStatus
    reason: str
    error: str

    def render(self, default_headers: list[tuple[bytes, bytes]]) -> bytes:
        body = json.dumps({"error": self.error}, separators=(",", ":")).encode()
        head = [
            f"HTTP/1.1 {self.status.value} {self.status.phrase}".encode(),
            *(name + b": " + value for name, value in default_headers),
            b"content-type: application/json",
            b"content-length: %d" % len(body),
            b"connection: close",
        ]
        if self.status == HTTPStatus.SERVICE_UNAVAILABLE:
            head.append(b"retry-after: 1")
        return b"\r\n".join([*head, b"", body])


MALFORMED = Refusal(HTTPStatus.BAD_REQUEST, "malformed", "malformed HTTP request")
VERSION = Refusal(HTTPStatus.BAD_REQUEST, "version", "HTTP/1.1 or HTTP/1.0 is required")
HOST = Refusal(HTTPStatus.BAD_REQUEST, "host", "exactly one Host header is required")
ENCODING = Refusal(HTTPStatus.BAD_REQUEST, "transfer_encoding", "the only transfer encoding is chunked, in HTTP/1.1")
FRAMING = Refusal(HTTPStatus.BAD_REQUEST, "framing", "too many bytes between the chunks of the body")
PIPELINED = Refusal(HTTPStatus.BAD_REQUEST, "pipelined", "too many requests sent before their answers")
URI = Refusal(HTTPStatus.REQUEST_URI_TOO_LONG, "uri_too_long", "request line too long")
HEADERS = Refusal(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "headers_too_large", "headers too large")
HEADER_DEADLINE = Refusal(HTTPStatus.REQUEST_TIMEOUT, "header_deadline", "the headers took too long")
BODY_DEADLINE = Refusal(HTTPStatus.REQUEST_TIMEOUT, "body_deadline", "the body took too long")
OVERLOADED = Refusal(HTTPStatus.SERVICE_UNAVAILABLE, "overloaded", "too many connections")
CONNECTION_SHARE = Refusal(HTTPStatus.SERVICE_UNAVAILABLE, "connection_share", "too many connections from your address")
BODY_BUDGET = Refusal(HTTPStatus.SERVICE_UNAVAILABLE, "body_budget", "too many bodies at once")
BODY_SHARE = Refusal(HTTPStatus.SERVICE_UNAVAILABLE, "body_share", "too many bodies at once from your address")
BODY_SLOW = Refusal(HTTPStatus.SERVICE_UNAVAILABLE, "body_slow", "a slow body had to make room for others")


class Refused(Exception):
    """Carries a refusal out of the parser's callbacks; never leaves the protocol."""

    def __init__(self, refusal: Refusal) -> None:
        self.refusal = refusal
