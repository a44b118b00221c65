"""When an event's delivery is due that is sent with others."""

import asyncio

import pytest

from gateway.operate import digests, views
from gateway.wording import iso_time
from tests.store.given import KINDS, Clock, delivered, digest, wants


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.id)
def test_a_delivery_in_a_digest_says_when_the_digest_is_due(kind, tmp_path, monkeypatch):
    clock = Clock()
    monkeypatch.setattr(views.time, "time", clock.wall)

    async def scenario():
        store = await kind(tmp_path).open(clock)
        try:
            head, member = [
                (await store.append([each]))[0].event_id for each in (digest("slack"), digest("slack", "crm"))
            ]
            clock.move(100.0)
            history = await store.event(member)
            due = await digests.due_s(store, history)
            head_id = (await store.event(head)).deliveries[0].id
            assert due == {head_id: pytest.approx(800.0)}
            shown = {each["destination"]: each for each in views.event_history(history, digests=due)["deliveries"]}
            assert (shown["slack"]["digest"], shown["slack"]["waits_until"]) == (
                head_id,
                iso_time(clock.wall() + 800.0),
            )
            assert (shown["crm"]["digest"], shown["crm"]["waits_until"]) == (
                shown["crm"]["id"],
                iso_time(clock.wall() + 800.0),
            )
            assert await digests.due_s(store, await store.event(head)) == {}
            clock.move(900.0)
            [lease] = await store.claim("main", wants("slack"))
            await store.gathered(lease.delivery.id)
            await store.settle([delivered(lease)])
            assert await digests.due_s(store, await store.event(member)) == {}, "it was sent"
        finally:
            await store.close()

    asyncio.run(scenario())
