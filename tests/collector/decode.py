"""Decodes what OpenTelemetry's exporters have sent; prints it as JSON.

Runs with the Python that has the extra. Standard input: a list of ``[path, body as hex digits]``.
"""

import json
import sys

from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

KINDS = {"/v1/traces": ExportTraceServiceRequest, "/v1/metrics": ExportMetricsServiceRequest}
sys.stdout.write(
    json.dumps([MessageToDict(KINDS[path].FromString(bytes.fromhex(body))) for path, body in json.load(sys.stdin)])
)
