"""A gateway tells an OpenTelemetry collector what happens to events, and a collector in trouble changes nothing for them."""

import time

import pytest

from tests.acceptance.harness import SECRET, GatewayProcess, distinct, eventually, signature
from tests.collector.collected import COMMAND, attributes_of, environ, metrics, needs_extra, resources, spans
from tests.sink import Sink, answer, drip, hang, huge

pytestmark = needs_extra
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SENDER = "00f067aa0ba902b7"
ROUTES = """
version: 1
sources: {{xobito: {{preset: xobito, secret: {secret}}}}}
destinations: {{crm: {{url: "{url}/crm", retry: {{first: 100ms}}}}}}
routes: [{{name: to-crm, match: contact.created, to: crm, body: {{id: "{{{{ attrs.id }}}}"}}}}]
"""


def routes(sink):
    return ROUTES.format(url=sink.url, secret=SECRET)


def started(folder, sink, collector, **more):
    return GatewayProcess(folder, routes(sink), command=COMMAND, environ=environ(collector, **more))


def post(gateway, number=1, *, sampled="01"):
    body = distinct(number)
    headers = {
        "content-type": "application/json",
        "x-webhook-signature": signature(body),
        "traceparent": f"00-{TRACE}-{SENDER}-{sampled}",
    }
    status, answered = gateway.post(body, headers=headers)
    assert status == 202
    return answered["id"]


def named(found, name):
    return [each for each in found if each.name == name]


def test_receiving_storing_and_each_attempt_are_spans_of_the_senders_trace(tmp_path):
    with (
        Sink(answer(503), answer(200)) as sink,
        Sink(answer(200)) as collector,
        started(tmp_path, sink, collector) as gateway,
    ):
        event_id = post(gateway)
        gateway.settled(event_id)
        eventually(lambda: len(spans(collector)) == 4, "four spans came")
        [received], [stored], tried = (
            named(spans(collector), each) for each in ("receive xobito", "store", "attempt crm")
        )
        assert {each.trace for each in (received, stored, *tried)} == {TRACE}
        assert received.parent == SENDER
        assert {stored.parent, *(each.parent for each in tried)} == {received.id}
        assert [received.kind, stored.kind, *(each.kind for each in tried)] == [
            "SERVER",
            "INTERNAL",
            "CLIENT",
            "CLIENT",
        ]
        assert received.attributes["gateway.event.id"] == event_id
        assert received.began <= stored.began <= stored.ended <= received.ended
        first, second = sorted(tried, key=lambda each: each.began)
        assert [each.attributes["gateway.outcome"] for each in (first, second)] == ["retry", "delivered"]
        assert [each.attributes["http.response.status_code"] for each in (first, second)] == ["503", "200"]
        assert "503" in first.failed
        assert second.failed is received.failed is stored.failed is None
        # The destination's own spans are below the attempt that asked it.
        asked = [each.headers["traceparent"] for each in sink.requests]
        assert asked == [f"00-{TRACE}-{each.id}-01" for each in (first, second)]
        assert {each.service for each in tried} == {"hookkeeper"}


def test_a_trace_that_begins_here_begins_with_the_span_that_received_the_event(tmp_path):
    with Sink(answer(200)) as sink, Sink(answer(200)) as collector, started(tmp_path, sink, collector) as gateway:
        gateway.settled(gateway.post(distinct(1))[1]["id"])
        eventually(lambda: len(spans(collector)) == 3, "three spans came")
        found = spans(collector)
        [received] = named(found, "receive xobito")
        assert received.parent == ""
        assert {each.parent for each in found if each is not received} == {received.id}
        assert {each.trace for each in found} == {received.trace}


def test_a_retry_after_kill_9_is_below_the_span_that_received_the_event(tmp_path):
    with Sink(answer(503)) as sink, Sink(answer(200)) as collector, started(tmp_path, sink, collector) as gateway:
        event_id = post(gateway)
        eventually(lambda: named(spans(collector), "attempt crm"), "it was tried")
        gateway.kill()
        sink.at("/", answer(200))
        gateway.start()
        gateway.settled(event_id)
        outcomes = lambda: [each.attributes["gateway.outcome"] for each in named(spans(collector), "attempt crm")]  # noqa: E731
        eventually(lambda: "delivered" in outcomes(), "it was delivered")
        [received] = named(spans(collector), "receive xobito")
        assert {each.parent for each in named(spans(collector), "attempt crm")} == {received.id}


def test_a_trace_that_its_sender_does_not_record_is_not_recorded_here(tmp_path):
    with Sink(answer(200)) as sink, Sink(answer(200)) as collector, started(tmp_path, sink, collector) as gateway:
        gateway.settled(post(gateway, 1, sampled="00"))
        last = gateway.post(distinct(2))[1]["id"]
        gateway.settled(last)
        eventually(lambda: len(spans(collector)) == 3, "three spans came")
        assert TRACE not in {each.trace for each in spans(collector)}
        assert TRACE in sink.requests[0].headers["traceparent"]


