"""Outcomes that share a call, and those that wait for one."""

import asyncio

from gateway import telemetry
from gateway.dispatcher import settling
from gateway.dispatcher.settling import Ended, Settling
from gateway.errors import StoreError, StoreUnavailable
from gateway.model import Delivered, Delivery
from gateway.store.nouns import Lease, Outcome
from tests.world import story


def ended(number: int) -> Ended:
    delivery = Delivery(id=f"dlv_{number}", event_id="evt_1", route="all", destination="crm")
    return Ended(outcome=Outcome(Lease(delivery, "main", number, 30.0), Delivered()), word="2xx")


def ids(outcomes) -> list[str]:
    return [outcome.lease.delivery.id for outcome in outcomes]


class Recording:
    """A store that remembers what it was given, and refuses what it is told to."""

    def __init__(self) -> None:
        self.calls: list[list[str]] = []
        self.bad = ""
        self.refusals = 0

    def settle(self, outcomes) -> "asyncio.Future[frozenset[str]]":
        return asyncio.ensure_future(self._settle(outcomes))

    async def _settle(self, outcomes) -> frozenset[str]:
        self.calls.append(ids(outcomes))
        if self.refusals:
            self.refusals -= 1
            raise StoreUnavailable("full")
        if self.bad in ids(outcomes):
            raise StoreError("cannot hold it")
        return frozenset(ids(outcomes)) - {"dlv_lost"}


def settling_to(store, done):
    return Settling(store, lambda each, is_recorded: done.append((each.outcome.lease.delivery.id, is_recorded)))


async def everything(settling: Settling) -> None:
    while settling.unrecorded:
        settling.record()
        await asyncio.wait(settling.batches)


@story
async def test_outcomes_of_one_turn_are_one_call(tmp_path):
    store, done = Recording(), []
    settles = settling_to(store, done)
    for number in range(3):
        settles.add(ended(number), soon=True)
    await everything(settles)
    assert store.calls == [["dlv_0", "dlv_1", "dlv_2"]]
    assert done == [("dlv_0", True), ("dlv_1", True), ("dlv_2", True)]


@story
async def test_an_outcome_that_nothing_waits_for_goes_with_the_next_one_or_when_it_is_asked_for(tmp_path, monkeypatch):
    monkeypatch.setattr(settling, "PATIENCE_S", 3600.0)
    store, done = Recording(), []
    settles = settling_to(store, done)
    settles.add(ended(1), soon=False)
    settles.add(ended(2), soon=False)
    for _ in range(5):
        await asyncio.sleep(0)
    assert not store.calls
    settles.add(ended(3), soon=True)
    await everything(settles)
    settles.add(ended(4), soon=False)
    settles.record()
    await everything(settles)
    assert store.calls == [["dlv_1", "dlv_2", "dlv_3"], ["dlv_4"]]


@story
async def test_its_patience_has_an_end(tmp_path, monkeypatch):
    monkeypatch.setattr(settling, "PATIENCE_S", 0.001)
    store, done = Recording(), []
    settling_to(store, done).add(ended(1), soon=False)
    while not done:
        await asyncio.sleep(0.001)
    assert store.calls == [["dlv_1"]]


@story
async def test_one_that_cannot_be_stored_takes_no_other_with_it(tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(telemetry, "log", lambda name, **fields: said.append((name, fields["delivery_id"])))
    store, done = Recording(), []
    store.bad = "dlv_1"
    settles = settling_to(store, done)
    for number in range(3):
        settles.add(ended(number), soon=True)
    await everything(settles)
    assert done == [("dlv_0", True), ("dlv_1", False), ("dlv_2", True)]
    assert said == [("internal.error", "dlv_1")]
    assert settles.recording.is_set()


@story
async def test_a_store_that_refuses_is_asked_again_and_meanwhile_nothing_is_recorded(tmp_path, monkeypatch):
    monkeypatch.setattr(settling, "STORE_PAUSE_S", 0.001)
    store, done = Recording(), []
    store.refusals = 3
    settles = settling_to(store, done)
    settles.add(ended(1), soon=True)
    while settles.recording.is_set():
        await asyncio.sleep(0)
    assert store.calls == [["dlv_1"]]
    await everything(settles)
    assert settles.recording.is_set()
    assert store.calls == [["dlv_1"]] * 4
    assert done == [("dlv_1", True)]


@story
async def test_each_outcome_is_on_its_way_once_whatever_the_store_refuses(tmp_path, monkeypatch):
    """What is given up at the end is named once, and what is recorded by then is not."""
    monkeypatch.setattr(settling, "STORE_PAUSE_S", 0.001)
    store, done = Recording(), []
    store.bad, store.refusals = "dlv_1", 3
    settles = settling_to(store, done)
    for number in range(3):
        settles.add(ended(number), soon=True)
    while settles.unrecorded:
        left = ids(each.outcome for each in settles.unrecorded)
        assert sorted([*left, *(id_ for id_, _ in done)]) == ["dlv_0", "dlv_1", "dlv_2"]
        await asyncio.sleep(0)
    assert [is_recorded for _, is_recorded in sorted(done)] == [True, False, True]


@story
async def test_a_defect_after_an_outcome_is_recorded_does_not_keep_the_next_ones_from_being_claimed(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(settling, "STORE_PAUSE_S", 0.001)
    said = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: said.append(type(context["exception"])))
    store = Recording()
    store.refusals = 1
    settles = Settling(store, lambda *_: 1 / 0)
    settles.add(ended(1), soon=True)
    await everything(settles)
    assert said == [ZeroDivisionError]
    assert settles.recording.is_set()
