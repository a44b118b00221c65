"""Editing routes.yaml while the gateway runs: by signal, by the API, by saving; under fire, and with mistakes."""

import itertools
import json
import re
import signal
import threading
import time
from pathlib import Path

import pytest

from gateway.config import load
from tests.acceptance.harness import SECRET, GatewayProcess, distinct, eventually
from tests.sink import Sink, answer, once

SOURCES = f"version: 1\nsources: {{xobito: {{preset: xobito, secret: {SECRET}}}}}\n"


def routes(url: str, text: str = "one", more: str = "") -> str:
    return f"""{SOURCES}
destinations:
  crm: {{url: "{url}"}}
routes:
  - name: new-lead
    match: contact.created
    to: crm
    body: {{text: {text}}}
{more}"""


def save(gateway: GatewayProcess, text: str, name: str = "routes.yaml") -> None:
    """As most editors do it: another file gets the name, so that nobody reads half of it."""
    beside = gateway.folder / ".saved.new"
    beside.write_text(text)
    beside.replace(gateway.folder / name)


def last(gateway: GatewayProcess, event: str, number: int) -> dict:
    """The ``number``-th line of this event, once it is there."""
    return eventually(lambda: gateway.log_lines(event)[number - 1 : number], f"{event} is logged {number} times")[0]


def metric(gateway: GatewayProcess, name: str) -> float:
    text = gateway.api("/metrics")[1]
    return float(next(line for line in text.splitlines() if line.startswith(f"{name} ")).split()[1])


def sent_text(sink: Sink, number: int) -> str:
    return json.loads(sink.wait_for(number)[number - 1].body)["text"]


@pytest.fixture
def sink():
    with Sink() as sink:
        yield sink


def test_a_signal_puts_another_file_in_force(tmp_path, sink):
    with GatewayProcess(tmp_path, routes(sink.url)) as gateway:
        gateway.post(distinct(1))
        assert sent_text(sink, 1) == "one"
        save(gateway, routes(sink.url, "two"))
        gateway.process.send_signal(signal.SIGHUP)
        line = last(gateway, "config.reloaded", 1)
        assert line["changed"] == "1 route changed (new-lead)"
        gateway.post(distinct(2))
        assert sent_text(sink, 2) == "two"
        assert sink.connections == 1, "connections survive"
        [delivery] = gateway.settled(gateway.api("/api/events")[1]["events"][0]["id"])
        assert delivery["attempts_made"][0]["config"] == line["config"]
        assert gateway.terminate() == 0


def test_the_verb_puts_another_file_in_force_and_prints_every_problem_of_a_bad_one(tmp_path, sink):
    with GatewayProcess(tmp_path, routes(sink.url)) as gateway:
        save(gateway, routes(sink.url, "two"))
        assert gateway.verb("reload").stdout == "Reloaded: 1 route changed (new-lead).\n"
        gateway.post(distinct(1))
        assert sent_text(sink, 1) == "two"
        save(gateway, routes(sink.url, "three", more="sauces: {}\n"))
        refused = gateway.verb("reload", check=False)
        assert refused.returncode == 1
        assert (
            'routes.yaml:11:1: unknown key "sauces"  (did you mean "sources", which is already there?)'
            in refused.stderr
        )
        assert "the previous version stays in force" in refused.stderr
        gateway.post(distinct(2))
        assert json.loads(sink.wait_for(2)[1].body)["text"] == "two"


def test_signals_from_the_first_moment_on_and_before_the_last_are_harmless(tmp_path, sink):
    with GatewayProcess(tmp_path, routes(sink.url)) as gateway:
        for _ in range(3):
            gateway.process.send_signal(signal.SIGHUP)
        eventually(lambda: ended(gateway) > 0, "a signal is obeyed")
        gateway.process.send_signal(signal.SIGHUP)
        assert gateway.terminate() == 0
        assert "Traceback" not in gateway.log_text()


def test_the_api_says_what_changed(tmp_path, sink):
    with GatewayProcess(tmp_path, routes(sink.url)) as gateway:
        assert gateway.api("/api/reload", {}) == (200, {"changed": "nothing"})
        (tmp_path / "routes.yaml").write_text(routes(sink.url, "two", "  - {name: again, to: crm}\n"))
        assert gateway.api("/api/reload", {}) == (
            200,
            {"changed": "1 route added (again), 1 route changed (new-lead)"},
        )


