"""The dispatcher against whatever a destination, its operators and the power may do, in any order."""

import asyncio
import json
import shutil
import tempfile
from collections import defaultdict
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from gateway.model import DeliveryState
from gateway.pipeline import Dispatcher
from tests.sink import Sink, answer
from tests.test_pipeline import World, contact, in_order

STATUSES = (200, 200, 503, 503, 400, 429, 401)


class Life(RuleBasedStateMachine):
    """One destination with an order, whose owner and whose operators do as they like."""

    def __init__(self):
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.sink = Sink()
        self.sink.__enter__()
        self.folders = [Path(tempfile.mkdtemp())]
        retry = {"for": "1h", "max": "5m"}
        self.world = World(self.folders[0], in_order(self.sink, retry=retry, rate="100/s"))
        self.do(self.world.__aenter__())
        self.numbers = 0
        self.is_paused = False
        self.sent = 0

    def do(self, work):
        return self.loop.run_until_complete(work)

    @rule(contact_id=st.integers(1, 3))
    def an_event_comes_in(self, contact_id):
        self.do(self.world.receive(contact(self.numbers, contact_id)))
        self.numbers += 1
        self.do(self.world.turn())

    @rule(status=st.sampled_from(STATUSES))
    def the_destination_changes_its_answer(self, status):
        self.sink.at("/", answer(status))

    @rule(seconds=st.sampled_from([0.5, 5.0, 31.0, 400.0]))
    def time_passes(self, seconds):
        self.do(self.world.later(seconds))

    @rule()
    def somebody_pauses_it(self):
        self.do(self.world.dispatcher.pause("crm", by="test", reason="a pause"))
        self.is_paused, self.sent = True, len(self.sink.requests)

    @rule()
    def somebody_resumes_it(self):
        self.is_paused = False
        self.do(self.world.dispatcher.resume("crm", by="test"))
        self.do(self.world.turn())

    @rule()
    def the_process_is_killed_and_started_again(self):
        old = self.world
        self.folders.append(Path(tempfile.mkdtemp()))
        for file in old.folder.glob("gateway.db*"):
            shutil.copy(file, self.folders[-1])
        self.do(old.__aexit__())
        self.world = World(self.folders[-1], in_order(self.sink, retry={"for": "1h", "max": "5m"}, rate="100/s"))
        self.world.clock.now = old.clock.now
        self.do(self.world.__aenter__())
        self.do(self.world.dispatcher.recall())
        self.do(self.world.turn())

    @invariant()
    def nothing_is_sent_while_it_is_paused(self):
        assert not self.is_paused or len(self.sink.requests) == self.sent

    @invariant()
    def events_of_one_key_arrive_in_the_order_in_which_they_were_accepted(self):
        arrived = defaultdict(list)
        for request in self.sink.requests:
            said = json.loads(request.body)
            arrived[said["id"]].append(said["note"])
        assert all(numbers == sorted(numbers) for numbers in arrived.values()), dict(arrived)

    def teardown(self):
        try:
            self.do(self.everything_ends())
        finally:
            self.do(self.world.__aexit__())
            self.loop.run_until_complete(self.loop.shutdown_default_executor())
            self.loop.close()
            self.sink.__exit__(None, None, None)
            for folder in self.folders:
                shutil.rmtree(folder)

    async def everything_ends(self):
        self.sink.at("/", answer(200))
        await self.world.dispatcher.resume("crm", by="test")
        for _ in range(40):
            await self.world.later(400)
        rows = [row for row in await self.world.store.events(limit=1000) if row.source == "xobito"]
        states = [each.state for row in rows for each in row.deliveries]
        assert len(states) == self.numbers
        assert set(states) <= {DeliveryState.DELIVERED, DeliveryState.DEAD}


def test_whatever_happens_order_and_pauses_hold_and_every_delivery_ends():
    run_state_machine_as_test(
        Life,
        settings=settings(
            max_examples=25, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )


@pytest.mark.slow
def test_ten_thousand_that_waited_through_an_outage_leave_at_the_rate_and_within_the_slots(tmp_path):
    async def drained(sink):
        text = in_order(sink, rate="500/s", concurrency=6).replace('"order_by": "attrs.id", ', "")
        world = World(tmp_path, text)
        async with world:
            await world.dispatcher.pause("crm", by="test", reason="an outage")
            for number in range(10_000):
                await world.receive(contact(number, number))
        async with World(tmp_path, text) as world:
            # From here on real time counts; the pause of the outage was not taken up again.
            world.gateway.monotonic = asyncio.get_running_loop().time
            dispatcher = Dispatcher(world.gateway)
            running = asyncio.create_task(dispatcher.run())
            while len(sink.requests) < 10_000:
                await asyncio.sleep(0.2)
            dispatcher.stop()
            await dispatcher.idle()
            await running

    with Sink(answer(200, after_s=0.005)) as sink:
        asyncio.run(drained(sink))
        starts = sorted(request.at for request in sink.requests)
    assert max(request.connection for request in sink.requests) <= 6
    assert _most_in_a_second(starts) <= 510, "a second has at most its 500, and what the network has pushed together"


def _most_in_a_second(starts):
    first, most = 0, 0
    for last, at in enumerate(starts):
        while at - starts[first] >= 1.0:
            first += 1
        most = max(most, last - first + 1)
    return most
