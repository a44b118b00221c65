"""What shares a transaction, or is on its way beside another one, is stored and counted as if each were alone."""

import asyncio

import pytest

from gateway.store.postgres import direct
from gateway.store.postgres.calls import WORTH_IT
from gateway.store.queries import EventQuery
from tests.store.database import PostgresKind, database
from tests.store.given import delivered, leased, new_event, once, wants

#: More than one transaction takes.
MANY = 2 * WORTH_IT


@pytest.fixture
def run(clock):
    def run(scenario):
        async def whole():
            store = await PostgresKind(None).open(clock)
            try:
                await scenario(store)
            finally:
                await store.close()

        asyncio.run(whole())

    return run


def append_all(store, news):
    return asyncio.gather(*(store.append([new]) for new in news))


def counted(*sources):
    query = "SELECT source, sum(events)::bigint FROM came WHERE source = ANY($1::text[]) GROUP BY source"
    return dict(database().beside.execute(query, sources))


def test_what_is_known_already_is_left_out_and_not_counted(run):
    async def scenario(store):
        known, twice = new_event("slack", key=b"known"), new_event("slack", "crm", key=b"twice")
        await store.append([known])
        news = [
            new_event("crm", key=b"known"),
            twice,
            new_event(),
            twice,
            new_event("slack", source="shop", key=b"known"),
        ]
        answers = [one for [one] in await append_all(store, news)]
        assert [each.duplicate for each in answers] == [True, False, False, True, False]
        assert [each.event_id for each in answers] == [
            known.event.id,
            *(each.event.id for each in (twice, news[2], twice, news[4])),
        ]
        destinations = (await store.stats()).destinations
        assert {name: each.pending for name, each in destinations.items()} == {"slack": 3, "crm": 1}
        assert counted("crm", "shop") == {"crm": 3, "shop": 1}

    run(scenario)


def test_each_lease_of_many_at_once_is_that_of_its_delivery(run):
    async def scenario(store):
        news = [new_event(*(["slack", "crm"] if number % 3 else []), lease_s=30.0) for number in range(MANY)]
        answers = [one for [one] in await append_all(store, news)]
        for new, appended in zip(news, answers, strict=True):
            assert [each.delivery.id for each in appended.leases] == [each.id for each in new.deliveries]
        leases = [lease for appended in answers for lease in appended.leases]
        held = await asyncio.gather(*(store.settle([delivered(lease)]) for lease in leases))
        assert all(ids == {lease.delivery.id} for ids, lease in zip(held, leases, strict=True))
        assert await store.claim("a", wants("slack", "crm")) == []

    run(scenario)


def test_what_comes_behind_one_that_was_not_leased_waits_with_it(run):
    async def scenario(store):
        answers = await append_all(
            store, [new_event("slack", "crm", lease_s=lease_s) for lease_s in (30.0, None, 30.0)]
        )
        assert [len(one.leases) for [one] in answers] == [2, 0, 0]
        assert len(await store.claim("a", wants("slack", "crm"))) == 4

    run(scenario)


def test_many_of_one_lane_are_stored_in_the_order_in_which_they_came(run):
    async def scenario(store):
        news = [new_event("slack", lanes=["451"], lease_s=30.0) for _ in range(MANY)]
        [[first], *_] = await append_all(store, news)
        [lease] = first.leases
        for new in news:
            assert lease.delivery.id == new.deliveries[0].id
            await store.settle([delivered(lease)])
            [lease] = await store.claim("a", wants("slack")) or [None]
        assert lease is None

    run(scenario)


def test_of_many_with_one_key_the_one_that_came_first_fires(run):
    async def scenario(store):
        news = [new_event("slack", firings=[once("451")]) for _ in range(MANY)]
        answers = [one for [one] in await append_all(store, news)]
        assert [bool(each.held_back) for each in answers] == [False] + [True] * (MANY - 1)

    run(scenario)


def test_an_event_whose_key_is_forgotten_just_then_is_stored(run, monkeypatch):
    async def scenario(store):
        await store.append([new_event(key=b"known")])
        owners_of = direct.owners_of

        async def forget_first(*given):
            database().beside.execute("DELETE FROM dedupe WHERE key = 'known'")
            return await owners_of(*given)

        monkeypatch.setattr(direct, "owners_of", forget_first)
        again, beside = new_event(key=b"known"), new_event()
        answers = [one for [one] in await append_all(store, [again, beside])]
        assert [(each.event_id, each.duplicate) for each in answers] == [
            (again.event.id, False),
            (beside.event.id, False),
        ]
        assert len((await store.events(EventQuery())).rows) == 3

    run(scenario)


def test_an_attempt_replaces_one_of_the_same_number(run):
    async def scenario(store):
        [lease] = await leased(store, "slack")
        [other] = await leased(store, "crm")
        database().beside.execute(
            "INSERT INTO attempt SELECT seq, 1, 0, 0, 0, 'retry', NULL, 'before', '', '', 0, '' FROM queue WHERE id = $1",
            lease.delivery.id,
        )
        held = await asyncio.gather(store.settle([delivered(lease)]), store.settle([delivered(other)]))
        assert held == [{lease.delivery.id}, {other.delivery.id}]
        history = await store.event(lease.delivery.id)
        assert [each.outcome for each in history.attempts[lease.delivery.id]] == ["delivered"]

    run(scenario)
