"""A backup or a check that is given up."""

import asyncio
import threading

import pytest

from gateway.store import open_reads
from gateway.store.sqlite import whole
from tests.store.given import Clock, SQLiteKind, new_event


def asked(reads, job, folder):
    return reads.backup(str(folder / "copy.db")) if job == "backup" else reads.check()


@pytest.mark.parametrize("job", ["backup", "check"])
def test_how_far_a_job_has_come_can_be_read_while_it_runs_and_after(tmp_path, monkeypatch, job):
    monkeypatch.setattr(whole, "STEPS", 1000)
    kind = SQLiteKind(tmp_path)

    async def scenario():
        store = await kind.open(Clock())
        await store.append([new_event("slack", body=b"%d" % n + b"x" * 2000) for n in range(3000)])
        await store.close()
        loop, seen = asyncio.get_running_loop(), []
        report = whole.Job._report

        def reported(job, done, all_):
            stopped = report(job, done, all_)
            looked = threading.Event()
            loop.call_soon_threadsafe(lambda: (seen.append((reads.progress, (done, all_))), looked.set()))
            looked.wait(10)
            return stopped

        monkeypatch.setattr(whole.Job, "_report", reported)
        async with open_reads(kind.url) as reads:
            assert reads.progress == (0, 0)
            await asked(reads, job, tmp_path)
            return seen, reads.progress

    seen, last = asyncio.run(scenario())
    assert len(seen) >= 2
    assert all(read == reported for read, reported in seen)
    assert last == seen[-1][1]
    assert 0 <= last[0] <= last[1] != 0


@pytest.mark.parametrize("job", ["backup", "check"])
def test_a_cancelled_job_ends_soon_and_leaves_nothing(tmp_path, monkeypatch, job):
    monkeypatch.setattr(whole, "STEPS", 100)
    kind = SQLiteKind(tmp_path)
    steps, is_cancelled = [], threading.Event()

    async def scenario():
        store = await kind.open(Clock())
        await store.append([new_event("slack", body=b"%d" % n + b"x" * 2000) for n in range(3000)])
        await store.close()
        loop, has_begun = asyncio.get_running_loop(), asyncio.Event()
        report = whole.Job._report

        def reported(job, done, all_):
            steps.append((done, all_))
            loop.call_soon_threadsafe(has_begun.set)
            is_cancelled.wait(10)
            return report(job, done, all_)

        monkeypatch.setattr(whole.Job, "_report", reported)
        async with open_reads(kind.url) as reads:
            task = asyncio.create_task(asked(reads, job, tmp_path))
            await has_begun.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            is_cancelled.set()

    asyncio.run(scenario())
    assert len(steps) <= 2
    assert {path.name for path in tmp_path.iterdir()} <= {f"gateway.db{ending}" for ending in whole.FILES}
