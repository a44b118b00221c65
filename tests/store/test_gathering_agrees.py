"""Whatever is done to digests and to what is debounced, in whatever order, a store has what the toy has, and none is lost."""

import asyncio
import tempfile
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.model import DeliveryState
from gateway.store.activities import Task
from gateway.store.queries import DeliveryQuery
from tests.store.given import KINDS, Clock, dead, debounced, delivered, digest, retry, wants
from tests.store.toy import Server, ToyStore

keys = st.sampled_from(["a", "b"])
news = st.one_of(
    st.tuples(st.just("digest"), keys, st.sampled_from([2, 3, 50]), st.booleans()),
    st.tuples(st.just("debounce"), keys),
)
steps = st.one_of(
    st.tuples(st.just("append"), st.lists(news, min_size=1, max_size=4)),
    st.tuples(st.just("move"), st.sampled_from([10.0, 130.0, 1000.0])),
    st.tuples(st.just("send"), st.sampled_from([delivered, dead, retry])),
    st.tuples(st.just("discard"), st.integers(0, 30)),
    st.tuples(st.just("replay"), st.integers(0, 30)),
)


def event(what, key, *more):
    if what == "debounce":
        return debounced("slack", key=key)
    most, is_sent_full = more
    return digest("slack", key=key, most=most, is_sent_full=is_sent_full)


class Side:
    """One store, and the events that it was given."""

    def __init__(self, store):
        self.store = store

    async def do(self, step, known):
        match step:
            case ("append", events):
                await self.store.append(events)
            case ("send", outcome):
                leases = await self.store.claim("a", wants("slack", slots=100))
                # One after the other, each as an attempt does it.
                for lease in sorted(leases, key=lambda each: each.delivery.id):
                    if lease.delivery.digest:
                        await self.store.gathered(lease.delivery.id)
                    await self.store.settle([outcome(lease)])
            case ("discard" | "replay" as verb, number) if known:
                id_ = known[number % len(known)]
                with suppress(KeyError):
                    which = DeliveryQuery(ids=(id_,))
                    await self.store.begin(Task(verb=verb, by="ann", which=which, subject="a test"))

    async def seen(self, known):
        found = [each for id_ in known for each in (await self.store.event(id_)).deliveries]
        return [
            (each.event_id, each.state, each.digest, each.gathered, _rounded(each.due_in_s), each.reason, each.attempts)
            for each in found
        ]


def _rounded(due_in_s):
    return None if due_in_s is None else max(0, round(due_in_s))


@pytest.mark.parametrize("kind_of_store", KINDS, ids=lambda kind: kind.id)
def test_a_store_and_the_toy_agree_on_what_gathers(kind_of_store):
    @settings(max_examples=kind_of_store.examples)
    @given(st.lists(steps, max_size=25))
    def agree(written):
        run(kind_of_store, written)

    agree()


def run(kind_of_store, written):
    async def scenario(folder):
        clock = Clock()
        real = Side(await kind_of_store(folder).open(clock))
        toy = Side(ToyStore(Server(clock)))
        known = []
        try:
            for step in written:
                if step[0] == "move":
                    clock.move(step[1])
                    continue
                if step[0] == "append":
                    step = ("append", [event(*each) for each in step[1]])  # noqa: PLW2901
                for side in (real, toy):
                    await side.do(step, known)
                if step[0] == "append":
                    known += [each.event.id for each in step[1]]
                assert await real.seen(known) == await toy.seen(known)
                await check(real.store, known)
        finally:
            await real.store.close()

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(scenario(Path(folder)))


async def check(store, known):
    """Every digest has one delivery that is due for all of them, and they are in one state; the counts are right."""
    deliveries = [each for id_ in known for each in (await store.event(id_)).deliveries]
    assert store.room.pending == sum(each.state is DeliveryState.PENDING for each in deliveries)
    digests = {}
    for each in deliveries:
        if each.digest:
            digests.setdefault(each.digest, []).append(each)
    for head, members in digests.items():
        assert len({each.state for each in members}) == 1, members
        assert [
            each.id for each in members if each.due_in_s is not None or each.state is not DeliveryState.PENDING
        ].count(head) == 1
        assert all(each.due_in_s is None for each in members if each.id != head)
        assert next(each.gathered for each in members if each.id == head) == len(members)
    waiting = Counter(each.route for each in deliveries if each.state is DeliveryState.PENDING)
    assert sum((await store.waiting()).values()) == sum(waiting.values())