def test_the_sampler_of_the_environment_takes_whole_traces(tmp_path):
    more = {"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.5"}
    with (
        Sink(answer(200)) as sink,
        Sink(answer(200)) as collector,
        started(tmp_path, sink, collector, **more) as gateway,
    ):
        for number in range(40):
            gateway.settled(gateway.post(distinct(number))[1]["id"])
        assert gateway.terminate() == 0
        of_traces = {}
        for each in spans(collector):
            of_traces.setdefault(each.trace, []).append(each.name)
        assert 0 < len(of_traces) < 40
        assert {tuple(sorted(each)) for each in of_traces.values()} == {("attempt crm", "receive xobito", "store")}


def test_the_metrics_are_those_of_a_scrape(tmp_path):
    with Sink(answer(200)) as sink, Sink(answer(200)) as collector, started(tmp_path, sink, collector) as gateway:
        gateway.settled(post(gateway))
        scraped = gateway.api("/metrics")[1]
        assert 'gateway_events_received_total{outcome="accepted",reason="",source="xobito"} 1.0' in scraped
        came = len(collector.requests)
        eventually(lambda: len(collector.requests) > came + 2, "they were sent again")
        found = metrics(collector)
        points = {
            tuple(sorted(attributes_of(each).items())): each["asDouble"]
            for each in found["gateway_events_received_total"]["sum"]["dataPoints"]
        }
        assert points[("outcome", "accepted"), ("reason", ""), ("source", "xobito")] == 1.0
        assert found["gateway_events_received_total"]["sum"]["isMonotonic"]
        assert found["gateway_ready"]["gauge"]["dataPoints"][0]["asDouble"] == 1.0
        [took] = found["gateway_delivery_attempt_duration_seconds"]["histogram"]["dataPoints"]
        assert took["count"] == "1"
        assert {"min", "max"} & took.keys() == set()
        assert sum(map(int, took["bucketCounts"])) == 1
        assert len(took["bucketCounts"]) == len(took["explicitBounds"]) + 1
        names = {line.split(" ")[2] for line in scraped.splitlines() if line.startswith("# TYPE gateway_")}
        # What has no value yet is a family without samples.
        assert names - set(found) <= {line for line in names if f"\n{line}" not in scraped} | {
            "gateway_route_last_match_timestamp_seconds"
        }


@pytest.mark.parametrize(
    "trouble",
    [
        pytest.param(hang(), id="it does not answer"),
        pytest.param(answer(503), id="it refuses"),
        pytest.param(answer(200, b"<html>" * 50_000), id="it answers a page"),
        pytest.param(huge(), id="its answer is huge"),
        pytest.param(drip(), id="its answer never ends"),
        pytest.param(answer(401, b"\xff\x00\x1b[31m"), id="it answers garbage"),
    ],
)
def test_no_event_waits_for_a_collector_in_trouble(tmp_path, trouble):
    more = {"OTEL_BSP_MAX_QUEUE_SIZE": "20", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "10", "OTEL_EXPORTER_OTLP_TIMEOUT": "5"}
    with Sink(answer(200)) as sink, Sink(trouble) as collector, started(tmp_path, sink, collector, **more) as gateway:
        began = time.monotonic()
        for event_id in [post(gateway, number) for number in range(60)]:
            assert [each["state"] for each in gateway.settled(event_id)] == ["delivered"]
        assert time.monotonic() - began < 30
        assert len(sink.requests) == 60
        ending = time.monotonic()
        assert gateway.terminate() == 0
        assert time.monotonic() - ending < 10


def test_a_collector_that_is_away_is_said_once_and_what_it_missed_is_counted(tmp_path):
    with Sink(answer(400)) as collector, Sink(answer(200)) as sink, started(tmp_path, sink, collector) as gateway:
        for number in range(3):
            gateway.settled(post(gateway, number))
        dropped = lambda: 'gateway_otlp_dropped_total{signal="traces"} 9.0' in gateway.api("/metrics")[1]  # noqa: E731
        eventually(dropped, "nine spans are counted")
        failed = [each for each in gateway.log_lines("otlp.failed") if each["signal"] == "traces"]
        assert len(failed) == 1
        assert "400" in failed[0]["reason"]
        collector.at("/", answer(200))
        gateway.settled(post(gateway, 4))
        said = lambda: [each for each in gateway.log_lines("otlp.recovered") if each["signal"] == "traces"]  # noqa: E731
        assert eventually(said, "it is back")[0]["dropped"] == 9


