"""The owner's thread: few transactions, few statements, and no defect ends it."""

import asyncio
import itertools
import os
import threading

import apsw
import pytest

from gateway.errors import StoreError
from gateway.model import Retry
from gateway.store.nouns import Outcome, Retention, Want
from gateway.store.sqlite import leases, log, upkeep, writer
from tests.store.given import delivered, new_event, wants
from tests.store.sqlite.given import healthy_again


def test_a_commit_is_fsynced_and_makes_no_temporary_file(opened):
    async def scenario(store):
        pragma = store._database.file.db.pragma
        return pragma("journal_mode"), pragma("synchronous"), pragma("temp_store"), pragma("journal_size_limit")

    full, memory = 2, 2
    assert opened(scenario) == ("wal", full, memory, 64 * 1024 * 1024)


def test_a_defect_in_one_call_does_not_end_the_thread(opened, monkeypatch):
    async def scenario(store):
        with pytest.raises(Exception, match="slots"):
            await store.claim("a", {"slack": "no want"})
        with pytest.raises(StoreError):
            await store.settle(["no outcome"])
        await store.append([new_event()])

    opened(scenario)


def commits(store):
    """Every COMMIT from now on."""
    seen = []
    store._database.file.db.exec_trace = lambda _cursor, text, _values: seen.append(text) or True
    return lambda: [text for text in seen if text == "COMMIT"], seen


def test_calls_that_wait_at_the_same_time_share_a_transaction(kind, opened):
    async def scenario(store):
        count, seen = commits(store)
        other = apsw.Connection(str(kind.path))
        other.execute("BEGIN IMMEDIATE")
        appends = [asyncio.ensure_future(store.append([new_event("slack", lease_s=30.0)])) for _ in range(200)]
        await asyncio.sleep(0)
        other.execute("ROLLBACK")
        other.close()
        await asyncio.gather(*appends)
        assert len(count()) <= 2
        assert len(seen) < 60, "and few statements carry many rows"

    opened(scenario)


@pytest.mark.timeout(60)
def test_an_append_waits_for_the_commit_under_way_and_for_its_own_and_for_no_copy_of_the_log(opened, monkeypatch):
    monkeypatch.setattr(log, "RESTART_PAGES", 1)
    # The look at the disk, now and then, would be one more commit.
    monkeypatch.setattr(writer, "RETRY_S", 3600.0)
    held, go, copies = threading.Semaphore(0), threading.Semaphore(0), []

    def hold(_cursor, text, _values):
        if text == "COMMIT":
            held.release()
            go.acquire()
        return True

    async def scenario(store):
        copy_rest = log.Log._copy_rest
        monkeypatch.setattr(log.Log, "_copy_rest", lambda kept: copies.append(kept) or copy_rest(kept))
        await store.append([new_event("slack")])
        copies.clear()
        store._database.file.db.exec_trace = hold
        try:
            appends = await let_go(store)
        finally:
            # Otherwise the store is never closed, and nobody sees what failed.
            store._database.file.db.exec_trace = None
            go.release(100)
        await asyncio.gather(*appends)

    async def let_go(store):
        rounds, late = [[store.append([new_event("slack")])]], []
        for _ in range(20):
            await asyncio.to_thread(held.acquire)
            # What was handed over before the commit that is behind us began.
            late += [at for at, each in enumerate(rounds[:-1]) if not all(future.done() for future in each)]
            rounds.append([store.append([new_event("slack")]) for _ in range(20)])
            # They are handed over at the end of this turn of the loop.
            await asyncio.sleep(0)
            go.release()
        await asyncio.to_thread(held.acquire)
        assert not any(future.done() for future in rounds[-1])
        assert not copies
        # A commit of the store's own may come between.
        assert len(late) <= 1, late
        return list(itertools.chain(*rounds))

    opened(scenario)


def test_a_transaction_takes_one_statement_for_each_kind_of_row(kind, opened):
    async def scenario(store):
        first = await store.append([new_event("slack", lease_s=30.0) for _ in range(7)])
        _, seen = commits(store)
        other = apsw.Connection(str(kind.path))
        other.execute("BEGIN IMMEDIATE")
        calls = [asyncio.ensure_future(store.append([new_event("slack", lease_s=30.0)])) for _ in range(7)]
        calls += [store.settle([delivered(one.leases[0])]) for one in first]
        await asyncio.sleep(0)
        other.execute("ROLLBACK")
        other.close()
        await asyncio.gather(*calls)
        # Perhaps the first call went alone.
        assert len([text for text in seen if text != "BEGIN IMMEDIATE"]) <= 4 + 6

    opened(scenario)


def test_no_body_stays_in_memory_with_the_statement_that_stored_it(opened):
    async def scenario(store):
        async def burst():
            for count in range(1, 17):
                await asyncio.gather(
                    *(store.append([new_event("slack", body=os.urandom(256 * 1024))]) for _ in range(count))
                )

        await store.append([new_event("slack", body=os.urandom(1024 * 1024))])
        store._database.file.db.pragma("shrink_memory")
        before = apsw.memory_used()
        await burst()
        store._database.file.db.pragma("shrink_memory")
        assert apsw.memory_used() - before < 1024 * 1024

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
        await store.claim("a", wants("crm"))
        _, seen = commits(store)
        await store.claim("a", wants("slack", "crm", "file"))
        assert seen == []

    opened(scenario)


def test_a_claim_looks_at_no_more_rows_than_it_takes_whatever_waits(opened, monkeypatch):
    # What was appended last is claimed without a look at any row.
    monkeypatch.setattr(leases, "MOST_FRESH", 0)

    async def scenario(store):
        steps = []
        for backlog in (10, 1000):
            await store.append([new_event(*["slack"] * backlog)])
            count = [0]

            def step(count=count):
                count[0] += 1
                return False

            store._database.file.db.set_progress_handler(step, 10)
            await store.claim("a", {"slack": Want(5, 30.0)})
            steps.append(count[0])
            store._database.file.db.set_progress_handler(None)
        assert steps[1] < steps[0] * 2

    opened(scenario)


def test_the_log_is_copied_back_and_does_not_grow_for_ever(kind, opened, monkeypatch):
    monkeypatch.setattr(log, "CHECKPOINT_PAGES", 100)
    monkeypatch.setattr(log, "MOST_PAGES", 400)

    async def scenario(store):
        for _ in range(20):
            await asyncio.gather(*(store.append([new_event("slack", body=os.urandom(10_000))]) for _ in range(40)))
        assert (kind.folder / "gateway.db-wal").stat().st_size < 1500 * 4096
        assert kind.path.stat().st_size > 1000 * 4096

    opened(scenario)


def test_a_failure_to_copy_the_log_is_noticed_without_anything_to_write(opened, monkeypatch):
    monkeypatch.setattr(log, "CHECKPOINT_PAGES", 1)
    monkeypatch.setattr(writer, "RETRY_S", 0.02)

    async def scenario(store):
        def broken(_log):
            raise apsw.IOError("disk I/O error")

        monkeypatch.setattr(log.Log, "_copy", broken)
        reopened = asyncio.Event()
        reopen, loop = store._database.reopen, asyncio.get_running_loop()
        monkeypatch.setattr(store._database, "reopen", lambda: reopen() or loop.call_soon_threadsafe(reopened.set))
        await store.append([new_event()])
        await asyncio.wait_for(reopened.wait(), 60)
        await healthy_again(store)

    opened(scenario)
