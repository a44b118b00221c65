"""Prometheus' samples become the points of OpenTelemetry's model."""

import math

from gateway.telemetry.figures import points
from gateway.telemetry.sums import Figures


def test_a_counter_is_named_as_it_is_scraped():
    labels = (("source", "shop"),)
    found = points(Figures("gateway_events", "counter", "", {("gateway_events_total", labels): 3.0}))
    assert (found.name, list(found.numbers)) == ("gateway_events_total", [(labels, 3.0)])


def test_a_gauge_that_is_not_known_is_left_out():
    found = points(Figures("bytes", "gauge", "", {("bytes", ()): math.nan}))
    assert list(found.numbers) == []


def test_the_buckets_of_a_histogram_no_longer_include_each_other():
    crm, bounds = (("destination", "crm"),), {"0.1": 2.0, "1.0": 5.0, "+Inf": 6.0}
    samples = {("s_bucket", (*crm, ("le", bound))): value for bound, value in reversed(bounds.items())}
    [found] = points(Figures("s", "histogram", "", {**samples, ("s_sum", crm): 4.5, ("s_count", crm): 6.0})).spreads
    assert (found.labels, found.bounds, found.counts, found.sum) == (crm, [0.1, 1.0], [2, 3, 1], 4.5)
