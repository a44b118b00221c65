"""What complete stores promise besides about what is remembered: it is bounded, removed in time, and forgotten."""

import pytest

from gateway.store import memory
from gateway.store.activities import Erasure
from gateway.store.nouns import Retention
from gateway.store.postgres import memory as postgres
from tests.store.conformance.test_memory import CRM, known, remembering, waiting
from tests.store.given import delivered, leased, prune_all, wants


async def remembered(store, *keys, **values):
    """An event for each key, whose answer had values; the ids of the events."""
    ids = []
    for key in keys:
        [lease] = await leased(store, "crm")
        await store.settle([remembering(lease, subject=("crm-id", key), **({"id": key} | values))])
        ids.append(lease.delivery.event_id)
    return ids


async def erase(store, value, *event_ids):
    begun = await store.begin_erasure(Erasure(by="ann", value=value, find=value, subject="1 value"))
    erasure = await store.open_erasure("main")
    assert erasure.activity_id == begun.id
    await store.forget(erasure, event_ids, to=erasure.until, replica="main")


def test_what_has_expired_is_removed(run, clock):
    async def scenario(store):
        await remembered(store, "1", "2", for_s=10.0)
        await remembered(store, "3", for_s=1000.0)
        assert await store.memories() == {"crm-id": 3}
        clock.move(11.0)
        await prune_all(store, Retention())
        assert await store.memories() == {"crm-id": 1}

    run(scenario)


def test_of_too_many_keys_those_remembered_the_longest_ago_go(run, clock, monkeypatch):
    monkeypatch.setattr(memory, "MOST_KEYS", 3)

    async def scenario(store):
        for key in ("1", "2", "3", "1", "4", "5"):
            clock.move(1.0)
            await remembered(store, key)
        await prune_all(store, Retention())
        left = await known(store, *(("crm-id", key) for key in "12345"))
        assert {key for _, key in left} == {"1", "4", "5"}
        assert await store.memories() == {"crm-id": 3}

    run(scenario)


def test_keys_are_counted_once_however_many_slices_remove_those_that_are_too_many(run, clock, monkeypatch):
    monkeypatch.setattr(memory, "MOST_KEYS", 3)
    counted, count = [], postgres.memories
    monkeypatch.setattr(postgres, "memories", lambda connection: (counted.append(1), count(connection))[1])

    async def scenario(store):
        for key in map(str, range(8)):
            clock.move(1.0)
            await remembered(store, key)
        slices = []
        while removed := await store.prune(Retention(), limit=2):
            slices.append(removed)
        left = await known(store, *(("crm-id", str(key)) for key in range(8)))
        assert {key for _, key in left} == {"5", "6", "7"}
        # SQLite keeps a count, and removes one for each that is added.
        assert (slices, counted) == (([], []) if store.name == "sqlite" else ([2, 2, 1], [1]))

    run(scenario)


def test_what_belongs_to_an_event_outlives_it_until_its_own_end(run, clock):
    async def scenario(store):
        [event_id] = await remembered(store, "451", for_s=1e6)
        [waits] = await leased(store, "slack")
        await store.settle([waiting(waits, ("crm-id", "452"), after_s=10.0)])
        clock.move(20.0)
        [tried] = await store.claim("a", wants("slack"))
        await store.settle([delivered(tried)])
        clock.move(60.0)
        await prune_all(store, Retention(events_s=30.0, attempts_s=30.0))
        assert await store.event(event_id) is None
        assert await known(store) == {CRM: {"id": "451"}}

    run(scenario)


def test_forgetting_an_event_forgets_what_was_remembered_for_it_and_what_its_attempts_say(run):
    async def scenario(store):
        [lease] = await leased(store, "crm")
        await store.settle([remembering(lease, id=77, said="remembered as crm-id of ada@example.com")])
        await remembered(store, "452")
        await erase(store, "nobody@example.com", lease.delivery.event_id)
        assert await known(store, CRM, ("crm-id", "452")) == {("crm-id", "452"): {"id": "452"}}
        [made] = (await store.event(lease.delivery.event_id)).attempts[lease.delivery.id]
        assert made.memory == ""

    run(scenario)


@pytest.mark.parametrize(
    ("key", "values"),
    [("ada@example.com", {}), ("1", {"mail": "ada@example.com"}), ("1", {"people": [{"mail": "ada@example.com"}]})],
    ids=["key", "value", "inside"],
)
def test_forgetting_a_person_forgets_keys_and_values_that_have_their_value(run, key, values):
    async def scenario(store):
        await remembered(store, key, **values)
        await remembered(store, "2", mail="ada@example.community")
        await erase(store, "ada@example.com")
        assert set(await known(store, ("crm-id", key), ("crm-id", "2"))) == {("crm-id", "2")}

    run(scenario)


def test_a_delivery_that_waits_is_discarded_with_its_event_and_nothing_wakes_it(run):
    async def scenario(store):
        [lease] = await leased(store, "slack")
        await store.settle([waiting(lease)])
        await erase(store, "nobody@example.com", lease.delivery.event_id)
        await remembered(store, "451")
        history = await store.event(lease.delivery.event_id)
        assert [each.state for each in history.deliveries] == ["discarded"]
        assert history.waits_for == {}
        assert await store.claim("a", wants("slack")) == []

    run(scenario)
