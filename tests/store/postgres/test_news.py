"""What replicas hear of each other through the database."""

import asyncio
import math

import pytest

from gateway.model import Release, Secret
from gateway.store.holds import Hold, Pause
from gateway.store.nouns import Outcome
from gateway.store.postgres import secrets
from gateway.store.postgres.address import Address
from gateway.store.postgres.news import MOST, News
from tests import postgres
from tests.store.database import PostgresKind
from tests.store.given import leased, new_event, two, wants

PAUSE = Pause(by="ann", reason="their migration", since=1.0)
WAIT_S = 30.0


@pytest.fixture
def run_two(clock):
    def run(scenario):
        async def whole():
            kind = PostgresKind(None)
            async with two(lambda: kind.open(clock)) as stores:
                # Whoever has just begun to listen may have missed something.
                for each in stores:
                    await asyncio.wait_for(each.holds_changed(), WAIT_S)
                await scenario(*stores)

        asyncio.run(whole())

    return run


def test_a_pause_and_its_end_are_hinted_at_to_the_other_replicas(run_two):
    async def scenario(one, other):
        for hold in (Hold(destination="crm", pause=PAUSE), Hold(destination="crm", rev=1)):
            assert await one.set_hold(hold)
            await asyncio.wait_for(other.holds_changed(), WAIT_S)
            [known] = await other.holds()
            assert known.pause == hold.pause

    run_two(scenario)


def test_a_replica_is_not_told_of_what_it_has_done_itself_nor_of_what_was_refused(run_two):
    async def scenario(one, other):
        own = asyncio.create_task(one.holds_changed())
        assert not await one.set_hold(Hold(destination="crm", rev=7, pause=PAUSE))
        assert await one.set_hold(Hold(destination="crm", pause=PAUSE))
        await asyncio.wait_for(other.holds_changed(), WAIT_S)
        assert await other.set_hold(Hold(destination="slack", pause=PAUSE))
        await asyncio.wait_for(own, WAIT_S)
        assert {each.destination for each in await one.holds()} == {"crm", "slack"}

    run_two(scenario)


def test_a_secret_that_one_replica_has_kept_replaces_what_the_others_remember(run_two, monkeypatch):
    monkeypatch.setattr(secrets, "LASTS_S", 3600.0)

    async def scenario(one, other):
        heard = asyncio.Event()
        other._presence.listen("secrets", lambda: (other.secrets._forget(), heard.set()))
        await one.secrets.add("asana", Secret("one"))
        await asyncio.wait_for(heard.wait(), WAIT_S)
        assert await other.secrets.of("asana") == (Secret("one"),)
        postgres.run(other.secrets._line.address.dsn.reveal(), "UPDATE secret SET secret = 'changed by hand'")
        assert await other.secrets.of("asana") == (Secret("one"),), "it is remembered"
        await one.secrets.add("asana", Secret("two"))
        async with asyncio.timeout(WAIT_S):
            while Secret("two") not in await other.secrets.of("asana"):
                await asyncio.sleep(0.01)
        assert await one.secrets.of("asana") == (Secret("two"), Secret("changed by hand"))

    run_two(scenario)


def test_without_a_hint_a_secret_is_looked_for_after_a_second(run_two, monkeypatch):
    async def scenario(one, other):
        await one.secrets.add("asana", Secret("one"))
        assert await other.secrets.of("asana") == (Secret("one"),)
        postgres.run(other.secrets._line.address.dsn.reveal(), "UPDATE secret SET secret = 'another'")
        monkeypatch.setattr(other.secrets, "_known", {"asana": (other.secrets._loop.time() - 1.0, (Secret("one"),))})
        assert await other.secrets.of("asana") == (Secret("another"),)

    run_two(scenario)


def test_what_one_replica_released_is_claimed_by_another_that_had_got_further(run_two, clock):
    """It is due since before the bound from which the other one claims."""

    async def scenario(one, other):
        [lost] = await leased(one, "slack")
        clock.move(5.0)
        await other.append([new_event("slack")])
        assert len(await other.claim("b", wants("slack"))) == 1
        await one.settle([Outcome(lost, Release())])
        found = []
        async with asyncio.timeout(WAIT_S):
            while not found:
                await asyncio.sleep(0.01)
                found = await other.claim("b", wants("slack"))
        assert [each.delivery.id for each in found] == [lost.delivery.id]

    run_two(scenario)


def test_a_message_that_would_be_too_long_names_no_destination():
    """PostgreSQL refuses a longer one; the others then look at everything."""
    heard = []
    address = Address.of("postgresql://gateway@127.0.0.1/gateway")
    one, other = (News(address, number, hear=heard.append, hear_of=lambda _subject: None) for number in (1, 2))
    for since in ({"slack": 12.5, "crm": -math.inf}, {f"destination-{number}": 1.0 for number in range(1000)}):
        one._untold |= since
        message = one._next()
        assert len(message) <= MOST
        other._heard(None, 0, "", message.decode())
    assert heard == [{"slack": 12.5, "crm": -math.inf}, None]
