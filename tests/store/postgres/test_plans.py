"""What the console asks looks at few rows, however many there are: counted where the database executes it."""

import asyncio
import json
import time

import asyncpg
import pytest

from gateway.model import DeliveryState
from gateway.store import migrate, open_reads
from gateway.store.copying import EVENTS as EVENTS_AT_A_TIME
from gateway.store.postgres import schema, streams, tables, words
from gateway.store.postgres.address import Address
from gateway.store.postgres.connections import PLANNING
from gateway.store.postgres.copying import PostgresSide
from gateway.store.queries import DeliveryQuery, EventQuery
from tests import postgres
from tests.store.postgres.executed import ASKING, recorded

DAYS, EVENTS = 4, 40_000
#: Rows that one statement of a page may look at: far from all of them.
FEW = EVENTS // 10
#: Small tables that are read whole: as many rows as there are destinations, or one.
SMALL = {"tally", "indexed", "hold", "meta"}


@pytest.fixture(scope="module", params=postgres.VERSIONS)
def database(request):
    """A database with much in it, over some days: most of it waits, one delivery in 5,000 for a rare destination."""
    with postgres.database(server=postgres.of_version(request.param)) as url:
        asyncio.run(migrate(url))
        today = int(time.time() // tables.DAY_S)
        first, per_day = today - DAYS + 1, EVENTS // DAYS
        body = """convert_to(format('{"id": %s, "name": "Ada", "hash": "%s"}', i, md5(i::text)), 'UTF8')"""
        delivery = "'dlv_{0}' || i, seq, 'evt_' || i, 'to-{0}', '{0}', at"
        queue = "INSERT INTO queue (seq, id, event_seq, event_id, route, destination, changed_at, due) SELECT"
        postgres.run(
            url,
            *("".join(schema.day(day) for day in range(first, today)).strip().rstrip(";").split(";\n")),
            f"""CREATE TABLE g AS SELECT i, (({first} + i / {per_day})::bigint << {tables.DAY_BITS}) | (i << {tables.PLACE_BITS}) AS seq,
                ({first} + i / {per_day}) * 86400.0 + i % {per_day} AS at FROM generate_series(1::bigint, {EVENTS - 1}) i""",
            f"""INSERT INTO event (seq, id, source, type, received_at, stored_at, headers, sha256, body)
                SELECT seq, 'evt_' || i, CASE WHEN i % 3 = 0 THEN 'shop' ELSE 'crm' END, convert_to('deal.t' || i % 7, 'UTF8'), at, at,
                '{{}}', sha256({body}), {body} FROM g""",
            f"{queue} seq | 1, {delivery.format('slack')}, at + 1e6 FROM g WHERE i % 2 = 0",
            f"{queue} seq | 2, {delivery.format('rare')}, at + 1e6 FROM g WHERE i % 5000 = 1",
            f"""INSERT INTO done (seq, id, event_seq, event_id, route, destination, changed_at, state, grants, attempts,
                attempts_before_replay, spent_s, crashes, reason, last_answer, cause)
                SELECT seq | 3, {delivery.format("file")}, CASE WHEN i % 1000 = 0 THEN 'dead' ELSE 'delivered' END, 1, 1, 0, 0, 0, '', '',
                CASE WHEN i % 1000 = 0 THEN 'answered 422'::bytea ELSE '' END FROM g""",
            "INSERT INTO attempt SELECT seq | 3, 1, at, at, 0.1, 'delivered', 200, '', '', '', 1, '', NULL FROM g",
            "INSERT INTO tally SELECT destination, 'pending', '', count(*) FROM queue GROUP BY 1",
            "INSERT INTO tally SELECT destination, state, cause, count(*) FROM done GROUP BY 1, 2, 3",
            f"""INSERT INTO word SELECT seq, array_to_tsvector(
                ARRAY['ada', md5(i::text), i::text, CASE WHEN i <= {EVENTS} - 2000 THEN 'until' ELSE 'then' END]) FROM g""",
            "UPDATE indexed SET upto = (SELECT max(seq) FROM event)",
            "VACUUM ANALYZE word",
            "ANALYZE",
        )
        yield url


PENDING, DEAD = DeliveryState.PENDING, DeliveryState.DEAD
QUESTIONS = {
    "the newest": lambda reads: reads.events(EventQuery()),
    "of a source and a glob": lambda reads: reads.events(EventQuery(source="shop", type="deal.*")),
    "waiting for a rare destination": lambda reads: reads.events(EventQuery(destination="rare", state=PENDING)),
    "rare deliveries": lambda reads: reads.deliveries(DeliveryQuery(destination="rare")),
    "dead": lambda reads: reads.deliveries(DeliveryQuery(state=DEAD, cause="answered 422")),
    "dead of a source": lambda reads: reads.deliveries(DeliveryQuery(state=DEAD, source="shop")),
    "between two times": lambda reads: reads.events(EventQuery(since_s=3 * 86400.0, until_s=2 * 86400.0)),
    "a common word": lambda reads: reads.events(EventQuery(words=("Ada",))),
    "a rare word": lambda reads: reads.events(EventQuery(words=("31234",))),
    "a rare prefix": lambda reads: reads.events(EventQuery(words=("3123*",))),
    "no such word": lambda reads: reads.events(EventQuery(words=("none",))),
    "with bodies": lambda reads: reads.candidates(EventQuery(words=("ada",), limit=16)),
    "one event": lambda reads: reads.event("evt_31234"),
    "one by its delivery": lambda reads: reads.event("dlv_file31234"),
    "some by their ids": lambda reads: reads.deliveries(DeliveryQuery(ids=("evt_31234", "dlv_file5"))),
    "last attempts": lambda reads: reads.last_attempts([f"dlv_file{i}" for i in range(1, 25)]),
    "last errors": lambda reads: reads.last_errors(["slack", "file", "rare"]),
    "bodies": lambda reads: reads.load([f"evt_{i}" for i in range(1, 25)]),
    "how many are dead": lambda reads: reads.count(DeliveryQuery(state=DEAD)),
    "numbers": lambda reads: reads.stats(),
    "refused": lambda reads: reads.rejected(),
    "activities": lambda reads: reads.activities(),
    "one activity": lambda reads: reads.activity("act_1"),
    "what holds destinations": lambda reads: reads.holds(),
    "what is known of records": lambda reads: reads.records("crm", ["contact:1", "contact:2"]),
    "logins": lambda reads: reads.logins(),
    "a page of every event": lambda reads: reads.survey(),
}


async def asked(url, question):
    """The statements of a question, with what they were given."""
    async with open_reads(url) as reads:
        with recorded(*ASKING) as executed:
            await question(reads)
    return [(query, values) for _, query, values in executed]


async def explained(url, statements):
    connection = await asyncpg.connect(url, server_settings={**PLANNING, "plan_cache_mode": "force_custom_plan"})
    try:
        for query, values in statements:
            async with connection.transaction(readonly=True):
                plan = json.loads(await connection.fetchval(f"EXPLAIN (ANALYZE, FORMAT JSON) {query}", *values))
            yield query, plan[0]["Plan"]
    finally:
        await connection.close()


def nodes(plan):
    yield plan
    for each in plan.get("Plans", ()):
        yield from nodes(each)


def looked_at(node):
    """Rows that a node has read from a table or an index."""
    if "Relation Name" not in node and "Index Name" not in node:
        return 0
    rows = node["Actual Rows"] + node.get("Rows Removed by Filter", 0) + node.get("Rows Removed by Index Recheck", 0)
    return rows * node["Actual Loops"]


@pytest.mark.parametrize("statement", [words.NEXT, words.LATE], ids=["next", "late"])
def test_a_slice_of_the_index_of_words_looks_at_no_more_than_it_adds_however_much_is_left(database, statement):
    async def scenario():
        connection = await asyncpg.connect(database, server_settings=PLANNING)
        try:
            middle, last = await connection.fetchrow(
                f"SELECT (array_agg(seq ORDER BY seq))[{EVENTS // 2}], max(seq) FROM event"
            )
            transaction = connection.transaction()
            await transaction.start()
            await connection.execute("DELETE FROM word WHERE seq > $1", middle)
            values = [middle, 250, words.SLICE_BYTES, *([last] if statement is words.LATE else [])]
            types = ", ".join(["bigint"] * len(values))
            await connection.execute(f"PREPARE slice ({types}) AS {statement}")
            given = ", ".join(map(str, values))
            [[plan]] = await connection.fetch(f"EXPLAIN (ANALYZE, FORMAT JSON) EXECUTE slice ({given})")
            await transaction.rollback()
            seen = [node for node in nodes(json.loads(plan)[0]["Plan"]) if "event" in node.get("Relation Name", "")]
            assert sum(map(looked_at, seen)) <= 250 + DAYS
        finally:
            await connection.close()

    asyncio.run(scenario())


def test_a_part_of_a_copy_looks_at_few_rows(database, monkeypatch):
    fetch, explained = asyncpg.Connection.fetch, []

    async def explaining(connection, query, *values):
        mode = await connection.fetchval("SHOW plan_cache_mode")
        [[plan]] = await fetch(connection, f"EXPLAIN (ANALYZE, FORMAT JSON) {query}", *values)
        explained.append((query, mode, json.loads(plan)[0]["Plan"]))
        return await fetch(connection, query, *values)

    async def scenario():
        side = await PostgresSide.source(Address.of(database))
        try:
            monkeypatch.setattr(asyncpg.Connection, "fetch", explaining)
            return await side.chunk("event", ())
        finally:
            await side.close()

    chunk = asyncio.run(scenario())
    assert len(chunk.rows["delivery"]) > len(chunk.rows["event"]) == EVENTS_AT_A_TIME
    for query, mode, plan in explained:
        assert max(map(looked_at, nodes(plan))) <= FEW, query
        assert mode == "force_custom_plan", "one for any numbers would be another one"


@pytest.mark.parametrize("ask", ["events", "candidates"])
def test_a_search_for_a_word_that_all_but_the_newest_events_have_fetches_few_of_them(database, monkeypatch, ask):
    monkeypatch.setattr(streams, "FEW_INDEXED", FEW // 2)
    monkeypatch.setattr(streams, "COMMON_ROWS", FEW // 2)
    query = EventQuery(words=("until",), limit=16)

    async def scenario():
        async with open_reads(database) as reads:
            page = await getattr(reads, ask)(query)
        assert len(page.rows) == 16
        async for statement, plan in explained(
            database, await asked(database, lambda reads: getattr(reads, ask)(query))
        ):
            # The index alone says of all of them where they are, many at a time.
            fetched = [looked_at(node) for node in nodes(plan) if node["Node Type"] != "Bitmap Index Scan"]
            assert max(fetched) <= FEW, statement

    asyncio.run(scenario())


@pytest.mark.parametrize("name", QUESTIONS)
def test_a_question_looks_at_few_rows(database, name):
    async def scenario():
        statements = await asked(database, QUESTIONS[name])
        assert statements
        async for query, plan in explained(database, statements):
            for node in nodes(plan):
                if node["Node Type"] == "Seq Scan":
                    assert node["Relation Name"] in SMALL, query
                assert looked_at(node) <= FEW, (looked_at(node), node["Node Type"], query)

    asyncio.run(scenario())
