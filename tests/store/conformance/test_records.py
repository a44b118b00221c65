"""What every store promises about the records that events are about: one event after the other, or not at all."""

from msgspec.structs import replace

from gateway.event import tracks
from tests.store.given import new_event, of


async def record_of(store, key="contact:1", source="crm"):
    """The id of the event that has written a record; None: nothing is remembered."""
    found = (await store.records(source, [key])).get(key)
    return found and found.event_id


async def ids_of(store, news):
    """Those of them that are stored."""
    return set(await store.load([new.event.id for new in news]))


def test_an_event_writes_the_record_it_is_about_in_its_own_transaction(run):
    async def scenario(store):
        assert await record_of(store) is None
        first = new_event("slack", record=of("contact:1"))
        [appended] = await store.append([first])
        assert (appended.stale, appended.duplicate) == (False, False)
        found = await store.records("crm", ["contact:1", "contact:2"])
        assert set(found) == {"contact:1"}
        assert found["contact:1"].track == first.event.track
        second = new_event("slack", record=of("contact:1", after=first.event.id))
        await store.append([second])
        assert await record_of(store) == second.event.id
        loaded = await store.load([first.event.id, second.event.id])
        assert [loaded[new.event.id].track for new in (first, second)] == [first.event.track, second.event.track]

    run(scenario)


def test_an_event_that_was_planned_on_an_older_record_is_not_stored_and_its_key_is_free(run):
    async def scenario(store):
        first = new_event("ops", record=of("contact:1"))
        await store.append([first])
        late = new_event("slack", record=of("contact:1"), lease_s=30.0)
        [appended] = await store.append([late], replica="a")
        assert (appended.stale, appended.leases) == (True, ())
        assert await ids_of(store, [first, late]) == {first.event.id}
        assert await record_of(store) == first.event.id
        again = replace(late, record=of("contact:1", after=first.event.id))
        [appended] = await store.append([again], replica="a")
        assert (appended.stale, appended.duplicate, len(appended.leases)) == (False, False, 1)
        assert await record_of(store) == late.event.id

    run(scenario)


def test_of_a_request_with_one_event_on_an_older_record_nothing_is_stored(run):
    async def scenario(store):
        known = new_event("slack", record=of("contact:1"))
        await store.append([known])
        request = [
            new_event("slack", record=of("contact:2")),
            new_event("slack"),
            new_event("slack", record=of("contact:1")),
        ]
        assert [each.stale for each in await store.append(request)] == [True] * 3
        assert await ids_of(store, request) == set()
        assert await record_of(store, "contact:2") is None
        request[2] = replace(request[2], record=of("contact:1", after=known.event.id))
        assert [each.stale for each in await store.append(request)] == [False] * 3
        assert await ids_of(store, request) == {each.event.id for each in request}

    run(scenario)


def test_the_events_of_one_request_go_on_from_each_other(run):
    async def scenario(store):
        first = new_event("slack", record=of("contact:1"))
        second = new_event("slack", record=of("contact:1", after=first.event.id))
        assert [each.stale for each in await store.append([first, second])] == [False, False]
        assert await record_of(store) == second.event.id

    run(scenario)


def test_a_burst_planned_on_top_of_each_other_is_stored_whole_and_in_order(run):
    async def scenario(store):
        burst, after = [], ""
        for _ in range(20):
            burst.append(new_event("slack", record=of("contact:1", after=after)))
            after = burst[-1].event.id
        appending = [store.append([each]) for each in burst]
        answers = [(await each)[0] for each in appending]
        assert not any(each.stale for each in answers)
        assert await record_of(store) == after

    run(scenario)


def test_a_duplicate_changes_no_record_and_what_was_planned_on_it_is_planned_again(run):
    async def scenario(store):
        first = new_event("slack", key=b"same", record=of("contact:1"))
        await store.append([first])
        repeated = new_event("slack", key=b"same", record=of("contact:1", after=first.event.id))
        on_top = new_event("slack", record=of("contact:1", after=repeated.event.id))
        appending = [store.append([each]) for each in (repeated, on_top)]
        [[known], [stale]] = [await each for each in appending]
        assert (known.duplicate, known.stale, known.event_id) == (True, False, first.event.id)
        assert stale.stale
        assert await record_of(store) == first.event.id

    run(scenario)


def test_a_repeat_of_an_event_that_is_not_stored_after_all_is_no_duplicate(run):
    async def scenario(store):
        known = new_event("slack", record=of("contact:1"))
        await store.append([known])
        late = new_event("slack", key=b"same", record=of("contact:1"))
        repeat = new_event("slack", key=b"same", record=of("contact:1"))
        appending = [store.append([each]) for each in (late, repeat)]
        assert [(await each)[0].stale for each in appending] == [True, True]
        [appended] = await store.append([replace(repeat, record=of("contact:1", after=known.event.id))])
        assert (appended.duplicate, appended.stale) == (False, False)

    run(scenario)


def test_a_record_belongs_to_its_source(run):
    async def scenario(store):
        for source in ("crm", "shop"):
            [appended] = await store.append([new_event("slack", source=source, record=of("contact:1"))])
            assert not appended.stale
        assert await record_of(store, source="crm") != await record_of(store, source="shop")

    run(scenario)


def test_a_record_is_forgotten_some_time_after_its_last_event(run, clock):
    async def scenario(store):
        first = new_event("slack", record=of("contact:1", keeps_s=100.0))
        await store.append([first])
        clock.move(60.0)
        second = new_event("slack", record=of("contact:1", after=first.event.id, keeps_s=100.0))
        await store.append([second])
        clock.move(60.0)
        assert await record_of(store) == second.event.id
        clock.move(60.0)
        assert await record_of(store) is None
        [late] = await store.append([new_event("slack", record=of("contact:1", after=second.event.id))])
        assert late.stale, "it goes on from what is forgotten"
        [appended] = await store.append([new_event("slack", record=of("contact:1"))])
        assert not appended.stale

    run(scenario)


def test_a_record_of_the_largest_size_and_an_unusual_key_is_kept(run):
    async def scenario(store):
        key = 'контакт:‘1’ "\\ %'
        fields = {f"field{number}": "\u00fc" * 7_000 for number in range(4)}
        _, track = tracks.written(key, b"", fields)
        new = new_event("slack", record=of(key))
        await store.append([replace(new, event=replace(new.event, track=track))])
        assert (await store.records("crm", [key]))[key].track == track
        assert (await store.load([new.event.id]))[new.event.id].track == track

    run(scenario)


def test_two_replicas_that_plan_on_the_same_record_do_not_both_succeed(run_two):
    async def scenario(one, other):
        appending = [store.append([new_event("slack", record=of("contact:1"))]) for store in (one, other)]
        stale = [(await each)[0].stale for each in appending]
        assert sorted(stale) == [False, True]

    run_two(scenario)
