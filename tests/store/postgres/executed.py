"""The statements that are executed on a server, and how it plans them."""

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import asyncpg
import pytest

from gateway.store.postgres.connections import PLANNING

#: The methods of a connection that execute a statement and return rows.
ASKING = ("fetch", "fetchrow", "fetchval")


@contextmanager
def recorded(*methods: str) -> Iterator[list[tuple[asyncpg.Connection, str, Sequence[Any]]]]:
    """What is executed by these methods of connections inside: on which one, the statement, and what it was given."""
    found = []

    def recording(original):
        def record(connection, query, *values, **more):
            found.append((connection, query, values))
            return original(connection, query, *values, **more)

        return record

    with pytest.MonkeyPatch.context() as patched:
        for name in methods:
            patched.setattr(asyncpg.Connection, name, recording(getattr(asyncpg.Connection, name)))
        yield found


async def generic_plans(url: str, asked: Mapping[str, Sequence[Any]]) -> AsyncIterator[tuple[str, Mapping[str, Any]]]:
    """Each statement with the plan that is made for any values; ``asked`` has some for each."""
    connection = await asyncpg.connect(url, server_settings={**PLANNING, "plan_cache_mode": "force_generic_plan"})
    try:
        for query, values in asked.items():
            [explanation] = await (await connection.prepare(query)).explain(*values)
            yield query, explanation["Plan"]
    finally:
        await connection.close()
