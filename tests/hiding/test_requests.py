"""What of a request may be a secret of its destination is neither shown nor comes back with an answer."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.hiding.requests import masked_answer, masked_headers, masked_request
from gateway.model import FileAppend, HttpRequest

REQUEST = HttpRequest(
    method="POST",
    url="https://a.example/a-segment-of-20-chars/topic1?key=value1&k=v",
    headers=(("authorization", "Bearer token1"), ("content-type", "application/json"), ("webhook-id", "dlv_123456")),
    secrets=("topic1",),
)


@pytest.mark.parametrize("secret", ["a-segment-of-20-chars", "topic1", "value1", "Bearer token1", "token1"])
def test_an_answer_does_not_bring_back_a_secret_of_its_request(secret):
    percent = "".join(f"%{ord(each):02x}" for each in secret)
    escaped = "".join(f"\\u{ord(each):04x}" for each in secret)
    for spelled in (secret, percent, json.dumps({"said": secret}), escaped):
        answer = masked_answer(f"cannot post to {spelled}!".encode(), REQUEST)
        assert b"***" in answer
        assert spelled.encode() not in answer


@pytest.mark.parametrize("word", ["application/json", "dlv_123456", "a.example"])
def test_what_is_no_secret_stays_in_an_answer(word):
    assert masked_answer(f"no {word} here".encode(), REQUEST) == f"no {word} here".encode()


@given(st.binary(max_size=200))
def test_masking_is_total(body):
    assert isinstance(masked_answer(body, REQUEST), bytes)


def test_a_request_is_shown_with_its_public_headers_only():
    masked = masked_request(REQUEST, REQUEST.url, is_path_public=False)
    assert masked.url == "https://a.example/***"
    assert dict(masked.headers) == {
        "authorization": "***",
        "content-type": "application/json",
        "webhook-id": "dlv_123456",
    }
    assert masked_headers([("X-Key", "k"), ("User-Agent", "g")]) == {"x-key": "***", "user-agent": "g"}
    line = FileAppend(path="a", line=b"b")
    assert masked_request(line, "", is_path_public=False) is line
