"""Who has the next free slot of a destination, of those that wait for one in memory."""

import asyncio
from collections import Counter

from gateway.dispatcher.lines import Lines
from tests.world import story


class Holds:
    """One slot for each destination, unless said otherwise."""

    def __init__(self, slots: int = 1) -> None:
        self.slots = slots
        self.taken: Counter[str] = Counter()

    def free(self, name: str) -> int:
        return max(0, self.slots - self.taken[name])

    def take(self, name: str, slots: int) -> None:
        self.taken[name] += slots

    def give_back(self, name: str) -> None:
        self.taken[name] -= 1


def lines_of(holds: Holds) -> Lines:
    """Their lines; a slot that is given back goes to the next one in line."""

    def give_back(name: str) -> None:
        holds.give_back(name)
        lines.call_up(name)

    lines = Lines(holds, give_back)
    return lines


def waiting(lines: Lines, *names: str, seconds: float = 30.0) -> "list[asyncio.Task[bool]]":
    return [asyncio.create_task(lines.slot(name, seconds)) for name in names]


async def free_one(lines: Lines, holds: Holds, name: str = "crm") -> None:
    holds.give_back(name)
    lines.call_up(name)
    await asyncio.sleep(0)
    await asyncio.sleep(0)


@story
async def test_a_free_slot_is_taken_at_once_and_else_the_first_one_in_line_has_the_next():
    holds = Holds()
    lines = lines_of(holds)
    assert await lines.slot("crm", 0.0)
    first, second = waiting(lines, "crm", "crm")
    await asyncio.sleep(0)
    assert lines.count("crm") == 2
    await free_one(lines, holds)
    assert (first.done(), second.done()) == (True, False)
    assert holds.taken["crm"] == 1, "it was handed over"
    await free_one(lines, holds)
    assert await second
    assert "crm" not in lines


@story
async def test_whoever_has_waited_long_enough_leaves_the_line_without_a_slot():
    holds = Holds()
    lines = lines_of(holds)
    await lines.slot("crm", 0.0)
    assert not await lines.slot("crm", 0.01)
    assert not await lines.slot("crm", 0.0)
    assert "crm" not in lines
    assert holds.taken["crm"] == 1


@story
async def test_one_that_is_cancelled_keeps_no_slot_even_if_it_was_just_given_one_and_the_next_one_has_it():
    holds = Holds()
    lines = lines_of(holds)
    await lines.slot("crm", 0.0)
    first, second = waiting(lines, "crm", "crm")
    await asyncio.sleep(0)
    holds.give_back("crm")
    lines.call_up("crm")
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    assert first.cancelled()
    assert await second
    assert (holds.taken["crm"], "crm" in lines) == (1, False)


@story
async def test_one_that_was_given_a_slot_in_the_moment_in_which_its_patience_ended_has_it(monkeypatch):
    holds, loop = Holds(), asyncio.get_running_loop()
    lines = lines_of(holds)
    await lines.slot("crm", 0.0)
    [waiter] = waiting(lines, "crm", seconds=30.0)
    await asyncio.sleep(0)

    def gives_one() -> None:
        holds.give_back("crm")
        lines.call_up("crm")

    loop.call_soon(gives_one)
    # Its timer is due in the same turn of the loop: right after that.
    over = loop.time() + 31.0
    monkeypatch.setattr(loop, "time", lambda: over)
    assert await waiter
    assert holds.taken["crm"] == 1


@story
async def test_if_others_wait_for_slots_too_every_second_one_is_left_to_them():
    holds = Holds()
    lines = lines_of(holds)
    await lines.slot("crm", 0.0)
    lines.others_wait = lambda _name: True
    first, second = waiting(lines, "crm", "crm")
    await asyncio.sleep(0)
    await free_one(lines, holds)
    assert first.done()
    await free_one(lines, holds)
    assert holds.free("crm") == 1
    assert not second.done()
    holds.take("crm", 1)
    await free_one(lines, holds)
    assert second.done()


@story
async def test_the_end_sends_everybody_home_and_wakes_those_who_pause():
    holds = Holds()
    lines = lines_of(holds)
    await lines.slot("crm", 0.0)
    in_line, pause = waiting(lines, "crm"), asyncio.create_task(lines.pause(30.0))
    await asyncio.sleep(0)
    lines.end()
    assert await asyncio.wait_for(in_line[0], 5) is False
    await asyncio.wait_for(pause, 5)
    assert lines.is_over
    assert not await lines.slot("crm", 30.0)


@story
async def test_slots_that_come_from_other_replicas_go_to_the_line():
    holds = Holds(slots=0)
    lines = lines_of(holds)
    first, second, other = waiting(lines, "crm", "crm", "chat")
    await asyncio.sleep(0)
    holds.slots = 1
    lines.call_up_all()
    assert await first
    assert await other
    assert not second.done()
    second.cancel()
