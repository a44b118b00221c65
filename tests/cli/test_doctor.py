"""The doctor's findings, each from what it looked at."""

import asyncio
import fcntl
import json
import os
import resource
import time
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gateway import presets
from gateway.cli import doctor, surroundings, troubles
from gateway.config import load
from gateway.errors import ConfigError, Place, Problem
from gateway.machine.memory import MIB
from gateway.routing import Source
from gateway.signatures import Verifier
from gateway.signatures.schemes import Scheme
from gateway.store import health_of, open_store
from gateway.store.nouns import Limits
from gateway.store.room import free_disk
from gateway.store.sqlite.health import defect_of
from gateway.store.sqlite.lock import owner_of
from tests.cli import command
from tests.egress.proxy import Proxy
from tests.sink import Sink, answer, raw
from tests.smtp import MailServer
from tests.world import World, numbered, to_crm

GIB = 1024**3


@pytest.mark.parametrize(
    ("version", "verdict"),
    [("3.51.2", "fail"), ("3.40.1", "fail"), ("3.51.3", "ok"), ("3.54.1", "ok"), ("4.0.0", "ok")],
)
def test_a_sqlite_with_the_bug_that_damages_files_fails(version, verdict):
    assert doctor.engine("sqlite", version, *defect_of(version)).verdict == verdict


@pytest.mark.parametrize(
    ("free", "total", "verdict"),
    [
        pytest.param(250 * 1024**2, 5 * GIB, "fail", id="below 256 MiB, which stay free"),
        pytest.param(300 * 1024**2, 5 * GIB, "warn", id="soon below it"),
        pytest.param(GIB, 5 * GIB, "ok", id="enough"),
        pytest.param(GIB, 1000 * GIB, "fail", id="below 2 GiB of a large disk"),
        pytest.param(50 * GIB, 1000 * GIB, "ok", id="enough of a large disk"),
    ],
)
def test_a_disk_is_nearly_full_long_before_it_is_full(free, total, verdict):
    found = doctor.space(free, free_disk(Limits(), total), total)
    assert found.verdict == verdict
    assert ("new events are refused" in found.remedy) == (verdict != "ok")


@pytest.mark.parametrize(
    ("waiting", "verdict"),
    [({}, "ok"), ({"crm": 49}, "ok"), ({"crm": 40, "slack": 10}, "warn"), ({"crm": 100}, "fail")],
)
def test_the_destination_that_fills_the_store_is_named(waiting, verdict):
    found = doctor.pending(waiting, Limits(max_pending=100))
    assert found.verdict == verdict
    assert ("of them for crm" in found.said) == (verdict != "ok")


def test_the_records_that_sources_remember_are_counted_and_too_many_are_warned_of():
    few, many = doctor.tracked({"crm": 12, "xobito": 1_000_000})
    assert (few.verdict, few.said) == ("ok", "crm remembers 12 records of at most 1,000,000, each of at most 64 KiB")
    assert (many.verdict, "forgotten early" in many.said, "shorten track" in many.remedy) == ("warn", True, True)


@pytest.mark.parametrize(
    ("memories", "verdicts"),
    [({}, []), ({"crm-id": 7}, ["ok"]), ({"crm-id": 1_000_000, "slack-thread": 7}, ["warn"])],
)
def test_how_much_is_remembered_is_said_and_when_it_is_the_most(memories, verdicts):
    found = list(doctor.remembered(memories))
    assert [each.verdict for each in found] == verdicts
    assert all("crm-id" in each.said for each in found)


@pytest.mark.parametrize(
    ("hard", "verdict"),
    [(64, "fail"), (1024, "warn"), (4096, "ok"), (resource.RLIM_INFINITY, "ok")],
)
def test_few_open_files_are_few_connections(hard, verdict):
    assert doctor.open_files(hard).verdict == verdict


