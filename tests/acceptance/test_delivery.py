"""D1, D3, D9 and what a broken template, a renamed route, a second instance and a stop in mid-retry come to."""

import json
import signal
import threading
import time
from itertools import pairwise
from pathlib import Path

import apsw
import pytest

from tests.acceptance.harness import GatewayProcess, distinct, eventually
from tests.sink import Sink, answer, chunk_garbage, drip, firewall, hang, header_flood, huge, once, raw, reset

EACH_STORE = pytest.mark.usefixtures("each_store")

HEAD = """
version: 1
sources: {xobito: {preset: xobito, secret: acceptance-secret}}
"""


def routes(url: str, **destination: object) -> str:
    options = {"url": url, **destination}
    return HEAD + (
        f"destinations:\n  crm: {json.dumps(options)}\n"
        "routes:\n  - {name: contacts, match: contact.*, to: crm, body: {id: '{{ attrs.id }}'}}\n"
    )


@EACH_STORE
def test_a_failing_destination_is_retried_on_schedule_and_then_succeeds(tmp_path):
    retry = {"for": "1h", "first": "200ms", "max": "10s"}
    with Sink(answer(500), answer(503), answer(429), answer(200)) as sink:
        with GatewayProcess(tmp_path, routes(sink.url, retry=retry)) as gateway:
            _, accepted = gateway.post(distinct(1))
            [delivery] = gateway.settled(accepted["id"])
    assert (delivery["state"], delivery["attempts"]) == ("delivered", 4)
    waits = [one["next_s"] for one in delivery["attempts_made"]]
    for wait, planned in zip(waits, [0.2, 0.4, 0.8], strict=False):
        # What is shown is rounded to a thousandth.
        assert abs(wait - planned) <= 0.2 * planned + 0.0005
    assert [one["status"] for one in delivery["attempts_made"]] == [500, 503, 429, 200]
    starts = [request.at for request in sink.requests]
    gaps = [later - earlier for earlier, later in pairwise(starts)]
    # Never before its time; how much later is the machine's affair.
    assert all(gap >= wait - 0.01 for gap, wait in zip(gaps, waits, strict=False))
    assert len({request.headers["webhook-id"] for request in sink.requests}) == 1


def test_retry_after_is_a_lower_bound(tmp_path):
    with Sink(answer(429, headers=[("retry-after", "2")]), answer(200)) as sink:
        with GatewayProcess(tmp_path, routes(sink.url, retry={"for": "1h", "first": "100ms", "max": "1s"})) as gateway:
            [delivery] = gateway.settled(gateway.post(distinct(1))[1]["id"])
    assert delivery["attempts_made"][0]["next_s"] >= 2
    assert sink.requests[1].at - sink.requests[0].at >= 1.99


FINAL = (400, 404, 409, 422, 301, 302, 307)


@pytest.fixture(scope="module")
def final(tmp_path_factory, each_store):
    """One gateway, and a path for each final answer, at which all is well the second time."""
    with Sink() as sink:
        for status in FINAL:
            sink.at(f"/{status}", answer(status, b"no such thing", [("location", "http://127.0.0.1:1/")]), answer(200))
        text = routes(sink.url).replace("to: crm,", "to: crm, path: '/{{ attrs.id }}',")
        with GatewayProcess(tmp_path_factory.mktemp("final"), text) as gateway:
            yield gateway, sink


@pytest.mark.parametrize("status", FINAL)
def test_a_final_answer_is_a_dead_letter_with_reason_status_and_answer_and_can_be_replayed(final, status):
    gateway, sink = final
    event_id = gateway.post(distinct(status))[1]["id"]
    [dead] = gateway.settled(event_id)
    assert (dead["state"], dead["status"], dead["answer"]) == ("dead", status, "no such thing")
    assert str(status) in dead["reason"]
    assert dead["id"] in gateway.verb("dead", "--list").stdout
    gateway.verb("replay", dead["id"])
    [replayed] = gateway.settled(event_id)
    assert (replayed["state"], replayed["attempts"]) == ("delivered", 2)
    assert len({each.headers["webhook-id"] for each in sink.requests if each.path == f"/{status}"}) == 1


