"""The dispatcher against whatever a destination, its operators and the power may do, in any order."""

import asyncio
import json
import shutil
import tempfile
from collections import defaultdict
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from gateway.destinations.gates import AHEAD_S
from gateway.dispatcher import Dispatcher
from gateway.model import DeliveryState
from tests.sink import Sink, answer, firewall
from tests.world import World, contact, in_order

#: In the name of a contact that the destination's firewall denies, whatever else it answers.
SCRIPT = "<script>"
#: Of the destination; a 429 asks for a long wait.
ANSWERS = {
    "200": firewall(SCRIPT.encode()),
    "503": answer(503),
    "400": answer(400),
    "401": answer(401),
    "403": answer(403),
    "410": answer(410),
    "429": answer(429, headers=[("retry-after", "1000")]),
}
BUDGET_S, LONGEST_S = 3600, 300


def planned(failures):
    """The wait behind so many failures."""
    return min(2.0 ** (failures - 1), LONGEST_S)


class Life(RuleBasedStateMachine):
    """One destination with an order, whose owner and whose operators do as they like, and one that is greeted once."""

    @initialize(rate=st.sampled_from([None, "100/s"]))
    def begin(self, rate):
        self.loop = asyncio.new_event_loop()
        self.sink = Sink().__enter__()
        self.folders = [Path(tempfile.mkdtemp())]
        retry = {"for": f"{BUDGET_S}s", "max": f"{LONGEST_S}s"}
        crm = {"url": f"{self.sink.url}/crm", "order_by": "attrs.id", "retry": retry, "rate": rate or "none"}
        said = "body: {id: '{{ attrs.id }}', note: '{{ attrs.note }}', name: '{{ attrs.firstname }}'}"
        self.text = (
            f"destinations: {{crm: {json.dumps(crm)}, greeter: {{url: {self.sink.url}/greeter}}}}\n"
            f"routes:\n- {{name: all, to: crm, {said}}}\n"
            f"- {{name: welcome, to: greeter, once: {{per: '{{{{ attrs.id }}}}', for: 3000d}}, {said}}}\n"
        )
        self.world = World(self.folders[0], self.text)
        self.do(self.world.__aenter__())
        #: The contact and the id of each event, in the order in which they were accepted.
        self.accepted = []
        self.answer = "200"
        self.sink.at("/crm", ANSWERS["200"])
        #: Numbers of events that somebody has sent again.
        self.replayed = set()
        #: Ids of the events with a name that is denied.
        self.scripts = set()
        #: Whether the destination has ever denied everything.
        self.has_denied = False

    def do(self, work):
        return self.loop.run_until_complete(work)

    def sent(self):
        return sum(request.path == "/crm" for request in self.sink.requests)

    async def watched(self, work):
        """Whatever happens, what holds the destination does hold it."""
        before, sent = self.world.dispatcher.holds.health("crm"), self.sent()
        await work
        after, new = self.world.dispatcher.holds.health("crm"), self.sent() - sent
        if before.startswith("paused") and after == before:
            # A pause that ends may be followed by one of the gateway's own.
            assert new == 0
        if before.startswith("circuit open") and self.answer == "503":
            assert new <= 1, "one probe"
        if before.startswith("3 different events denied") and self.answer in ("401", "403", "503"):
            assert new <= 1, "one probe"

    @rule(contact_id=st.integers(1, 3))
    def an_event_comes_in(self, contact_id):
        self.do(self.watched(self.comes(contact_id)))

    @precondition(lambda self: len(self.scripts) < 2)
    @rule()
    def an_event_comes_in_that_a_firewall_denies(self):
        # In a lane of its own: what is behind it would wait for the end of its schedule.
        self.do(self.watched(self.comes(100 + len(self.scripts), SCRIPT)))
        self.scripts.add(self.accepted[-1][1])

    async def comes(self, contact_id, name="John"):
        await self.receive(contact_id, name)
        await self.world.turn()

    async def receive(self, contact_id, name="John"):
        body = contact(len(self.accepted), contact_id).replace(b'"John"', f'"{name}"'.encode())
        appended = await self.world.receive(body)
        self.accepted.append((contact_id, appended.event_id))

    @rule(status=st.sampled_from(["200", *ANSWERS, "503", "503"]))
    def the_destination_changes_its_answer(self, status):
        self.answer = status
        self.has_denied = self.has_denied or status in ("401", "403")
        self.sink.at("/crm", ANSWERS[status])

    @rule(seconds=st.sampled_from([0.5, 5.0, 31.0, 400.0]))
    def time_passes(self, seconds):
        self.do(self.watched(self.world.later(seconds)))

    @rule(jump=st.sampled_from([-86_400.0, 3600.0]))
    def somebody_sets_the_clock(self, jump):
        self.world.clock.jump += jump

    @rule(for_s=st.sampled_from([None, 600.0]))
    def somebody_pauses_it(self, for_s):
        self.do(self.world.dispatcher.holds.pause("crm", by="test", reason="a pause", for_s=for_s))

    @rule()
    def somebody_resumes_it(self):
        self.do(self.world.dispatcher.holds.resume("crm", by="test"))
        self.do(self.world.turn())

    @rule(nth=st.integers(0, 20))
    def somebody_wants_one_again(self, nth):
        if self.accepted:
            number = nth % len(self.accepted)
            self.replayed.add(number)
            self.do(self.world.replay(self.accepted[number][1]))
            self.do(self.watched(self.world.turn()))

    @rule(on_its_way=st.sampled_from([None, 1, 2]))
    def the_process_is_killed_and_started_again(self, on_its_way):
        old = self.world
        if on_its_way:
            self.do(self.receive(on_its_way))
        self.folders.append(Path(tempfile.mkdtemp()))
        for file in old.folder.glob("gateway.db*"):
            shutil.copy(file, self.folders[-1])
        standing = old.dispatcher.holds.standing("crm")
        self.do(old.__aexit__())
        self.world = World(self.folders[-1], self.text)
        self.world.clock = old.clock
        self.do(self.world.__aenter__())
        self.do(self.world.dispatcher.recall())
        again = self.world.dispatcher.holds.standing("crm")
        assert again.paused == standing.paused
        # An attempt on its way may have ended with its outcome in memory only. Which events were denied last while it
        # was held already is in memory only, too.
        if not on_its_way:
            assert (again.circuit == "closed") == (standing.circuit == "closed")
            assert len(again.denied) == len(standing.denied)
        self.do(self.watched(self.world.turn()))

    @invariant()
    def events_of_one_key_arrive_in_the_order_in_which_they_were_accepted(self):
        arrived = defaultdict(list)
        for request in self.sink.requests:
            said = json.loads(request.body)
            if request.path == "/crm" and said["note"] not in self.replayed:
                arrived[said["id"]].append(said["note"])
        assert all(numbers == sorted(numbers) for numbers in arrived.values()), dict(arrived)

    @invariant()
    def one_or_two_events_that_are_denied_hold_nothing(self):
        standing = self.world.dispatcher.holds.standing("crm")
        assert self.has_denied or not standing.denied
        assert len(standing.denied) in (0, 3)

    @invariant()
    def the_budget_is_what_was_planned_and_nothing_else(self):
        for _, event_id in self.accepted:
            history = self.do(self.world.store.event(event_id))
            [row] = [each for each in history.deliveries if each.destination == "crm"]
            first = row.attempts_before_replay
            waits = [
                planned(each.number - first)
                for each in history.attempts.get(row.id, ())
                if each.number > first and each.next_s is not None
            ]
            assert row.spent_s == pytest.approx(sum(waits))
            if "gave up" in row.reason and row.state is DeliveryState.DEAD:
                assert row.spent_s + planned(row.attempts - first) >= BUDGET_S

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
        self.sink.at("/crm", ANSWERS["200"])
        await self.world.dispatcher.holds.resume("crm", by="test")
        for _ in range(40):
            await self.world.later(400)
        rows = await self.deliveries()
        assert {each.state for each in rows} <= {DeliveryState.DELIVERED, DeliveryState.DEAD}
        dead = [each for each in rows if each.state is DeliveryState.DEAD]
        assert all(each.reason and each.last_status in (400, 401, 403, 410, 429, 503) for each in dead)
        given_up = {each.event_id for each in dead if each.destination == "crm"}
        assert self.scripts <= given_up, "a delivery that is denied is dead at its end"
        self.sink.at("/crm", answer(200))
        if dead:
            await self.world.replay(*[each.id for each in dead])
        for _ in dead:
            await self.world.later(1)
        rows = await self.deliveries()
        assert {each.state for each in rows} <= {DeliveryState.DELIVERED}
        assert sum(each.destination == "crm" for each in rows) == len(self.accepted)
        contacts = {contact_id for contact_id, _ in self.accepted}
        assert sum(each.destination == "greeter" for each in rows) == len(contacts)
        assert not self.world.dispatcher.holds.in_flight, "every slot is free again"

    async def deliveries(self):
        histories = [await self.world.store.event(event_id) for _, event_id in self.accepted]
        return [each for history in histories for each in history.deliveries]


