"""Everything in one store is in its copy, whichever kinds they are; nobody runs on either meanwhile."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from msgspec.structs import replace

from gateway.errors import StoreError, StoreLocked
from gateway.model import Dead, DeliveryState, Lookup, Secret
from gateway.store import copied, migrate, open_reads, open_store
from gateway.store.activities import Activity, Task
from gateway.store.awaiting import Expectation
from gateway.store.holds import Circuit, Hold, Pause
from gateway.store.logins import Login
from gateway.store.nouns import Awaited, Outcome
from gateway.store.queries import DeliveryQuery, EventQuery, Rejected
from gateway.store.sqlite.copying import PARTIAL
from gateway.store.sqlite.secrets import SecretsFile
from tests import postgres
from tests.store.conformance.test_memory import remembering, waiting
from tests.store.given import Clock, attempt, debounced, delivered, digest, leased, new_event, of, once, retry, told

#: More with `COPY_EVENTS=300000 pytest tests/store/test_copying.py -k killed`, for longer.
EVENTS = int(os.environ.get("COPY_EVENTS", "10000"))
LOOKUP = Lookup(name="person", destination="crm", status=200, duration_s=0.5, size=34, found=True)


async def fill(store, clock, events=30):
    """Something in every table, over several days."""
    for number in range(events):
        clock.move(9_000.0)
        firings = [once("ada", window_s=1e6)] if number % 4 == 0 else []
        body = b"" if number == 3 else f'{{"n": {number}, "name": "Zo\u00eb \\u0000"}}'.encode()
        record = of(f"contact:{number}", keeps_s=1e7) if number % 5 else None
        lanes = [None, f"lane \x00 {number % 2}"]
        made = await leased(store, "slack", "crm", lanes=lanes, body=body, firings=firings, record=record)
        by_name = {lease.delivery.destination: lease for lease in made}
        lease = by_name.get("slack")
        if lease and number % 6 == 0:
            await store.settle(
                [remembering(lease, subject=("crm-id", f"\x00 ü {number}"), said="id ü", for_s=1e6, id=7)]
            )
        elif lease and number % 3 == 0:
            await store.settle([delivered(lease)])
        elif lease and number == 7:
            await store.settle([waiting(lease, ("crm-id", "\x00 ü"), after_s=1e7)])
        elif lease and number % 3 == 1:
            await store.settle([retry(lease, after_s=1e7)])
        elif lease:
            said = {"status": 422, "reason": "answered 422: ü", "answer": "\x00no", "sent_sha256": b"x" * 32}
            died = attempt(lease, "dead", lookups=(LOOKUP,), choice=2, **said)
            await store.settle([Outcome(lease, Dead("answered 422: ü"), died, told(lease))])
    some = (await store.deliveries(DeliveryQuery(state=DeliveryState.DEAD, destination="slack", limit=2))).rows
    await store.begin(Task(verb="replay", by="ann", which=DeliveryQuery(ids=(some[0].id,)), subject="one", key="k"))
    await store.begin(Task(verb="discard", by="bob", which=DeliveryQuery(ids=(some[-1].id,)), subject="another"))
    await store.note(Activity(id="act_1", at=1.0, by="ann", verb="pause", subject="slack", reason="\x00 why"))
    pause = Pause(by="ann", reason="their \x00 migration", since=1.0, until=None)
    circuit = Circuit(failures=3, denied=("evt_1",), next_probe_s=30.0, interval_s=60.0)
    await store.set_hold(Hold(destination="slack", pause=pause, circuit=circuit, wait_s=5.0))
    await store.set_hold(Hold(destination="crm", mute=pause))
    await store.reject(
        [
            Rejected(at=float(n), source="crm", path="/in/\x00", status=401, reason="no ü", client="", count=n)
            for n in (1, 2)
        ]
    )
    await store.append([replace(new_event("slack"), is_redacted_later=True)])
    await store.set_login(
        Login(id="oauth2-1", sealed=b"\x00\xff", by="ann \x00", since=1.0, until=2.0, owner="a", owned_s=9.0)
    )
    await store.set_login(Login(id="oauth2-2", ended="revoked: \u00fc"))
    await store.append([digest("later", key="ü"), digest("later", key="ü"), debounced("later", key="\x00")])
    await store.append([replace(new_event(), awaits=[Awaited(name="a > b", key="k", within_s=50.0)])])
    await store.expectations.add(Expectation(source="crm", name="silent", event_id="evt_1", age_s=3.0))
    for secret in ("one", "tw\u00f6"):
        await store.secrets.add("asana", Secret(secret))


async def seen(url):
    """Everything that can be asked of a store."""
    async with open_reads(url) as reads:
        page = await reads.events(EventQuery(limit=1000))
        stats = await reads.stats()
        histories = [await reads.event(row.id) for row in page.rows]
        return {
            "events": [replace(each, position="", deliveries=tuple(map(at_rest, each.deliveries))) for each in histories],
            "waiting": await reads.waiting(),
            "activities": await reads.activities(),
            "rejected": await reads.rejected(),
            "holds": [replace(each, circuit=each.circuit and replace(each.circuit, next_probe_s=0.0), wait_s=0.0) for each in await reads.holds()],
            "logins": [replace(each, owner="", owned_s=0.0) for each in await reads.logins()],
            "dead": stats.dead,
            "records": await reads.records("crm", [f"contact:{number}" for number in range(40)]),
            "numbers": {name: (one.pending, one.dead, one.delivered, one.discarded) for name, one in stats.destinations.items()},
            "wrong": await reads.check(),
        }  # fmt: skip


def at_rest(delivery):
    """Without how long it is until it is due, which depends on the clock."""
    return replace(delivery, due_in_s=None if delivery.due_in_s is None else 0.0)


def quiet(_done, _whole):
    pass


@pytest.fixture
def filled(tmp_path):
    """A file with something in every table; it was written in the past, by the clock of a database."""
    url, clock = f"sqlite:///{tmp_path}/filled.db", Clock(wall=time.time() - 10 * 86400.0)

    async def scenario():
        store = await open_store(url, clock=clock.monotonic, wall=clock.wall)
        try:
            await fill(store, clock)
        finally:
            await store.close()

    asyncio.run(scenario())
    return url


def test_a_copy_there_and_back_is_what_it_was(filled, database, tmp_path):
    there = asyncio.run(copied(filled, database, quiet))
    back = f"sqlite:///{tmp_path}/back.db"
    assert asyncio.run(copied(database, back, quiet)) == there
    assert {kind for kind, each in there.items() if not each.rows} == set(), "every kind of row is there"
    before = asyncio.run(seen(filled))
    assert before["wrong"] == []
    assert asyncio.run(seen(database)) == before
    assert asyncio.run(seen(back)) == before
    kept = [("asana", Secret("one")), ("asana", Secret("tw\u00f6"))]
    assert SecretsFile(tmp_path / "back.db.secrets").pairs() == kept
    assert sorted(each.name for each in tmp_path.glob("back.db*.secrets")) == ["back.db.secrets"]


def test_a_copy_is_a_store_that_goes_on(filled, database):
    asyncio.run(copied(filled, database, quiet))

    async def scenario():
        store = await open_store(database)
        try:
            last = (await store.events(EventQuery(limit=1))).rows[0]
            new = new_event("file", lease_s=30.0)
            [appended] = await store.append([new])
            assert await store.settle([delivered(appended.leases[0])])
            [row] = (await store.events(EventQuery(after=last.position))).rows
            assert row.id == new.event.id
        finally:
            await store.close()

    asyncio.run(scenario())
    assert asyncio.run(seen(database))["wrong"] == []


def test_a_store_in_use_is_not_copied_and_nothing_is_copied_onto_one(filled, database, tmp_path):
    async def scenario():
        owner = await open_store(filled)
        try:
            with pytest.raises(StoreLocked, match="is in use by pid"):
                await copied(filled, database, quiet)
        finally:
            await owner.close()
        await migrate(database)
        with pytest.raises(StoreError, match=r"filled.db exists: a copy needs a file of its own"):
            await copied(database, filled, quiet)
        await copied(filled, database, quiet)
        with pytest.raises(StoreError, match="is not empty: a copy needs a database of its own"):
            await copied(filled, database, quiet)

    asyncio.run(scenario())
    postgres.run(database, "INSERT INTO replica (seen, said) VALUES (gateway_now(), '{}')")
    with pytest.raises(StoreLocked, match="is in use by 1 replica"):
        asyncio.run(copied(database, f"sqlite:///{tmp_path}/back.db", quiet))


def test_nobody_runs_on_an_unfinished_copy(filled, database):
    asyncio.run(migrate(database))
    postgres.run(database, "CREATE TABLE copying (place bytea)")
    for opened in (open_store(database), seen(database)):
        with pytest.raises(StoreError, match="is an unfinished copy: run `gateway copy` again"):
            asyncio.run(opened)


def come_to(target):
    """How many events a copy has; polled from outside."""
    if target.startswith("sqlite"):
        import apsw

        path = Path(target.removeprefix("sqlite:///") + PARTIAL)
        try:
            db = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
            with db:
                return db.execute("SELECT count(*) FROM event").get
        except (apsw.CantOpenError, apsw.SQLError, apsw.BusyError):
            return 0
    if not postgres.run(target, "SELECT to_regclass('event') IS NOT NULL")[0][0]:
        return 0
    return postgres.run(target, "SELECT count(*) FROM event")[0][0]


@pytest.mark.slow
@pytest.mark.timeout(240 + EVENTS / 100)
@pytest.mark.parametrize("way", ["to a database", "to a file"])
def test_a_copy_that_was_killed_five_times_is_whole(database, tmp_path, way):
    large, clock = f"sqlite:///{tmp_path}/large.db", Clock(wall=time.time() - 86400.0)

    async def scenario():
        store = await open_store(large, clock=clock.monotonic, wall=clock.wall)
        try:
            await fill(store, clock, events=5)
            for _ in range(EVENTS // 250):
                await store.append([new_event("slack", "crm") for _ in range(250)])
        finally:
            await store.close()

    asyncio.run(scenario())
    target = database
    source = large
    if way == "to a file":
        asyncio.run(copied(large, database, quiet))
        source, target = database, f"sqlite:///{tmp_path}/back.db"
    for kill in range(1, 6):
        process = copying(source, target)
        while process.poll() is None and come_to(target) < 0.15 * EVENTS * kill:
            pass
        assert process.poll() is None, "it was killed while it copied"
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    assert copying(source, target).wait() == 0
    assert asyncio.run(seen(target)) == asyncio.run(seen(source))


def copying(source, target):
    command = [sys.executable, "-m", "gateway", "copy", "--from", source, "--to", target]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL)
