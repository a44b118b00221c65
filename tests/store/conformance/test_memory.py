"""What every store promises about values of answers: they are remembered with the outcome, recalled, and waited for."""

import asyncio

import msgspec
import pytest

from gateway.model import Delivered, Waits
from gateway.store.memory import Learnt, Remembered
from gateway.store.nouns import Outcome
from tests.store.given import attempt, dead, leased, replay, retry, wants

CRM = ("crm-id", "451")


def remembering(lease, *, subject=CRM, for_s=1000.0, said="", has_waited=False, **values):
    """The delivery was accepted, and the answer had these values."""
    kept = Remembered(subject=subject, values=msgspec.json.encode(values), for_s=for_s)
    made = attempt(lease, status=200, memory=said)
    return Outcome(lease, Delivered(), made, learnt=Learnt(remembered=kept, has_waited=has_waited))


def waiting(lease, *subjects, after_s=600.0):
    return Outcome(lease, Waits(after_s), learnt=Learnt(waits_for=subjects or (CRM,)))


async def known(store, *subjects, delivery="dlv_unknown"):
    recalled = await store.recall(delivery, subjects or (CRM,))
    return {subject: each.value for subject, each in recalled.known.items()}


def test_what_an_answer_had_is_known_once_its_outcome_is_settled(run):
    async def scenario(store):
        [lease] = await leased(store, "crm")
        assert await known(store) == {}
        await store.settle([remembering(lease, id=77, tags=["a", {"b": None}], name="Zoë \x00 😀")])
        recalled = await store.recall("dlv_unknown", [CRM, ("crm-id", "452"), ("slack-thread", "451")])
        assert {subject: each.value for subject, each in recalled.known.items()} == {
            CRM: {"id": 77, "tags": ["a", {"b": None}], "name": "Zoë \x00 😀"}
        }
        assert recalled.known[CRM].event_id == lease.delivery.event_id
        assert recalled.waited_s is None

    run(scenario)


def test_the_outcome_of_a_lost_lease_is_not_remembered(run, clock):
    async def scenario(store):
        [lost] = await leased(store, "crm")
        clock.move(31.0)
        [lease] = await store.claim("b", wants("crm"))
        assert await store.settle([remembering(lost, id=1)]) == frozenset()
        assert await known(store) == {}
        await store.settle([remembering(lease, id=2)])
        assert await known(store) == {CRM: {"id": 2}}

    run(scenario)


def test_what_is_remembered_last_replaces_all_values_of_its_key(run):
    async def scenario(store):
        leases = [lease for _ in range(3) for lease in await leased(store, "crm")]
        await store.settle([remembering(leases[0], id=1, ts="a")])
        await store.settle([remembering(leases[1], id=2), remembering(leases[2], id=3)])
        assert await known(store) == {CRM: {"id": 3}}

    run(scenario)


def test_it_is_forgotten_after_its_time_and_kept_longer_when_it_is_remembered_again(run, clock):
    async def scenario(store):
        [one], [two] = await leased(store, "crm"), await leased(store, "crm")
        await store.settle([remembering(one, for_s=10.0, id=1)])
        clock.move(9.0)
        await store.settle([remembering(two, for_s=10.0, id=2)])
        clock.move(9.0)
        assert await known(store) == {CRM: {"id": 2}}
        clock.move(2.0)
        assert await known(store) == {}

    run(scenario)


def test_a_delivery_that_waits_is_pending_without_an_attempt_until_its_wait_is_over(run, clock):
    async def scenario(store):
        [lease] = await leased(store, "slack")
        assert await store.settle([waiting(lease, after_s=600.0)]) == {lease.delivery.id}
        [delivery] = (await store.event(lease.delivery.event_id)).deliveries
        assert (delivery.state, delivery.attempts, delivery.spent_s, delivery.reason) == ("pending", 0, 0.0, "")
        assert delivery.due_in_s == pytest.approx(600.0)
        assert (await store.event(delivery.id)).waits_for == {delivery.id: (CRM,)}
        assert await store.claim("a", wants("slack")) == []
        clock.move(601.0)
        [again] = await store.claim("a", wants("slack"))
        assert (await store.recall(again.delivery.id, [CRM])).waited_s == pytest.approx(601.0)

    run(scenario)


def test_what_it_waits_for_makes_it_due_at_once_whichever_destination_brings_it(run):
    async def scenario(store):
        [slack], [crm], [other] = [await leased(store, name) for name in ("slack", "crm", "crm")]
        await store.settle([waiting(slack)])
        await store.settle([remembering(other, subject=("crm-id", "452"), id=1)])
        assert await store.claim("a", wants("slack")) == []
        await store.settle([remembering(crm, id=77)])
        async with asyncio.timeout(10.0):
            while "slack" not in await store.wake():
                pass
        [woken] = await store.claim("a", wants("slack"))
        assert woken.delivery.id == slack.delivery.id
        assert (woken.delivery.attempts, woken.delivery.spent_s) == (0, 0.0)
        assert await known(store) == {CRM: {"id": 77}}
        assert (await store.event(slack.delivery.id)).waits_for == {}

    run(scenario)


