"""Mattermost, Rocket.Chat, ntfy and Twilio: what they get, and what their answers mean."""

from urllib.parse import parse_qsl

import pytest

from gateway.destinations import KINDS, Target, mattermost, ntfy, rocketchat, twilio
from gateway.errors import BuildError
from gateway.model import Dead, Delivered, HttpRequest, Json, Reply, Retry, Text
from tests.destinations import examples
from tests.destinations.values import parts


def request(kind: str, content, url: str = "", **options: str) -> HttpRequest:
    target = Target(url=url or examples.url(KINDS[kind]), options={**examples.options(KINDS[kind]), **options})
    made = KINDS[kind].build(target, parts(content=content))
    assert isinstance(made, HttpRequest)
    return made


def message(kind: str, content, **options: str) -> dict:
    made = examples.message_of(KINDS[kind], request(kind, content, **options))
    assert isinstance(made, dict)
    return made


def judged(kind: str, status: int, body: bytes = b""):
    return KINDS[kind].judge(examples.target(KINDS[kind]), Reply(status=status, body=body), 0.0)


# --- Mattermost: "Incoming webhooks" ---


def test_a_post_of_mattermost_ends_inside_no_code() -> None:
    assert message("mattermost", Text("`" + "x" * 20_000))["text"].endswith("`…")


@pytest.mark.parametrize("name", mattermost.REFUSALS)
def test_a_refusal_that_mattermost_names_says_what_to_do(name: str) -> None:
    verdict = judged("mattermost", 400, b'{"id": "%s", "message": "No", "status_code": 400}' % name.encode())
    assert isinstance(verdict, Dead)
    assert mattermost.REFUSALS[name] in verdict.reason


def test_mattermost_takes_with_ok_and_asks_to_wait_with_429() -> None:
    assert judged("mattermost", 200, b"ok") == Delivered()
    assert isinstance(judged("mattermost", 429, b"limit exceeded"), Retry)


@pytest.mark.parametrize("text", ["@all", "hi @channel!", "(@here)", "<!channel>", "<@U1>", "<https://a.example|x>"])
def test_nobody_is_mentioned_by_a_value_in_mattermost(text: str) -> None:
    escaped = mattermost.escape(text)
    assert "<!" not in escaped
    assert "<h" not in escaped
    assert not any(word in escaped for word in ("@all", "@channel", "@here", "@U1"))


# --- Rocket.Chat: "Create webhooks" ---


@pytest.mark.parametrize("status", [200, 400])
@pytest.mark.parametrize("words", rocketchat.REFUSALS)
def test_a_refusal_that_rocketchat_names_says_what_to_do(status: int, words: str) -> None:
    verdict = judged("rocketchat", status, b'{"success": false, "error": "%s"}' % words.encode())
    assert isinstance(verdict, Dead)
    assert rocketchat.REFUSALS[words] in verdict.reason


def test_rocketchat_takes_with_success() -> None:
    assert judged("rocketchat", 200, b'{"success": true}') == Delivered()
    assert rocketchat.status_of(Reply(status=200, body=b'{"success": false}')) == 422


# --- ntfy: "Publishing" ---


@pytest.mark.parametrize(
    ("url", "server", "topic"),
    [
        ("https://ntfy.sh/leads", "https://ntfy.sh/", "leads"),
        ("https://ntfy.sh/leads/", "https://ntfy.sh/", "leads"),
        ("https://push.example/ntfy/leads?auth=a%3D", "https://push.example/ntfy?auth=a%3D", "leads"),
    ],
)
def test_the_topic_of_the_url_is_in_the_message(url: str, server: str, topic: str) -> None:
    made = request("ntfy", Text("hi"), url)
    assert made.url == server
    assert made.body == b'{"topic":"%s","message":"hi"}' % topic.encode()


def test_the_options_of_ntfy_are_fields_that_a_body_can_replace() -> None:
    options = {"title": "Lead", "priority": "high", "tags": "warning, crm,", "click": "https://crm.example"}
    made = message("ntfy", Json({"message": "hi", "title": "Own"}), **options)
    assert made["title"] == "Own"
    assert (made["priority"], made["tags"], made["click"]) == (4, ["warning", "crm"], "https://crm.example")


@pytest.mark.parametrize(
    ("written", "sent"),
    [("1", 1), ("5", 5), ("min", 1), ("urgent", 5), ("7", "7"), ("\u0663", "\u0663"), ("9" * 5_000, "9" * 5_000)],
)
def test_a_priority_of_ntfy_is_a_number_if_ntfy_knows_it(written: str, sent: object) -> None:
    assert message("ntfy", Text("hi"), priority=written)["priority"] == sent


@pytest.mark.parametrize("code", ntfy.REFUSALS)
def test_a_refusal_that_ntfy_numbers_says_what_to_do(code: int) -> None:
    verdict = judged("ntfy", code // 100, b'{"code": %d, "http": %d, "error": "no"}' % (code, code // 100))
    assert isinstance(verdict, Dead)
    assert ntfy.REFUSALS[code] in verdict.reason


def test_ntfys_limits_are_waited_for() -> None:
    assert isinstance(judged("ntfy", 429, b'{"code": 42901, "http": 429, "error": "limit reached"}'), Retry)


# --- Twilio: "Messages resource" ---


def test_a_text_message_is_a_form() -> None:
    made = request("twilio", Text("Grüße & 1+1"), to="+14155551234", **{"from": "+14155550000"})
    fields = [("To", "+14155551234"), ("From", "+14155550000"), ("Body", "Grüße & 1+1")]
    assert parse_qsl(made.body.decode()) == fields


def test_a_messaging_service_sends_instead_of_a_number() -> None:
    service = "MG" + "0a" * 16
    made = message("twilio", Json({"Body": "x", "MediaUrl": "https://a.example/b.png"}), **{"from": service})
    assert made["MessagingServiceSid"] == service
    assert "From" not in made
    assert made["MediaUrl"] == "https://a.example/b.png"


def test_what_is_no_text_is_json_in_a_text_message_and_null_is_nothing() -> None:
    made = message("twilio", Json({"Body": {"n": ["x" * 2_000]}, "ValidityPeriod": 60, "MediaUrl": None}))
    assert made["Body"] == '{"n":["' + "x" * 1_592 + "…"
    assert made["ValidityPeriod"] == "60"
    assert "MediaUrl" not in made


@pytest.mark.parametrize("to", ["", "4155551234", "+1415555123x", "+14155551234,+14155559999", "+14155551234\nX: y"])
def test_what_is_no_phone_number_is_never_sent(to: str) -> None:
    with pytest.raises(BuildError, match="to is not a phone number"):
        request("twilio", Text("x"), to=to)


@pytest.mark.parametrize("code", twilio.REFUSALS)
def test_a_refusal_that_twilio_numbers_says_what_to_do(code: int) -> None:
    verdict = judged("twilio", 400, b'{"code": %d, "message": "No", "status": 400}' % code)
    assert isinstance(verdict, Dead)
    assert twilio.REFUSALS[code] in verdict.reason


def test_twilio_takes_with_201_and_asks_to_wait_with_429() -> None:
    assert judged("twilio", 201, b'{"sid": "SM1"}') == Delivered()
    assert isinstance(judged("twilio", 429, b'{"code": 20429}'), Retry)
