"""What a listing says about a long search."""

import asyncio
import json

import pytest
from msgspec.structs import replace

from gateway.cli import events, pages
from gateway.cli.place import Place
from gateway.operate.selection import Filter
from gateway.store import open_store
from tests.store.given import new_event

#: Twice as many as one page looks into, and more.
EVENTS = 4_500
ROUTES = """
version: 1
sources: {xobito: {preset: xobito, secret: looked-for}}
destinations: {crm: {url: "http://127.0.0.1:1/"}}
always: [{name: all, to: crm}]
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A store whose oldest event alone has a header."""
    folder = tmp_path_factory.mktemp("look")
    (folder / "routes.yaml").write_text(ROUTES)

    async def fill():
        store = await open_store(f"sqlite:///{folder}/gateway.db")
        first = new_event()
        await store.append([replace(first, event=replace(first.event, headers={"x-wanted": "yes"}))])
        await store.append([new_event() for _ in range(EVENTS)])
        await store.close()

    asyncio.run(fill())
    return folder


@pytest.fixture
def found(folder, monkeypatch, capsys):
    monkeypatch.setenv("GATEWAY_ADMIN_BIND", "127.0.0.1:1")
    place = Place(url="", store=f"sqlite:///{folder}/gateway.db", config=folder / "routes.yaml")

    def found(q, limit=20):
        events.events(place, Filter(q=q), limit=limit, before="", as_json=True)
        said = capsys.readouterr()
        return json.loads(said.out), said.err

    return found


def test_a_search_that_no_index_helps_goes_on_by_itself_to_the_end(found):
    events, said = found("headers.x-wanted=yes")
    assert (len(events), said) == (1, "")


def test_it_ends_with_as_many_as_were_asked_for(found):
    events, said = found("headers.content-type=application/json", limit=3)
    assert len(events) == 3
    assert said.startswith("there are more: --before ")


def test_it_gives_up_after_a_while_and_says_how_far_it_came(found, monkeypatch):
    monkeypatch.setattr(pages, "PATIENCE_S", 0.0)
    events, said = found("headers.x-wanted=yes")
    assert events == []
    assert said.startswith("searched back to ")
    assert "to continue: --before " in said
