"""The http kind: how destination and entry become one request, and what an answer means."""

import re
import string
from email.utils import formatdate

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import __version__
from gateway.destinations import KINDS, Target
from gateway.destinations.answers import retry_after
from gateway.errors import BuildError
from gateway.model import Dead, Delivered, HttpRequest, Json, Raw, Reply, Retry, Text
from tests.destinations.values import event, parts

URL = "https://crm.example.com/api/v1"
NOW = 1_767_225_600.0
HTTP = KINDS["http"]


def built(target: Target | None = None, **values) -> HttpRequest:
    request = HTTP.build(target or Target(url=URL), parts(**values))
    assert isinstance(request, HttpRequest)
    return request


# --- the address ---


@pytest.mark.parametrize(
    ("url", "path", "expected"),
    [
        (URL, "", URL),
        (URL, "/contacts/451", f"{URL}/contacts/451"),
        (URL, "contacts/451", f"{URL}/contacts/451"),
        (f"{URL}/", "/contacts", f"{URL}/contacts"),
        (f"{URL}/", "", f"{URL}/"),
        (f"{URL}?key=1", "/contacts", f"{URL}/contacts?key=1"),
        (f"{URL}#", "/contacts", f"{URL}/contacts"),
        ("https://crm.example.com", "/a", "https://crm.example.com/a"),
        (URL, "/a%2Fb", f"{URL}/a%2Fb"),
    ],
)
def test_the_path_is_appended_with_one_slash_before_the_query(url: str, path: str, expected: str) -> None:
    assert built(Target(url=url), path=path).url == expected


@pytest.mark.parametrize(
    ("own", "entry", "expected"),
    [
        ("", (), ""),
        ("", (("a", "1"),), "?a=1"),
        ("?a=1&b=2", (("b", "3"),), "?a=1&b=3"),
        ("?a=1&a=2", (("a", "3"), ("a", "4")), "?a=3&a=4"),
        ("?a%20b=1", (("a b", "2"),), "?a%20b=2"),
        ("?flag&&x=%2B", (("y", "%26"),), "?flag&x=%2B&y=%26"),
        ("", (("é&=", "1"),), "?%C3%A9%26%3D=1"),
    ],
)
def test_queries_merge_by_name_and_the_entry_wins(own: str, entry, expected: str) -> None:
    assert built(Target(url=URL + own), query=entry).url == URL + expected


# --- method and headers ---


@pytest.mark.parametrize(
    ("destination", "entry", "method"), [(None, None, "POST"), ("PUT", None, "PUT"), ("PUT", "PATCH", "PATCH")]
)
def test_the_entrys_method_wins_over_the_destinations(destination, entry, method: str) -> None:
    assert built(Target(url=URL, method=destination), method=entry).method == method


def test_headers_merge_by_name_and_the_entry_wins_over_the_destination() -> None:
    target = Target(url=URL, headers=(("X-Team", "ops"), ("X-Kind", "a")), auth=("Authorization", "Bearer right"))
    headers = built(target, headers=(("x-kind", "b"),), content=Text("x")).headers
    assert dict(headers) == {
        "content-type": "application/json",
        "x-team": "ops",
        "x-kind": "b",
        "authorization": "Bearer right",
        "webhook-id": "dlv_1",
        "user-agent": f"gateway/{__version__}",
        "accept-encoding": "identity",
    }
    assert len(headers) == len(dict(headers))


@pytest.mark.parametrize(
    "name", ["Host", "Content-Length", "Transfer-Encoding", "Connection", "Expect", "TE", "Upgrade"]
)
def test_what_belongs_to_the_connection_does_not_travel_with_the_senders_bytes(name: str) -> None:
    assert name.lower() not in dict(built(verbatim_headers=((name, "1"),)).headers)


@pytest.mark.parametrize("name", ["authorization", "webhook-id", "user-agent", "accept-encoding"])
def test_a_senders_header_replaces_neither_auth_nor_our_own(name: str) -> None:
    target = Target(url=URL, auth=("Authorization", "Bearer right"))
    assert dict(built(target, verbatim_headers=((name, "theirs"),)).headers)[name] != "theirs"


def test_the_headers_of_a_destination_are_made_once_and_cannot_be_changed() -> None:
    target = Target(url=URL, headers=(("X-Team", "ops"),), auth=("X-Key", "hush"))
    assert target.fixed_headers == {
        "x-team": "ops",
        "x-key": "hush",
        "user-agent": f"gateway/{__version__}",
        "accept-encoding": "identity",
    }
    with pytest.raises(TypeError):
        target.fixed_headers["x-team"] = "other"
    assert "hush" not in repr(target)


# --- content ---


