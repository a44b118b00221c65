"""The figures of several processes of one gateway, as one."""

import re

import msgspec
import pytest
from prometheus_client.parser import text_string_to_metric_families

from gateway import telemetry
from gateway.telemetry import sums
from gateway.telemetry.sums import Figures


def counted(value, name="gateway_events_received", **labels):
    sample = (f"{name}_total", tuple(sorted(labels.items())))
    return Figures(name, "counter", "about", {sample: value})


#: No other test has a sample with it.
HERE = "of-this-test"


def gauge(name, value):
    return Figures(name, "gauge", "about", {(name, (("place", HERE),)): value})


def found(text, name, **labels):
    for family in text_string_to_metric_families(text.decode()):
        for sample in family.samples:
            if sample.name == name and labels.items() <= sample.labels.items():
                return sample.value
    return None


def test_counters_add_up_by_their_labels():
    text = sums.scrape([[counted(3, name="x", source="a")], [counted(4, name="x", source="a"), counted(5, name="y")]])
    assert found(text, "x_total", source="a") == 7
    assert found(text, "y_total") == 5


def test_histograms_add_up_bucket_by_bucket():
    telemetry.LOOP_LAG_SECONDS.observe(0.02)
    own = sums.read(sums.taken())
    [lag] = [each for each in own if each.name == "gateway_loop_lag_seconds"]
    text = sums.scrape([own])
    for (name, labels), value in lag.samples.items():
        assert found(text, name, **dict(labels)) == pytest.approx(2 * value)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("gateway_listener_connections", 12.0),
        ("gateway_route_last_match_timestamp_seconds", 9.0),
        ("gateway_ready", None),
    ],
)
def test_of_a_gauge_the_sum_or_the_latest_counts_or_what_the_process_says_that_is_asked(name, expected):
    others = [[gauge(name, 3.0)], [gauge(name, 9.0)]]
    assert found(sums.scrape(others), name, place=HERE) == expected


def test_what_a_process_had_counted_stays_when_it_ends_and_its_gauges_go():
    gone = sums.lasting([], [counted(3, name="x"), gauge("gateway_listener_connections", 5.0)])
    gone = sums.lasting(gone, [counted(4, name="x")])
    text = sums.scrape([gone, [counted(1, name="x")]])
    assert found(text, "x_total") == 8
    assert found(text, "gateway_listener_connections", place=HERE) is None


def test_the_text_is_what_one_process_alone_would_give():
    plain = re.sub(rb"(?m)^process_.*$", b"", telemetry.scrape())
    added = re.sub(rb"(?m)^process_.*$", b"", sums.scrape([]))
    assert sorted(added.splitlines()) == sorted(plain.splitlines())


def test_figures_that_are_none_are_refused():
    with pytest.raises(msgspec.MsgspecError):
        sums.read(b"\x93garbage")
