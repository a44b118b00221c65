"""A refresh token that is good for one use, with several replicas, crashes, and a store that refuses for a while."""

import asyncio

import pytest

from gateway.config.schema.oauth import USUAL_REDIRECT
from gateway.egress import Door, Egress
from gateway.errors import NotLoggedIn, StoreUnavailable, TokenAwaited
from gateway.oauth import tokens as module
from gateway.oauth.settings import OAuth
from gateway.oauth.tokens import OWNED_S, Tokens
from tests.oauth.given import SECRET_KEY
from tests.oauth_server import AuthorizationServer, Client, slowly
from tests.store.database import PostgresKind
from tests.store.given import Clock, SQLiteKind
from tests.store.through import RemoteKind

DOOR = Door()


@pytest.fixture(params=[RemoteKind, PostgresKind], ids=lambda kind: kind.id)
def shared(request, tmp_path):
    """Run a test's coroutine on two replicas of one store."""
    return lambda scenario: asyncio.run(_on_two(request.param(tmp_path), scenario))


async def _on_two(kind, scenario):
    clock = Clock()
    stores = [await kind.open(clock), await kind.open(clock)]
    egress = Egress()
    made = [Tokens(egress, store, clock=clock.wall, monotonic=clock.monotonic) for store in stores]
    try:
        await scenario(*made, clock)
    finally:
        for each in made:
            await each.close()
        await egress.close()
        for store in stores:
            await store.close()


@pytest.fixture
def alone(tmp_path):
    """Run a test's coroutine on a file; it gets the store, the way out and the clock."""

    async def run(scenario):
        clock, egress = Clock(), Egress()
        store = await SQLiteKind(tmp_path).open(clock)
        try:
            await scenario(store, egress, clock)
        finally:
            await egress.close()
            await store.close()

    return lambda scenario: asyncio.run(run(scenario))


def settings(server, **more):
    client = {"client_id": Client.client_id, "client_secret": Client.secret, "secret_key": SECRET_KEY}
    return OAuth(**{"grant": "refresh_token", "token_url": server.token_url, **client, **more})


def used(server):
    return [form["refresh_token"] for form in server.asked]


def test_two_replicas_never_use_one_refresh_token_twice(shared):
    with AuthorizationServer(lasts_s=100) as server:
        oauth = settings(server, refresh_token=server.first_refresh_token())

        async def scenario(one, other, clock):
            for _ in range(4):
                await asyncio.gather(*(each.try_out(oauth, "crm", door=DOOR) for each in (one, other, one)))
                clock.move(200.0)
            await one.try_out(oauth, "crm", door=DOOR)
            await other.try_out(oauth, "crm", door=DOOR)
            # A server that forgives nothing has refused none of them.
            assert len(used(server)) == len(set(used(server))) == 10

        shared(scenario)


def test_a_login_at_one_replica_is_used_by_the_other_and_by_those_that_were_renewing(shared):
    with AuthorizationServer(lasts_s=100) as server:
        oauth = settings(server, grant="authorization_code", authorize_url=server.url, redirect_url=USUAL_REDIRECT)

        async def scenario(one, other, clock):
            with pytest.raises(NotLoggedIn, match=r"nobody has logged in yet: run `gateway login crm`"):
                await one.try_out(oauth, "crm", door=DOOR)
            await other.log_in(oauth, server.first_refresh_token(), by="ann")
            await one.try_out(oauth, "crm", door=DOOR)
            server.revoke_all()
            clock.move(200.0)
            server.behave(slowly(0.5))
            renewing = asyncio.create_task(one.try_out(oauth, "crm", door=DOOR))
            await asyncio.sleep(0.2)
            await other.log_in(oauth, server.first_refresh_token(), by="bob")
            await asyncio.gather(renewing, return_exceptions=True)
            await one.try_out(oauth, "crm", door=DOOR)
            await other.try_out(oauth, "crm", door=DOOR)
            [login] = await one._store.logins()
            assert (login.by, login.ended) == ("bob", "")

        shared(scenario)


