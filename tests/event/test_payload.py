"""Bodies are parsed or refused, whatever a sender sends."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import Unparsable
from gateway.event.payload import parse, parse_body
from tests.event.given import json_values


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"   ",
        b"NaN",
        b'{"a": NaN}',
        b"[Infinity]",
        b"1e999",
        b'"\\ud800"',
        b'{"a": "\\ud800x"}',
        b'"\xff"',
        '{"a": 1}'.encode("utf-16"),
        b"\xef\xbb\xbf",
        b"\xef\xbb\xbf\xef\xbb\xbf{}",
        b"[" * 100_000,
        b"[" * 100_000 + b"]" * 100_000,
        b'{"a":' * 100_000,
        b"[" * 200 + b"]" * 200,
        b'{"a":' * 129 + b"1" + b"}" * 129,
        b"{} {}",
        b"{'a': 1}",
        b'{"a": 01}',
        b'"\x00"',
        b"<xml/>",
        b"a=b&c=d",
    ],
    ids=lambda body: repr(body[:12]) + f"x{len(body)}",
)
def test_what_is_not_json_is_unparsable_and_nothing_else(body):
    with pytest.raises(Unparsable):
        parse(body)


@given(st.binary(max_size=200))
def test_any_bytes_are_parsed_or_unparsable(body):
    try:
        parse(body)
    except Unparsable as refusal:
        assert refusal.status == 400


@given(json_values)
def test_what_is_json_is_parsed_as_it_is(value):
    assert parse(json.dumps(value).encode()) == value


def test_a_depth_of_128_is_accepted():
    assert parse(b"[" * 128 + b"]" * 128)


def test_a_wide_payload_is_not_a_deep_one():
    assert len(parse(b"[" + b",".join([b"[]"] * 1000) + b"]")) == 1000


# --- forms in parts ---

PARTS = (
    b'--edge\r\nContent-Disposition: form-data; name="from"\r\n\r\nAn\xc3\xa4\r\n'
    b'--edge\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n'
    b"Content-Type: text/plain\r\n\r\nhello\r\n--edge--\r\n"
)
IN_PARTS = "multipart/form-data; boundary=edge"


def test_of_a_multipart_body_fields_are_texts_and_a_file_is_told_by_its_size():
    assert parse_body(PARTS, IN_PARTS) == {
        "from": "Anä",
        "file": {"filename": "a.txt", "content_type": "text/plain", "size": 5},
    }


def test_the_json_in_a_field_called_payload_is_the_payload():
    body = b'--edge\r\nContent-Disposition: form-data; name="payload"\r\n\r\n{"a": 1}\r\n--edge--\r\n'
    assert parse_body(body, IN_PARTS) == {"a": 1}


@given(
    body=st.lists(st.sampled_from([PARTS[:60], PARTS[60:], b"\xff", b"--edge\r\n", b"--edge--", b"\r\n\r\n"])).map(
        b"".join
    )
    | st.binary(max_size=200),
    boundary=st.sampled_from(
        ["; boundary=edge", "; boundary=", "", '; boundary="', "; boundary=é", "; boundary=" + "x" * 300]
    ),
)
def test_a_multipart_body_is_read_or_refused_whatever_it_holds(body, boundary):
    try:
        parse_body(body, "multipart/form-data" + boundary)
    except Unparsable as error:
        assert "not a valid multipart form" in str(error)
