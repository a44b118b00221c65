"""How a metric is declared: its name, help and labels, and one child for each name in force."""

from collections.abc import Collection
from typing import Any, Final, Generic, Literal, TypeVar

from msgspec import Struct
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
)

#: The label for names that are not in the configuration in force.
OTHER: Final = "other"

M = TypeVar("M", Counter, Gauge, Histogram)


class Declared(Struct, frozen=True, kw_only=True):
    """A metric as the reference documents it."""

    type: Literal["counter", "gauge", "histogram"]
    labels: tuple[str, ...]
    about: str


#: By name, as scraped.
METRICS: Final[dict[str, Declared]] = {}
REGISTRY: Final = CollectorRegistry(auto_describe=True)
# The creation time of each series would be a second series for each.
disable_created_metrics()  # type: ignore[no-untyped-call]
ProcessCollector(registry=REGISTRY)


def declare(kind: type[M], name: str, about: str, labels: tuple[str, ...] = (), **options: Any) -> M:
    """Register a metric; ``about`` is its help in scrapes and in the reference."""
    METRICS[name] = Declared(type=kind._type, labels=labels, about=about)  # type: ignore[arg-type]  # noqa: SLF001
    return kind(name, about, labels, registry=REGISTRY, **options)


class Family(Generic[M]):
    """A metric whose first label is the name of a source, route or destination.

    Each child is looked up once: the library's ``labels()`` takes longer than what is done with the child.
    """

    def __init__(self, kind: type[M], name: str, about: str, labels: tuple[str, ...], **options: Any) -> None:
        #: Labels (after the name) of children that exist from the start, at 0: a counter that first appears at 1
        #: shows no increase.
        self._begins: Collection[tuple[str, ...]] = options.pop("begins", ())
        self._metric: M = declare(kind, name, about, labels, **options)
        self._names: Collection[str] = ()
        self._children: dict[tuple[str, ...], M] = {}

    def of(self, *labels: str) -> M:
        """The child with these labels; a name that is not in force counts as ``other``."""
        return self._children.get(labels) or self._made(*labels)

    def values(self) -> dict[str, float]:
        """The value of each name, of a gauge or a counter with no other label; without those at 0."""
        samples = (sample for metric in self._metric.collect() for sample in metric.samples)
        found = ((next(iter(sample.labels.values()), OTHER), sample.value) for sample in samples)
        return {name: value for name, value in found if value and name != OTHER}

    def _made(self, name: str, *more: str) -> M:
        labels = (name if name in self._names else OTHER, *more)
        if labels not in self._children:
            self._children[labels] = self._metric.labels(*labels)
        return self._children[labels]

    def follow(self, names: Collection[str]) -> None:
        """Start every name at 0 and drop the children of all others."""
        self._names = names
        for labels in [each for each in self._children if each[0] not in names and each[0] != OTHER]:
            self._metric.remove(*labels)
            del self._children[labels]
        for name in names:
            for labels in self._begins:
                self.of(name, *labels)
