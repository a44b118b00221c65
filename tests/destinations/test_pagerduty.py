"""PagerDuty: an alert with everything that its Events API v2 requires, and what its answers mean."""

import pytest

from gateway.config import format_problem, load
from gateway.destinations import KINDS, Target, pagerduty
from gateway.errors import ConfigError
from gateway.model import Dead, Delivered, HttpRequest, Json, Reply, Retry, Text
from tests.destinations import examples
from tests.destinations.values import parts

KEY = "0123456789abcdef0123456789abcdef"
URL = "https://events.pagerduty.com/v2/enqueue"


def message(content, **options: str) -> dict:
    made = KINDS["pagerduty"].build(Target(url=URL, options={"routing_key": KEY, **options}), parts(content=content))
    assert isinstance(made, HttpRequest)
    assert made.url == URL
    sent = examples.message_of(KINDS["pagerduty"], made)
    assert isinstance(sent, dict)
    return sent


def judged(status: int, body: bytes = b""):
    target = Target(url=URL, login="")
    return KINDS["pagerduty"].judge(target, Reply(status=status, body=body), 0.0)


def test_a_text_triggers_an_alert_that_a_repeated_attempt_does_not_double() -> None:
    assert message(Text("disk full")) == {
        "event_action": "trigger",
        "routing_key": KEY,
        "payload": {
            "summary": "disk full",
            "source": "xobito",
            "severity": "error",
            "timestamp": "2026-01-01T00:00:00.250Z",
            "class": "contact.created",
        },
        "dedup_key": "dlv_1",
    }


def test_the_options_are_what_a_body_can_replace() -> None:
    made = message(
        Json({"payload": {"summary": "x", "severity": "info"}}), severity="critical", source="web-1", dedup_key="7"
    )
    assert (made["payload"]["severity"], made["payload"]["source"], made["dedup_key"]) == ("info", "web-1", "7")


def test_a_resolve_needs_no_payload() -> None:
    assert message(Json({"event_action": "resolve", "dedup_key": "7"})) == {
        "event_action": "resolve",
        "routing_key": KEY,
        "dedup_key": "7",
    }


def test_details_that_are_over_512_kilobytes_are_left_out() -> None:
    made = message(Json({"payload": {"summary": "x", "custom_details": {"a": "y" * 600_000}}}))
    assert made["payload"]["custom_details"] == {"left out": "the event had more than 512 KB"}


def test_pagerduty_takes_with_success_only() -> None:
    assert judged(202, b'{"status": "success", "message": "Event processed", "dedup_key": "x"}') == Delivered()
    assert isinstance(judged(200, b"<html>"), Retry)
    assert isinstance(judged(429, b""), Retry)
    assert isinstance(judged(500, b""), Retry)


def test_a_wrong_key_holds_the_destination_and_says_where_the_right_one_is() -> None:
    body = (
        b'{"status": "invalid event", "errors": ["Length of \'routing_key\' is incorrect (should be 32 characters)"]}'
    )
    verdict = judged(400, body)
    assert isinstance(verdict, Dead)
    assert "copy it from its Integrations tab" in verdict.reason
    assert pagerduty.status_of(Reply(status=400, body=body)) == 401
    other = b'{"status": "invalid event", "errors": ["\'payload.severity\' is invalid"]}'
    assert pagerduty.status_of(Reply(status=400, body=other)) == 400


FILE = """\
version: 1
sources: {{}}
destinations: {{duty: {{type: pagerduty, url: '{url}', routing_key: {key}}}}}
routes: []
"""


def test_a_key_in_the_file_is_shown_nowhere(tmp_path) -> None:
    path = tmp_path / "routes.yaml"
    path.write_text(FILE.format(url=URL, key=KEY))
    assert load(path, environ={}).masks.text(f"key {KEY}") == "key ***"
    path.write_text(FILE.format(url=URL, key=KEY).replace("routes: []", "routes: 7"))
    with pytest.raises(ConfigError) as refused:
        load(path, environ={})
    assert not any(KEY in format_problem(each) for each in refused.value.problems)


def test_the_key_does_not_cross_the_internet_in_the_open(tmp_path) -> None:
    path = tmp_path / "routes.yaml"
    path.write_text(FILE.format(url=URL.replace("https", "http"), key=KEY))
    with pytest.raises(ConfigError) as refused:
        load(path, environ={})
    assert "http:// would show routing_key" in refused.value.problems[0].message
