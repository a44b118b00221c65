"""Two replicas on one PostgreSQL are one gateway for those who send to it, look at it and act on it."""

import os
import signal
import sys
import time

import pytest

from gateway.store.cluster import LAPSED_S
from tests import postgres
from tests.acceptance.cluster import Cluster
from tests.acceptance.harness import SECRET, distinct, eventually
from tests.acceptance.test_cli_tail import Tail
from tests.acceptance.test_operating import form
from tests.sink import Sink, answer

TOKEN = "5f0c8a7be1d94263a7c41b0e92d86f35"
FILE = """
version: 1
sources: {{xobito: {{preset: xobito, secret: {secret}}}}}
destinations:
  crm: {{url: "{url}", order_by: attrs.id, timeout: 5s, retry: {{for: 1h, first: 1s, max: 1s}}}}
  chat: {{url: "{url}", timeout: 5s, retry: {{for: 1h, first: 1s, max: 1s}}}}
  ops: {{url: "{url}"}}
routes:
  - {{name: {name}, match: contact.created, to: [crm, chat], path: "/{name}/{{{{ attrs.id }}}}", body: {{}}}}
  - {{name: troubles, source: gateway, match: "**", to: ops, path: "/{{{{ event.type }}}}", body: {{}}}}
"""


def file(sink, *, name="contacts"):
    return FILE.format(secret=SECRET, url=sink.url, name=name)


@pytest.fixture
def url():
    made = postgres.fresh()
    yield made
    postgres.drop(made)


def numbers(path, sink):
    return [int(each.path.rpartition("/")[2]) for each in sink.requests if each.path.startswith(f"/{path}/")]


def replicas(gateway):
    return gateway.api("/api/replicas")[1]


def met(*gateways):
    """Return when each of them knows all others."""
    eventually(lambda: all(len(replicas(each)) == len(gateways) for each in gateways), "they know each other")


def test_what_is_sent_to_one_is_seen_and_acted_on_at_the_other(tmp_path, url):
    with Sink() as sink, Cluster(tmp_path, url, file(sink), replicas=2) as cluster:
        one, other = cluster.gateways
        with Tail(one, "--json") as tail:
            eventually(lambda: "gateway_live_listeners 1" in one.api("/metrics")[1], "it listens")
            status, said = other.post(distinct(1))
            assert (status, said["duplicate"]) == (202, False)
            eventually(lambda: said["id"] in "".join(tail.lines), "the live stream of the one shows it")
        status, again = one.post(distinct(1))
        assert (status, again["id"], again["duplicate"]) == (202, said["id"], True)
        assert {each["state"] for each in one.settled(said["id"])} == {"delivered"}
        assert said["id"] in one.verb("events").stdout

        one.verb("replay", said["id"], "--yes")
        eventually(lambda: numbers("contacts", sink).count(1) == 4, "it is sent to both again")
        assert "replay" in other.verb("activity").stdout

        assert one.api("/api/destinations/chat/pause", {"by": "ann", "reason": "their migration"})[0] == 200
        eventually(lambda: "paused by ann" in other.verb("destinations").stdout, "the other one knows")
        held = other.post(distinct(2))[1]["id"]
        eventually(lambda: {each["state"] for each in one.deliveries(held)} == {"delivered", "pending"}, "one waits")
        assert other.api("/api/destinations/chat/resume", {"by": "bob"})[0] == 200
        assert {each["state"] for each in one.settled(held)} == {"delivered"}


def test_each_says_who_runs_with_which_file_and_all_reload_together(tmp_path, url):
    with Sink() as sink, Cluster(tmp_path, url, file(sink), replicas=2) as cluster:
        one, other = cluster.gateways
        met(one, other)
        (one.folder / "routes.yaml").write_text(file(sink, name="renamed"))
        one.verb("reload")
        eventually(lambda: "with another configuration" in other.api("/")[1], "the console of the other says so")
        assert "1 replica with another configuration" in one.verb("replicas").stdout
        (other.folder / "routes.yaml").write_text(file(sink, name="renamed"))
        one.verb("reload", "--all")
        eventually(lambda: len({each["config"] for each in replicas(one)}) == 1, "all have the same")
        assert "with another configuration" not in one.api("/")[1]
        other.settled(other.post(distinct(1))[1]["id"])
        assert numbers("renamed", sink) == [1, 1]