@pytest.mark.parametrize("together", [True, False], ids=["in one call", "one after the other"])
def test_what_was_remembered_while_it_looked_is_not_waited_for(run, together):
    async def scenario(store):
        [slack], [crm] = await leased(store, "slack"), await leased(store, "crm")
        assert await known(store) == {}
        if together:
            await store.settle([waiting(slack), remembering(crm, id=77)])
        else:
            await store.settle([remembering(crm, id=77)])
            await store.settle([waiting(slack)])
        [again] = await store.claim("a", wants("slack"))
        assert again.delivery.id == slack.delivery.id

    run(scenario)


def test_a_wait_counts_from_its_beginning_whatever_it_waits_for_next(run, clock):
    async def scenario(store):
        [lease] = await leased(store, "slack")
        await store.settle([waiting(lease, CRM, ("slack-thread", "451"), after_s=60.0)])
        clock.move(61.0)
        [again] = await store.claim("a", wants("slack"))
        await store.settle([waiting(again, ("slack-thread", "451"), after_s=60.0)])
        clock.move(61.0)
        assert (await store.recall(lease.delivery.id, [CRM])).waited_s == pytest.approx(122.0)

    run(scenario)


def test_a_delivery_that_is_tried_again_later_is_not_woken_by_what_it_waited_for_before(run, clock):
    async def scenario(store):
        [slack] = await leased(store, "slack")
        await store.settle([waiting(slack, after_s=60.0)])
        clock.move(61.0)
        [tried] = await store.claim("a", wants("slack"))
        failed = retry(tried, after_s=300.0)
        await store.settle([Outcome(tried, failed.result, failed.attempt, learnt=Learnt(has_waited=True))])
        [crm] = await leased(store, "crm")
        await store.settle([remembering(crm, id=77)])
        assert await store.claim("a", wants("slack")) == []
        assert (await store.recall(slack.delivery.id, [CRM])).waited_s == pytest.approx(61.0)

    run(scenario)


@pytest.mark.parametrize("end", ["after it waited", "without a word of it"])
def test_a_replay_waits_anew_however_the_delivery_had_ended(run, clock, end):
    async def scenario(store):
        [lease] = await leased(store, "slack")
        await store.settle([waiting(lease, after_s=60.0)])
        clock.move(61.0)
        [tried] = await store.claim("a", wants("slack"))
        gone = dead(tried)
        learnt = Learnt(has_waited=True) if end == "after it waited" else None
        await store.settle([Outcome(tried, gone.result, gone.attempt, learnt=learnt)])
        await replay(store, lease.delivery.id)
        [again] = await store.claim("a", wants("slack"))
        assert (await store.recall(again.delivery.id, [CRM])).waited_s is None

    run(scenario)


def test_a_lane_waits_with_its_first(run):
    async def scenario(store):
        [first], [second] = [await leased(store, "slack", lanes=["451"]) or [None] for _ in range(2)]
        assert second is None
        await store.settle([waiting(first)])
        assert await store.claim("a", wants("slack")) == []
        [crm] = await leased(store, "crm")
        await store.settle([remembering(crm, id=77)])
        [woken] = await store.claim("a", wants("slack"))
        assert woken.delivery.id == first.delivery.id

    run(scenario)


def test_what_an_attempt_recalled_and_remembered_is_kept_with_it(run):
    async def scenario(store):
        [lease] = await leased(store, "crm")
        said = "remembered as crm-id of 451: id 77 \x00 ü"
        await store.settle([remembering(lease, id=77, said=said)])
        [made] = (await store.event(lease.delivery.id)).attempts[lease.delivery.id]
        assert made.memory == said

    run(scenario)


def test_names_and_keys_may_be_any_text(run):
    async def scenario(store):
        subject = ("crm-id", "a \x00 'b' \"c\" ü 😀 [1]")
        [slack], [crm] = await leased(store, "slack"), await leased(store, "crm")
        await store.settle([waiting(slack, subject)])
        await store.settle([remembering(crm, subject=subject, id=1)])
        assert await known(store, subject) == {subject: {"id": 1}}
        assert len(await store.claim("a", wants("slack"))) == 1

    run(scenario)


def test_two_instances_have_one_memory_and_wake_each_others_deliveries(run_two):
    async def scenario(one, other):
        [slack], [crm] = await leased(one, "slack"), await leased(other, "crm")
        await one.settle([waiting(slack)])
        await other.settle([remembering(crm, id=77)])
        assert await known(one) == {CRM: {"id": 77}}
        [woken] = await one.claim("a", wants("slack"))
        assert woken.delivery.id == slack.delivery.id

    run_two(scenario)


def test_of_two_answers_at_once_one_is_remembered_whole(run_two):
    async def scenario(one, other):
        [first], [second] = await leased(one, "crm"), await leased(other, "crm")
        await asyncio.gather(
            one.settle([remembering(first, id=1, ts="one")]), other.settle([remembering(second, id=2, ts="two")])
        )
        assert (await known(one))[CRM] in ({"id": 1, "ts": "one"}, {"id": 2, "ts": "two"})

    run_two(scenario)
