"""Makes attempts of every kind it is given, over and over, and says how many sockets and how much memory that leaves; a process of its own."""

import asyncio
import json
import resource
import socket
import sys
from contextlib import suppress
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import uvloop

from gateway.egress import Door, Egress
from tests.descriptors import open_sockets
from tests.egress.users import attempt, flow

AT_ONCE = 250


def getaddrinfo(host: str, *more: object, **options: object) -> list:
    """What the system would say, without asking the network."""
    if host.endswith(".invalid"):
        raise socket.gaierror(socket.EAI_NONAME, "not known")
    return asked(host, *more, **options)


asked, socket.getaddrinfo = socket.getaddrinfo, getaddrinfo


async def main(attempts: int, kinds: list[dict]) -> dict[str, int]:
    egress = Egress()
    doors = [Door(**kind["door"]) for kind in kinds]
    before = open_sockets()

    async def one(number: int) -> bool:
        kind, door = kinds[number % len(kinds)], doors[number % len(kinds)]
        user = flow if number // len(kinds) % 5 == 4 else attempt
        # Without a body every seventh time: those are sent over other handles.
        body = b"" if number // len(kinds) % 7 == 6 else b'{"id": 1}'
        result = asyncio.create_task(user(egress, kind["url"], door, kind["timeout_s"], body))
        if kind["is_given_up"]:
            await asyncio.sleep(0.01)
            result.cancel()
        with suppress(asyncio.CancelledError):
            return not isinstance(await result, Exception)
        return False

    async def batch(begin: int, count: int) -> int:
        results = []
        for at in range(begin, begin + count, AT_ONCE):
            results += await asyncio.gather(*(one(number) for number in range(at, at + AT_ONCE)))
        return sum(results)

    await batch(0, 1_000)
    warm, memory = open_sockets(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    answered = await batch(1_000, attempts)
    during = open_sockets()
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory
    await egress.close()
    left = open_sockets() - before
    return {"warm": warm, "during": during, "left": left, "grown_kib": grown, "answered": answered}


json.dump(uvloop.run(main(int(sys.argv[1]), json.load(sys.stdin))), sys.stdout)
