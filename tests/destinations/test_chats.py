"""Discord, Teams, Google Chat and Telegram: what they take at most, what they answer, and that nothing fails for length."""

import html
import re

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.destinations import KINDS, Kind, Target, discord, googlechat, teams, telegram
from gateway.destinations.chat import shortened, units, within_bytes, without_half_escape
from gateway.errors import BuildError
from gateway.model import Dead, Delivered, HttpRequest, Json, Raw, Reply, Retry, Text
from tests.destinations import examples
from tests.destinations.values import parts

URLS = {
    "slack": "https://hooks.slack.com/services/T0/B0/s3cr3t",
    "discord": "https://discord.com/api/webhooks/1/s3cr3t",
    "teams": "https://prod-1.westeurope.logic.azure.com/workflows/1/triggers/manual/paths/invoke?sig=s3cr3t",
    "googlechat": "https://chat.googleapis.com/v1/spaces/A/messages?key=k&token=s3cr3t",
    "telegram": "https://api.telegram.org/bot1:s3cr3t",
}
READ_BY_PEOPLE = {name: kind for name, kind in KINDS.items() if kind.needs_text}
TARGETS = {
    name: Target(
        url=URLS.get(name, "https://host.example/s3cr3t"),
        options={"chat_id": "-100123"} if name == "telegram" else examples.options(kind),
    )
    for name, kind in READ_BY_PEOPLE.items()
}
CHATS = pytest.mark.parametrize("kind", READ_BY_PEOPLE.values(), ids=READ_BY_PEOPLE)


def request(kind: Kind | str, content) -> HttpRequest:
    kind = KINDS[kind] if isinstance(kind, str) else kind
    made = kind.build(TARGETS[kind.name], parts(content=content))
    assert isinstance(made, HttpRequest)
    return made


def message(kind: Kind | str, content) -> dict:
    kind = KINDS[kind] if isinstance(kind, str) else kind
    made = examples.message_of(kind, kind.build(TARGETS[kind.name], parts(content=content)))
    assert isinstance(made, dict)
    return made


def judged(kind: str, status: int, body: bytes = b"", **headers: str):
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    return KINDS[kind].judge(TARGETS[kind], Reply(status=status, body=body, headers=fields), 0.0)


@CHATS
@pytest.mark.parametrize("content", [None, Json([1]), Json("text"), Json(None), Raw(b"\xff", "text/plain")])
def test_what_is_no_message_is_a_build_error(kind: Kind, content) -> None:
    with pytest.raises(BuildError, match="message"):
        kind.build(TARGETS[kind.name], parts(content=content))


@CHATS
def test_what_is_nested_too_deeply_is_a_build_error(kind: Kind) -> None:
    value: dict = {}
    for _ in range(10_000):
        value = {"embeds": [value], "body": value}
    with pytest.raises(BuildError):
        kind.build(TARGETS[kind.name], parts(content=Json(value)))


@pytest.mark.parametrize(
    "kind", [each for each in READ_BY_PEOPLE.values() if not each.is_mail], ids=lambda each: each.name
)
def test_a_message_is_posted_as_json(kind: Kind) -> None:
    made = request(kind, Text("hi"))
    assert made.method == "POST"
    assert made.url.startswith(URLS.get(kind.name, "https://host.example"))
    form = "application/x-www-form-urlencoded"
    assert dict(made.headers)["content-type"] == (form if kind.sends_form else "application/json")


# --- Discord: "Webhook Resource", "Message Resource" ---


def test_discord_mentions_nobody_unless_the_message_says_so() -> None:
    assert message("discord", Text("@everyone")) == {"content": "@everyone", "allowed_mentions": {"parse": []}}
    asked = {"content": "@here", "allowed_mentions": {"parse": ["everyone"]}}
    assert message("discord", Json(asked)) == asked


def test_discords_content_is_cut_at_2000_characters_and_not_inside_an_escape() -> None:
    assert message("discord", Text("x" * 2_000))["content"] == "x" * 2_000
    assert message("discord", Text("x" * 2_001))["content"] == "x" * 1_999 + "…"
    assert message("discord", Text("x" * 1_998 + "\\*" * 9))["content"] == "x" * 1_998 + "…"


EMBED = {
    "title": "t" * 999,
    "description": "d" * 9_999,
    "author": {"name": "a" * 999, "url": "https://a.example/" + "u" * 900},
    "footer": {"text": "f" * 9_999},
    "fields": [{"name": "n" * 999, "value": "v" * 9_999, "inline": True}] * 40,
}


