"""What a value of an event becomes for each chat: inert, on one line, and nothing is lost that people read."""

import html
import json
import re

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from gateway.cli import cli
from gateway.config import load
from gateway.destinations import KINDS, discord, googlechat, teams, telegram
from gateway.destinations.escapes import one_line
from gateway.errors import ConfigError, RenderError
from gateway.model import Delivery
from gateway.routing.cases import sample
from tests.destinations import examples

CHATS = [name for name, kind in KINDS.items() if kind.needs_text]
MARKUP = st.lists(
    st.sampled_from([*"\\*_~`|<>@#&[](){}!-+.:/ \n\u202e", "everyone", "https://a.example/x_y", "é", "1."]), max_size=12
).map("".join)


@pytest.mark.parametrize("name", CHATS)
@given(st.text() | MARKUP)
def test_a_value_stays_on_one_line_and_turns_no_reading_direction(name: str, text: str) -> None:
    escaped = KINDS[name].escape(text)
    assert one_line(escaped) == escaped, f"people read {name}: give it escape=one_line, or more"


@pytest.mark.parametrize("name", CHATS)
@pytest.mark.parametrize("text", ["Ann Doe", "+1 415 555", "ann@example.com", "Müller & Söhne"])
def test_what_is_no_markup_is_readable_as_it_was(name: str, text: str) -> None:
    readable = html.unescape(KINDS[name].escape(text)).replace("\\", "")
    assert readable == text


@given(MARKUP)
def test_discord_sees_no_markup_and_no_mention_in_a_value(text: str) -> None:
    escaped = discord.escape(text)
    outside = re.sub(r"(?a)https?://[\w./:?&=%+~#;,!$'()@\u200b-]+", "", escaped)
    bare = re.sub(r"\\[^0-9A-Za-z\s]", "", outside)
    assert not re.search(r"[\\*_~`|<>#\[\]()-]", bare)
    assert not re.search("@(everyone|here)", escaped)


def test_an_address_stays_whole_for_discord() -> None:
    assert discord.escape("see https://a.example/b_c?d=e_f, please") == "see https://a.example/b_c?d=e_f, please"


@given(MARKUP)
def test_teams_sees_no_style_link_or_function_in_a_value(text: str) -> None:
    escaped = teams.escape(text)
    assert not re.search(r"[*_\[\]]", re.sub(r"\\.", "", escaped))
    assert "{{" not in escaped
    assert not re.match(r"(?:[-+]|[0-9]+\.)\s", escaped)


@pytest.mark.parametrize("values", [["{{{"], ["{{{{"], ["{" * 99], ["{", "{DATE(1)}}"], ["{{", "", "{"]], ids=repr)
def test_teams_sees_no_function_in_a_run_of_braces_or_across_values(values: list[str]) -> None:
    escaped = "".join(map(teams.escape, values))
    assert "{{" not in escaped
    assert escaped.replace("\u200b", "") == "".join(values)


@given(MARKUP)
def test_google_chat_sees_no_mention_or_link_in_a_value(text: str) -> None:
    assert not re.search("<(?!\u200b)", googlechat.escape(text))


@given(MARKUP)
def test_telegram_sees_no_tag_in_a_value_and_shows_it_as_it_was(text: str) -> None:
    escaped = telegram.escape(text)
    assert not set('<>"') & set(escaped)
    assert html.unescape(escaped) == one_line(text)


FILE = """\
version: 1
sources: {{xobito: {{preset: xobito, secret: s}}}}
destinations:
  people: {{{keys}}}
{entry}
"""


def said(folder, kind: str, entry: str, firstname: str = "x") -> bytes:
    path = folder / "routes.yaml"
    path.write_text(FILE.format(keys=examples.written(KINDS[kind]), entry=entry))
    config = load(path, environ={})
    source = config.sources["xobito"]
    payload = json.loads(sample(source, "contact.created"))
    payload["data"]["attributes"]["firstname"] = firstname
    payload["event"] = "Made<b>*up*"
    event = source.received([], json.dumps(payload).encode(), now=1.0)[0].event
    [(route, destination)] = config.plan(source, source.naming.facts(event, payload))
    made = config.built(
        Delivery(id="d", event_id=event.id, route=route, destination=destination), event, payload
    ).request
    if KINDS[kind].sends_form or KINDS[kind].is_mail:
        return json.dumps(examples.message_of(KINDS[kind], made), ensure_ascii=False).encode()
    return made.body


