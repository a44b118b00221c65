"""New deliveries that wait for a slot are claimed from memory, in the order and under the conditions of their rows."""

import pytest

from gateway.store.activities import Task
from gateway.store.nouns import Want
from gateway.store.queries import DeliveryQuery
from gateway.store.sqlite import leases
from tests.store.given import delivered, leased, new_event, retry, wants


def reads(store):
    """How many claims have read rows since."""
    seen = []
    store._database.file.db.exec_trace = lambda _cursor, text, _values: seen.append(text) or True
    return lambda: sum("INDEXED BY delivery_due" in text for text in seen)


async def waiting(store, count, name="slack", at="", **more):
    news = [new_event(name, **more) for _ in range(count)]
    for new in news:
        await store.append([new], replica=at)
    return [new.deliveries[0].id for new in news]


def ids(claimed):
    return [lease.delivery.id for lease in claimed]


def test_a_claim_of_what_was_appended_just_now_reads_no_row(opened, clock):
    async def scenario(store):
        expected = await waiting(store, 5)
        clock.move(2.0)
        count = reads(store)
        first, rest = await store.claim("a", wants("slack", slots=2)), await store.claim("a", wants("slack", slots=3))
        assert ids([*first, *rest]) == expected
        assert first[0].delivery.due_in_s == pytest.approx(-2.0)
        assert count() == 0
        assert await store.claim("a", wants("slack")) == []
        assert await store.settle([delivered(lease) for lease in [*first, *rest]]) == set(expected)

    opened(scenario)


def test_what_is_due_before_them_goes_first(opened, clock):
    async def scenario(store):
        [lease] = await leased(store, "slack")
        await store.settle([retry(lease, after_s=1.0)])
        new = await waiting(store, 2)
        clock.move(1.0)
        later = await waiting(store, 2)
        claimed = [await store.claim("a", wants("slack", slots=1)) for _ in range(5)]
        assert [each for one in claimed for each in ids(one)] == [*new, lease.delivery.id, *later]

    opened(scenario)


def test_a_replica_claims_first_what_it_has_accepted_itself(opened, clock):
    async def scenario(store):
        theirs = await waiting(store, 2, at="b")
        clock.move(0.1)
        own, more = await waiting(store, 3, at="a"), await waiting(store, 1, at="b")
        assert ids(await store.claim("a", wants("slack", slots=2))) == own[:2]
        assert ids(await store.claim("a", wants("slack", slots=2))) == [theirs[0], own[2]], "a claim is in order"
        assert ids(await store.claim("c", wants("slack"))) == [theirs[1], *more]
        assert await store.claim("a", wants("slack")) == []

    opened(scenario)


def test_what_another_replica_has_accepted_does_not_wait_behind_it_for_long(opened, clock):
    async def scenario(store):
        old = await waiting(store, 1, at="b")
        clock.move(leases.HEAD_START_S + 0.5)
        own = await waiting(store, 2, at="a")
        assert ids(await store.claim("a", wants("slack", slots=2))) == [*old, own[0]]

    opened(scenario)


def test_too_many_of_them_are_found_by_their_rows(opened, clock, monkeypatch):
    monkeypatch.setattr(leases, "MOST_FRESH", 2)

    async def scenario(store):
        expected = []
        for _ in range(5):
            expected += await waiting(store, 1)
            clock.move(1.0)
        assert ids(await store.claim("a", wants("slack", slots=3))) == expected[:3]
        assert ids(await store.claim("a", wants("slack", slots=3))) == expected[3:]
        expected = await waiting(store, 1)
        count = reads(store)
        assert ids(await store.claim("a", wants("slack"))) == expected
        assert count() == 0, "once nothing else is due, they are remembered again"

    opened(scenario)


def test_one_that_a_person_discards_is_not_claimed(opened, clock):
    async def scenario(store):
        expected = await waiting(store, 3)
        which = DeliveryQuery(ids=(expected[1],))
        await store.begin(Task(verb="discard", by="ann", which=which, subject="a test"))
        assert ids(await store.claim("a", wants("slack"))) == [expected[0], expected[2]]

    opened(scenario)


def test_a_claim_that_names_events_to_go_last_looks_at_all_of_them(opened, clock):
    async def scenario(store):
        first, second = [new_event("slack") for _ in range(2)]
        await store.append([first])
        await store.append([second])
        [lease] = await store.claim("a", {"slack": Want(1, 30.0, last=(first.event.id,))})
        assert lease.delivery.event_id == second.event.id
        [lease] = await store.claim("a", {"slack": Want(1, 30.0, last=(first.event.id,))})
        assert lease.delivery.event_id == first.event.id

    opened(scenario)


def test_those_behind_in_their_lane_wait_for_the_one_ahead(opened, clock):
    async def scenario(store):
        expected = await waiting(store, 3, lanes=("a",))
        for each in expected:
            [lease] = await store.claim("a", wants("slack"))
            assert lease.delivery.id == each
            assert lease.delivery.lane == "a"
            await store.settle([delivered(lease)])
        assert await store.claim("a", wants("slack")) == []

    opened(scenario)


def test_upkeep_between_them_does_not_make_them_forgotten(opened, clock):
    async def scenario(store):
        expected = await waiting(store, 2)
        while await store.index():
            pass
        count = reads(store)
        assert ids(await store.claim("a", wants("slack"))) == expected
        assert count() == 0

    opened(scenario)
