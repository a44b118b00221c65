"""How long records are remembered, and how many; what is stored of an event's record goes with its body."""

from msgspec.structs import replace

from gateway.store.nouns import Retention
from gateway.store.postgres import tracked as postgres
from gateway.store.sqlite import tracked as sqlite
from tests.store.given import leased, new_event, of


def counting(count, counted):
    """What counts records, and leaves a trace each time."""

    def counts(*asked):
        counted.append(asked)
        return count(*asked)

    return counts


async def prune(store, **kept):
    """Everything that is past its time; how many items."""
    removed = 0
    while found := await store.prune(Retention(**kept)):
        removed += found
    return removed


def test_records_that_have_expired_are_removed(run, clock):
    async def scenario(store):
        for number in range(7):
            source = "crm" if number % 2 else "shop"
            keeps_s = 50.0 if number < 5 else 5_000.0
            await store.append(
                [new_event(source=source, window_s=1e6, record=of(f"contact:{number}", keeps_s=keeps_s))]
            )
        clock.move(100.0)
        assert await store.prune(Retention(), limit=2) == 2
        assert await prune(store) == 3
        assert await store.remembered() == {"crm": 1, "shop": 1}

    run(scenario)


def test_a_source_remembers_so_many_records_and_forgets_those_longest_without_an_event(run, clock):
    async def scenario(store):
        first = {}
        for number in range(10):
            first[number] = new_event(record=of(f"contact:{number}", keeps_s=1e6))
            await store.append([first[number]])
            clock.move(1.0)
        await store.append([new_event(source="shop", record=of("contact:1", keeps_s=1.0))])
        # It had an event again.
        await store.append([new_event(record=of("contact:0", after=first[0].event.id, keeps_s=1e6))])
        assert await store.remembered() == {"crm": 10, "shop": 1}
        assert await store.prune(Retention(records=4), limit=5) == 5
        assert await prune(store, records=4) == 1
        assert await store.remembered() == {"crm": 4, "shop": 1}
        left = await store.records("crm", [f"contact:{number}" for number in range(10)])
        assert sorted(left) == ["contact:0", "contact:7", "contact:8", "contact:9"]

    run(scenario)


def test_records_are_counted_once_however_many_slices_remove_those_that_are_too_many(run, clock, monkeypatch):
    counted = []
    for each in (postgres, sqlite):
        monkeypatch.setattr(each, "counts", counting(each.counts, counted))

    async def scenario(store):
        for number in range(10):
            await store.append([new_event(record=of(f"contact:{number}", keeps_s=1e6))])
            clock.move(1.0)
        counted.clear()
        slices = [await store.prune(Retention(records=3), limit=2) for _ in range(5)]
        assert (slices, len(counted)) == ([2, 2, 2, 1, 0], 1)
        assert set(await store.records("crm", [f"contact:{number}" for number in range(10)])) == {
            "contact:7",
            "contact:8",
            "contact:9",
        }

    run(scenario)


def test_what_an_event_did_to_its_record_is_removed_with_its_body(run, clock):
    async def scenario(store):
        old = new_event(record=of("contact:1", keeps_s=1e6))
        await store.append([old])
        clock.move(100.0)
        await prune(store, bodies_s=50.0)
        assert (await store.event(old.event.id)).event.track == b""
        assert set(await store.records("crm", ["contact:1"])) == {"contact:1"}, "the record stays"

    run(scenario)


def test_what_an_event_did_to_its_record_is_removed_when_it_is_redacted(run):
    async def scenario(store):
        new = replace(new_event(record=of("contact:1")), is_redacted_later=True)
        await store.append([new])
        assert await store.redact({new.event.id: b"{}"}) == 1
        history = await store.event(new.event.id)
        assert (history.body_is, history.event.track) == ("redacted", b"")

    run(scenario)


def test_the_event_of_a_lease_is_loaded_with_what_it_did_to_its_record(run):
    async def scenario(store):
        [lease] = await leased(store, "slack", record=of("contact:1"))
        [event] = (await store.load([lease.delivery.event_id])).values()
        assert event.track
        assert (await store.survey()).events[0].track == event.track

    run(scenario)