def test_what_befalls_all_of_them_is_announced_once(tmp_path, url):
    with Sink(answer(500)) as sink, Cluster(tmp_path, url, file(sink), replicas=2) as cluster:
        sink.at("/gateway.", answer(200))
        met(*cluster.gateways)
        for number in range(1, 13):
            assert cluster.gateways[number % 2].post(distinct(number))[0] == 202
        for each in cluster.gateways:
            eventually(lambda each=each: "open" in each.verb("destinations").stdout, "its circuit is open")
        # Early in a minute: it is one announcement if all find it within the same.
        eventually(lambda: time.time() % 60 < 45, "there is time")
        for each in cluster.gateways:
            (each.folder / "routes.yaml").write_text("sauces: {}\n")
            os.kill(each.process.pid, signal.SIGHUP)
        for each in cluster.gateways:
            eventually(lambda each=each: each.log_lines("config.rejected"), "it is rejected")
        [one, _] = cluster.gateways
        told = eventually(
            lambda: (
                len(found := one.api("/api/events?source=gateway")[1]["events"]) >= 3
                and all(each["state"] == "delivered" for row in found for each in one.deliveries(row["id"]))
                and sorted(each.path for each in sink.requests if each.path.startswith("/gateway."))
            ),
            "all is told",
        )
        assert told == ["/gateway.circuit.opened", "/gateway.circuit.opened", "/gateway.reload.rejected"]


def test_numbers_of_the_store_are_exported_by_one_of_them(tmp_path, url):
    with Sink() as sink, Cluster(tmp_path, url, file(sink), replicas=2) as cluster:
        met(*cluster.gateways)
        one, other = cluster.gateways
        one.settled(one.post(distinct(1))[1]["id"])

        def exporting():
            return [each for each in cluster.alive() if "gateway_deliveries_open{" in each.api("/metrics")[1]]

        [first] = eventually(lambda: len(found := exporting()) == 1 and found, "one does")
        for each in (one, other):
            assert "gateway_replicas 2.0" in each.api("/metrics")[1]
        first.kill()
        [left] = cluster.alive()
        eventually(lambda: exporting() == [left], "the other one does once the first has lapsed")


def test_a_login_at_one_counts_at_the_other_and_so_does_its_end(tmp_path, url):
    environ = {"GATEWAY_ADMIN_TOKEN": TOKEN}
    with Sink() as sink, Cluster(tmp_path, url, file(sink), replicas=2, environ=environ) as cluster:
        one, other = cluster.gateways
        status, headers = form(one, "/login", {"token": TOKEN}, host="localhost:8081", origin="http://localhost:8081")
        assert status == 303
        # A load balancer in front of both: they are asked by the same name, whichever ports they listen on.
        browser = {"cookie": headers["set-cookie"].partition(";")[0], "host": "localhost:8081"}
        assert other.api("/api/events", headers=browser)[0] == 200
        assert form(other, "/logout", {}, origin="http://localhost:8081", **browser)[0] == 303
        eventually(lambda: one.api("/api/events", headers=browser)[0] == 401, "it has ended at both")


#: From a death until the registration has lapsed, then the timeout of what was on its way, and whatever a busy machine adds.
TAKEN_OVER_S = LAPSED_S + 5.0 + 15.0


@pytest.mark.slow
@pytest.mark.parametrize("how", ["killed", "stopped"])
def test_what_one_replica_held_is_sent_by_the_other_once_it_has_gone(tmp_path, url, how):
    """An order keeps it to its holder: another one has it at once after a stop, and after a while when it was killed."""
    with Sink() as sink, Cluster(tmp_path, url, file(sink), replicas=2) as cluster:
        met(*cluster.gateways)
        one, other = cluster.gateways
        holder = held_by(url, "crm")
        first, left = (one, other) if holder == replica_of(one) else (other, one)
        began = time.monotonic()
        if how == "killed":
            first.kill()
        else:
            assert first.terminate() == 0
            began = time.monotonic()
        sent = left.post(distinct(7))[1]["id"]
        eventually(lambda: state_of(left, sent, "crm") == "delivered", "the other one sends")
        took = time.monotonic() - began
        sys.stdout.write(f"{how}: sent by the other after {took:.1f} s\n")
        assert took < (TAKEN_OVER_S if how == "killed" else LAPSED_S)
        assert held_by(url, "crm") == replica_of(left)


def state_of(gateway, event_id, destination):
    [state] = [each["state"] for each in gateway.deliveries(event_id) if each["destination"] == destination]
    return state


def held_by(url, destination):
    """The number of the replica that holds a destination."""
    statement = f"SELECT replica FROM holder WHERE destination = '{destination}' AND until > gateway_now()"
    return eventually(lambda: postgres.run(url, statement), f"{destination} is held")[0][0]


def replica_of(gateway):
    [me] = [each["id"] for each in replicas(gateway) if each["is_this"]]
    return int(me.removeprefix("rep_"))
