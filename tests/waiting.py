"""Waiting inside an event loop until something holds."""

import asyncio
from collections.abc import Callable

#: Only turns a hang into a failure: far longer than a busy machine needs.
DEADLINE_S = 90.0


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not condition():
            await asyncio.sleep(0.005)
