"""What every store promises about deliveries that wait for their time."""

import pytest
from msgspec.structs import replace

from gateway.model import DeliveryState, Retry
from gateway.store.nouns import Outcome
from tests.store.given import delivered, new_event, wants


def later(new, wait_s):
    """An event whose deliveries are due later, although a lease is asked for."""
    return replace(new, deliveries=[replace(each, wait_s=wait_s) for each in new.deliveries])


def test_a_delivery_that_waits_is_claimed_when_it_is_due_and_not_before(run, clock):
    async def scenario(store):
        [appended] = await store.append([later(new_event("slack", lease_s=30.0), 600.0)])
        assert appended.leases == ()
        [delivery] = (await store.event(appended.event_id)).deliveries
        assert (delivery.state, delivery.due_in_s, delivery.waits) == (
            DeliveryState.PENDING,
            pytest.approx(600.0),
            True,
        )
        clock.move(599.0)
        assert await store.claim("a", wants("slack")) == []
        clock.move(2.0)
        [lease] = await store.claim("a", wants("slack"))
        assert (lease.delivery.attempts, lease.delivery.spent_s) == (0, 0.0)
        await store.settle([delivered(lease)])

    run(scenario)


def test_new_deliveries_are_not_held_up_by_those_that_wait(run):
    async def scenario(store):
        await store.append([later(new_event("slack"), 600.0)])
        [appended] = await store.append([new_event("slack", lease_s=30.0)])
        assert len(appended.leases) == 1

    run(scenario)


def test_a_lane_waits_with_its_head_and_the_next_one_for_its_own_time(run, clock):
    async def scenario(store):
        [first] = await store.append([later(new_event("crm", lanes=("a",)), 600.0)])
        clock.move(540.0)
        [second] = await store.append([later(new_event("crm", lanes=("a",)), 600.0)])
        [third] = await store.append([new_event("crm", lanes=("a",), lease_s=30.0)])
        assert third.leases == ()
        clock.move(61.0)
        [lease] = await store.claim("a", wants("crm"))
        assert lease.delivery.event_id == first.event_id
        await store.settle([delivered(lease)])
        assert await store.claim("a", wants("crm")) == [], "the second one has waited for 61 of its 600 seconds"
        [delivery] = (await store.event(second.event_id)).deliveries
        assert delivery.due_in_s == pytest.approx(539.0)
        clock.move(540.0)
        [lease] = await store.claim("a", wants("crm"))
        assert lease.delivery.event_id == second.event_id
        await store.settle([delivered(lease)])
        [lease] = await store.claim("a", wants("crm"))
        assert lease.delivery.event_id == third.event_id

    run(scenario)


def test_what_is_put_off_without_an_attempt_has_none_and_spends_nothing(run, clock):
    async def scenario(store):
        await store.append([new_event("slack")])
        [lease] = await store.claim("a", wants("slack"))
        await store.settle([Outcome(lease, Retry("", after_s=3600.0))])
        history = await store.event(lease.delivery.event_id)
        [delivery] = history.deliveries
        assert (delivery.attempts, delivery.spent_s, delivery.reason, delivery.waits) == (0, 0.0, "", True)
        assert history.attempts.get(delivery.id, ()) == ()
        assert await store.claim("a", wants("slack")) == []
        clock.move(3601.0)
        assert len(await store.claim("a", wants("slack"))) == 1

    run(scenario)
