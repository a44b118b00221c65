"""Telemetry of a running gateway: metrics Prometheus can read, traces that continue, and no dependence on readers."""

import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

import pytest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from gateway.telemetry.metrics import METRICS
from tests.acceptance.harness import GatewayProcess, distinct, eventually, signature
from tests.sink import Sink, answer

HEAD = "version: 1\nsources: {xobito: {preset: xobito, secret: acceptance-secret}}\n"
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


def routes(url: str, *names: str, more: str = "") -> str:
    entries = "".join(f"  - {{name: {name}, match: 'contact.*', to: crm, body: {{a: 1}}}}\n" for name in names)
    return f'{HEAD}destinations:\n  crm: {{url: "{url}"}}\nroutes:\n{entries}{more}'


class Scrape:
    """What /metrics says now."""

    def __init__(self, gateway: GatewayProcess) -> None:
        status, text = gateway.api("/metrics")
        assert status == 200
        self.families = {family.name: family for family in text_string_to_metric_families(text)}

    def samples(self, name: str) -> list[Sample]:
        return [each for family in self.families.values() for each in family.samples if each.name == name]

    def value(self, name: str, **labels: str) -> float | None:
        """Of the one series with these labels; None: there is none."""
        found = [each.value for each in self.samples(name) if each.labels == labels]
        assert len(found) <= 1
        return found[0] if found else None


# --- metrics ---


def test_every_metric_is_there_as_it_is_declared(tmp_path):
    with Sink(answer(200), answer(500)) as sink:
        with GatewayProcess(tmp_path, routes(sink.url, "contacts")) as gateway:
            gateway.settled(gateway.post(distinct(1))[1]["id"])
            scrape = Scrape(gateway)
    assert {f"{name}_total" if family.type == "counter" else name for name, family in scrape.families.items()} >= {
        *METRICS
    }
    for name, declared in METRICS.items():
        family = scrape.families[name.removesuffix("_total")]
        assert (family.type, family.documentation) == (declared.type, declared.about)
        for sample in family.samples:
            assert set(sample.labels) - {"le"} == set(declared.labels)


def test_an_event_is_counted_from_the_door_to_its_destination(tmp_path):
    with Sink() as sink:
        with GatewayProcess(tmp_path, routes(sink.url, "contacts")) as gateway:
            gateway.settled(gateway.post(distinct(1))[1]["id"])
            gateway.post(distinct(1))
            gateway.post(distinct(2), headers={"x-webhook-signature": "wrong"})
            gateway.request("POST", "/in/nobody", b"{}")
            gateway.post(distinct(3, "source.created"))
            scrape = eventually(
                lambda: (
                    (found := Scrape(gateway)).value("gateway_delivery_latency_seconds_count", destination="crm")
                    and found
                ),
                "the delivery is counted",
            )
    received = {
        (each.labels["source"], each.labels["outcome"], each.labels["reason"]): each.value
        for each in scrape.samples("gateway_events_received_total")
    }
    assert received == {
        ("xobito", "accepted", ""): 2,
        ("xobito", "duplicate", ""): 1,
        ("xobito", "rejected", "signature"): 1,
        ("xobito", "unavailable", "store"): 0,
        ("other", "rejected", "unknown_source"): 1,
    }
    assert scrape.value("gateway_route_matches_total", route="contacts") == 1
    assert time.time() - scrape.value("gateway_route_last_match_timestamp_seconds", route="contacts") < 60
    assert scrape.value("gateway_events_unmatched_total", source="xobito") == 1
    attempts = {"destination": "crm", "outcome": "delivered", "reason": "2xx"}
    assert scrape.value("gateway_delivery_attempts_total", **attempts) == 1
    assert scrape.value("gateway_delivery_attempt_duration_seconds_count", destination="crm") == 1
    assert scrape.value("gateway_ingest_duration_seconds_count") == 5
    assert scrape.value("gateway_store_commit_seconds_count") >= 2
    assert scrape.value("gateway_store_bytes") > 4096
    assert scrape.value("gateway_disk_free_bytes") > 0
    assert scrape.value("gateway_ready") == 1


@pytest.mark.parametrize(
    ("behaviour", "outcome", "reason"),
    [
        (answer(503), "retry", "5xx"),
        (answer(429), "retry", "429"),
        (answer(404), "dead", "4xx"),
        (answer(302), "dead", "3xx"),
        (answer(200, b'{"ok": false}'), "retry", "not_taken"),
    ],
)
def test_an_attempt_is_counted_by_what_it_came_to_and_why(tmp_path, behaviour, outcome, reason):
    with Sink(behaviour) as sink:
        # One attempt, however long it takes until it is seen.
        more = ", retry: {first: 1h}" + (", success: {json: {ok: true}}" if reason == "not_taken" else "")
        with GatewayProcess(tmp_path, routes(sink.url, "contacts").replace('"}', f'"{more}}}', 1)) as gateway:
            gateway.post(distinct(1))
            dead = 1 if outcome == "dead" else 0

            def counted():
                scrape = Scrape(gateway)
                attempts = {(each.labels["outcome"], each.labels["reason"]): each.value
                            for each in scrape.samples("gateway_delivery_attempts_total")
                            if each.labels["destination"] == "crm" and each.value}  # fmt: skip
                still_open = sum(each.value for each in scrape.samples("gateway_deliveries_open"))
                return (attempts, scrape.value("gateway_dead_letters", destination="crm"), still_open)

            expected = ({(outcome, reason): 1}, dead, 1 - dead)
            eventually(lambda: counted() == expected, f"{expected} is counted")


