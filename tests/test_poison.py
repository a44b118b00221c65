"""A delivery that the process dies over."""

import asyncio
import fcntl
import stat
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gateway.errors import StoreError, StoreUnavailable
from gateway.model import DeliveryState
from gateway.poison import CrashSlot, blame
from gateway.store.queries import DeliveryQuery
from tests.sink import Sink
from tests.store.given import Clock, SQLiteKind, new_event
from tests.store.sqlite.given import edit
from tests.world import World, alerts, story, with_alerts


@story
async def test_a_delivery_that_the_process_died_over_three_times_is_dead_and_told_of(tmp_path):
    with Sink() as sink:
        async with World(tmp_path, with_alerts(sink)) as world:
            await world.dispatcher.holds.pause("crm", by="test", reason="first the crashes")
            event_id = (await world.receive()).event_id
            id_ = (await world.delivery(event_id)).id
        for _ in range(3):
            async with World(tmp_path, with_alerts(sink)) as world:
                with world.gateway.crash_slot.working_on(id_):
                    left = (tmp_path / "gateway.db.now").read_bytes()
            (tmp_path / "gateway.db.now").write_bytes(left)
        async with World(tmp_path, with_alerts(sink)) as world:
            await world.dispatcher.holds.resume("crm", by="test")
            await world.turn()
            history = await world.store.event(event_id)
    assert [each.state for each in history.deliveries] == [DeliveryState.DEAD, DeliveryState.DELIVERED]
    assert "the gateway's process died 3 times while it worked on this delivery" in history.deliveries[0].reason
    assert not [request for request in sink.requests if request.path == "/crm"]
    [text] = alerts(sink)
    assert "died 3 times" in text


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def kind(tmp_path):
    folder = tmp_path / "store"
    folder.mkdir()
    return SQLiteKind(folder)


@asynccontextmanager
async def opened(kind, clock):
    """The store with its crash slot beside it, and the delivery that the last process died over."""
    store = await kind.open(clock)
    slot = CrashSlot(f"{kind.path}.now")
    try:
        yield store, slot, await blame(slot, store)
    finally:
        slot.close()
        await store.close()


def test_every_death_of_the_process_is_counted_against_the_delivery_it_worked_on(kind, clock):
    async def scenario(life, id_):
        async with opened(kind_of[life], clock) as (store, slot, blamed):
            if id_ is None:
                new = new_event("slack")
                id_ = new.deliveries[0].id
                await store.append([new, new_event("slack")])
            [row] = [row for row in (await store.events()).rows if row.deliveries[0].id == id_]
            with slot.working_on(id_):
                kind_of[life + 1] = kind_of[life].after_kill(life)
            assert blamed == (row.deliveries[0] if life else None)
            return id_, row.deliveries[0]

    kind_of, id_, seen = {0: kind}, None, []
    for life in range(4):
        id_, delivery = asyncio.run(scenario(life, id_))
        seen.append((delivery.state, delivery.crashes))
    pending = DeliveryState.PENDING
    assert seen == [(pending, 0), (pending, 1), (pending, 2), (pending, 3)]

    async def all_crashes():
        async with opened(kind_of[3], clock) as (store, _slot, _):
            return sorted(each.crashes for each in (await store.deliveries(DeliveryQuery(state=pending))).rows)

    assert asyncio.run(all_crashes()) == [0, 3], "its neighbour is not blamed"


def test_work_that_ended_is_not_held_against_a_delivery(kind, clock):
    async def scenario():
        async with opened(kind, clock) as (store, slot, _):
            new = new_event("slack")
            await store.append([new])
            with pytest.raises(ZeroDivisionError), slot.working_on(new.deliveries[0].id):
                raise ZeroDivisionError
            after = kind.after_kill(1)
        async with opened(after, clock) as (store, _slot, blamed):
            [row] = (await store.events()).rows
            assert blamed is None
            return row.deliveries[0].crashes

    assert asyncio.run(scenario()) == 0


def test_a_death_is_counted_once_and_again_if_the_store_refused(kind, clock):
    async def scenario():
        async with opened(kind, clock) as (store, slot, _):
            new = new_event("slack")
            await store.append([new])
            slot.working_on(new.deliveries[0].id).__enter__()
            await store.close()
            with pytest.raises(StoreUnavailable):
                await blame(slot, store)
            assert slot.found() == new.deliveries[0].id
        async with opened(kind, clock) as (store, slot, blamed):
            assert blamed.crashes == 1
            assert await blame(slot, store) is None

    asyncio.run(scenario())


