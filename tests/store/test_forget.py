"""Whatever is stored of somebody goes, in slices, over restarts; what others have stays as it is."""

import asyncio
import json

import pytest
from msgspec.structs import replace

from gateway.errors import BodyGone, CorruptEvent
from gateway.event import tracks
from gateway.model import DeliveryState, Release
from gateway.store.activities import Erasure, Task
from gateway.store.nouns import Outcome, Retention
from gateway.store.queries import DeliveryQuery, EventQuery, Rejected
from gateway.store.rules import TASK_LEASE_S
from tests.store.given import dead, delivered, leased, new_event, of, once, prune_all, replay, retry, told, wants

ERASURE = Erasure(by="ann", find="name=jo", value="jo@example.com", subject="events with name=•••", reason="asked to")


async def forgotten(store, *ids, replica="main"):
    """Forget these events from the beginning to the end; the activity."""
    activity = await store.begin_erasure(ERASURE)
    while erasure := await store.open_erasure(replica):
        if erasure.is_looked_through:
            while await store.wipe():
                await asyncio.sleep(0.01)
        page = await store.survey(after=erasure.after, until=erasure.until)
        theirs = [each.id for each in page.events if each.id in ids]
        await store.forget(erasure, theirs, to=page.to, replica=replica)
    return await store.activity(activity.id)


def large(number, *destinations):
    """So large that they need several pages."""
    return new_event(*destinations, body=b"%d" % number + b"x" * 20_000)


async def one_of_each(store):
    """An event with a delivery in each state that a delivery can be in, an attempt in flight among them."""
    leases = await leased(store, "delivered", "dead", "retried", "flying", "waiting")
    by_name = {lease.delivery.destination: lease for lease in leases}
    # It is leased for the first one only: for the second another one is due.
    waiting = [Outcome(by_name["waiting"], Release())] if "waiting" in by_name else []
    await store.settle([delivered(by_name["delivered"]), dead(by_name["dead"]), retry(by_name["retried"]), *waiting])
    return leases[0].delivery.event_id, by_name["flying"]


def remembering(key, **fields):
    """An event about a record of which ``fields`` are remembered."""
    new = new_event("slack", record=of(key))
    return replace(new, event=replace(new.event, track=tracks.encoded(tracks.merged(key, {}, fields))))


def test_the_records_that_forgotten_events_are_about_are_not_remembered_any_more(run):
    async def scenario(store):
        theirs, others = remembering("contact:1", name="Jo"), remembering("contact:2", name="Ann")
        mentioning = remembering("order:3", buyer={"email": "jo@example.com"})
        alike = remembering("order:4", buyer={"email": "bojo@example.com.invalid"})
        for each in (theirs, others, mentioning, alike):
            await store.append([each])
        await forgotten(store, theirs.event.id)
        keys = ["contact:1", "contact:2", "order:3", "order:4"]
        assert set(await store.records("crm", keys)) == {"contact:2", "order:4"}
        assert (await store.event(theirs.event.id)).event.track == b""
        assert (await store.event(others.event.id)).event.track == others.event.track

    run(scenario)


@pytest.mark.parametrize("was", ["redacted", "emptied"])
def test_the_record_of_an_event_whose_body_is_gone_is_not_remembered_any_more(run, clock, was):
    async def scenario(store):
        first, *others = (remembering(key, name="Jo") for key in ("contact:1", 'a "quoted\\" one, \\', "контакт:2"))
        last = replace(remembering("contact:1", name="Ann"), record=of("contact:1", after=first.event.id))
        news = [replace(each, is_redacted_later=was == "redacted") for each in (first, *others, last)]
        for each in news:
            [appended] = await store.append([replace(each, deliveries=())])
            assert not appended.stale
        if was == "redacted":
            assert await store.redact({each.event.id: b"{}" for each in news}) == len(news)
        else:
            clock.move(50.0)
            await prune_all(store, Retention(bodies_s=10.0))
        assert not any([(await store.event(each.event.id)).event.track for each in news])
        keys = [each.record.key for each in news]
        assert set(await store.records("crm", keys)) == set(keys)
        await forgotten(store, first.event.id, others[0].event.id)
        assert set(await store.records("crm", keys)) == {others[1].record.key}

    run(scenario)


