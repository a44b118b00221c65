"""The file kind: one JSON line for each delivery."""

import gzip

import msgspec
import pytest

from gateway.destinations import KINDS, Target
from gateway.errors import BuildError
from gateway.model import Delivered, FileAppend, Json, Raw, Reply, Text
from tests.destinations.values import event, parts

FILE = KINDS["file"]


def line(**values) -> bytes:
    append = FILE.build(Target(path="events.ndjson"), parts(**values))
    assert isinstance(append, FileAppend)
    assert append.path == "events.ndjson"
    return append.line


def test_a_line_tells_what_came_from_whom_and_when() -> None:
    assert msgspec.json.decode(line(content=Text("hi"))) == {
        "id": "evt_1",
        "type": "contact.created",
        "source": "xobito",
        "received_at": "2026-01-01T00:00:00.250Z",
        "body": "hi",
    }


@pytest.mark.parametrize(
    ("content", "body"),
    [
        pytest.param(Json({"a": [1]}), {"a": [1]}, id="json"),
        pytest.param(Text("two\nlines"), "two\nlines", id="text"),
        pytest.param(Raw(b"raw", "text/plain"), "raw", id="raw"),
        pytest.param(Raw(b"\xff", "image/x"), {"base64": "/w=="}, id="raw bytes"),
    ],
)
def test_the_body_is_what_was_rendered(content, body) -> None:
    assert msgspec.json.decode(line(content=content))["body"] == body


@pytest.mark.parametrize(
    ("received", "body"),
    [
        pytest.param(
            b'{"a": 1.0,\n "b": 123456789012345678901234567890}',
            b'{"a":1.0,"b":123456789012345678901234567890}',
            id="json, digit for digit",
        ),
        pytest.param(b"plain\ntext", b'"plain\\ntext"', id="text"),
        pytest.param(b"", b'""', id="nothing"),
        pytest.param(b"\xff\x00", b'{"base64":"/wA="}', id="bytes"),
        pytest.param(b"[" * 5000, b'"' + b"[" * 5000 + b'"', id="too deep to parse"),
        pytest.param(b"[1e999]", b'"[1e999]"', id="a number that is none"),
        pytest.param(gzip.compress(b'{"a": 1}'), b'{"a":1}', id="compressed json"),
    ],
)
def test_received_bytes_are_kept_as_json_text_or_base64(received: bytes, body: bytes) -> None:
    written = line(event=event(received))
    assert written.endswith(b'"body":' + body + b"}")
    assert b"\n" not in written


def test_a_broken_compressed_body_is_a_build_error() -> None:
    with pytest.raises(BuildError, match="cannot be decompressed"):
        line(event=event(gzip.compress(b"{}")[:-9]))


def test_half_a_character_is_a_build_error() -> None:
    with pytest.raises(BuildError):
        line(content=Text("\ud800"))


def test_a_line_on_the_disk_is_delivered() -> None:
    assert FILE.judge(Target(path="x"), Reply(status=200), 0.0) == Delivered()