@pytest.mark.parametrize(
    ("limit", "largest", "verdict"),
    [
        pytest.param(0, 1, "ok", id="unknown"),
        pytest.param(128 * MIB, 1, "warn", id="too little"),
        pytest.param(256 * MIB, 1, "ok", id="enough"),
        pytest.param(256 * MIB, 17, "warn", id="a body of more than fits"),
        pytest.param(GIB, 17, "ok", id="it fits into more"),
        pytest.param(GIB, 64, "warn", id="more than ever fits"),
    ],
)
def test_little_memory_is_warned_of_and_so_is_a_body_that_does_not_fit(limit, largest, verdict):
    sources = [source(name, max_body=size * MIB) for name, size in (("small", 1), ("large", largest))]
    found = doctor.memory(limit, sources)
    assert (found.verdict, bool(found.remedy)) == (verdict, verdict == "warn")
    assert ("large" in found.said) == (verdict == "warn" and largest > 1)


def source(name, *, max_body):
    return Source(
        name=name,
        path=f"/in/{name}",
        preset="",
        verifier=Verifier((Scheme(way="none"),)),
        naming=presets.load("").naming,
        max_body=max_body,
    )


def moment(year):
    return datetime(year, 6, 1, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("stored", "now", "verdict"),
    [
        pytest.param(moment(2026), moment(2026), "ok", id="as it should be"),
        pytest.param(0.0, moment(1970), "fail", id="a clock without a battery"),
        pytest.param(moment(2026) + 3600, moment(2026), "warn", id="set back by an hour"),
    ],
)
def test_a_clock_that_is_wrong_is_told(stored, now, verdict):
    assert doctor.clock(stored, now).verdict == verdict


def test_the_owner_of_the_store_is_named_and_whether_it_lives(tmp_path):
    path = tmp_path / "gateway.db"
    url = f"sqlite:///{path}"
    assert doctor.owner(health_of(url)).verdict == "ok"

    async def open_and_look():
        store = await open_store(url)
        try:
            return doctor.owner(health_of(url)), owner_of(str(path))
        finally:
            await store.close()

    found, owner = asyncio.run(open_and_look())
    assert (found.verdict, owner.is_alive) == ("ok", True)
    assert f"pid {os.getpid()}" in found.said
    assert owner_of(str(path)) is None

    (tmp_path / "gateway.db.lock").write_text("pid 4711, started 2026-01-01T00:00:00+00:00\n")
    left = doctor.owner(health_of(url))
    assert (left.verdict, "pid 4711" in left.said, bool(left.remedy)) == ("warn", True, True)


def test_asking_for_the_owner_leaves_the_lock_free(tmp_path):
    path = tmp_path / "gateway.db"
    (tmp_path / "gateway.db.lock").write_text("pid 4711\n")
    owner_of(str(path))
    with closing((tmp_path / "gateway.db.lock").open("r+b")) as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


@pytest.mark.parametrize(("mode", "verdict"), [(0o600, "ok"), (0o640, "ok"), (0o644, "warn"), (0o602, "warn")])
def test_a_file_that_everyone_can_read_is_told(tmp_path, mode, verdict):
    path = tmp_path / "gateway.db"
    path.write_bytes(b"")
    path.chmod(mode)
    [found] = doctor.permissions([path, tmp_path / "missing"])
    assert found.verdict == verdict


@pytest.mark.parametrize(
    ("mode", "remedy"),
    [
        (0o600, ""),
        (0o400, ""),
        (0o640, "chmod g-rwx"),
        (0o620, "chmod g-rwx"),
        (0o644, "chmod go-rwx"),
        (0o602, "chmod go-rwx"),
    ],
)
def test_a_file_of_secrets_is_for_its_owner_alone(tmp_path, mode, remedy):
    path = tmp_path / ".env"
    path.write_bytes(b"")
    path.chmod(mode)
    [found] = doctor.permissions([path], others=surroundings.OTHERS)
    assert (found.verdict, found.remedy) == (("warn", f"{remedy} {path}") if remedy else ("ok", ""))
    said = surroundings.exposed_secrets(path)
    assert [(each.hint, each.severity) for each in said] == ([(f"{remedy} {path}", "warning")] if remedy else [])
    assert surroundings.exposed_secrets(tmp_path / "missing") == surroundings.exposed_secrets(None) == ()


