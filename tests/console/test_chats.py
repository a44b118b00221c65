"""A message looks as its chat shows it, and whatever else stands in its body is left out or named."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.console import markup
from gateway.console.chats import preview
from gateway.destinations import KINDS


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("*New* lead", "<strong>New</strong> lead"),
        ("2*3*4", "2*3*4"),
        ("snake_case_name", "snake_case_name"),
        ("*a _b_ c*", "<strong>a <em>b</em> c</strong>"),
        ("~gone~ `a*b*`", "<del>gone</del> <code>a*b*</code>"),
        (":wave: :no_such_name:", "👋 :no_such_name:"),
        ("&lt;!channel&gt; &amp;lt;", "&lt;!channel&gt; &amp;lt;"),
        ("<!channel> <@U1> <#C1|leads>", "@channel @U1 #leads"),
        ("> said\nmore", "<blockquote>said</blockquote>more"),
        ("```a *b*```", "<pre>a *b*</pre>"),
    ],
)
def test_slack_markup(written, shown):
    found = str(markup.slack(written)).replace('<span class="mention">', "").replace("</span>", "")
    assert found == shown


@pytest.mark.parametrize(
    ("dialect", "written", "shown"),
    [
        (
            markup.markdown,
            "**b** *i* ~~s~~ `c` \\*no\\*",
            "<strong>b</strong> <em>i</em> <del>s</del> <code>c</code> *no*",
        ),
        (markup.markdown, "# Head\ntext", "<strong>Head</strong>text"),
        (markup.telegram, "<b>x</b> &lt; <code>1</code>", "<strong>x</strong> &lt; <code>1</code>"),
        (markup.telegram, "<b>open <i>both", "<strong>open <em>both</em></strong>"),
        (markup.telegram, "<script>x</script><tg-emoji>y</tg-emoji>", "xy"),
    ],
)
def test_the_markup_of_other_chats(dialect, written, shown):
    assert str(dialect(written)) == shown


@pytest.mark.parametrize(
    "text",
    ["<javascript:alert(1)|x>", "<data:text/html,1|x>", "[x](javascript:alert(1))", '<a href="javascript:1">x</a>'],
)
def test_only_an_address_of_the_web_becomes_a_link(text):
    for dialect in (markup.slack, markup.markdown, markup.telegram):
        assert "<a" not in str(dialect(text))


def test_a_link_shows_where_it_leads():
    assert 'href="https://example.com/a"' in markup.slack("<https://example.com/a|see>")
    assert 'title="https://example.com/a"' in markup.slack("<https://example.com/a|see>")


SLACK = {
    "text": "not shown beside blocks",
    "blocks": [
        {"type": "header", "text": {"type": "plain_text", "text": "New *customer*"}},
        {"type": "section", "text": {"type": "mrkdwn", "text": "*Ada*"}, "fields": [{"type": "mrkdwn", "text": "1"}]},
        {"type": "divider"},
        {"type": "context", "elements": [{"type": "mrkdwn", "text": "Contact 451"}]},
        {"type": "actions", "elements": [{"type": "button", "text": {"type": "plain_text", "text": "Open"}}]},
        {"type": "image", "image_url": "https://example.com/x.png", "alt_text": "a chart"},
        {"type": "video"},
    ],
    "attachments": [{"color": "good", "text": "x"}, {"color": '"><script>', "text": "y"}],
}


def test_the_blocks_of_slack():
    seen = preview("slack", SLACK)
    assert [part["is"] for part in seen.parts] == [
        "header", "text", "fields", "rule", "context", "buttons", "image", "other", "card", "card",
    ]  # fmt: skip
    assert seen.parts[0]["html"] == "New *customer*"
    assert [part["colour"] for part in seen.parts[-2:]] == ["2eb67d", "999999"]


@pytest.mark.parametrize(
    ("kind", "body", "parts"),
    [
        ("discord", {"content": "hi", "embeds": [{"title": "T", "color": 255}]}, ["text", "card"]),
        ("teams", {"attachments": [{"content": {"body": [{"type": "TextBlock", "text": "x"}]}}]}, ["text"]),
        ("googlechat", {"text": "*x*", "cardsV2": [{"card": {"header": {"title": "T"}}}]}, ["text", "card"]),
        ("telegram", {"chat_id": 1, "text": "<b>x</b>", "parse_mode": "HTML"}, ["text"]),
        ("", {"content": "guessed"}, ["text"]),
        ("", '{"text": "guessed"}', ["text"]),
    ],
)
def test_the_messages_of_other_chats(kind, body, parts):
    assert [part["is"] for part in preview(kind, body).parts] == parts


@pytest.mark.parametrize(
    "body", [None, 5, [], {}, "no json", {"text": 5}, {"blocks": 1}, {"attachments": [1, {"content": 2}]}]
)
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_message_is_not_shown_as_one(kind, body):
    seen = preview(kind, body)
    assert seen is None or all(part["is"] in ("card", "other") for part in seen.parts)


KEYS = [
    "text", "type", "blocks", "body", "elements", "fields", "items", "embeds", "attachments", "content", "title", "color",
    "footer", "author", "name", "value", "cardsV2", "card", "sections", "widgets", "header", "actions", "label", "message",
    "markdown", "payload", "summary", "severity", "Body", "subject", "html",
]  # fmt: skip
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(KEYS), inner),
    max_leaves=12,
)


@given(st.sampled_from([*KINDS]), JSON)
def test_any_body_is_a_message_or_none(kind, body):
    preview(kind, body)


def test_a_message_that_nests_for_ever_is_cut():
    deep: dict = {"type": "TextBlock", "text": "x"}
    for _ in range(400):
        deep = {"type": "Container", "items": [deep]}
    assert preview("teams", {"attachments": [{"content": {"body": [deep]}}]}) is None
    assert preview("slack", json.dumps({"text": "x" * 1_000_000})).parts[0]["html"].endswith("more characters)")