HOSTILE = {
    "hangs": hang(),
    "drips": drip(),
    "resets": reset(),
    "resets in the answer": reset(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhal"),
    "garbage": raw(b"\x00\xff\x16\x03 not http at all\r\n\r\n"),
    "chunk garbage": chunk_garbage(),
    "endless headers": header_flood(),
    "300 MB error": raw(b"HTTP/1.1 500 No\r\ncontent-length: 314572800\r\n\r\n" + b"x" * 100_000),
}


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    """One gateway, one destination for each kind of hostility, and a healthy one beside them."""
    with Sink() as sink:
        destinations = {"healthy": {"url": f"{sink.url}/healthy"}}
        for number, behaviour in enumerate(HOSTILE.values()):
            sink.at(f"/{number}", behaviour)
            destinations[f"hostile-{number}"] = {"url": f"{sink.url}/{number}", "timeout": "1s"}
        text = HEAD + f"destinations: {json.dumps(destinations)}\nalways: [{{to: {json.dumps(list(destinations))}}}]\n"
        with GatewayProcess(tmp_path_factory.mktemp("hostile"), text) as gateway:
            yield gateway, gateway.post(distinct(1))[1]["id"]


@pytest.mark.parametrize(("number", "name"), list(enumerate(HOSTILE)), ids=HOSTILE)
def test_whatever_a_destination_does_is_one_bounded_attempt_and_then_the_schedule(hostile, number, name):
    gateway, event_id = hostile

    def first_attempt():
        found = {each["destination"]: each for each in gateway.deliveries(event_id)}
        return found[f"hostile-{number}"]["attempts_made"][:1]

    [attempt] = eventually(first_attempt, f"an attempt at what {name}")
    assert attempt["outcome"] == "retry"
    assert attempt["reason"]
    assert attempt["duration_ms"] < 10_000
    assert len(attempt["answer"]) <= 1024


def test_the_healthy_destination_beside_them_got_it(hostile):
    gateway, event_id = hostile

    def state():
        return {each["destination"]: each["state"] for each in gateway.deliveries(event_id)}["healthy"]

    eventually(lambda: state() == "delivered", "the healthy destination has taken it")


@pytest.mark.slow
def test_four_destinations_are_as_quick_beside_one_that_hangs_as_beside_a_quick_one(tmp_path):
    names = ["a", "b", "c", "d", "fifth"]
    with Sink() as sink:
        # Longer than it takes to find out: what hangs fails only then.
        destinations = {name: {"url": f"{sink.url}/{name}", "timeout": "1h"} for name in names}
        body = "body: {id: '{{ attrs.id }}'}"
        text = f"{HEAD}destinations: {json.dumps(destinations)}\nroutes: [{{name: all, to: {json.dumps(names)}, {body}}}]\n"

        def p99_from(first):
            """How long behind its request a delivery of the four arrives, 99th percentile, seconds."""
            posted = {}
            for number in range(first, first + 150):
                posted[number] = time.monotonic()
                gateway.post(distinct(number))
            eventually(lambda: len(arrived(posted)) == 600, "the four have all of them")
            return sorted(at - posted[number] for number, at in arrived(posted))[593]

        def arrived(posted):
            requests = [each for each in sink.requests if not each.path.startswith("/fifth")]
            found = [(json.loads(each.body)["id"], each.at) for each in requests]
            return [(number, at) for number, at in found if number in posted]

        with GatewayProcess(tmp_path, text) as gateway:
            p99_from(1)
            beside_a_quick_one = p99_from(1_000)
            sink.at("/fifth", hang())
            beside_one_that_hangs = p99_from(2_000)
            [fifth] = [each for each in gateway.api("/api/destinations")[1] if each["name"] == "fifth"]
    assert beside_one_that_hangs < max(2 * beside_a_quick_one, 0.25)
    assert sum(each.path.startswith("/fifth") for each in sink.requests) == 150 + 150 + 32, "it does hang, in its slots"
    assert fifth["held"] == "", "and nothing has found that out yet"


def test_an_answer_of_300_mb_is_read_no_further_than_needed(tmp_path):
    with Sink(huge()) as sink, GatewayProcess(tmp_path, routes(sink.url)) as gateway:
        [delivery] = gateway.settled(gateway.post(distinct(1))[1]["id"])
        status = Path(f"/proc/{gateway.process.pid}/status").read_text()
    assert delivery["state"] == "delivered"
    peak_kib = int(status.split("VmHWM:")[1].split()[0])
    assert peak_kib < 160 * 1024


def test_what_a_template_raises_ends_that_delivery_with_file_and_line_and_no_other(tmp_path):
    with Sink() as sink:
        text = HEAD + (
            f"destinations: {{crm: {{url: '{sink.url}'}}}}\n"
            "routes:\n"
            "  - {name: undefined, to: crm, text: 'x {{ attrs.nowhere }}'}\n"
            "  - {name: divides, to: crm, text: '{{ 1 / (attrs.id - attrs.id) }}'}\n"
            "  - name: forever\n    to: crm\n"
            "    text: '{% for a in range(1000) %}{% for b in range(1000) %}{% for c in range(1000) %}{% endfor %}{% endfor %}{% endfor %}'\n"
            "  - {name: fine, to: crm, text: ok}\n"
        )
        with GatewayProcess(tmp_path, text) as gateway:
            found = {each["route"]: each for each in gateway.settled(gateway.post(distinct(1))[1]["id"])}
    assert {name: each["state"] for name, each in found.items()} == {
        "undefined": "dead", "divides": "dead", "forever": "dead", "fine": "delivered",
    }  # fmt: skip
    assert "attrs.nowhere" in found["undefined"]["reason"]
    for name in ("undefined", "divides", "forever"):
        assert "routes.yaml:" in found[name]["reason"]
    assert len(sink.requests) == 1


@pytest.mark.parametrize(
    ("change", "named"),
    [(("name: contacts", "name: people"), "contacts"), (("crm", "new-crm"), "crm")],
    ids=["route", "destination"],
)
def test_a_renamed_route_or_destination_ends_what_waits_for_it_and_naming_it_back_replays_it(tmp_path, change, named):
    with Sink(answer(503)) as sink:
        text = routes(sink.url, retry={"for": "1h", "first": "300ms", "max": "300ms"})
        gateway = GatewayProcess(tmp_path, text)
        with gateway:
            event_id = gateway.post(distinct(1))[1]["id"]
            sink.wait_for(1)
        (tmp_path / "routes.yaml").write_text(text.replace(*change))
        with gateway:
            [dead] = gateway.settled(event_id)
            assert dead["state"] == "dead"
            assert f'"{named}"' in dead["reason"]
        (tmp_path / "routes.yaml").write_text(text)
        sink.at("/", answer(200))
        with gateway:
            gateway.verb("replay", event_id)
            [delivery] = gateway.settled(event_id)
    assert delivery["state"] == "delivered"


@EACH_STORE
@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_stop_in_mid_retry_loses_nothing_and_the_next_start_goes_on(tmp_path, stop):
    with Sink(answer(503)) as sink:
        gateway = GatewayProcess(tmp_path, routes(sink.url, retry={"for": "1h", "first": "1s", "max": "1s"}))
        with gateway:
            event_id = gateway.post(distinct(1))[1]["id"]
            sink.wait_for(1)
            eventually(lambda: gateway.deliveries(event_id)[0]["attempts_made"], "the attempt is on record")
            gateway.process.send_signal(stop)
            code = gateway.process.wait(30)
        assert code == (-9 if stop == signal.SIGKILL else 0)
        sink.at("/", answer(200))
        with gateway:
            [delivery] = gateway.settled(event_id)
    assert delivery["state"] == "delivered"
    # On a slow machine the second attempt may have come before the stop, and a kill may have found it in flight.
    not_recorded = len(sink.requests) - delivery["attempts"]
    assert not_recorded in ((0, 1) if stop == signal.SIGKILL else (0,))
    assert delivery["attempts"] >= 2


@EACH_STORE
def test_sigterm_still_accepts_events_while_an_attempt_is_in_flight(tmp_path):
    is_over = threading.Event()
    with Sink(once(is_over, answer())) as sink:
        gateway = GatewayProcess(tmp_path, routes(sink.url, timeout="5m"))
        with gateway:
            first = gateway.post(distinct(1))[1]["id"]
            sink.wait_for(1)
            gateway.process.send_signal(signal.SIGTERM)
            eventually(lambda: gateway.api("/readyz")[0] == 503, "readiness says no")
            status, second = gateway.post(distinct(2))
            assert status == 202
            is_over.set()
            assert gateway.process.wait(30) == 0
        assert len(sink.requests) == 1
        with gateway:
            assert gateway.deliveries(first)[0]["state"] == "delivered"
            [delivery] = gateway.settled(second["id"])
    assert delivery["state"] == "delivered"


def test_a_second_instance_on_one_store_refuses_to_start_and_names_the_first(tmp_path):
    text = routes("http://127.0.0.1:9/")
    with GatewayProcess(tmp_path, text) as first:
        done = first.cli("serve", "--bind", "127.0.0.1:0", "--admin-bind", "127.0.0.1:0", check=False)
        assert done.returncode == 1
        assert str(first.process.pid) in done.stderr
        assert "Traceback" not in done.stderr


def test_a_store_locked_by_another_program_is_503_and_then_it_goes_on(tmp_path):
    with Sink() as sink, GatewayProcess(tmp_path, routes(sink.url)) as gateway:
        other = apsw.Connection(str(tmp_path / "gateway.db"))
        other.set_busy_timeout(5000)
        other.execute("BEGIN IMMEDIATE")
        began = time.monotonic()
        status, body = gateway.post(distinct(1))
        waited = time.monotonic() - began
        other.execute("ROLLBACK")
        other.close()
        assert status == 503
        assert waited < 10
        assert body["error"]
        status, accepted = eventually(lambda: _when_accepted(gateway), "it is accepted again")
        assert gateway.settled(accepted["id"])[0]["state"] == "delivered"


def _when_accepted(gateway):
    status, answer = gateway.post(distinct(1))
    return (status, answer) if status == 202 else None


@EACH_STORE
def test_concurrency_is_never_exceeded(tmp_path):
    with Sink(answer(after_s=0.1)) as sink, GatewayProcess(tmp_path, routes(sink.url, concurrency=3)) as gateway:
        threads = [threading.Thread(target=gateway.post, args=(distinct(number),)) for number in range(30)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        sink.wait_for(30)
    assert sink.connections <= 3


@pytest.mark.parametrize("harm", ["removed", "replaced", "cut off"])
def test_a_store_that_is_gone_from_under_it_is_noticed_before_the_next_answer(tmp_path, harm):
    with Sink(answer(503)) as sink, GatewayProcess(tmp_path, routes(sink.url)) as gateway:
        assert gateway.post(distinct(1))[0] == 202
        database = tmp_path / "gateway.db"
        if harm == "removed":
            database.unlink()
        elif harm == "replaced":
            database.rename(tmp_path / "elsewhere")
            database.write_bytes((tmp_path / "elsewhere").read_bytes())
        else:
            with database.open("r+b") as file:
                file.truncate(0)
        assert gateway.post(distinct(2))[0] == 503
        assert gateway.api("/readyz")[0] == 503
        eventually(lambda: gateway.log_lines("event.not_stored"), "the line is written")
        # The outcome of an attempt may have met it first.
        said = [*gateway.log_lines("event.not_stored"), *gateway.log_lines("store.unavailable")]
        assert any("was removed, replaced or truncated" in each["reason"] for each in said)


@pytest.mark.parametrize("harm", ["removed", "replaced", "renamed"])
def test_an_event_that_was_answered_survives_the_loss_of_the_log_and_the_next_ones_are_refused(tmp_path, harm):
    with Sink(answer(503)) as sink:
        with GatewayProcess(tmp_path, routes(sink.url)) as gateway:
            answers = [gateway.post(distinct(number)) for number in range(50)]
            log = tmp_path / "gateway.db-wal"
            if harm == "removed":
                log.unlink()
            else:
                log.rename(tmp_path / "elsewhere")
                if harm == "replaced":
                    log.write_bytes((tmp_path / "elsewhere").read_bytes())
            answers += [gateway.post(distinct(number)) for number in range(50, 60)]
            assert [status for status, _ in answers] == [202] * 50 + [503] * 10
            status, ready = gateway.api("/readyz")
            assert (status, "gateway.db-wal was removed or replaced" in ready["status"]) == (503, True)
            doctor = gateway.verb("doctor", check=False)
            assert doctor.returncode == 1
            assert "gateway.db-wal was removed or replaced" in " ".join(doctor.stdout.split())
            gateway.kill()
        log.unlink(missing_ok=True)
        with GatewayProcess(tmp_path, routes(sink.url)) as gateway:
            for status, given in answers:
                if status == 202:
                    assert gateway.api(f"/api/events/{given['id']}")[0] == 200
            assert gateway.post(distinct(50))[0] == 202


@EACH_STORE
def test_a_destination_is_paused_by_hand_survives_kill_9_and_goes_on_when_it_is_resumed(tmp_path):
    with Sink() as sink:
        with GatewayProcess(tmp_path, routes(sink.url)) as gateway:
            listed = gateway.verb("destinations").stdout
            assert listed.splitlines()[1].split()[:3] == ["crm", "http", "idle"]
            refused = gateway.verb("destinations", "pause", "crn", "--reason", "x", check=False)
            assert 'no destination crn in routes.yaml (did you mean "crm"?)' in refused.stderr
            bad = gateway.verb("destinations", "pause", "crm", "--reason", "x", "--for", "soon", check=False)
            assert "write 30m, 2h or 1d" in bad.stderr
            told = gateway.verb("destinations", "pause", "crm", "--reason", "their migration", "--for", "2h").stdout
            assert "crm is paused by" in told
            gateway.kill()
        with GatewayProcess(tmp_path, routes(sink.url)) as gateway:
            gateway.post(distinct(1))
            [row] = gateway.api("/api/destinations")[1]
            assert row["held"].endswith(": their migration")
            time.sleep(0.5)  # what would be sent in spite of it is there by then
            assert sink.requests == []
            assert (
                gateway.verb("destinations", "resume", "crm").stdout
                == "crm is resumed: what waits for it goes out now\n"
            )
            sink.wait_for(1)
            told = gateway.verb("destinations", "resume", "crm").stdout
            assert told == "crm was not paused, and nothing holds it now\n"


def test_a_destination_that_says_it_is_gone_gets_no_more_until_it_is_resumed_and_then_everything(tmp_path):
    with Sink(answer(410)) as sink, GatewayProcess(tmp_path, routes(sink.url)) as gateway:
        gateway.post(distinct(0))
        eventually(lambda: "410" in gateway.api("/api/destinations")[1][0]["held"], "the gateway pauses it")
        for number in range(1, 20):
            gateway.post(distinct(number))
        time.sleep(0.5)  # what would be sent in spite of it is there by then
        assert len(sink.requests) == 1
        assert gateway.api("/api/deliveries?state=dead")[1]["deliveries"] == []
        sink.at("/", answer(200))
        gateway.verb("destinations", "resume", "crm")
        sink.wait_for(21)


def named(number: int, name: str) -> bytes:
    return distinct(number).replace(b'"John"', f'"{name}"'.encode())


def by_name(url: str, **destination: object) -> str:
    return routes(url, **destination).replace("'{{ attrs.id }}'", "'{{ attrs.id }}', name: '{{ attrs.firstname }}'")


def numbers(sink: Sink) -> list[int]:
    return [json.loads(request.body)["id"] for request in sink.requests]


def test_one_content_that_a_firewall_denies_never_holds_the_others_up_and_is_dead_at_its_end(tmp_path):
    retry = {"for": "2s", "first": "100ms", "max": "500ms"}
    with Sink(firewall(b"<script>")) as sink, GatewayProcess(tmp_path, by_name(sink.url, retry=retry)) as gateway:
        denied = gateway.post(named(0, "<script>"))[1]["id"]
        for number in range(1, 30):
            [delivery] = gateway.settled(gateway.post(named(number, "Ann"))[1]["id"])
            assert (delivery["state"], delivery["attempts"]) == ("delivered", 1)
        [dead] = gateway.settled(denied)
        [row] = gateway.api("/api/destinations")[1]
        assert gateway.log_lines("circuit.opened") == []
    assert (dead["state"], dead["status"], row["held"], row["circuit"]) == ("dead", 403, "", "closed")
    assert 4 <= dead["attempts"] == sum(number == 0 for number in numbers(sink))


def test_three_different_events_that_are_denied_hold_the_destination_over_a_kill_until_the_first_success(tmp_path):
    with Sink(answer(401)) as sink:
        gateway = GatewayProcess(tmp_path, by_name(sink.url))
        with gateway:
            ids = [gateway.post(named(number, "Ann"))[1]["id"] for number in range(3)]
            [said] = eventually(lambda: gateway.log_lines("circuit.opened"), "it is held")
            assert sorted(said["denied"]) == sorted(ids)
            ids += [gateway.post(named(number, "Ann"))[1]["id"] for number in range(3, 6)]
            sink.wait_for(5)
            assert all(one != next_one for one, next_one in pairwise(numbers(sink)[2:])), "each is another event"
            # Nothing holds it in the moment in which its next probe is due.
            row = eventually(
                lambda: (
                    (found := gateway.api("/api/destinations")[1][0])["held"].startswith("3 different events denied, ")
                    and found
                ),
                "it is held",
            )
            assert row["paused"] is None
            gateway.kill()
        assert "3 different events denied" in gateway.verb("destinations").stdout, "without a gateway, too"
        with gateway:
            [row] = gateway.api("/api/destinations")[1]
            assert len(row["denied"]) == 3
            sink.at("/", answer(200))
            gateway.verb("destinations", "resume", "crm")
            for event_id in ids:
                assert gateway.settled(event_id)[0]["state"] == "delivered"
            assert gateway.api("/api/destinations")[1][0]["held"] == ""


def test_after_a_short_outage_everything_arrives_soon(tmp_path):
    with Sink(answer(503)) as sink, GatewayProcess(tmp_path, routes(sink.url)) as gateway:
        ids = [gateway.post(distinct(number))[1]["id"] for number in range(8)]
        eventually(lambda: gateway.log_lines("circuit.opened"), "it is open")
        sink.wait_for(6)
        sink.at("/", answer(200))
        for event_id in ids:
            assert gateway.settled(event_id)[0]["state"] == "delivered"
        [opened] = gateway.log_lines("circuit.opened")
    assert opened["next_s"] == 1.0