@pytest.mark.parametrize("kind", CHATS)
def test_an_unmatched_event_has_a_sentence_for_every_chat(tmp_path, kind: str) -> None:
    body = said(tmp_path, kind, "unmatched: [{to: people}]")
    assert b"No route matched contact." in body
    assert b"from xobito" in body


@pytest.mark.parametrize("kind", CHATS)
def test_a_text_and_a_body_are_escaped_for_their_chat(tmp_path, kind: str) -> None:
    name = "<@1> **Ann** [x](y)\nDoe"
    escaped = json.dumps("hi " + KINDS[kind].escape(name), ensure_ascii=False)[1:-1].encode()
    text = said(tmp_path, kind, 'routes: [{match: "**", to: people, text: "hi {{ attrs.firstname }}"}]', name)
    body = said(tmp_path, kind, 'routes: [{match: "**", to: people, body: {text: "hi {{ attrs.firstname }}"}}]', name)
    assert escaped in text
    assert escaped in body


def test_a_field_without_markup_shows_a_value_as_it_is(tmp_path) -> None:
    body = '{content: "{{ attrs.firstname }}", username: "{{ attrs.firstname }}", embeds: [{footer: {text: "{{ attrs.firstname }}"}}]}'
    made = json.loads(said(tmp_path, "discord", f"routes: [{{match: '**', to: people, body: {body}}}]", "*Ann*\nDoe_"))
    assert made["content"] == "\\*Ann\\*\nDoe\\_"
    assert made["username"] == made["embeds"][0]["footer"]["text"] == "*Ann* Doe_"


@pytest.mark.parametrize("kind", CHATS)
def test_a_test_of_the_file_reads_what_a_message_says(tmp_path, kind: str) -> None:
    entry = """\
routes: [{match: contact.created, to: people, text: "hi {{ attrs.firstname }}"}]
tests: [{name: it says hi, event: contact.created, expect: {people: {text: hi John}}}]"""
    (tmp_path / "routes.yaml").write_text(FILE.format(keys=examples.written(KINDS[kind]), entry=entry))
    done = CliRunner().invoke(cli, ["test", "--config", str(tmp_path / "routes.yaml")])
    assert done.exit_code == 0, done.output


@pytest.mark.parametrize("kind", ["slack", "googlechat"])
def test_a_value_in_angle_brackets_is_refused_where_those_are_markup(tmp_path, kind: str) -> None:
    with pytest.raises(ConfigError) as caught:
        said(tmp_path, kind, 'routes: [{match: "**", to: people, text: "<{{ attrs.firstname }}|open>"}]')
    assert "live markup of the sender's choice" in caught.value.problems[0].message


@pytest.mark.parametrize("kind", CHATS)
def test_link_and_bold_work_in_every_chat(tmp_path, kind: str) -> None:
    written = (
        "{{ link('https://a.example/b_c', attrs.firstname) }} {{ bold(attrs.firstname) }} {{ attrs.firstname | bold }}"
    )
    body = said(tmp_path, kind, f'routes: [{{match: "**", to: people, text: "{written}"}}]', "Ann")
    assert b"https://a.example/b_c" in body
    assert body.count(b"Ann") == 3
    assert "\ufdd0".encode() not in body


@pytest.mark.parametrize("kind", CHATS)
@pytest.mark.parametrize("label", ["''", "'  '", "attrs.firstname", "bold(attrs.firstname)"])
def test_a_link_with_a_blank_label_shows_its_address(tmp_path, kind: str, label: str) -> None:
    written = f"{{{{ link('https://a.example/b', {label}) }}}}"
    bare = "{{ link('https://a.example/b') }}"
    entry = 'routes: [{match: "**", to: people, text: "%s"}]'
    assert said(tmp_path, kind, entry % written, " ") == said(tmp_path, kind, entry % bare, " ")