@pytest.mark.parametrize(
    ("answer", "verdict"),
    [
        (None, "warn"),
        ({"status": "ready"}, "ok"),
        ({"status": "ready", "config": "rejected: 1 problem, since then"}, "warn"),
    ],
)
def test_what_the_running_gateway_says_of_itself_is_passed_on(answer, verdict):
    assert doctor.readiness(answer).verdict == verdict


def test_every_finding_that_is_not_ok_has_a_remedy(tmp_path):
    found = [
        doctor.engine("sqlite", "3.40.1", *defect_of("3.40.1")),
        doctor.space(0, GIB, 10 * GIB),
        doctor.space(GIB, GIB, 10 * GIB),
        doctor.pending({"crm": 9}, Limits(max_pending=10)),
        *doctor.remembered({"crm-id": 1_000_000}),
        *doctor.remembered({"crm": 1_000_000}),
        doctor.open_files(64),
        doctor.memory(128 * MIB, []),
        doctor.clock(0, 0),
        doctor.clock(time.time() + 999, time.time()),
        *doctor.integrity(health_of(f"sqlite:///{tmp_path}/gateway.db"), ["row 7 missing from index"] * 9),
    ]
    assert [each.check for each in found if each.verdict == "ok" or not each.remedy] == []


def findings(tmp_path, capsys, *, url=""):
    doctor.doctor(
        config=tmp_path / "routes.yaml", store=f"sqlite:///{tmp_path}/gateway.db", url=url, online=False, as_json=True
    )
    return json.loads(capsys.readouterr().out)["checks"]


def test_a_file_of_no_bytes_is_a_store_in_which_nothing_was_ever_stored(tmp_path, capsys):
    (tmp_path / "gateway.db").touch()
    [said] = [each for each in findings(tmp_path, capsys) if each["check"] == "store"]
    assert said["verdict"] == "ok"
    assert "is empty: nothing was stored yet, the next start sets it up" in said["said"]


def test_a_file_of_no_bytes_where_events_were_is_a_failure(tmp_path, capsys):
    (tmp_path / "gateway.db").touch()
    (tmp_path / "gateway.db.lock").write_text("\nhas held events\n")
    [said] = [each for each in findings(tmp_path, capsys) if each["check"] == "store"]
    assert (said["verdict"], said["remedy"]) == ("fail", "restore a backup")
    assert "is empty, and has held events" in said["said"]


def test_what_is_wrong_with_a_store_is_a_line_each_and_not_a_thousand(tmp_path):
    health = health_of(f"sqlite:///{tmp_path}/gateway.db")
    found = [each.said for each in doctor.integrity(health, [f"page {n}:\nwrong" for n in range(12)])]
    assert found == [*(f"{health.name} is damaged: page {n}: wrong" for n in range(5)), "and 7 more"]


UNSET = """
version: 1
sources: {xobito: {preset: xobito, secret: "${DOCTORS_SECRET}"}}
destinations: {crm: {url: "${DOCTORS_URL}"}}
routes: [{name: to-crm, match: contact.created, to: crm}]
"""


@pytest.mark.parametrize(
    ("routes", "running", "verdict"),
    [
        pytest.param(UNSET, False, "fail", id="nobody has the variables"),
        pytest.param(UNSET, True, "warn", id="the gateway has them, or goes without"),
        pytest.param(UNSET + "nonsense: 1\n", True, "fail", id="the file itself is wrong"),
    ],
)
def test_variables_that_only_the_running_gateway_needs_are_no_failure(tmp_path, routes, running, verdict):
    path = tmp_path / "routes.yaml"
    path.write_text(routes)
    assert doctor.configuration(path, doctor._loaded(path), is_running=running).verdict == verdict


COUNTED = """
version: 1
sources: {xobito: {preset: xobito, secret: "${DOCTORS_SECRET:-short}"}}
destinations: {crm: {url: "https://crm.example.com"}, log: {type: file, path: %s}}
routes: [{name: to-crm, match: contact.created, to: [crm, log]}]
%s
"""


