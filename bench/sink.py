"""A destination that takes everything: answers 200 ``ok`` and counts distinct deliveries by their webhook-id.

``GET /count`` answers ``{"requests": n, "deliveries": n}``. Prints its port when it listens.
"""

import asyncio
import json
import re
import sys

import uvloop

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_ID = re.compile(rb"\r\nwebhook-id: *([^\r]+)", re.IGNORECASE)
_OK = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 2\r\n\r\nok"

requests = 0
deliveries: set[bytes] = set()


class Connection(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport = transport
        self.buffer = b""

    def data_received(self, data):
        self.buffer += data
        while (end := self.buffer.find(b"\r\n\r\n")) >= 0:
            head = self.buffer[:end]
            length = _LENGTH.search(head)
            total = end + 4 + (int(length[1]) if length else 0)
            if len(self.buffer) < total:
                return
            self.buffer = self.buffer[total:]
            self.transport.write(self.answer(head))

    def answer(self, head):
        global requests
        if head.startswith(b"GET /count "):
            body = json.dumps({"requests": requests, "deliveries": len(deliveries)}).encode()
            return b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body)
        requests += 1
        found = _ID.search(head)
        if found:
            deliveries.add(found[1])
        return _OK


async def main():
    server = await asyncio.get_running_loop().create_server(Connection, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


try:
    uvloop.run(main())
except KeyboardInterrupt:
    sys.exit(0)
