"""``gateway serve --workers``: several processes that are one gateway, whatever happens to one of them."""

import itertools
import json
import os
import random
import signal
import subprocess
import sys
import time

import pytest

from tests.acceptance.cluster import FEW, MANY, NAMES, Senders, lost, out_of_order, over_rate, repeats, routes
from tests.acceptance.crew import Crew, gone, kill
from tests.acceptance.harness import SECRET, GatewayProcess, distinct, eventually
from tests.sink import Sink, answer, hang

#: More with `WORKER_KILLS=30 pytest tests/acceptance/test_workers.py`, for longer.
KILLS = int(os.environ.get("WORKER_KILLS", "4"))
#: Longer than a lease: the timeout of the destinations, and 20 seconds.
FROZEN_S = 27.0
#: In flight over all destinations, at all workers.
IN_FLIGHT = 2 * MANY + FEW + MANY

SIMPLE = """
version: 1
sources: {{xobito: {{preset: xobito, secret: {secret}}}}}
destinations:
  crm: {{url: "{url}", concurrency: 8, timeout: 5s, retry: {{for: 1h, first: 1s, max: 1s}}}}
routes:
  - {{name: {name}, match: contact.created, to: crm, path: "/{path}/{{{{ attrs.id }}}}", body: {{id: "{{{{ attrs.id }}}}"}}}}
"""


def simple(sink: Sink, *, name: str = "contacts", path: str = "contacts") -> str:
    return SIMPLE.format(secret=SECRET, url=sink.url, name=name, path=path)


