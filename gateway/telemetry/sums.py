"""The figures of several processes of one gateway, as one."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

import msgspec
from msgspec import Struct
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import Metric

from gateway.telemetry.families import REGISTRY

#: Gauges that add up over processes. Of every other gauge the process that is asked says what it is for all of them.
_SUMMED: Final = frozenset(
    {
        "gateway_listener_connections",
        "gateway_listener_connections_limit",
        "gateway_listener_body_bytes",
        "gateway_listener_body_bytes_limit",
        "process_open_fds",
        "process_resident_memory_bytes",
        "process_virtual_memory_bytes",
    }
)
#: Gauges of which the latest counts.
_LATEST: Final = frozenset({"gateway_route_last_match_timestamp_seconds"})

#: The labels of a sample, sorted by name.
Labels = tuple[tuple[str, str], ...]


class Figures(Struct):
    """The samples of one metric, by name and labels."""

    name: str
    type: str
    about: str
    samples: dict[tuple[str, Labels], float]


_decode: Final = msgspec.msgpack.Decoder(list[Figures]).decode


def taken() -> bytes:
    """The figures of this process, for another one."""
    return msgspec.msgpack.encode(list(_own()))


def read(figures: bytes) -> Sequence[Figures]:
    """What another process has taken. Raises msgspec.MsgspecError."""
    return _decode(figures)


def lasting(gone: Sequence[Figures], figures: Sequence[Figures]) -> Sequence[Figures]:
    """What is left of processes that have ended: counters must not fall."""
    return _added(gone, [each for each in figures if each.type != "gauge"])


def together(others: Iterable[Sequence[Figures]]) -> Sequence[Figures]:
    """The figures of this process and the others."""
    added: Sequence[Figures] = list(_own())
    for each in others:
        added = _added(added, each)
    return added


def scrape(others: Iterable[Sequence[Figures]]) -> bytes:
    """All metrics of this process and the others in Prometheus' text format."""
    registry = CollectorRegistry()
    registry.register(_Added(together(others)))
    return generate_latest(registry)


def _own() -> Iterator[Figures]:
    for metric in REGISTRY.collect():
        samples = {(each.name, tuple(sorted(each.labels.items()))): each.value for each in metric.samples}
        yield Figures(metric.name, metric.type, metric.documentation, samples)


def _added(some: Sequence[Figures], more: Sequence[Figures]) -> Sequence[Figures]:
    found = {each.name: Figures(each.name, each.type, each.about, dict(each.samples)) for each in some}
    for each in more:
        if each.name in found:
            _add(found[each.name], each.samples)
        elif each.type != "gauge" or each.name in _SUMMED | _LATEST:
            found[each.name] = each
    return list(found.values())


def _add(figures: Figures, more: Mapping[tuple[str, Labels], float]) -> None:
    if figures.name in _LATEST:
        for key, value in more.items():
            figures.samples[key] = max(value, figures.samples.get(key, value))
    elif figures.type != "gauge" or figures.name in _SUMMED:
        for key, value in more.items():
            figures.samples[key] = figures.samples.get(key, 0.0) + value


class _Added:
    """What a registry collects from."""

    def __init__(self, figures: Sequence[Figures]) -> None:
        self._figures = figures

    def collect(self) -> Iterator[Metric]:
        for each in self._figures:
            metric = Metric(each.name, each.about, each.type)
            for (name, labels), value in each.samples.items():
                metric.add_sample(name, dict(labels), value)
            yield metric
