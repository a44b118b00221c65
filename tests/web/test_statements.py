"""A page asks the store a number of statements that does not depend on how many rows it shows."""

import asyncio
import functools
from contextlib import contextmanager
from contextvars import ContextVar

import apsw
import asyncpg
import pytest

from gateway.operate.operations import MOST_LOOKED_AT
from gateway.store import migrate
from gateway.store.queries import DeliveryQuery
from tests import postgres
from tests.operate.test_operations import a_contact
from tests.sink import Sink, answer
from tests.store.database import loop_of_its_own
from tests.web.desk import Desk
from tests.world import story

#: Where statements are noted that the task of a test asks, itself or in a thread.
ASKED: ContextVar[list[str] | None] = ContextVar("asked", default=None)
#: And as many rows. Each event has two deliveries: a preview looks for what newer ones have overtaken up to 20.
DESTINATIONS = MOST_LOOKED_AT // 2


def note(statement: str) -> None:
    if (asked := ASKED.get()) is not None:
        asked.append(statement)


@pytest.fixture(autouse=True)
def noted(monkeypatch):
    """Have every statement noted, on either store."""

    def noting(original):
        @functools.wraps(original)
        def asks(connection, query, *values, **more):
            note(query)
            return original(connection, query, *values, **more)

        return asks

    for name in ("execute", "fetch", "fetchrow", "fetchval"):
        monkeypatch.setattr(asyncpg.Connection, name, noting(getattr(asyncpg.Connection, name)))

    def traced(connection):
        connection.exec_trace = lambda _cursor, text, _values: note(text) or True

    apsw.connection_hooks.append(traced)
    yield
    apsw.connection_hooks.remove(traced)


@contextmanager
def asked():
    found: list[str] = []
    token = ASKED.set(found)
    try:
        yield found
    finally:
        ASKED.reset(token)


def url_of(store: str) -> str:
    """Of a new database; empty: a file."""
    if store == "sqlite":
        return ""
    url = postgres.fresh()
    loop_of_its_own(migrate(url))
    return url


def many(sink: Sink) -> str:
    """Every event goes to the CRM and to one of the others."""
    named = [f"d{i}: {{url: {sink.url}/d{i}}}" for i in range(DESTINATIONS)]
    routes = [f"{{name: r{i}, to: d{i}, where: {{attrs.id: {i + 1}}}, body: {{id: a}}}}" for i in range(DESTINATIONS)]
    return (
        f"destinations: {{crm: {{url: {sink.url}/crm}}, {', '.join(named)}}}\n"
        f"routes: [{{name: all, to: crm, body: {{id: '{{{{ attrs.id }}}}'}}}}, {', '.join(routes)}]\n"
    )


#: The most statements that a page may ask, whatever it shows.
PAGES = {
    "/": 30,
    "/?q=ada": 36,
    "/dead": 18,
    "/dead?destination=crm": 36,
    "/dead?destination=crm&cause=answered+422": 36,
    "/destinations": 18,
    "/events/{event}": 22,
    "/discard?state=dead&destination=crm&which=all": 36,
    "/replay?ids={all}&state=dead&which=ids": 80,
    "/api/events": 12,
    "/api/events?destination=crm&state=dead": 12,
    "/api/deliveries?state=dead": 24,
    "/api/destinations": 12,
    "/api/events/{event}": 12,
    "/api/dead": 12,
    "/api/activity": 8,
}
#: A file has no round trips: there a search reads one body at a time, and one stream for each group of deliveries.
STEP_BY_STEP = {"sqlite": {"/?q=ada", "/api/deliveries?state=dead"}, "postgres": set()}


@pytest.mark.parametrize("store", STEP_BY_STEP)
@story
async def test_a_page_asks_no_more_statements_for_more_rows(tmp_path, store):
    url = url_of(store)
    found: dict[str, list[int]] = {page: [] for page in PAGES}
    events: list[str] = []
    with Sink() as sink:
        sink.at("/", answer(422))
        async with Desk(tmp_path, many(sink), store=url) as desk:
            for first, last in ((0, 2), (2, DESTINATIONS)):
                for number in range(first, last):
                    event = (await desk.receive(a_contact(number + 1, "ada", "contact.created"))).event_id
                    events.append(event)
                await desk.turn()
                for page in PAGES:
                    with asked() as statements:
                        status, _ = await desk.ask(page.format(event=event, all="&ids=".join(events)))
                    assert status == 200, page
                    found[page].append(len(statements))
            dead = (await desk.store.deliveries(DeliveryQuery(destination="crm", state="dead"))).rows
            assert len(dead) == DESTINATIONS
    if url:
        # Whoever is still connected.
        await asyncio.to_thread(postgres.drop, url)
    assert {page for page, (few, more) in found.items() if more > few} == STEP_BY_STEP[store]
    assert {page: counts for page, counts in found.items() if not 0 < counts[1] <= PAGES[page]} == {}
