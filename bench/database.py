"""The store alone, on PostgreSQL beside SQLite: python -m bench.database URL [--replicas 1,2,4] [--parked 1000000] [--held 60]

Events in groups of 64 are appended, started from memory and settled as delivered. ``URL`` names an empty database that
may be filled; the server has to run on this machine, for its CPU time. The two stores take turns. ``--replicas`` then
does the same with so many processes at once; ``--parked`` adds so many retries that are due tomorrow, and measures
claims and appends beside them; ``--held`` measures while a snapshot is held open for so many seconds.
"""

import argparse
import asyncio
import contextlib
import gc
import hashlib
import json
import os
import resource
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import asyncpg
import uvloop

from gateway.model import Attempt, Delivered, Event, new_id
from gateway.store import migrate, open_store
from gateway.store.nouns import NewDelivery, NewEvent, Outcome, Want

GROUP = 64
#: Seconds before anything counts.
WARM_S = 1.0
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


async def listen(store):
    """Hear what is due, as the gateway does."""
    while True:
        await store.wake()


async def run(store, seconds, width):
    """How many events within this time, and seconds that they took; with so many groups at a time."""
    listening = asyncio.create_task(listen(store))
    began = time.perf_counter()
    events = 0

    async def work():
        nonlocal events
        while time.perf_counter() - began < seconds:
            news = [new_event() for _ in range(GROUP)]
            appended = await asyncio.gather(*(store.append([new]) for new in news))
            leases = [lease for [one] in appended for lease in one.leases]
            assert len(leases) == GROUP, "others are due"
            await asyncio.gather(*(store.settle([delivered(lease)]) for lease in leases))
            events += GROUP

    await asyncio.gather(*(work() for _ in range(width)))
    listening.cancel()
    return events, time.perf_counter() - began


def making(events=10_000):
    """Seconds of CPU that making an event takes, which is not the store's."""
    began = client_cpu()
    for _ in range(events):
        new_event()
    return (client_cpu() - began) / events


class Cost(NamedTuple):
    """Events per second, and seconds of CPU for each."""

    rate: float
    client: float
    server: float

    @property
    def cpu(self):
        return self.client + self.server


def told(name, cost):
    us = f"{cost.client * 1e6:6.1f} us client + {cost.server * 1e6:6.1f} us server = {cost.cpu * 1e6:6.1f}"
    print(f"{name:12} {cost.rate:9,.0f} events/s   {us}", flush=True)
    return cost


async def measured(store, seconds, width, postmaster=0):
    own = making()
    client, server = client_cpu(), server_cpu(postmaster) if postmaster else 0.0
    events, took = await run(store, seconds, width)
    server = server_cpu(postmaster) - server if postmaster else 0.0
    return Cost(events / took, (client_cpu() - client) / events - own, server / events)


async def as_replica(url, seconds, width):
    """One process of several: it begins when it is told to, tells what it has done, and ends when it is told to."""
    store = await open_store(url)
    await run(store, WARM_S, width)
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    cost = await measured(store, seconds, width)
    print(json.dumps(cost), flush=True)
    # The time of processes of the server that end meanwhile would count twice, or not at all.
    await asyncio.to_thread(sys.stdin.readline)
    await store.close()


async def together(url, count, seconds, width, postmaster):
    """So many processes at once."""
    command = [
        sys.executable,
        "-m",
        "bench.database",
        url,
        "--as-replica",
        "--seconds",
        str(seconds),
        "--width",
        str(width),
    ]
    pipe = asyncio.subprocess.PIPE
    replicas = [await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe) for _ in range(count)]
    for each in replicas:
        await each.stdout.readline()
    server = server_cpu(postmaster)
    for each in replicas:
        each.stdin.write(b"\n")
    costs = [Cost(*json.loads(await each.stdout.readline())) for each in replicas]
    rate = sum(cost.rate for cost in costs)
    server = (server_cpu(postmaster) - server) / (rate * seconds)
    for each in replicas:
        each.stdin.write(b"\n")
        await each.wait()
    return Cost(rate, sum(cost.client * cost.rate for cost in costs) / rate, server)


def middle(costs):
    """The medians of several."""
    return Cost(*map(statistics.median, zip(*costs, strict=True)))


