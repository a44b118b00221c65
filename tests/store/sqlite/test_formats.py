"""Files of older formats are brought to this one with everything they hold."""

import shutil
from pathlib import Path

import pytest
from msgspec.structs import replace

from gateway.errors import StoreError
from gateway.model import DeliveryState
from gateway.operate.search import Search
from gateway.operate.search import events as search
from gateway.store.activities import Task
from gateway.store.holds import Hold, Pause
from gateway.store.nouns import NewEvent
from gateway.store.queries import DeliveryQuery, EventQuery
from gateway.store.sqlite import tables
from tests.store.conformance.test_memory import remembering, waiting
from tests.store.given import Looking, leased, new_event, once, wants
from tests.store.sqlite.given import edit, nothing

#: Made by the release that wrote format 1: four events, one delivery dead, two pending.
FIRST_FORMAT = Path(__file__).parents[1] / "fixtures" / "version-1.db"
#: Made by the code that wrote format 2: four events, one delivery dead, one delivered, six pending, one paused destination.
SECOND_FORMAT = Path(__file__).parents[1] / "fixtures" / "version-2.db"
#: Made by the code that wrote format 3: one destination paused and muted, one muted, an entry that fired for its key, a
#: notice, and a replay of 600 dead deliveries that has done its first slice.
THIRD_FORMAT = Path(__file__).parents[1] / "fixtures" / "version-3.db"
#: Made by the code that wrote format 4: an event each of github, gitlab-token and a header of its own, a refused request,
#: and a replay with the key "click".
FOURTH_FORMAT = Path(__file__).parents[1] / "fixtures" / "version-4.db"

#: Made by the code that wrote format 5: an entry that fired for jo and for ann, an event of jo held back, and an erasure
#: of events with data.id=451 that has only begun.
FIFTH_FORMAT = Path(__file__).parents[1] / "fixtures" / "version-5.db"

#: Made by the code that wrote format 6: deliveries of ada to slack (delivered) and crm (to be retried, with one behind it
#: in its lane), one of bob to crm that is dead, an entry that fired for ada, and a mute.
SIXTH_FORMAT = Path(__file__).parents[1] / "fixtures" / "version-6.db"


def test_a_file_of_the_first_format_is_brought_to_this_one_with_all_that_it_holds(kind, opened):
    shutil.copy(FIRST_FORMAT, kind.path)
    with pytest.raises(StoreError, match="has format 1, written by an older release: start the gateway once"):
        Looking(kind.url).events()

    async def scenario(store):
        await store.set_hold(Hold(destination="crm", pause=Pause(by="ann", reason="their migration", since=1.0)))
        rows = (await store.events()).rows
        dead = (await store.deliveries(DeliveryQuery(state=DeliveryState.DEAD))).rows
        return len(rows), [each.id for each in dead], await store.holds()

    events, dead, holds = opened(scenario)
    assert (events, dead) == (4, ["dlv_000001_1"])
    assert [(hold.destination, hold.rev) for hold in holds] == [("crm", 1)]


def test_a_file_of_the_second_format_has_its_numbers_and_groups_at_once_and_its_words_soon(kind, opened):
    shutil.copy(SECOND_FORMAT, kind.path)

    async def scenario(store):
        stats = await store.stats()
        query = EventQuery(words=("14155550003",))
        found_unindexed = await search(store, Search(query=query, matches=lambda event: b'"id": 3' in event.body))
        while await store.index():
            pass
        found = await store.events(EventQuery(words=("14155550003",)))
        return stats, found_unindexed.rows, found.rows, await store.holds()

    stats, found_unindexed, found, [hold] = opened(scenario)
    assert [(group.destination, group.cause, group.count) for group in stats.dead] == [("crm", "answered 422", 1)]
    assert {name: (d.pending, d.dead, d.delivered) for name, d in stats.destinations.items()} == {
        "crm": (2, 1, 1),
        "slack": (4, 0, 0),
    }
    assert len(found) == 1
    assert found == found_unindexed
    assert hold.destination == "slack"
    assert hold.pause is not None
    assert hold.mute is None


def test_a_file_of_the_third_format_keeps_its_pauses_and_mutes(kind, opened):
    shutil.copy(THIRD_FORMAT, kind.path)

    async def scenario(store):
        return await store.holds(), (await store.stats()).destinations

    (crm, slack), numbers = opened(scenario)
    assert crm == Hold(
        destination="crm",
        rev=1,
        pause=Pause(by="ann", reason="their migration", since=1_800_000_000.0),
        mute=Pause(by="bob", reason="known", since=1_800_000_001.0, until=1_900_000_000.0),
    )
    assert slack == Hold(destination="slack", rev=1, mute=Pause(by="ann", reason="too loud ü", since=1_800_000_002.0))
    assert (numbers["bulk"].pending, numbers["bulk"].dead) == (300, 300), "its replay is half done"