@pytest.mark.parametrize(
    ("path", "tests", "env", "said"),
    [
        ("nowhere/log.ndjson", "", "A=1\nA=2\nB=${A}\n", "4 warnings"),
        ("log.ndjson", "tests: [{name: a, event: contact.nope, expect: [crmm]}]", "", "2 problems"),
        ("log.ndjson", "tests: [{name: a, event: contact.nope, expect: [crm]}]\nnonsense: 1", "", "2 problems"),
    ],
)
def test_it_counts_what_check_counts(tmp_path, path, tests, env, said):
    file = tmp_path / "routes.yaml"
    file.write_text(COUNTED % (path, tests))
    (tmp_path / ".env").write_text(env)
    (tmp_path / ".env").chmod(0o600)
    found = doctor.configuration(file, doctor._loaded(file), is_running=False)
    assert said in found.said
    assert said in command.run("check", cwd=tmp_path).stdout.splitlines()[-1]


@pytest.mark.parametrize(
    ("tests", "verdict", "place"),
    [
        pytest.param("", "warn", "routes.yaml:3:44: warning: ", id="a warning"),
        pytest.param("tests: [{name: a, event: contact.created, expect: [crmm]}]", "warn", "", id="in its tests"),
        pytest.param("nonsense: 1", "fail", "routes.yaml:6:1: unknown key", id="it cannot be loaded"),
    ],
)
def test_the_only_problem_is_named_with_its_place_and_its_remedy(tmp_path, tests, verdict, place):
    file = tmp_path / "routes.yaml"
    # A long secret is no second one.
    secret = "8cd7f6b1c7d09ac8e1a4" if tests else "short"
    file.write_text((COUNTED % ("log.ndjson", tests)).replace("short", secret))
    found = doctor.configuration(file, doctor._loaded(file), is_running=False)
    [first, *_] = command.run("check", cwd=tmp_path).stdout.splitlines()
    message, _, remedy = first.partition("  (")
    assert (found.verdict, found.remedy) == (verdict, remedy.removesuffix(")"))
    assert found.said.endswith(message)
    assert place in message


# --- where it sends ---


def reached(folder, destination: str) -> doctor.Finding:
    (folder / "routes.yaml").write_text(
        "version: 1\nsources: {xobito: {preset: xobito, secret: s3cret}}\n"
        f"destinations: {{there: {{{destination}}}}}\nroutes: [{{name: all, to: there}}]\n"
    )
    config = load(folder / "routes.yaml", environ={})
    return asyncio.run(doctor._destination(config.destinations["there"], config))


def test_a_destination_that_answers_is_reached(tmp_path):
    with Sink(answer(404)) as sink:
        found = reached(tmp_path, f'url: "{sink.url}/hooks/k3y-of-hook"')
    assert (found.verdict, found.said) == ("ok", "127.0.0.1, without TLS, answers HEAD / with 404")


def test_a_mail_server_is_asked_nothing(tmp_path):
    with MailServer() as server:
        keys = f'type: email, url: "{server.url}", insecure: true, from: gw@example.com, recipients: a@example.com'
        (tmp_path / "routes.yaml").write_text(
            f"version: 1\nsources: {{}}\ndestinations: {{there: {{{keys}}}}}\nroutes: []\n"
        )
        config = load(tmp_path / "routes.yaml", environ={})
        found = asyncio.run(doctor._destination(config.destinations["there"], config))
    assert (found.verdict, found.said) == ("ok", "127.0.0.1, without TLS")
    assert server.commands == []


def test_a_destination_that_connects_and_answers_in_no_http_is_a_warning(tmp_path):
    with Sink(raw(b"220 mail.example ESMTP\r\n")) as sink:
        found = reached(tmp_path, f'url: "{sink.url}"')
    assert (found.verdict, found.said) == ("warn", "127.0.0.1, without TLS, but HEAD / failed: the answer is not HTTP")
    assert "ignore this if deliveries arrive" in found.remedy


def test_a_proxy_that_wants_a_login_fails(tmp_path):
    with Sink() as sink, Proxy(sink.port, login="ada:s3cret") as proxy:
        found = reached(tmp_path, f'url: "http://hooks.test", proxy: "http://127.0.0.1:{proxy.port}"')
    assert found.verdict == "fail"
    assert found.said.startswith("127.0.0.1 (the proxy), without TLS, but HEAD / failed: the proxy answered 407: ")


