"""What a source does not send is noticed, whatever happens to the gateway meanwhile."""

import json
import time

import pytest

from tests.acceptance.crew import Crew
from tests.acceptance.harness import GatewayProcess, distinct, eventually
from tests.acceptance.moved_clock import PROGRAM, MovedClock
from tests.acceptance.stores import url_of
from tests.sink import Sink

ROUTES = """
version: 1
sources:
  xobito:
    preset: xobito
    secret: acceptance-secret
    silence: {{after: 1h}}
    follow_up:
      - {{after: contact.created, want: contact.updated, per: "{{payload.data.id}}", within: {within}}}
destinations:
  ops: {{url: "{url}"}}
routes:
  - {{source: gateway, match: gateway.source.*, to: ops, body: {{of: "{{{{ payload.event_id }}}}"}}}}
"""


def missed(sink: Sink) -> list[str]:
    return [json.loads(each.body)["of"] for each in sink.requests]


@pytest.mark.usefixtures("each_store")
def test_what_is_awaited_survives_kill_9_and_is_missed_once(tmp_path):
    clock = MovedClock(tmp_path, url_of(tmp_path))
    with Sink() as sink, GatewayProcess(
        tmp_path, ROUTES.format(url=sink.url, within="10m"), command=PROGRAM, environ=clock.environ
    ) as gateway:  # fmt: skip
        ids = {number: gateway.post(distinct(number))[1]["id"] for number in (1, 2, 3)}
        gateway.post(distinct(2, "contact.updated"))
        gateway.kill()
        clock.advance(601.0)
        gateway.start()
        eventually(lambda: len(sink.requests) == 2, "both are missed")
        gateway.kill()
        gateway.start()
        time.sleep(1.5)
        # A message that was in flight at the kill may arrive twice; there is one event for each.
        assert set(missed(sink)) == {ids[1], ids[3]}
        assert len(gateway.api("/api/events?source=gateway")[1]["events"]) == 2


@pytest.mark.usefixtures("each_store")
def test_with_workers_one_process_misses_it(tmp_path):
    with Sink() as sink, Crew(tmp_path, ROUTES.format(url=sink.url, within="10s")) as crew:
        ids = {number: crew.gateway.post(distinct(number))[1]["id"] for number in (1, 2, 3, 4)}
        crew.gateway.post(distinct(3, "contact.updated"))
        eventually(lambda: len(sink.requests) == 3, "three are missed")
        time.sleep(1.5)
        assert sorted(missed(sink)) == sorted([ids[1], ids[2], ids[4]])
