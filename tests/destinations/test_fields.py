"""Every field of a chat's message gets a value as that field needs it: inert markup, a name, an address, or as it is."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.destinations import KINDS
from gateway.destinations.escapes import one_line
from gateway.destinations.markup import BOLD, END, LABEL, LINK, address_part, marked, said
from gateway.errors import BuildError

CHATS = {name: kind.fields for name, kind in KINDS.items() if kind.fields is not None}
#: What each kind of markup would make something of.
ODD = "a_b *c* ~d~ `e` [x](y) <b>&@#-1. (z)"


def at(message, path):
    for step in path.split("."):
        message = message[int(step) if step.isdecimal() else step]
    return message


def put(path, value):
    made = value
    for step in reversed(path.split(".")):
        made = [made] if step.isdecimal() else {step: made}
    return made


#: The fields that the vendors' pages say have no markup, with what says which they are.
PLAIN = [
    ("slack", "blocks.0.elements.0.value", {"blocks.0.type": "actions", "blocks.0.elements.0.type": "button"}),
    ("slack", "blocks.0.elements.0.action_id", {"blocks.0.type": "actions", "blocks.0.elements.0.type": "button"}),
    ("slack", "blocks.0.block_id", {"blocks.0.type": "section"}),
    ("slack", "metadata.event_payload.text", {}),
    ("slack", "attachments.0.color", {}),
    ("discord", "embeds.0.timestamp", {}),
    ("discord", "components.0.components.0.custom_id", {}),
    ("teams", "body.0.id", {"body.0.type": "TextBlock"}),
    ("teams", "actions.0.data.text", {"actions.0.type": "Action.Submit"}),
    ("teams", "actions.0.title", {"actions.0.type": "Action.OpenUrl"}),
    ("teams", "body.0.inlines.0.text", {"body.0.inlines.0.type": "TextRun"}),
    ("teams", "body.0.value", {"body.0.type": "Input.Text"}),
    ("googlechat", "cardsV2.0.cardId", {}),
    ("googlechat", "cardsV2.0.card.sections.0.widgets.0.buttonList.buttons.0.onClick.action.function", {}),
    ("telegram", "reply_markup.inline_keyboard.0.0.callback_data", {}),
    ("telegram", "entities.0.language", {}),
    ("mattermost", "attachments.0.color", {}),
    ("mattermost", "attachments.0.actions.0.integration.context.text", {}),
    ("rocketchat", "channel", {}),
    ("ntfy", "topic", {}),
    ("ntfy", "actions.0.body", {}),
]
NAMES = [
    ("slack", "username"),
    ("slack", "attachments.0.author_name"),
    ("discord", "username"),
    ("discord", "thread_name"),
    ("discord", "embeds.0.author.name"),
    ("discord", "embeds.0.footer.text"),
    ("discord", "components.0.components.0.label"),
    ("teams", "body.0.altText"),
    ("googlechat", "cardsV2.0.card.header.title"),
    ("googlechat", "cardsV2.0.card.sections.0.widgets.0.buttonList.buttons.0.text"),
    ("googlechat", "cardsV2.0.card.sections.0.widgets.0.decoratedText.topLabel"),
    ("telegram", "reply_markup.inline_keyboard.0.0.text"),
    ("telegram", "reply_markup.keyboard.0.0.text"),
    ("mattermost", "username"),
    ("mattermost", "attachments.0.author_name"),
    ("mattermost", "attachments.0.fields.0.title"),
    ("rocketchat", "alias"),
    ("ntfy", "title"),
    ("ntfy", "actions.0.label"),
    ("email", "subject"),
]
ADDRESSES = [
    ("slack", "blocks.0.elements.0.url", {"blocks.0.type": "actions", "blocks.0.elements.0.type": "button"}),
    ("slack", "blocks.0.image_url", {"blocks.0.type": "image"}),
    ("slack", "attachments.0.title_link", {}),
    ("slack", "icon_url", {}),
    ("discord", "avatar_url", {}),
    ("discord", "embeds.0.url", {}),
    ("discord", "embeds.0.author.icon_url", {}),
    ("discord", "embeds.0.image.url", {}),
    ("teams", "actions.0.url", {"actions.0.type": "Action.OpenUrl"}),
    ("teams", "body.0.url", {"body.0.type": "Image"}),
    ("teams", "actions.0.iconUrl", {}),
    ("googlechat", "cardsV2.0.card.header.imageUrl", {}),
    ("googlechat", "cardsV2.0.card.sections.0.widgets.0.buttonList.buttons.0.onClick.openLink.url", {}),
    ("telegram", "reply_markup.inline_keyboard.0.0.url", {}),
    ("telegram", "reply_markup.inline_keyboard.0.0.web_app.url", {}),
    ("mattermost", "icon_url", {}),
    ("mattermost", "attachments.0.title_link", {}),
    ("rocketchat", "avatar", {}),
    ("rocketchat", "attachments.0.image_url", {}),
    ("ntfy", "click", {}),
    ("ntfy", "actions.0.url", {}),
]
#: With the mark of one that is no markup after the escape of a value in it.
TEXTS = [
    ("slack", "text", {}, r"[<>]"),
    ("slack", "blocks.0.text.text", {"blocks.0.text.type": "mrkdwn"}, r"[<>]"),
    ("slack", "blocks.0.text.text", {"blocks.0.text.type": "plain_text"}, r"[<>]"),
    ("slack", "blocks.0.text", {"blocks.0.type": "markdown"}, r"(?<!\\)[][*_`~]|<"),
    ("slack", "attachments.0.fields.0.value", {}, r"[<>]"),
    ("discord", "content", {}, r"(?<!\\)[][*_`~]"),
    ("discord", "embeds.0.title", {}, r"(?<!\\)[][*_`~]"),
    ("discord", "embeds.0.fields.0.name", {}, r"(?<!\\)[][*_`~]"),
    ("teams", "body.0.text", {"body.0.type": "TextBlock"}, r"(?<!\\)[][*_]"),
    ("teams", "body.0.facts.0.value", {"body.0.type": "FactSet"}, r"(?<!\\)[][*_]"),
    ("googlechat", "text", {}, r"<(?!\u200b)|\]\("),
    ("googlechat", "cardsV2.0.card.sections.0.widgets.0.textParagraph.text", {}, r"<(?!\u200b)|\]\("),
    (
        "googlechat",
        "cardsV2.0.card.sections.0.widgets.0.textParagraph.text",
        {"cardsV2.0.card.sections.0.widgets.0.textParagraph.textSyntax": "MARKDOWN"},
        r"<(?!\u200b)|\]\(",
    ),
    ("telegram", "text", {}, r"[<>]"),
    ("telegram", "text", {"parse_mode": "HTML"}, r"[<>]"),
    ("telegram", "text", {"parse_mode": "MarkdownV2"}, r"(?<!\\)[][()*_`~>#+=|{}.!-]"),
    ("mattermost", "text", {}, r"(?<!\\)[][*_`~]|<(?!\u200b|[ \n]|\Z)|(?<!\w)@\w"),
    ("mattermost", "attachments.0.text", {}, r"(?<!\\)[][*_`~]"),
    ("rocketchat", "text", {}, r"<(?!\u200b)|\]\(|!\[|\|\||(?<!\w)@\w"),
    ("ntfy", "message", {"markdown": True}, r"(?<!\\)[][*_`~]"),
    ("email", "html", {}, r"[<>]"),
    ("telegram", "text", {"parse_mode": "Markdown"}, r"(?<!\\)[*_`[]"),
]


def written(kind, path, text, beside):
    message = put(path, text)
    for other, value in beside.items():
        *above, last = other.split(".")
        holder = at(message, ".".join(above)) if above else message
        holder[last] = value
    return at(CHATS[kind].written(message), path)


@pytest.mark.parametrize(("kind", "path", "beside"), PLAIN)
@given(text=st.text() | st.just(ODD))
def test_a_value_in_a_field_that_has_no_markup_arrives_unchanged(kind, path, beside, text):
    if not re.search("[\ufdd0-\ufdd5]", text):
        assert written(kind, path, marked(text), beside) == text


@pytest.mark.parametrize(("kind", "path"), NAMES)
@given(text=st.text() | st.just(ODD))
def test_a_value_in_a_name_arrives_unchanged_on_one_line(kind, path, text):
    if not re.search("[\ufdd0-\ufdd5]", text):
        assert written(kind, path, marked(text), {}) == one_line(text)


@pytest.mark.parametrize(("kind", "path", "beside"), ADDRESSES)
@pytest.mark.parametrize(
    "address",
    ["https://a.example/b_c/@d/(e)?f=*g*&h=[1]#~i", "http://a.example", "mailto:a_b@a.example", "https://ä.example/é"],
)
def test_an_address_keeps_every_sign_of_it(kind, path, beside, address):
    assert written(kind, path, marked(address), beside) == address


@pytest.mark.parametrize(("kind", "path", "beside"), ADDRESSES)
@pytest.mark.parametrize("address", ["javascript:alert(1)", "n/a", "//a.example", "tg://user?id=1", "data:text/html,x"])
def test_what_is_no_address_is_refused_in_the_field_of_one(kind, path, beside, address):
    with pytest.raises(BuildError, match="http, https or mailto"):
        written(kind, path, marked(address), beside)


@pytest.mark.parametrize(("kind", "path", "beside"), ADDRESSES)
@given(text=st.text(min_size=1))
def test_a_value_never_breaks_an_address_or_chooses_the_host_of_one(kind, path, beside, text):
    whole = written(kind, path, f"https://crm.example/c/{marked(text)}", beside)
    assert whole.startswith("https://crm.example/c/")
    assert not re.search(r'[\s<>"\\^`{|}\u200e\u200f\u202a-\u202e]', whole)
    host = written(kind, path, f"https://{marked(text)}.crm.example/", beside)
    assert re.fullmatch(r"https://[\w.%-]+\.crm\.example/", host, re.ASCII)


@pytest.mark.parametrize(("kind", "path", "beside", "live"), TEXTS)
@given(text=st.text(st.sampled_from("*_~`[]()<>|!#@{}.=+-\\ax\n")) | st.just(ODD))
def test_a_value_in_a_text_makes_no_markup(kind, path, beside, live, text):
    shown = written(kind, path, f"hi {marked(text)}", beside).removeprefix("hi ")
    # A backslash that is escaped itself escapes nothing; the older Markdown of Telegram has no escape for it.
    plain = shown if beside == {"parse_mode": "Markdown"} else shown.replace("\\\\", "\0")
    assert not re.search(live, plain)


@pytest.mark.parametrize("kind", CHATS)
@given(value=st.recursive(st.text(), lambda one: st.lists(one) | st.dictionaries(st.text(), one), max_leaves=6))
def test_no_mark_is_ever_left_in_a_message(kind, value):
    def mark(each):
        match each:
            case str():
                return f"a {marked(each)} {LINK}https://a.example{LABEL}{marked(each)}{END}{BOLD}{marked(each)}{END}"
            case list():
                return [mark(one) for one in each]
        return {marked(key): mark(one) for key, one in each.items()}

    assert not re.search("[\ufdd0-\ufdd5]", repr(CHATS[kind].written({"text": mark(value), "content": mark(value)})))


def test_an_empty_address_is_left_out():
    assert CHATS["discord"].written({"embeds": [{"url": "", "title": "a"}]}) == {"embeds": [{"title": "a"}]}
    assert CHATS["teams"].written({"body": [{"type": "Image", "url": ""}]}) == {"body": [{"type": "Image"}]}


@pytest.mark.parametrize("beside", [{"link_names": True}, {"parse": "full"}])
@pytest.mark.parametrize("text", ["@channel", "hi @here!", "(@everyone)", "#general", "@ann"])
def test_slack_finds_no_name_in_a_value_where_it_looks_for_them(beside, text):
    shown = CHATS["slack"].written({"text": marked(text), **beside})["text"]
    assert not re.search(r"[@#]\w", shown)
    assert shown.replace("\u200b", "") == text


def test_an_e_mail_address_is_no_name_and_without_link_names_nothing_is():
    assert CHATS["slack"].written({"text": marked("a@b.example"), "link_names": True})["text"] == "a@b.example"
    assert CHATS["slack"].written({"text": marked("@channel")})["text"] == "@channel"


def test_a_value_cannot_mention_who_a_card_of_teams_mentions():
    assert CHATS["teams"].text(f"hi {marked('<at>Bob</at>')}") == "hi <\u200bat>Bob<\u200b/at>"


@pytest.mark.parametrize(
    ("before", "value", "shown"),
    [
        ("", " https://a.example/x y ", "https://a.example/x%20y"),
        ("https://crm.example/?q=", "a b", "a%20b"),
        ("https://", "a.example/", "a.example%2F"),
        ("https:", "//a.example", "%2F%2Fa.example"),
        ("https://crm.example:", "80@a.example", "80%40a.example"),
        ("/contacts/", "1", "1"),
    ],
)
def test_a_part_of_an_address_is_written_for_its_place(before, value, shown):
    assert address_part(before, value) == shown


def test_every_table_names_the_page_it_is_from():
    assert all(re.match("https://", fields.page) for fields in CHATS.values())


@given(st.text())
def test_what_a_marked_text_says_is_the_text(text):
    assert said(marked(text)) == re.sub("[\ufdd0-\ufdd5]", "\ufffd", text)
