"""The pace of upkeep, and whose turn it is at the interpreter."""

import asyncio
from itertools import pairwise
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.store.sqlite import pace, turns
from gateway.store.sqlite.pace import LEAST_ITEMS, MOST_ITEMS, REST, SLICE_S, Pace, parts
from gateway.store.sqlite.turns import Turns


class Clock:
    """Time passes only in sleep, and by hand."""

    now = 1000.0

    def monotonic(self):
        return self.now

    async def sleep(self, seconds):
        self.now += seconds
        await asyncio.sleep(0)


@pytest.fixture
def time(monkeypatch):
    clock = Clock()
    for module in (pace, turns):
        monkeypatch.setattr(module, "time", clock)
        monkeypatch.setattr(module, "asyncio", SimpleNamespace(sleep=clock.sleep))
    return clock


@given(st.lists(st.integers(0, 30)), st.integers(1, 20))
def test_parts_are_the_same_items_and_no_heavier_than_allowed_unless_they_are_one_item(weights, most):
    found = list(parts(weights, lambda weight: weight, most))
    assert [weight for part in found for weight in part] == weights
    assert all(sum(part) <= most or len(part) == 1 for part in found)
    assert all(sum(one) + another[0] > most for one, another in pairwise(found))


@given(st.lists(st.floats(0.000_001, 0.01), min_size=1, max_size=30))
def test_slices_settle_at_the_length_that_senders_do_not_feel(costs):
    with pytest.MonkeyPatch.context() as patch:
        clock = Clock()
        patch.setattr(pace, "time", clock)
        each = Pace()
        for cost in [*costs, *[costs[-1]] * 12]:
            items = each.items(MOST_ITEMS)
            assert LEAST_ITEMS <= items <= MOST_ITEMS
            with each.working():
                clock.now += items * cost
        took = each.items(MOST_ITEMS) * costs[-1]
        assert took <= SLICE_S * 1.01 or each.items(MOST_ITEMS) == LEAST_ITEMS
        assert took >= SLICE_S / 2 or each.items(MOST_ITEMS) == MOST_ITEMS or costs[-1] * LEAST_ITEMS > SLICE_S / 4


def test_upkeep_has_a_fifth_of_the_time_whatever_a_slice_takes(time):
    async def scenario():
        each, work = Pace(), 0.0
        began = time.now
        for took in (0.005, 0.1, 0.02, 0.3):
            async with each.resting():
                time.now += took
            work += took
        async with each.resting():
            assert work == pytest.approx((time.now - began) / (1 + REST))

    asyncio.run(scenario())


def test_the_loop_waits_for_one_turn_of_the_writer_and_then_has_as_much_time_itself(time):
    async def scenario():
        each, wanted = Turns(), True
        waiting = asyncio.create_task(each.wait(lambda: wanted))
        for _ in range(50):
            await asyncio.sleep(0)
        assert not waiting.done(), "the writer has work, and is not waiting for the disk"
        waited = time.now - 1000.0
        with each.free():
            pass
        await waiting
        began = time.now
        while time.now < began + waited * 0.9:
            await each.wait(lambda: wanted)
            assert time.now - began < waited
            time.now += waited / 10
        time.now += waited
        again = asyncio.create_task(each.wait(lambda: wanted))
        for _ in range(3):
            await asyncio.sleep(0)
        assert not again.done(), "now it is the writer's turn again"
        wanted = False
        await again

    asyncio.run(scenario())


def test_while_the_disk_works_the_loop_need_not_wait_however_long_that_takes(time):
    async def scenario():
        each = Turns()
        with each.free():
            for _ in range(100):
                await each.wait(lambda: True)
                time.now += 1.0
        assert time.now == pytest.approx(1100.0)

    asyncio.run(scenario())
