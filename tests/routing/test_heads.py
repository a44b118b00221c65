"""Events of one record are planned on top of each other, whoever receives them: each sees what the one before it left."""

import asyncio
import json
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.config import load
from gateway.errors import StoreUnavailable
from gateway.event import tracks
from gateway.event.tracks import MOST_FIELD
from gateway.pipeline import receive
from gateway.process import Gateway
from gateway.routing import heads
from gateway.routing.heads import Heads
from gateway.signatures import Request
from gateway.store.activities import Erasure
from gateway.store.queries import EventQuery
from tests.store.database import PostgresKind
from tests.store.given import Clock, SQLiteKind
from tests.store.through import RemoteKind

FILE = """
version: 1
sources:
  crm:
    verify: none
    type: "{payload.type}"
    shortcuts: {attrs: payload.data}
    dedupe: 10m
    id: "{payload.id}"
    track: {per: "contact:{payload.data.id}", for: 180d}
  several:
    verify: none
    split: payload.all.*
    max_body: 8MiB
    type: "{payload.type}"
    shortcuts: {attrs: payload.data}
    track: {per: "contact:{payload.data.id}", for: 180d}
  open:
    verify: none
    type: "{payload.type}"
destinations:
  archive: {url: https://archive.example.com/in}
  sales: {url: https://sales.example.com/in}
routes:
  - name: qualified
    source: crm
    where: {attrs.status: {changed: {from: 1, to: 3}}}
    to: sales
  - {name: every, to: archive}
"""


class Starter:
    """Starts nothing, and counts the slots that it gave away."""

    def __init__(self):
        self.slots = 0

    def reserve(self, _destination):
        self.slots += 1
        return 30.0

    def appended(self, new, _payloads, _asked, appending):
        self.slots -= sum(len(one.deliveries) for one in new)


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    path = tmp_path_factory.mktemp("heads") / "routes.yaml"
    path.write_text(FILE)
    return load(path, environ={})


def update(number, record=1, **fields):
    said = {"id": number, "type": "contact.updated", "data": {"id": record, **fields}}
    return Request(headers=[(b"content-type", b"application/json")], body=json.dumps(said).encode())


class Replica:
    """A process that receives, on its own way to the store."""

    def __init__(self, config, store, name="main"):
        self.config, self.store = config, store
        self.gateway = Gateway(config=config, store=store, egress=None, replica=name, clock=time.time)
        self.starter = Starter()

    def receive(self, request, source="crm"):
        return receive(self.gateway, self.starter, self.config, self.config.sources[source], request)


def scenario_on(kind, config, replicas, scenario):
    """Run a scenario with several replicas; those of a SQLite file share one process and are as blind to each other."""

    async def whole():
        clock = Clock()
        first = await kind.open(clock)
        stores = [first, *[await kind.open(clock) if kind.id != "sqlite" else first for _ in range(replicas - 1)]]
        try:
            return await scenario([Replica(config, store, f"replica-{at}") for at, store in enumerate(stores)])
        finally:
            for store in dict.fromkeys(stores):
                await store.close()

    return asyncio.run(whole())


async def accepted(store):
    """Every event with its track, in the order of acceptance."""
    events, after = [], ""
    while True:
        page = await store.survey(after=after)
        events += page.events
        after = page.to
        if page.is_last:
            return events


def check_each_sees_its_predecessor(events):
    """Of each event ``before`` is what those accepted before it have left of its record."""
    known = {}
    for event in events:
        data = json.loads(event.body)["data"]
        track = tracks.decoded(event.track)
        before = known.get(track.key, {})
        assert track.before == before
        known[track.key] = {**before, **{name: value for name, value in data.items() if len(str(value)) < MOST_FIELD}}
        assert track.record == known[track.key]
    return known


updates = st.lists(
    st.tuples(
        st.integers(0, 1),
        st.integers(1, 2),
        st.dictionaries(st.sampled_from(["status", "phone"]), st.integers(1, 3), max_size=2),
        st.booleans(),
    ),
    min_size=2,
    max_size=12,
)