def metric(text: str, name: str) -> float:
    return sum(float(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith(name))


def assert_nothing_is_owed(senders: Senders, sink: Sink, *, harms: int, frozen: int = 0) -> None:
    """``harms``: how often what was in flight was lost; each frozen worker may send one request late."""
    sys.stdout.write(
        f"{senders.count} acknowledged, {len(sink.requests)} requests, {repeats(sink)} repeated, "
        f"longest refusal {senders.longest_s:.1f} s\n"
    )
    assert senders.count > 50
    assert lost(senders, sink) == {}
    assert repeats(sink) <= harms * IN_FLIGHT
    assert out_of_order(sink) <= frozen
    assert over_rate(sink) <= frozen


# --- one gateway ---


def paused(gateway: GatewayProcess) -> list[str]:
    """Pause the destination; twelve events that came one after the other, and that no worker sends."""
    assert gateway.api("/api/destinations/crm/pause", {"by": "ann", "reason": "their migration"})[0] == 200
    numbers = itertools.count(1000)
    held: list[str] = []

    def is_held() -> bool:
        held.append(gateway.post(distinct(next(numbers)))[1]["id"])
        # One that was on its way is delivered when it is looked at again.
        if any(each["state"] != "pending" for id_ in held for each in gateway.deliveries(id_)):
            held.clear()
        return len(held) == 12

    eventually(is_held, "no worker sends")
    return held


def test_all_that_operators_see_and_do_is_about_one_gateway(tmp_path, each_store):
    with Sink() as sink, Crew(tmp_path, simple(sink)) as crew:
        gateway = crew.gateway
        assert len(crew.workers()) == 2
        ids = [gateway.post(distinct(number))[1]["id"] for number in range(1, 31)]
        status, said = gateway.post(distinct(1))
        assert (status, said["id"], said["duplicate"]) == (202, ids[0], True)
        assert all([each["state"] for each in gateway.settled(id_)] == ["delivered"] for id_ in ids)
        assert sorted(int(each.path.rpartition("/")[2]) for each in sink.requests) == list(range(1, 31))

        # A worker that is busy says later what it has counted.
        counted = {
            'gateway_events_received_total{outcome="accepted"': 30,
            'gateway_delivery_attempts_total{destination="crm",outcome="delivered"': 30,
            "gateway_ready ": 1,
        }
        eventually(
            lambda: (text := gateway.api("/metrics")[1]) and {each: metric(text, each) for each in counted} == counted,
            "all are counted, whichever worker had them",
        )
        crew.drain()
        assert metric(gateway.api("/metrics")[1], 'gateway_deliveries_open{destination="crm"') == 0
        assert gateway.request("POST", "/in/xobito", b"{}")[0] == 401
        assert "signature" in gateway.cli("refused").stdout, "whichever worker has refused it"

        # A pause holds at every worker, at once.
        waiting = paused(gateway)
        assert gateway.api("/api/destinations/crm/resume", {"by": "ann"})[0] == 200
        assert all([each["state"] for each in gateway.settled(id_)] == ["delivered"] for id_ in waiting)

        replayed = gateway.verb("replay", ids[0], check=False)
        assert replayed.returncode == 0, replayed.stderr
        eventually(lambda: [each.path for each in sink.requests].count("/contacts/1") == 2, "it is sent again")
        assert gateway.terminate() == 0


def test_a_reload_counts_at_every_worker_once_it_is_answered(tmp_path):
    with Sink() as sink, Crew(tmp_path, simple(sink)) as crew:
        gateway = crew.gateway
        for path in ("first", "second"):
            (tmp_path / "routes.yaml").write_text(simple(sink, name=path, path=path))
            assert gateway.verb("reload").returncode == 0
            begun = len(sink.requests)
            for number in range(12):
                gateway.post(distinct(100 * len(path) + number))
            crew.drain()
            assert {each.path.split("/")[1] for each in sink.requests[begun:]} == {path}
        (tmp_path / "routes.yaml").write_text(simple(sink, path="third"))
        assert gateway.process is not None
        gateway.process.send_signal(signal.SIGHUP)
        numbers = iter(range(5000, 9000))
        eventually(
            lambda: gateway.post(distinct(next(numbers))) and sink.requests[-1].path.startswith("/third/"),
            "the file is in force after SIGHUP",
        )
        # Each process has done what it was asked to once all have ended: the first worker may have the file before the rest.
        assert gateway.terminate() == 0
        noted = json.loads(gateway.verb("activity", "--json").stdout)
        assert [each["verb"] for each in noted].count("reload") == 3, "one for each, however many processes there are"


# --- starts and ends ---


def test_a_start_that_fails_says_why_once_and_leaves_nobody(tmp_path):
    gateway = GatewayProcess(tmp_path, "version: 1\nsources: {x: {preset: nobody}}\n", options=("--workers", "2"))
    with pytest.raises(AssertionError, match="exit 1"):
        gateway.start()
    gateway.kill()
    assert gateway.log_text().count("not a known preset") == 1, gateway.log_text()
    with Sink() as sink, GatewayProcess(tmp_path, simple(sink)) as other:
        locked = GatewayProcess(tmp_path, options=("--workers", "2"))
        with pytest.raises(AssertionError, match="exit 1"):
            locked.start()
        locked.kill()
        assert locked.log_text().count(str(other.process.pid)) == 1, locked.log_text()


def test_sigterm_under_load_ends_everything_and_loses_nothing(tmp_path):
    with Sink(answer(after_s=0.02)) as sink:
        crew = Crew(tmp_path, routes(sink.url))
        with crew, Senders(crew, 6, pause_s=0.05) as senders:
            eventually(lambda: senders.count > 60, "events are accepted")
            pids = crew.pids()
            assert len(pids) == 3
            # As systemd does: every process gets the signal, and the workers get it again from the supervisor.
            for pid in pids:
                os.kill(pid, signal.SIGTERM)
            assert crew.gateway.terminate() == 0
            gone(pids)
        with crew:
            crew.drain()
        assert_nothing_is_owed(senders, sink, harms=0)


def test_a_second_signal_ends_everything_at_once(tmp_path):
    with Sink(hang()) as sink, Crew(tmp_path, simple(sink).replace("timeout: 5s", "timeout: 2m")) as crew:
        assert crew.gateway.post(distinct(1))[0] == 202
        sink.wait_for(1)
        pids = crew.pids()
        os.kill(crew.gateway.process.pid, signal.SIGTERM)
        eventually(lambda: crew.gateway.log_lines("gateway.draining"), "it drains")
        assert crew.gateway.terminate() == 1
        gone(pids)


def test_a_supervisor_that_is_killed_takes_everything_with_it(tmp_path):
    with Sink() as sink:
        crew = Crew(tmp_path, simple(sink))
        with crew:
            pids = crew.pids()
            assert len(pids) == 3
            kill(crew.gateway.process.pid)
            gone(pids)
        with crew:
            assert crew.gateway.post(distinct(1))[0] == 202


# --- whatever happens to one of them ---


@pytest.mark.slow
@pytest.mark.timeout(240 + 20 * KILLS)
def test_workers_that_are_killed_under_load_lose_nothing_and_are_replaced(tmp_path, each_store):
    chance = random.Random(7)
    with Sink(answer(after_s=0.02)) as sink, Crew(tmp_path, routes(sink.url)) as crew:
        with Senders(crew, 6, pause_s=0.05) as senders:
            for _ in range(KILLS):
                time.sleep(chance.uniform(0.5, 2.0))
                kill(chance.choice(crew.workers()))
        assert len(crew.workers()) == 2
        crew.drain()
        assert_nothing_is_owed(senders, sink, harms=KILLS)
        assert len(crew.gateway.log_lines("worker.ended")) == KILLS


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_an_owner_that_is_killed_under_load_loses_nothing_and_all_start_again(tmp_path, each_store):
    with Sink(answer(after_s=0.02)) as sink, Crew(tmp_path, routes(sink.url)) as crew:
        with Senders(crew, 6, pause_s=0.05) as senders:
            for _ in range(2):
                eventually(lambda seen=senders.count: senders.count > seen + 40, "events are accepted")
                before = crew.pids()
                kill(crew.owner)
                gone(before)
                crew.ready()
            eventually(lambda seen=senders.count: senders.count > seen + 40, "events are accepted again")
        crew.drain()
        assert_nothing_is_owed(senders, sink, harms=2)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_worker_that_is_frozen_beyond_its_leases_loses_nothing_when_it_wakes(tmp_path):
    with Sink(answer(after_s=0.02)) as sink, Crew(tmp_path, routes(sink.url)) as crew:
        with Senders(crew, 6, pause_s=0.1) as senders:
            eventually(lambda: senders.count > 40, "events are accepted")
            victim = crew.workers()[0]
            os.kill(victim, signal.SIGSTOP)
            time.sleep(FROZEN_S)
            os.kill(victim, signal.SIGCONT)
            time.sleep(2.0)
        crew.drain()
        assert victim in crew.workers(), "it was not replaced"
        assert_nothing_is_owed(senders, sink, harms=1, frozen=1)


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_order_and_rate_are_exact_over_workers(tmp_path):
    with Sink(answer(after_s=0.01)) as sink, Crew(tmp_path, routes(sink.url), workers=3) as crew:
        with Senders(crew, 8, pause_s=0.02) as senders:
            eventually(lambda: senders.count > 400, "events are accepted")
        crew.drain()
        assert_nothing_is_owed(senders, sink, harms=0)
        assert {each.path.split("/")[1] for each in sink.requests} == set(NAMES)


def test_a_delivery_that_workers_die_over_is_dead_after_the_third_time(tmp_path):
    with Sink() as sink:
        crew = Crew(tmp_path, simple(sink))
        with crew:
            gateway = crew.gateway
            event_id = paused(gateway)[-1]
            [delivery] = gateway.deliveries(event_id)
            for died in range(1, 4):
                victim, *_ = crew.workers()
                # As it stands there while a worker works on it.
                number = subprocess.run(
                    ["ps", "-o", "args=", "-p", str(victim)], capture_output=True, text=True
                ).stdout.split()[-1]
                slot = tmp_path / f"gateway.db.{number}.now"
                with slot.open("r+b") as page:
                    page.write(delivery["id"].encode() + b"\0")
                kill(victim)
                eventually(lambda died=died: len(gateway.log_lines("delivery.poisonous")) == died, "it is counted")
            gateway.api("/api/destinations/crm/resume", {"by": "ann"})
            [ended] = gateway.settled(event_id)
            assert (ended["state"], "died 3 times" in ended["reason"]) == ("dead", True)
