"""The slack kind: messages that Slack takes, and its answers in words."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.destinations import KINDS, Target
from gateway.destinations.chat import shortened
from gateway.destinations.slack import PASSING, REFUSALS, _without_half_markup, fitted
from gateway.errors import BuildError
from gateway.model import Dead, Delivered, HttpRequest, Json, Raw, Reply, Retry, Text
from tests.destinations.values import parts

URL = "https://hooks.slack.com/services/T0/B0/s3cr3t"
SLACK = KINDS["slack"]


def message(content) -> dict:
    request = SLACK.build(Target(url=URL), parts(content=content))
    assert isinstance(request, HttpRequest)
    assert (request.method, request.url) == ("POST", URL)
    return msgspec.json.decode(request.body)


def units(text: str) -> int:
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def test_a_text_becomes_a_message_that_unfolds_no_links() -> None:
    assert message(Text(":wave: Bob")) == {"text": ":wave: Bob", "unfurl_links": False}
    assert message(Raw(b"from a file", "text/plain")) == {"text": "from a file", "unfurl_links": False}


def test_an_object_is_the_message_and_may_ask_for_links_to_unfold() -> None:
    assert message(Json({"text": "x", "unfurl_links": True})) == {"text": "x", "unfurl_links": True}
    assert message(Json({"blocks": []}))["unfurl_links"] is False


@pytest.mark.parametrize("content", [None, Json([1]), Json("text"), Json(None), Raw(b"\xff", "text/plain")])
def test_what_is_no_message_is_a_build_error(content) -> None:
    with pytest.raises(BuildError):
        message(content)


def test_what_is_nested_too_deeply_is_a_build_error() -> None:
    value: dict = {}
    for _ in range(10_000):
        value = {"blocks": [value]}
    with pytest.raises(BuildError):
        message(Json(value))


# --- Slack's limits ---


def test_a_text_is_cut_at_40_000_characters_with_an_ellipsis() -> None:
    text = message(Text("x" * 50_000))["text"]
    assert text == "x" * 39_999 + "…"
    assert message(Text("x" * 40_000))["text"] == "x" * 40_000


def plain(length: int) -> dict:
    return {"type": "plain_text", "text": "x" * length}


def marked(length: int) -> dict:
    return {"type": "mrkdwn", "text": "x" * length}


@pytest.mark.parametrize(
    ("block", "path", "limit"),
    [
        pytest.param({"type": "section", "text": marked(9_000)}, ("text", "text"), 3_000, id="section"),
        pytest.param({"type": "section", "fields": [marked(9_000)]}, ("fields", 0, "text"), 2_000, id="field"),
        pytest.param({"type": "header", "text": plain(9_000)}, ("text", "text"), 150, id="header"),
        pytest.param({"type": "context", "elements": [marked(9_000)]}, ("elements", 0, "text"), 3_000, id="context"),
        pytest.param(
            {"type": "actions", "elements": [{"type": "button", "text": plain(99)}]},
            ("elements", 0, "text", "text"),
            75,
            id="button",
        ),
        pytest.param(
            {"type": "section", "accessory": {"type": "button", "text": plain(99)}},
            ("accessory", "text", "text"),
            75,
            id="accessory",
        ),
        pytest.param({"type": "image", "alt_text": "x" * 9_000}, ("alt_text",), 2_000, id="alt text"),
        pytest.param({"type": "image", "title": plain(9_000)}, ("title", "text"), 2_000, id="image title"),
    ],
)
def test_every_text_of_a_block_is_cut_to_its_own_limit(block, path, limit: int) -> None:
    text = message(Json({"blocks": [block]}))["blocks"][0]
    for step in path:
        text = text[step]
    assert text == "x" * (limit - 1) + "…"


def test_blocks_of_an_attachment_are_cut_too() -> None:
    block = {"type": "header", "text": plain(9_000)}
    [attachment] = message(Json({"attachments": [{"blocks": [block]}]}))["attachments"]
    assert len(attachment["blocks"][0]["text"]["text"]) == 150


def test_of_too_many_blocks_the_first_are_sent_and_the_rest_is_counted() -> None:
    blocks = message(Json({"blocks": [{"type": "divider", "block_id": str(n)} for n in range(60)]}))["blocks"]
    assert len(blocks) == 50
    assert [block["block_id"] for block in blocks[:49]] == [str(n) for n in range(49)]
    assert blocks[49]["elements"][0]["text"] == "… 11 more blocks are left out"
    assert len(message(Json({"blocks": [{"type": "divider"}] * 50}))["blocks"]) == 50


@pytest.mark.parametrize(
    ("kind", "key", "most"), [("section", "fields", 10), ("context", "elements", 10), ("actions", "elements", 25)]
)
def test_too_many_members_are_cut(kind: str, key: str, most: int) -> None:
    [block] = message(Json({"blocks": [{"type": kind, key: [marked(1)] * 40}]}))["blocks"]
    assert len(block[key]) == most


def test_what_is_no_readable_text_is_never_cut() -> None:
    url = "https://example.com/" + "x" * 5_000
    block = {
        "type": "section",
        "block_id": "b" * 300,
        "accessory": {"type": "image", "image_url": url, "alt_text": "a"},
    }
    assert message(Json({"blocks": [block]}))["blocks"] == [block]


@pytest.mark.parametrize(
    ("text", "limit", "expected"),
    [
        ("abcdef", 6, "abcdef"),
        ("abcdefg", 6, "abcde…"),
        ("abc&lt;def", 6, "abc…"),
        ("abc&lt;def", 7, "abc…"),
        ("abc&lt;def", 8, "abc&lt;…"),
        ("ab&amp;amp;", 8, "ab&amp;…"),
        ("ab😀😀", 5, "ab😀…"),
        ("abc😀😀", 5, "abc…"),
        ("see <https://x.example|there> now", 20, "see …"),
        ("see <https://x> now and then", 20, "see <https://x> now…"),
    ],
)
def test_a_text_is_cut_between_characters_entities_and_links(text: str, limit: int, expected: str) -> None:
    assert shortened(text, limit, _without_half_markup) == expected


def test_a_plain_text_has_no_links_that_could_be_cut() -> None:
    block = {"type": "header", "text": {"type": "plain_text", "text": "a < b" + "x" * 200}}
    assert len(message(Json({"blocks": [block]}))["blocks"][0]["text"]["text"]) == 150


@given(st.text(st.sampled_from("&amplgt;<>|x😀é"), max_size=60), st.integers(1, 40))
def test_a_shortened_text_fits_and_ends_in_no_half_entity(text: str, limit: int) -> None:
    short = shortened(text, limit, _without_half_markup)
    assert units(short) <= limit
    if short != text:
        assert text.startswith(short[:-1])
        assert not short[:-1].endswith(("&", "&a", "&am", "&amp", "&l", "&lt", "&g", "&gt"))
        assert short[:-1].rfind("<") <= short[:-1].rfind(">")


words = st.sampled_from(["type", "text", "blocks", "fields", "elements", "section", "header", "mrkdwn", "button", "x"])
trees = st.recursive(
    st.none() | st.integers() | words | st.text(max_size=200).map(lambda text: text * 20),
    lambda tree: st.lists(tree, max_size=60) | st.dictionaries(words, tree, max_size=4),
    max_leaves=30,
)


@given(st.dictionaries(words, trees))
def test_fitting_is_total_and_does_nothing_the_second_time(value) -> None:
    once = fitted(value)
    assert fitted(once) == once
    msgspec.json.encode(once)


# --- Slack's answers ---


def judged(status: int, body: bytes, **headers: str):
    return SLACK.judge(
        Target(url=URL),
        Reply(status=status, body=body, headers={k.replace("_", "-"): v for k, v in headers.items()}),
        0.0,
    )


@pytest.mark.parametrize("body", [b"ok", b"ok\n", b"OK", b'{"ok":true}', b'{"ok": true, "ts": "1"}'])
def test_slacks_ok_is_delivered(body: bytes) -> None:
    assert judged(200, body) == Delivered()


@pytest.mark.parametrize("word", REFUSALS)
@pytest.mark.parametrize("status", [200, 400, 403, 404, 410])
def test_a_refusal_that_slack_names_is_final_and_says_what_to_do(status: int, word: str) -> None:
    verdict = judged(status, word.encode())
    assert verdict == judged(status, b'{"ok":false,"error":"%s"}' % word.encode())
    assert isinstance(verdict, Dead)
    assert verdict.reason.startswith(f"Slack answered {word}: ")
    assert len(verdict.reason) > len(word) + 40


def test_a_rate_limit_is_waited_for() -> None:
    assert judged(429, b"rate_limited", retry_after="30") == Retry("answered 429: rate_limited", after_s=30)
    assert judged(429, b"", retry_after="30").after_s == 30
    assert judged(200, b'{"ok":false,"error":"ratelimited"}', retry_after="5") == Retry(
        "answered 200: ratelimited", after_s=5
    )


def test_slacks_own_trouble_is_tried_again() -> None:
    assert judged(500, b"rollup_error") == Retry("answered 500: rollup_error (an error on its side)")
    assert isinstance(judged(503, b"no_service"), Retry)


@pytest.mark.parametrize("word", sorted(PASSING))
def test_what_slack_names_and_passes_is_tried_again(word: str) -> None:
    assert judged(200, b'{"ok":false,"error":"%s"}' % word.encode()) == Retry(f"answered 200: {word}")


@pytest.mark.parametrize("body", [b"", b"<html>maintenance</html>", b'{"ok":false}', b"[1]", b"\xff"])
def test_a_200_without_ok_is_not_believed(body: bytes) -> None:
    verdict = judged(200, body)
    assert isinstance(verdict, Retry)
    assert verdict.reason.startswith("answered 200 without Slack's ok")


def test_an_unknown_refusal_is_final_with_its_words() -> None:
    verdict = judged(400, b"something_new")
    assert isinstance(verdict, Dead)
    assert verdict.reason.startswith("answered 400: something_new (")


# --- chat.postMessage ---

API = "https://slack.com/api/chat.postMessage"


def posted(content, **options) -> dict:
    request = SLACK.build(Target(url=API, options=options), parts(content=content))
    return msgspec.json.decode(request.body)


def test_the_channel_of_the_destination_stands_in_every_message_unless_it_names_its_own() -> None:
    assert posted(Text("hi"), channel="#leads")["channel"] == "#leads"
    assert posted(Json({"text": "hi", "channel": "C1"}), channel="#leads")["channel"] == "C1"
    assert posted(Json({"text": "hi", "channel": "C1"}))["channel"] == "C1"


def test_without_a_channel_nothing_can_be_posted_through_the_api() -> None:
    with pytest.raises(BuildError, match="needs a channel"):
        posted(Text("hi"))


def test_a_refused_token_says_where_it_comes_from() -> None:
    target = Target(url=API, login="auth.bearer is ${SLACK_TOKEN}, which is read at start")
    verdict = SLACK.judge(target, Reply(status=200, body=b'{"ok":false,"error":"invalid_auth"}'), 0.0)
    assert isinstance(verdict, Dead)
    assert verdict.reason.endswith("auth.bearer; auth.bearer is ${SLACK_TOKEN}, which is read at start")


@pytest.mark.parametrize(
    ("status", "body", "stands_for"),
    [
        (200, b'{"ok":false,"error":"token_revoked"}', 401),
        (200, b'{"ok":false,"error":"ratelimited"}', 429),
        (200, b'{"ok":false,"error":"channel_not_found"}', 200),
        (200, b'{"ok":true}', 200),
        (403, b"invalid_token", 403),
        (500, b'{"ok":false,"error":"invalid_auth"}', 500),
    ],
)
def test_an_error_inside_a_200_stands_for_the_status_that_others_would_answer(status, body, stands_for) -> None:
    assert SLACK.status_of(Reply(status=status, body=body)) == stands_for