def test_whatever_happens_order_once_pauses_circuit_and_budget_hold_and_every_delivery_ends():
    run_state_machine_as_test(Life, settings=settings(max_examples=30, stateful_step_count=30))


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_ten_thousand_that_waited_through_an_outage_leave_at_the_rate_and_within_the_slots(tmp_path):
    async def drained(sink):
        text = in_order(sink, rate="500/s", concurrency=6).replace('"order_by": "attrs.id", ', "")
        world = World(tmp_path, text)
        async with world:
            await world.dispatcher.holds.pause("crm", by="test", reason="an outage")
            for first in range(0, 10_000, 100):
                await asyncio.gather(*(world.receive(contact(n, n)) for n in range(first, first + 100)))
        async with World(tmp_path, text) as world:
            await world.dispatcher.holds.resume("crm", by="test")
            # From here on real time counts.
            world.gateway.monotonic = asyncio.get_running_loop().time
            dispatcher = Dispatcher(world.gateway)
            await dispatcher.recall()
            running = asyncio.create_task(dispatcher.run())
            while len(sink.requests) < 10_000:
                await asyncio.sleep(0.2)
            dispatcher.stop()
            await dispatcher.idle()
            await running

    with Sink(answer(200, after_s=0.005)) as sink:
        asyncio.run(drained(sink))
        starts = sorted(request.at for request in sink.requests)
    # A slot's next request begins after the answer to the one before, 5 ms later.
    assert _most_within(0.005, starts) <= 6
    together = int(500 * AHEAD_S) + 1
    assert _most_within(1.0, starts) <= 500 + together, "its 500, and what a busy machine pushes together at either end"


def _most_within(seconds, starts):
    first, most = 0, 0
    for last, at in enumerate(starts):
        while at - starts[first] >= seconds:
            first += 1
        most = max(most, last - first + 1)
    return most
