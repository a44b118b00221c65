"""What only the store in a SQLite file promises: about the file, its owner, its thread and the disk."""

import asyncio
import os
import resource
import shutil
import stat
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import apsw
import pytest

from gateway.errors import CorruptEvent, StoreCorrupt, StoreError, StoreLocked, StoreTooNew, StoreUnavailable
from gateway.model import Dead, DeliveryState, Release, Retry
from gateway.operate.search import Search
from gateway.operate.search import events as search
from gateway.store import open_reads, open_store
from gateway.store.nouns import DeliveryQuery, EventQuery, Outcome, Pause, Retention, Want
from gateway.store.sqlite import connection, database, lock, tables, upkeep
from gateway.store.sqlite import owner as sqlite
from tests.needs import needs
from tests.store.given import Clock, Looking, SQLiteKind, attempt, delivered, new_event, wants

#: Made by the release that wrote format 1: four events, one delivery dead, two pending.
FIRST_FORMAT = Path(__file__).parent / "fixtures" / "version-1.db"
#: Made by the code that wrote format 2: four events, one delivery dead, one delivered, six pending, one paused destination.
SECOND_FORMAT = Path(__file__).parent / "fixtures" / "version-2.db"


@pytest.fixture
def kind(tmp_path):
    folder = tmp_path / "store"
    folder.mkdir()
    return SQLiteKind(folder)


@pytest.fixture
def opened(kind, clock):
    """Run a scenario on the store of this file, which may be there already, and close it."""

    def run_on_store(scenario, at=clock):
        async def whole():
            store = await kind.open(at)
            try:
                return await scenario(store)
            finally:
                await store.close()

        return asyncio.run(whole())

    return run_on_store


async def nothing(_store):
    pass


def edit(path, statement, *values):
    """Change the file behind the store's back."""
    connection = apsw.Connection(str(path))
    found = connection.execute(statement, values).fetchall()
    connection.close()
    return found


# --- opening ---


@pytest.mark.parametrize("url", ["gateway.db", "sqlite://gateway.db", "sqlite:///", "postgres://db/gateway", ""])
def test_a_url_of_no_known_form_is_refused_with_the_forms(url):
    with pytest.raises(StoreError, match=r"sqlite:///relative.db or sqlite:////absolute.db"):
        asyncio.run(open_store(url))
    with pytest.raises(StoreError, match=r"sqlite:///relative.db"):
        Looking(url).stats()


def test_a_relative_file_is_one_in_the_working_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    async def scenario():
        store = await open_store("sqlite:///here.db")
        assert store.name == "sqlite"
        await store.close()

    asyncio.run(scenario())
    assert (tmp_path / "here.db").exists()


@pytest.mark.parametrize("folder", ["missing", "a-file"])
def test_a_folder_that_is_not_there_is_named_with_the_remedy(tmp_path, folder):
    (tmp_path / "a-file").write_text("")
    with pytest.raises(StoreError, match=f"{folder}: the store's folder does not exist; make it"):
        asyncio.run(open_store(f"sqlite:///{tmp_path}/{folder}/gateway.db"))


def test_a_folder_that_cannot_be_written_to_is_named_with_the_remedy(tmp_path, monkeypatch):
    # Root, who runs many a test, may write anywhere.
    def denied(path, *_):
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(lock.os, "open", denied)
    with pytest.raises(StoreError, match="Permission denied; the store needs a folder that this user may write to"):
        asyncio.run(open_store(f"sqlite:///{tmp_path}/gateway.db"))


def test_a_name_that_is_a_folder_is_refused(tmp_path):
    (tmp_path / "gateway.db").mkdir()
    with pytest.raises(StoreError, match=r"gateway.db cannot be opened \(unable to open database file\)"):
        asyncio.run(open_store(f"sqlite:///{tmp_path}/gateway.db"))


def test_a_second_owner_is_refused_and_told_who_the_first_is(kind, clock):
    async def scenario():
        store = await kind.open(clock)
        said = rf"gateway.db is in use by pid {os.getpid()}, started \d{{4}}-\d\d-\d\dT[\d:]+\+00:00"
        with pytest.raises(StoreLocked, match=said):
            await kind.open(clock)
        await store.append([new_event()])
        await store.close()
        await (await kind.open(clock)).close()

    asyncio.run(scenario())


