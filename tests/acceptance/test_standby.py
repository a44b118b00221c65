"""H9: a standby that takes over has everything that was acknowledged, and the replicas find it."""

import pytest

from tests import postgres
from tests.acceptance.cluster import Cluster, Senders, lost, repeats, routes
from tests.acceptance.harness import eventually
from tests.acceptance.test_replicas import IN_FLIGHT, report
from tests.sink import Sink, answer
from tests.wire import Wire

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

#: What both URLs ask for.
WANTED = "target_session_attrs=read-write"


@pytest.fixture
def servers():
    """A primary, and a standby without which it acknowledges nothing."""
    with postgres.start_server() as primary, postgres.standby_of(primary) as standby:
        postgres.run(primary.url, "ALTER SYSTEM SET synchronous_standby_names = '*'", "SELECT pg_reload_conf()")
        yield primary, standby


def taken_over(cluster, senders, standby):
    """Promote the standby, and wait until every replica stores events again."""
    postgres.run(standby.url, "SELECT pg_promote()")
    for each in cluster.gateways:
        eventually(lambda each=each: each.api("/readyz")[0] == 200, "it is ready again")
    before = senders.count
    eventually(lambda: senders.count > before + 50, "events are acknowledged")


def assert_nothing_is_lost(cluster, senders, sink):
    assert senders.count > 100
    assert lost(senders, sink) == {}
    assert repeats(sink) <= 2 * IN_FLIGHT
    assert len(cluster.alive()) == 2, "nobody has ended"


def test_a_standby_is_promoted_after_the_primary_has_crashed_and_nothing_acknowledged_is_lost(tmp_path, servers):
    primary, standby = servers
    url = f"postgresql://gateway@/postgres?host={primary.folder},{standby.folder}&port={postgres.PORT}&{WANTED}"
    with Sink(answer(after_s=0.02)) as sink, Cluster(tmp_path, url, routes(sink.url), replicas=2) as cluster:
        with Senders(cluster, 6, pause_s=0.1) as senders:
            eventually(lambda: senders.count > 50, "events are acknowledged")
            primary.stop()
            eventually(lambda: cluster.gateways[0].api("/readyz")[0] == 503, "it says that it is not ready")
            taken_over(cluster, senders, standby)
        cluster.drain()
        report("a failover", cluster, senders, sink)
        assert_nothing_is_lost(cluster, senders, sink)


def test_a_primary_that_answers_no_more_does_not_keep_the_replicas_from_its_standby(tmp_path, servers):
    """Its machine is off: nobody refuses a connection to it."""
    primary, standby = servers
    with (
        Wire(primary.folder / f".s.PGSQL.{postgres.PORT}") as one,
        Wire(standby.folder / f".s.PGSQL.{postgres.PORT}") as other,
    ):
        url = f"postgresql://gateway@127.0.0.1:{one.port},127.0.0.1:{other.port}/postgres?{WANTED}"
        with Sink(answer(after_s=0.02)) as sink, Cluster(tmp_path, url, routes(sink.url), replicas=2) as cluster:
            with Senders(cluster, 6, pause_s=0.1) as senders:
                eventually(lambda: senders.count > 50, "events are acknowledged")
                one.cut()
                primary.stop()
                eventually(lambda: cluster.gateways[0].api("/readyz")[0] == 503, "it says that it is not ready")
                taken_over(cluster, senders, standby)
            cluster.drain()
            report("a failover from a silent primary", cluster, senders, sink)
            assert_nothing_is_lost(cluster, senders, sink)
