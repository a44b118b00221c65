"""What was removed is gone from every file of the store: looked for byte by byte."""

import asyncio
import json

import pytest
from msgspec.structs import replace

from gateway.model import Dead, Notice
from gateway.store.activities import Erasure
from gateway.store.nouns import Firing, Outcome, Told
from gateway.store.queries import EventQuery, Rejected
from gateway.store.rules import words_in
from tests.store.given import attempt, delivered, new_event, wants
from tests.store.sqlite.given import edit

#: No other word of the index begins like it, so it is in there whole.
NAME = "qZ9Jonathanson"


def body_of(size):
    """One whose secret is in the middle of it."""
    return json.dumps({"id": 1, "a": "x" * (size // 2), "name": NAME, "z": "y" * (size // 2)}).encode()


def left_in(kind, *more):
    """Files with the name in them, in any case."""
    files = [*kind.folder.glob("gateway.db*"), *more]
    return [file.name for file in files if NAME.lower().encode() in file.read_bytes().lower()]


async def indexed(store):
    while await store.index():
        pass


async def wiped(store):
    async with asyncio.timeout(30):
        while await store.wipe():
            await asyncio.sleep(0.01)


async def redacted(store, new):
    [lease] = await store.claim("a", wants("slack"))
    await store.settle([delivered(lease)])
    assert await store.redact({new.event.id: b'{"id": 1}'}) == 1


@pytest.mark.parametrize("size", [100, 2_000, 50_000], ids=["small", "half a page", "many pages"])
@pytest.mark.parametrize("was_indexed", [False, True], ids=["not indexed before", "indexed by an older release"])
def test_what_was_redacted_is_in_no_file_of_the_store_and_in_no_new_backup(kind, opened, tmp_path, size, was_indexed):
    new = replace(new_event("slack", body=body_of(size)), is_redacted_later=not was_indexed)
    others = [new_event("crm", body=b'{"n": "word %d"}' % number) for number in range(200)]

    async def fill(store):
        await store.append([*others[:100], new, *others[100:]])
        await indexed(store)

    async def scenario(store):
        assert left_in(kind)
        await redacted(store, new)
        assert left_in(kind), "as it was is still in the log"
        await wiped(store)
        copy = tmp_path / "copy.db"
        await store.backup(str(copy))
        assert left_in(kind, copy) == []
        assert await store.wipe() is False
        found = await store.candidates(EventQuery(words=words_in("word 7")))
        assert [json.loads(each.event.body)["n"] for each in found.rows if b"word" in each.event.body] == ["word 7"]

    opened(fill)
    if was_indexed:
        edit(kind.path, "UPDATE event SET redact = 1 WHERE id = ?", new.event.id)
    opened(scenario)


def test_a_reader_puts_a_wipe_off_and_does_not_stop_it(kind, opened):
    new = replace(new_event("slack", body=body_of(100)), is_redacted_later=True)

    async def scenario(store):
        await store.append([new])
        with store._snapshots.take() as (db, _):
            db.execute("SELECT count(*) FROM event").fetchall()
            await redacted(store, new)
            assert await store.wipe() is True
            assert left_in(kind)
        await wiped(store)
        assert left_in(kind) == []

    opened(scenario)


def test_a_store_that_was_killed_before_a_wipe_is_wiped_after_its_next_start(kind, clock):
    new = replace(new_event("slack", body=body_of(100)), is_redacted_later=True)

    async def before():
        store = await kind.open(clock)
        await store.append([new])
        await redacted(store, new)
        killed = kind.after_kill(1)
        await store.close()
        return killed

    async def after(killed):
        store = await killed.open(clock)
        assert left_in(killed)
        await wiped(store)
        assert left_in(killed) == []
        await store.close()

    asyncio.run(after(asyncio.run(before())))


@pytest.mark.parametrize("word", ["jonathan", "qZ9Jonathanson"])
def test_an_event_passes_the_search_for_words_until_it_is_redacted(opened, word):
    new = replace(new_event("slack", body=body_of(100)), is_redacted_later=True)
    others = [new_event("crm") for _ in range(400)]

    async def scenario(store):
        await store.append([new, *others])
        await indexed(store)
        query = EventQuery(words=(word,), limit=500)
        assert [each.event.id for each in (await store.candidates(query)).rows] == [new.event.id]
        await redacted(store, new)
        assert (await store.candidates(query)).rows == ()

    opened(scenario)


async def forgotten(store, event_ids):
    erasure = Erasure(by="ann", find=f"name={NAME}", value=NAME, subject="events with name=•••")
    await store.begin_erasure(erasure)
    while erasure := await store.open_erasure("a"):
        if erasure.is_looked_through:
            await wiped(store)
        page = await store.survey(after=erasure.after, until=erasure.until)
        theirs = [each.id for each in page.events if each.id in event_ids]
        await store.forget(erasure, theirs, to=page.to, replica="a")


@pytest.mark.parametrize("size", [100, 50_000], ids=["small", "many pages"])
def test_what_was_forgotten_is_in_no_file_of_the_store_and_in_no_new_backup(kind, opened, tmp_path, size):
    firings = [Firing(name="welcome", key=NAME, window_s=900.0, routes=frozenset({"to-file"}))]
    news = [
        new_event("slack", "file", "crm", lanes=[NAME], body=body_of(size + 2 * at), lease_s=30.0, firings=firings)
        for at in range(2)
    ]
    news = [replace(each, event=replace(each.event, headers={"x-name": NAME})) for each in news]

    async def scenario(store):
        [one, other] = await store.append(news)
        assert other.held_back
        leases = [*one.leases, *other.leases]
        said = {"reason": f"answered 422: no {NAME}", "answer": f"who is {NAME}?"}
        for lease in leases[:2]:
            notice = Notice(id=lease.delivery.id, destination="slack", route="to-slack", attempts=1, reason=NAME)
            told = Told(notice, [("failed/ops", "ops")])
            await store.settle([Outcome(lease, Dead(said["reason"]), attempt(lease, "dead", **said), told)])
        refused = Rejected(at=1.0, source="crm", path=f"/in/crm/{NAME}", status=404, reason=f"no {NAME} here")
        await store.reject([refused])
        await indexed(store)
        assert left_in(kind)
        await forgotten(store, {each.event.id for each in news})
        copy = tmp_path / "copy.db"
        await store.backup(str(copy))
        assert left_in(kind, copy) == []
        assert await store.check() == []

    opened(scenario)
