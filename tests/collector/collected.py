"""What a collector on a real socket was sent, decoded by OpenTelemetry's own package."""

import base64
import importlib.util
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.sink import Sink

#: The Python that has the extra: `make otel` says so.
HAS_EXTRA = importlib.util.find_spec("opentelemetry") is not None
PYTHON = os.environ.get("GATEWAY_TEST_OTEL", sys.executable if HAS_EXTRA else "")
needs_extra = pytest.mark.skipif(not PYTHON, reason="THE EXTRA otel IS MISSING: make otel")
ROOT = Path(__file__).parents[2]
COMMAND = (PYTHON, "-m", "gateway", "serve")


@dataclass(frozen=True)
class Span:
    """Ids are hex digits; ``parent`` is empty for the first span of a trace."""

    name: str
    kind: str
    trace: str
    id: str
    parent: str
    began: int
    ended: int
    attributes: dict[str, Any]
    failed: str | None
    service: str


def environ(collector: Sink, **more: str) -> dict[str, str]:
    """The variables of a gateway that tells this collector, soon."""
    return {
        "PYTHONPATH": str(ROOT),
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
        "OTEL_BSP_SCHEDULE_DELAY": "50",
        "OTEL_METRIC_EXPORT_INTERVAL": "200",
        **more,
    }


def spans(collector: Sink) -> list[Span]:
    found = []
    for message in _decoded(collector, "/v1/traces"):
        for of_resource in message["resourceSpans"]:
            service = _attributes(of_resource["resource"])["service.name"]
            found += [_span(each, service) for scope in of_resource["scopeSpans"] for each in scope["spans"]]
    return found


def resources(collector: Sink) -> list[dict[str, Any]]:
    """Who sent each export."""
    sent = [*_decoded(collector, "/v1/traces"), *_decoded(collector, "/v1/metrics")]
    found = [each for message in sent for key in ("resourceSpans", "resourceMetrics") for each in message.get(key, ())]
    return [_attributes(each["resource"]) for each in found]


def metrics(collector: Sink) -> dict[str, dict[str, Any]]:
    """The last export, by name."""
    [of_resource] = _decoded(collector, "/v1/metrics")[-1]["resourceMetrics"]
    return {each["name"]: each for scope in of_resource["scopeMetrics"] for each in scope["metrics"]}


def attributes_of(point: dict[str, Any]) -> dict[str, Any]:
    return _attributes(point)


def _decoded(collector: Sink, path: str) -> list[dict[str, Any]]:
    sent = [[each.path, each.body.hex()] for each in collector.requests if each.path == path]
    done = subprocess.run(
        [PYTHON, str(Path(__file__).with_name("decode.py"))],
        input=json.dumps(sent), capture_output=True, text=True, timeout=90, check=True,
    )  # fmt: skip
    return json.loads(done.stdout)


def _span(each: dict[str, Any], service: str) -> Span:
    status = each.get("status", {})
    return Span(
        name=each["name"],
        kind=each["kind"].removeprefix("SPAN_KIND_"),
        trace=_hex(each["traceId"]),
        id=_hex(each["spanId"]),
        parent=_hex(each.get("parentSpanId", "")),
        began=int(each["startTimeUnixNano"]),
        ended=int(each["endTimeUnixNano"]),
        attributes=_attributes(each),
        failed=status.get("message", "") if status.get("code") == "STATUS_CODE_ERROR" else None,
        service=service,
    )


def _attributes(each: dict[str, Any]) -> dict[str, Any]:
    return {one["key"]: next(iter(one["value"].values())) for one in each.get("attributes", ())}


def _hex(text: str) -> str:
    return base64.b64decode(text).hex()
