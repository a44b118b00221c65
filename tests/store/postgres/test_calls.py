"""What waits shares a transaction, and so much that it is worth it has one of its own meanwhile."""

import asyncio

import pytest

from gateway.store.postgres.calls import WORTH_IT, Call, Group


class Transactions:
    """Each group begins when it is carried out, and ends when the test says so."""

    def __init__(self, width):
        self.begun, self.finished = [], []
        self._ends = []
        self.group = Group(self._carry_out, self.finished.append, width=width)

    async def _carry_out(self, calls):
        self.begun.append(len(calls))
        end = asyncio.Event()
        self._ends.append(end)
        await end.wait()

    def add(self, count):
        loop = asyncio.get_running_loop()
        for _ in range(count):
            self.group.add(Call(future=loop.create_future()))

    async def end(self, which=0):
        self._ends.pop(which).set()
        await self.turn()

    async def turn(self):
        for _ in range(5):
            await asyncio.sleep(0)


@pytest.fixture
def run():
    def run(scenario, width=2):
        async def whole():
            await scenario(Transactions(width))

        asyncio.run(whole())

    return run


def test_what_waits_at_the_same_time_is_carried_out_together(run):
    async def scenario(transactions):
        transactions.add(3)
        await transactions.turn()
        transactions.add(WORTH_IT - 1)
        await transactions.turn()
        assert transactions.begun == [3], "a few wait for what is on its way"
        await transactions.end()
        assert transactions.begun == [3, WORTH_IT - 1]
        await transactions.end()
        assert transactions.group.is_idle
        assert len(transactions.finished) == 3 + WORTH_IT - 1

    run(scenario)


def test_so_many_that_it_is_worth_it_are_carried_out_meanwhile(run):
    async def scenario(transactions):
        transactions.add(3)
        await transactions.turn()
        transactions.add(WORTH_IT)
        await transactions.turn()
        assert transactions.begun == [3, WORTH_IT]
        transactions.add(3 * WORTH_IT)
        await transactions.turn()
        assert transactions.begun == [3, WORTH_IT], "no more at a time than there are connections"
        await transactions.end(1)
        assert transactions.begun == [3, WORTH_IT, 3 * WORTH_IT]
        await transactions.end()
        assert len(transactions.finished) == 3 + WORTH_IT, "nothing is left to begin"
        await transactions.end()
        assert transactions.group.is_idle

    run(scenario)


@pytest.mark.parametrize(("width", "begun"), [(1, [4]), (2, [2, 2])])
def test_those_that_begin_at_the_same_time_share_what_waits(run, width, begun):
    async def scenario(transactions):
        transactions.add(4 * WORTH_IT)
        await transactions.turn()
        assert transactions.begun == [each * WORTH_IT for each in begun]

    run(scenario, width)


def test_a_call_that_comes_while_the_last_ones_are_finished_is_carried_out(run):
    async def scenario(transactions):
        def once_more(call):
            transactions.finished.append(call)
            if len(transactions.finished) == 1:
                asyncio.get_running_loop().call_soon(transactions.add, 1)

        transactions.group = Group(transactions._carry_out, once_more)
        transactions.add(1)
        await transactions.turn()
        await transactions.end()
        assert transactions.begun == [1, 1]
        await transactions.end()
        await transactions.group.drain()
        assert transactions.group.is_idle

    run(scenario)


def test_calls_are_refused_wherever_they_are(run):
    async def scenario(transactions):
        transactions.add(2 * WORTH_IT)
        await transactions.turn()
        transactions.add(1)
        assert transactions.group.refuse(RuntimeError("late"))
        assert not transactions.group.refuse(RuntimeError("late"))
        await transactions.end()
        await transactions.end()
        assert transactions.begun == [WORTH_IT, WORTH_IT], "what waited is not carried out"
        assert all(call.future.exception() for call in transactions.finished)

    run(scenario)
