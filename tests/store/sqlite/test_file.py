"""How the file is opened: by its owner alone, in one of its formats, whole; and its clock."""

import asyncio
import os
import shutil
import stat

import pytest

from gateway.errors import StoreCorrupt, StoreError, StoreLocked, StoreTooNew
from gateway.model import Release, Retry
from gateway.store import open_store
from gateway.store.nouns import Outcome, Retention
from gateway.store.sqlite import file, lock
from tests.store.given import Clock, Looking, delivered, new_event, wants
from tests.store.sqlite.given import edit, nothing, overwrite


@pytest.mark.parametrize("url", ["gateway.db", "sqlite://gateway.db", "sqlite:///", "mysql://db/gateway", ""])
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


@pytest.fixture
def unwritable():
    """Call it, and the lock's file cannot be written from then on."""

    def broken(*_):
        raise OSError(5, "Input/output error")

    with pytest.MonkeyPatch.context() as patch:
        yield lambda: patch.setattr(lock.os, "ftruncate", broken)


def test_a_lock_that_cannot_be_written_stops_neither_events_nor_the_end(kind, opened, unwritable):
    new = new_event()

    async def scenario(store):
        unwritable()
        await store.append([new])

    opened(scenario)
    assert lock.owner_of(str(kind.path)) is not None, "the next owner checks it as after a kill"
    assert Looking(kind.url).event(new.event.id) is not None


def test_a_lock_that_cannot_be_written_at_the_start_is_let_go(kind, opened, unwritable):
    unwritable()
    for _ in range(2):
        with pytest.raises(StoreError, match="Input/output error"):
            opened(nothing)


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
    assert set(modes) == {"gateway.db", "gateway.db-wal", "gateway.db-shm", "gateway.db.lock"}
    assert set(modes.values()) == {0o600}


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


def test_a_file_that_is_not_sqlite_is_refused_and_left_as_it_is(kind, opened):
    kind.path.write_bytes(b"my notes\n" * 1000)
    with pytest.raises(StoreCorrupt, match=r"gateway.db is damaged .*and was left as it is"):
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
    monkeypatch.setattr(file, "CHECK_S", -1.0)
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
        return store._database.file.now()

    async def second_life(store):
        return store._database.file.now()

    stored = opened(first_life)
    assert opened(second_life, at=Clock(wall=1.0)) == pytest.approx(stored)


def test_a_jump_of_the_wall_clock_is_not_seen_while_it_runs(opened, clock):
    async def scenario(store):
        [appended] = await store.append([new_event("slack", lease_s=30.0, window_s=3600.0, key=b"k")])
        await store.settle([Outcome(appended.leases[0], Retry("no", after_s=60.0), None)])
        clock.wall_s += 86400.0
        assert await store.claim("a", wants("slack")) == []
        assert (await store.append([new_event(key=b"k")]))[0].duplicate
        clock.wall_s -= 3 * 86400.0
        clock.monotonic_s += 60.0
        assert len(await store.claim("a", wants("slack"))) == 1

    opened(scenario)
