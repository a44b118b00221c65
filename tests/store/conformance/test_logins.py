"""Logins whose refresh token is kept: one replica at a time uses it, and no change is lost."""

import asyncio

from msgspec.structs import replace

from gateway.store.logins import Login
from tests.store.database import looked

FIRST = Login(id="oauth2-1", sealed=b"\x00\xff one", by="ann \x00 ü", since=1.0)


def test_a_login_is_kept_as_it_was_given(run):
    async def scenario(store):
        assert list(await store.logins()) == []
        assert await store.set_login(FIRST)
        assert await store.set_login(Login(id="oauth2-0", until=2.5, ended="revoked: \x00 ü"))
        await looked(store)
        assert list(await store.logins()) == [
            Login(id="oauth2-0", rev=1, until=2.5, ended="revoked: \x00 ü"),
            replace(FIRST, rev=1),
        ]

    run(scenario)


def test_a_change_that_is_not_based_on_the_present_one_changes_nothing(run):
    async def scenario(store):
        assert await store.set_login(FIRST)
        assert not await store.set_login(replace(FIRST, sealed=b"two"))
        assert await store.set_login(replace(FIRST, rev=1, sealed=b"two"))
        assert not await store.set_login(replace(FIRST, rev=1, sealed=b"three"))
        [kept] = await store.logins()
        assert (kept.rev, kept.sealed) == (2, b"two")

    run(scenario)


def test_of_several_that_take_a_login_at_once_one_has_it_until_its_time_is_over(run, clock):
    async def scenario(store):
        await store.set_login(FIRST)
        taken = replace(FIRST, rev=1, owned_s=15.0)
        tries = [store.set_login(replace(taken, owner=f"replica {number}")) for number in range(8)]
        assert sum(await asyncio.gather(*tries)) == 1
        [kept] = await store.logins()
        assert (kept.rev, kept.owned_s, kept.owner[:7]) == (2, 15.0, "replica")
        clock.move(10.0)
        await looked(store)
        assert [each.owned_s for each in await store.logins()] == [5.0]
        clock.move(10.0)
        await looked(store)
        assert [each.owned_s for each in await store.logins()] == [0.0]

    run(scenario)


def test_the_first_of_a_login_is_stored_by_one_of_two(run_two):
    async def scenario(one, other):
        stored = await asyncio.gather(one.set_login(FIRST), other.set_login(FIRST))
        assert sorted(stored) == [False, True]
        assert list(await one.logins()) == list(await other.logins()) == [replace(FIRST, rev=1)]

    run_two(scenario)
