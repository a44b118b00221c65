"""Opening in advance what the first attempt through a door has to wait for."""

import asyncio
from collections.abc import Iterable

from gateway.egress import Door, Egress


async def opened(egress: Egress, doors: Iterable[Door] = (Door(),)) -> None:
    """Open doors, whether it succeeds or not: an attempt with a short deadline is then about its destination alone."""
    await asyncio.wait([egress._way(door).opening for door in doors])
