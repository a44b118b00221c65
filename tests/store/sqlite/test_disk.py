"""Damage, a disk that fails, and other programs that hold the file."""

import asyncio
import os
import resource
import subprocess
import sys
import time

import apsw
import pytest

from gateway.errors import CorruptEvent, StoreUnavailable
from gateway.model import Release
from gateway.store.nouns import Outcome
from gateway.store.queries import EventQuery
from gateway.store.sqlite import database, reader, writer
from gateway.store.sqlite.connection import BUSY_S
from tests.needs import needs
from tests.store.given import Looking, delivered, new_event, wants
from tests.store.sqlite.given import edit, healthy_again

# --- damage ---


def test_a_flipped_bit_in_a_body_is_found_and_the_others_are_loaded(kind, opened):
    bad, good = new_event("slack", body=b"pay 100"), new_event("slack")

    async def fill(store):
        await store.append([bad, good])

    async def look(store):
        loaded = await store.load([bad.event.id, good.event.id])
        assert isinstance(loaded[bad.event.id], CorruptEvent)
        assert bad.event.id in str(loaded[bad.event.id])
        assert loaded[good.event.id] == good.event
        assert not (await store.event(bad.event.id)).intact

    opened(fill)
    edit(kind.path, "UPDATE event SET body = ? WHERE id = ?", b"pay 900", bad.event.id)
    opened(look)


@pytest.mark.parametrize("headers", ["{", "[1]", '{"a": 1}'])
def test_damaged_headers_are_found_too(kind, opened, headers):
    new = new_event("slack")

    async def fill(store):
        await store.append([new])

    async def look(store):
        assert isinstance((await store.load([new.event.id]))[new.event.id], CorruptEvent)
        assert not (await store.event(new.event.id)).intact

    opened(fill)
    edit(kind.path, "UPDATE event SET headers = ?", headers)
    opened(look)


def test_a_damaged_text_of_a_delivery_does_not_stop_its_destination(kind, opened):
    async def fill(store):
        await store.append([new_event("slack"), new_event("slack")])

    async def look(store):
        assert len(await store.claim("a", wants("slack"))) == 2

    opened(fill)
    edit(kind.path, "UPDATE delivery SET reason = CAST(x'ff41' AS TEXT) WHERE seq = 1")
    opened(look)


# --- the disk and other programs ---


@pytest.mark.parametrize("lock", ["BEGIN IMMEDIATE", "BEGIN EXCLUSIVE"])
def test_a_call_while_another_program_has_the_file_locked_waits_its_own_time_and_no_longer(kind, opened, lock):
    async def scenario(store):
        other = apsw.Connection(str(kind.path))
        other.execute(lock)
        took = []

        async def post(after_s):
            await asyncio.sleep(after_s)
            started = time.monotonic()
            with pytest.raises(StoreUnavailable, match="locked by another program"):
                await store.append([new_event("slack")])
            took.append(time.monotonic() - started)

        # One after the other they would add up to many times that.
        await asyncio.gather(*(post(number * 0.07) for number in range(20)))
        assert min(took) >= BUSY_S
        assert sum(took) < 20 * BUSY_S * 2
        assert store.healthy
        waits = asyncio.ensure_future(store.append([new_event("slack")]))
        await asyncio.sleep(0.1)
        other.execute("ROLLBACK")
        other.close()
        await waits
        assert len((await store.events()).rows) == 1

    opened(scenario)


def test_what_is_due_is_claimed_and_loaded_while_an_append_waits(kind, opened):
    async def scenario(store):
        new = new_event("slack")
        await store.append([new])
        other = apsw.Connection(str(kind.path))
        other.execute("BEGIN IMMEDIATE")
        appending = asyncio.ensure_future(store.append([new_event("slack")]))
        [lease] = await store.claim("a", wants("slack"))
        loaded = await store.load([lease.delivery.event_id])
        assert loaded == {new.event.id: new.event}
        assert not appending.done(), "neither of them waited for it"
        other.execute("ROLLBACK")
        other.close()
        await appending

    opened(scenario)


def test_a_store_that_is_closed_while_it_is_locked_leaves_nobody_waiting(kind, opened):
    async def scenario(store):
        other = apsw.Connection(str(kind.path))
        other.execute("BEGIN IMMEDIATE")
        appending = asyncio.ensure_future(store.append([new_event("slack")]))
        await asyncio.sleep(0.05)
        await store.close()
        with pytest.raises(StoreUnavailable, match="locked by another program"):
            await appending
        other.close()

    opened(scenario)


def test_a_full_disk_refuses_and_service_resumes_by_itself(opened):
    async def scenario(store):
        kept = await store.append([new_event("slack", lease_s=30.0)])
        pages = store._database.file.db.pragma("page_count")
        store._database.file.db.pragma("max_page_count", pages)
        big = new_event("crm", body=b"x" * 200_000, lease_s=30.0)
        with pytest.raises(StoreUnavailable, match="free space"):
            await store.append([big])
        assert store.healthy
        store._database.file.db.pragma("max_page_count", 1_000_000)
        assert await store.settle([delivered(kept[0].leases[0])])
        [appended] = await store.append([big])
        assert len(appended.leases) == 1

    opened(scenario)


