"""How a metric is declared: its name, help and labels; and the metrics of an event's way, which are plain numbers.

The library's own children take a lock for each number: eight microseconds for every event. What is counted on one thread,
and nowhere else, needs none, and is given to the library when it is scraped.
"""

from bisect import bisect_left
from collections.abc import Collection, Iterator, Sequence
from typing import Any, ClassVar, Final, Generic, Literal, TypeVar

from msgspec import Struct
from prometheus_client import CollectorRegistry, Counter, Gauge, ProcessCollector, disable_created_metrics
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

#: The label for names that are not in the configuration in force.
OTHER: Final = "other"

M = TypeVar("M", Counter, Gauge)
Kind = Literal["counter", "gauge", "histogram"]


class Declared(Struct, frozen=True, kw_only=True):
    """A metric as the reference documents it."""

    type: Kind
    labels: tuple[str, ...]
    about: str


#: By name, as scraped.
METRICS: Final[dict[str, Declared]] = {}
REGISTRY: Final = CollectorRegistry(auto_describe=True)
# The creation time of each series would be a second series for each.
disable_created_metrics()  # type: ignore[no-untyped-call]
ProcessCollector(registry=REGISTRY)


def declare(kind: type[M], name: str, about: str, labels: tuple[str, ...] = (), **options: Any) -> M:
    """Register a metric of the library's; ``about`` is its help in scrapes and in the reference."""
    METRICS[name] = Declared(type=kind._type, labels=labels, about=about)  # type: ignore[arg-type]  # noqa: SLF001
    return kind(name, about, labels, registry=REGISTRY, **options)


class Count:
    """A number that only grows."""

    type: ClassVar[Kind] = "counter"
    __slots__ = ("value",)

    def __init__(self, _buckets: Sequence[float]) -> None:
        self.value = 0.0

    def add_to(self, metric: Metric, labels: Sequence[str]) -> None:
        assert isinstance(metric, CounterMetricFamily)
        metric.add_metric(labels, self.value)


class Level:
    """A number that is set."""

    type: ClassVar[Kind] = "gauge"
    __slots__ = ("value",)

    def __init__(self, _buckets: Sequence[float]) -> None:
        self.value = 0.0

    def add_to(self, metric: Metric, labels: Sequence[str]) -> None:
        assert isinstance(metric, GaugeMetricFamily)
        metric.add_metric(labels, self.value)


class Spread:
    """How many numbers were in each bucket, and their sum."""

    type: ClassVar[Kind] = "histogram"
    __slots__ = ("_bounds", "_counts", "_sum")

    def __init__(self, buckets: Sequence[float]) -> None:
        self._bounds = buckets
        self._counts = [0] * (len(buckets) + 1)
        self._sum = 0.0

    def observe(self, value: float) -> None:
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def add_to(self, metric: Metric, labels: Sequence[str]) -> None:
        assert isinstance(metric, HistogramMetricFamily)
        up_to, buckets = 0, []
        for bound, count in zip((*self._bounds, float("inf")), self._counts, strict=True):
            up_to += count
            buckets.append((floatToGoString(bound), up_to))  # type: ignore[no-untyped-call]
        metric.add_metric(labels, buckets, self._sum)


C = TypeVar("C", Count, Level, Spread)
_FAMILIES: Final[dict[Kind, type[CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily]]] = {
    "counter": CounterMetricFamily,
    "gauge": GaugeMetricFamily,
    "histogram": HistogramMetricFamily,
}


class Family(Collector, Generic[C]):
    """A metric of what happens all the time; its first label, if it has any, is the name of a source, route or destination.

    Each child belongs to one thread: the event loop's, or the one on which the store writes.
    """

    def __init__(
        self,
        kind: type[C],
        name: str,
        about: str,
        labels: tuple[str, ...] = (),
        *,
        begins: Collection[tuple[str, ...]] = (),
        buckets: Sequence[float] = (),
    ) -> None:
        """``begins``: labels (after the name) of children that exist from the start, at 0: a counter that first appears
        at 1 shows no increase. Without ``labels`` there is one child, from the start.
        """
        METRICS[name] = Declared(type=kind.type, labels=labels, about=about)
        self._kind: type[C] = kind
        self._name, self._about, self._labels = name, about, labels
        self._begins = begins
        self._buckets = buckets
        self._names: Collection[str] = ()
        self._children: dict[tuple[str, ...], C] = {} if labels else {(): kind(buckets)}
        REGISTRY.register(self)

    def of(self, *labels: str) -> C:
        """The child with these labels; a name that is not in force counts as ``other``."""
        return self._children.get(labels) or self._made(*labels)

    def inc(self: "Family[Count]", *labels: str) -> None:
        """Count one. As the two below without ``of``, which every event would call six times."""
        (self._children.get(labels) or self._made(*labels)).value += 1.0

    def set(self: "Family[Level]", value: float, *labels: str) -> None:
        (self._children.get(labels) or self._made(*labels)).value = value

    def observe(self: "Family[Spread]", value: float, *labels: str) -> None:
        (self._children.get(labels) or self._made(*labels)).observe(value)

    def values(self) -> dict[str, float]:
        """The value of each name, of a gauge or a counter with no other label; without those at 0."""
        found: dict[str, float] = {}
        for (name, *_), child in self._children.items():
            if isinstance(child, Count | Level) and child.value and name != OTHER:
                found[name] = child.value
        return found

    def _made(self, name: str, *more: str) -> C:
        labels = (name if name in self._names else OTHER, *more)
        if labels not in self._children:
            self._children[labels] = self._kind(self._buckets)
        return self._children[labels]

    def follow(self, names: Collection[str]) -> None:
        """Start every name at 0 and drop the children of all others."""
        self._names = names
        for labels in [each for each in self._children if each[0] not in names and each[0] != OTHER]:
            del self._children[labels]
        for name in names:
            for labels in self._begins:
                self.of(name, *labels)

    def collect(self) -> Iterator[Metric]:
        """For a scrape: all children."""
        metric = _FAMILIES[self._kind.type](self._name, self._about, labels=self._labels)
        for labels, child in self._children.items():
            child.add_to(metric, labels)
        yield metric
