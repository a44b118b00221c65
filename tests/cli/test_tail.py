"""What is told of a stream of rows: each event once, and each change of its deliveries."""

import json

from gateway.cli import tail
from gateway.cli.api import Message
from gateway.cli.tail import Told, rows_of


def row(number, *states, attempts=0):
    deliveries = [{"id": f"dlv_{number}_{at}", "state": state, "attempts": attempts} for at, state in enumerate(states)]
    return {"id": f"evt_{number:04}", "deliveries": deliveries}


def told(news):
    return news and (news["what"], news["id"], [each["state"] for each in news["deliveries"]])


def test_an_event_is_told_once_and_then_only_what_changes():
    tell = Told()
    assert told(tell.news(row(1, "pending", "pending"))) == ("event", "evt_0001", ["pending", "pending"])
    assert tell.news(row(1, "pending", "pending")) is None
    assert told(tell.news(row(1, "pending", "delivered"))) == ("fate", "evt_0001", ["delivered"])
    assert told(tell.news(row(1, "pending", "delivered", attempts=1))) == ("fate", "evt_0001", ["pending", "delivered"])


def test_of_what_was_there_before_only_the_changes_are_told():
    tell = Told()
    tell.floor = "evt_0005"
    assert tell.news(row(4, "pending")) is None
    assert told(tell.news(row(4, "dead"))) == ("fate", "evt_0004", ["dead"])
    assert told(tell.news(row(6, "pending"))) == ("event", "evt_0006", ["pending"])
    assert tell.newest == "evt_0006"


def test_not_everything_is_remembered(monkeypatch):
    monkeypatch.setattr(tail, "REMEMBERED", 3)
    tell = Told()
    for number in range(10):
        tell.news(row(number, "pending"))
    assert told(tell.news(row(9, "dead"))) == ("fate", "evt_0009", ["dead"])
    assert told(tell.news(row(0, "dead"))) == ("event", "evt_0000", ["dead"])


def test_the_rows_of_a_message_come_oldest_first_and_what_was_left_out_is_said(capsys):
    data = json.dumps({"events": [row(2), row(1)], "skipped": 7})
    assert [each["id"] for each in rows_of(Message("events", data))] == ["evt_0001", "evt_0002"]
    assert capsys.readouterr().err.startswith("7 events left out")
    assert list(rows_of(Message("stats", "{}"))) == []
    assert list(rows_of(Message("", ""))) == []
