"""The workers as the process sees them that owns the store."""

import asyncio
import socket
from contextlib import asynccontextmanager

import msgspec

from gateway.store import open_store
from gateway.store.remote.store import RemoteStore
from gateway.telemetry import sums
from gateway.telemetry.sums import Figures
from gateway.workers import crew as crews
from gateway.workers.crew import FIGURES, LOOK, REFUSED, STANDING, Crew, Standing
from tests.store.given import Clock, new_event
from tests.store.through import RemoteKind
from tests.waiting import until


class Worker:
    """One end of a socket that came over the control socket, with what the owner has told it."""

    def __init__(self, store):
        self.store, self.told = store, []
        store.asking.hear(lambda word, _what: self.told.append(word))

    def say(self, status="ready", **in_flight):
        self.store.asking.tell(STANDING, msgspec.json.encode(Standing(status, in_flight)))

    def count(self, value):
        figures = [Figures("x", "counter", "about", {("x_total", ()): value})]
        self.store.asking.tell(FIGURES, msgspec.msgpack.encode(figures))

    async def kill(self):
        self.store.asking._link._transport.abort()
        await self.store.asking.ended


@asynccontextmanager
async def gateway(folder, expected=2):
    """The owner's crew, and how another worker comes."""
    kind, clock = RemoteKind(folder), Clock()
    store = await open_store(kind.url, clock=clock.monotonic, wall=clock.wall, is_shared=True)
    crew = Crew(store, expected)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    crew.follow(theirs)

    async def another():
        mine, its = socket.socketpair()
        mine.setblocking(False)
        with its:
            socket.send_fds(ours, [b"worker"], [its.fileno()])
        return Worker(await RemoteStore.open(mine))

    try:
        yield store, crew, another
    finally:
        crew.close()
        await crew.gone()
        ours.close()
        await store.close()


def total(figures):
    return sum(value for each in figures for one in each for value in one.samples.values())


def test_events_can_be_received_once_a_worker_says_so_and_as_long_as_one_does(tmp_path, monkeypatch):
    async def scenario():
        async with gateway(tmp_path) as (_store, crew, another):
            assert "no worker is ready" in crew.trouble()
            one, other = await another(), await another()
            one.say("the event loop is late")
            await until(lambda: crew.trouble() == "the event loop is late")
            assert not crew.complete.is_set()
            other.say()
            await until(lambda: crew.trouble() == "")
            assert crew.complete.is_set()
            await other.kill()
            await until(lambda: crew.trouble() == "the event loop is late")
            monkeypatch.setattr(crews, "SILENT_S", 0.0)
            assert "no worker is ready" in crew.trouble(), "one that stands still is not counted on"

    asyncio.run(scenario())


def test_figures_are_those_of_all_workers_and_what_a_dead_one_had_counted_stays(tmp_path, monkeypatch):
    monkeypatch.setattr(crews, "ANSWER_S", 30.0)

    async def scenario():
        async with gateway(tmp_path) as (_store, crew, another):
            one, other = await another(), await another()
            asking = asyncio.create_task(crew.figures())
            await until(lambda: one.told == other.told == [FIGURES])
            one.count(3.0), other.count(4.0)
            assert total(await asking) == 7.0
            await one.kill()
            await until(lambda: len(crew._workers) == 1)
            asking = asyncio.create_task(crew.figures())
            await until(lambda: other.told.count(FIGURES) == 2)
            other.count(5.0)
            assert total(await asking) == 8.0

    asyncio.run(scenario())


def test_every_worker_has_stored_what_it_refused_when_that_is_asked_for(tmp_path, monkeypatch):
    monkeypatch.setattr(crews, "ANSWER_S", 30.0)

    async def scenario():
        async with gateway(tmp_path) as (_store, crew, another):
            one, other = await another(), await another()
            asking = asyncio.create_task(crew.refusals())
            await until(lambda: one.told == other.told == [REFUSED])
            one.store.asking.tell(FIGURES, msgspec.msgpack.encode([]))
            one.store.asking.tell(REFUSED, b"")
            other.say()
            assert not asking.done()
            await other.kill()
            await asking

    asyncio.run(scenario())


def test_a_worker_that_does_not_answer_counts_with_what_it_gave_before(tmp_path, monkeypatch):
    monkeypatch.setattr(crews, "ANSWER_S", 0.01)

    async def scenario():
        async with gateway(tmp_path) as (_store, crew, another):
            one = await another()
            one.count(3.0)
            await until(lambda: total([each.figures for each in crew._workers.values()]) == 3.0)
            assert total(await crew.figures()) == 3.0

    asyncio.run(scenario())


def test_workers_hear_at_once_of_what_others_change_and_of_those_that_have_gone(tmp_path):
    async def scenario():
        async with gateway(tmp_path) as (store, _crew, another):
            one, other = await another(), await another()
            await store.cluster.ask_to_reload()
            await until(lambda: one.told == other.told == [LOOK])
            await other.kill()
            await until(lambda: one.told == [LOOK] * 2)

    asyncio.run(scenario())


def test_what_is_in_flight_is_what_the_workers_have_leased(tmp_path):
    async def scenario():
        async with gateway(tmp_path) as (_store, crew, another):
            one = await another()
            await one.store.append([new_event("slack", "slack", lease_s=30.0)], replica=one.store.cluster.me)
            assert (crew.in_flight("slack"), crew.in_flight("crm")) == (2, 0)

    asyncio.run(scenario())


def test_what_is_told_in_another_form_cuts_the_worker_off_and_no_other(tmp_path):
    async def scenario():
        async with gateway(tmp_path) as (_store, crew, another):
            one, other = await another(), await another()
            one.store.asking.tell(STANDING, b"{")
            await one.store.asking.ended
            other.say()
            await until(lambda: crew.trouble() == "")

    asyncio.run(scenario())


def test_figures_of_this_process_can_be_read_by_another():
    assert {each.name for each in sums.read(sums.taken())} >= {"gateway_events_received", "gateway_ready"}
