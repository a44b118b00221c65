"""CloudEvents in both modes: what the specification requires, and what a reader of its own makes of it."""

import base64
import gzip
import json
import re
import zlib
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from gateway.destinations import KINDS, Target
from gateway.errors import BuildError
from gateway.model import HttpRequest, Json, Raw, Text
from tests.destinations.values import event, parts

URL = "https://broker.example/default"
ATTRIBUTES = {
    "specversion": "1.0",
    "id": "evt_1",
    "source": "xobito",
    "type": "contact.created",
    "time": "2026-01-01T00:00:00.250Z",
}


def request(mode: str = "", content=None, received=None, **options: str) -> HttpRequest:
    target = Target(url=URL, options={**({"mode": mode} if mode else {}), **options})
    made = KINDS["cloudevents"].build(target, parts(content=content, **({"event": received} if received else {})))
    assert isinstance(made, HttpRequest)
    return made


def read(made: HttpRequest) -> tuple[dict[str, str], object]:
    """The attributes and the data of a request, as the HTTP binding (3.1, 3.2) tells a receiver to read it."""
    headers = dict(made.headers)
    if headers["content-type"].startswith("application/cloudevents+json"):
        whole = json.loads(made.body)
        data = base64.b64decode(whole.pop("data_base64")) if "data_base64" in whole else whole.pop("data", None)
        whole.pop("datacontenttype", None)
        return whole, data
    named = {name.removeprefix("ce-"): unquote(value) for name, value in headers.items() if name.startswith("ce-")}
    return named, json.loads(made.body) if headers["content-type"] == "application/json" else made.body


@pytest.mark.parametrize("mode", ["", "binary", "structured"])
def test_the_bytes_received_are_the_data_of_an_event_with_its_own_attributes(mode: str) -> None:
    assert read(request(mode)) == (ATTRIBUTES, {"a": 1.0, "b": "é"})


def test_in_binary_mode_the_data_are_the_very_bytes() -> None:
    assert request().body == event().body
    assert dict(request().headers)["content-type"] == "application/json"


def test_what_is_no_json_is_base64_in_the_structured_mode() -> None:
    made = request("structured", Raw(b"\xff\x00", "image/png"))
    assert json.loads(made.body)["datacontenttype"] == "image/png"
    assert read(made)[1] == b"\xff\x00"
    lying = replace(event(b"{"), headers={"content-type": "application/json"})
    assert read(request("structured", received=lying))[1] == b"{"


COMPRESSED = pytest.mark.parametrize(
    ("coding", "compress"), [("gzip", gzip.compress), ("deflate", zlib.compress)], ids=["gzip", "deflate"]
)


@COMPRESSED
def test_a_compressed_body_is_the_data_that_its_sender_compressed(coding: str, compress) -> None:
    received = event(compress(b'{"a": 1}'), **{"content-encoding": coding})
    made = request("structured", received=received)
    assert json.loads(made.body)["data"] == {"a": 1}
    assert "content-encoding" not in dict(made.headers)
    binary = request("binary", received=received)
    assert (binary.body, dict(binary.headers)["content-encoding"]) == (received.body, coding)


@COMPRESSED
@given(body=st.binary(min_size=1, max_size=500))
def test_any_bytes_that_were_compressed_are_read_as_they_were(coding: str, compress, body: bytes) -> None:
    received = event(compress(body), **{"content-encoding": coding, "content-type": "image/png"})
    assert read(request("structured", received=received))[1] == body


def test_a_broken_compressed_body_is_not_sent_as_data() -> None:
    broken = event(gzip.compress(b"{}")[:-9], **{"content-encoding": "gzip"})
    with pytest.raises(BuildError, match="the body received cannot be decompressed: the body is not valid gzip"):
        request("structured", received=broken)


def test_what_an_entry_says_is_never_decompressed() -> None:
    archive = gzip.compress(b"{}")
    assert read(request("structured", Raw(archive, "application/gzip")))[1] == archive


@pytest.mark.parametrize("content", [Text("hi"), Json({"text": "hi"})])
@pytest.mark.parametrize("mode", ["binary", "structured"])
def test_what_an_entry_says_is_the_data(mode: str, content) -> None:
    assert read(request(mode, content))[1] == {"text": "hi"}


def test_a_body_that_is_empty_has_no_data() -> None:
    assert read(request("structured", Raw(b"", "")))[1] is None


@pytest.mark.parametrize("mode", ["binary", "structured"])
def test_the_options_are_attributes(mode: str) -> None:
    found, _ = read(request(mode, source="/crm/leads", event_type="com.example.lead", subject="451"))
    assert (found["source"], found["type"], found["subject"]) == ("/crm/leads", "com.example.lead", "451")


@given(st.text(min_size=1))
def test_any_type_and_subject_is_a_header_that_reads_back(text: str) -> None:
    text = text.encode("utf-8", "replace").decode()
    made = request("binary", subject=text, received=replace(event(), type=text))
    values = [value for name, value in made.headers if name.startswith("ce-")]
    assert all(re.fullmatch(r"[\x21-\x7e]+", value) for value in values)
    assert read(made)[0]["subject"] == read(made)[0]["type"] == text
