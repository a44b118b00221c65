"""Several replicas of the real gateway on one PostgreSQL server, senders that go from one to the next, and what is owed."""

import asyncio
import http.client
import itertools
import json
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from gateway.store import migrate
from tests.acceptance.harness import SAMPLES, SECRET, GatewayProcess, eventually, signature
from tests.sink import Received, Sink

#: Of the destination that has a rate, per second; of the one that has few slots; of those that have many.
RATE, FEW, MANY = 20, 2, 8

NAMES = ("free", "few", "ordered", "rated")
#: Only these go to the destination that has a rate, so that it keeps up.
RATED = ("key-0", "key-1")


def routes(url: str) -> str:
    """The file of every replica: YAML that is JSON, too."""
    retry = {"for": "1h", "first": "1s", "max": "1s"}
    more = {"free": {"concurrency": MANY}, "few": {"concurrency": FEW}}
    more |= {"ordered": {"concurrency": MANY, "order_by": "attrs.firstname"}, "rated": {"rate": f"{RATE}/s"}}
    body = {"key": "{{ attrs.firstname }}"}
    entries = [
        {"name": f"to-{name}", "to": name, "path": f"/{name}/{{{{ attrs.id }}}}", "body": body} for name in NAMES
    ]
    entries[-1]["where"] = {"attrs.firstname": RATED}
    return json.dumps(
        {
            "version": 1,
            "sources": {"xobito": {"preset": "xobito", "secret": SECRET}},
            "defaults": {"retry": retry, "timeout": "5s"},
            "destinations": {name: {"url": url, **more[name]} for name in NAMES},
            "always": entries,
        }
    )


class Cluster:
    """Replicas that share a store, each in a folder of its own; leaving ``with`` ends them."""

    def __init__(
        self,
        folder: Path,
        url: str,
        file: str,
        *,
        replicas: int,
        first: str = "",
        environ: Mapping[str, str] | None = None,
    ) -> None:
        """``url``: of the store; ``first``: the one that the first replica uses instead."""
        self.gateways = []
        asyncio.run(migrate(url))
        for number in range(replicas):
            home = folder / f"replica-{number}"
            home.mkdir()
            store = first if first and number == 0 else url
            self.gateways.append(
                GatewayProcess(
                    home, file, options=("--store", store), environ={"GATEWAY_STORE": store, **(environ or {})}
                )
            )

    def __enter__(self) -> "Cluster":
        for each in self.gateways:
            each.start()
        return self

    def __exit__(self, *_: object) -> None:
        for each in self.gateways:
            each.__exit__()

    def alive(self) -> list[GatewayProcess]:
        return [each for each in self.gateways if each.process.poll() is None]

    def pending(self) -> list[object]:
        """What waits, as any replica that answers sees it; true while none does."""
        for each in self.alive():
            with suppress(OSError, http.client.HTTPException):
                status, page = each.api("/api/deliveries?state=pending")
                if status == 200:
                    return page["deliveries"]
        return ["nobody answers"]

    def drain(self, deadline_s: float = 120.0) -> None:
        eventually(lambda: not self.pending(), "everything is delivered", deadline_s)


