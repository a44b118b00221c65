"""The cost of looking at a gateway with a full store.

``.venv/bin/python bench/operating.py`` has two parts:

1. A store with ``--events`` events and ``--open`` pending or dead deliveries: time until ready, memory, and how long each
   API request, each page of the console and /metrics takes (median and 95th percentile of ``--times``).
2. Events at a fixed rate, in turns with and without a browser on the live stream: CPU time per event.

``--store postgresql://...`` names an empty database that may be filled: the first part then runs on a file and on it, and
the second is left out.
"""

import argparse
import asyncio
import hashlib
import json
import random
import statistics
import sys
import tempfile
import threading
import time
import urllib.parse
import urllib.request
from contextlib import ExitStack, contextmanager
from pathlib import Path

import asyncpg
from run import HERE, ROUTES, SECRET, Process, own_load, show, signed_requests, wait_delivered

from gateway.model import Attempt, Dead, Delivered, Event, new_id
from gateway.store import is_database, migrate, open_store
from gateway.store.nouns import NewDelivery, NewEvent, Outcome
from gateway.store.queries import EventQuery

#: Nothing is sent from the full store: its pending deliveries are for a paused destination.
FULL = """\
version: 1
sources:
  xobito: {{preset: xobito, secret: {secret}}}
destinations:
  crm: {{url: http://127.0.0.1:9/crm, paused: true}}
  slack: {{url: http://127.0.0.1:9/slack}}
routes:
  - {{name: contacts, match: contact.*, to: [crm, slack], body: {{id: "{{{{ attrs.id }}}}", name: "{{{{ attrs.firstname }}}}"}}}}
  - {{name: messages, match: message.*, to: slack, body: {{id: "{{{{ attrs.message_id }}}}"}}}}
"""
TYPES = ("contact.created", "contact.updated", "contact.deleted", "status.updated", "message.sent", "message.read")
BATCH = 500


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--open", type=int, default=200_000, help="pending or dead deliveries, half each")
    parser.add_argument("--times", type=int, default=21)
    parser.add_argument("--rate", type=int, default=400, help="events per second in the second part")
    parser.add_argument("--seconds", type=int, default=8)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--keep", type=Path, help="folder for the full store: created once, then reused")
    parser.add_argument("--store", default="", help="URL of a PostgreSQL database to measure beside a file")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with ExitStack() as stack:
        folder = options.keep or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder.mkdir(exist_ok=True)
        file = f"sqlite:///{folder}/full-{options.events}-{options.open}.db"
        if options.store:
            found = {
                name: questions(options, folder, url) for name, url in (("sqlite", file), ("postgres", options.store))
            }
        else:
            found = questions(options, folder, file) | watching(options)
    show(found, as_json=options.json)


# --- a full store ---


def questions(options, folder, url):
    asyncio.run(filled(url, options.events, options.open))
    routes = folder / "routes.yaml"
    routes.write_text(FULL.format(secret=SECRET))
    with started(routes, url) as (gateway, admin):
        found = {"events": options.events, "open": options.open, "ready s": round(gateway.ready_s, 2)}
        time.sleep(1.0)
        found["rss MiB"] = round(gateway.rss_mib("VmRSS"))
        event = json.loads(get(f"{admin}/api/events?limit=1&type=contact.created"))["events"][0]["id"]
        took = {name: timed(f"{admin}{where}", options.times) for name, where in asked(event, middle(url)).items()}
        found |= {name: f"{median:.1f} ms (p95 {p95:.1f})" for name, (median, p95) in took.items()}
        for kind in ("api", "page"):
            found[f"slowest {kind}, p95 ms"] = round(
                max(p95 for name, (_, p95) in took.items() if name.startswith(kind))
            )
        found["rss MiB afterwards"] = round(gateway.rss_mib("VmRSS"))
        return found


def middle(url):
    """The position of an event in the middle of the list."""
    return asyncio.run(_middle_of_database(url)) if is_database(url) else "500000"


async def _middle_of_database(url):
    connection = await asyncpg.connect(url)
    try:
        half = "SELECT seq FROM event ORDER BY seq OFFSET (SELECT count(*) / 2 FROM event) LIMIT 1"
        return str(await connection.fetchval(half))
    finally:
        await connection.close()


def asked(event, deep):
    def events(**query):
        return "/api/events?" + urllib.parse.urlencode(query)

    return {
        "api: newest events": events(),
        "api: of a type": events(type="contact.*"),
        "api: dead ones of a destination": events(destination="slack", state="dead"),
        "api: by a field": events(q="data.id=451"),
        "api: by a phone number": events(q="14150000777"),
        "api: a word that all have": events(q="Demo"),
        "api: a word that none has": events(q="nowhere"),
        "api: a common word and never that field": events(q="data.attributes.type=451x Demo"),
        "api: two days ago": events(since="3d", until="2d"),
        "api: deep in the list": events(before=deep),
        "api: one event": f"/api/events/{event}",
        "api: dead deliveries": "/api/deliveries?state=dead",
        "api: pending deliveries": "/api/deliveries?state=pending&destination=crm",
        "api: groups of the dead": "/api/dead",
        "api: destinations": "/api/destinations",
        "api: stats": "/api/stats",
        "api: refused requests": "/api/rejected",
        "api: activity": "/api/activity",
        "page: live": "/",
        "page: live, filtered": "/?type=contact.*&state=dead",
        "page: event": f"/events/{event}",
        "page: destinations": "/destinations",
        "page: dead letters": "/dead",
        "page: a group of dead letters": "/dead?destination=slack&cause=answered+422",
        "metrics": "/metrics",
    }