def test_a_replay_that_a_file_of_the_third_format_has_begun_is_finished(kind, opened):
    shutil.copy(THIRD_FORMAT, kind.path)

    async def scenario(store):
        [replay] = [each for each in (await store.activities()).rows if each.progress is not None]
        while await store.go_on("main"):
            pass
        return replay.progress.moved, (await store.activity(replay.id)).progress.moved

    assert opened(scenario) == (300, 600)


def test_an_event_of_the_fourth_format_is_known_by_its_bytes_since_its_id_was_not_signed(kind, opened):
    shutil.copy(FOURTH_FORMAT, kind.path)

    async def scenario(store):
        [hub] = (await store.events(EventQuery(source="hub"))).rows
        known = (await store.event(hub.id)).event
        again = NewEvent(event=replace(known, id="evt_again"), key=known.sha256, window_s=86400.0)
        return hub.id, await store.append([again])

    first, [appended] = opened(scenario)
    assert (appended.duplicate, appended.event_id) == (True, first)


def test_headers_that_prove_who_sends_are_removed_from_the_events_of_the_fourth_format(kind, opened):
    shutil.copy(FOURTH_FORMAT, kind.path)

    async def scenario(store):
        async def headers():
            rows = (await store.events()).rows
            return {row.source: set((await store.event(row.id)).event.headers) for row in rows}

        before = await headers()
        slices = 1
        while await store.cleanse({"": {"x-gitlab-token"}, "own": {"x-own-key"}, "hub": {"x-own-key"}}, limit=1):
            slices += 1
        again = await store.cleanse({"": {"x-other"}})
        return before, await headers(), slices, again

    before, after, slices, again = opened(scenario)
    assert {name: before[name] - after[name] for name in before} == {
        "hub": set(),
        "lab": {"x-gitlab-token"},
        "own": {"x-own-key"},
    }
    assert (slices, again) == (3, False)
    assert "x-other" in after["own"], "it is done once"


def test_a_key_of_the_fourth_format_is_known_and_its_refused_requests_have_no_address(kind, opened):
    shutil.copy(FOURTH_FORMAT, kind.path)

    async def scenario(store):
        task = Task(verb="replay", by="ann", which=DeliveryQuery(ids=("dlv_hub",)), subject="dlv_hub", key="click")
        return await store.begin(task), await store.activities(), await store.rejected()

    begun, activities, [refused] = opened(scenario)
    assert [each.id for each in activities.rows] == [begun.id]
    assert (refused.source, refused.client) == ("hub", "")


def test_an_erasure_that_a_file_of_the_fifth_format_has_begun_frees_what_its_event_has_fired(kind, opened):
    shutil.copy(FIFTH_FORMAT, kind.path)

    async def scenario(store):
        erasure = await store.open_erasure("main")
        await store.forget(erasure, ["evt_jo"], to=erasure.until, replica="main")
        held_back = (await store.event("evt_again")).held_back
        news = [new_event("slack", firings=[once(name)]) for name in ("jo@example.com", "ann@example.com")]
        return erasure.find, held_back, [one.held_back for one in await store.append(news)]

    assert opened(scenario) == ("data.id=451", (), [frozenset(), frozenset({"to-slack"})])


def test_a_file_of_the_sixth_format_remembers_and_waits_from_now_on(kind, opened):
    shutil.copy(SIXTH_FORMAT, kind.path)

    async def scenario(store):
        made = (await store.event("evt_ada")).attempts
        [crm] = await leased(store, "archive")
        [slack] = await leased(store, "slack")
        await store.settle([waiting(slack)])
        await store.settle([remembering(crm, id=77)])
        woken = await store.claim("main", wants("slack"))
        return made, [each.delivery.id for each in woken] == [slack.delivery.id], await store.memories()

    made, is_woken, memories = opened(scenario)
    assert {name: [each.memory for each in those] for name, those in made.items()} == {
        "dlv_ada_slack": [""],
        "dlv_ada_crm": [""],
    }
    assert (is_woken, memories) == (True, {"crm-id": 1})


def test_a_migration_that_breaks_off_leaves_the_file_in_its_own_format(kind, opened, monkeypatch):
    shutil.copy(FIRST_FORMAT, kind.path)
    monkeypatch.setattr(
        tables,
        "MIGRATIONS",
        {**tables.MIGRATIONS, 1: "CREATE TABLE half (a); PRAGMA user_version = 2; SELECT no_such();"},
    )
    with pytest.raises(StoreError):
        opened(nothing)
    monkeypatch.undo()
    assert edit(kind.path, "PRAGMA user_version") == [(1,)]
    assert opened(nothing) is None