@pytest.mark.parametrize(
    ("path", "limit"),
    [
        (("title",), 256),
        (("description",), 4_096),
        (("author", "name"), 256),
        (("footer", "text"), 2_048),
        (("fields", 0, "name"), 256),
        (("fields", 0, "value"), 1_024),
    ],
)
def test_every_text_of_an_embed_is_cut_to_its_own_limit(path, limit: int) -> None:
    text = message("discord", Json({"embeds": [{path[0]: EMBED[path[0]]}]}))["embeds"][0]
    for step in path:
        text = text[step]
    assert len(text) == limit
    assert text.endswith("…")


def embed_texts(embed: dict) -> list[str]:
    named = [
        embed.get("title"),
        embed.get("description"),
        *(embed.get(k, {}).get(n) for k, n in [("author", "name"), ("footer", "text")]),
    ]
    return [text for text in named if text] + [
        field[key] for field in embed.get("fields", []) for key in ("name", "value")
    ]


def test_all_embeds_together_stay_within_6000_characters_10_embeds_and_25_fields() -> None:
    embeds = message("discord", Json({"embeds": [EMBED] * 12}))["embeds"]
    assert sum(len(text) for embed in embeds for text in embed_texts(embed)) <= 6_000
    assert embeds[0]["author"]["url"] == EMBED["author"]["url"]
    assert len(message("discord", Json({"embeds": [{"title": "t"}] * 12}))["embeds"]) == 10
    small = {"fields": [{"name": "n", "value": "v"}] * 40}
    assert len(message("discord", Json({"embeds": [small]}))["embeds"][0]["fields"]) == 25


@pytest.mark.parametrize(("key", "limit"), [("username", 80), ("thread_name", 100)])
def test_discords_names_are_cut(key: str, limit: int) -> None:
    assert len(message("discord", Json({"content": "x", key: "n" * 999}))[key]) == limit


@pytest.mark.parametrize("code", discord.REFUSALS)
def test_a_refusal_that_discord_numbers_is_final_and_says_what_to_do(code: int) -> None:
    verdict = judged("discord", 400, b'{"message": "No", "code": %d}' % code)
    assert isinstance(verdict, Dead)
    assert discord.REFUSALS[code] in verdict.reason


def test_discord_says_in_json_how_long_to_wait() -> None:
    body = b'{"message": "You are being rate limited.", "retry_after": 64.57, "global": false}'
    assert judged("discord", 429, body).after_s == 64.57
    assert judged("discord", 429, body, retry_after="65").after_s == 65


@pytest.mark.parametrize("status", [200, 204])
def test_discord_takes_with_any_2xx(status: int) -> None:
    assert judged("discord", status) == Delivered()


# --- Teams: "Create and send messages", "Text features" ---


def card(made: dict) -> dict:
    assert made["type"] == "message"
    [attachment] = made["attachments"]
    assert attachment["contentType"] == "application/vnd.microsoft.card.adaptive"
    return attachment["content"]


def test_a_text_is_a_card_for_teams_whose_lines_stay_lines() -> None:
    content = card(message("teams", Text("one\ntwo\n\nthree")))
    assert content["type"] == "AdaptiveCard"
    assert content["body"] == [{"type": "TextBlock", "text": "one\n\ntwo\n\nthree", "wrap": True}]


def test_a_card_is_put_into_a_message_and_a_message_stays_as_it_is() -> None:
    own = {"type": "AdaptiveCard", "version": "1.5", "body": []}
    assert card(message("teams", Json(own))) == own
    whole = {"type": "message", "attachments": [], "summary": "x"}
    assert message("teams", Json(whole)) == whole


@pytest.mark.parametrize("text", ["x" * 90_000, "é😀" * 20_000, '"\\' * 40_000], ids=["ascii", "wide", "escaped"])
def test_a_message_for_teams_has_at_most_28_kilobytes(text: str) -> None:
    assert 27_900 < len(request("teams", Text(text)).body) <= 28_000


def test_of_a_card_with_many_texts_the_longest_are_cut_and_addresses_are_not() -> None:
    url = "https://a.example/" + "u" * 3_000
    blocks = [{"type": "TextBlock", "text": "short"}, {"type": "Image", "url": url}]
    blocks += [{"type": "TextBlock", "text": "x" * 20_000}] * 3
    made = card(message("teams", Json({"type": "AdaptiveCard", "body": blocks})))["body"]
    assert made[0]["text"] == "short"
    assert made[1]["url"] == url
    assert {len(block["text"]) for block in made[2:]} < {*range(7_000, 9_000)}


@pytest.mark.parametrize(("status", "body"), [(202, b""), (200, b"1"), (200, b'{"error": null}'), (200, b"Accepted")])
def test_teams_takes_with_a_2xx_that_tells_of_no_error(status: int, body: bytes) -> None:
    assert judged("teams", status, body) == Delivered()


