"""Where events are kept: one contract (``base``), one package per store, and the rules that all stores share."""

import os
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Final

from gateway.errors import StoreError
from gateway.store.base import Reads, Store
from gateway.store.sqlite.lock import Owner, owner_of

__all__ = ["Owner", "Reads", "Store", "open_reads", "open_store", "owner_of", "path_of", "sqlite_version"]

_SQLITE: Final = "sqlite:///"


async def open_store(
    url: str, *, clock: Callable[[], float] = time.monotonic, wall: Callable[[], float] = time.time
) -> Store:
    """Own the store at this URL: ``sqlite:///relative.db`` or ``sqlite:////absolute.db``, created if absent.

    Raises StoreLocked, StoreCorrupt, StoreTooNew, or StoreError if it cannot be opened.
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


def sqlite_version() -> str:
    """The version of the SQLite library in use: ``3.51.3``."""
    from gateway.store.sqlite import connection

    return connection.sqlite_version()


def path_of(url: str) -> str:
    """The file of a store, with symlinks resolved. Raises StoreError for a URL that names none."""
    if not url.startswith(_SQLITE) or len(url) == len(_SQLITE):
        raise StoreError(f'"{url}" is not the URL of a store: write sqlite:///relative.db or sqlite:////absolute.db')
    # The lock is named after the file: every spelling of its path, through symlinks too, must give the same name.
    return os.path.realpath(url.removeprefix(_SQLITE))
