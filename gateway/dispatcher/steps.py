"""Work that is done again and again for as long as the gateway runs."""

import asyncio
from collections.abc import Awaitable, Callable

from gateway import telemetry
from gateway.dispatcher.settling import STORE_PAUSE_S
from gateway.errors import StoreUnavailable


async def for_ever(step: Callable[[], Awaitable[None]]) -> None:
    """Take ``step`` again and again: neither a disk that refuses nor a bug may end deliveries in silence."""
    while True:
        try:
            await step()
        except StoreUnavailable as error:
            telemetry.log("store.unavailable", reason=str(error))
            await asyncio.sleep(STORE_PAUSE_S)
        except Exception:  # noqa: BLE001  logged, and the loop lives on
            telemetry.log("internal.error", exc_info=True)
            await asyncio.sleep(STORE_PAUSE_S)