def test_a_broken_file_keeps_the_old_one_and_says_so_everywhere(tmp_path, sink):
    with GatewayProcess(tmp_path, routes(sink.url)) as gateway:
        loaded_at = metric(gateway, "gateway_config_last_reload_success_timestamp_seconds")
        assert metric(gateway, "gateway_config_last_reload_successful") == 1
        save(gateway, routes(sink.url, "two", "    whre: {attrs.type: lead}\n    colour: red\n"))
        status, answered = gateway.api("/api/reload", {})
        assert status == 422
        assert "previous version stays" in answered["error"]
        first, second = answered["problems"]
        line = routes(sink.url).count("\n") + 1
        assert (first["file"], first["line"], first["column"]) == ("routes.yaml", line, 5)
        assert first["message"] == 'unknown key "whre" in route "new-lead"'
        assert first["hint"] == 'did you mean "where"?'
        assert first["text"].startswith(f'routes.yaml:{line}:5: unknown key "whre"')
        assert first["text"].endswith("^")
        assert second["line"] == line + 1

        rejected = last(gateway, "config.rejected", 1)
        assert [problem.partition(" ")[0] for problem in rejected["problems"]] == [
            f"routes.yaml:{line}:5:",
            f"routes.yaml:{line + 1}:5:",
        ]
        status, readiness = gateway.api("/readyz")
        assert (status, readiness["status"]) == (200, "ready")
        assert readiness["config"].startswith("rejected: 2 problems, since 20")
        assert metric(gateway, "gateway_config_last_reload_successful") == 0
        assert metric(gateway, "gateway_config_last_reload_success_timestamp_seconds") == loaded_at
        gateway.post(distinct(1))
        assert sent_text(sink, 1) == "one"

        save(gateway, routes(sink.url, "three"))
        assert gateway.api("/api/reload", {})[0] == 200
        status, readiness = gateway.api("/readyz")
        assert (status, readiness["status"], "config" in readiness) == (200, "ready", False)
        assert metric(gateway, "gateway_config_last_reload_successful") == 1
        assert metric(gateway, "gateway_config_last_reload_success_timestamp_seconds") > loaded_at
        gateway.post(distinct(2))
        assert sent_text(sink, 2) == "three"


def test_a_file_that_is_not_there_is_a_broken_file(tmp_path, sink):
    with GatewayProcess(tmp_path, routes(sink.url)) as gateway:
        (tmp_path / "routes.yaml").unlink()
        status, answered = gateway.api("/api/reload", {})
        assert status == 422
        assert "cannot read" in answered["problems"][0]["message"]
        gateway.post(distinct(1))
        assert sent_text(sink, 1) == "one"


def test_what_is_saved_is_in_force_with_watch(tmp_path, sink):
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates/text.json.j2").write_text('{"text": "one"}')
    text = routes(sink.url).replace("body: {text: one}", "template: text.json.j2")
    with GatewayProcess(tmp_path, text, options=("--watch",)) as gateway:
        save(gateway, '{"text": "two"}', "templates/text.json.j2")
        assert last(gateway, "config.reloaded", 1)["changed"] == "1 route changed (new-lead)"
        gateway.post(distinct(1))
        assert sent_text(sink, 1) == "two"

        save(gateway, text.replace("match:", "metch:"))
        last(gateway, "config.rejected", 1)
        (tmp_path / "routes.yaml").unlink()
        last(gateway, "config.rejected", 2)
        save(gateway, text.replace("contact.created", "contact.*"))
        assert last(gateway, "config.reloaded", 2)["changed"] == "1 route changed (new-lead)"
        gateway.post(distinct(2, "contact.updated"))
        assert sent_text(sink, 2) == "two"
        assert gateway.terminate() == 0


def test_a_mistake_in_a_new_included_file_is_noticed_and_so_is_its_correction(tmp_path, sink):
    text = routes(sink.url)
    with GatewayProcess(tmp_path, text, options=("--watch",)) as gateway:
        deep = tmp_path / "teams" / "a" / "crm.conf"
        deep.parent.mkdir(parents=True)
        deep.write_text("routes: [{name: more, match: contact.*, tu: crm}]\n")
        save(gateway, f"{text}include: teams/**/*.conf\n")
        last(gateway, "config.rejected", 1)
        deep.write_text("vars: {a: 1}\n")
        assert last(gateway, "config.reloaded", 1)["changed"] == "1 variable added (a)"
        deep.with_name("other.conf").write_text("vars: {b: 1}\n")
        assert last(gateway, "config.reloaded", 2)["changed"] == "1 variable added (b)"
        assert gateway.terminate() == 0


