"""What becomes of calls and leases when one end of the socket goes away, or stands still."""

import asyncio
import gc
import time

import pytest

from gateway.errors import StoreError, StoreUnavailable
from gateway.model import Delivered
from gateway.store.holds import Hold
from gateway.store.nouns import Outcome
from tests.store.given import attempt, delivered, leased, new_event, terms, wants
from tests.store.through import RemoteKind


@pytest.fixture
def kind(tmp_path):
    return RemoteKind(tmp_path)


@pytest.fixture
def run(kind, clock):
    """Run a test's coroutine on two ends of a store."""

    def run_on_ends(scenario):
        async def whole():
            one, other = await kind.open(clock), await kind.open(clock)
            await scenario(one, other)
            for end in list(kind.ends):
                await end.close()

        asyncio.run(whole())

    return run_on_ends


async def die(end):
    """As kill -9 ends a worker."""
    end.asking._link._transport.abort()
    await end.served.ended


def test_what_a_worker_had_leased_is_due_at_once_when_it_dies(run):
    async def scenario(one, other):
        me = one.cluster.me
        [appended] = await one.append([new_event("slack", lease_s=30.0)], replica=me)
        await one.append([new_event("slack")])
        [claimed] = await one.claim(me, wants("slack"))
        assert await other.claim(other.cluster.me, wants("slack")) == []
        await die(one)
        leases = await other.claim(other.cluster.me, wants("slack"))
        assert {each.delivery.id for each in leases} == {appended.leases[0].delivery.id, claimed.delivery.id}
        assert await other.settle([delivered(claimed)]) == frozenset()
        assert len(await other.settle([delivered(each) for each in leases])) == 2

    run(scenario)


def test_another_worker_hears_of_what_a_dead_one_had_leased(run):
    async def scenario(one, other):
        await one.append([new_event("slack", lease_s=30.0)], replica=one.cluster.me)
        await other.wake()
        waiting = asyncio.create_task(other.wake())
        await other.load(["evt_unknown"])
        assert not waiting.done()
        await die(one)
        assert "slack" in await asyncio.wait_for(waiting, 30.0)

    run(scenario)


def test_what_a_dead_worker_held_is_held_by_another_at_once(run):
    async def scenario(one, other):
        mine = await one.assigned(one.cluster.me, terms("slack", is_paced=True))
        assert mine.destinations["slack"].is_holder
        assert not (await other.assigned(other.cluster.me, terms("slack", is_paced=True))).destinations
        await die(one)
        theirs = await other.assigned(other.cluster.me, terms("slack", is_paced=True))
        assert theirs.destinations["slack"].is_holder
        assert theirs.destinations["slack"].epoch != mine.destinations["slack"].epoch

    run(scenario)


def test_the_shares_of_workers_that_are_yet_to_come_are_left_for_them(run, kind):
    async def scenario(one, other):
        kind.owner.expect(2)
        assert (await one.assigned(one.cluster.me, terms("slack"))).destinations["slack"].share == 0.5
        assert (await other.assigned(other.cluster.me, terms("slack"))).destinations["slack"].share == 0.5
        await die(one)
        assert (await other.assigned(other.cluster.me, terms("slack"))).destinations["slack"].share == 0.5

    run(scenario)


def test_an_append_is_carried_out_when_its_caller_goes_away_and_its_lease_is_given_back(run):
    async def scenario(one, other):
        appending = one.append([new_event("slack", lease_s=30.0)], replica=one.cluster.me)
        appending.cancel()
        await one.load(["evt_unknown"])
        while not (leases := await other.claim(other.cluster.me, wants("slack"))):
            await other.load(["evt_unknown"])
        assert len(leases) == 1

    run(scenario)


def test_leases_of_a_claim_whose_caller_goes_away_are_given_back(run):
    async def scenario(one, other):
        await one.append([new_event("slack")])
        claiming = asyncio.create_task(one.claim(one.cluster.me, wants("slack")))
        await asyncio.sleep(0)
        claiming.cancel()
        while not (leases := await other.claim(other.cluster.me, wants("slack"))):
            await other.load(["evt_unknown"])
        assert len(leases) == 1

    run(scenario)


