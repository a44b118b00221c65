"""The destination: it knows every event by the mark ``evt-NUMBER`` in its body. Prints its port when it listens.

The argument is how many seconds each answer takes, as those of real services do. An event counts when it is answered.

``GET /down`` and ``GET /up``: answer 503 from now on, or 200 again. ``GET /events``: the numbers that arrived and were
answered with 200, how many requests that took, and how many were refused.
"""

import asyncio
import json
import re
import sys

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_MARK = re.compile(rb"evt-(\d+)")

delay_s = float(sys.argv[1]) if len(sys.argv) > 1 else 0.0
numbers: dict[int, int] = {}
refused = 0
down = False


class Connection(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport = transport
        self.buffer = b""

    def data_received(self, data):
        self.buffer += data
        while (end := self.buffer.find(b"\r\n\r\n")) >= 0:
            head = self.buffer[:end]
            if re.search(rb"\r\nexpect: *100-continue", head, re.IGNORECASE) and len(self.buffer) == end + 4:
                self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            length = _LENGTH.search(head)
            total = end + 4 + (int(length[1]) if length else 0)
            if len(self.buffer) < total:
                return
            body, self.buffer = self.buffer[end + 4 : total], self.buffer[total:]
            asyncio.get_running_loop().call_later(
                0 if head.startswith(b"GET ") else delay_s,
                lambda head=head, body=body: self.transport.write(answer(head, body)),
            )


def answer(head, body):
    global refused, down
    path = head.split(b" ", 2)[1]
    if path == b"/events":
        return response(200, json.dumps({"events": numbers, "refused": refused}).encode())
    if path in (b"/down", b"/up"):
        down = path == b"/down"
        return response(200, b"ok")
    if down:
        refused += 1
        return response(503, b"down")
    for number in {int(found) for found in _MARK.findall(body)}:
        numbers[number] = numbers.get(number, 0) + 1
    return response(200, b"ok")


def response(status, body):
    return b"HTTP/1.1 %d -\r\ncontent-type: text/plain\r\ncontent-length: %d\r\n\r\n%b" % (status, len(body), body)


async def main():
    server = await asyncio.get_running_loop().create_server(Connection, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except KeyboardInterrupt:
        sys.exit(0)