@pytest.mark.parametrize(
    ("status", "expected"), [(429, Retry), (503, Retry), (408, Retry), (400, Dead), (403, Dead), (413, Dead)]
)
def test_an_error_inside_a_200_of_teams_is_seen(status: int, expected: type) -> None:
    body = f"Webhook message delivery failed with error: Microsoft Teams endpoint returned HTTP error {status} with ContextId x"
    verdict = judged("teams", 200, body.encode())
    assert isinstance(verdict, expected)
    assert verdict.reason.startswith("answered 200, but Teams did not post it: Webhook message delivery failed")


def test_an_error_of_teams_without_a_number_is_tried_again() -> None:
    assert isinstance(judged("teams", 200, b"Some error happened"), Retry)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 413])
def test_what_teams_refuses_says_what_to_do(status: int) -> None:
    verdict = judged("teams", status)
    assert isinstance(verdict, Dead)
    assert teams._MEANINGS[status] in verdict.reason


@pytest.mark.parametrize(
    ("body", "stands_for"),
    [
        (b"Microsoft Teams endpoint returned HTTP error 429 with ContextId x", 429),
        (b"HTTP error 403", 403),
        (b"error", 200),
        (b"1", 200),
    ],
)
def test_a_text_of_teams_stands_for_the_status_in_it(body: bytes, stands_for: int) -> None:
    assert teams.status_of(Reply(status=200, body=body)) == stands_for


def test_teams_asks_to_wait() -> None:
    assert judged("teams", 429, retry_after="12").after_s == 12


# --- Google Chat: "spaces.messages", "Usage limits" ---


def test_google_chats_text_is_cut_at_4096_characters_and_not_inside_a_link() -> None:
    assert message("googlechat", Text("x" * 5_000)) == {"text": "x" * 4_095 + "…"}
    assert message("googlechat", Text("x" * 4_000 + "<https://a.example|" + "y" * 200))["text"] == "x" * 4_000 + "…"


def test_a_message_for_google_chat_has_at_most_32000_bytes() -> None:
    paragraph = {"textParagraph": {"text": "é" * 9_000}}
    cards = {"cardsV2": [{"cardId": "c", "card": {"sections": [{"widgets": [paragraph] * 4}]}}]}
    made = request("googlechat", Json(cards))
    assert 31_900 < len(made.body) <= 32_000
    assert msgspec.json.decode(made.body)["cardsV2"][0]["cardId"] == "c"


@pytest.mark.parametrize(
    ("status", "word"),
    [(400, "INVALID_ARGUMENT"), (401, "UNAUTHENTICATED"), (403, "PERMISSION_DENIED"), (404, "NOT_FOUND")],
)
def test_what_google_chat_refuses_says_what_to_do(status: int, word: str) -> None:
    verdict = judged("googlechat", status, b'{"error": {"code": %d, "status": "%s"}}' % (status, word.encode()))
    assert isinstance(verdict, Dead)
    assert googlechat._MEANINGS[word] in verdict.reason


def test_google_chats_quota_is_waited_for() -> None:
    assert isinstance(judged("googlechat", 429, b'{"error": {"status": "RESOURCE_EXHAUSTED"}}'), Retry)


# --- Telegram: "Telegram Bot API" ---


def test_a_text_is_html_for_the_chat_of_the_destination_and_shows_no_previews() -> None:
    assert message("telegram", Text("<b>hi</b>")) == {
        "chat_id": "-100123",
        "text": "<b>hi</b>",
        "parse_mode": "HTML",
        "link_preview_options": {"is_disabled": True},
    }
    own = {"chat_id": "@other", "text": "x", "parse_mode": "MarkdownV2", "link_preview_options": {}}
    assert message("telegram", Json(own)) == own


@pytest.mark.parametrize("end", ["", "/", "/sendMessage"])
def test_the_address_of_the_bot_is_enough(end: str) -> None:
    target = Target(url=URLS["telegram"] + end, options={"chat_id": "1"})
    made = KINDS["telegram"].build(target, parts(content=Text("x")))
    assert made.url == URLS["telegram"] + "/sendMessage"


def seen(text: str) -> str:
    """What people see of HTML, as Telegram counts it."""
    return html.unescape(re.sub(r"</?[a-z][a-z0-9-]*[^<>]*>", "", text))


def test_telegram_counts_4096_characters_after_entities() -> None:
    fits = "<b>" + "&lt;" * 4_096 + "</b>"
    assert message("telegram", Text(fits))["text"] == fits
    assert seen(message("telegram", Text(fits + "x"))["text"]) == "<" * 4_095 + "…"


def test_a_text_that_is_cut_closes_its_tags() -> None:
    long = '<a href="https://a.example"><i>' + "x" * 5_000 + "</i></a>"
    assert message("telegram", Text(long))["text"] == '<a href="https://a.example"><i>' + "x" * 4_095 + "…</i></a>"
    after = "<b>bold</b> " + "x" * 5_000
    assert message("telegram", Text(after))["text"].endswith("x…")