def test_a_damaged_text_of_the_delivery_it_died_over_does_not_stop_the_start(kind, clock):
    async def scenario():
        async with opened(kind, clock) as (store, slot, _):
            new = new_event("slack")
            await store.append([new])
            with slot.working_on(new.deliveries[0].id):
                after = kind.after_kill(1)
        edit(after.path, "UPDATE delivery SET reason = CAST(x'ff41' AS TEXT)")
        async with opened(after, clock) as (_store, _slot, blamed):
            return new.deliveries[0].id, blamed

    id_, blamed = asyncio.run(scenario())
    assert (blamed.id, blamed.reason) == (id_, "\ufffdA")


def test_garbage_in_the_slot_blames_nobody(kind, clock):
    Path(f"{kind.path}.now").write_bytes(b"\xff\xfe garbage" * 30)

    async def scenario():
        async with opened(kind, clock) as (_store, slot, blamed):
            return blamed, slot.found()

    assert asyncio.run(scenario()) == (None, "")


def test_the_slot_is_for_its_owner_alone_and_one_that_cannot_be_opened_is_named(tmp_path):
    CrashSlot(str(tmp_path / "gateway.db.now")).close()
    assert stat.S_IMODE((tmp_path / "gateway.db.now").stat().st_mode) == 0o600
    with pytest.raises(StoreError, match=r"none/gateway.db.now cannot be opened \(No such file"):
        CrashSlot(str(tmp_path / "none" / "gateway.db.now"))


def test_replicas_in_one_folder_have_a_slot_each_and_the_next_one_finds_what_a_dead_one_left(tmp_path):
    one, other = CrashSlot.among(tmp_path), CrashSlot.among(tmp_path)
    one.close()
    (tmp_path / "gateway-1.now").write_bytes(b"dlv_1".ljust(128, b"\0"))
    third = CrashSlot.among(tmp_path)
    assert (third.found(), other.found()) == ("dlv_1", "")
    assert sorted(each.name for each in tmp_path.iterdir()) == ["gateway-1.now", "gateway-2.now"]
    for slot in (other, third):
        slot.close()


def test_a_slot_in_a_folder_is_removed_at_the_end_unless_it_names_a_delivery(tmp_path):
    slot = CrashSlot.among(tmp_path)
    slot.working_on("dlv_1").__enter__()
    slot.close()
    slot = CrashSlot.among(tmp_path)
    assert slot.found() == "dlv_1"
    slot.clear()
    slot.close()
    assert not [*tmp_path.iterdir()]


def test_what_a_dead_replica_has_left_is_found_before_a_new_slot_is_made_and_no_other_file_is_touched(tmp_path):
    for name in ("gateway-7.now", "gateway-1.db.now", "gateway-x.now"):
        (tmp_path / name).write_bytes(b"dlv_1".ljust(128, b"\0"))
    left, new = CrashSlot.among(tmp_path), CrashSlot.among(tmp_path)
    assert (left.found(), new.found()) == ("dlv_1", "")
    left.clear()
    for slot in (left, new):
        slot.close()
    assert sorted(each.name for each in tmp_path.iterdir()) == ["gateway-1.db.now", "gateway-x.now"]


def test_a_slot_that_its_owner_removes_while_another_process_opens_it_is_not_taken(tmp_path, monkeypatch):
    one = CrashSlot.among(tmp_path)
    lock = fcntl.flock

    def removed_just_before(descriptor, operation):
        one.close()
        lock(descriptor, operation)

    with monkeypatch.context() as patched:
        patched.setattr("gateway.poison.fcntl.flock", removed_just_before)
        with pytest.raises(BlockingIOError, match="was removed"):
            CrashSlot(str(tmp_path / "gateway-1.now"))
    other = CrashSlot.among(tmp_path)
    assert [each.name for each in tmp_path.iterdir()] == ["gateway-1.now"]
    other.close()


def test_without_a_file_it_is_forgotten_with_the_process():
    slot = CrashSlot()
    with slot.working_on("dlv_1"):
        assert slot.found() == "dlv_1"
    assert slot.found() == ""
    slot.close()
