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

    def append(self, events, *, replica=""):
        task = asyncio.create_task(self._append_later(events, replica))
        self._appends.add(task)
        task.add_done_callback(self._appends.discard)
        appending = asyncio.get_running_loop().create_future()
        appending.set_result([Appended(new.event.id, duplicate=False) for new in events])
        return appending

    async def _append_later(self, events, replica):
        await asyncio.sleep(COMMIT_DELAY_S)
        # Nobody knows of the leases: they are given back, and what was stored is claimed.
        appending = self._store.append(events, replica=replica)
        appending.cancel()


real_open_store = run.open_store


async def open_store(*arguments, **options):
    return AcksBeforeCommit(await real_open_store(*arguments, **options))


run.open_store = open_store

if __name__ == "__main__":
    main()
