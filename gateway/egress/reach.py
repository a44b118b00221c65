"""Whether a destination can be reached: its name, its addresses, TCP, TLS. No request is sent."""

import asyncio
import socket
import ssl
from collections.abc import Sequence
from contextlib import suppress
from urllib.parse import urlsplit

from gateway.egress import wire
from gateway.egress.addresses import literal
from gateway.egress.door import Door, Guard, Listeners
from gateway.egress.faults import explained
from gateway.errors import AddressBlocked, ConnectFailed, EgressError, TimedOut


async def reach(url: str, door: Door, *, timeout_s: float) -> str:
    """Connect as an attempt would. Returns what was reached: ``93.184.215.14, TLSv1.3``. Raises EgressError."""
    parts = urlsplit(url)
    host, is_tls = parts.hostname or "", parts.scheme == "https"
    port = parts.port or (443 if is_tls else 80)
    guard = Guard(door, Listeners())
    try:
        async with asyncio.timeout(timeout_s):
            addresses = await _addresses(host, port, guard)
            tls = await asyncio.to_thread(wire.tls_context, door.ca) if is_tls else None
            return await _first_open(addresses, port, guard, tls, host)
    except TimeoutError:
        raise TimedOut(f"no connection within {timeout_s:g} s") from None
    except EgressError:
        raise
    except Exception as error:  # noqa: BLE001  whatever it is, an attempt would meet it too
        raise explained(error) from None


async def _addresses(host: str, port: int, guard: Guard) -> Sequence[str]:
    if literal(host) is not None:
        return [host]
    found = await wire.Resolver(guard).resolve(host, port, socket.AF_UNSPEC)
    return [each["host"] for each in found]


async def _first_open(addresses: Sequence[str], port: int, guard: Guard, tls: ssl.SSLContext | None, host: str) -> str:
    """One address that answers is enough, as for an attempt. Raises the last failure if none does."""
    failure: Exception = ConnectFailed("the name has no address")
    for address in addresses:
        guard.connecting(address, port)
        try:
            return await _opened(address, port, tls, host)
        except (AddressBlocked, TimeoutError):
            raise
        except OSError as error:
            failure = error
    raise failure


async def _opened(address: str, port: int, tls: ssl.SSLContext | None, host: str) -> str:
    _, writer = await asyncio.open_connection(address, port, ssl=tls, server_hostname=host if tls else None)
    shaken = writer.get_extra_info("ssl_object")
    said = f"{address}, {shaken.version()}" if shaken else f"{address}, without TLS"
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()
    return said
