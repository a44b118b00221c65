"""The load: post signed requests to one address, in a closed loop or at a fixed rate.

Reads complete HTTP requests (4-byte length, bytes) from a file and prints a JSON summary; with ``--times`` also when each
was sent. At a fixed rate the latency of a request counts from when it was due, not from when a connection was free for
it.
"""

import argparse
import asyncio
import json
import struct
import time
from pathlib import Path

import uvloop


def read_requests(path):
    data = Path(path).read_bytes()
    requests, at = [], 0
    while at < len(data):
        (size,) = struct.unpack_from(">I", data, at)
        requests.append(data[at + 4 : at + 4 + size])
        at += 4 + size
    return requests


class Client(asyncio.Protocol):
    """One keep-alive connection, one request at a time."""

    def __init__(self, done):
        self.done = done
        self.buffer = b""

    def connection_made(self, transport):
        self.transport = transport

    def send(self, request, due):
        self.due = due
        self.transport.write(request)

    def data_received(self, data):
        self.buffer += data
        end = self.buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        at = self.buffer.lower().find(b"content-length:")
        length = int(self.buffer[at + 15 : self.buffer.index(b"\r\n", at)])
        if len(self.buffer) >= end + 4 + length:
            status = int(self.buffer[9:12])
            self.buffer = self.buffer[end + 4 + length :]
            self.done(self, status, time.perf_counter() - self.due)


async def run(host, port, requests, connections, rate):
    loop = asyncio.get_running_loop()
    latencies, statuses, times = [], {}, []
    finished = loop.create_future()
    idle = []
    position = 0
    began = 0.0

    def done(client, status, latency):
        latencies.append(latency)
        statuses[status] = statuses.get(status, 0) + 1
        if len(latencies) == len(requests) and not finished.done():
            finished.set_result(None)
        idle.append(client)
        feed()

    def feed():
        nonlocal position
        now = time.perf_counter()
        while idle and position < len(requests):
            due = began + position / rate if rate else now
            if due > now:
                loop.call_later(due - now, feed)
                return
            idle.pop().send(requests[position], due)
            times.append(due)
            position += 1

    for _ in range(connections):
        _, client = await loop.create_connection(lambda: Client(done), host, port)
        idle.append(client)
    # Not before all are connected: what is due meanwhile would be late.
    began = time.perf_counter()
    feed()
    await finished
    elapsed = time.perf_counter() - began
    latencies.sort()
    return {
        "requests": len(requests),
        "seconds": elapsed,
        "per_second": len(requests) / elapsed,
        "statuses": statuses,
        "p50_ms": latencies[len(latencies) // 2] * 1000,
        "p99_ms": latencies[int(len(latencies) * 0.99)] * 1000,
        "max_ms": latencies[-1] * 1000,
        "times": times,
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("requests")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--rate", type=float, default=0)
    parser.add_argument("--times", action="store_true")
    options = parser.parse_args()
    ready_made = read_requests(options.requests)
    summary = uvloop.run(run("127.0.0.1", options.port, ready_made, options.connections, options.rate))
    if not options.times:
        del summary["times"]
    print(json.dumps(summary))
