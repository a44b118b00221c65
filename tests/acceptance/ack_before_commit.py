"""The control of the kill -9 test: a gateway whose store answers before the commit. It must lose events.

Takes the command line of ``gateway``; everything but ``append`` is the real store's.
"""

import asyncio

import gateway.cli.run as run
from gateway.cli import main
from gateway.store.nouns import Appended

COMMIT_DELAY_S = 0.05


class AcksBeforeCommit:
    """Delegates to the real store, but says "durable" when an append has merely been asked for."""

    def __init__(self, store):
        self._store = store
        self._appends = set()

    def __getattr__(self, name):
        return getattr(self._store, name)

    async def append(self, events, on_done=None):
        task = asyncio.create_task(self._append_later(events, on_done))
        self._appends.add(task)
        task.add_done_callback(self._appends.discard)
        return [Appended(new.event.id, duplicate=False) for new in events]

    async def _append_later(self, events, on_done):
        await asyncio.sleep(COMMIT_DELAY_S)
        await self._store.append(events, on_done)


real_open_store = run.open_store


async def open_store(*arguments, **options):
    return AcksBeforeCommit(await real_open_store(*arguments, **options))


run.open_store = open_store

if __name__ == "__main__":
    main()
