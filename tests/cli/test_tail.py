"""What is shown of a stream of rows: each event once, and each change of its deliveries."""

import json

from gateway.cli import tail
from gateway.cli.api import Message
from gateway.cli.tail import Seen, rows_of


def row(number, *states, attempts=0):
    deliveries = [{"id": f"dlv_{number}_{at}", "state": state, "attempts": attempts} for at, state in enumerate(states)]
    at = f"2026-01-01T00:00:00.{number:03}Z"
    return {"id": f"evt_{number:04}", "position": str(number), "received_at": at, "deliveries": deliveries}


def shown(news):
    return news and (news["what"], news["id"], [each["state"] for each in news["deliveries"]])


def test_an_event_is_shown_once_and_then_only_what_changes():
    seen = Seen()
    assert shown(seen.news(row(1, "pending", "pending"))) == ("event", "evt_0001", ["pending", "pending"])
    assert seen.news(row(1, "pending", "pending")) is None
    assert shown(seen.news(row(1, "pending", "delivered"))) == ("fate", "evt_0001", ["delivered"])
    assert shown(seen.news(row(1, "pending", "delivered", attempts=1))) == (
        "fate",
        "evt_0001",
        ["pending", "delivered"],
    )


def test_of_what_was_there_before_only_the_changes_are_shown():
    seen = Seen()
    seen.begin(row(5, "pending"))
    assert seen.news(row(4, "pending")) is None
    assert shown(seen.news(row(4, "dead"))) == ("fate", "evt_0004", ["dead"])
    assert shown(seen.news(row(6, "pending"))) == ("event", "evt_0006", ["pending"])
    assert seen.newest == "6"


def test_an_event_of_the_same_moment_as_the_last_one_before_is_not_missed():
    seen = Seen()
    seen.begin(row(5, "pending"))
    assert shown(seen.news({**row(5, "pending"), "id": "evt_another"})) == ("event", "evt_another", ["pending"])
    assert seen.news(row(5, "pending")) is None


def test_in_an_empty_store_everything_is_news():
    seen = Seen()
    seen.begin(None)
    assert shown(seen.news(row(1, "pending"))) == ("event", "evt_0001", ["pending"])


def test_not_everything_is_remembered(monkeypatch):
    monkeypatch.setattr(tail, "REMEMBERED", 3)
    seen = Seen()
    for number in range(10):
        seen.news(row(number, "pending"))
    assert shown(seen.news(row(9, "dead"))) == ("fate", "evt_0009", ["dead"])
    assert shown(seen.news(row(0, "dead"))) == ("event", "evt_0000", ["dead"])


def test_the_rows_of_a_message_come_oldest_first_and_what_was_left_out_is_said(capsys):
    data = json.dumps({"events": [row(2), row(1)], "skipped": 7})
    assert [each["id"] for each in rows_of(Message("events", data))] == ["evt_0001", "evt_0002"]
    assert capsys.readouterr().err.startswith("7 events left out")
    assert list(rows_of(Message("stats", "{}"))) == []
    assert list(rows_of(Message("", ""))) == []
