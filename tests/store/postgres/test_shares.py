"""What a replica may do with a destination: a holder at a time, and shares that never add up to more than all slots."""

import asyncio

import pytest

from gateway.store.cluster import LAPSED_S
from gateway.store.holds import Terms
from gateway.store.spread import UNKNOWN_S, Grant
from tests.store.database import PostgresKind, kill
from tests.store.given import terms

TIMEOUT_S = 10.0


@pytest.fixture
def run_three(clock):
    def run(scenario):
        async def whole():
            kind = PostgresKind(None)
            stores = [await kind.open(clock) for _ in range(3)]
            try:
                await scenario(*stores)
            finally:
                for store in stores:
                    await store.close()

        asyncio.run(whole())

    return run


async def shares(*stores, **more):
    """What each may do with one destination, asked in turn."""
    return [(await store.assigned("main", terms("slack", **more))).destinations.get("slack") for store in stores]


def test_a_share_passes_on_when_its_attempts_are_over(run_three, clock):
    async def scenario(one, other, third):
        [alone] = await shares(one)
        assert (alone.share, alone.is_holder) == (1.0, True)
        assert await shares(other) == [None], "everything is granted"
        [half] = await shares(one)
        assert half.share == 0.5
        assert await shares(other) == [None], "attempts of the larger share are on their way"
        clock.move(TIMEOUT_S - 1)
        await shares(one)
        assert await shares(other) == [None]
        clock.move(1)
        await shares(one)
        [second] = await shares(other)
        assert second.share == 0.5
        for _ in range(4):
            clock.move(TIMEOUT_S / 2)
            three = await shares(one, other, third)
            assert sum(each.share for each in three if each) <= 1.0
        assert [each.share for each in three] == pytest.approx([1 / 3] * 3)
        assert sum(each.is_holder for each in three) == 1
        assert all(each.may_claim == each.is_holder for each in three)

    run_three(scenario)


def test_what_a_lost_replica_had_is_granted_again_one_timeout_after_it_has_lapsed(run_three, clock):
    async def scenario(one, other, third):
        await shares(one, other, third)
        for _ in range(6):
            clock.move(TIMEOUT_S / 2)
            await shares(one, other, third)
        kill(third)
        clock.move(LAPSED_S - 1)
        await shares(one, other)
        clock.move(TIMEOUT_S)
        assert [each.share for each in await shares(one, other)] == pytest.approx([1 / 3] * 2)
        clock.move(2)
        assert [each.share for each in await shares(one, other)] == pytest.approx([1 / 2] * 2)

    run_three(scenario)


@pytest.mark.parametrize("is_paced", [False, True])
def test_a_replica_is_told_the_moment_from_which_it_has_what_a_dead_one_held(run_three, clock, is_paced):
    async def scenario(*stores):
        async def ask(store):
            answer = await store.assigned("main", terms("slack", is_paced=is_paced))
            found = answer.destinations.get("slack")
            return answer.more_in_s, found and found.is_holder, found and found.share

        for _ in range(6):
            clock.move(TIMEOUT_S / 2)
            found = [await ask(store) for store in stores]
        assert [more_in_s for more_in_s, *_ in found] == [LAPSED_S / 2, LAPSED_S / 2, LAPSED_S], (
            "all of them go on asking"
        )
        [holder] = [store for store, (_, holds, _) in zip(stores, found, strict=True) if holds]
        others = [store for store in stores if store is not holder]
        kill(holder)
        clock.move(3.0)
        assert [await ask(store) for store in others] == [
            (LAPSED_S - 3.0, *found[stores.index(store)][1:]) for store in others
        ]
        clock.move(LAPSED_S - 3.0)
        answers = [await ask(store) for store in others]
        [(more_in_s, _, share)] = [each for each in answers if each[1]]
        assert more_in_s <= TIMEOUT_S
        if is_paced:
            assert share == 0.0, "requests of the dead one may be on their way"
            clock.move(TIMEOUT_S)
            assert sorted([(await ask(store))[2] or 0.0 for store in others]) == [0.0, 1.0]
        else:
            assert share == pytest.approx(1 / 3)

    run_three(scenario)


@pytest.mark.parametrize("given", [{"is_paced": True}, {"slots": 2}], ids=str)
def test_a_destination_with_a_rate_or_an_order_or_few_slots_is_the_holders_alone(run_three, clock, given):
    async def scenario(*stores):
        wanted = {"slack": Terms(**{"slots": 10, "timeout_s": TIMEOUT_S, **given})}
        for _ in range(6):
            clock.move(TIMEOUT_S / 2)
            seen = [(await store.assigned("main", wanted)).destinations.get("slack") for store in stores]
        [only] = [each for each in seen if each]
        assert (only.is_holder, only.share) == (True, 1.0)

    run_three(scenario)


def test_a_name_that_no_file_has_is_assigned_after_a_while_and_never_while_one_has_it(run_three, clock):
    async def scenario(one, other, _):
        assert await shares(one, is_known=False) == [None]
        clock.move(UNKNOWN_S - 1)
        await shares(other, is_known=True)
        clock.move(LAPSED_S + 1)
        assert await shares(one, is_known=False) == [None], "a replica had it a moment ago"
        clock.move(UNKNOWN_S)
        [ends] = await shares(one, is_known=False)
        assert ends.is_holder
        await other.release("main", ["slack"])

    run_three(scenario)


def test_a_replica_that_closes_leaves_everything_at_once(run_three):
    async def scenario(one, other, _):
        [mine] = await shares(one)
        await one.close()
        [theirs] = await shares(other)
        assert (theirs.is_holder, theirs.share) == (True, 1.0)
        assert theirs.epoch != mine.epoch

    run_three(scenario)


def test_a_grant_remembers_the_largest_share_that_may_be_in_use():
    wanted = Terms(slots=10, timeout_s=10.0)
    grant = Grant(terms=wanted, share=1.0).next(wanted, 0.5, now=100.0)
    assert grant.used(109.0) == 1.0
    assert grant.used(110.0) == 0.5
    again = grant.next(wanted, 0.25, now=105.0)
    assert again.used(114.0) == 1.0
    assert again.used(115.0) == 0.25
    assert grant.next(wanted, 1.0, now=105.0).used(106.0) == 1.0