def test_nothing_is_left_of_a_forgotten_event_but_that_it_was_there(run):
    async def scenario(store):
        theirs, flying = await one_of_each(store)
        others, _ = await one_of_each(store)
        untouched = await store.event(others)
        done = await forgotten(store, theirs)
        assert (done.verb, done.by, done.reason) == ("forget", "ann", "asked to")
        assert (done.progress.moved, done.progress.discarded, done.progress.is_over) == (1, 4, True)
        history = await store.event(theirs)
        assert (history.body_is, history.intact, dict(history.event.headers)) == ("forgotten", True, {})
        left = json.loads(history.event.body)["forgotten"]
        assert (left["by"], left["activity"]) == ("ann", done.id)
        assert (left["deliveries_discarded"], left["attempts_cleared"]) == (4, 3)
        assert {each.destination: each.state for each in history.deliveries} == {
            "delivered": DeliveryState.DELIVERED,
            **dict.fromkeys(("dead", "retried", "flying", "waiting"), DeliveryState.DISCARDED),
        }
        assert {each.reason for each in history.deliveries} == {"", "forgotten by ann"}
        assert {each.last_answer + each.cause for each in history.deliveries} == {""}
        attempts = [one for made in history.attempts.values() for one in made]
        assert {(one.answer, one.reason, one.sent_sha256) for one in attempts} == {("", "", b"")}
        assert [one.outcome for one in attempts] == ["delivered", "dead", "retry"]
        assert await store.settle([delivered(flying)]) == frozenset(), "what its attempt came to is not recorded"
        assert await store.event(others) == untouched
        assert store.room.pending == 3
        assert await store.check() == []

    run(scenario)


def test_a_forgotten_event_is_neither_sent_nor_replayed(run):
    async def scenario(store):
        theirs, _ = await one_of_each(store)
        [waits] = await store.append([new_event("slack")])
        await forgotten(store, theirs, waits.event_id)
        for name in ("retried", "waiting", "flying", "slack"):
            assert await store.claim("a", wants(name)) == []
        for id_ in (theirs, waits.event_id):
            assert isinstance((await store.load([id_]))[id_], CorruptEvent)
            with pytest.raises(BodyGone, match=f"{id_} cannot be sent again: it was forgotten"):
                await replay(store, id_)
        for state in (DeliveryState.DEAD, DeliveryState.DELIVERED):
            task = Task(verb="replay", by="ann", which=DeliveryQuery(state=state), subject="all")
            assert (await store.begin(task)).progress.moved == 0

    run(scenario)


def test_it_frees_its_lane_and_its_keys(run):
    async def scenario(store):
        first, second = (new_event("slack", lanes=["jo"], key=b"%d" % n, firings=[once("jo@x")]) for n in range(2))
        [one] = await store.append([first])
        assert (await store.append([second]))[0].held_back == {"to-slack"}
        third = new_event("slack", lanes=["jo"])
        await store.append([third])
        [lease] = await store.claim("a", wants("slack"))
        assert lease.delivery.event_id == one.event_id
        await forgotten(store, first.event.id, second.event.id)
        assert (await store.event(second.event.id)).held_back == ()
        [lease] = await store.claim("a", wants("slack"))
        assert lease.delivery.event_id == third.event.id, "the next one of its lane goes"
        [again] = await store.append([new_event("slack", firings=[once("jo@x")])])
        assert again.held_back == frozenset(), "the entry may fire again for its key"
        assert {each.lane for each in (await store.event(first.event.id)).deliveries} == {None}

    run(scenario)


def test_what_mentions_the_value_goes_too_and_what_only_has_its_characters_stays(run):
    async def scenario(store):
        [known] = await store.append([new_event()])
        refused = [
            Rejected(at=1.0, source="crm", path="/in/crm/jo@example.com", status=404, reason="unknown"),
            Rejected(
                at=2.0, source="crm", path="/in/crm", status=202, reason=f"duplicate of {known.event_id}: not sent"
            ),
            Rejected(at=3.0, source="crm", path="/in/crm", status=400, reason="banjo@example.community is no id"),
        ]
        await store.reject(refused)
        await store.append([new_event("slack", firings=[once("welcome jo@example.com")])])
        await forgotten(store, known.event_id)
        assert await store.rejected() == refused[2:]
        [again] = await store.append([new_event("slack", firings=[once("welcome jo@example.com")])])
        assert again.held_back == frozenset()

    run(scenario)


def test_a_notice_of_a_dead_delivery_no_longer_says_why(run):
    async def scenario(store):
        [lease] = await leased(store, "slack")
        notified = dead(lease)
        await store.settle([Outcome(lease, notified.result, notified.attempt, told(lease))])
        await forgotten(store, lease.delivery.event_id)
        [notice] = [each for each in (await store.event(lease.delivery.event_id)).deliveries if each.notice]
        assert (notice.state, notice.notice.reason) == (DeliveryState.DISCARDED, "")

    run(scenario)