def test_without_watch_a_saved_file_waits_for_the_signal(tmp_path, sink):
    with (
        GatewayProcess(tmp_path, routes(sink.url)) as gateway,
        GatewayProcess(other(tmp_path), routes(sink.url), options=("--watch",)) as watching,
    ):
        for each in (gateway, watching):
            save(each, routes(sink.url, "two"))
        last(watching, "config.reloaded", 1)
        assert gateway.log_lines("config.reloaded") == []


def other(folder: Path) -> Path:
    (folder / "other").mkdir()
    return folder / "other"


def test_dev_reads_saved_variables_and_shows_mistakes_as_check_does(tmp_path, sink):
    text = routes("${CRM_URL}")
    command = (*GatewayProcess(tmp_path)._command[:3], "dev")
    with GatewayProcess(tmp_path, text, command=command) as gateway:
        gateway.post(distinct(1))
        eventually(lambda: gateway.api("/inbox")[1], "the request is in the inbox")
        save(gateway, text.replace("match:", "metch:"))
        eventually(lambda: "\n      |     ^\n1 problem\n" in gateway.log_text(), "the problem is shown with its place")
        save(gateway, text)
        last(gateway, "config.reloaded", 1)
        save(gateway, f"CRM_URL={sink.url}\n", ".env")
        assert last(gateway, "config.reloaded", 2)["changed"] == "1 destination changed (crm)"
        gateway.post(distinct(2))
        sink.wait_for(1)
        assert len(gateway.api("/inbox")[1]) == 1
        save(gateway, "this is no variable\n", ".env")
        assert ".env:1" in last(gateway, "config.rejected", 2)["problems"][0]


def test_variables_of_serve_are_those_of_its_start_and_secret_files_are_read_again_without_a_reload(tmp_path, sink):
    (tmp_path / "env").write_text(f"CRM_URL={sink.url}/one\n")
    for version in ("first", "second"):
        (tmp_path / f"..{version}").mkdir()
        (tmp_path / f"..{version}/token").write_text(f"{version}\n")
    # As Kubernetes mounts a secret, and replaces it.
    (tmp_path / "..data").symlink_to("..first")
    (tmp_path / "token").symlink_to("..data/token")
    text = routes("${CRM_URL}").replace("}\nroutes", ', auth: {bearer: "${file:token}"}}\nroutes')
    with GatewayProcess(tmp_path, text, options=("--env-file", str(tmp_path / "env"))) as gateway:
        (tmp_path / "env").write_text(f"CRM_URL={sink.url}/two\n")
        (tmp_path / "..data_tmp").symlink_to("..second")
        (tmp_path / "..data_tmp").replace(tmp_path / "..data")
        line = last(gateway, "secret.reloaded", 1)
        assert (line["files"], line["changed"]) == (["token"], "1 destination changed (crm)")
        assert gateway.api("/api/reload", {}) == (200, {"changed": "nothing"})
        gateway.post(distinct(1))
        [request] = sink.wait_for(1)
        assert (request.path, request.headers["authorization"]) == ("/one", "Bearer second")
        assert not {"first", "second"} & set(re.findall(r"\w+", gateway.log_text()))


def test_a_new_source_listens_at_once_and_a_removed_one_is_unknown(tmp_path, sink):
    with GatewayProcess(tmp_path, routes(sink.url)) as gateway:
        assert gateway.post(distinct(1), path="/in/second")[0] == 404
        save(gateway, routes(sink.url).replace("xobito: {preset", "second: {preset"))
        assert gateway.api("/api/reload", {}) == (
            200,
            {"changed": "1 source added (second), 1 source removed (xobito)"},
        )
        assert gateway.post(distinct(1), path="/in/second")[0] == 202
        assert gateway.post(distinct(2))[0] == 404


def test_each_attempt_uses_the_file_of_its_moment(tmp_path):
    is_reloaded = threading.Event()
    with (
        Sink(once(is_reloaded, answer(503)), answer(200)) as sink,
        GatewayProcess(tmp_path, routes(sink.url + "/a").replace('/a"}', '/a", timeout: 5m}')) as gateway,
    ):
        status, answered = gateway.post(distinct(1))
        assert status == 202
        sink.wait_for(1)
        save(gateway, routes(sink.url + "/b", "two"))
        assert gateway.api("/api/reload", {})[0] == 200
        is_reloaded.set()
        first, second = sink.wait_for(2)
        assert (first.path, json.loads(first.body)) == ("/a", {"text": "one"})
        assert (second.path, json.loads(second.body)) == ("/b", {"text": "two"})
        assert first.headers["webhook-id"] == second.headers["webhook-id"]
        [delivery] = gateway.settled(answered["id"])
        assert len({attempt["config"] for attempt in delivery["attempts_made"]}) == 2


