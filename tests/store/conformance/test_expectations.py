"""What sources are expected to send: opened and met by events in their own transaction, kept until it is overdue."""

import pytest
from msgspec.structs import replace

from gateway.store import awaiting
from gateway.store.awaiting import MOST_OPEN, Expectation
from gateway.store.nouns import Awaited
from tests.store.given import new_event

RULE = "opened > reviewed"


def opening(key="1", within_s=60.0, **more):
    return replace(new_event(**more), awaits=[Awaited(name=RULE, key=key, within_s=within_s)])


def meeting(key="1", **more):
    return replace(new_event(**more), meets=[(RULE, key)])


async def overdue(store):
    return [(each.source, each.name, each.key, each.event_id) for each in await store.expectations.overdue()]


def test_what_does_not_come_is_overdue_until_it_is_removed(run, clock):
    async def scenario(store):
        new = opening(within_s=60.0)
        await store.append([new])
        clock.move(59.0)
        assert await overdue(store) == []
        assert await store.expectations.open() == {"crm": 1}
        clock.move(2.0)
        [found] = await store.expectations.overdue()
        assert found.event_id == new.event.id
        assert (found.age_s, found.due_s) == (pytest.approx(61.0, abs=0.5), pytest.approx(-1.0, abs=0.5))
        # Whoever asks again, for instance after a crash, finds it again.
        assert await overdue(store) == [("crm", RULE, "1", new.event.id)]
        await store.expectations.remove([found])
        await store.expectations.remove([])
        assert await overdue(store) == []
        assert await store.expectations.open() == {}

    run(scenario)


def test_what_comes_in_time_meets_it_and_only_it(run, clock):
    async def scenario(store):
        for key in ("1", "2"):
            await store.append([opening(key)])
        await store.append([opening("1", source="shop")])
        await store.append([meeting("1")])
        await store.append([meeting("nobody waits for it")])
        clock.move(100.0)
        assert sorted(each[:3] for each in await overdue(store)) == [("crm", RULE, "2"), ("shop", RULE, "1")]

    run(scenario)


def test_a_second_opening_does_not_give_more_time(run, clock):
    async def scenario(store):
        first = opening()
        await store.append([first])
        clock.move(50.0)
        await store.append([opening()])
        clock.move(20.0)
        assert await overdue(store) == [("crm", RULE, "1", first.event.id)]

    run(scenario)


def test_one_event_can_meet_what_the_last_one_opened_and_open_it_again(run, clock):
    async def scenario(store):
        first, second = (replace(opening(), meets=[(RULE, "1")]) for _ in range(2))
        await store.append([first])
        clock.move(50.0)
        await store.append([second])
        clock.move(50.0)
        assert await overdue(store) == []
        clock.move(20.0)
        assert await overdue(store) == [("crm", RULE, "1", second.event.id)]

    run(scenario)


def test_the_order_of_the_events_of_one_request_counts(run, clock):
    async def scenario(store):
        await store.append([opening("met"), meeting("met")])
        early, late = meeting("late"), opening("late")
        await store.append([early, late])
        clock.move(100.0)
        assert await overdue(store) == [("crm", RULE, "late", late.event.id)]

    run(scenario)


def test_a_duplicate_opens_and_meets_nothing(run, clock):
    async def scenario(store):
        await store.append([new_event(key=b"k")])
        await store.append([opening(key="1")])
        await store.append([replace(meeting("1"), key=b"k")])
        await store.append([replace(opening("2"), key=b"k")])
        clock.move(100.0)
        assert [each[2] for each in await overdue(store)] == ["1"]

    run(scenario)


def test_one_that_is_never_due_is_added_once_and_stays(run, clock):
    async def scenario(store):
        silent = Expectation(source="crm", name="silent", event_id="evt_1", age_s=30.0)
        assert await store.expectations.add(silent)
        assert not await store.expectations.add(replace(silent, event_id="evt_2"))
        clock.move(1e7)
        assert await overdue(store) == []
        [found] = await store.expectations.lasting()
        assert (found.source, found.name, found.key, found.event_id, found.due_s) == (
            "crm",
            "silent",
            "",
            "evt_1",
            None,
        )
        assert found.age_s == pytest.approx(1e7 + 30.0, abs=0.5)
        # One that was opened anew by another event is another one.
        await store.expectations.remove([replace(found, event_id="evt_2")])
        assert len(await store.expectations.lasting()) == 1
        await store.expectations.remove([found])
        assert await store.expectations.lasting() == []

    run(scenario)


def test_the_longest_overdue_come_first_and_no_more_than_asked_for(run, clock):
    async def scenario(store):
        for number in (3, 1, 2):
            await store.append([opening(str(number), within_s=10.0 * number)])
        clock.move(100.0)
        assert [each.key for each in await store.expectations.overdue(limit=2)] == ["1", "2"]

    run(scenario)


def test_a_source_is_not_waited_for_without_end(run, clock):
    async def scenario(store):
        for part in range(0, MOST_OPEN, 1000):
            news = [
                replace(new_event(), awaits=[Awaited(name=RULE, key=str(part + n), within_s=1.0) for n in range(1000)])
            ]
            await store.append(news)
        await store.append([opening("one more")])
        await store.append([opening("another source", source="shop")])
        assert await store.expectations.open() == {"crm": MOST_OPEN, "shop": 1}
        assert awaiting.MOST_OPEN == MOST_OPEN

    run(scenario)


def test_what_one_replica_has_stored_another_meets(run_two, clock):
    async def scenario(one, other):
        await one.append([opening("1")])
        await one.append([opening("2")])
        await other.append([meeting("1")])
        clock.move(100.0)
        assert [each[2] for each in await overdue(one)] == ["2"]
        assert [each[2] for each in await overdue(other)] == ["2"]

    run_two(scenario)
