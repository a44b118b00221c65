"""``gateway login`` as a person runs it, and logins that outlive kills, restarts and each other's use."""

import json
import os
import re
import signal
import socket
import subprocess
import sys

import httpx
import pytest

from tests.acceptance.harness import DEADLINE_S, SECRET, GatewayProcess, distinct, eventually
from tests.oauth.given import ENVIRON, guarded
from tests.oauth_server import GO_ON, AuthorizationServer
from tests.sink import Sink


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def routes(server, sink, grant, **more) -> str:
    client = {
        "token_url": server.token_url,
        "client_id": "gateway",
        "client_secret": server.client.secret,
        "scope": "contacts",
    }
    auth = json.dumps({"oauth2": {"grant": grant, **client, **more}})
    return (
        f"version: 1\nsources: {{xobito: {{preset: xobito, secret: {SECRET}}}}}\n"
        f"destinations:\n  crm: {{url: '{sink.url}', auth: {auth}}}\n  crm-too: {{url: '{sink.url}', auth: {auth}}}\n"
        "routes: [{name: all, to: [crm, crm-too], body: {id: '{{ attrs.id }}'}}]\n"
    )


def gateway(folder, text, **more) -> GatewayProcess:
    return GatewayProcess(folder, text, environ=ENVIRON, **more)