@pytest.mark.parametrize("forgives", [True, False], ids=["a server that forgives", "a server that does not"])
def test_after_a_crash_between_the_answer_and_its_commit_the_old_token_is_tried_again(shared, monkeypatch, forgives):
    with AuthorizationServer(lasts_s=100, forgives_reuse=forgives) as server:
        oauth = settings(server, refresh_token=server.first_refresh_token())

        async def scenario(one, other, clock):
            await one.try_out(oauth, "crm", door=DOOR)
            clock.move(200.0)
            monkeypatch.setattr(one, "_keep", lambda *_: asyncio.sleep(60.0))
            monkeypatch.setattr(module, "BUSY_S", 0.5)
            monkeypatch.setattr(module, "ENDING_S", 0.0)
            monkeypatch.setattr(one, "_give_back", lambda *_: asyncio.sleep(0))
            dying = asyncio.create_task(one.try_out(oauth, "crm", door=DOOR))
            while len(used(server)) < 2:
                await asyncio.sleep(0.01)
            with pytest.raises(TokenAwaited, match="another replica is renewing its login"):
                await other.try_out(oauth, "crm", door=DOOR)
            assert len(used(server)) == 2, "it may still be alive"
            dying.cancel()
            await asyncio.gather(dying, return_exceptions=True)
            clock.move(OWNED_S)
            if forgives:
                await other.try_out(oauth, "crm", door=DOOR)
            else:
                with pytest.raises(
                    NotLoggedIn, match=r"no longer accepts its login \(invalid_grant\): put a new refresh_token"
                ):
                    await other.try_out(oauth, "crm", door=DOOR)
            assert used(server)[1] == used(server)[2]

        shared(scenario)


def test_nothing_is_sent_with_a_token_whose_refresh_token_is_not_stored_yet(alone):
    with AuthorizationServer(lasts_s=100) as server:
        oauth = settings(server, refresh_token=server.first_refresh_token())

        async def scenario(store, egress, clock):
            class Refusing:
                refusals = 3

                async def logins(self):
                    return await store.logins()

                async def set_login(self, login):
                    if login.sealed and self.refusals:
                        self.refusals -= 1
                        raise StoreUnavailable("the disk is full")
                    return await store.set_login(login)

            tokens = Tokens(egress, Refusing(), clock=clock.wall, monotonic=clock.monotonic)
            await tokens.try_out(oauth, "crm", door=DOOR)
            assert Refusing.refusals == 3
            assert tokens._store.refusals == 0
            [login] = await store.logins()
            assert (login.rev, login.owner) == (2, "")
            assert login.sealed

        alone(scenario)


def test_a_process_that_stops_keeps_the_successor_of_a_token_in_use(alone):
    with AuthorizationServer(lasts_s=100) as server:
        oauth = settings(server, refresh_token=server.first_refresh_token())

        async def scenario(store, egress, clock):
            tokens = Tokens(egress, store, clock=clock.wall, monotonic=clock.monotonic)
            attempt = asyncio.create_task(tokens.try_out(oauth, "crm", door=DOOR))
            while not server.asked:
                await asyncio.sleep(0.01)
            attempt.cancel()
            await tokens.close()
            [login] = await store.logins()
            assert login.sealed
            assert login.owner == ""

        alone(scenario)


def test_a_login_that_cannot_be_read_makes_a_delivery_wait_and_is_not_the_destinations_fault(alone):
    with AuthorizationServer() as server:
        oauth = settings(server, refresh_token=server.first_refresh_token())

        async def scenario(store, egress, clock):
            tokens = Tokens(egress, store, clock=clock.wall, monotonic=clock.monotonic)
            await store.close()
            with pytest.raises(TokenAwaited, match="its login cannot be read or kept") as raised:
                await tokens.try_out(oauth, "crm", door=DOOR)
            assert raised.value.shows == "nothing"

        alone(scenario)
