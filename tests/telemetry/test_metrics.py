"""Metrics are declared in one place, and their labels are few."""

import re

import pytest
from prometheus_client import Gauge
from prometheus_client.parser import text_string_to_metric_families

from gateway import telemetry
from gateway.telemetry.families import METRICS, OTHER, Count, Family, Spread


def scraped() -> dict[str, dict[tuple[tuple[str, str], ...], float]]:
    families = text_string_to_metric_families(telemetry.scrape().decode())
    found: dict[str, dict[tuple[tuple[str, str], ...], float]] = {}
    for sample in (sample for family in families for sample in family.samples):
        found.setdefault(sample.name, {})[tuple(sorted(sample.labels.items()))] = sample.value
    return found


@pytest.fixture
def family():
    """A counter by destination of which ``crm`` and ``slack`` are in force."""
    made = Family(Count, "gateway_test_total", "", ("destination", "outcome"), begins=[("delivered",)])
    made.follow({"crm", "slack"})
    yield made
    del METRICS["gateway_test_total"]
    telemetry.REGISTRY.unregister(made)


def values() -> dict[tuple[str, str], float]:
    found = scraped().get("gateway_test_total", {})
    return {(dict(labels)["destination"], dict(labels)["outcome"]): value for labels, value in found.items()}


def test_every_name_in_force_begins_at_zero(family):
    assert values() == {("crm", "delivered"): 0, ("slack", "delivered"): 0}


def test_a_name_that_is_not_in_force_is_another(family):
    family.inc("crm", "dead")
    for name in ("gone", "somebody's text", ""):
        family.inc(name, "dead")
    assert values() == {
        ("crm", "delivered"): 0, ("crm", "dead"): 1, ("slack", "delivered"): 0, (OTHER, "dead"): 3,
    }  # fmt: skip


def test_a_name_that_is_removed_is_dropped_and_the_others_count_on(family):
    family.inc("crm", "delivered")
    family.inc("slack", "dead")
    family.follow({"crm", "new"})
    family.inc("slack", "dead")
    assert values() == {("crm", "delivered"): 1, ("new", "delivered"): 0, (OTHER, "dead"): 1}


def test_a_destination_called_other_is_counted_as_any(family):
    family.follow({"crm", OTHER})
    family.follow({"crm"})
    family.inc("gone", "delivered")
    assert values()[(OTHER, "delivered")] == 1


def test_a_metric_without_labels_begins_at_zero_and_counts_up_to_each_bound():
    made = Family(Spread, "gateway_test_seconds", "", buckets=(0.1, 1.0))
    try:
        nothing = scraped()
        for seconds in (0.05, 0.1, 0.5, 3.0):
            made.observe(seconds)
        found = scraped()
    finally:
        del METRICS["gateway_test_seconds"]
        telemetry.REGISTRY.unregister(made)
    assert nothing["gateway_test_seconds_count"] == {(): 0}
    assert set(nothing["gateway_test_seconds_bucket"].values()) == {0}
    assert found["gateway_test_seconds_bucket"] == {(("le", "0.1"),): 2, (("le", "1.0"),): 3, (("le", "+Inf"),): 4}
    assert found["gateway_test_seconds_sum"] == {(): pytest.approx(3.65)}


def test_names_of_metrics_are_as_prometheus_has_them():
    for name, declared in METRICS.items():
        assert re.fullmatch(r"gateway_[a-z_]+", name)
        assert name.endswith("_total") == (declared.type == "counter")
        assert declared.type != "histogram" or name.endswith("_seconds")
        assert declared.about.endswith(".")
        assert set(declared.labels) <= {
            "source",
            "listener",
            "route",
            "destination",
            "outcome",
            "reason",
            "signal",
            "state",
            "version",
        }


def test_no_series_says_when_it_was_made():
    assert not [name for name in scraped() if name.endswith("_created")]


def test_the_process_tells_of_itself():
    assert scraped()["process_resident_memory_bytes"][()] > 1_000_000


def test_gauges_of_destinations_are_all_of_those_that_have_one_and_no_family():
    by_destination = {name for name, each in METRICS.items() if each.type == "gauge" and "destination" in each.labels}
    assert {gauge._name for gauge in telemetry.OF_DESTINATIONS} == by_destination
    assert all(isinstance(gauge, Gauge) for gauge in telemetry.OF_DESTINATIONS)
