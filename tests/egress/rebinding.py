"""One name whose address is public at the first look and another at the second; run in a network of its own."""

import asyncio
import socket
import struct
import sys
import threading
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from gateway.egress import Door, Egress, names
from gateway.errors import EgressError
from gateway.model import HttpRequest
from tests.sink import Sink, answer


class Resolver:
    """Answers every question for an IPv4 address with the next of ``addresses``, and no other one."""

    def __init__(self, *addresses: str) -> None:
        self.asked = 0
        self._addresses = addresses
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 53))
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            query, asker = self._socket.recvfrom(512)
            end = query.index(b"\0", 12) + 5
            [kind] = struct.unpack(">H", query[end - 4 : end - 2])
            records = b""
            if kind == 1:
                address = socket.inet_aton(self._addresses[min(self.asked, len(self._addresses) - 1)])
                self.asked += 1
                records = b"\xc0\x0c" + struct.pack(">HHIH", 1, 1, 0, 4) + address
            head = query[:2] + struct.pack(">HHHHH", 0x8180, 1, len(records) and 1, 0, 0)
            self._socket.sendto(head + query[12:end] + records, asker)


async def attempts(port: int) -> list[str]:
    egress, said = Egress(), []
    request = HttpRequest(method="POST", url=f"http://hooks.example:{port}/", headers=(), body=b"{}")
    for _ in range(2):
        try:
            reply = await egress.send(request, timeout_s=10, door=Door(public=True))
            said.append(f"answered {reply.status}")
        except EgressError as error:
            said.append(str(error))
    await egress.close()
    return said


names.NAMES_KEPT_S = 0
resolver = Resolver("8.8.8.8", sys.argv[1])
with Sink(answer(headers=[("connection", "close")]), host="0.0.0.0") as sink:
    said = asyncio.run(attempts(sink.port))
    said += [f"asked {resolver.asked}", f"requests {len(sink.requests)}", f"connections {sink.connections}"]
    sys.stdout.write("\n".join(said))