def test_a_destination_that_nobody_listens_at_fails(tmp_path):
    found = reached(tmp_path, 'url: "http://127.0.0.1:1"')
    assert (found.verdict, found.said) == ("fail", "connection refused")


@pytest.mark.parametrize(
    ("made", "said", "remedy"),
    [
        ([], "its folder {folder} does not exist", "mkdir -p {folder}"),
        (["rx"], "{folder} is not writable", "let the user of the gateway write there"),
        (["rwx"], None, None),
    ],
    ids=["no folder", "not writable", "as it should be"],
)
def test_a_file_destination_that_cannot_be_written_fails(tmp_path, capsys, monkeypatch, made, said, remedy):
    folder = tmp_path / "archive"
    (tmp_path / "routes.yaml").write_text(
        f"version: 1\nsources: {{xobito: {{preset: xobito, secret: s3cret-of-xobito}}}}\nalways: [{{to: archive}}]\n"
        f"destinations: {{archive: {{type: file, path: {folder}/events.ndjson}}}}\n"
    )
    for mode in made:
        folder.mkdir()
        if "w" not in mode:
            # Root may write everywhere.
            monkeypatch.setattr(os, "access", lambda at, _how: at != folder)
    found = [each for each in findings(tmp_path, capsys) if each["check"] == "archive"]
    assert [(each["verdict"], each["remedy"]) for each in found] == (
        [("fail", remedy.format(folder=folder))] if remedy else []
    )
    assert all(said.format(folder=folder) in each["said"] for each in found)


@pytest.mark.parametrize(
    ("word", "held", "remedy"),
    [
        (
            "circuit open",
            "circuit open after 5 consecutive failures, next probe in 21 s",
            "`gateway destinations resume crm`",
        ),
        ("denied", "3 different events denied, next probe in 21 s", "fix what its answer objects to"),
        ("giving up", "", "`gateway replay --dead --destination crm`"),
        ("paused", "paused by ada: an upgrade", "`gateway destinations resume crm`"),
        ("paused", "paused in routes.yaml", "remove its paused: from routes.yaml"),
        ("not in routes.yaml", "", "put it back into routes.yaml"),
        ("dead letters", "", None),
        ("failing", "", None),
        ("healthy", "", None),
    ],
)
def test_a_destination_that_gets_nothing_or_gives_up_is_named_with_the_reason_and_the_remedy(word, held, remedy):
    error = {"reason": "connection refused"}
    described = {
        "name": "crm", "condition": word, "held": held, "waits": "", "lately": "", "last_error": error, "muted": None,
        "pending": 0, "dead": 1,
    }  # fmt: skip
    found = list(troubles.held([described]))
    assert [name for name, _, _ in found] == (["crm"] if remedy else [])
    assert all(held in said and "connection refused" in said and remedy in what for _, said, what in found)


def test_dead_letters_are_counted_by_destination_while_no_gateway_runs(tmp_path, capsys, monkeypatch):
    async def give_up() -> None:
        async with World(tmp_path, (tmp_path / "routes.yaml").read_text()) as world:
            world.clock.now = time.time()
            for number in range(3):
                await world.receive(numbered(number))
            await world.turn()

    with Sink(answer(404, b"no such page")) as sink:
        (tmp_path / "routes.yaml").write_text(to_crm(sink))
        asyncio.run(give_up())
    monkeypatch.setenv("GATEWAY_ADMIN_BIND", "127.0.0.1:9")
    found = {each["check"]: each for each in findings(tmp_path, capsys, url="")}
    assert found["gateway"]["said"] == "no gateway is running: what is below is read from its store"
    assert found["dead letters"]["said"] == "3 deliveries were given up: crm 3"
    assert "`gateway dead`" in found["dead letters"]["remedy"]
    assert "answered 404: no such page" in found["crm"]["said"]


def test_a_warning_is_not_counted_as_a_problem_of_a_refused_file():
    wrong, odd = Problem(Place("routes.yaml"), "wrong", "fix it"), Problem(Place("routes.yaml"), "odd", "", "warning")
    found = doctor.configuration(Path("routes.yaml"), ConfigError([wrong, wrong, odd]), is_running=False)
    assert found.said == "routes.yaml: 2 problems in the configuration"
