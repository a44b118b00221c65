"""A value is inert in Slack; only the author's own markup is alive."""

import pytest

from gateway.destinations import slack
from gateway.destinations.escapes import no_escape
from gateway.render import TemplateText
from tests.render.given import HERE, failure


def test_a_value_is_inert_in_slack_text(text):
    assert text("*{{ attrs.bad }}*") == '*&lt;!channel&gt; "A" &amp;\\*'


def test_without_slack_a_value_is_printed_as_it_is(text):
    assert text("*{{ attrs.bad }}*", no_escape) == '*<!channel> "A"\n&\\*'


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("a\r\nb\rc\nd\u2028e\tf", "a b c d e f"),
        ("a\x00\x1b\x9f\u200e\u202eb\u2066\u061c", "ab"),
        ("\ud800", "\ufffd"),
        ("👩‍👩‍👧 é", "👩‍👩‍👧 é"),
    ],
)
def test_slack_text_has_no_line_breaks_controls_or_bidi_marks_of_a_value(templates, value, shown):
    render = templates.text(TemplateText("{{ attrs.x }}.", HERE), slack.escape)
    assert render({"attrs": {"x": value}}).text == f"{shown}."


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        ("<!here> {{ attrs.bad | mrkdwn_raw }}", '<!here> <!channel> "A"\n&\\'),
        ("{{ slack_user('U024BE7LH') }}", "<@U024BE7LH>"),
        (
            "{{ slack_link('https://x.test/?a=1&copy=|>', attrs.bad) }}",
            '<https://x.test/?a=1&amp;copy=%7C%3E|&lt;!channel&gt; "A" &amp;\\>',
        ),
        ("{{ 'mailto:a@x.test' | slack_link('a|b') }}", "<mailto:a@x.test|a¦b>"),
        ("{{ slack_link('https://x.test', 'x') ~ attrs.bad[:10] }}", "<https://x.test|x>&lt;!channel&gt;"),
        ("{{ slack_link('https://x.test', 'x') + attrs.bad[:10] }}", "<https://x.test|x>&lt;!channel&gt;"),
        ("{% set a %}<b> {{ attrs.bad[:10] }}{% endset %}{{ a }}", "<b> &lt;!channel&gt;"),
        ("{% macro a(x) %}<b> {{ x }}{% endmacro %}{{ a(attrs.bad[:10]) }}", "<b> &lt;!channel&gt;"),
        ("{% set a %}{{ attrs.bad[:10] }}{% endset %}{{ a | upper }}", "&lt;!CHANNEL&gt;"),
        ("{{ attrs.group_id | join('<') }}", "1&lt;2"),
        ("{{ [attrs.bad[:10]] | tojson }}", '["&lt;!channel&gt;"]'),
    ],
)
def test_only_the_authors_own_markup_is_alive(text, source, shown):
    assert text(source) == shown


@pytest.mark.parametrize("url", ["javascript:alert(1)", "!channel", "@U1", "", "http:/x", " data:x"])
def test_a_link_goes_to_http_https_or_mailto_only(templates, url):
    render = templates.text(TemplateText("{{ slack_link(attrs.url, 'x') }}", HERE), slack.escape)
    assert "is not an http, https or mailto address" in failure(render, {"attrs": {"url": url}})
