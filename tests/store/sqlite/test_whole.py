"""A backup or a check that is given up."""

import asyncio
import threading

import pytest

from gateway.store import open_reads
from gateway.store.sqlite import whole
from tests.store.given import Clock, SQLiteKind, new_event


@pytest.mark.parametrize("job", ["backup", "check"])
def test_a_cancelled_job_ends_soon_and_leaves_nothing(tmp_path, monkeypatch, job):
    monkeypatch.setattr(whole, "STEPS", 100)
    kind = SQLiteKind(tmp_path)
    steps, is_cancelled = [], threading.Event()

    async def scenario():
        store = await kind.open(Clock())
        await store.append([new_event("slack", body=b"x" * 2000) for _ in range(3000)])
        await store.close()
        loop, has_begun = asyncio.get_running_loop(), asyncio.Event()

        def on_progress(done, all_):
            steps.append((done, all_))
            loop.call_soon_threadsafe(has_begun.set)
            is_cancelled.wait(10)

        async with open_reads(kind.url) as reads:
            asked = (
                reads.backup(str(tmp_path / "copy.db"), on_progress) if job == "backup" else reads.check(on_progress)
            )
            task = asyncio.create_task(asked)
            await has_begun.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            is_cancelled.set()

    asyncio.run(scenario())
    assert len(steps) <= 2
    assert {path.name for path in tmp_path.iterdir()} <= {f"gateway.db{ending}" for ending in whole.FILES}
