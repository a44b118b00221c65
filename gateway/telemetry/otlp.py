"""Traces and metrics for a collector, by OTLP over HTTP: the extra ``otel``, turned on by OpenTelemetry's own variables.

The only module that knows OpenTelemetry's packages, and it imports them only once they are needed.
https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/
"""

import logging
import os
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

from msgspec import Struct

from gateway import telemetry
from gateway.telemetry.figures import Points, points
from gateway.telemetry.pump import BATCH, GATHER_S, MOST, Pump, Signal
from gateway.telemetry.spans import Span
from gateway.telemetry.sums import Figures
from gateway.wording import printable

#: Seconds that the last spans and figures have when the process ends.
CLOSE_S: Final = 1.0
#: Seconds between two exports of the metrics.
METRICS_S: Final = 60.0
_ENDPOINT: Final = "OTEL_EXPORTER_OTLP_ENDPOINT"
_PROTOCOL: Final = "http/protobuf"
#: Characters of a reason: a collector can answer a page of HTML.
_LONGEST_REASON: Final = 300
#: Bytes of an answer that are read, and not looked at.
_MOST_READ: Final = 65_536


class Otlp(Struct, frozen=True):
    """Where spans and figures go; None: they are not wanted."""

    spans: Pump[Span] | None
    figures: Pump[Sequence[Figures]] | None
    metrics_s: float = METRICS_S

    def close(self) -> None:
        """Send what waits, for a second at most. Blocks: call it in a thread."""
        ends_at = time.monotonic() + CLOSE_S
        for pump in (self.spans, self.figures):
            if pump is not None:
                pump.close(max(0.0, ends_at - time.monotonic()))


def is_wanted(environ: Mapping[str, str]) -> bool:
    """Whether an endpoint is named, and OpenTelemetry is not disabled."""
    return bool(_wanted(environ)) and environ.get("OTEL_SDK_DISABLED", "").strip().lower() != "true"


def begin(environ: Mapping[str, str], *, version: str, instance: str, with_metrics: bool) -> Otlp | None:
    """Send traces and metrics from now on, if the variables say so; if that cannot be, the log says why.

    ``instance``: of several gateways under one name, which this is. A variable may be set for every process of a cluster: it never keeps a gateway from starting.
    """
    if not is_wanted(environ):
        return None
    wanted = _wanted(environ) - (set() if with_metrics else {"metrics"})
    for signal in wanted:
        if (protocol := _protocol(environ, signal)) != _PROTOCOL:
            telemetry.log(
                "otlp.off",
                reason=f"{signal} are sent by {_PROTOCOL} only, not by {protocol}: set OTEL_EXPORTER_OTLP_PROTOCOL",
            )
            return None
    # The packages read the environment of the process, and .env is not part of it.
    for name, value in environ.items():
        if name.startswith("OTEL_"):
            os.environ.setdefault(name, value)
    if "service.name=" not in os.environ.get("OTEL_RESOURCE_ATTRIBUTES", ""):
        os.environ.setdefault("OTEL_SERVICE_NAME", "hookkeeper")
    try:
        return _begun(environ, wanted, _Sender(version, instance))
    except ImportError:
        telemetry.log(
            "otlp.off",
            reason="an OTLP endpoint is set, but OpenTelemetry's packages are not installed: install hookkeeper[otel]",
        )
    except Exception as error:  # noqa: BLE001  a variable that the packages do not understand
        telemetry.log(
            "otlp.off", reason=f"OpenTelemetry could not be set up: {_said(str(error))}; check the OTEL_ variables"
        )
    return None