pieces = st.sampled_from(
    ["<b>", "</b>", '<a href="x">', "</a>", "<i>", "</i>", "&lt;", "&amp;", "&#128512;", "x", "é", "😀", "&", "\n"]
)


@given(st.lists(pieces, max_size=80).map("".join), st.integers(1, 40))
def test_any_html_is_cut_to_what_people_may_see(text: str, limit: int) -> None:
    short = telegram.html_shortened(text, limit)
    if short != text:
        assert units(seen(short)) <= limit


@given(
    st.recursive(st.text("ab ", max_size=9), lambda inner: st.builds("<b>{}</b>{}".format, inner, inner), max_leaves=9),
    st.integers(1, 20),
)
def test_tags_that_were_in_order_stay_in_order(text: str, limit: int) -> None:
    short = telegram.html_shortened(text, limit)
    depth = 0
    for tag in re.findall("</?b>", short):
        depth += 1 if tag == "<b>" else -1
        assert depth >= 0
    assert depth == 0


def test_another_parse_mode_is_cut_as_it_stands() -> None:
    text = message("telegram", Json({"text": "<" * 5_000, "parse_mode": "MarkdownV2"}))["text"]
    assert text == "<" * 4_095 + "…"


def test_telegrams_ok_is_delivered_and_a_200_without_it_is_not_believed() -> None:
    assert judged("telegram", 200, b'{"ok": true, "result": {}}') == Delivered()
    assert isinstance(judged("telegram", 200, b"<html>"), Retry)


def test_telegram_says_in_json_how_long_to_wait() -> None:
    body = b'{"ok":false,"error_code":429,"description":"Too Many Requests","parameters":{"retry_after":35}}'
    assert judged("telegram", 429, body).after_s == 35


@pytest.mark.parametrize("words", telegram.REFUSALS)
def test_a_refusal_that_telegram_describes_is_final_and_says_what_to_do(words: str) -> None:
    body = msgspec.json.encode({"ok": False, "error_code": 400, "description": f"Bad Request: {words.upper()}"})
    verdict = judged("telegram", 400, body)
    assert isinstance(verdict, Dead)
    assert telegram.REFUSALS[words] in verdict.reason


@pytest.mark.parametrize(("status", "words"), [(401, "revoked"), (404, "no bot has this token")])
def test_a_wrong_token_of_telegram_says_where_it_belongs(status: int, words: str) -> None:
    assert words in judged("telegram", status, b'{"ok":false}').reason


# --- shared ---


@given(st.text("\\x😀", max_size=60), st.integers(0, 40))
def test_a_shortened_markdown_text_fits_and_escapes_nothing_by_accident(text: str, limit: int) -> None:
    short = shortened(text, limit, without_half_escape)
    assert units(short) <= max(limit, 0)
    if short != text and limit:
        kept = short[:-1]
        assert (len(kept) - len(kept.rstrip("\\"))) % 2 == 0


trees = st.recursive(
    st.none() | st.integers() | st.text(max_size=300).map(lambda text: text * 9),
    lambda tree: (
        st.lists(tree, max_size=5) | st.dictionaries(st.sampled_from(["text", "title", "url"]), tree, max_size=3)
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(["text", "title", "body"]), trees, max_size=3))
def test_cutting_to_bytes_is_total_and_changes_nothing_that_fits(value) -> None:
    made = within_bytes(value, 2_000, {"text", "title"}, without_half_escape)
    assert msgspec.json.encode(made) is not None
    if len(msgspec.json.encode(value)) <= 2_000:
        assert made == value


words = st.sampled_from([
    "content", "embeds", "fields", "title", "footer", "text", "attachments", "type", "body", "x", "message", "priority",
    "markdown", "actions", "payload", "summary", "custom_details", "dedup_key", "event_action", "Body", "MediaUrl",
    "subject", "html", "username",
])  # fmt: skip
values = st.recursive(
    st.none() | st.integers() | words | st.text(max_size=100).map(lambda text: text * 30),
    lambda tree: st.lists(tree, max_size=30) | st.dictionaries(words, tree, max_size=4),
    max_leaves=20,
)


@CHATS
@given(st.dictionaries(words, values))
def test_any_object_becomes_a_message_and_fitting_it_again_changes_nothing(kind: Kind, value) -> None:
    once = message(kind, Json({**value, "text": "hi"} if kind.is_mail else value))
    try:
        twice = message(kind, Json(once))
    except BuildError as error:
        pytest.fail(f"{kind.name} refuses a message that it has made itself: {error}")
    assert twice == once, f"{kind.name} changes a message that it has made itself"
