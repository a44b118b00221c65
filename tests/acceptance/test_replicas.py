"""H9: replicas on one PostgreSQL lose nothing and keep order and rate, whatever happens to them or to the server."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import NamedTuple

import pytest

from gateway.store.spread import _weight
from tests import pooler, postgres
from tests.acceptance import next_release
from tests.acceptance.cluster import (
    FEW,
    MANY,
    NAMES,
    RATE,
    Cluster,
    Senders,
    lost,
    of,
    out_of_order,
    over_rate,
    record,
    repeats,
    routes,
    unrecorded,
)
from tests.acceptance.harness import GatewayProcess, distinct, eventually
from tests.acceptance.network import Network
from tests.sink import Sink, answer
from tests.wire import Wire

#: More with `REPLICA_KILLS=30 REPLICA_STOPS=10 pytest tests/acceptance/test_replicas.py`, for longer.
KILLS = int(os.environ.get("REPLICA_KILLS", "3"))
STOPS = int(os.environ.get("REPLICA_STOPS", "1"))
#: Longer than a registration lasts without a beat, seconds.
FROZEN_S = 13.0
#: A second is what a sender waits for 503 at the most; a busy machine takes longer.
ANSWERED_S = 3.0
#: Deliveries that wait for a destination with a rate.
BACKLOG = 200
#: In flight at one replica, over all destinations.
IN_FLIGHT = 2 * MANY + FEW + MANY

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240 + 40 * KILLS + 40 * STOPS)]


@pytest.fixture
def server():
    """A server of its own: it is stopped and started."""
    with postgres.start_server() as server:
        yield server


def report(what: str, cluster: Cluster, senders: Senders, sink: Sink) -> None:
    missing = unrecorded(cluster.alive()[0], sink)
    sys.stdout.write(
        f"{what}: {senders.count} acknowledged, {len(sink.requests)} requests, {repeats(sink)} repeated, "
        f"{sum(missing.values())} of them without a record, "
        f"longest refusal {senders.longest_s:.1f} s, refused {senders.most_refusals} times at most\n"
    )


def assert_nothing_is_owed(cluster: Cluster, senders: Senders, sink: Sink, *, harms: int, frozen: int = 0) -> None:
    """``harms``: how often a replica lost what it had in flight; each frozen one may send one request late."""
    assert senders.count > 100
    assert lost(senders, sink) == {}
    # A destination on a busy machine may answer too late: an attempt that has failed and is recorded is made again.
    assert sum(unrecorded(cluster.alive()[0], sink).values()) <= harms * IN_FLIGHT
    assert out_of_order(sink) <= frozen
    assert over_rate(sink) <= frozen


def assert_nobody_was_refused_for_long(senders: Senders) -> None:
    """Whoever is refused by one replica is accepted by the next: within 20 ms, and whatever the machine adds to that."""
    assert senders.most_refusals <= 3, f"refused {senders.most_refusals} times in a row"


def test_replicas_that_are_killed_under_load_lose_nothing(tmp_path, server):
    chance = random.Random(7)
    with Sink(answer(after_s=0.02)) as sink, Cluster(tmp_path, server.url, routes(sink.url), replicas=3) as cluster:
        with Senders(cluster, 6, pause_s=0.1) as senders:
            for _ in range(KILLS):
                time.sleep(chance.uniform(0.5, 3.0))
                victim = chance.choice(cluster.gateways)
                victim.kill()
                time.sleep(chance.uniform(0.0, 1.0))
                victim.start()
        # What has waited for leases of the dead is sent once nobody dies any more.
        cluster.drain(120.0 + 20.0 * KILLS)
        report(f"{KILLS} kills", cluster, senders, sink)
        assert_nothing_is_owed(cluster, senders, sink, harms=KILLS)


def test_a_replica_that_is_frozen_beyond_its_registration_loses_nothing(tmp_path, server):
    chance = random.Random(7)
    with Sink(answer(after_s=0.02)) as sink, Cluster(tmp_path, server.url, routes(sink.url), replicas=3) as cluster:
        with Senders(cluster, 6, pause_s=0.1) as senders:
            for _ in range(STOPS):
                time.sleep(2.0)
                victim = chance.choice(cluster.gateways)
                os.killpg(victim.process.pid, signal.SIGSTOP)
                time.sleep(FROZEN_S)
                os.killpg(victim.process.pid, signal.SIGCONT)
            time.sleep(2.0)
        cluster.drain()
        report(f"{STOPS} freezes", cluster, senders, sink)
        assert_nothing_is_owed(cluster, senders, sink, harms=STOPS, frozen=STOPS)


def test_replicas_whose_server_restarts_and_cuts_their_connections_lose_nothing(tmp_path, server):
    with Sink(answer(after_s=0.02)) as sink, Cluster(tmp_path, server.url, routes(sink.url), replicas=3) as cluster:
        with Senders(cluster, 6, pause_s=0.1) as senders:
            time.sleep(1.0)
            for _ in range(10):
                time.sleep(0.3)
                postgres.run(
                    server.url,
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'",
                )
            server.stop()
            time.sleep(2.0)
            server.start()
            time.sleep(3.0)
        cluster.drain()
        report("10 storms and a restart", cluster, senders, sink)
        assert len(cluster.alive()) == 3, "no crash loop"
        assert_nothing_is_owed(cluster, senders, sink, harms=3 * 11)


def test_replicas_behind_a_pooler_that_is_killed_again_and_again_lose_nothing(tmp_path, server, monkeypatch):
    """With no way around it but for the migration."""
    between = pooler.Pooler(server.url)
    monkeypatch.setenv("GATEWAY_STORE_DIRECT", server.url)
    url, alone = between.url_of(server.url), {"GATEWAY_STORE_DIRECT": ""}
    try:
        with (
            Sink(answer(after_s=0.02)) as sink,
            Cluster(tmp_path, url, routes(sink.url), replicas=2, environ=alone) as cluster,
        ):
            with Senders(cluster, 6, pause_s=0.1) as senders:
                for _ in range(3):
                    eventually(lambda seen=senders.count: senders.count > seen + 40, "events are acknowledged")
                    between.stop()
                    for each in cluster.gateways:
                        eventually(lambda each=each: each.api("/readyz")[0] == 503, "it says that it is not ready")
                    between.start()
                eventually(lambda seen=senders.count: senders.count > seen + 40, "events are acknowledged again")
            cluster.drain()
            report("a pooler that was killed three times", cluster, senders, sink)
            assert len(cluster.alive()) == 2, "no crash loop"
            assert_nothing_is_owed(cluster, senders, sink, harms=2 * 3)
    finally:
        between.remove()


class Way(NamedTuple):
    """How one replica reaches the server."""

    server: postgres.Server
    url: str
    cut: Callable[[], None]
    mend: Callable[[], None]


@pytest.fixture(params=["network", "wire"])
def way(request):
    """A server, and the one way to it that can be cut: the kernel drops what is sent, or a process holds it back."""
    if request.param == "network":
        with Network() as network, postgres.start_server(wrapper=network.wrapper, address=network.address) as server:
            url = f"postgresql://gateway@{network.address}:{postgres.PORT}/postgres"
            yield Way(server, url, network.cut, network.mend)
    else:
        with postgres.start_server() as server, Wire(server.folder / f".s.PGSQL.{postgres.PORT}") as wire:
            yield Way(server, f"postgresql://gateway@127.0.0.1:{wire.port}/postgres", wire.cut, wire.mend)


def test_a_replica_that_is_cut_off_from_the_server_refuses_and_the_others_take_over(tmp_path, way):
    with (
        Sink(answer(after_s=0.02)) as sink,
        Cluster(tmp_path, way.server.url, routes(sink.url), replicas=3, first=way.url) as cluster,
    ):
        [cut, *_] = cluster.gateways
        with Senders(cluster, 6, pause_s=0.1) as senders:
            time.sleep(2.0)
            way.cut()
            began = time.monotonic()
            status, said = cut.post(distinct(99_000_000))
            took_s = time.monotonic() - began
            assert status == 503, said
            assert took_s < ANSWERED_S
            eventually(lambda: cut.api("/readyz")[0] == 503, "it says that it is not ready")
            time.sleep(FROZEN_S)
            way.mend()
            eventually(lambda: cut.api("/readyz")[0] == 200, "it is ready again")
            time.sleep(1.0)
        cluster.drain()
        report("a cut", cluster, senders, sink)
        assert_nothing_is_owed(cluster, senders, sink, harms=1, frozen=1)


def test_replicas_that_are_stopped_one_after_the_other_hand_over_at_once(tmp_path, server):
    """As a rolling restart does."""
    with Sink(answer(after_s=0.02)) as sink, Cluster(tmp_path, server.url, routes(sink.url), replicas=2) as cluster:
        with Senders(cluster, 6, pause_s=0.1) as senders:
            for each in cluster.gateways:
                time.sleep(2.0)
                assert each.terminate() == 0
                each.kill()  # nothing is left to kill: it closes what this test has open
                each.start()
            time.sleep(2.0)
        cluster.drain()
        report("a rolling restart", cluster, senders, sink)
        assert_nobody_was_refused_for_long(senders)
        assert_nothing_is_owed(cluster, senders, sink, harms=0)
        assert {name for name in NAMES if any(each.path.startswith(f"/{name}/") for each in sink.requests)} == set(
            NAMES
        )


def is_with_its_holder(url: str, name: str) -> bool:
    """Whether the replica to which it falls may send to it, and no change is under way."""
    rows = postgres.run(url, "SELECT number, convert_from(grants, 'UTF8') FROM replica WHERE said IS NOT NULL")
    shares = {number: json.loads(grants).get(name, {}).get("share", 0.0) for number, grants in rows}
    return len(shares) == 2 and shares[max(shares, key=lambda number: _weight(number, name))] == 1.0


def attempted(gateway: GatewayProcess, name: str) -> int:
    """How many attempts at a destination a replica has made."""
    return sum(line["destination"] == name for line in gateway.log_lines("delivery.attempted"))


def test_a_backlog_that_came_to_both_replicas_is_sent_by_one_of_them_by_the_rate_of_its_destination(tmp_path, server):
    """The whole rate is that of its holder: what is used of it depends on the machine, and is printed."""
    with Sink(answer(after_s=0.02)) as sink, Cluster(tmp_path, server.url, routes(sink.url), replicas=2) as cluster:
        one, other = cluster.gateways
        eventually(lambda: is_with_its_holder(server.url, "rated"), "it has come to the replica that is to hold it")
        assert one.api("/api/destinations/rated/pause", {"by": "ann", "reason": "a backlog"})[0] == 200
        eventually(lambda: "paused" in other.verb("destinations").stdout, "the other one knows")
        for number in range(1, BACKLOG + 1):
            assert cluster.gateways[number % 2].post(record(number, "key-0"))[0] == 202
        assert other.api("/api/destinations/rated/resume", {"by": "ann"})[0] == 200
        cluster.drain()
        times = [each.at for each in of(sink, "rated")]
        used = (BACKLOG - 1) / RATE / (times[-1] - times[0])
        sys.stdout.write(f"a backlog of {BACKLOG}: {100 * used:.0f} % of the rate is used\n")
        assert len(times) == BACKLOG
        assert over_rate(sink) == 0
        eventually(
            lambda: sorted(attempted(each, "rated") for each in cluster.gateways) == [0, BACKLOG], "one sends all"
        )


def test_an_upgrade_with_another_schema_replaces_one_replica_after_the_other_under_load(tmp_path, server):
    """Two versions of the schema, each with processes of its own."""
    upgraded = (sys.executable, next_release.__file__)
    with Sink(answer(after_s=0.02)) as sink, Cluster(tmp_path, server.url, routes(sink.url), replicas=2) as cluster:
        with Senders(cluster, 6, pause_s=0.1) as senders:
            time.sleep(1.0)
            migrated = subprocess.run(
                [*upgraded, "migrate", "--store", server.url], capture_output=True, text=True, timeout=60, cwd=tmp_path
            )
            assert migrated.returncode == 0, migrated.stderr
            # Replicas of the release before go on, and one that starts now does as well.
            time.sleep(1.0)
            for each in cluster.gateways:
                assert each.terminate() == 0
                each.kill()
                each.start()
                time.sleep(1.0)
            for each in cluster.gateways:
                assert each.terminate() == 0
                each.kill()
                each.replace_command((*upgraded, "serve"))
                each.start()
                time.sleep(1.0)
        cluster.drain()
        report("an upgrade", cluster, senders, sink)
        assert_nobody_was_refused_for_long(senders)
        assert_nothing_is_owed(cluster, senders, sink, harms=0)


def test_a_release_refuses_a_schema_that_is_older_than_its_own_and_names_the_command(tmp_path, server):
    with Sink() as sink, Cluster(tmp_path, server.url, routes(sink.url), replicas=1) as cluster:
        refused = subprocess.run(
            [sys.executable, next_release.__file__, "serve", "-c", cluster.gateways[0].folder / "routes.yaml",
             "--bind", "127.0.0.1:0", "--admin-bind", "127.0.0.1:0", "--store", server.url],
            capture_output=True, text=True, timeout=60, cwd=tmp_path,
        )  # fmt: skip
    assert refused.returncode == 1
    assert "gateway migrate" in refused.stderr
    assert "Traceback" not in refused.stderr