class Person:
    """``gateway login`` in a terminal of its own, and what it prints."""

    def __init__(self, process: GatewayProcess, *options: str) -> None:
        self.command = subprocess.Popen(
            [sys.executable, "-u", "-m", "gateway", "login", "crm", *options],
            cwd=process.folder, env=process.cli_environ, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip

    def reads(self, pattern: str) -> str:
        """What stands at the first group, once a line has it."""
        said = ""
        for line in self.command.stdout:
            said += line
            if found := re.search(pattern, line):
                return found[1]
        raise AssertionError(f"{pattern} was not printed: {said}")

    def ends(self, typed: str | None = None) -> tuple[int, str]:
        said, _ = self.command.communicate(typed, DEADLINE_S)
        return self.command.returncode, said


def waiting(process, number):
    """An event whose deliveries wait for a login."""
    _, answer = process.post(distinct(number))
    event_id = answer["id"]

    def paused():
        return all(each["condition"] == "paused" for each in process.api("/api/destinations")[1])

    eventually(paused, "both destinations are paused")
    assert {each["state"] for each in process.deliveries(event_id)} == {"pending"}
    return event_id


def states(process, event_id):
    return {each["state"] for each in process.settled(event_id)}


def login_of(process):
    return {each["name"]: each["login"] for each in process.api("/api/destinations")[1]}["crm"]


def test_a_person_logs_in_with_a_browser_and_what_has_waited_goes_out(tmp_path):
    redirect = f"http://127.0.0.1:{free_port()}/callback"
    with AuthorizationServer(lasts_s=3600) as server, Sink(guarded(server)) as sink:
        server.client.redirect_uri = redirect
        text = routes(
            server, sink, "authorization_code", authorize_url=f"{server.url}/authorize", redirect_url=redirect
        )
        with gateway(tmp_path, text) as process:
            event_id = waiting(process, 1)
            [delivery, _] = process.deliveries(event_id)
            assert re.fullmatch(r"nobody has logged in yet: run `gateway login crm(-too)?`", delivery["reason"])
            assert (login_of(process)["state"], login_of(process)["until"]) == ("none", None)
            person = Person(process)
            page = person.reads(r"^(http\S+/authorize\S+)")
            person.reads(r"(Waiting at)")
            back = httpx.get(page).headers["location"]
            assert httpx.get(redirect.replace("callback", "favicon.ico")).status_code == 404
            made_up = httpx.get(f"{redirect}?code=stolen&state=made-up")
            assert (made_up.status_code, "another login" in made_up.text) == (400, True)
            assert httpx.get(back).status_code == 200
            status, said = person.ends()
            assert status == 0, said
            assert "Ignored a redirect: that address has the state of another login" in said
            assert "crm is logged in.\nSo is crm-too, with the same settings." in said
            assert states(process, event_id) == {"delivered"}
            login = login_of(process)
            assert login["state"] == "ok"
            assert login["until"] is not None
            assert "login" in [each["verb"] for each in process.api("/api/activity")[1]["activity"]]
            said = process.verb("doctor", check=False).stdout
            assert re.search(r"ok +login +crm at 127\.0\.0\.1: logged in by \S+, refresh token of ", said)
            page = process.api("/destinations")[1]
            assert "token valid until" in page
            everything = said + page + process.log_text() + "".join(map(str, process.api("/api/destinations")))
        stored = b"".join(file.read_bytes() for file in tmp_path.glob("gateway.db*"))
        for token in (*server.access, *server.refresh):
            assert token not in everything
            assert token.encode() not in stored


def test_the_address_that_a_browser_ends_at_can_be_pasted(tmp_path):
    redirect = "https://desk.example.com/oauth"
    with AuthorizationServer() as server, Sink(guarded(server)) as sink:
        server.client.redirect_uri = redirect
        text = routes(
            server,
            sink,
            "authorization_code",
            authorize_url=f"{server.url}/authorize?prompt=consent",
            redirect_url=redirect,
        )
        with gateway(tmp_path, text) as process:
            event_id = waiting(process, 1)
            wrong = Person(process)
            page = wrong.reads(r"^(http\S+/authorize\?prompt=consent&\S+)")
            status, said = wrong.ends(f"{redirect}?code=abc&state=other\n")
            assert (status, "that address has the state of another login" in said) == (1, True)
            denied = Person(process)
            state = re.search(r"state=([^&]+)", denied.reads(r"^(http\S+/authorize\S+)"))[1]
            status, said = denied.ends(f"{redirect}?error=access_denied&state={state}\n")
            assert (status, "the login was refused: access_denied" in said) == (1, True)
            person = Person(process)
            page = person.reads(r"^(http\S+/authorize\S+)")
            status, said = person.ends(httpx.get(page).headers["location"] + "\n")
            assert status == 0, said
            assert states(process, event_id) == {"delivered"}


def test_a_person_confirms_a_code_on_another_device(tmp_path):
    with AuthorizationServer() as server, Sink(guarded(server)) as sink:
        with gateway(tmp_path, routes(server, sink, "device_code", device_url=f"{server.url}/device")) as process:
            event_id = waiting(process, 1)
            person = Person(process)
            page = person.reads(r"^Open (http\S+) and confirm the code \S+")
            eventually(lambda: server.asked, "it has asked whether the code was confirmed")
            assert httpx.get(page).json() == {"confirmed": True}
            status, said = person.ends()
            assert status == 0, said
            assert states(process, event_id) == {"delivered"}


def test_a_login_that_cannot_be_is_refused_at_once(tmp_path):
    with AuthorizationServer() as server, Sink() as sink:
        with gateway(tmp_path, routes(server, sink, "client_credentials")) as process:
            done = process.verb("login", "crm", check=False)
            assert (done.returncode, done.stderr) == (
                2,
                "gateway: crm needs no login: its grant is client_credentials\n",
            )
            done = process.verb("login", "cmr", check=False)
            assert (done.returncode, "did you mean" in done.stderr) == (2, True)
            status, answer = process.api("/api/destinations/crm/login", {"refresh_token": "x"})
            assert (status, "keeps no login" in answer["error"]) == (400, True)
        (tmp_path / "routes.yaml").write_text(routes(server, sink, "device_code", device_url=f"{server.url}/device"))
        done = process.verb("login", "crm", check=False)
        assert (done.returncode, "no gateway is running" in done.stderr) == (3, True)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_processes_that_share_a_login_never_use_one_refresh_token_twice(tmp_path, workers):
    with AuthorizationServer() as server, Sink(guarded(server)) as sink:
        text = routes(server, sink, "refresh_token", refresh_token=server.first_refresh_token())
        with gateway(tmp_path, text, options=("--workers", workers)) as process:
            for number in range(4):
                # No access token is valid any more.
                server.access.clear()
                ids = [process.post(distinct(10 * number + each))[1]["id"] for each in range(3)]
                assert [states(process, each) for each in ids] == [{"delivered"}] * 3
        used = [form["refresh_token"] for form in server.asked]
        assert len(used) == len(set(used)) >= 4


@pytest.mark.parametrize("forgives", [True, False], ids=["a server that forgives", "a server that does not"])
def test_a_kill_while_a_token_is_renewed_loses_no_delivery(tmp_path, forgives):
    with AuthorizationServer(forgives_reuse=forgives) as server, Sink(guarded(server)) as sink:
        text = routes(server, sink, "refresh_token", refresh_token=server.first_refresh_token())
        with gateway(tmp_path, text) as dying:

            def dies(handler):
                # The server has issued the successor, and nobody knows it.
                handler.after = lambda: os.killpg(dying.process.pid, signal.SIGKILL)
                return GO_ON

            server.behave(dies)
            _, answer = dying.post(distinct(1))
            dying.process.wait(DEADLINE_S)
        with gateway(tmp_path, text) as process:
            if not forgives:
                eventually(
                    lambda: all(each["condition"] == "paused" for each in process.api("/api/destinations")[1]),
                    "both destinations are paused",
                )
                assert login_of(process)["state"] == "ended"
                assert "put a new refresh_token into auth.oauth2" in login_of(process)["needs"]
                fresh = {"refresh_token": server.first_refresh_token(), "by": "ann"}
                assert process.api("/api/destinations/crm/login", fresh)[0] == 200
            assert states(process, answer["id"]) == {"delivered"}
        used = [form["refresh_token"] for form in server.asked]
        assert used[0] == used[1]