@pytest.mark.parametrize("linked", ["file", "folder"])
def test_a_second_owner_is_refused_through_a_symlink_too(kind, clock, tmp_path, linked):
    link = tmp_path / "link"
    link.symlink_to(kind.path if linked == "file" else kind.folder)
    url = f"sqlite:///{link}" if linked == "file" else f"sqlite:///{link}/gateway.db"

    async def scenario():
        for first, second in ((url, kind.url), (kind.url, url)):
            store = await open_store(first)
            with pytest.raises(StoreLocked):
                await open_store(second)
            await store.close()

    asyncio.run(scenario())
    assert len(Looking(url).events().rows) == 0


def test_nobody_else_may_read_any_of_its_files(kind, opened):
    async def scenario(store):
        await store.append([new_event("slack")])
        return {path.name: stat.S_IMODE(path.stat().st_mode) for path in kind.folder.iterdir()}

    before = os.umask(0)
    try:
        modes = opened(scenario)
    finally:
        os.umask(before)
    assert set(modes) == {"gateway.db", "gateway.db-wal", "gateway.db-shm", "gateway.db.lock", "gateway.db.now"}
    assert set(modes.values()) == {0o600}


def test_a_commit_is_fsynced_and_makes_no_temporary_file(opened):
    async def scenario(store):
        pragma = store._database._db.pragma
        return pragma("journal_mode"), pragma("synchronous"), pragma("temp_store"), pragma("journal_size_limit")

    full, memory = 2, 2
    assert opened(scenario) == ("wal", full, memory, 64 * 1024 * 1024)


def test_a_file_of_the_first_format_is_brought_to_this_one_with_all_that_it_holds(kind, opened):
    shutil.copy(FIRST_FORMAT, kind.path)
    with pytest.raises(StoreError, match="has format 1, written by an older release: start the gateway once"):
        Looking(kind.url).events()

    async def scenario(store):
        await store.pause(Pause(destination="crm", by="ann", reason="their migration", since=1.0))
        rows = (await store.events()).rows
        dead = (await store.deliveries(DeliveryQuery(state=DeliveryState.DEAD))).rows
        return len(rows), [each.id for each in dead], await store.pauses()

    events, dead, pauses = opened(scenario)
    assert (events, dead) == (4, ["dlv_000001_1"])
    assert [pause.destination for pause in pauses] == ["crm"]


def test_a_file_of_the_second_format_has_its_numbers_and_groups_at_once_and_its_words_soon(kind, opened):
    shutil.copy(SECOND_FORMAT, kind.path)

    async def scenario(store):
        stats = await store.stats()
        query = EventQuery(words=("14155550003",))
        found_unindexed = await search(store, Search(query=query, matches=lambda event: b'"id": 3' in event.body))
        while await store.index():
            pass
        found = await store.events(EventQuery(words=("14155550003",)))
        return stats, found_unindexed.rows, found.rows, await store.pauses()

    stats, found_unindexed, found, [pause] = opened(scenario)
    assert [(group.destination, group.cause, group.count) for group in stats.dead] == [("crm", "answered 422", 1)]
    assert {name: (d.pending, d.dead, d.delivered) for name, d in stats.destinations.items()} == {
        "crm": (2, 1, 1),
        "slack": (4, 0, 0),
    }
    assert len(found) == 1
    assert found == found_unindexed
    assert (pause.destination, pause.is_mute) == ("slack", False)


def test_a_migration_that_breaks_off_leaves_the_file_in_its_own_format(kind, opened, monkeypatch):
    shutil.copy(FIRST_FORMAT, kind.path)
    monkeypatch.setattr(
        tables,
        "MIGRATIONS",
        {**tables.MIGRATIONS, 1: "CREATE TABLE half (a); PRAGMA user_version = 2; SELECT no_such();"},
    )
    with pytest.raises(StoreError):
        opened(nothing)
    monkeypatch.undo()
    assert edit(kind.path, "PRAGMA user_version") == [(1,)]
    assert opened(nothing) is None


