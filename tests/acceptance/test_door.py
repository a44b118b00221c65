"""What the door answers to whatever comes: the statuses are fixed, nothing refused is stored, nothing is a 500."""

import json
import socket

import pytest

from tests.acceptance.harness import SAMPLES, GatewayProcess, signature

ROUTES = """
version: 1
sources:
  xobito: {preset: xobito, secret: [acceptance-secret, older-secret]}
  other: {preset: xobito, secret: other-secret, path: /hooks/other, max_body: 1KiB}
"""

BODY = SAMPLES["contact.created"]
GOOD = signature(BODY)


@pytest.fixture(scope="module", params=["1", "2"], ids=["one process", "two workers"])
def gateway(request, tmp_path_factory):
    options = ("--workers", request.param)
    with GatewayProcess(tmp_path_factory.mktemp("door"), ROUTES, options=options) as gateway:
        yield gateway


def raw(gateway, data: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=20) as connection:
        connection.sendall(data)
        answer = b""
        while chunk := connection.recv(65536):
            answer += chunk
    return answer


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"x-webhook-signature": ""},
        {"x-webhook-signature": "0" * 64},
        {"x-webhook-signature": GOOD.upper()},
        {"x-webhook-signature": "sha256=" + GOOD},
        {"x-webhook-signature": "é" * 64},
        {"x-webhook-signature": signature(BODY, "other-secret")},
    ],
    ids=["missing", "empty", "wrong", "upper-case", "prefixed", "not ascii", "another secret"],
)
def test_a_request_that_is_not_authentic_is_401_without_detail(gateway, headers):
    status, answer = gateway.post(BODY, headers=headers)
    assert (status, answer) == (401, {"error": "signature missing or wrong"})


def test_two_signature_headers_are_401(gateway):
    head = f"POST /in/xobito HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {len(BODY)}\r\n"
    doubled = f"x-webhook-signature: {GOOD}\r\n" * 2
    assert raw(gateway, (head + doubled + "\r\n").encode() + BODY).startswith(b"HTTP/1.1 401")


@pytest.mark.parametrize(
    "body",
    [
        b" ",
        b"[" * 100_000,
        b'{"a": NaN}',
        b'{"a": "\\ud800"}',
        b'{"a": "\xff"}',
        '{"a": 1}'.encode("utf-16"),
        b"not json",
        b'{"a":' * 129 + b"1" + b"}" * 129,
    ],
    ids=["empty", "100,000 deep", "NaN", "lone surrogate", "invalid utf-8", "utf-16", "text", "129 deep"],
)
def test_signed_but_not_parsable_is_400(gateway, body):
    status, answer = gateway.post(body)
    assert (status, list(answer)) == (400, ["error"])
    assert answer["error"].startswith("the body ")


def test_a_body_over_the_cap_is_413_by_its_length_and_while_it_is_read(gateway):
    assert gateway.post(b"x" * 1025, path="/hooks/other")[0] == 413
    assert gateway.post(b"x" * (1024 * 1024 + 1))[0] == 413
    chunked = b"POST /hooks/other HTTP/1.1\r\nhost: x\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n"
    assert raw(gateway, chunked + b"800\r\n" + b"x" * 0x800 + b"\r\n0\r\n\r\n").startswith(b"HTTP/1.1 413")


@pytest.mark.parametrize("encoding", ["br", "gzip, deflate", "zstd", "\xff"])
def test_a_content_encoding_is_415(gateway, encoding):
    headers = {"x-webhook-signature": GOOD, "content-encoding": encoding}
    assert gateway.post(BODY, headers=headers)[0] == 415


@pytest.mark.parametrize("path", ["/in/nobody", "/", "/in/", "/in/xobito/secret", "/in/other", "/admin"])
def test_an_unknown_path_is_404(gateway, path):
    assert gateway.post(BODY, path=path) == (404, {"error": "unknown source"})


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_another_method_is_405(gateway, method):
    assert gateway.request(method, "/in/xobito")[0] == 405


def test_either_secret_of_a_rotation_is_accepted_at_the_sources_own_path(gateway):
    body = json.dumps({"event": "x.y", "n": 1}).encode()
    older = {"x-webhook-signature": signature(body, "older-secret")}
    assert gateway.post(body, headers=older)[0] == 202
    other = {"x-webhook-signature": signature(body, "other-secret")}
    status, answer = gateway.post(body, path="/hooks/other", headers=other)
    # The same bytes from another source are another event.
    assert (status, answer["duplicate"]) == (202, False)


def test_refused_requests_are_counted_logged_and_not_stored(gateway):
    _, before = gateway.api("/api/events?limit=1000")
    gateway.post(BODY, headers={"x-webhook-signature": "nope"})
    _, metrics = gateway.api("/metrics")
    assert 'gateway_events_received_total{outcome="rejected",reason="signature",source="xobito"}' in metrics
    assert gateway.api("/api/events?limit=1000")[1] == before
    assert gateway.process.poll() is None
    assert "internal.error" not in gateway.log_text()
    assert GOOD not in gateway.log_text()
