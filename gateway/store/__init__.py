"""Where events are kept: one contract (``base``), one package per store, and the rules that all stores share."""

import os
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Final

from gateway.errors import StoreError
from gateway.machine.links import ForeignLink, followed
from gateway.store.base import Reads, Store
from gateway.store.health import Health, Owner

__all__ = ["Health", "Owner", "Reads", "Store", "health_of", "open_reads", "open_store"]

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


def health_of(url: str) -> Health:
    """The store as seen from outside, without opening it. Raises StoreError for an invalid URL."""
    from gateway.store.sqlite.health import health

    return health(path_of(url))


def path_of(url: str) -> str:
    """The file of a store, with symlinks resolved. Raises StoreError for a URL that names none, or another user's link."""
    if not url.startswith(_SQLITE) or len(url) == len(_SQLITE):
        raise StoreError(f'"{url}" is not the URL of a store: write sqlite:///relative.db or sqlite:////absolute.db')
    path = url.removeprefix(_SQLITE)
    try:
        followed(path)
    except ForeignLink as error:
        raise StoreError(f"{error.strerror}: name the file itself") from None
    except OSError as error:
        raise StoreError(f"{path} cannot be opened ({error.strerror}): name the file itself") from None
    # The lock is named after the file: every spelling of its path, through symlinks too, must give the same name.
    return os.path.realpath(path)