@pytest.mark.parametrize(
    ("content", "body", "content_type"),
    [
        (Text("héllo"), b'{"text":"h\xc3\xa9llo"}', "application/json"),
        (Json({"id": 451, "tags": []}), b'{"id":451,"tags":[]}', "application/json"),
        (Json(None), b"null", "application/json"),
        (Raw(b"hi", "text/plain; charset=utf-8"), b"hi", "text/plain; charset=utf-8"),
        (Raw(b"", "text/plain"), b"", None),
        (None, event().body, "application/json"),
    ],
    ids=["text", "json", "null", "raw", "empty", "verbatim"],
)
def test_content_becomes_a_body_with_its_type(content, body: bytes, content_type: str | None) -> None:
    request = built(content=content)
    assert request.body == body
    assert dict(request.headers).get("content-type") == content_type


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE"])
def test_the_received_bytes_do_not_travel_with_methods_that_have_no_body(method: str) -> None:
    request = built(method=method)
    assert request.body == b""
    assert "content-type" not in dict(request.headers)
    assert built(method=method, content=Json({})).body == b"{}"


def test_the_received_bytes_travel_with_what_makes_them_verifiable() -> None:
    headers = dict(built(verbatim_headers=(("X-Webhook-Signature", "sha256=1"), ("x-odd", "é"))).headers)
    assert headers["x-webhook-signature"] == "sha256=1"
    assert "x-odd" not in headers
    assert "x-webhook-signature" not in dict(
        built(content=Text("x"), verbatim_headers=(("X-Webhook-Signature", "1"),)).headers
    )


@pytest.mark.parametrize("content_type", ["", "te\nxt", "é"])
def test_bytes_of_no_sendable_type_are_an_octet_stream(content_type: str) -> None:
    request = built(event=event(**{"content-type": content_type}))
    assert dict(request.headers)["content-type"] == "application/octet-stream"


def nested(depth: int) -> object:
    value: object = 1
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    "values",
    [
        {"content": Text("\ud800")},
        {"content": Json({"a": "\udfff"})},
        {"content": Json({"\ud800": 1})},
        {"content": Json(object())},
        {"content": Json({None: 1})},
        {"content": Json(nested(100_000))},
        {"path": "/" + "x" * 100_000},
        {"query": (("a", "x" * 100_000),)},
    ],
    ids=lambda values: next(iter(values)),
)
def test_what_cannot_be_sent_is_a_build_error(values) -> None:
    with pytest.raises(BuildError):
        built(**values)


texts = st.text(st.characters(codec=None), max_size=30)  # lone surrogates too
senders = st.lists(st.tuples(texts, texts), max_size=3).map(tuple)
# What the configuration lets through and what is made of a template.
methods = st.sampled_from(["GET", "POST", "DELETE"])
names = st.text(st.sampled_from(string.ascii_letters + "-!"), min_size=1, max_size=10)
encoded = st.text(st.sampled_from(string.ascii_letters + "%/+.&=~"), max_size=30)
queries = st.lists(st.tuples(st.text(max_size=10), encoded), max_size=3).map(tuple)
fields = st.lists(st.tuples(names, st.text(st.characters(min_codepoint=32, max_codepoint=126))), max_size=3).map(tuple)
trees = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda t: st.lists(t) | st.dictionaries(texts, t),
    max_leaves=10,
)
contents = st.none() | st.builds(Text, texts) | st.builds(Json, trees) | st.builds(Raw, st.binary(), st.just("text/x"))


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
@given(methods, encoded, queries, fields, contents, st.binary(), senders)
def test_any_event_and_whatever_was_rendered_become_a_request_or_a_build_error(
    kind, method, path, query, headers, content, body, verbatim
) -> None:
    values = {"method": method, "path": path, "query": query, "headers": headers, "content": content}
    try:
        request = kind.build(Target(url=URL, path="x"), parts(**values, event=event(body), verbatim_headers=verbatim))
    except BuildError:
        return
    if isinstance(request, HttpRequest):
        assert request.url.startswith(URL if kind is HTTP else "https://")
        for name, value in request.headers:
            assert name.isascii()
            assert value.isascii()
            assert not set("\r\n\0") & set(name + value)
    else:
        assert b"\n" not in request.line
        msgspec.json.decode(request.line)


# --- the answer ---


def judged(status: int, body: bytes = b"", **headers: str):
    return HTTP.judge(
        Target(url=URL),
        Reply(status=status, headers={k.replace("_", "-"): v for k, v in headers.items()}, body=body),
        NOW,
    )


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_every_2xx_is_delivered(status: int) -> None:
    assert judged(status) == Delivered()