def test_a_pause_is_kept_until_it_is_resumed_and_a_later_one_takes_its_place(opened):
    async def scenario(store):
        first = Pause(destination="crm", by="ann", reason="a", since=1.0)
        second = Pause(destination="crm", by="bob", reason="b", since=2.0, until=9.0)
        await store.pause(first)
        await store.pause(second)
        return second, await store.pauses()

    second, found = opened(scenario)
    assert list(found) == [second]
    assert opened(lambda store: store.resume("crm"))
    assert not opened(lambda store: store.resume("crm"))
    assert list(opened(lambda store: store.pauses())) == []


def test_a_file_of_a_newer_release_is_refused_and_left_as_it_is(kind, opened):
    opened(nothing)
    edit(kind.path, "PRAGMA user_version = 99")
    before = kind.path.read_bytes()
    with pytest.raises(StoreTooNew, match="format 99, written by a newer release"):
        opened(nothing)
    with pytest.raises(StoreTooNew):
        Looking(kind.url).events()
    assert kind.path.read_bytes() == before


def test_a_database_of_another_program_is_refused_and_left_as_it_is(kind, opened):
    edit(kind.path, "CREATE TABLE theirs (a)")
    before = kind.path.read_bytes()
    with pytest.raises(StoreError, match="another program"):
        opened(nothing)
    assert kind.path.read_bytes() == before


def overwrite(path, offset, data):
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(data)


def test_a_file_that_is_not_sqlite_is_refused_and_left_as_it_is(kind, opened):
    kind.path.write_bytes(b"my notes\n" * 1000)
    with pytest.raises(StoreCorrupt, match=r"gateway.db is damaged .*it was left as it is"):
        opened(nothing)
    assert kind.path.read_bytes() == b"my notes\n" * 1000


def test_a_damaged_header_is_refused(kind, opened):
    opened(nothing)
    overwrite(kind.path, 0, b"SQLite format 9")
    with pytest.raises(StoreCorrupt, match="damaged"):
        opened(nothing)
    with pytest.raises(StoreCorrupt):
        Looking(kind.url).events()


