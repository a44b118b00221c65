"""Where events are kept: one contract (``base``), one package per store, and the rules that all stores share."""

import os
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Final

from gateway.errors import StoreError
from gateway.machine.links import ForeignLink, followed
from gateway.store.base import Reads, Store
from gateway.store.health import Health, Owner
from gateway.store.postgres import address
from gateway.store.postgres.address import Address, is_database

if TYPE_CHECKING:
    from gateway.store.copying import OnProgress, Tally
    from gateway.store.postgres.copying import PostgresSide
    from gateway.store.sqlite.copying import SQLiteSide

__all__ = [
    "Health",
    "Owner",
    "Reads",
    "Store",
    "copied",
    "file_of",
    "health_of",
    "is_database",
    "migrate",
    "open_reads",
    "open_store",
    "shown",
]

_SQLITE: Final = "sqlite:///"


async def open_store(
    url: str,
    *,
    clock: Callable[[], float] = time.monotonic,
    wall: Callable[[], float] = time.time,
    is_shared: bool = False,
) -> Store:
    """Run on the store at this URL. ``is_shared``: other processes will reach it through this one.

    ``sqlite:///relative.db`` or ``sqlite:////absolute.db``: own the file, created if absent.
    ``postgresql://user@host/database``: be one of its replicas; the database has its own clock.
    Raises StoreLocked, StoreCorrupt, StoreTooNew, StoreOutdated, or StoreError if it cannot be opened.
    """
    if is_database(url):
        from gateway.store.postgres.owner import PostgresStore

        return await PostgresStore.open(_address(url))
    if is_shared:
        from gateway.store.sqlite.shared import SharedFile

        return await SharedFile.open(file_of(url), clock=clock, wall=wall)
    from gateway.store.sqlite.owner import SQLiteStore

    return await SQLiteStore.open(file_of(url), clock=clock, wall=wall)


@asynccontextmanager
async def open_reads(url: str, *, wall: Callable[[], float] = time.time) -> AsyncGenerator[Reads]:
    """Look into a store without owning it, beside a running gateway or when none runs.

    Raises StoreError if there is no such store.
    """
    reads: Reads
    if is_database(url):
        from gateway.store.postgres.reads import PostgresReads

        reads = await PostgresReads.opened(_address(url))
    else:
        from gateway.store.sqlite.reads import SQLiteReads

        reads = SQLiteReads.of_file(file_of(url), wall=wall)
    try:
        yield reads
    finally:
        await reads.close()


def health_of(url: str) -> Health:
    """The store as seen from outside, without opening it. Raises StoreError for an invalid URL."""
    if is_database(url):
        import asyncio

        from gateway.store.postgres import health as postgres

        return asyncio.run(postgres.health(_address(url)))
    from gateway.store.sqlite import health as sqlite

    return sqlite.health(file_of(url))


async def migrate(url: str) -> tuple[int, int] | None:
    """Bring the schema of a database to this release's version: from which one to which one.

    None: a file needs no such step, it is migrated when it is opened. Raises StoreTooNew, StoreUnavailable.
    """
    if not is_database(url):
        file_of(url)
        return None
    from gateway.store.postgres import migrate as postgres

    return await postgres.migrate(_address(url))


async def copied(source: str, target: str, on_progress: "OnProgress") -> "Mapping[str, Tally]":
    """Copy everything in one store to another, which is empty or holds an unfinished copy; the rows of each kind.

    Raises StoreLocked while a gateway uses either of them, and StoreError.
    """
    from gateway.store import copying

    async with AsyncExitStack() as stack:
        found = await _side(source, is_target=False)
        stack.push_async_callback(found.close)
        made = await _side(target, is_target=True)
        stack.push_async_callback(made.close)
        return await copying.copy(found, made, on_progress)


async def _side(url: str, *, is_target: bool) -> "SQLiteSide | PostgresSide":
    if is_database(url):
        from gateway.store.postgres.copying import PostgresSide

        return await (PostgresSide.target if is_target else PostgresSide.source)(_address(url))
    from gateway.store.sqlite.copying import SQLiteSide

    return (SQLiteSide.target if is_target else SQLiteSide.source)(file_of(url))


def shown(url: str) -> str:
    """What people call a store: its file, or the URL of its database without the password. Raises StoreError."""
    return _address(url).name if is_database(url) else file_of(url)


def _address(url: str) -> Address:
    return Address.of(url, direct=os.environ.get("GATEWAY_STORE_DIRECT", ""))


def file_of(url: str) -> str:
    """The file of a store, with symlinks resolved. Raises StoreError for a URL that names none, or another user's link."""
    if not url.startswith(_SQLITE) or len(url) == len(_SQLITE):
        raise StoreError(
            f'"{address.shown(url)}" is not the URL of a store: write sqlite:///relative.db or sqlite:////absolute.db, or '
            "postgresql://user@host/database"
        )
    path = url.removeprefix(_SQLITE)
    try:
        followed(path)
    except ForeignLink as error:
        raise StoreError(f"{error.strerror}: name the file itself") from None
    except OSError as error:
        raise StoreError(f"{path} cannot be opened ({error.strerror}): name the file itself") from None
    # The lock is named after the file: every spelling of its path, through symlinks too, must give the same name.
    return os.path.realpath(path)
