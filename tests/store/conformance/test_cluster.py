"""What replicas tell each other through their store."""

import hashlib

import pytest

from gateway.store.cluster import LAPSED_S, MOST_SESSIONS, Replica, Session


def replica(store, *, config="9f2c01ab", started_at=1_800_000_000.0):
    return Replica(id=store.cluster.me, host="web-1:7", version="1.0", config=config, started_at=started_at)


def key(number):
    return hashlib.sha256(str(number).encode()).digest()


# --- who runs ---


def test_a_replica_that_runs_alone_sees_itself(run):
    async def scenario(store):
        me = replica(store)
        roll = await store.cluster.beat(me)
        assert me in roll.replicas
        assert roll.reloads == (await store.cluster.beat(me)).reloads

    run(scenario)


def test_replicas_have_different_ids_and_see_each_other_with_the_file_that_each_has_in_force(run_two):
    async def scenario(one, other):
        assert one.cluster.me != other.cluster.me
        first, second = replica(one), replica(other, config="0000aaaa", started_at=1_800_000_001.0)
        await one.cluster.beat(first)
        await other.cluster.beat(second)
        roll = await one.cluster.beat(first)
        assert [(each.id, each.config) for each in roll.replicas] == [
            (first.id, "9f2c01ab"),
            (second.id, "0000aaaa"),
        ]

    run_two(scenario)


def test_what_a_replica_says_of_itself_follows_its_last_beat(run_two):
    async def scenario(one, other):
        await one.cluster.beat(replica(one))
        await one.cluster.beat(replica(one, config="0000aaaa"))
        roll = await other.cluster.beat(replica(other, started_at=1_800_000_001.0))
        assert [each.config for each in roll.replicas] == ["0000aaaa", "9f2c01ab"]

    run_two(scenario)


def test_a_replica_that_has_not_beaten_for_a_while_is_taken_for_dead(run_two, clock):
    async def scenario(one, other):
        await one.cluster.beat(replica(one))
        clock.move(LAPSED_S - 1)
        both = (await other.cluster.beat(replica(other))).replicas
        assert {each.id: round(each.seen_s) for each in both} == {one.cluster.me: 9, other.cluster.me: 0}
        clock.move(2)
        [left] = (await other.cluster.beat(replica(other))).replicas
        assert left.id == other.cluster.me

    run_two(scenario)


def test_every_replica_hears_that_all_are_asked_to_reload(run_two):
    async def scenario(one, other):
        before = [(await each.cluster.beat(replica(each))).reloads for each in (one, other)]
        await one.cluster.ask_to_reload()
        after = [(await each.cluster.beat(replica(each))).reloads for each in (one, other)]
        assert after == [number + 1 for number in before]

    run_two(scenario)


# --- logins ---


def test_a_session_lasts_until_its_time_is_over(run, clock):
    async def scenario(store):
        await store.cluster.begin_session(key(1), "read", 60.0)
        session = await store.cluster.session(key(1))
        assert session == Session("read", pytest.approx(60.0))
        clock.move(59)
        assert (await store.cluster.session(key(1))).left_s == pytest.approx(1.0)
        clock.move(2)
        assert await store.cluster.session(key(1)) is None

    run(scenario)


def test_a_session_that_was_ended_or_never_began_is_none(run):
    async def scenario(store):
        await store.cluster.begin_session(key(1), "full", 60.0)
        await store.cluster.end_session(key(1))
        await store.cluster.end_session(key(2))
        assert await store.cluster.session(key(1)) is None
        assert await store.cluster.session(key(2)) is None

    run(scenario)


def test_a_session_counts_at_every_replica_and_ends_at_all_of_them(run_two):
    async def scenario(one, other):
        await one.cluster.begin_session(key(1), "full", 60.0)
        assert (await other.cluster.session(key(1))).role == "full"
        await other.cluster.end_session(key(1))
        assert await one.cluster.session(key(1)) is None

    run_two(scenario)


def test_sessions_are_bounded_and_the_oldest_ends_first(run):
    async def scenario(store):
        for number in range(MOST_SESSIONS + 1):
            await store.cluster.begin_session(key(number), "read", 60.0)
        assert await store.cluster.session(key(0)) is None
        assert await store.cluster.session(key(1)) is not None
        assert await store.cluster.session(key(MOST_SESSIONS)) is not None

    run(scenario)
