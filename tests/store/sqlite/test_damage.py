"""A damaged page of the file is found: at the start as far as its time goes, and then range by range in the background."""

import asyncio
import shutil

import apsw
import pytest

from gateway.errors import StoreCorrupt
from gateway.store.activities import Activity, Task
from gateway.store.holds import Hold
from gateway.store.nouns import Limits
from gateway.store.queries import DeliveryQuery, Rejected
from gateway.store.room import refusal
from gateway.store.sqlite import file, scrub
from tests.store.given import SQLiteKind, dead, delivered, leased, new_event, once, retry, told
from tests.store.sqlite.given import edit, nothing, overwrite

PAGE = 4096


@pytest.fixture
def no_time_at_the_start(monkeypatch):
    """As for a file that is too large to be checked whole."""
    monkeypatch.setattr(file, "quick_check", no_time)


def no_time(_connection, _path, _most_s):
    return False


async def fill(store):
    """Rows in every table, and several pages in most."""
    for number in range(60):
        body = b'{"n": "word%d %s"}' % (number, b"x" * (number * 100))
        await store.append([new_event("slack", "crm", lanes=[str(number)], body=body, firings=[once(f"key {number}")])])
        await store.append([new_event("slack", body=body + b" ", firings=[once(f"key {number}")])])
    for name in ("file", "mail", "post"):
        for lease in await leased(store, *[f"{name}{number}" for number in range(20)]):
            outcome = {"file": delivered, "mail": dead, "post": retry}[name](lease)
            await store.settle(
                [outcome if name != "mail" else type(outcome)(lease, outcome.result, outcome.attempt, told(lease))]
            )
    await store.reject([Rejected(at=1.0, source="crm", path=f"/{n}", status=401, reason="no") for n in range(100)])
    await store.note(Activity(id="act_1", at=1.0, by="ann", verb="pause", subject="crm"))
    await store.set_hold(Hold(destination="crm", wait_s=5.0))
    await store.begin(Task(verb="replay", by="ann", which=DeliveryQuery(destination="mail1"), subject="one"))
    while await store.index():
        pass


async def inspected(store):
    """Look at all of it; how far it came."""
    parts = 0
    while await store.inspect():
        parts += 1
    return parts


def test_what_is_sound_is_looked_through_to_the_end_and_nothing_is_found(
    opened, no_time_at_the_start, monkeypatch, logged
):
    monkeypatch.setattr(scrub, "MOST_ROWS", 3)
    monkeypatch.setattr(scrub, "FIRST_ROWS", 3)

    async def scenario(store):
        assert store.checked == 0.0
        before = store.checked
        parts = 0
        while await store.inspect():
            parts += 1
            assert store.checked >= before
            before = store.checked
        assert (store.checked, store.room.damage) == (1.0, "")
        assert parts > 200

    opened(fill)
    opened(scenario)
    assert "store.damaged" not in dict(logged)


def test_a_small_file_is_checked_whole_at_its_start(opened):
    async def scenario(store):
        assert store.checked == 1.0
        assert await inspected(store) == 0

    opened(fill)
    opened(scenario)


def pages_of_trees(path):
    """Every page in the file that is part of a tree, with the tree's name."""
    connection = apsw.Connection(str(path))
    found = connection.execute("SELECT pageno, name FROM dbstat WHERE pagetype IN ('leaf', 'internal')").fetchall()
    connection.close()
    return found


def test_every_page_of_every_tree_is_looked_at_by_the_check_at_the_start_and_by_the_one_in_the_background(
    kind, opened, clock, monkeypatch, tmp_path
):
    opened(fill)
    edit(kind.path, "VACUUM")
    trees = pages_of_trees(kind.path)
    assert len({name for _, name in trees}) > 25, "every table and index has rows"
    missed = []
    for page, name in trees:
        for check in (file.quick_check, no_time):
            with monkeypatch.context() as changed:
                changed.setattr(file, "quick_check", check)
                if not _is_found(_damaged(kind, tmp_path, page), clock):
                    missed.append((page, name, check.__name__))
    assert missed == []


def _damaged(kind, tmp_path, page):
    """A copy of the store with garbage in this page."""
    folder = tmp_path / "copy"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(kind.folder, folder)
    copy = SQLiteKind(folder)
    overwrite(copy.path, (page - 1) * PAGE, b"\xff" * PAGE)
    return copy


def _is_found(kind, clock):
    async def look():
        try:
            store = await kind.open(clock)
        except StoreCorrupt as error:
            return "is damaged" in str(error) and "restore a backup" in str(error)
        try:
            await inspected(store)
            return "restore a backup" in refusal(store.room, Limits())
        finally:
            await store.close()

    return asyncio.run(look())


def test_a_row_that_an_index_has_lost_is_found(kind, opened, no_time_at_the_start):
    async def scenario(store):
        await inspected(store)
        assert "rows of delivery are missing from its index delivery_of_event" in store.room.damage

    opened(fill)
    # It is another index that it finds now, which has none of its rows.
    connection = apsw.Connection(str(kind.path))
    connection.execute("PRAGMA writable_schema = ON")
    other = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'event_redact'").get
    connection.execute("UPDATE sqlite_schema SET rootpage = ? WHERE name = 'delivery_of_event'", (other,))
    connection.close()
    opened(scenario)


def test_damage_is_said_once_and_the_stored_events_are_still_claimed(kind, opened, no_time_at_the_start, logged):
    async def scenario(store):
        assert refusal(store.room, Limits()) == ""
        await inspected(store)
        said = refusal(store.room, Limits())
        assert said.startswith(f"{kind.path} is damaged")
        assert "what is stored is still sent as far as it can be read" in said
        assert "\n" not in said
        assert await inspected(store) == 0
        assert store.healthy
        assert await store.load(["evt_unknown"]) == {}

    opened(fill)
    root = edit(kind.path, "SELECT rootpage FROM sqlite_schema WHERE name = 'rejected'")[0][0]
    overwrite(kind.path, (root - 1) * PAGE, b"\xff" * PAGE)
    opened(scenario)
    assert [name for name, _ in logged] == ["store.damaged"]


# --- a file that was emptied ---


def test_a_file_of_0_bytes_is_refused_where_events_were(kind, opened):
    opened(fill)
    kind.path.write_bytes(b"")
    with pytest.raises(StoreCorrupt, match=r"gateway.db is empty, and has held events .* restore a backup") as raised:
        opened(nothing)
    assert "\n" not in str(raised.value)
    assert kind.path.read_bytes() == b""
    (kind.folder / "gateway.db.lock").unlink()
    opened(nothing)


@pytest.mark.parametrize("end", ["closed", "killed"])
def test_that_it_has_held_events_is_kept_whatever_its_end(kind, opened, clock, end):
    async def one(store):
        await store.append([new_event()])
        return kind.after_kill(1)

    killed = opened(one)
    chosen = killed if end == "killed" else kind
    chosen.path.write_bytes(b"")
    with pytest.raises(StoreCorrupt, match="has held events"):
        asyncio.run(chosen.open(clock))


def test_a_file_of_0_bytes_that_never_held_an_event_is_set_up(kind, opened):
    opened(nothing)
    kind.path.write_bytes(b"")
    opened(fill)
