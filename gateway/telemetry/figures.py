"""The samples of a metric, which are lines of Prometheus' text format, as the points of OpenTelemetry's data model."""

import math
from collections import defaultdict
from collections.abc import Sequence

from msgspec import Struct

from gateway.telemetry.sums import Figures, Labels


class Spreading(Struct):
    """A histogram: ``counts`` has one more than ``bounds``, and none includes another."""

    labels: Labels
    bounds: list[float]
    counts: list[int]
    sum: float


class Points(Struct, frozen=True):
    """A metric by its name as scraped: a number for each set of labels, or a histogram."""

    name: str
    numbers: Sequence[tuple[Labels, float]]
    spreads: Sequence[Spreading]


def points(figures: Figures) -> Points:
    """The points of one metric. Numbers that are not known (NaN) are left out."""
    if figures.type == "histogram":
        return Points(figures.name, (), _spreads(figures))
    name = f"{figures.name}_total" if figures.type == "counter" else figures.name
    numbers = [(labels, value) for (sample, labels), value in figures.samples.items() if sample == name]
    return Points(name, [each for each in numbers if not math.isnan(each[1])], ())


def _spreads(figures: Figures) -> Sequence[Spreading]:
    buckets: dict[Labels, list[tuple[float, float]]] = defaultdict(list)
    for (sample, labels), value in figures.samples.items():
        if sample == f"{figures.name}_bucket":
            rest = tuple(each for each in labels if each[0] != "le")
            buckets[rest].append((float(dict(labels)["le"]), value))
    return [_spread(figures, labels, sorted(found)) for labels, found in buckets.items()]


def _spread(figures: Figures, labels: Labels, buckets: Sequence[tuple[float, float]]) -> Spreading:
    counts, below = [], 0
    for _, up_to in buckets:
        counts.append(int(up_to) - below)
        below = int(up_to)
    bounds = [bound for bound, _ in buckets if math.isfinite(bound)]
    return Spreading(labels, bounds, counts, figures.samples[f"{figures.name}_sum", labels])
