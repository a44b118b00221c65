"""Where events are kept: one contract (``base``), one package per store, and the rules that all stores share."""

import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from gateway.errors import StoreError
from gateway.store.base import Store
from gateway.store.sqlite.lock import Owner, owner_of

if TYPE_CHECKING:
    from gateway.store.sqlite.reader import Reader

__all__ = ["Owner", "Store", "open_reader", "open_store", "owner_of", "path_of", "sqlite_version"]

_SQLITE: Final = "sqlite:///"


async def open_store(
    url: str, *, clock: Callable[[], float] = time.monotonic, wall: Callable[[], float] = time.time
) -> Store:
    """Own the store at this URL: ``sqlite:///relative.db`` or ``sqlite:////absolute.db``, created if absent.

    Raises StoreLocked, StoreCorrupt, StoreTooNew, or StoreError if it cannot be opened.
    """
    from gateway.store.sqlite.owner import SQLiteStore

    return await SQLiteStore.open(path_of(url), clock=clock, wall=wall)


def open_reader(url: str, *, wall: Callable[[], float] = time.time) -> "Reader":
    """Look into a store without owning it, beside a running gateway or when none runs; the methods block.

    Raises StoreError when there is no such store.
    """
    from gateway.store.sqlite.reader import Reader

    return Reader.of_file(path_of(url), wall=wall)


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
