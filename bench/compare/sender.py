"""The sender: each event at its own time, and again until it is acknowledged, as the services behave that send webhooks."""

import asyncio
import time

#: Seconds after which a request that was not answered is made again, and between two tries.
TIMEOUT_S, PAUSE_S = 5.0, 0.1


class Sender:
    """Keep-alive connections to one address. ``acked`` has, by event, the seconds from when it was due to its 2xx."""

    def __init__(self, port, request):
        self.port, self.request = port, request
        self.acked = {}
        self.tries = 0

    async def send(self, numbers, rate, connections=16, give_up_s=60.0):
        """Send ``rate`` events per second. An event whose turn comes late counts from when it was due."""
        began = time.perf_counter() + 0.05
        due = iter([(began + position / rate, number) for position, number in enumerate(numbers)])
        give_up = began + len(numbers) / rate + give_up_s
        await asyncio.gather(*(self._connection(due, give_up) for _ in range(connections)))

    async def _connection(self, due, give_up):
        stream = None
        for at, number in due:
            await asyncio.sleep(max(0.0, at - time.perf_counter()))
            while time.perf_counter() < give_up:
                self.tries += 1
                try:
                    async with asyncio.timeout(TIMEOUT_S):
                        stream = stream or await asyncio.open_connection("127.0.0.1", self.port)
                        status, keep = await exchange(*stream, self.request(number))
                except (OSError, EOFError, TimeoutError):
                    status, keep = 0, False
                if stream and not keep:
                    stream[1].close()
                    stream = None
                if 200 <= status < 300:
                    self.acked[number] = time.perf_counter() - at
                    break
                await asyncio.sleep(PAUSE_S)
        if stream:
            stream[1].close()


async def exchange(reader, writer, request):
    """Status, and whether the connection can be used again."""
    writer.write(request)
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    if b"transfer-encoding: chunked" in head:
        while size := int(await reader.readuntil(b"\r\n"), 16):
            await reader.readexactly(size + 2)
        await reader.readexactly(2)
    else:
        at = head.find(b"\r\ncontent-length:")
        await reader.readexactly(int(head[at + 17 : head.index(b"\r\n", at + 2)]) if at >= 0 else 0)
    return int(head[9:12]), b"\r\nconnection: close" not in head and head.startswith(b"http/1.1")