def _begun(environ: Mapping[str, str], wanted: Collection[Signal], sender: "_Sender") -> Otlp:
    said = _LastWords()
    spans = figures = None
    if "traces" in wanted:
        most = _number(environ, "OTEL_BSP_MAX_QUEUE_SIZE", MOST)
        spans = Pump(
            "traces",
            _span_sender(said, sender),
            most=int(most),
            batch=int(min(_number(environ, "OTEL_BSP_MAX_EXPORT_BATCH_SIZE", BATCH), most)),
            gather_s=_number(environ, "OTEL_BSP_SCHEDULE_DELAY", GATHER_S * 1000) / 1000,
        )
    if "metrics" in wanted:
        # They are totals: the latest replaces any that waits.
        figures = Pump("metrics", _figure_sender(said, sender), most=1, batch=1)
    return Otlp(spans, figures, _number(environ, "OTEL_METRIC_EXPORT_INTERVAL", METRICS_S * 1000) / 1000)


def _wanted(environ: Mapping[str, str]) -> set[Signal]:
    signals: tuple[Signal, ...] = ("traces", "metrics")
    return {
        each
        for each in signals
        if (environ.get(_ENDPOINT) or environ.get(f"OTEL_EXPORTER_OTLP_{each.upper()}_ENDPOINT"))
        and environ.get(f"OTEL_{each.upper()}_EXPORTER", "otlp").strip() in {"otlp", ""}
    }


def _protocol(environ: Mapping[str, str], signal: Signal) -> str:
    of_all = environ.get("OTEL_EXPORTER_OTLP_PROTOCOL")
    return (environ.get(f"OTEL_EXPORTER_OTLP_{signal.upper()}_PROTOCOL") or of_all or _PROTOCOL).strip()


def _number(environ: Mapping[str, str], name: str, default: float) -> float:
    """A positive number; the default instead of anything else."""
    with suppress(ValueError):
        if 1 <= (number := float(environ.get(name, ""))) <= 1e9:
            return number
    return float(default)


class _Sender(Struct, frozen=True):
    """Who sends."""

    version: str
    instance: str

    def resource(self) -> Any:
        """As the environment says; what it leaves out is known here."""
        from opentelemetry.sdk.resources import Resource

        said = os.environ.get("OTEL_RESOURCE_ATTRIBUTES", "")
        known = {"service.version": self.version, "service.instance.id": self.instance}
        return Resource.create({name: value for name, value in known.items() if f"{name}=" not in said})


