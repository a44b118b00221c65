"""Who does not ask for OpenTelemetry has none of it, and who asks in vain is told and has a gateway all the same."""

import asyncio
import sys
from types import SimpleNamespace

import pytest

from gateway.cli.assembly import Lifecycle, nothing_more
from gateway.telemetry.otlp import Otlp
from tests.acceptance.harness import GatewayProcess, distinct, eventually
from tests.collector.collected import PYTHON, ROOT, environ, needs_extra
from tests.collector.test_collector import routes
from tests.sink import Sink, answer

WITHOUT = (
    "import sys; sys.modules['opentelemetry'] = None; from gateway.cli import main; sys.argv[0] = 'gateway'; main()"
)


def works(gateway):
    gateway.settled(gateway.post(distinct(1))[1]["id"])
    return gateway.log_lines("otlp.off")


def test_without_the_packages_the_log_says_what_to_install_and_events_are_delivered(tmp_path):
    command = (sys.executable, "-c", WITHOUT, "serve")
    with Sink(answer(200)) as sink, Sink(answer(200)) as collector:
        with GatewayProcess(tmp_path, routes(sink), command=command, environ=environ(collector)) as gateway:
            [off] = works(gateway)
        assert (
            off["reason"]
            == "an OTLP endpoint is set, but OpenTelemetry's packages are not installed: install hookkeeper[otel]"
        )
        assert collector.requests == []


@needs_extra
@pytest.mark.parametrize(
    ("more", "said"),
    [
        pytest.param({"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "http/protobuf only, not by grpc", id="gRPC"),
        pytest.param({"OTEL_SDK_DISABLED": "true"}, "", id="disabled"),
        pytest.param({"OTEL_TRACES_EXPORTER": "none", "OTEL_METRICS_EXPORTER": "none"}, "", id="no exporter"),
        pytest.param({"OTEL_EXPORTER_OTLP_ENDPOINT": ""}, "", id="no endpoint"),
    ],
)
def test_what_is_turned_off_sends_nothing(tmp_path, more, said):
    with Sink(answer(200)) as sink, Sink(answer(200)) as collector:
        command = (PYTHON, "-m", "gateway", "serve")
        with GatewayProcess(tmp_path, routes(sink), command=command, environ=environ(collector, **more)) as gateway:
            off = works(gateway)
            assert gateway.terminate() == 0
        assert [said in each["reason"] for each in off] == ([True] if said else [])
        assert collector.requests == []


@needs_extra
def test_traces_alone_and_metrics_alone(tmp_path):
    for other, path in (("METRICS", "/v1/traces"), ("TRACES", "/v1/metrics")):
        folder = tmp_path / other
        folder.mkdir()
        with Sink(answer(200)) as sink, Sink(answer(200)) as collector:
            command = (PYTHON, "-m", "gateway", "serve")
            asked = environ(collector, **{f"OTEL_{other}_EXPORTER": "none"})
            with GatewayProcess(folder, routes(sink), command=command, environ=asked) as gateway:
                works(gateway)
                eventually(lambda: collector.requests, "something came")
                assert gateway.terminate() == 0
            assert {each.path for each in collector.requests} == {path}


@needs_extra
@pytest.mark.parametrize(
    "name",
    ["OTEL_BSP_MAX_QUEUE_SIZE", "OTEL_BSP_SCHEDULE_DELAY", "OTEL_EXPORTER_OTLP_TIMEOUT", "OTEL_EXPORTER_OTLP_ENDPOINT"],
)
def test_a_variable_that_says_nothing_useful_keeps_no_gateway_from_starting(tmp_path, name):
    with Sink(answer(200)) as sink, Sink(answer(200)) as collector:
        command = (PYTHON, "-m", "gateway", "serve")
        asked = environ(collector, **{name: "much"})
        with GatewayProcess(tmp_path, routes(sink), command=command, environ=asked) as gateway:
            works(gateway)
            assert gateway.terminate() == 0


@needs_extra
def test_a_variable_in_the_env_file_counts(tmp_path):
    with Sink(answer(200)) as sink, Sink(answer(200)) as collector:
        named = environ(collector)
        (tmp_path / ".env").write_text("".join(f"{name}={value}\n" for name, value in named.items() if "OTEL" in name))
        command = (PYTHON, "-m", "gateway", "serve")
        options = ("--env-file", str(tmp_path / ".env"))
        with GatewayProcess(
            tmp_path, routes(sink), command=command, options=options, environ={"PYTHONPATH": str(ROOT)}
        ) as gateway:
            works(gateway)
            eventually(lambda: "/v1/traces" in {each.path for each in collector.requests}, "spans came")


def test_a_gateway_that_is_not_asked_imports_nothing_of_it(tmp_path):
    command = (PYTHON or sys.executable, "-X", "importtime", "-m", "gateway", "serve")
    with (
        Sink(answer(200)) as sink,
        GatewayProcess(tmp_path, routes(sink), command=command, environ={"PYTHONPATH": str(ROOT)}) as gateway,
    ):
        works(gateway)
        assert gateway.terminate() == 0
        imported = {line.rpartition("|")[2].strip() for line in gateway.log_text().splitlines() if "|" in line}
    assert "gateway.pipeline" in imported
    # Litestar imports what it finds of OpenTelemetry's interface, which does nothing by itself.
    costly = ("opentelemetry.sdk", "opentelemetry.exporter", "requests", "gateway.telemetry.otlp")
    assert [each for each in imported if each.startswith(costly)] == []


def test_where_no_metrics_are_wanted_none_are_taken_at_the_end():
    asked = []

    async def figures():
        asked.append(True)
        return ()

    hooks = Lifecycle(
        parts=SimpleNamespace(otlp=Otlp(spans=None, figures=None)), watching=None, say_ready=nothing_more,
        scrape=SimpleNamespace(figures=figures),
    )  # fmt: skip
    asyncio.run(hooks._last_figures())
    assert asked == []
