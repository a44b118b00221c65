"""Whether a destination can be reached: its name, its addresses, TCP, TLS; and whether HTTP is spoken there."""

import asyncio
from urllib.parse import urlsplit

from gateway.egress import Egress, trust, unix
from gateway.egress.door import Door, Guard, Listeners
from gateway.egress.engine import Engine
from gateway.egress.faults import of_exception
from gateway.egress.names import Names
from gateway.errors import EgressError, TimedOut


async def reach(url: str, door: Door, *, timeout_s: float) -> str:
    """Connect as an attempt would, send nothing, and say to what: ``93.184.215.14, TLSv1.3``. Raises EgressError."""
    try:
        async with asyncio.timeout(timeout_s):
            ca_file = await asyncio.to_thread(trust.bundle_for, door)
            names = Names()
            engine = Engine(door, Guard(door, Listeners()), ca_file, names)
            try:
                return await engine.connect(url)
            finally:
                await engine.close()
                await names.close()
    except TimeoutError:
        raise TimedOut(f"no connection within {timeout_s:g} s") from None
    except EgressError:
        raise
    except Exception as error:  # noqa: BLE001  whatever it is, it is what an attempt would meet
        raise of_exception(error) from None


async def ask(url: str, door: Door, *, timeout_s: float) -> int:
    """The status of the answer to ``HEAD /`` at the server of a url. Raises EgressError.

    Nothing of the destination's goes out with it: no path, query, header or login.
    """
    from gateway.egress.client import LONGEST_DOCUMENT, client

    socket = unix.parted(url)[0] if url.startswith(unix.SCHEME) else ""
    parts = urlsplit(f"{unix.PLACE}/" if socket else url)
    root = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}/"
    egress = Egress()
    try:
        async with client(egress, door=door, timeout_s=timeout_s, most=LONGEST_DOCUMENT, socket=socket) as http:
            return (await http.head(root)).status_code
    finally:
        await egress.close()