@pytest.mark.parametrize(
    ("url", "outcome", "reason"),
    [
        ("http://127.0.0.1:9/", "retry", "connect"),
        ("http://no-such-name.invalid/", "retry", "dns"),
    ],
)
def test_where_no_answer_comes_from_the_fault_is_named(tmp_path, url, outcome, reason):
    with GatewayProcess(tmp_path, routes(url, "contacts")) as gateway:
        gateway.post(distinct(1))
        counted = {"destination": "crm", "outcome": outcome, "reason": reason}
        eventually(lambda: Scrape(gateway).value("gateway_delivery_attempts_total", **counted), f"counted {counted}")


def test_a_template_that_fails_is_counted_for_its_route(tmp_path):
    more = "  - {name: broken, match: 'contact.*', to: crm, body: {a: '{{ attrs.nothing_of_the_sort }}'}}\n"
    with Sink() as sink:
        with GatewayProcess(tmp_path, routes(sink.url, "contacts", more=more)) as gateway:
            gateway.settled(gateway.post(distinct(1))[1]["id"])
            counted = {"destination": "crm", "outcome": "dead", "reason": "render"}
            eventually(lambda: Scrape(gateway).value("gateway_delivery_attempts_total", **counted), "it is counted")
            scrape = Scrape(gateway)
    assert scrape.value("gateway_render_errors_total", route="broken") == 1
    assert scrape.value("gateway_render_errors_total", route="contacts") == 0


def test_what_waits_behind_an_open_circuit_is_held_and_grows_old(tmp_path):
    with Sink(*[answer(500)] * 9) as sink:
        text = routes(sink.url, "contacts").replace('"}', '", retry: {first: 100ms, max: 100ms}}', 1)
        with GatewayProcess(tmp_path, text) as gateway:
            gateway.post(distinct(1))
            eventually(lambda: Scrape(gateway).value("gateway_circuit_state", destination="crm") == 1, "it is open")
            # Between two probes of the circuit: one that is under way is in flight.
            scrape = eventually(
                lambda: (
                    (found := Scrape(gateway)).value("gateway_deliveries_open", destination="crm", state="held") == 1
                    and found.value("gateway_deliveries_oldest_due_seconds", destination="crm")
                    and found
                ),
                "it is held, and due",
            )
            assert scrape.value("gateway_deliveries_open", destination="crm", state="waiting") == 0
            assert scrape.value("gateway_destination_paused", destination="crm") == 0


def test_a_paused_destination_is_seen(tmp_path):
    with Sink() as sink:
        with GatewayProcess(tmp_path, routes(sink.url, "contacts").replace('"}', '", paused: true}', 1)) as gateway:
            gateway.post(distinct(1))
            scrape = Scrape(gateway)
    assert scrape.value("gateway_destination_paused", destination="crm") == 1
    assert scrape.value("gateway_deliveries_open", destination="crm", state="held") == 1


def test_labels_follow_the_file_in_force(tmp_path):
    with Sink(answer(404)) as sink:
        with GatewayProcess(tmp_path, routes(sink.url, "contacts", "old")) as gateway:
            gateway.settled(gateway.post(distinct(1))[1]["id"])
            assert Scrape(gateway).value("gateway_route_matches_total", route="old") == 1
            text = routes(sink.url, "contacts", "new").replace("  crm:", "  crm2:").replace("to: crm", "to: crm2")
            (tmp_path / "routes.yaml").write_text(text)
            assert gateway.api("/api/reload", {})[0] == 200
            scrape = Scrape(gateway)
    matches = {each.labels["route"]: each.value for each in scrape.samples("gateway_route_matches_total")}
    assert matches == {"contacts": 1, "new": 0}
    destinations = {
        each.labels["destination"] for name in METRICS for each in scrape.samples(name) if "destination" in each.labels
    }
    assert destinations == {"crm2", "other"}
    assert scrape.value("gateway_dead_letters", destination="other") == 2


# --- the trace ---


def trace_of(sink: Sink, number: int = 1) -> dict[str, str]:
    return sink.wait_for(number)[number - 1].headers