@pytest.mark.parametrize("status", [408, 425, 429, 500, 501, 502, 503, 504, 599, 100, 101, 600, 0])
def test_what_may_be_better_later_is_tried_again(status: int) -> None:
    verdict = judged(status, b"busy")
    assert isinstance(verdict, Retry)
    assert re.fullmatch(rf"answered {status}: busy( \(.+\))?", verdict.reason)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 410, 413, 422, 451])
def test_what_stays_as_it_is_is_final_and_tells_the_answer(status: int) -> None:
    verdict = judged(status, b' {"error":\n "no such field"} ')
    assert isinstance(verdict, Dead)
    assert re.fullmatch(rf"answered {status}: no such field( \(.+\))?", verdict.reason)


@pytest.mark.parametrize("status", [401, 403, 404, 410, 413, 415, 422, 429, 500, 503])
def test_a_common_refusal_says_what_it_means(status: int) -> None:
    reason = judged(status).reason
    assert re.fullmatch(rf"answered {status} \([a-z][^()]{{15,}}\)", reason)


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_login_says_where_it_comes_from(status: int) -> None:
    target = Target(url=URL, login="auth.bearer is ${CRM_TOKEN}, which is read at start")
    reason = HTTP.judge(target, Reply(status=status, body=b"no"), NOW).reason
    assert reason.startswith(f"answered {status}: no (")
    assert reason.endswith("; auth.bearer is ${CRM_TOKEN}, which is read at start)")
    assert judged(status, b"no").reason.endswith("; the destination has no auth)")


@pytest.mark.parametrize("status", [301, 307, 308])
def test_a_redirect_is_final_and_says_where_to(status: int) -> None:
    verdict = judged(status, b"see https://x/?token=secret", location="https://x:8443/v2/in?token=secret#there")
    to = "https://x:8443/v2/in?token=***"
    said = f"redirects are not followed: answered {status}, to {to}; put the final address into url, then replay"
    assert verdict == Dead(said)


@pytest.mark.parametrize("status", [302, 303])
def test_a_redirect_that_often_follows_a_success_says_how_to_count_it_as_one(status: int) -> None:
    assert (
        f", or add status: {status} to success if it means accepted, then replay"
        in judged(status, location="/done").reason
    )


@pytest.mark.parametrize("status", [300, 301, 304, 308])
def test_a_redirect_to_nowhere_is_final_too(status: int) -> None:
    verdict = judged(status)
    assert verdict == Dead(
        f"redirects are not followed: answered {status}; put the final address into url, then replay"
    )


def test_an_address_that_several_things_have_is_no_redirect_and_names_the_first() -> None:
    assert judged(300, b'["/contacts/a", "/contacts/b"]') == Dead(
        "answered 300: /contacts/a (several things are there: make path name one of them, then replay)"
    )
    assert "redirects are not followed" in judged(300, b'["/a"]', location="/b").reason


def test_only_the_beginning_of_a_long_answer_is_told_and_on_one_line() -> None:
    verdict = judged(500, b"a\x00\x1b[31m\xff\n" + b"x" * 20_000)
    assert isinstance(verdict, Retry)
    assert len(verdict.reason) < 260
    assert verdict.reason.isprintable()


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("120", 120),
        (" 7 ", 7),
        ("1.5", 1.5),
        ("0", 0),
        ("9" * 5000, 86400),
        (formatdate(NOW + 90, usegmt=True), 90),
        (formatdate(NOW - 90, usegmt=True), 0),
        (formatdate(NOW + 9e6, usegmt=True), 86400),
        ("-5", 0),
        ("soon", 0),
        ("", 0),
        ("1e3", 0),
        ("٣", 0),
        ("Thu, 99 Foo 99999999 99:99:99 GMT", 0),
    ],
)
def test_retry_after_is_read_as_seconds_or_as_a_date(value: str, seconds: float) -> None:
    assert judged(503, retry_after=value) == Retry("answered 503 (an error on its side)", after_s=seconds)


def test_a_date_to_retry_after_is_compared_with_the_answers_own_clock() -> None:
    headers = {"retry_after": formatdate(NOW + 4000, usegmt=True), "date": formatdate(NOW + 3990, usegmt=True)}
    assert judged(503, **headers).after_s == 10


@given(st.text(), st.text())
def test_any_retry_after_is_0_to_24_hours(value: str, date: str) -> None:
    assert 0 <= retry_after({"retry-after": value, "date": date}, NOW) <= 86400


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
@given(
    st.integers(0, 999), st.dictionaries(st.sampled_from(["retry-after", "date", "location"]), st.text()), st.binary()
)
def test_any_answer_comes_to_a_verdict(kind, status: int, headers, body: bytes) -> None:
    verdict = kind.judge(Target(url=URL), Reply(status=status, headers=headers, body=body), NOW)
    assert isinstance(verdict, Delivered | Retry | Dead)
