"""Looking into a file, copying it and checking it."""

import asyncio
from pathlib import Path

import pytest
from msgspec.structs import replace

from gateway.errors import StoreError
from gateway.model import Dead, DeliveryState, Retry
from gateway.store import open_reads, open_store
from gateway.store.nouns import Outcome, Retention
from gateway.store.queries import DeliveryQuery, EventQuery
from tests.store.given import Looking, attempt, new_event, wants
from tests.store.sqlite.given import edit, nothing, overwrite

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
        [lease] = await store.claim("a", wants("slack"))
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
        async with open_reads(kind.url) as reads:
            size = await reads.backup(str(target))
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
        leases = await store.claim("a", wants("slack"))
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
    assert Looking(kind.url).check() == []
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