def test_the_senders_trace_goes_on_to_the_destination_and_into_the_log(tmp_path):
    with Sink(answer(500), answer(200)) as sink:
        text = routes(sink.url, "contacts").replace('"}', '", retry: {first: 100ms}}', 1)
        with GatewayProcess(tmp_path, text) as gateway:
            body = distinct(1)
            sent = {"x-webhook-signature": signature(body), "traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}
            _, accepted = gateway.post(body, headers={**sent, "tracestate": "vendor=1"})
            first, second = trace_of(sink, 1), trace_of(sink, 2)
            gateway.settled(accepted["id"])
            lines = eventually(lambda: (found := gateway.log_lines("delivery.attempted"))[1:] and found, "both lines")
            [received] = gateway.log_lines("event.received")
    assert first["traceparent"][:36] == second["traceparent"][:36] == f"00-{TRACE}-"
    assert first["traceparent"] != second["traceparent"]
    assert first["tracestate"] == second["tracestate"] == "vendor=1"
    assert {line["trace_id"] for line in [received, *lines]} == {TRACE}


def test_without_a_trace_of_the_sender_one_begins(tmp_path):
    with Sink() as sink:
        with GatewayProcess(tmp_path, routes(sink.url, "contacts")) as gateway:
            gateway.post(distinct(1))
            headers = trace_of(sink)
            [received] = eventually(lambda: gateway.log_lines("event.received"), "it is logged")
    assert headers["traceparent"].split("-")[1] == received["trace_id"]
    assert "tracestate" not in headers


def test_the_operators_own_traceparent_wins(tmp_path):
    own = f"00-{'a' * 32}-{'b' * 16}-00"
    with Sink() as sink:
        text = routes(sink.url, "contacts").replace('"}', f'", headers: {{traceparent: "{own}"}}}}', 1)
        with GatewayProcess(tmp_path, text) as gateway:
            body = distinct(1)
            sent = {"x-webhook-signature": signature(body), "traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}
            gateway.post(body, headers={**sent, "tracestate": "vendor=1"})
            headers = trace_of(sink)
    assert headers["traceparent"] == own
    assert "tracestate" not in headers


def test_a_file_gets_its_line_and_no_trace(tmp_path):
    text = f"{HEAD}destinations:\n  archive: {{type: file, path: out.ndjson}}\nroutes:\n  - {{match: 'contact.*', to: archive}}\n"
    with GatewayProcess(tmp_path, text) as gateway:
        gateway.settled(gateway.post(distinct(1))[1]["id"])
    [line] = (tmp_path / "out.ndjson").read_text().splitlines()
    assert "traceparent" not in line


# --- S10: stdout or stderr full or closed ---


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def full_pipe() -> tuple[int, int]:
    """Both ends of a full pipe."""
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
    os.set_blocking(writing, False)
    with pytest.raises(BlockingIOError):
        while True:
            os.write(writing, b"x" * 4096)
    os.set_blocking(writing, True)
    return reading, writing


@contextmanager
def running(folder: Path, command: list[str], **streams: int) -> Iterator[tuple[str, str]]:
    """A gateway nobody listens to; the addresses of its listeners once it is ready."""
    ingest, admin = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
    process = subprocess.Popen(
        [*command, sys.executable, "-m", "gateway", "serve", "-c", "routes.yaml", "--bind", ingest, "--admin-bind", admin,
         "--store", "sqlite:///gateway.db", "--log", "json"],
        cwd=folder, start_new_session=True, **streams,
    )  # fmt: skip
    try:
        eventually(lambda: is_ready(admin), "it is ready")
        yield ingest, admin
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(10)


def is_ready(admin: str) -> bool:
    try:
        with urlopen(f"http://{admin}/readyz", timeout=5) as response:
            return bool(response.status == 200)
    except OSError:
        return False


def post(ingest: str, number: int) -> int:
    client = GatewayProcess.__new__(GatewayProcess)
    client.ingest = ingest
    return client.post(distinct(number))[0]


def stderr_full() -> tuple[list[str], dict[str, int], Callable[[], None]]:
    reading, writing = full_pipe()
    return [], {"stdout": subprocess.DEVNULL, "stderr": writing}, lambda: (os.close(reading), os.close(writing))


def stdout_full() -> tuple[list[str], dict[str, int], Callable[[], None]]:
    reading, writing = full_pipe()
    return [], {"stdout": writing, "stderr": subprocess.DEVNULL}, lambda: (os.close(reading), os.close(writing))


def both_broken() -> tuple[list[str], dict[str, int], Callable[[], None]]:
    reading, writing = os.pipe()
    os.close(reading)
    return [], {"stdout": writing, "stderr": writing}, lambda: os.close(writing)


def all_closed() -> tuple[list[str], dict[str, int], Callable[[], None]]:
    return ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh"], {}, lambda: None


@pytest.mark.parametrize("streams", [stderr_full, stdout_full, both_broken, all_closed])
def test_nobody_has_to_read_what_it_says(tmp_path, streams):
    command, options, close = streams()
    with Sink() as sink:
        (tmp_path / "routes.yaml").write_text(routes(sink.url, "contacts"))
        with running(tmp_path, command, **options) as (ingest, admin):
            # More lines than the pipe and what waits for it can hold together would take too long: their number is
            # tested where the lines are written.
            assert [post(ingest, number) for number in range(100)] == [202] * 100
            sink.wait_for(100)
            assert is_ready(admin)
        close()
    assert {json.loads(request.body)["a"] for request in sink.requests} == {1}