def test_what_is_gone_while_deliveries_wait_for_it_is_named(tmp_path):
    with Sink(answer(503)) as sink, GatewayProcess(tmp_path, routes(sink.url)) as gateway:
        for number in range(3):
            gateway.post(distinct(number))
        sink.wait_for(3)
        save(gateway, routes(sink.url).replace("new-lead", "another"))
        assert gateway.api("/api/reload", {})[0] == 200
        orphans = last(gateway, "config.orphans", 1)
        assert (orphans["route"], orphans["destination"], orphans["deliveries"]) == ("new-lead", "crm", 3)


# --- under fire ---

RELOADS = 100
POSTERS = 3


def version(url: str, letter: str) -> str:
    """One of two files: both have all four routes, so that no delivery is an orphan; events take the two of theirs."""
    entries = "".join(
        f"""
  - name: {name}
    match: {"contact.created" if name[0] == letter else "never.sent"}
    to: {name}
    headers: {{x-by: {letter}}}
    path: /by/{letter}
    body: {{by: {letter}, number: "{{{{ attrs.id }}}}"}}"""
        for name in ("a1", "a2", "b1", "b2")
    )
    destinations = "".join(f'\n  {name}: {{url: "{url}/{name}", concurrency: 8}}' for name in ("a1", "a2", "b1", "b2"))
    return f"{SOURCES}destinations:{destinations}\nroutes:{entries}\n"


def post_until(stop: threading.Event, gateway: GatewayProcess, numbers, accepted: dict[int, str]) -> None:
    while not stop.is_set():
        number = next(numbers)
        status, answered = gateway.post(distinct(number))
        assert status == 202
        accepted[number] = answered["id"]
        time.sleep(0.002)  # leave a core for the gateway


def revision(folder: Path, text: str) -> str:
    (folder / "routes.yaml").write_text(text)
    return load(folder / "routes.yaml", environ={}).revision


def test_a_hundred_reloads_under_fire_lose_nothing_and_mix_nothing(tmp_path, sink):
    good = {letter: version(sink.url, letter) for letter in "ab"}
    letter_of = {revision(tmp_path, text): letter for letter, text in good.items()}
    broken = good["b"].replace("contact.created", "[contact.created")
    accepted: dict[int, str] = {}
    stop, numbers = threading.Event(), itertools.count(1)

    with GatewayProcess(tmp_path, good["a"]) as gateway:
        posting = (stop, gateway, numbers, accepted)
        threads = [threading.Thread(target=post_until, args=posting) for _ in range(POSTERS)]
        for thread in threads:
            thread.start()
        files = itertools.cycle([broken, good["b"], broken, good["a"]])
        for number, text in zip(range(1, RELOADS + 1), files, strict=False):
            save(gateway, text)
            reload(gateway, number, by_signal=number % 5 == 0)
            seen = len(accepted)
            eventually(lambda seen=seen: len(accepted) > seen + 1, "events come in with this file")
        stop.set()
        for thread in threads:
            thread.join()
        eventually(lambda: ended(gateway) == RELOADS, "every reload is in the log")
        assert len(gateway.log_lines("config.rejected")) == RELOADS // 2
        changes = {line["changed"] for line in gateway.log_lines("config.reloaded")}
        assert changes == {"4 routes changed (a1, a2, b1, b2)"}

        sent = {request.headers["webhook-id"]: request for request in sink.wait_for(2 * len(accepted))}
        sets = set()
        for number, event_id in accepted.items():
            deliveries = gateway.settled(event_id)
            sets.add(tuple(sorted(each["route"] for each in deliveries)))
            for each in deliveries:
                [attempt] = each["attempts_made"]
                letter, request = letter_of[attempt["config"]], sent[each["id"]]
                assert each["state"] == "delivered"
                assert json.loads(request.body) == {"by": letter, "number": number}
                assert (request.headers["x-by"], request.path) == (letter, f"/{each['route']}/by/{letter}")
        assert sets == {("a1", "a2"), ("b1", "b2")}
        assert len(sink.requests) == len(sent) == 2 * len(accepted)


def reload(gateway: GatewayProcess, number: int, *, by_signal: bool) -> None:
    """The ``number``-th reload of this process; returns once it is over, whichever way it ended."""
    if by_signal:
        gateway.process.send_signal(signal.SIGHUP)
        eventually(lambda: ended(gateway) == number, "the signal is obeyed")
    else:
        assert gateway.api("/api/reload", {})[0] in (200, 422)


def ended(gateway: GatewayProcess) -> int:
    return len(gateway.log_lines("config.reloaded")) + len(gateway.log_lines("config.rejected"))
