"""Where the one writer saturates: python -m bench.saturation [--event-us 250] [--cores 16]

Measures on this machine what an event with one delivery costs the process that has the store, and the socket to it, and
computes for 1 to ``--cores`` cores how many events a second the workers and the owner could carry. ``--event-us``: what
the same event costs one process alone, all of it, as ``make bench`` prints it (cpu us per event).
"""

import argparse
import asyncio
import os
import socket
import statistics
import tempfile
import time
from pathlib import Path

import uvloop

from bench.database import GROUP, delivered, new_event
from gateway.store import open_store
from gateway.store.remote.served import Served
from gateway.store.remote.store import RemoteStore

#: Events of one measurement, and how many measurements.
EVENTS, TURNS = 6_400, 5


async def through(store, events=EVENTS):
    """Append and settle in groups of 64; CPU and elapsed seconds per event of this process."""
    cpu, began = time.process_time(), time.perf_counter()
    for _ in range(events // GROUP):
        appended = await asyncio.gather(*(store.append([new_event()], replica="bench") for _ in range(GROUP)))
        outcomes = [delivered(lease) for [each] in appended for lease in each.leases]
        await asyncio.gather(*(store.settle([outcome]) for outcome in outcomes))
    return (time.process_time() - cpu) / events, (time.perf_counter() - began) / events


async def making(events=EVENTS):
    """What it costs to make the events alone."""
    cpu = time.process_time()
    for _ in range(events):
        new_event()
    return (time.process_time() - cpu) / events


async def alone(folder):
    store = await open_store(f"sqlite:///{folder}/alone.db")
    found = [await through(store) for _ in range(TURNS)]
    await store.close()
    return [cpu for cpu, _ in found]


async def worker(sock):
    """In a process of its own: the costs at the worker's end, as bytes for the owner's."""
    store = await RemoteStore.open(sock)
    found = [(await through(store))[0] for _ in range(TURNS)]
    store.asking.tell("costs", " ".join(map(str, found)).encode())
    await store.close()


async def owner(folder, sock):
    """The costs at the owner's end, and those that the worker tells."""
    store = await open_store(f"sqlite:///{folder}/shared.db", is_shared=True)
    told = []
    served = Served(store, store, "worker_1", lambda _me, _word, what: told.extend(map(float, what.split())))
    cpu = time.process_time()
    await served.begin(sock)
    await served.ended
    spent = (time.process_time() - cpu) / (EVENTS * TURNS)
    await store.close()
    return spent, told


def over_a_socket(folder):
    ours, theirs = socket.socketpair()
    for each in (ours, theirs):
        each.setblocking(False)
    pid = os.fork()
    if not pid:
        ours.close()
        uvloop.run(worker(theirs))
        os._exit(0)
    theirs.close()
    found = uvloop.run(owner(folder, ours))
    os.waitpid(pid, 0)
    return found


def carried(cores, event_us, store_us, worker_us, owner_us):
    """Events a second of the best number of workers on so many cores: (events/s, workers, what limits it)."""
    best = (1e6 / event_us, 0, "the one process")
    per_worker = 1e6 / (event_us - store_us + worker_us)
    for workers in range(2, 2 * cores + 1):
        both = cores * 1e6 / (event_us - store_us + worker_us + owner_us)
        limits = {"the owner": 1e6 / owner_us, "the workers": workers * per_worker, "the cores": both}
        who = min(limits, key=limits.get)
        best = max(best, (limits[who], workers, who), key=lambda each: round(each[0]))
    return best


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--event-us", type=float, default=250.0, help="CPU of an event in one process, microseconds")
    parser.add_argument("--cores", type=int, default=16)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="gateway-bench-") as folder:
        owner_s, told = over_a_socket(Path(folder))
        made_s = asyncio.run(making())
        store_s = statistics.median(uvloop.run(alone(folder))) - made_s
    owner_us, worker_us, store_us = owner_s * 1e6, (statistics.median(told) - made_s) * 1e6, store_s * 1e6
    print(f"an event with one delivery: append and settle, groups of {GROUP}, CPU microseconds")
    print(f"  in one process               {store_us:6.0f}")
    print(f"  at the owner, with the socket {owner_us:5.0f}")
    print(f"  at the worker, the socket    {worker_us:6.0f}")
    print(f"  the whole event, one process {options.event_us:6.0f}   (--event-us)")
    print(f"\n{'cores':>5} {'events/s':>9} {'workers':>8}  limited by")
    for cores in (each for each in (1, 2, 3, 4, 6, 8, 12, 16, 24, 32) if each <= options.cores):
        events, workers, who = carried(cores, options.event_us, store_us, worker_us, owner_us)
        print(f"{cores:>5} {events:>9,.0f} {workers or '-':>8}  {who}")


if __name__ == "__main__":
    main()