class Senders:
    """Senders of one key each. They post the next record once the one before was acknowledged, by whichever replica."""

    def __init__(self, cluster: Cluster, count: int, *, pause_s: float = 0.0) -> None:
        self._cluster = cluster
        self._pause_s = pause_s
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(key,), daemon=True) for key in range(count)]
        #: By key: the numbers that were answered 202, in order.
        self.acked: dict[str, list[int]] = defaultdict(list)
        #: The longest time that one record was refused, seconds, and the most often that one was.
        self.longest_s, self.most_refusals = 0.0, 0

    def __enter__(self) -> "Senders":
        for each in self._threads:
            each.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for each in self._threads:
            each.join(30)

    def _run(self, key: int) -> None:
        turns = itertools.count(key)
        for number in itertools.count(key * 1_000_000 + 1):
            body = record(number, f"key-{key}")
            began = time.monotonic()
            for refusals in itertools.count():
                if self._stop.is_set():
                    break
                if self._post(next(turns), body):
                    self.acked[f"key-{key}"].append(number)
                    self.longest_s = max(self.longest_s, time.monotonic() - began)
                    self.most_refusals = max(self.most_refusals, refusals)
                    break
                time.sleep(0.02)
            if self._stop.wait(self._pause_s):
                return

    def _post(self, turn: int, body: bytes) -> bool:
        ports = [each.port for each in self._cluster.alive()]
        if not ports:
            return False
        connection = http.client.HTTPConnection("127.0.0.1", ports[turn % len(ports)], timeout=3)
        try:
            connection.request("POST", "/in/xobito", body, {"x-webhook-signature": signature(body)})
            return connection.getresponse().status == 202
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    @property
    def count(self) -> int:
        return sum(len(each) for each in self.acked.values())


def record(number: int, key: str) -> bytes:
    """A sample whose record has this id, and this key for the destination that keeps an order."""
    payload = json.loads(SAMPLES["contact.created"])
    payload["data"]["id"] = payload["data"]["attributes"]["id"] = number
    payload["data"]["attributes"]["firstname"] = key
    return json.dumps(payload).encode()


def lost(senders: Senders, sink: Sink) -> dict[str, set[int]]:
    """By destination: what was acknowledged and never arrived."""
    owed = {name: {number for numbers in senders.acked.values() for number in numbers} for name in NAMES}
    owed["rated"] = {number for key in RATED for number in senders.acked[key]}
    missing = {name: numbers - {_number(each) for each in of(sink, name)} for name, numbers in owed.items()}
    return {name: numbers for name, numbers in missing.items() if numbers}


def of(sink: Sink, name: str) -> list[Received]:
    """The requests that one destination got, as they came."""
    return [each for each in sink.requests if each.path.startswith(f"/{name}/")]


def _number(request: Received) -> int:
    return int(request.path.rpartition("/")[2])


def repeats(sink: Sink) -> int:
    """How often something was sent again; AssertionError if it had another webhook-id then."""
    ids = defaultdict(set)
    for each in sink.requests:
        ids[each.path].add(each.headers["webhook-id"])
    assert all(len(found) == 1 for found in ids.values()), "a repeated delivery keeps its webhook-id"
    return sum(count - 1 for count in Counter(each.path for each in sink.requests).values())


def unrecorded(gateway: GatewayProcess, sink: Sink) -> dict[str, int]:
    """By delivery: how many more requests came than attempts are recorded."""
    counts = Counter(each.headers["webhook-id"] for each in sink.requests)
    missing = {}
    for id_, count in counts.items():
        if count > 1:
            _, history = gateway.api(f"/api/events/{id_}")
            [made] = [len(each["attempts_made"]) for each in history["deliveries"] if each["id"] == id_]
            missing[id_] = max(0, count - made)
    return {id_: count for id_, count in missing.items() if count}


def out_of_order(sink: Sink) -> int:
    """How many requests of the ordered destination came after a later one of their key."""
    newest, late = defaultdict(int), 0
    for each in of(sink, "ordered"):
        key, number = json.loads(each.body)["key"], _number(each)
        late += number < newest[key]
        newest[key] = max(newest[key], number)
    return late


def over_rate(sink: Sink) -> int:
    """By how many the busiest second of the destination with a rate exceeded it.

    A second less one interval: of requests that start evenly, one more arrives within a second as soon as the last one
    travels a moment faster than the first. What a busy machine kept from being read may have come before.
    """
    requests = of(sink, "rated")
    most, first = 0, 0
    for last, each in enumerate(requests):
        while requests[first].earliest < each.at - (1.0 - 1.0 / RATE):
            first += 1
        most = max(most, last - first + 1)
    return max(0, most - RATE)
