"""A disk whose fsync takes long slows everybody down, but stops nobody: deliveries have their turn while events come in."""

import itertools
import re
import time

import pytest

from tests import disk
from tests.acceptance.harness import GatewayProcess
from tests.acceptance.test_kill import CONCURRENCY, ROUTES, Clients
from tests.needs import needs
from tests.sink import Sink, answer

COMMITS = re.compile(r"^gateway_store_commit_seconds_count (\S+)$", re.MULTILINE)


@pytest.mark.slow
@pytest.mark.parametrize("sync_s", [0.01, 0.05])
def test_what_waits_is_delivered_while_senders_keep_posting(tmp_path, sync_s):
    needs("cc", "gcc libc6-dev")
    clients = Clients(itertools.count(1))
    with Sink(answer()) as sink:
        routes = ROUTES.format(url=sink.url, concurrency=CONCURRENCY)
        with GatewayProcess(tmp_path, routes, environ=disk.slow(sync_s)) as gateway:
            clients.run(gateway.port)
            while len(clients.acked) < 600:
                time.sleep(0.01)
            delivered = len(sink.requests)
            commits = float(COMMITS.search(gateway.api("/metrics")[1])[1])
            gateway.kill()
            clients.join()
    # A slot needs two commits for each delivery; here, half as much counts as keeping up.
    assert delivered > CONCURRENCY * commits / 4