def test_what_waits_for_an_owner_that_dies_fails_and_nothing_more_is_asked(run, kind):
    async def scenario(one, _other):
        waiting = asyncio.create_task(one.wake())
        await one.wake()
        asking = [
            one.append([new_event("slack")]),
            asyncio.ensure_future(one.stats()),
            asyncio.ensure_future(one.wake()),
        ]
        one.served.abort()
        for each in [*asking, waiting]:
            with pytest.raises(StoreUnavailable, match="has ended"):
                await asyncio.wait_for(each, 30.0)
        assert not one.healthy
        assert "started again" in one.trouble
        with pytest.raises(StoreUnavailable):
            await one.append([new_event("slack")])
        with pytest.raises(StoreUnavailable):
            await one.claim("a", wants("slack"))
        assert one.asking.ended.done()

    run(scenario)


def test_a_lease_that_ended_before_its_answer_was_read_is_not_used(run, clock, monkeypatch):
    async def scenario(one, other):
        await one.append([new_event("slack"), new_event("slack")])
        now = time.monotonic()
        monkeypatch.setattr("gateway.store.remote.asking.monotonic", lambda: now + 31.0)
        assert not await one.claim(one.cluster.me, wants("slack", slots=1, lease_s=30.0))
        [lease] = await one.claim(one.cluster.me, wants("slack", slots=1, lease_s=3600.0))
        assert lease.expires == 3600.0

    run(scenario)


def test_a_call_that_makes_no_sense_fails_alone(run):
    async def scenario(one, _other):
        with pytest.raises(StoreUnavailable, match="was not understood"):
            await one.asking.call("append", 7)
        with pytest.raises(StoreUnavailable, match="was not understood"):
            await one.asking.call("drop_table", 7)
        assert await one.holds() == []

    run(scenario)


def test_a_worker_that_sends_garbage_is_cut_off_and_others_are_served(run):
    async def scenario(one, other):
        one.asking._link._transport.write(b"\xff\xff\xff\xff garbage")
        await one.served.ended
        assert await other.holds() == []

    run(scenario)


def test_a_value_that_is_too_long_fails_the_one_call(run, monkeypatch):
    async def scenario(one, _other):
        monkeypatch.setattr("gateway.store.remote.frames.LONGEST_BYTES", 10_000)
        with pytest.raises(StoreError, match="more than the 10000"):
            await one.append([new_event("slack", body=bytes(20_000))])
        assert await one.holds() == []

    run(scenario)


def test_an_outcome_that_has_no_word_in_a_message_fails_alone(run):
    async def scenario(one, _other):
        good, bad = await leased(one, "slack", "crm")
        settling = [
            one.settle([Outcome(bad, Delivered(), attempt(bad, status=1 << 70))]),
            one.settle([delivered(good)]),
        ]
        refused, held = await asyncio.gather(*settling, return_exceptions=True)
        assert type(refused) is StoreError
        assert held == {good.delivery.id}

    run(scenario)


def test_leases_that_cannot_be_given_back_run_out_and_nobody_is_bothered(run, kind, monkeypatch):
    """A future whose exception is never looked at is a warning."""

    async def scenario(one, _other):
        said, refused = [], asyncio.Event()
        asyncio.get_running_loop().set_exception_handler(lambda _, context: said.append(context["message"]))

        def refuse(_outcomes):
            refused.set()
            refusal = asyncio.get_running_loop().create_future()
            refusal.set_exception(StoreUnavailable("the disk is full"))
            return refusal

        with monkeypatch.context() as patch:
            patch.setattr(kind.owner, "settle", refuse)
            one.append([new_event("slack", lease_s=30.0)], replica=one.cluster.me).cancel()
            await refused.wait()
            # Answered after it, so its answer is here.
            await one.holds()
        gc.collect()
        assert said == []

    run(scenario)


def test_what_one_worker_changes_the_others_are_to_look_at(run, kind):
    async def scenario(one, other):
        seen = []
        kind.owner.changed = lambda: seen.append("look")
        await one.set_hold(Hold(destination="crm"))
        await other.cluster.ask_to_reload()
        assert seen == ["look", "look"]
        assert not await one.set_hold(Hold(destination="crm"))
        assert len(seen) == 2
        await die(other)
        assert len(seen) == 3

    run(scenario)


def test_both_ends_tell_each_other_what_is_not_about_the_store(kind, clock):
    async def scenario():
        heard = []
        await (await kind.open(clock)).stored_time()
        end = await kind.another(told=lambda *what: heard.append(what))
        end.asking.hear(lambda *what: heard.append(what))
        end.asking.tell("figures", b"1")
        end.served.tell("look")
        await end.holds()
        assert sorted(heard, key=len) == [("look", b""), ("worker_2", "figures", b"1")]
        for each in list(kind.ends):
            await each.close()

    asyncio.run(scenario())
