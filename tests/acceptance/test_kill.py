"""P1, P5, P6, P8: what was answered 2xx survives kill -9 at any moment, and the test would notice if it did not."""

import http.client
import os
import random
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

from gateway.model import DeliveryState
from gateway.store.queries import DeliveryQuery
from tests.acceptance import ack_before_commit
from tests.acceptance.harness import GatewayProcess, distinct, eventually, signature
from tests.sink import Sink, answer
from tests.store.given import Looking

EACH_STORE = pytest.mark.usefixtures("each_store")

#: More of them with `KILLS=100 pytest -k no_acknowledged_event_is_lost`, for longer.
KILLS = int(os.environ.get("KILLS", "10"))
CLIENTS = 16
CONCURRENCY = 8

ROUTES = """
version: 1
sources: {{xobito: {{preset: xobito, secret: acceptance-secret}}}}
destinations:
  crm: {{url: "{url}", concurrency: {concurrency}, retry: {{for: 1h, first: 1s, max: 1s}}}}
routes:
  - {{name: contacts, match: contact.created, to: crm, path: "/contacts/{{{{ attrs.id }}}}", body: {{id: "{{{{ attrs.id }}}}"}}}}
"""


class Clients:
    """Signing senders in a loop; they remember what was answered 202, and stop when the connection breaks."""

    def __init__(self, numbers) -> None:
        self.numbers = numbers
        self.acked: dict[int, str] = {}
        self._lock = threading.Lock()

    def run(self, port: int) -> None:
        threads = [threading.Thread(target=self._post, args=(port,)) for _ in range(CLIENTS)]
        for thread in threads:
            thread.start()
        self._threads = threads

    def join(self) -> None:
        for thread in self._threads:
            thread.join(30)

    def _post(self, port: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        try:
            while True:
                with self._lock:
                    number = next(self.numbers)
                body = distinct(number)
                connection.request("POST", "/in/xobito", body, {"x-webhook-signature": signature(body)})
                response = connection.getresponse()
                text = response.read().decode()
                if response.status == 202:
                    self.acked[number] = text
        except (OSError, http.client.HTTPException):
            return
        finally:
            connection.close()


def chaos(folder: Path, url: str, kills: int, **options) -> Clients:
    """Kill it again and again under load, then start it once more and let it drain."""
    chance = random.Random(7)
    clients = Clients(iter(range(1, 10_000_000)))
    gateway = GatewayProcess(folder, ROUTES.format(url=url, concurrency=CONCURRENCY), **options)
    for _ in range(kills):
        gateway.start()
        clients.run(gateway.port)
        time.sleep(chance.uniform(0.05, 0.5))
        gateway.kill()
        clients.join()
    with gateway:
        eventually(
            lambda: not gateway.api("/api/deliveries?state=pending")[1]["deliveries"], "everything is delivered", 60
        )
        assert gateway.terminate() == 0
    return clients


@pytest.mark.slow
@pytest.mark.timeout(200 + 10 * KILLS)
def test_no_acknowledged_event_is_lost_over_many_kills(tmp_path):
    # A little late: so that attempts are in flight when the process dies.
    with Sink(answer(after_s=0.02)) as sink:
        clients = chaos(tmp_path, sink.url, KILLS)
        delivered = Counter(int(request.path.rpartition("/")[2]) for request in sink.requests)
        ids = {}
        for request in sink.requests:
            ids.setdefault(request.path, set()).add(request.headers["webhook-id"])
    again = sum(delivered.values()) - len(delivered)
    sys.stdout.write(f"{KILLS} kills: {len(clients.acked)} acknowledged, {len(delivered)} delivered, {again} again\n")
    assert len(clients.acked) > 10 * KILLS
    assert set(clients.acked) - set(delivered) == set()
    duplicates = sum(count - 1 for count in delivered.values())
    assert duplicates <= KILLS * CONCURRENCY
    assert all(len(found) == 1 for found in ids.values()), "a repeated delivery keeps its webhook-id"
    reader = Looking(f"sqlite:///{tmp_path}/gateway.db")
    ended = [reader.deliveries(DeliveryQuery(state=state, limit=1_000_000)).rows for state in DeliveryState]
    assert [len(found) for found in ended if found] == [len(ended[1])], "each is delivered, none is anything else"


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_same_loop_catches_a_store_that_answers_before_the_commit(tmp_path):
    with Sink(answer(after_s=0.02)) as sink:
        clients = chaos(tmp_path, sink.url, 4, command=(sys.executable, ack_before_commit.__file__, "serve"))
        delivered = {int(request.path.rpartition("/")[2]) for request in sink.requests}
    assert set(clients.acked) - delivered, "the control must lose events, or the test above proves nothing"


@EACH_STORE
def test_twenty_parallel_posts_of_one_event_are_one_event_also_after_a_restart(tmp_path):
    with Sink() as sink:
        gateway = GatewayProcess(tmp_path, ROUTES.format(url=sink.url, concurrency=CONCURRENCY))
        answers = []
        with gateway:
            threads = [threading.Thread(target=lambda: answers.append(gateway.post(distinct(1)))) for _ in range(20)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(30)
            gateway.settled(answers[0][1]["id"])
        with gateway:
            answers.append(gateway.post(distinct(1)))
            other = gateway.post(distinct(2))
            sink.wait_for(2)
            assert gateway.terminate() == 0
    assert {status for status, _ in answers} == {202}
    assert len({answer["id"] for _, answer in answers}) == 1
    assert sum(not answer["duplicate"] for _, answer in answers) == 1
    assert other[1]["duplicate"] is False
    assert len(sink.requests) == 2
