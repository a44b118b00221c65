"""Whether a destination can be reached: its name, its addresses, TCP, TLS. No request is sent."""

import asyncio

from gateway.egress import trust
from gateway.egress.door import Door, Guard, Listeners
from gateway.egress.engine import Engine
from gateway.egress.faults import of_exception
from gateway.errors import EgressError, TimedOut


async def reach(url: str, door: Door, *, timeout_s: float) -> str:
    """Connect as an attempt would, and say to what: ``93.184.215.14, TLSv1.3``. Raises EgressError."""
    try:
        async with asyncio.timeout(timeout_s):
            ca_file = await asyncio.to_thread(trust.bundle_for, door)
            engine = Engine(door, Guard(door, Listeners()), ca_file)
            try:
                return await engine.connect(url)
            finally:
                await engine.close()
    except TimeoutError:
        raise TimedOut(f"no connection within {timeout_s:g} s") from None
    except EgressError:
        raise
    except Exception as error:  # noqa: BLE001  whatever it is, it is what an attempt would meet
        raise of_exception(error) from None
