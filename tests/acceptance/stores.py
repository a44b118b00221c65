"""The store that the gateways of a test run on: a file in their folder, or a database for each folder."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gateway.store import migrate
from tests import postgres

KINDS = ("sqlite", "postgres")


class _Stores:
    """Which kind is meant now, and the databases that were made."""

    def __init__(self) -> None:
        self.kind = KINDS[0]
        self.databases: dict[Path, str] = {}


_stores = _Stores()


def url_of(folder: Path) -> str:
    """The store of the gateway in this folder: the same one whenever it is asked for."""
    if _stores.kind == "sqlite":
        return f"sqlite:///{folder}/gateway.db"
    if folder not in _stores.databases:
        _stores.databases[folder] = made = postgres.fresh()
        asyncio.run(migrate(made))
    return _stores.databases[folder]


@contextmanager
def meant(kind: str) -> Iterator[None]:
    """Gateways that are made inside run on stores of this kind."""
    before, _stores.kind = _stores.kind, kind
    try:
        yield
    finally:
        _stores.kind = before


@contextmanager
def of_kind(kind: str) -> Iterator[None]:
    """As ``meant``; the databases that were made inside are dropped."""
    try:
        with meant(kind):
            yield
    finally:
        while _stores.databases:
            postgres.drop(_stores.databases.popitem()[1])
