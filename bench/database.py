"""CPU per event of the store alone, on PostgreSQL beside SQLite: python -m bench.database URL [--parked 1000000]

Events in groups of 64 are appended, started from memory and settled as delivered. ``URL`` names an empty database that
may be filled; the server has to run on this machine, for its CPU time. ``--parked`` adds so many retries that are due
tomorrow, and measures claims beside them.
"""

import argparse
import asyncio
import contextlib
import hashlib
import os
import resource
import tempfile
import time
from pathlib import Path

import asyncpg
import uvloop

from gateway.model import Attempt, Delivered, Event, new_id
from gateway.store import migrate, open_store
from gateway.store.nouns import NewDelivery, NewEvent, Outcome, Want

GROUP = 64
BODY = b'{"event":"contact.created","data":{"id":451,"name":"Ada","phone":"+14155551234","note":"' + b"x" * 900 + b'"}}'
TICKS = os.sysconf("SC_CLK_TCK")


def new_event(lease_s=30.0, destination="slack"):
    now = time.time()
    id_ = new_id("evt", now)
    body = BODY + id_.encode()
    sha256 = hashlib.sha256(body).digest()
    headers = {"content-type": "application/json", "user-agent": "bench", "x-request-id": id_}
    event = Event(
        id=id_, source="crm", type="contact.created", received_at=now, headers=headers, body=body, sha256=sha256
    )
    delivery = NewDelivery(id=new_id("dlv", now), route="to-slack", destination=destination, lease_s=lease_s)
    return NewEvent(event=event, key=sha256, window_s=86400.0, deliveries=[delivery])


def delivered(lease):
    made = Attempt(number=1, started_at=time.time(), duration_s=0.05, outcome="delivered", status=200, answer="ok")
    return Outcome(lease, Delivered(), made)


def client_cpu():
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def server_cpu(postmaster):
    """Seconds of the server and of everything that it has started."""
    total, family = 0.0, {postmaster}
    stats = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = path.read_text().rpartition(")")[2].split()
            stats.append((int(path.parent.name), int(fields[1]), fields))
    for pid, parent, fields in stats:
        if pid in family or parent in family:
            # Its own time, and that of children that have ended.
            total += sum(map(int, fields[11:15] if pid == postmaster else fields[11:13]))
    return total / TICKS


async def run(store, groups, width):
    """Events per second, with so many groups at a time."""
    began = time.perf_counter()
    left = iter(range(groups))

    async def work():
        for _ in left:
            news = [new_event() for _ in range(GROUP)]
            appended = await asyncio.gather(*(store.append([new]) for new in news))
            leases = [lease for [one] in appended for lease in one.leases]
            assert len(leases) == GROUP, "others are due"
            await asyncio.gather(*(store.settle([delivered(lease)]) for lease in leases))

    await asyncio.gather(*(work() for _ in range(width)))
    return groups * GROUP / (time.perf_counter() - began)


async def making(groups):
    """Seconds of CPU that making the events and outcomes takes, which is not the store's."""
    began = client_cpu()
    for _ in range(groups):
        for _ in range(GROUP):
            new_event()
    return client_cpu() - began


async def measure(name, store, groups, width, postmaster=0):
    await run(store, 20, width)
    own = await making(groups)
    client, server = client_cpu(), server_cpu(postmaster) if postmaster else 0.0
    rate = await run(store, groups, width)
    events = groups * GROUP
    client = (client_cpu() - client - own) / events * 1e6
    server = ((server_cpu(postmaster) - server) if postmaster else 0.0) / events * 1e6
    print(
        f"{name:10} {rate:9,.0f} events/s   {client:6.1f} us client + {server:6.1f} us server = {client + server:6.1f}"
    )
    return client + server


PARK = """
INSERT INTO queue (seq, id, event_seq, event_id, route, destination, due, changed_at, attempts)
SELECT (20000::bigint << 36) | n, 'dlv_parked_' || n, (20000::bigint << 36) | n, 'evt_parked_' || n, 'to-parked', 'parked',
    gateway_now() + 86400 + n / 1000.0, gateway_now(), 1
FROM generate_series($1::bigint, $2::bigint) n
"""


async def park(url, count):
    connection = await asyncpg.connect(url)
    for first in range(1, count, 100_000):
        await connection.execute(PARK, first, min(count, first + 99_999))
    await connection.execute(
        "INSERT INTO tally (destination, state, deliveries) VALUES ('parked', 'pending', $1)", count
    )
    await connection.execute("VACUUM ANALYZE queue")
    await connection.close()


async def claims(store, count):
    """Milliseconds of claims, of a destination with parked retries and a few that are due: median and 99th percentile."""
    took = []
    for _ in range(count):
        await store.append([new_event(None, "parked") for _ in range(8)])
        began = time.perf_counter()
        leases = await store.claim("main", {"parked": Want(32, 30.0), "slack": Want(32, 30.0)})
        took.append((time.perf_counter() - began) * 1000)
        assert len(leases) == 8
        await store.settle([delivered(lease) for lease in leases])
    took.sort()
    return took[len(took) // 2], took[int(len(took) * 0.99)]


async def main():
    asked = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    asked.add_argument("url")
    asked.add_argument("--groups", type=int, default=400)
    asked.add_argument("--width", type=int, default=4, help="groups at a time")
    asked.add_argument("--parked", type=int, default=0)
    given = asked.parse_args()
    await migrate(given.url)
    connection = await asyncpg.connect(given.url)
    postmaster = int((await connection.fetchval("SELECT pg_read_file('postmaster.pid')")).split()[0])
    print(await connection.fetchval("SELECT version()"))
    await connection.close()
    with tempfile.TemporaryDirectory() as folder:
        store = await open_store(f"sqlite:///{folder}/bench.db")
        beside = await measure("sqlite", store, given.groups, given.width)
        await store.close()
    store = await open_store(given.url)
    cost = await measure("postgres", store, given.groups, given.width, postmaster)
    print(f"CPU per event: {cost / beside:.2f} x that of SQLite")
    if given.parked:
        median, p99 = await claims(store, 300)
        print(f"claims, nothing parked:     {median:6.2f} ms, p99 {p99:6.2f} ms")
        await park(given.url, given.parked)
        median, p99 = await claims(store, 300)
        print(f"claims, {given.parked:,} parked: {median:6.2f} ms, p99 {p99:6.2f} ms")
        await measure("parked", store, given.groups, given.width, postmaster)
    await store.close()


if __name__ == "__main__":
    # The loop that the gateway runs on.
    uvloop.run(main())
