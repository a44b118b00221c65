"""Where the promises live: one contract (``base``) and one module per kind of store."""

import os
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Final

from gateway.errors import StoreError
from gateway.store.base import Reads, Store
from gateway.store.health import Health, Owner

__all__ = ["Health", "Owner", "Reads", "Store", "health_of", "open_reads", "open_store"]

_SQLITE: Final = "sqlite:///"


async def open_store(
    url: str, *, clock: Callable[[], float] = time.monotonic, wall: Callable[[], float] = time.time
) -> Store:
    """Own the store of this URL: ``sqlite:///relative.db`` or ``sqlite:////absolute.db``, made when there is none.

    Raises StoreLocked, StoreCorrupt, StoreTooNew, or StoreError for what cannot be opened.
    """
    from gateway.store.sqlite.owner import SQLiteStore

    return await SQLiteStore.open(path_of(url), clock=clock, wall=wall)


@asynccontextmanager
async def open_reads(url: str, *, wall: Callable[[], float] = time.time) -> AsyncGenerator[Reads]:
    """Look into a store without owning it, beside a running gateway or when none runs.

    Raises StoreError if there is no such store.
    """
    from gateway.store.sqlite.reads import SQLiteReads

    reads = SQLiteReads.of_file(path_of(url), wall=wall)
    try:
        yield reads
    finally:
        await reads.close()


def health_of(url: str) -> Health:
    """The store as seen from outside, without opening it. Raises StoreError for an invalid URL."""
    from gateway.store.sqlite.health import health

    return health(path_of(url))


def path_of(url: str) -> str:
    """The file of a store, through symlinks; StoreError for what names none."""
    if not url.startswith(_SQLITE) or len(url) == len(_SQLITE):
        raise StoreError(f'"{url}" names no store; write sqlite:///relative.db or sqlite:////absolute.db')
    # The lock is named after the file: every way to write its path, through symlinks too, has to give one name.
    return os.path.realpath(url.removeprefix(_SQLITE))