PARK = """
INSERT INTO queue (seq, id, event_seq, event_id, route, destination, due, changed_at, attempts)
SELECT (20000::bigint << 47) | (n << 12) | 1, 'dlv_parked_' || n, (20000::bigint << 47) | (n << 12), 'evt_parked_' || n, 'to-parked', 'parked',
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
    """Milliseconds of claims, of a destination with parked retries and a few that are due, and of the appends before."""
    claimed, appended = [], []
    for _ in range(count):
        news = [new_event(None, "parked") for _ in range(8)]
        began = time.perf_counter()
        await store.append(news)
        appended.append((time.perf_counter() - began) * 1000)
        began = time.perf_counter()
        leases = await store.claim("main", {"parked": Want(32, 30.0), "slack": Want(32, 30.0)})
        claimed.append((time.perf_counter() - began) * 1000)
        assert len(leases) == 8
        await store.settle([delivered(lease) for lease in leases])
    return sorted(appended), sorted(claimed)


async def waits(name, store, count=300):
    """The medians of appends and of claims, milliseconds."""
    listening = asyncio.create_task(listen(store))
    medians = []
    for verb, took in zip(("appends", "claims"), await claims(store, count), strict=True):
        p50, p99 = took[len(took) // 2], took[int(len(took) * 0.99)]
        print(f"{verb + ', ' + name:32} {p50:6.2f} ms, p99 {p99:6.2f} ms", flush=True)
        medians.append(p50)
    listening.cancel()
    return medians


async def beside_snapshot(url, store, given, postmaster):
    """What events cost at the end of the time that somebody keeps a snapshot."""
    connection = await asyncpg.connect(url)
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        await connection.fetchval("SELECT count(*) FROM queue WHERE destination = 'slack'")
        await run(store, max(0.0, given.held - given.seconds), given.width)
        cost = await measured(store, given.seconds, given.width, postmaster)
        await waits(f"snapshot of {given.held:.0f} s", store)
    await connection.close()
    return cost


def arguments():
    asked = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    asked.add_argument("url")
    asked.add_argument("--seconds", type=float, default=5.0, help="of each measurement")
    asked.add_argument("--turns", type=int, default=3)
    asked.add_argument("--width", type=int, default=4, help="groups at a time")
    asked.add_argument("--replicas", default="", help="numbers of processes: 1,2,4")
    asked.add_argument("--parked", type=int, default=0)
    asked.add_argument("--held", type=float, default=0.0, help="seconds that a snapshot is held open")
    asked.add_argument("--as-replica", action="store_true", help=argparse.SUPPRESS)
    return asked.parse_args()


async def compare(given, postmaster):
    """All who take turns, each once a turn."""
    counts = [int(each) for each in given.replicas.split(",") if each]
    costs = {}
    for _ in range(given.turns):
        with tempfile.TemporaryDirectory() as folder:
            store = await open_store(f"sqlite:///{folder}/bench.db")
            await run(store, WARM_S, given.width)
            costs.setdefault("sqlite", []).append(await measured(store, given.seconds, given.width))
            await store.close()
        for count in counts or [1]:
            cost = await together(given.url, count, given.seconds, given.width, postmaster)
            costs.setdefault(f"postgres {count}", []).append(cost)
    sqlite, *others = [(name, told(name, middle(each))) for name, each in costs.items()]
    for name, cost in others:
        print(
            f"{name}: {cost.cpu / sqlite[1].cpu:.2f} x the CPU per event of SQLite, {cost.rate / sqlite[1].rate:.2f} x its events/s, "
            f"{cost.cpu / others[0][1].cpu:.2f} x the CPU per event of {others[0][0]}"
        )


async def main():
    given = arguments()
    if given.as_replica:
        return await as_replica(given.url, given.seconds, given.width)
    await migrate(given.url)
    connection = await asyncpg.connect(given.url)
    postmaster = int((await connection.fetchval("SELECT pg_read_file('postmaster.pid')")).split()[0])
    print(await connection.fetchval("SELECT version()"))
    await connection.close()
    await compare(given, postmaster)
    if not (given.parked or given.held):
        return None
    store = await open_store(given.url)
    await run(store, WARM_S, given.width)
    load = given.seconds, given.width, postmaster
    before = told("none parked", await measured(store, *load))
    alone = await waits("none parked", store)
    if given.parked:
        await park(given.url, given.parked)
        cost = told("parked", await measured(store, *load))
        beside = await waits(f"{given.parked:,} parked", store)
        append, claim = (two / one for one, two in zip(alone, beside, strict=True))
        print(
            f"parked: {cost.cpu / before.cpu:.2f} x the CPU per event, {append:.2f} x the time of an append, "
            f"{claim:.2f} x that of a claim"
        )
    if given.held:
        cost = told("held", await beside_snapshot(given.url, store, given, postmaster))
        print(
            f"snapshot held: {cost.cpu / before.cpu:.2f} x the CPU per event, {before.rate / cost.rate:.2f} x the time"
        )
    await store.close()
    return None


if __name__ == "__main__":
    # The loop and the collector's settings that the gateway runs on.
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 50, 100)
    uvloop.run(main())