class _LastWords(logging.Handler):
    """Keeps what the packages said last: they log why an export failed, and do not return it."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.text = ""
        logger = logging.getLogger("opentelemetry")
        logger.handlers, logger.propagate = [self], False

    def emit(self, record: logging.LogRecord) -> None:
        self.text = record.getMessage()

    def after(self, succeeded: bool) -> str:
        """Why an export failed; empty: it has not."""
        return "" if succeeded else _said(self.text or "the collector did not accept it")


def _said(text: str) -> str:
    return printable(text)[:_LONGEST_REASON]


def _session(signal: str) -> Any:
    """What requests are made with: of an answer it reads what came at once, since one may never end.

    None where the environment names a provider of credentials, which brings its own.
    """
    import requests

    providers = (
        "OTEL_PYTHON_EXPORTER_OTLP_HTTP_CREDENTIAL_PROVIDER",
        f"OTEL_PYTHON_EXPORTER_OTLP_HTTP_{signal}_CREDENTIAL_PROVIDER",
    )
    if any(os.environ.get(each) for each in providers):
        return None

    class Session(requests.Session):  # type: ignore[misc, unused-ignore]
        def send(self, request: Any, **options: Any) -> Any:
            answer = super().send(request, **{**options, "stream": True})
            with suppress(Exception):
                # Only then may the connection be used again.
                answer.raw.read1(_MOST_READ)
            answer.close()
            return answer

    return Session()


# --- traces ---


def _span_sender(said: _LastWords, sender: _Sender) -> Callable[[Sequence[Span]], str]:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
    from opentelemetry.sdk.trace.export import SpanExportResult
    from opentelemetry.sdk.trace.id_generator import IdGenerator
    from opentelemetry.trace import (
        NonRecordingSpan,
        SpanContext,
        SpanKind,
        Status,
        StatusCode,
        TraceFlags,
        set_span_in_context,
    )

    class Ids(IdGenerator):  # type: ignore[misc, unused-ignore]  # not typed where the extra is not installed
        """The ids of the span that is made next. Only the thread of the pump makes spans."""

        trace_id = span_id = 0

        def generate_trace_id(self) -> int:
            return self.trace_id

        def generate_span_id(self) -> int:
            return self.span_id

    class Ended(SpanProcessor):  # type: ignore[misc, unused-ignore]
        def __init__(self) -> None:
            self.spans: list[ReadableSpan] = []

        def on_end(self, span: ReadableSpan) -> None:
            self.spans.append(span)

    ids, ended = Ids(), Ended()
    provider = TracerProvider(resource=sender.resource(), id_generator=ids, shutdown_on_exit=False)
    provider.add_span_processor(ended)
    tracer, exporter = provider.get_tracer("gateway", sender.version), OTLPSpanExporter(session=_session("TRACES"))

    def below(trace_id: int, parent_id: int | None, *, is_sampled: bool) -> Any:
        if parent_id is None:
            return set_span_in_context(NonRecordingSpan(SpanContext(0, 0, is_remote=False)))
        flags = TraceFlags(TraceFlags.SAMPLED if is_sampled else TraceFlags.DEFAULT)
        return set_span_in_context(
            NonRecordingSpan(SpanContext(trace_id, parent_id, is_remote=True, trace_flags=flags))
        )

    def make(span: Span) -> None:
        # All spans of a trace are recorded, or none: what decides is what the first one here continues.
        first = below(span.trace_id, span.sender_id, is_sampled=span.is_sampled)
        if not provider.sampler.should_sample(first, span.trace_id, "receive").decision.is_sampled():
            return
        ids.trace_id, ids.span_id = span.trace_id, span.span_id
        made = tracer.start_span(
            span.name,
            below(span.trace_id, span.parent_id, is_sampled=True),
            SpanKind[span.kind],
            span.attributes,
            start_time=int(span.began * 1e9),
        )
        if span.error is not None:
            made.set_status(Status(StatusCode.ERROR, span.error))
        made.end(int(span.ended * 1e9))

    def send(spans: Sequence[Span]) -> str:
        ended.spans = []
        for span in spans:
            make(span)
        return said.after(not ended.spans or exporter.export(ended.spans) is SpanExportResult.SUCCESS)

    return send


# --- metrics ---


def _figure_sender(said: _LastWords, sender: _Sender) -> Callable[[Sequence[Sequence[Figures]]], str]:
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    from opentelemetry.sdk.metrics import export as sdk
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope

    exporter, resource, scope = (
        OTLPMetricExporter(session=_session("METRICS")),
        sender.resource(),
        InstrumentationScope("gateway", sender.version),
    )
    began = time.time_ns()
    total = sdk.AggregationTemporality.CUMULATIVE

    def metric(figures: Figures, now: int) -> Any:
        made = points(figures)
        return sdk.Metric(made.name, figures.about, "", data(figures.type, made, now))

    def data(type: str, made: Points, now: int) -> Any:
        if type == "histogram":
            spreads = [
                sdk.HistogramDataPoint(
                    dict(each.labels), began, now, sum(each.counts), each.sum, each.counts, each.bounds, None, None
                )
                for each in made.spreads
            ]
            return sdk.Histogram(spreads, total)
        numbers = [sdk.NumberDataPoint(dict(labels), began, now, value) for labels, value in made.numbers]
        return sdk.Sum(numbers, total, is_monotonic=True) if type == "counter" else sdk.Gauge(numbers)

    def send(taken: Sequence[Sequence[Figures]]) -> str:
        now = time.time_ns()
        metrics = [metric(each, now) for each in taken[-1] if each.samples]
        of_scope = sdk.ScopeMetrics(scope, metrics, "")
        everything = sdk.MetricsData([sdk.ResourceMetrics(resource, [of_scope], "")])
        return said.after(exporter.export(everything) is sdk.MetricExportResult.SUCCESS)

    return send
