"""A URL with several hosts: which of them is the primary is found out by asking all of them at the same time.

The driver asks one after the other within one timeout, so a first host that is silent would keep it from the others.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from urllib.parse import parse_qsl, quote, urlencode

import asyncpg

_SAFE = "/,"


def alternatives(dsn: str) -> Sequence[str]:
    """A URL for each host, if the URL says which one is wanted (``target_session_attrs``); otherwise the URL itself."""
    base, _, query = dsn.partition("?")
    pairs = dict(parse_qsl(query, keep_blank_values=True))
    if "target_session_attrs" not in pairs:
        return [dsn]
    scheme, _, rest = base.partition("://")
    authority, _, path = rest.partition("/")
    user, at, hosts = authority.rpartition("@")
    if hosts:
        return [f"{scheme}://{user}{at}{host}/{path}?{query}" for host in hosts.split(",")]
    names, ports = pairs.get("host", "").split(","), pairs.get("port", "").split(",")
    ports = ports if len(ports) == len(names) else ports * len(names)
    return [
        f"{base}?{urlencode({**pairs, 'host': name, **({'port': port} if port else {})}, quote_via=quote, safe=_SAFE)}"
        for name, port in zip(names, ports, strict=False)
    ]


async def first_of(dsns: Sequence[str], connect: Callable[[str], Awaitable[asyncpg.Connection]]) -> asyncpg.Connection:
    """The first connection that is made; if none is, the error of the first URL is raised."""
    tasks = [asyncio.ensure_future(connect(dsn)) for dsn in dsns]
    used = None
    try:
        waiting = set(tasks)
        while used is None and waiting:
            _, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            used = next((task for task in tasks if _is_made(task)), None)
        return (used or tasks[0]).result()
    finally:
        for task in tasks:
            if task is not used and _is_made(task):
                task.result().terminate()
            task.cancel()


def _is_made(task: "asyncio.Future[asyncpg.Connection]") -> bool:
    return task.done() and not task.cancelled() and task.exception() is None