@pytest.mark.parametrize("kind", [SQLiteKind, RemoteKind, PostgresKind], ids=lambda kind: kind.id)
def test_over_any_replicas_each_event_has_the_before_of_the_one_accepted_before_it(kind, config, tmp_path_factory):
    @settings(max_examples=8 if kind is PostgresKind else 15, deadline=None, suppress_health_check=list(HealthCheck))
    @given(updates)
    def check(steps):
        async def scenario(replicas):
            receiving = []
            for number, (at, record, fields, is_repeated) in enumerate(steps):
                request = update(number, record, **fields)
                receiving += [asyncio.create_task(replicas[at].receive(request)) for _ in range(1 + is_repeated)]
                if number % 3 == 2:
                    await asyncio.sleep(0)
            answers = [(await each).appended[0] for each in receiving]
            assert len({each.event_id for each in answers if not each.duplicate}) == len(steps)
            assert [each.starter.slots for each in replicas] == [0, 0]
            known = check_each_sees_its_predecessor(await accepted(replicas[0].store))
            found = await replicas[0].store.records("crm", list(known))
            assert {key: tracks.decoded(each.track).record for key, each in found.items()} == known

        folder = tmp_path_factory.mktemp("store") / "store"
        folder.mkdir()
        scenario_on(kind(folder), config, 2, scenario)

    check()


def test_a_burst_about_one_record_is_planned_on_top_of_itself_and_nothing_is_planned_twice(
    config, tmp_path, monkeypatch
):
    folder = tmp_path / "store"
    folder.mkdir()

    async def scenario(replicas):
        [replica] = replicas
        asked = []
        read = replica.store.records

        async def records(source, keys):
            asked.append(sorted(keys))
            return await read(source, keys)

        monkeypatch.setattr(replica.store, "records", records)
        planned, step = [], Heads._step
        monkeypatch.setattr(Heads, "_step", lambda *all: planned.append(1) or step(*all))
        statuses = [1, 3, 1, 3, 2, 3]
        burst = [replica.receive(update(number, status=status)) for number, status in enumerate(statuses)]
        await asyncio.gather(*burst)
        assert len(planned) == len(statuses)
        assert asked == [["contact:1"]], "the store is asked once, for all of them"
        events = await accepted(replica.store)
        check_each_sees_its_predecessor(events)
        rows = (await replica.store.events(EventQuery(destination="sales"))).rows
        assert len(rows) == 2, "twice from 1 to 3"

    scenario_on(SQLiteKind(folder), config, 1, scenario)


def test_a_duplicate_changes_nothing_and_those_planned_on_it_are_planned_again(config, tmp_path):
    folder = tmp_path / "store"
    folder.mkdir()

    async def scenario(replicas):
        [replica] = replicas
        await replica.receive(update(1, status=1))
        three = [update(2, status=3), update(1, status=1), update(3, phone=5)]
        answers = await asyncio.gather(*map(replica.receive, three))
        assert [each.appended[0].duplicate for each in answers] == [False, True, False]
        events = await accepted(replica.store)
        check_each_sees_its_predecessor(events)
        assert tracks.decoded(events[-1].track).record == {"id": 1, "status": 3, "phone": 5}

    scenario_on(SQLiteKind(folder), config, 1, scenario)


def test_an_event_that_could_not_be_stored_leaves_nothing_behind(config, tmp_path, monkeypatch):
    folder = tmp_path / "store"
    folder.mkdir()

    async def scenario(replicas):
        [replica] = replicas
        await replica.receive(update(1, status=1))
        append = replica.store.append

        def refuse(*_arguments, **_named):
            refused = asyncio.get_running_loop().create_future()
            refused.set_exception(StoreUnavailable("the disk is full"))
            return refused

        monkeypatch.setattr(replica.store, "append", refuse)
        with pytest.raises(StoreUnavailable):
            await replica.receive(update(2, status=2))
        monkeypatch.setattr(replica.store, "append", append)
        await replica.receive(update(3, status=3))
        events = await accepted(replica.store)
        assert [tracks.decoded(each.track).before for each in events] == [{}, {"id": 1, "status": 1}]

    scenario_on(SQLiteKind(folder), config, 1, scenario)


def test_what_another_replica_has_changed_is_found_and_the_event_is_planned_again(config, tmp_path):
    folder = tmp_path / "store"
    folder.mkdir()

    async def scenario(replicas):
        one, other = replicas
        await one.receive(update(1, status=1))
        assert (await other.receive(update(2, status=2))).appended[0].duplicate is False
        last = await one.receive(update(3, status=3))
        event = (await one.store.load([last.appended[0].event_id])).popitem()[1]
        assert tracks.decoded(event.track).before["status"] == 2

    scenario_on(SQLiteKind(folder), config, 2, scenario)


