"""What an erasure costs the writer: it looks at the rows of its events, however many others there are."""

from gateway.store.activities import Erasure
from tests.store.given import dead, leased, new_event, once, retry

#: Tables that are short whatever is stored; the words are found by the number of their event.
BOUNDED = {"rejected", "clock", "tally", "word"}
ERASURE = Erasure(by="ann", find="name=jo", value="jo", subject="events with name=•••")


def test_an_erasure_has_the_writer_read_no_table_from_end_to_end(opened):
    async def scenario(store):
        db, seen = store._database.file.db, []
        leases = await leased(store, "crm", "mail", firings=[once("jo")])
        await store.settle([dead(leases[0]), retry(leases[1])])
        await store.append([new_event("slack", firings=[once("jo")])])
        db.exec_trace = lambda _cursor, text, values: seen.append((text, values)) or True
        await store.begin_erasure(ERASURE)
        erasure = await store.open_erasure("main")
        await store.forget(erasure, [leases[0].delivery.event_id], to=erasure.until, replica="main")
        db.exec_trace = None
        plans = {
            text: [row[-1] for row in db.execute(f"EXPLAIN QUERY PLAN {text}", values)]
            for text, values in seen
            if text.lstrip().startswith(("SELECT", "UPDATE", "DELETE"))
        }
        tables = {name for (name,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")} - BOUNDED
        scans = [
            (line, text)
            for text, plan in plans.items()
            for line in plan
            if line.startswith("SCAN ") and line.split()[1] in tables
        ]
        assert len(plans) > 10
        assert not scans, "\n".join(map(str, scans))

    opened(scenario)
