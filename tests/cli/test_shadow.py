"""``gateway diff`` and ``gateway shadow``: what another file would send, for stored events and for those that come in."""

import asyncio
import json
from functools import partial
from types import SimpleNamespace

import apsw
import pytest

from gateway.cli import offline
from gateway.cli.offline import Offline
from gateway.store.sqlite.reads import SQLiteReads
from tests.acceptance.harness import GatewayProcess, distinct, eventually
from tests.cli.command import run
from tests.sink import Sink, answer
from tests.world import World, numbered

ROUTES = """
version: 1
sources: {{xobito: {{preset: xobito, secret: acceptance-secret}}}}
destinations:
  crm: {{url: "{url}/crm", auth: {{bearer: a-long-hidden-token}}}}
  archive: {{url: "{url}/archive"}}
always: [{{to: archive}}]
routes:
  - {{name: to-crm, match: contact.created, to: crm, body: {{id: "{{{{ attrs.id }}}}", name: "{{{{ attrs.firstname }}}}"}}}}
"""
#: Of the events, one in ten is of a contact that the new file treats in another way.
EVENTS = 40


@pytest.fixture(scope="module")
def sink():
    with Sink(answer(200)) as sink:
        yield sink


@pytest.fixture(scope="module")
def gateway(tmp_path_factory, sink):
    with GatewayProcess(tmp_path_factory.mktemp("diff"), ROUTES.format(url=sink.url)) as gateway:
        for number in range(EVENTS):
            gateway.post(distinct(number))
        yield gateway


def written(gateway, sink, name="new.yaml", **changes):
    text = ROUTES.format(url=sink.url)
    for old, new in changes.values():
        assert old in text
        text = text.replace(old, new)
    path = gateway.folder / name
    path.write_text(text)
    return path


def diff(gateway, path, *more):
    done = run(
        "diff", path.name, "--config", "routes.yaml", "--store", "sqlite:///gateway.db", "--json", *more,
        cwd=gateway.folder,
    )  # fmt: skip
    return done.returncode, json.loads(done.stdout) if done.stdout else done.stderr


def test_diff_names_exactly_the_requests_that_differ_while_the_gateway_runs(gateway, sink):
    tenth = '"{{ attrs.id }}", tenth: "{{ (attrs.id is divisibleby 10) or omit }}"'
    new = written(gateway, sink, tenth=('"{{ attrs.id }}"', tenth))
    code, found = diff(gateway, new)
    assert code == 1
    assert (found["events"], found["same"], len(found["differing"])) == (EVENTS, EVENTS - 4, 4)
    bodies = [each["differences"][0]["after"]["request"]["body"] for each in found["differing"]]
    assert sorted(each["id"] for each in bodies) == [0, 10, 20, 30]
    assert found["counts"] == [{"kind": "changed", "route": "to-crm", "destination": "crm", "count": 4}]
    text = run("diff", "new.yaml", "--last", "40", cwd=gateway.folder)
    assert text.returncode == 1
    assert '+   "tenth": true' in text.stdout
    assert f"{EVENTS} events compared, 4 with a difference" in text.stdout
    assert "hidden-token" not in text.stdout
    assert [each.path for each in sink.requests if each.path not in ("/crm", "/archive")] == []


def test_diff_of_a_file_that_sends_the_same_exits_with_0(gateway, sink):
    new = written(gateway, sink, renamed=("name: to-crm", "name: customers"))
    assert diff(gateway, new, "--last", "15")[0] == 0
    assert diff(gateway, new, "--last", "15")[1]["same"] == 15
    assert diff(gateway, new, "--type", "status.*")[1]["events"] == 0


def test_diff_of_a_file_with_problems_or_of_the_file_itself_says_so(gateway, sink):
    bad = written(gateway, sink, "bad.yaml", typo=("match:", "mtach:"))
    assert run("diff", bad.name, cwd=gateway.folder).returncode == 1
    assert "mtach" in run("diff", bad.name, cwd=gateway.folder).stderr
    same = run("diff", "routes.yaml", cwd=gateway.folder)
    assert same.returncode == 2
    assert "routes.yaml is the file in force" in same.stderr
    missing = run("diff", "nowhere.yaml", cwd=gateway.folder)
    assert (missing.returncode, "does not exist" in missing.stderr) == (2, True)


def test_serve_with_a_shadow_names_the_requests_that_differ_for_live_events(tmp_path, sink):
    (tmp_path / "new.yaml").write_text(ROUTES.format(url=sink.url).replace("to: crm,", "to: crm, path: /v2,"))
    with GatewayProcess(tmp_path, ROUTES.format(url=sink.url), options=("--shadow", "new.yaml")) as gateway:
        ids = [gateway.post(distinct(number))[1]["id"] for number in range(5)]
        eventually(lambda: len(json.loads(gateway.verb("shadow", "--json").stdout)["results"]) == 5, "five results")
        shown = json.loads(gateway.verb("shadow", "--json").stdout)
        assert (shown["shadows"], shown["compared"], shown["skipped"]) == (["new.yaml"], 5, 0)
        assert {each["event_id"] for each in shown["results"]} == set(ids)
        text = gateway.verb("shadow").stdout
        assert f"+ POST {sink.url}/crm/v2" in text
        assert "changed  to-crm > crm (new.yaml)" in text
    assert not [each for each in sink.requests if each.path.endswith("/v2")]