def test_a_record_that_is_forgotten_while_this_process_knows_it_begins_again(config, tmp_path):
    folder = tmp_path / "store"
    folder.mkdir()

    async def scenario(replicas):
        [replica] = replicas
        first = await replica.receive(update(1, status=1))
        erasure = Erasure(by="ann", find="", value="nobody", subject="", reason="")
        await replica.store.begin_erasure(erasure)
        erasure = await replica.store.open_erasure("main")
        page = await replica.store.survey(after=erasure.after, until=erasure.until)
        await replica.store.forget(erasure, [first.appended[0].event_id], to=page.to, replica="main")
        second = await replica.receive(update(2, phone=2))
        event = (await replica.store.load([second.appended[0].event_id])).popitem()[1]
        assert tracks.decoded(event.track).record == {"id": 1, "phone": 2}

    scenario_on(SQLiteKind(folder), config, 1, scenario)


def test_a_record_that_changes_all_the_time_ends_in_an_answer_that_makes_the_sender_try_again(
    config, tmp_path, monkeypatch
):
    folder = tmp_path / "store"
    folder.mkdir()
    monkeypatch.setattr(heads, "MOST_TRIES", 3)

    async def scenario(replicas):
        one, other = replicas
        numbers = iter(range(100, 200))

        async def late(source, keys):
            found = await other.store.records(source, keys)
            await other.receive(update(next(numbers), status=1))
            return found

        class Late:
            def __getattr__(self, name):
                return late if name == "records" else getattr(other.store, name)

        one.gateway.store = Late()
        with pytest.raises(StoreUnavailable, match="a record of source crm has changed 3 times"):
            await one.receive(update(1, status=2))
        assert one.starter.slots == 0

    scenario_on(SQLiteKind(folder), config, 2, scenario)


def test_an_event_without_what_identifies_a_record_is_about_none(config, tmp_path):
    folder = tmp_path / "store"
    folder.mkdir()

    async def scenario(replicas):
        [replica] = replicas
        headers = [(b"content-type", b"application/json")]
        nameless = Request(headers=headers, body=b'{"id": 1, "type": "ping", "data": {"status": 3}}')
        text = Request(headers=headers, body=b'{"id": 2, "type": "ping", "data": "none"}')
        await asyncio.gather(*map(replica.receive, (nameless, text)))
        await replica.receive(update(3, status=1), source="open")
        assert [each.track for each in await accepted(replica.store)] == [b"", b"", b""]
        assert await replica.store.remembered() == {}

    scenario_on(SQLiteKind(folder), config, 1, scenario)


def test_what_is_known_here_takes_a_bounded_memory(config, tmp_path, monkeypatch):
    folder = tmp_path / "store"
    folder.mkdir()
    monkeypatch.setattr(heads, "MOST_BYTES", 10_000)
    monkeypatch.setattr(heads, "MOST_RECORDS", 50)

    async def scenario(replicas):
        [replica] = replicas
        for number in range(100):
            await replica.receive(update(number, record=number, note="x" * (number % 4) * 100))
        known = replica.gateway.heads
        assert 10 < len(known._heads) <= 50
        assert known._bytes == sum(len(each.track) for each in known._heads.values()) <= 10_000
        check_each_sees_its_predecessor(await accepted(replica.store))

    scenario_on(SQLiteKind(folder), config, 1, scenario)


def test_the_events_of_one_request_are_planned_on_top_of_each_other_and_of_those_of_others(config, tmp_path):
    folder = tmp_path / "store"
    folder.mkdir()

    async def scenario(replicas):
        [replica] = replicas
        elements = [
            {"id": f"a{number}", "type": "t", "data": {"id": 1, "note": "x" * 20_000, "n": number}}
            for number in range(9)
        ]
        request = Request(headers=[(b"content-type", b"application/json")], body=json.dumps({"all": elements}).encode())
        single = [replica.receive(update(number, n=number), source="crm") for number in range(100, 104)]
        await asyncio.gather(single[0], replica.receive(request, source="several"), *single[1:])
        events = [each for each in await accepted(replica.store) if each.source == "several"]
        assert len(events) == 9
        check_each_sees_its_predecessor(events)

    scenario_on(SQLiteKind(folder), config, 1, scenario)
