"""What doctor, explain and the list of destinations say of access tokens and logins; never a token."""

import asyncio
import json
import time

import pytest

from gateway.cli import doctor, offline
from gateway.egress import Door, Egress
from gateway.errors import NotLoggedIn
from gateway.oauth.tokens import Tokens
from gateway.store import health_of, open_reads, open_store
from gateway.store.nouns import Limits
from tests.cli.command import run
from tests.oauth.given import ENVIRON, SECRET_KEY, to_crm, world
from tests.oauth_server import AuthorizationServer
from tests.sink import Sink

DOOR = Door()


def findings(config, store):
    found = doctor._store(store, health_of(store), Limits(), list(config.destinations.values()))
    return [each for each in found if each.check == "login"]


def after(store_url, oauth, *steps):
    """Do things with a login on a store, as a gateway that runs on it does."""

    async def run_all():
        store, egress = await open_store(store_url), Egress()
        tokens = Tokens(egress, store, clock=time.time, monotonic=time.monotonic)
        try:
            for step in steps:
                await step(tokens, oauth)
        finally:
            await tokens.close()
            await egress.close()
            await store.close()

    asyncio.run(run_all())


def test_doctor_says_how_each_login_is(tmp_path):
    url = f"sqlite:///{tmp_path}/gateway.db"
    with AuthorizationServer() as server, Sink() as sink:
        text = to_crm(sink, server, "authorization_code", authorize_url=f"{server.url}/authorize")
        config = world(tmp_path, text).config
        oauth = config.destinations["crm"].oauth
        [none] = findings(config, url)
        assert (none.verdict, none.remedy) == ("warn", "run `gateway login crm`")
        assert none.said == "crm at 127.0.0.1: nobody has logged in yet, so its deliveries will wait"

        async def log_in(tokens, oauth):
            await tokens.log_in(oauth, server.first_refresh_token(), by="ann")

        async def use(tokens, oauth):
            await tokens.try_out(oauth, "crm", door=DOOR)

        after(url, oauth, log_in, use)
        [fine] = findings(config, url)
        assert (fine.verdict, fine.remedy) == ("ok", "")
        assert fine.said.startswith("crm at 127.0.0.1: logged in by ann, refresh token of 20")
        assert "; its latest token is valid until 20" in fine.said

        other = world(tmp_path, text)
        other.environ = {"GATEWAY_SECRET_KEY": SECRET_KEY[::-1]}
        other.write(text)
        [locked] = findings(other.config, url)
        assert (locked.verdict, "encrypted with another GATEWAY_SECRET_KEY" in locked.said) == ("fail", True)

        async def use_in_vain(tokens, oauth):
            server.revoke_all()
            with pytest.raises(NotLoggedIn, match="run `gateway login crm`"):
                await tokens.try_out(oauth, "crm", door=DOOR)

        after(url, oauth, use_in_vain)
        [ended] = findings(config, url)
        assert (ended.verdict, ended.remedy) == ("fail", "run `gateway login crm`")
        assert "no longer accepted (invalid_grant" in ended.said
        said = "".join(map(str, (none, fine, locked, ended)))
        assert not any(token in said for token in (*server.access, *server.refresh))


def test_doctor_opens_the_store_once_whatever_it_looks_at(tmp_path, monkeypatch):
    opened = []

    def counted(url):
        opened.append(url)
        return open_reads(url)

    monkeypatch.setattr(offline, "open_reads", counted)
    url = f"sqlite:///{tmp_path}/gateway.db"
    with AuthorizationServer() as server, Sink() as sink:
        config = world(tmp_path, to_crm(sink, server, "refresh_token", refresh_token="first-token-of-all")).config
        after(url, config.destinations["crm"].oauth)
        found = doctor._store(url, health_of(url), Limits(), list(config.destinations.values()))
        assert {"clock", "pending", "store", "login"} <= {each.check for each in found if each.verdict == "ok"}
    assert opened == [url]


def test_a_refresh_token_in_the_file_is_a_login_before_its_first_use(tmp_path):
    with AuthorizationServer() as server, Sink() as sink:
        config = world(tmp_path, to_crm(sink, server, "refresh_token", refresh_token="first-token-of-all")).config
        [found] = findings(config, f"sqlite:///{tmp_path}/gateway.db")
        assert (found.verdict, found.said) == ("ok", "crm at 127.0.0.1: the refresh token in routes.yaml")


def test_doctor_tries_a_grant_that_needs_no_login_if_it_may_go_online(tmp_path):
    with AuthorizationServer() as server, Sink() as sink:
        for secret, verdict in ((server.client.secret, "ok"), ("wrong-secret", "fail")):
            config = world(tmp_path, to_crm(sink, server, client_secret=secret)).config
            [found] = asyncio.run(doctor._reached(config))
            assert found.verdict == verdict
            assert secret not in found.said
        assert found.said.startswith("no access token: 127.0.0.1 issues no token: invalid_client")
        assert found.remedy == "correct auth.oauth2, or the client as it is registered at its server"


def test_explain_and_the_list_of_destinations_say_where_a_token_comes_from(tmp_path):
    with AuthorizationServer() as server, Sink() as sink:
        text = to_crm(sink, server, "refresh_token", refresh_token="first-token-of-all")
        world(tmp_path, text)
        done = run("explain", "contact.created", cwd=tmp_path, environ=ENVIRON)
        assert "authorization: ***" in done.stdout
        assert "(its token from 127.0.0.1 at each attempt (refresh_token))" in done.stdout
        explained = json.loads(run("explain", "contact.created", "--json", cwd=tmp_path, environ=ENVIRON).stdout)
        assert explained["deliveries"][0]["token"] == "from 127.0.0.1 at each attempt (refresh_token)"
        url = f"sqlite:///{tmp_path}/gateway.db"
        after(url, world(tmp_path, text).config.destinations["crm"].oauth)
        listed = run("destinations", "--json", cwd=tmp_path, environ={**ENVIRON, "GATEWAY_ADMIN_BIND": "127.0.0.1:1"})
        [crm] = json.loads(listed.stdout)
        assert crm["login"] == {
            "grant": "refresh_token", "host": "127.0.0.1", "state": "ok", "needs": "", "by": "", "since": None, "until": None,
        }  # fmt: skip
        assert server.asked == []