def test_what_waits_is_sent_before_the_process_ends(tmp_path):
    more = {"OTEL_BSP_SCHEDULE_DELAY": "600000", "OTEL_METRIC_EXPORT_INTERVAL": "600000"}
    with (
        Sink(answer(200)) as sink,
        Sink(answer(200)) as collector,
        started(tmp_path, sink, collector, **more) as gateway,
    ):
        gateway.settled(post(gateway))
        assert collector.requests == []
        assert gateway.terminate() == 0
        assert len(spans(collector)) == 3
        [stored] = metrics(collector)["gateway_store_commit_seconds"]["histogram"]["dataPoints"]
        assert int(stored["count"]) > 0


def test_an_answer_without_an_end_keeps_nothing_from_being_sent(tmp_path):
    with Sink(answer(200)) as sink, Sink(drip()) as collector, started(tmp_path, sink, collector) as gateway:
        for number in range(3):
            gateway.settled(post(gateway, number))
        eventually(lambda: len(spans(collector)) == 9, "all spans came")


def test_a_connection_to_the_collector_is_used_again(tmp_path):
    with (
        Sink(answer(200, b"ok")) as sink,
        Sink(answer(200, b"ok")) as collector,
        started(tmp_path, sink, collector) as gateway,
    ):
        for number in range(3):
            gateway.settled(post(gateway, number))
        eventually(lambda: len(spans(collector)) == 9, "all spans came")
        eventually(lambda: len(collector.requests) > 10, "metrics came, too")
        assert collector.connections == 2


def test_workers_tell_the_spans_and_the_owner_the_metrics_of_all(tmp_path):
    with Sink(answer(200)) as sink, Sink(answer(200)) as collector:
        gateway = GatewayProcess(
            tmp_path,
            routes(sink),
            command=COMMAND,
            environ=environ(collector),
            options=("--workers", "2"),
        )
        with gateway:
            for number in range(6):
                gateway.settled(post(gateway, number))
            assert gateway.terminate() == 0
            assert len(spans(collector)) == 18
            points = metrics(collector)["gateway_events_received_total"]["sum"]["dataPoints"]
            assert sum(each["asDouble"] for each in points if attributes_of(each)["outcome"] == "accepted") == 6.0


def test_the_environment_says_who_sends_and_what_it_leaves_out_is_known(tmp_path):
    more = {"OTEL_RESOURCE_ATTRIBUTES": "service.name=hooks,deployment.environment.name=test"}
    with (
        Sink(answer(200)) as sink,
        Sink(answer(200)) as collector,
        started(tmp_path, sink, collector, **more) as gateway,
    ):
        gateway.settled(post(gateway))
        eventually(lambda: spans(collector), "a span came")
        eventually(lambda: any(each.path == "/v1/metrics" for each in collector.requests), "metrics came")
        for who in resources(collector):
            assert who["service.name"] == "hooks"
            assert who["deployment.environment.name"] == "test"
            assert who["service.instance.id"].endswith("/main")
            assert who["service.version"]


def test_headers_of_the_environment_go_to_the_collector_and_nowhere_else(tmp_path):
    more = {"OTEL_EXPORTER_OTLP_HEADERS": "api-key=a-long-hidden-key", "OTEL_SERVICE_NAME": "hooks"}
    with (
        Sink(answer(200)) as sink,
        Sink(answer(401)) as collector,
        started(tmp_path, sink, collector, **more) as gateway,
    ):
        gateway.settled(post(gateway))
        eventually(lambda: gateway.log_lines("otlp.failed"), "it failed")
        assert collector.requests[0].headers["api-key"] == "a-long-hidden-key"
        assert "a-long-hidden-key" not in gateway.log_text()
        assert "api-key" not in sink.requests[0].headers
        eventually(lambda: spans(collector), "a span came")
        assert {each.service for each in spans(collector)} == {"hooks"}


LOOKING = """
routes:
  - name: to-crm
    match: contact.created
    to: crm
    fetch: {{person: {{from: crm, path: /search, query: {{id: "{{{{ attrs.id }}}}"}}}}}}
    body: {{id: "{{{{ attrs.id }}}}"}}
"""


def test_a_look_up_is_a_span_below_the_one_that_received_the_event(tmp_path):
    with Sink(answer(200, b"{}")) as sink, Sink(answer(200)) as collector:
        text = routes(sink).partition("routes:")[0] + LOOKING.format()
        with GatewayProcess(tmp_path, text, command=COMMAND, environ=environ(collector)) as gateway:
            gateway.settled(post(gateway))
            eventually(lambda: len(spans(collector)) == 4, "four spans came")
        [received], [looked], [tried] = (
            named(spans(collector), each) for each in ("receive xobito", "fetch crm", "attempt crm")
        )
        assert (looked.parent, looked.kind, looked.trace) == (received.id, "CLIENT", TRACE)
        assert received.began <= looked.began <= looked.ended <= tried.ended
        asked = [each.headers["traceparent"] for each in sink.requests]
        assert asked == [f"00-{TRACE}-{each.id}-01" for each in (looked, tried)]