def test_a_template_of_telegram_puts_values_into_quotes_only(tmp_path) -> None:
    with pytest.raises(ConfigError) as caught:
        said(tmp_path, "telegram", "routes: [{match: '**', to: people, text: '<a href={{ attrs.firstname }}>x</a>'}]")
    assert "has no quotes" in caught.value.problems[0].message
    text = '<a href="{{ attrs.firstname }}">x</a> <code class="language-{{ attrs.id }}">y</code>'
    made = said(
        tmp_path, "telegram", f"routes: [{{match: '**', to: people, text: '{text}'}}]", "https://a.example/?b&c"
    )
    assert json.loads(made)["text"].startswith('<a href="https://a.example/?b&amp;c">x</a>')
    mention = '<a href="tg://user?id={{ attrs.id }}">{{ attrs.firstname }}</a>'
    assert b"tg://user?id=451" in said(
        tmp_path, "telegram", f"routes: [{{match: '**', to: people, text: '{mention}'}}]", "<b>"
    )
    with pytest.raises(RenderError, match="http, https or mailto"):
        said(tmp_path, "telegram", f"routes: [{{match: '**', to: people, text: '{text}'}}]", "javascript:alert(1)")


@pytest.mark.parametrize(
    ("mode", "shown"), [("HTML", "&lt;b&gt; *x*"), ("MarkdownV2", r"<b\> \*x\*"), ("Markdown", r"<b> \*x\*")]
)
def test_telegram_gets_a_value_in_the_markup_of_its_parse_mode(tmp_path, mode: str, shown: str) -> None:
    body = f'{{text: "{{{{ attrs.firstname }}}}.", parse_mode: {mode}}}'
    made = json.loads(said(tmp_path, "telegram", f"routes: [{{match: '**', to: people, body: {body}}}]", "<b> *x*"))
    assert made["text"] == f"{shown}."


def test_a_json_file_escapes_every_value_for_its_field(tmp_path) -> None:
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates" / "a.json.j2").write_text(
        '{% set name %}{{ attrs.firstname }}{% endset %}{"text": "{{ name }}!", "blocks": [{"type": "actions", "elements": [{"type": "button",'
        ' "text": {"type": "plain_text", "text": {{ attrs.firstname }}}, "value": "{{ attrs.firstname }}",'
        ' "url": "https://crm.example/?q={{ attrs.firstname }}"}]},'
        ' {"type": "markdown", "text": "# {{ attrs.firstname }}"}]}'
    )
    made = json.loads(
        said(tmp_path, "slack", "routes: [{match: '**', to: people, template: a.json.j2}]", "<a_b> & *c*")
    )
    [button], markdown = made["blocks"][0]["elements"], made["blocks"][1]
    assert made["text"] == "&lt;a_b&gt; &amp; *c*!"
    assert button["text"]["text"] == "&lt;a_b&gt; &amp; *c*"
    assert button["value"] == "<a_b> & *c*"
    assert button["url"] == "https://crm.example/?q=%3Ca_b%3E%20&%20*c*"
    assert markdown["text"] == r"# \&lt;a\_b\&gt; &amp; \*c\*"


def test_slack_gets_no_empty_block(tmp_path) -> None:
    body = '{text: hi, blocks: [{type: section, text: {type: mrkdwn, text: "{{ attrs.firstname }}"}}, {type: divider}]}'
    made = json.loads(said(tmp_path, "slack", f"routes: [{{match: '**', to: people, body: {body}}}]", ""))
    assert made["blocks"] == [{"type": "divider"}]


def test_a_value_compares_with_a_text_also_after_it_was_set_in_a_block(tmp_path) -> None:
    text = "{% set a %}{{ attrs.firstname }}{% endset %}{% if a == '<b>' %}same {{ a | length }} {{ a }}{% endif %}"
    made = json.loads(said(tmp_path, "slack", f'routes: [{{match: "**", to: people, text: "{text}"}}]', "<b>"))
    assert made["text"] == "same 3 &lt;b&gt;"