def test_a_duplicate_of_a_forgotten_event_is_still_one(run):
    async def scenario(store):
        new = new_event("slack")
        await store.append([new])
        await forgotten(store, new.event.id)
        [again] = await store.append([new])
        assert (again.duplicate, again.event_id) == (True, new.event.id)

    run(scenario)


def test_every_event_is_looked_at_once_page_by_page_and_new_ones_are_not(run, clock):
    async def scenario(store):
        news = [large(number) for number in range(1200)]
        await store.append(news)
        activity = await store.begin_erasure(ERASURE)
        await store.append([new_event()])
        seen, pages = [], 0
        while erasure := await store.open_erasure("a"):
            while erasure.is_looked_through and await store.wipe():
                await asyncio.sleep(0.01)
            assert (erasure.find == "") == erasure.is_looked_through
            page = await store.survey(after=erasure.after, until=erasure.until)
            seen, pages = [*seen, *(each.id for each in page.events)], pages + 1
            await store.forget(erasure, [each.id for each in page.events[::100]], to=page.to, replica="a")
            assert await store.open_erasure("b") is None, "it is on its way"
            await store.forget(erasure, [each.id for each in page.events], to=page.to, replica="a")
            clock.move(TASK_LEASE_S - 1)
        assert seen == [new.event.id for new in news]
        assert pages > 6
        counted = 0
        for new in news:
            counted += (await store.event(new.event.id)).body_is == "forgotten"
        assert (await store.activity(activity.id)).progress.moved == counted

    run(scenario)


def test_a_killed_process_is_followed_by_one_that_finishes(kind, clock):
    news = [large(number, "slack") for number in range(600)]

    async def before():
        store = await kind.open(clock)
        await store.append(news)
        activity = await store.begin_erasure(ERASURE)
        erasure = await store.open_erasure("a")
        page = await store.survey(after=erasure.after, until=erasure.until)
        await store.forget(erasure, [each.id for each in page.events], to=page.to, replica="a")
        killed = kind.after_kill(1)
        await store.close()
        return killed, activity, len(page.events)

    async def after(killed, activity, done):
        store = await killed.open(clock)
        erasure = await store.open_erasure("a")
        assert erasure.find == ERASURE.find
        while erasure := await store.open_erasure("a"):
            while erasure.is_looked_through and await store.wipe():
                await asyncio.sleep(0.01)
            page = await store.survey(after=erasure.after, until=erasure.until)
            await store.forget(erasure, [each.id for each in page.events], to=page.to, replica="a")
        progress = (await store.activity(activity.id)).progress
        assert (progress.moved, progress.discarded, progress.is_finished) == (600, 600, True)
        assert 0 < done < 600
        assert (await store.stats()).destinations["slack"].discarded == 600
        await store.close()

    asyncio.run(after(*asyncio.run(before())))


def test_one_that_is_stopped_keeps_what_it_has_done_and_is_wiped(run):
    async def scenario(store):
        news = [large(number) for number in range(600)]
        await store.append(news)
        activity = await store.begin_erasure(ERASURE)
        erasure = await store.open_erasure("a")
        page = await store.survey(after=erasure.after, until=erasure.until)
        await store.forget(erasure, [page.events[0].id], to=page.to, replica="a")
        await store.stop(activity.id, by="bob")
        erasure = await store.open_erasure("a")
        assert erasure.is_looked_through
        while await store.wipe():
            await asyncio.sleep(0.01)
        await store.forget(erasure, (), to=erasure.until, replica="a")
        progress = (await store.activity(activity.id)).progress
        assert (progress.moved, progress.stopped_by, progress.is_over) == (1, "bob", True)
        assert (await store.event(page.events[1].id)).body_is == "kept"

    run(scenario)


def test_a_second_one_with_its_key_is_the_first(run):
    async def scenario(store):
        keyed = replace(ERASURE, key="k")
        assert await store.begin_erasure(keyed) == await store.begin_erasure(keyed)
        assert len((await store.activities()).rows) == 1

    run(scenario)


def test_words_of_a_forgotten_event_are_not_found(run):
    async def scenario(store):
        new = new_event(body=b'{"name": "zoroaster"}')
        await store.append([new, new_event()])
        while await store.index():
            pass
        found = EventQuery(words=("zoroaster",))
        assert len((await store.candidates(found)).rows) == 1
        await forgotten(store, new.event.id)
        assert (await store.candidates(found)).rows == ()

    run(scenario)


def test_a_replay_may_begin_while_events_are_being_forgotten(run):
    async def scenario(store):
        theirs, _ = await one_of_each(store)
        erasure = Erasure(by="ann", find="data.id=451", value="451", subject="events with data.id=•••")
        await store.begin_erasure(erasure)
        assert await replay(store, theirs)

    run(scenario)