def test_damage_found_after_an_unclean_end_is_refused_with_one_line(kind, opened):
    async def fill(store):
        await store.append([new_event("slack", body=b"x" * 2000) for _ in range(50)])

    opened(fill)
    size = kind.path.stat().st_size
    overwrite(kind.path, size // 2 // 4096 * 4096, b"\xff" * 4096)
    (kind.folder / "gateway.db.lock").write_text("pid 1, started long ago\n")
    before = kind.path.read_bytes()
    with pytest.raises(StoreCorrupt, match="restore a backup") as raised:
        opened(nothing)
    assert "\n" not in str(raised.value)
    assert kind.path.read_bytes() == before


def test_the_check_after_an_unclean_end_is_bounded(kind, opened, monkeypatch):
    async def fill(store):
        await store.append([new_event("slack", body=b"x" * 2000) for _ in range(200)])

    opened(fill)
    (kind.folder / "gateway.db.lock").write_text("pid 1, started long ago\n")
    monkeypatch.setattr(connection, "CHECK_S", -1.0)
    opened(nothing)


def test_a_clean_end_leaves_one_file_to_copy(kind, opened):
    async def scenario(store):
        await store.append([new_event("slack")])

    opened(scenario)
    copy = kind.folder / "copy.db"
    shutil.copy(kind.path, copy)
    assert len(Looking(f"sqlite:///{copy}").events().rows) == 1


# --- the clock ---


def test_the_clock_never_goes_back_when_the_wall_clock_does(opened):
    async def retry_later(store):
        [appended] = await store.append([new_event("slack", lease_s=30.0)])
        await store.settle([Outcome(appended.leases[0], Retry("no", after_s=60.0), None)])

    async def look(store):
        [row] = (await store.events()).rows
        return row.deliveries[0].due_in_s

    opened(retry_later)
    before = Clock(wall=1_800_000_000.0 - 86400.0)
    assert opened(look, at=before) == pytest.approx(60.0)
    assert opened(look, at=Clock(wall=1_800_000_000.0 + 20.0)) == pytest.approx(40.0)


@pytest.mark.parametrize("last", ["append", "attempt", "release", "prune"])
def test_the_clock_goes_on_from_whatever_was_stored_last(opened, clock, last):
    async def first_life(store):
        [appended] = await store.append([new_event("slack", lease_s=9e9)])
        [lease] = appended.leases
        clock.move(100 * 86400.0)
        if last == "append":
            await store.append([new_event()])
        elif last == "release":
            await store.settle([Outcome(lease, Release())])
        else:
            await store.settle([delivered(lease)])
        if last == "prune":
            clock.move(100 * 86400.0)
            while await store.prune(Retention()):
                pass
            assert (await store.events()).rows == ()
        return store._database.now()

    async def second_life(store):
        return store._database.now()

    stored = opened(first_life)
    assert opened(second_life, at=Clock(wall=1.0)) == pytest.approx(stored)


def test_a_jump_of_the_wall_clock_is_not_seen_while_it_runs(opened, clock):
    async def scenario(store):
        [appended] = await store.append([new_event("slack", lease_s=30.0, window_s=3600.0, key=b"k")])
        await store.settle([Outcome(appended.leases[0], Retry("no", after_s=60.0), None)])
        clock.wall_s += 86400.0
        assert await store.claim(wants("slack")) == []
        assert (await store.append([new_event(key=b"k")]))[0].duplicate
        clock.wall_s -= 3 * 86400.0
        clock.monotonic_s += 60.0
        assert len(await store.claim(wants("slack"))) == 1

    opened(scenario)


# --- poison ---


def test_every_death_of_the_process_is_counted_against_the_delivery_it_worked_on(kind, clock):
    async def scenario(life, id_):
        store = await kind_of[life].open(clock)
        if id_ is None:
            new = new_event("slack")
            id_ = new.deliveries[0].id
            await store.append([new, new_event("slack")])
        [row] = [row for row in (await store.events()).rows if row.deliveries[0].id == id_]
        with store.working_on(id_):
            kind_of[life + 1] = kind_of[life].after_kill(life)
        await store.close()
        assert store.poisoned == (row.deliveries[0] if life else None)
        return id_, row.deliveries[0]

    kind_of, id_, seen = {0: kind}, None, []
    for life in range(4):
        id_, delivery = asyncio.run(scenario(life, id_))
        seen.append((delivery.state, delivery.crashes))
    pending = DeliveryState.PENDING
    assert seen == [(pending, 0), (pending, 1), (pending, 2), (pending, 3)]
    reader = Looking(kind_of[3].url)
    assert sorted(each.crashes for each in reader.deliveries(DeliveryQuery(state=pending)).rows) == [0, 3], (
        "its neighbour is not blamed"
    )


def test_work_that_ended_is_not_held_against_a_delivery(kind, clock):
    async def scenario():
        store = await kind.open(clock)
        new = new_event("slack")
        await store.append([new])
        with pytest.raises(ZeroDivisionError), store.working_on(new.deliveries[0].id):
            raise ZeroDivisionError
        after = kind.after_kill(1)
        await store.close()
        store = await after.open(clock)
        [row] = (await store.events()).rows
        await store.close()
        assert store.poisoned is None
        return row.deliveries[0].crashes

    assert asyncio.run(scenario()) == 0


def test_a_damaged_text_of_the_delivery_it_died_over_does_not_stop_the_start(kind, clock):
    async def scenario():
        store = await kind.open(clock)
        new = new_event("slack")
        await store.append([new])
        with store.working_on(new.deliveries[0].id):
            after = kind.after_kill(1)
        await store.close()
        edit(after.path, "UPDATE delivery SET reason = CAST(x'ff41' AS TEXT)")
        store = await after.open(clock)
        await store.close()
        return new.deliveries[0].id, store.poisoned

    id_, poisoned = asyncio.run(scenario())
    assert (poisoned.id, poisoned.reason) == (id_, "\ufffdA")


def test_garbage_in_the_poison_file_blames_nobody(kind, opened):
    (kind.folder / "gateway.db.now").write_bytes(b"\xff\xfe garbage" * 30)

    async def scenario(store):
        assert store.poisoned is None

    opened(scenario)


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
        assert len(await store.claim(wants("slack"))) == 2

    opened(fill)
    edit(kind.path, "UPDATE delivery SET reason = CAST(x'ff41' AS TEXT) WHERE seq = 1")
    opened(look)


# --- the disk and other programs ---


def test_a_file_locked_by_another_program_is_waited_for_a_second_and_then_refused(kind, opened):
    async def scenario(store):
        other = apsw.Connection(str(kind.path))
        other.execute("BEGIN IMMEDIATE")
        started, told = time.monotonic(), []
        results = await asyncio.gather(
            *(store.append([new_event("slack")], told.append) for _ in range(3)), return_exceptions=True
        )
        assert 0.9 < time.monotonic() - started < 10.0
        assert all(isinstance(result, StoreUnavailable) for result in results)
        assert "locked by another program" in str(results[0])
        assert told == [None] * 3
        assert store.healthy
        other.execute("ROLLBACK")
        other.close()
        await store.append([new_event("slack")])
        assert len((await store.events()).rows) == 1

    opened(scenario)


def test_a_full_disk_refuses_and_service_resumes_by_itself(opened):
    async def scenario(store):
        kept = await store.append([new_event("slack", lease_s=30.0)])
        pages = store._database._db.pragma("page_count")
        store._database._db.pragma("max_page_count", pages)
        big = new_event("crm", body=b"x" * 200_000, lease_s=30.0)
        with pytest.raises(StoreUnavailable, match="free space"):
            await store.append([big])
        assert store.healthy
        store._database._db.pragma("max_page_count", 1_000_000)
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


async def healthy_again(store):
    while not store.healthy:
        await asyncio.sleep(0.01)


def test_after_a_disk_error_it_refuses_until_it_was_reopened_and_checked(opened, broken_disk, monkeypatch):
    monkeypatch.setattr(sqlite, "RETRY_S", 0.02)

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
        told = []
        with broken_disk:
            with pytest.raises(StoreUnavailable, match="the disk refuses"):
                await store.append([new_event("slack", body=os.urandom(300_000), lease_s=30.0)], told.append)
            assert not store.healthy
            with pytest.raises(StoreUnavailable, match="reopened and checked"):
                await store.append([new_event("slack")], told.append)
            for refused in (
                store.settle([delivered(kept.leases[0])]),
                store.claim(wants("file")),
                store.load(["x"]),
            ):
                with pytest.raises(StoreUnavailable):
                    await refused
            assert told == [None, None]
            await checked.wait()
        await healthy_again(store)
        await store.wait(30.0)
        assert "file" in store.maybe_due()
        assert await store.claim(wants("slack", "crm")) == [], "the leases from before still hold"
        assert await store.settle([delivered(kept.leases[0])]) == {kept.leases[0].delivery.id}
        assert len(await store.claim(wants("file"))) == 1
        [again] = await store.append([new_event("slack", lease_s=30.0)])
        assert len(again.leases) == 1
        assert len((await store.events()).rows) == 3

    opened(scenario)


def test_a_claim_whose_load_fails_can_be_released_and_claimed_again_at_once(opened, monkeypatch):
    monkeypatch.setattr(sqlite, "RETRY_S", 0.02)

    async def scenario(store):
        await store.append([new_event("slack"), new_event("slack")])
        leases = await store.claim(wants("slack"))

        def broken(_ids):
            raise apsw.IOError("disk I/O error")

        monkeypatch.setattr(store._database, "_load", broken)
        with pytest.raises(StoreUnavailable):
            await store.load([lease.delivery.event_id for lease in leases])
        with pytest.raises(StoreUnavailable):
            await store.settle([Outcome(lease, Release()) for lease in leases])
        await healthy_again(store)
        released = await store.settle([Outcome(lease, Release()) for lease in leases])
        assert released == {lease.delivery.id for lease in leases}
        assert store.is_due("slack")
        again = await store.claim(wants("slack"))
        assert {lease.delivery.id for lease in again} == released

    opened(scenario)


APPENDS_THROUGH_A_FAULT = """
import asyncio, sys
from gateway.errors import StoreUnavailable
from gateway.store import open_store, sqlite
from tests.needs import needs
from tests.store.given import new_event

sqlite.RETRY_S = 0.02

async def main():
    store = await open_store(sys.argv[1])
    refused = False
    for _ in range(1000):
        new = new_event("slack")
        try:
            await store.append([new])
        except StoreUnavailable:
            refused = True
            print("refused", "healthy" if store.healthy else "unhealthy", flush=True)
            await asyncio.sleep(0.01)
        else:
            print("stored", new.event.id, flush=True)
            if refused:
                break
    print("pages of the log", store._database._log_pages)
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
    run = subprocess.run([*strace, *script], capture_output=True, text=True, timeout=60)
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
    monkeypatch.setattr(sqlite, "RETRY_S", 0.02)

    async def scenario(store):
        def damaged(_wants):
            raise apsw.CorruptError("database disk image is malformed")

        monkeypatch.setattr(store._database, "_claim", damaged)
        with pytest.raises(StoreUnavailable, match="malformed"):
            await store.claim(wants("slack"))
        await healthy_again(store)
        await store.append([new_event()])

    opened(scenario)


def test_a_defect_in_one_call_does_not_end_the_thread(opened, monkeypatch):
    async def scenario(store):
        with pytest.raises(Exception, match="slots"):
            await store.claim({"slack": "no want"})
        with pytest.raises(StoreError):
            await store.settle(["no outcome"])
        await store.append([new_event()])

    opened(scenario)


def test_an_on_done_that_fails_costs_nobody_an_answer(opened):
    async def scenario(store):
        reported = []
        asyncio.get_running_loop().set_exception_handler(lambda _loop, context: reported.append(context["message"]))

        def on_done(_appended):
            raise ZeroDivisionError

        await asyncio.gather(store.append([new_event()], on_done), store.append([new_event()]))
        assert reported == ["on_done of an append failed"]

    opened(scenario)


# --- speed that is a promise ---


def commits(store):
    """Every COMMIT from now on."""
    seen = []
    store._database._db.exec_trace = lambda _cursor, text, _values: seen.append(text) or True
    return lambda: [text for text in seen if text == "COMMIT"], seen


def test_calls_that_wait_at_the_same_time_share_a_transaction(kind, opened):
    async def scenario(store):
        count, seen = commits(store)
        other = apsw.Connection(str(kind.path))
        other.execute("BEGIN IMMEDIATE")
        appends = [asyncio.create_task(store.append([new_event("slack", lease_s=30.0)])) for _ in range(200)]
        await asyncio.sleep(0)
        other.execute("ROLLBACK")
        other.close()
        await asyncio.gather(*appends)
        assert len(count()) <= 2
        assert len(seen) < 60, "and few statements carry many rows"

    opened(scenario)


def test_a_transaction_takes_one_statement_for_each_kind_of_row(kind, opened):
    async def scenario(store):
        first = await store.append([new_event("slack", lease_s=30.0) for _ in range(7)])
        _, seen = commits(store)
        other = apsw.Connection(str(kind.path))
        other.execute("BEGIN IMMEDIATE")
        calls = [asyncio.create_task(store.append([new_event("slack", lease_s=30.0)])) for _ in range(7)]
        calls += [asyncio.create_task(store.settle([delivered(one.leases[0])])) for one in first]
        await asyncio.sleep(0)
        other.execute("ROLLBACK")
        other.close()
        await asyncio.gather(*calls)
        # Perhaps the first call went alone.
        assert len([text for text in seen if text != "BEGIN IMMEDIATE"]) <= 4 + 6

    opened(scenario)


def test_a_slice_of_pruning_is_bounded_in_bytes_too_and_never_empty(opened, clock, monkeypatch):
    monkeypatch.setattr(upkeep, "PRUNE_BYTES", 1000)

    async def scenario(store):
        for size in (*[400] * 7, *[5000] * 2, 0, 0):
            await store.append([new_event(body=os.urandom(size), key=os.urandom(8), window_s=1.0)])
        clock.move(31 * 86400.0)
        assert await store.prune(Retention()) == 11, "the keys"
        slices = []
        while removed := await store.prune(Retention()):
            slices.append(removed)
        assert slices == [3, 3, 2, 1, 2]
        assert (await store.events()).rows == ()

    opened(scenario)


def test_a_claim_asks_the_file_only_where_something_is_due(opened):
    async def scenario(store):
        [appended] = await store.append([new_event("slack", lease_s=30.0)])
        await store.settle([Outcome(appended.leases[0], Retry("no", after_s=60.0), None)])
        await store.append([new_event("crm")])
        await store.claim(wants("crm"))
        _, seen = commits(store)
        await store.claim(wants("slack", "crm", "file"))
        assert seen == []

    opened(scenario)


def test_a_claim_looks_at_no_more_rows_than_it_takes_whatever_waits(opened):
    async def scenario(store):
        steps = []
        for backlog in (10, 1000):
            await store.append([new_event(*["slack"] * backlog)])
            count = [0]

            def step(count=count):
                count[0] += 1
                return False

            store._database._db.set_progress_handler(step, 10)
            await store.claim({"slack": Want(5, 30.0)})
            steps.append(count[0])
            store._database._db.set_progress_handler(None)
        assert steps[1] < steps[0] * 2

    opened(scenario)


def test_the_log_is_copied_back_and_does_not_grow_for_ever(kind, opened, monkeypatch):
    monkeypatch.setattr(database, "CHECKPOINT_PAGES", 100)

    async def scenario(store):
        for _ in range(200):
            await store.append([new_event("slack", body=os.urandom(10_000))])
        assert (kind.folder / "gateway.db-wal").stat().st_size < 300 * 4096

    opened(scenario)


def test_the_age_of_the_oldest_call_without_a_commit_is_known(kind, opened):
    async def scenario(store):
        assert store.oldest_uncommitted_s == 0.0
        other = apsw.Connection(str(kind.path))
        other.execute("BEGIN IMMEDIATE")
        task = asyncio.create_task(store.append([new_event()]))
        while store.oldest_uncommitted_s < 0.05:
            await asyncio.sleep(0.01)
        other.execute("ROLLBACK")
        other.close()
        await task
        assert store.oldest_uncommitted_s == 0.0

    opened(scenario)


# --- the reader ---


def test_a_reader_looks_in_beside_the_owner_after_it_and_after_its_death(kind, clock):
    new = new_event("slack")

    async def scenario():
        store = await kind.open(clock)
        async with open_reads(kind.url, wall=clock.wall) as reads:
            await store.append([new])
            assert [row.id for row in (await reads.events()).rows] == [new.event.id]
        dead = kind.after_kill(1)
        await store.close()
        return dead

    dead = asyncio.run(scenario())
    for left in (kind, dead):
        reader = Looking(left.url, wall=clock.wall)
        assert reader.event(new.deliveries[0].id).event == new.event
        [delivery] = reader.deliveries(DeliveryQuery(state=DeliveryState.PENDING)).rows
        assert delivery.due_in_s == pytest.approx(0.0)
        assert reader.events(EventQuery(type="deal.*")).rows == ()


def test_there_is_nothing_to_read_where_there_is_no_file(tmp_path):
    with pytest.raises(StoreError, match="there is no such store"):
        Looking(f"sqlite:///{tmp_path}/none.db").stats()
    assert list(tmp_path.iterdir()) == []


def test_a_dead_delivery_without_an_attempt_keeps_what_the_last_one_said(opened):
    async def scenario(store):
        [appended] = await store.append([new_event("slack", lease_s=30.0)])
        [lease] = appended.leases
        made = attempt(lease, "retry", status=503, reason="HTTP 503", answer="busy")
        await store.settle([Outcome(lease, Retry("HTTP 503"), made)])
        [lease] = await store.claim(wants("slack"))
        await store.settle([Outcome(lease, Dead("the route is gone"))])
        [delivery] = (await store.deliveries(DeliveryQuery(state=DeliveryState.DEAD))).rows
        assert (delivery.reason, delivery.attempts, delivery.last_status) == ("the route is gone", 1, 503)

    opened(scenario)


# --- backup and check ---


def test_a_backup_under_load_is_whole_and_has_every_event_acknowledged_before_it_began(kind, clock, tmp_path):
    target = tmp_path / "copy.db"

    async def scenario():
        store = await kind.open(clock)
        acknowledged = []
        stop = asyncio.Event()

        async def sender():
            while not stop.is_set():
                [appended] = await store.append([new_event("slack", body=b'{"x": "%s"}' % (b"y" * 2000))])
                acknowledged.append(appended.event_id)

        senders = [asyncio.create_task(sender()) for _ in range(8)]
        while len(acknowledged) < 300:
            await asyncio.sleep(0.001)
        before = list(acknowledged)
        steps = []
        async with open_reads(kind.url) as reads:
            size = await reads.backup(str(target), lambda done, whole: steps.append((done, whole)))
        stop.set()
        await asyncio.gather(*senders)
        await store.close()
        return before, acknowledged, size

    before, acknowledged, size = asyncio.run(scenario())
    assert len(acknowledged) > len(before), "nobody waited for the backup"
    assert target.stat().st_size == size
    assert target.stat().st_mode & 0o777 == 0o600
    copy = Looking(f"sqlite:///{target}")
    assert copy.check() == []
    assert set(before) <= {row.id for row in copy.events(EventQuery(limit=100_000)).rows}
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["copy.db"]


def test_a_backup_opens_as_a_store_and_delivers_what_waited(kind, opened, clock, tmp_path):
    opened(lambda store: store.append([new_event("slack")]))
    target = tmp_path / "copy.db"
    Looking(kind.url).backup(str(target))

    async def scenario():
        store = await open_store(f"sqlite:///{target}", clock=clock.monotonic, wall=clock.wall)
        leases = await store.claim(wants("slack"))
        await store.close()
        return leases

    assert len(asyncio.run(scenario())) == 1


def test_a_backup_overwrites_nothing_and_says_why_it_cannot_be_made(kind, opened, tmp_path):
    opened(nothing)
    there = tmp_path / "there.db"
    there.write_bytes(b"mine")
    with pytest.raises(StoreError, match=r"there\.db exists: name another file"):
        Looking(kind.url).backup(str(there))
    assert there.read_bytes() == b"mine"
    with pytest.raises(StoreError, match="No such file or directory; the backup needs a folder"):
        Looking(kind.url).backup(str(tmp_path / "none" / "copy.db"))


def test_a_check_finds_a_flipped_body_and_numbers_that_are_wrong(kind, opened):
    new = new_event("slack")
    opened(lambda store: store.append([new]))
    seen = []
    assert Looking(kind.url).check(lambda *step: seen.append(step)) == []
    edit(kind.path, "UPDATE event SET body = x'7b7d'")
    edit(kind.path, "UPDATE tally SET deliveries = 7")
    assert Looking(kind.url).check() == [
        f"event {new.event.id}: its stored body does not match its checksum",
        "deliveries of slack, pending: 7 are counted, 1 exist",
    ]


def test_a_check_finds_a_page_that_the_disk_has_damaged(kind, opened):
    opened(lambda store: store.append([new_event("slack", body=b'{"x": "%s"}' % (b"y" * 20_000)) for _ in range(20)]))
    [(root,)] = edit(kind.path, "SELECT rootpage FROM sqlite_schema WHERE name = 'delivery_by'")
    overwrite(kind.path, (root - 1) * 4096 + 8, b"\xff" * 64)
    assert Looking(kind.url).check()


def log_of(kind):
    return Path(f"{kind.path}-wal").read_bytes()


def test_an_index_that_has_everything_writes_nothing(kind, opened):
    async def scenario(store):
        await store.append([new_event("slack")])
        assert not await store.index()
        before = log_of(kind)
        assert not await store.index()
        assert log_of(kind) == before
        await store.append([new_event("slack")])
        assert not await store.index()
        assert len((await store.events(EventQuery(words=("number",)))).rows) == 0
        return log_of(kind) != before

    assert opened(scenario)


def test_what_retention_and_redaction_remove_is_not_in_the_file_any_more(kind, opened, clock):
    old, private = b'{"a": "needle-of-retention"}', b'{"a": "needle-of-redaction"}'

    async def scenario(store):
        await store.append([new_event(body=old)])
        await store.append([replace(new_event(body=private), is_redacted_later=True) for _ in range(1)])
        while await store.index():
            pass
        clock.move(100.0)
        page = await store.unredacted()
        assert await store.redact(dict.fromkeys(page.events, b"{}")) == 1
        while await store.prune(Retention(events_s=50.0)):
            pass

    opened(scenario)
    left = kind.path.read_bytes()
    assert b"needle-of-retention" not in left
    assert b"needle-of-redaction" not in left
