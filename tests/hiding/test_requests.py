"""What of a request may be a secret of its destination is neither shown nor comes back with an answer."""

from gateway.hiding.requests import masked_headers, masked_request
from gateway.model import FileAppend, HttpRequest

REQUEST = HttpRequest(
    method="POST",
    url="https://a.example/a-segment-of-20-chars/topic1?key=value1&k=v",
    headers=(("authorization", "Bearer token1"), ("content-type", "application/json"), ("webhook-id", "dlv_123456")),
)


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
