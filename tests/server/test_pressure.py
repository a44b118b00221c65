"""What a listener refuses is counted, and the log says what to do about it without being flooded."""

import pytest

from gateway import telemetry
from gateway.server import ADVICE, Limits, refusals
from gateway.server.pressure import Pressure


class Watched:
    """A pressure gauge with a clock that is moved, and the lines that it wrote."""

    def __init__(self, monkeypatch):
        self.now, self.lines, self.reported = 0.0, [], []
        monkeypatch.setattr(telemetry, "log", lambda event, **fields: self.lines.append((event, fields)))
        limits = Limits(connections=1024, body_bytes=16 * 1024 * 1024)
        self.pressure = Pressure("ingest", limits, lambda: self.now, lambda *what: self.reported.append(what))

    def sweep(self, seconds):
        """Sweeps four times a second."""
        for _ in range(int(seconds * 4)):
            self.pressure.level(7, 4096)
            self.now += 0.25


@pytest.fixture
def watched(monkeypatch):
    return Watched(monkeypatch)


def counted(reason):
    return telemetry.LISTENER_REFUSED.labels("ingest", reason)._value.get()


def test_a_line_comes_at_once_and_then_every_ten_seconds_with_what_came_meanwhile(watched):
    watched.pressure.refused("evicted", "203.0.113.66")
    watched.sweep(1)
    for number in range(100):
        watched.pressure.refused("evicted", "203.0.113.66" if number % 3 else f"198.51.100.{number}")
    watched.sweep(8)
    assert len(watched.lines) == 1
    watched.sweep(60)
    assert [fields["refused"] for _, fields in watched.lines] == [1, 100]
    assert {fields["client"] for _, fields in watched.lines} == {"203.0.113.66"}


def test_a_million_addresses_cost_no_more_memory_than_a_thousand(watched):
    for number in range(5000):
        watched.pressure.refused("overloaded", f"2001:db8::{number:x}")
    assert len(watched.pressure._clients) == 1000
    watched.sweep(1)
    assert watched.lines[0][1]["refused"] == 5000
    assert not watched.pressure._clients


@pytest.mark.parametrize("reason", ADVICE)
def test_every_line_names_the_limit_or_the_share_and_a_remedy(watched, reason):
    watched.pressure.refused(reason, "203.0.113.66")
    watched.sweep(1)
    [(event, fields)] = watched.lines
    assert (event, fields["listener"], fields["client"]) == ("listener.full", "ingest", "203.0.113.66")
    assert "1,024 connections" in fields["reason"] or "16.0 MiB" in fields["reason"]
    assert any(remedy in fields["reason"] for remedy in ("trusted_proxies", "look for", "allow the process"))


def test_a_clients_own_mistakes_are_counted_and_not_in_this_line(watched):
    before = counted("malformed")
    watched.pressure.refused("malformed", "203.0.113.66")
    watched.sweep(30)
    assert counted("malformed") == before + 1
    assert watched.reported == [("malformed", "203.0.113.66")]
    assert watched.lines == []


def test_there_is_advice_for_every_503_of_the_protocol():
    found = {
        each.reason for each in vars(refusals).values() if isinstance(each, refusals.Refusal) and each.status == 503
    }
    assert found | {"evicted"} == set(ADVICE)


def test_the_levels_and_their_limits_are_metrics(watched):
    watched.sweep(1)
    values = {
        gauge: gauge.labels("ingest")._value.get()
        for gauge in (
            telemetry.LISTENER_CONNECTIONS,
            telemetry.LISTENER_CONNECTIONS_LIMIT,
            telemetry.LISTENER_BODY_BYTES,
            telemetry.LISTENER_BODY_BYTES_LIMIT,
        )
    }
    assert list(values.values()) == [7, 1024, 4096, 16 * 1024 * 1024]
