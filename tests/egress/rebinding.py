"""One name whose address is public at the first look and another at the second; run in a network of its own."""

import asyncio
import socket
import struct
import sys
import threading
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from gateway.egress import Door, Egress, names
from gateway.model import Reply
from tests.egress.users import User, attempt, flow
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


async def requests(user: User, port: int) -> list[str]:
    egress = Egress()
    results = [await user(egress, f"http://hooks.example:{port}/", Door(public=True)) for _ in range(2)]
    await egress.close()
    return [f"answered {each.status}" if isinstance(each, Reply) else str(each) for each in results]


names.NAMES_KEPT_S = 0
resolver = Resolver("8.8.8.8", sys.argv[1])
with Sink(answer(headers=[("connection", "close")]), host="0.0.0.0") as sink:
    said = asyncio.run(requests({"attempt": attempt, "httpx": flow}[sys.argv[2]], sink.port))
    said += [f"asked {resolver.asked}", f"requests {len(sink.requests)}", f"connections {sink.connections}"]
    sys.stdout.write("\n".join(said))