def timed(url, times):
    get(url)
    took = []
    for _ in range(times):
        began = time.perf_counter()
        get(url)
        took.append((time.perf_counter() - began) * 1000)
    return statistics.median(took), sorted(took)[int(len(took) * 0.95)]


async def filled(url, count, open_count):
    """Fill an empty store through its own methods, as a gateway would, including the word index."""
    await migrate(url)
    store = await open_store(url)
    if (await store.events(EventQuery(limit=1))).rows:
        await store.close()
        return
    noise = random.Random(1)
    every = max(2, 2 * count // max(1, open_count))
    for start in range(0, count, BATCH):
        numbers = range(start, min(start + BATCH, count))
        # In each group one waits, the next dies, the others are delivered.
        news = [new_event(number, waits=number % every == 0) for number in numbers]
        appended = await store.append(news)
        await store.settle(
            [
                outcome(lease, noise, dies=number % every == 1)
                for number, one in zip(numbers, appended, strict=True)
                for lease in one.leases
            ]
        )
        if start % 50_000 == 0:
            print(f"\rfilling: {start:,} of {count:,} events", end="", file=sys.stderr, flush=True)
    # Again: a database says that its index is complete once no append is on its way.
    for _ in range(2):
        while await store.index(limit=1000):
            pass
    await store.close()
    print(file=sys.stderr)


def new_event(number, *, waits):
    type_ = TYPES[number % len(TYPES)]
    attributes = {
        "id": number, "firstname": f"Ada{number % 5000}", "lastname": "Demo", "phone": f"+1415{number % 9_000_000:07}",
        "email": f"u{number}@example.com", "type": "lead", "tenant_id": number % 17, "description": "x" * 200,
    }  # fmt: skip
    model = "App\\Models\\Tenant\\Contact"
    payload = {"event": type_.split(".")[1], "model": model, "data": {"id": number, "attributes": attributes}}
    body = json.dumps(payload).encode()
    event = Event(
        id=new_id("evt", time.time()), source="xobito", type=type_, received_at=time.time(),
        headers={"content-type": "application/json"}, body=body, sha256=hashlib.sha256(body).digest(),
    )  # fmt: skip
    destination = "crm" if waits else "slack"
    delivery = NewDelivery(
        id=new_id("dlv", time.time()), route="contacts" if type_.startswith("contact") else "messages",
        destination=destination, lease_s=None if waits else 60.0,
    )  # fmt: skip
    return NewEvent(event=event, key=event.sha256, window_s=60.0, deliveries=[delivery])


def outcome(lease, noise, *, dies):
    reason = (
        noise.choice(["answered 422: no", "answered 404: nothing is there", "no answer within 10 s"]) if dies else ""
    )
    attempt = Attempt(
        number=1, started_at=time.time(), duration_s=noise.random(), outcome="dead" if dies else "delivered",
        status=200, reason=reason,
    )  # fmt: skip
    return Outcome(lease, Dead(reason) if dies else Delivered(), attempt)


# --- with a browser on the live stream ---


def watching(options):
    alone, watched = [], []
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        sink = Process([sys.executable, str(HERE / "sink.py")])
        stack.callback(sink.stop)
        port = int(sink.first_line)
        routes = folder / "routes.yaml"
        routes.write_text(ROUTES.format(secret=SECRET, port=port))
        gateway, admin = stack.enter_context(started(routes, f"sqlite:///{folder}/gateway.db"))
        door = gateway.first_line.split()[1]
        sent = 0
        for turn in range(options.turns * 2 + 1):
            with live(admin) if turn % 2 else ExitStack():
                cpu = turn_of(options, gateway, door, port, folder, sent)
            sent += options.rate * options.seconds
            if turn:
                (watched if turn % 2 else alone).append(cpu)
    return {
        "cpu us per event, no live stream": round(statistics.median(alone)),
        "cpu us per event, one live stream": round(statistics.median(watched)),
        "ratio": f"{statistics.median(watched) / statistics.median(alone):.3f}",
    }


def turn_of(options, gateway, door, sink_port, folder, sent):
    count = options.rate * options.seconds
    requests = folder / "requests.bin"
    signed_requests(requests, count, sent)
    before = gateway.cpu_s()
    own_load(int(door.rpartition(":")[2]), requests, 32, options.rate)
    wait_delivered(sink_port, sent + count)
    return (gateway.cpu_s() - before) / count * 1e6


@contextmanager
def live(admin):
    """A browser with the console open."""
    request = urllib.request.Request(f"{admin}/live", headers={"accept": "text/event-stream"})
    response = urllib.request.urlopen(request, timeout=60)
    reader = threading.Thread(target=drain, args=(response,), daemon=True)
    reader.start()
    try:
        yield
    finally:
        response.fp.raw._sock.close()  # noqa: SLF001  ends the blocking read of the other thread
        reader.join(5)


def drain(response):
    try:
        while response.read1(65536):
            pass
    except (OSError, ValueError, AttributeError):
        pass


@contextmanager
def started(routes, url):
    command = [sys.executable, "-m", "gateway", "serve", "-c", str(routes), "--store", url,
               "--bind", "127.0.0.1:0", "--admin-bind", "127.0.0.1:0", "--log-level", "error"]  # fmt: skip
    gateway = Process(command)
    try:
        yield gateway, gateway.first_line.split("admin=")[1].split()[0]
    finally:
        gateway.stop()


def get(url):
    request = urllib.request.Request(url, headers={"accept": "text/html, application/json"})
    with urllib.request.urlopen(request, timeout=60) as response:
        return response.read()


if __name__ == "__main__":
    main()
