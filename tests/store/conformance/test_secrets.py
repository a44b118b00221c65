"""Secrets that senders choose in a handshake, as every replica finds them."""

from gateway.model import Secret

#: As long as a header can be, and with what a header can have.
LONG = Secret("\u00e9" + "x" * 16_000)


def test_of_a_source_the_newest_secret_comes_first_and_a_known_one_stays_where_it_is(run):
    async def scenario(store):
        assert await store.secrets.of("asana") == ()
        for each in (Secret("one"), Secret("two"), Secret("one"), LONG, LONG):
            await store.secrets.add("asana", each)
        await store.secrets.add("another", Secret("one"))
        assert await store.secrets.of("asana") == (LONG, Secret("two"), Secret("one"))
        assert await store.secrets.of("another") == (Secret("one"),)

    run(scenario)


def test_what_one_replica_has_kept_another_finds_at_once(run_two):
    async def scenario(one, other):
        assert await other.secrets.of("asana") == ()
        await one.secrets.add("asana", Secret("one"))
        assert await other.secrets.of("asana") == (Secret("one"),)
        await other.secrets.add("asana", Secret("two"))
        assert await one.secrets.of("asana") == (Secret("two"), Secret("one"))

    run_two(scenario)