#: Stored and live events of the test below, and of them those that the new file treats in another way, one in a hundred.
MANY = 1000
CHANGED = [number for number in range(MANY) if number % 100 == 0]
#: By a route of its own, which the new file alone has.
ADDED = [number for number in range(MANY) if number % 100 == 7]


def test_of_a_thousand_stored_and_of_the_same_live_events_exactly_the_requests_that_differ_are_named(tmp_path, sink):
    new = ROUTES.format(url=sink.url).replace(
        '"{{ attrs.id }}",', '"{{ attrs.id }}", hundredth: "{{ (attrs.id is divisibleby 100) or omit }}",'
    )
    new += '  - {name: seventh, if: "attrs.id % 100 == 7", to: crm, path: /seventh, body: {id: "{{ attrs.id }}"}}\n'
    (tmp_path / "new.yaml").write_text(new)
    with GatewayProcess(tmp_path, ROUTES.format(url=sink.url), options=("--shadow", "new.yaml")) as gateway:

        def shadowed(count):
            seen = json.loads(gateway.verb("shadow", "--json").stdout)
            return seen if seen["compared"] + seen["skipped"] >= count else None

        ids = []
        for number in range(MANY):
            ids.append(gateway.post(distinct(number))[1]["id"])
            if len(ids) % 250 == 0:
                # A shadow skips what comes faster than it may compare.
                seen = eventually(partial(shadowed, len(ids)), f"the shadow has seen {len(ids)} events")
        differing = {ids[number]: "changed" for number in CHANGED} | {ids[number]: "added" for number in ADDED}

        code, stored = diff(gateway, tmp_path / "new.yaml", "--last", str(MANY))
        assert code == 1
        assert (stored["events"], stored["same"]) == (MANY, MANY - len(differing))
        assert named(stored["differing"]) == differing
        assert sorted(stored["counts"], key=lambda each: each["kind"]) == [
            {"kind": "added", "route": "seventh", "destination": "crm", "count": len(ADDED)},
            {"kind": "changed", "route": "to-crm", "destination": "crm", "count": len(CHANGED)},
        ]
        assert (seen["compared"], seen["skipped"]) == (MANY, 0)
        assert named(seen["results"]) == differing
    assert not [each for each in sink.requests if each.path == "/crm/seventh"]


def named(results):
    """The kind of the only difference of each event."""
    return {each["event_id"]: each["differences"][0]["kind"] for each in results if len(each["differences"]) == 1}


def test_a_shadow_file_with_problems_ends_the_start(tmp_path, sink):
    (tmp_path / "routes.yaml").write_text(ROUTES.format(url=sink.url))
    (tmp_path / "new.yaml").write_text("version: 1\nrouts: []\n")
    done = run("serve", "--shadow", "new.yaml", cwd=tmp_path)
    assert done.returncode == 1
    assert 'unknown key "routs"' in done.stderr


def test_an_event_without_its_body_does_not_make_diff_read_the_whole_store(tmp_path, monkeypatch):
    read = []

    async def counted(reads, query):
        page = await SQLiteReads.candidates(reads, query)
        read.extend(each.event.id for each in page.rows)
        return page

    monkeypatch.setattr(offline, "PAGE", 4)
    ids = asyncio.run(received(tmp_path, 40))
    db = apsw.Connection(f"{tmp_path}/gateway.db")
    db.execute("UPDATE event SET body = x'', body_is = 'removed' WHERE id = ?", (ids[-2],))
    db.close()
    with Offline.opened(f"sqlite:///{tmp_path}/gateway.db", lambda: None, has_file=True) as store:
        kept = store._reads
        monkeypatch.setattr(store, "_reads", SimpleNamespace(events=kept.events, candidates=partial(counted, kept)))
        for most in (1, 3, 4, 6):
            read.clear()
            events, gone = store.last_events(most)
            wanted = [each for each in ids[-most:] if each != ids[-2]]
            assert ([each.id for each in events], gone) == (wanted, most - len(wanted))
            assert sorted(read) == sorted(wanted)


async def received(folder, count):
    async with World(folder, "destinations: {}\nroutes: [{name: all, to: []}]\n") as world:
        return [(await world.receive(numbered(number))).event_id for number in range(count)]


def test_diff_reads_both_files_with_the_variables_of_the_one_in_force(tmp_path):
    asyncio.run(received(tmp_path, 3))
    text = ROUTES.format(url="http://127.0.0.1:1").replace("a-long-hidden-token", '"${CRM_TOKEN}"')
    for folder, token in ((tmp_path, "token-of-one-folder"), (tmp_path / "next", "token-of-another")):
        folder.mkdir(exist_ok=True)
        (folder / "routes.yaml").write_text(text)
        (folder / ".env").write_text(f"CRM_TOKEN={token}\n")
    same = run("diff", "next/routes.yaml", "--store", "sqlite:///gateway.db", "--json", cwd=tmp_path)
    assert (same.returncode, json.loads(same.stdout)["same"]) == (0, 3), same.stderr
