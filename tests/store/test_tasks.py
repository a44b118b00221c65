"""Tasks after a kill, the numbers and lists that follow them, and bodies that retention or redaction takes."""

import asyncio
import json

import pytest
from msgspec.structs import replace

from gateway.errors import BodyGone
from gateway.model import DeliveryState
from gateway.store import rules
from gateway.store.activities import Activity
from gateway.store.nouns import Retention
from gateway.store.queries import DeliveryQuery, EventQuery
from tests.store.conformance.test_tasks import discard, given_dead, replay
from tests.store.given import delivered, new_event, wants


def test_a_replay_goes_on_after_a_kill(kind, clock, monkeypatch):
    monkeypatch.setattr(rules, "SLICE", 4)

    async def first_life():
        store = await kind.open(clock)
        await given_dead(store, 8)
        begun = await store.begin(replay())
        await store.go_on("main")
        after = kind.after_kill(1)
        await store.close()
        return begun.id, after

    async def second_life(after, activity_id):
        store = await after.open(clock)
        assert (await store.activity(activity_id)).progress.moved == 6
        assert await store.go_on("another"), "at once: who had it is gone"
        while await store.go_on("another"):
            pass
        assert (await store.activity(activity_id)).progress.moved == 8
        assert len({lease.delivery.id for lease in await store.claim("a", wants("slack", slots=50))}) == 8
        await store.close()

    activity_id, after = asyncio.run(first_life())
    asyncio.run(second_life(after, activity_id))


def test_the_numbers_follow_what_tasks_move(run):
    async def scenario(store):
        [first, *_] = await given_dead(store, 6)
        replayed = await store.begin(replay(DeliveryQuery(ids=(first,)), as_new=True))
        await store.begin(replay(interval_s=60.0))
        await store.stop(replayed.id, by="ann")
        await store.begin(discard(DeliveryQuery(state=DeliveryState.PENDING)))
        await given_dead(store, 2, reason="no answer")
        numbers = (await store.stats()).destinations["slack"]
        for state in DeliveryState:
            assert await store.count(DeliveryQuery(state=state)) == getattr(numbers, state.value)
        assert [(group.cause, group.count) for group in (await store.stats()).dead] == [("no answer", 2)]
        assert await store.check() == []

    run(scenario)


def test_twenty_clicks_at_once_are_listed_once_and_one_with_an_unknown_id_never(run):
    async def scenario(store):
        [id_, *_] = await given_dead(store, 3)
        await asyncio.gather(*[store.begin(replay(key="click")) for _ in range(20)])
        with pytest.raises(KeyError, match="dlv_unknown"):
            await store.begin(replay(DeliveryQuery(ids=(id_, "dlv_unknown"))))
        assert len((await store.activities()).rows) == 1

    run(scenario)


# --- bodies that are not kept ---


def test_a_body_goes_after_its_retention_and_its_event_cannot_be_sent_again(run, clock):
    async def scenario(store):
        done, open_ = new_event("slack"), new_event("crm")
        await store.append([done, open_])
        [lease] = await store.claim("a", wants("slack"))
        await store.settle([delivered(lease)])
        clock.move(100.0)
        while await store.prune(Retention(bodies_s=50.0), limit=1):
            pass
        history = await store.event(done.event.id)
        assert (history.event.body, history.body_is, history.intact) == (b"", "removed", True)
        kept = await store.event(open_.event.id)
        assert (kept.event, kept.body_is) == (open_.event, "kept")
        with pytest.raises(BodyGone, match=r"evt_\d+ cannot be sent again: retention.bodies has removed its body"):
            await store.begin(replay(DeliveryQuery(ids=(lease.delivery.id,))))
        many = await store.begin(replay(DeliveryQuery(state=DeliveryState.DELIVERED)))
        assert (many.progress.total, many.progress.moved) == (0, 0)

    run(scenario)


def redacted(event):
    return json.dumps({**json.loads(event.body), "phone": "x"}).encode()


async def redact(store, limit=50):
    page = await store.unredacted(limit=limit)
    await store.redact({id_: redacted(event) for id_, event in page.events.items()})
    while page.next:
        page = await store.unredacted(after=page.next, limit=limit)
        await store.redact({id_: redacted(event) for id_, event in page.events.items()})


def test_what_a_source_redacts_goes_after_the_last_delivery(run, clock):
    async def scenario(store):
        body = b'{"phone": "1415", "name": "Ada"}'
        news = [new_event("slack", "crm", body=body, key=bytes([at])) for at in range(3)]
        plain = new_event("slack", body=body, key=b"plain")
        await store.append([_to_redact(new) for new in news[:2]])
        await store.append([news[2], plain])
        while await store.index():
            pass
        for destination in ("slack", "crm"):
            assert (await store.event(news[0].event.id)).body_is == "kept"
            await redact(store)
            leases = [
                each
                for each in await store.claim("a", wants(destination, slots=9))
                if each.delivery.event_id == news[0].event.id
            ]
            await store.settle([delivered(lease) for lease in leases])
        await redact(store, limit=1)
        first = await store.event(news[0].event.id)
        assert (json.loads(first.event.body)["phone"], first.body_is, first.intact) == ("x", "redacted", True)
        for other in (news[1], news[2], plain):
            assert (await store.event(other.event.id)).event.body == body, "it waits, or nobody asked for it"
        with pytest.raises(BodyGone, match="what redact names was removed"):
            await store.begin(replay(DeliveryQuery(ids=(news[0].event.id,))))
        found = await store.events(EventQuery(words=("1415",)))
        assert news[0].event.id not in {row.id for row in found.rows}
        assert len(found.rows) == 3
        assert news[0].event.id in {row.id for row in (await store.events(EventQuery(words=("ada",)))).rows}

    run(scenario)


def test_what_is_to_be_sent_again_keeps_its_body_although_it_was_to_be_redacted(run):
    async def scenario(store):
        new = _to_redact(new_event("slack", body=b'{"phone": "1415"}'))
        await store.append([new])
        [lease] = await store.claim("a", wants("slack"))
        await store.settle([delivered(lease)])
        page = await store.unredacted()
        assert dict(page.events) == {new.event.id: new.event}
        await store.begin(replay(DeliveryQuery(ids=(lease.delivery.id,))))
        assert await store.redact({new.event.id: b"{}", "evt_gone": b"{}"}) == 0
        assert (await store.event(new.event.id)).event.body == new.event.body

    run(scenario)


def _to_redact(new):
    return replace(new, is_redacted_later=True)


# --- who did what ---


def test_what_people_do_is_remembered_and_listed_from_the_newest(run, monkeypatch):
    monkeypatch.setattr(rules, "ACTIVITIES_KEPT", 4)

    async def scenario(store):
        notes = [
            Activity(id=f"act_{at}", at=float(at), by="ann", verb="pause", subject="crm", reason="why not \ud800")
            for at in range(6)
        ]
        for note in notes:
            await store.note(note)
        listed = (await store.activities(limit=3)).rows
        assert [each.id for each in listed] == ["act_5", "act_4", "act_3"]
        assert listed[0].reason == "why not ?"
        assert [each.id for each in (await store.activities(before="act_3")).rows] == ["act_2"]
        assert await store.activity("act_0") is None

    run(scenario)