@pytest.fixture
def broken_disk(kind):
    """While inside, no file may grow: a write to the log fails as on a broken disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    class Broken:
        def __enter__(self):
            resource.setrlimit(resource.RLIMIT_FSIZE, ((kind.folder / "gateway.db-wal").stat().st_size, hard))

        def __exit__(self, *_):
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    yield Broken()
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_after_a_disk_error_it_refuses_until_it_was_reopened_and_checked(opened, broken_disk, monkeypatch):
    monkeypatch.setattr(writer, "RETRY_S", 0.02)

    async def scenario(store):
        [kept] = await store.append([new_event("slack", "crm", lease_s=30.0)])
        await store.append([new_event("file")])
        checked = asyncio.Event()
        reopen = store._database.reopen
        loop = asyncio.get_running_loop()

        def watched():
            if not checked.is_set():
                loop.call_soon_threadsafe(checked.set)
                raise StoreUnavailable("still broken")
            reopen()

        monkeypatch.setattr(store._database, "reopen", watched)
        with broken_disk:
            with pytest.raises(StoreUnavailable, match="writing failed"):
                await store.append([new_event("slack", body=os.urandom(300_000), lease_s=30.0)])
            assert not store.healthy
            with pytest.raises(StoreUnavailable, match="opened again and checked"):
                await store.append([new_event("slack")])
            for refused in (
                store.settle([delivered(kept.leases[0])]),
                store.claim("a", wants("file")),
                store.load(["x"]),
            ):
                with pytest.raises(StoreUnavailable):
                    await refused
            await checked.wait()
        await healthy_again(store)
        assert "file" in await store.wake()
        assert await store.claim("a", wants("slack", "crm")) == [], "the leases from before still hold"
        assert await store.settle([delivered(kept.leases[0])]) == {kept.leases[0].delivery.id}
        assert len(await store.claim("a", wants("file"))) == 1
        [again] = await store.append([new_event("slack", lease_s=30.0)])
        assert len(again.leases) == 1
        assert len((await store.events()).rows) == 3

    opened(scenario)


def test_a_claim_whose_load_fails_can_be_released_and_claimed_again_at_once(opened, monkeypatch):
    monkeypatch.setattr(writer, "RETRY_S", 0.02)

    async def scenario(store):
        await store.append([new_event("slack"), new_event("slack")])
        leases = await store.claim("a", wants("slack"))

        def broken(_row):
            raise apsw.IOError("disk I/O error")

        monkeypatch.setattr(reader, "event_of", broken)
        with pytest.raises(StoreUnavailable):
            await store.load([lease.delivery.event_id for lease in leases])
        with pytest.raises(StoreUnavailable):
            await store.settle([Outcome(lease, Release()) for lease in leases])
        await healthy_again(store)
        released = await store.settle([Outcome(lease, Release()) for lease in leases])
        assert released == {lease.delivery.id for lease in leases}
        assert "slack" in await store.wake()
        again = await store.claim("a", wants("slack"))
        assert {lease.delivery.id for lease in again} == released

    opened(scenario)


APPENDS_THROUGH_A_FAULT = """
import asyncio, sys
from gateway.errors import StoreUnavailable
from gateway.store import open_store
from gateway.store.sqlite import writer
from gateway.store.sqlite.file import File
from tests.store.given import Looking, new_event

writer.RETRY_S = 0.02
explain = File.explain

def explain_aloud(file, error):
    # Said by the store's thread: on a busy machine it has opened the file again before the loop could ask.
    said = explain(file, error)
    print("refused", "healthy" if file.healthy else "unhealthy", flush=True)
    return said

File.explain = explain_aloud

async def main():
    store = await open_store(sys.argv[1])
    refused = stored = False
    while not (refused and stored):
        new = new_event("slack")
        try:
            await store.append([new])
        except StoreUnavailable:
            refused, stored = True, False
            await asyncio.sleep(0.01)
        else:
            stored = True
            print("stored", new.event.id, flush=True)
    print("pages of the log", store._database.file.log.pages)
    print("end", "healthy" if store.healthy else "unhealthy")
    await store.close()

asyncio.run(main())
"""


@pytest.mark.parametrize(
    ("fault", "healthy"),
    [
        ("fdatasync:error=EIO:when=12", "unhealthy"),
        ("fdatasync:error=EIO:when=12..13", "unhealthy"),
        ("fdatasync:error=EIO:when=12..20", "unhealthy"),
        ("pwrite64:error=EIO:when=150..200", "unhealthy"),
        ("pwrite64:error=ENOSPC:when=150", "healthy"),
        ("pwrite64:error=ENOSPC:when=150..200", "healthy"),
    ],
)
def test_a_disk_that_fails_for_a_while_acknowledges_nothing_falsely_and_is_served_again(kind, fault, healthy):
    needs("strace")
    script = [sys.executable, "-c", APPENDS_THROUGH_A_FAULT, kind.url]
    strace = [
        "strace",
        "-f",
        "-qq",
        "-o",
        os.devnull,
        "-e",
        f"trace={fault.partition(':')[0]}",
        "-e",
        f"inject={fault}",
    ]
    run = subprocess.run([*strace, *script], capture_output=True, text=True, timeout=300)
    lines = [line.split() for line in run.stdout.splitlines()]
    assert run.returncode == 0, run.stderr
    assert ["refused", healthy] in lines, "a full disk needs no check: it is tried again with the next append"
    assert lines[-1] == ["end", "healthy"]
    assert lines[-3][0] == "stored"
    if healthy == "unhealthy":
        assert int(lines[-2][-1]) < 20, "it starts with an empty log: in the old one may be a hole"
    acknowledged = {line[1] for line in lines if line[0] == "stored"}
    assert acknowledged <= {row.id for row in Looking(kind.url).events(EventQuery(limit=1000)).rows}


def test_damage_found_while_it_runs_is_not_served(kind, opened, monkeypatch):
    monkeypatch.setattr(writer, "RETRY_S", 0.02)

    async def scenario(store):
        def damaged(*_):
            raise apsw.CorruptError("database disk image is malformed")

        monkeypatch.setattr(database, "claim", damaged)
        with pytest.raises(StoreUnavailable, match="malformed"):
            await store.claim("a", wants("slack"))
        await healthy_again(store)
        await store.append([new_event()])

    opened(scenario)
