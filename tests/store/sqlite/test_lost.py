"""Files that are taken away while they are in use: nothing is answered that the next start would not find."""

import asyncio
import shutil

import apsw
import pytest

from gateway.errors import StoreUnavailable
from gateway.store.sqlite import writer
from tests.store.given import SQLiteKind, new_event
from tests.store.sqlite.given import healthy_again

FILES = ["gateway.db", "gateway.db-wal"]
HARMS = ["removed", "renamed", "replaced"]


def harm(path, how):
    if how == "removed":
        path.unlink()
    else:
        path.rename(path.with_name("elsewhere"))
    if how == "replaced":
        shutil.copy(path.with_name("elsewhere"), path)


@pytest.fixture
def patient(monkeypatch):
    """The disk is looked at only when something is written."""
    monkeypatch.setattr(writer, "RETRY_S", 3600.0)


@pytest.fixture
def curious(monkeypatch):
    monkeypatch.setattr(writer, "RETRY_S", 0.02)


@pytest.mark.parametrize("how", HARMS)
@pytest.mark.parametrize("name", FILES)
@pytest.mark.usefixtures("patient")
def test_an_append_is_refused_with_the_name_of_the_file(kind, opened, name, how):
    async def scenario(store):
        await store.append([new_event("slack")])
        harm(kind.folder / name, how)
        for _ in range(2):
            with pytest.raises(StoreUnavailable, match=f"{name} was removed"):
                await store.append([new_event("slack")])
        assert f"{name} was removed" in store.trouble
        assert not store.healthy

    opened(scenario)


@pytest.mark.parametrize("how", HARMS)
@pytest.mark.parametrize("name", FILES)
@pytest.mark.usefixtures("patient")
def test_a_loss_between_the_start_of_a_transaction_and_its_answer_counts_too(kind, opened, monkeypatch, name, how):
    async def scenario(store):
        await store.append([new_event("slack")])
        carry_out = store._database._carry_out

        def and_then_lost(calls, change):
            carry_out(calls, change)
            harm(kind.folder / name, how)

        monkeypatch.setattr(store._database, "_carry_out", and_then_lost)
        with pytest.raises(StoreUnavailable, match=f"{name} was removed"):
            await store.append([new_event("slack")])

    opened(scenario)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.usefixtures("curious")
def test_it_is_noticed_without_anything_to_write_and_ends_when_the_file_is_back(kind, opened, name):
    async def scenario(store):
        await store.append([new_event("slack")])
        (kind.folder / name).rename(kind.folder / "elsewhere")
        while store.healthy:
            await asyncio.sleep(0.01)
        assert name in store.trouble
        (kind.folder / "elsewhere").rename(kind.folder / name)
        await healthy_again(store)
        assert store.trouble == ""
        await store.append([new_event("slack")])
        assert len((await store.events()).rows) == 2

    opened(scenario)


@pytest.mark.parametrize("is_read", [False, True], ids=["nobody reads", "somebody reads meanwhile"])
@pytest.mark.usefixtures("curious")
def test_what_was_answered_before_the_log_was_lost_is_found_after_a_kill(kind, clock, is_read):
    async def scenario():
        store = await kind.open(clock)
        reader = apsw.Connection(str(kind.path), flags=apsw.SQLITE_OPEN_READONLY)
        news = [new_event("slack") for _ in range(20)]
        for new in news[:10]:
            await store.append([new])
        if is_read:
            reader.execute("BEGIN; SELECT count(*) FROM event")
        for new in news[10:]:
            await store.append([new])
        (kind.folder / "gateway.db-wal").unlink()
        if is_read:
            while "gateway.db-wal" not in store.trouble:
                await asyncio.sleep(0.01)
            reader.close()
        while "has been copied into" not in store.trouble:
            await asyncio.sleep(0.01)
        left = kind.after_kill(0)
        await store.close()
        reader.close()
        found = await SQLiteKind(left.folder).open(clock)
        try:
            assert len(await found.load([new.event.id for new in news])) == 20
        finally:
            await found.close()

    asyncio.run(scenario())
