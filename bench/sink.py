"""A destination that accepts everything: it answers 200 ``ok`` and counts distinct deliveries by their webhook-id.

``GET /count`` answers ``{"requests": n, "deliveries": n}``, ``GET /arrivals`` the id in each body and when it arrived, on
the clock that all processes of a machine share. It prints its port when it listens; the port can be given as argument,
and after it how many seconds each answer takes.
"""

import asyncio
import json
import re
import sys
import time

import uvloop

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_ID = re.compile(rb"\r\nwebhook-id: *([^\r]+)", re.IGNORECASE)
_NUMBER = re.compile(rb'"id": *(\d+)')
_OK = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 2\r\n\r\nok"

#: Seconds that each answer takes. The arguments are those of this script: others have a Connection, too.
delay_s = 0.0
requests = 0
deliveries: set[bytes] = set()
arrivals: list[tuple[int, float]] = []


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
            body, self.buffer = self.buffer[end + 4 : total], self.buffer[total:]
            answer = self.answer(head, body)
            if answer is _OK and delay_s:
                asyncio.get_running_loop().call_later(delay_s, self.transport.write, answer)
            else:
                self.transport.write(answer)

    def answer(self, head, body):
        global requests
        if head.startswith(b"GET /count "):
            return as_json({"requests": requests, "deliveries": len(deliveries)})
        if head.startswith(b"GET /arrivals "):
            return as_json(arrivals)
        requests += 1
        if number := _NUMBER.search(body):
            arrivals.append((int(number[1]), time.perf_counter()))
        found = _ID.search(head)
        if found:
            deliveries.add(found[1])
        return _OK


def as_json(value):
    body = json.dumps(value).encode()
    return b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body)


async def main():
    global delay_s
    delay_s = float(sys.argv[2]) if len(sys.argv) > 2 else 0.0
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 0
    server = await asyncio.get_running_loop().create_server(Connection, "127.0.0.1", port, reuse_port=bool(port))
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    delay_s = float(sys.argv[2]) if len(sys.argv) > 2 else 0.0
    try:
        uvloop.run(main())
    except KeyboardInterrupt:
        sys.exit(0)
