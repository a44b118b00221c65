"""The verbs on a PostgreSQL store: migrated, looked at, acted on, copied; the password is nowhere."""

import json

import pytest

from gateway.store.postgres.schema import VERSION
from tests.acceptance.harness import GatewayProcess, distinct
from tests.cli.command import run
from tests.sink import Sink, answer

ROUTES = """
version: 1
sources: {{xobito: {{preset: xobito, secret: acceptance-secret}}}}
destinations: {{crm: {{url: "{url}"}}}}
routes: [{{name: to-crm, match: "**", to: crm}}]
"""
PASSWORD = "sesame"


@pytest.fixture
def url(database):
    """A new database, with a password that the server does not ask for."""
    return database.replace("//gateway@", f"//gateway:{PASSWORD}@")


@pytest.fixture
def verb(url, tmp_path):
    """Run a verb on the database; whatever it says has no password in it."""

    def verb(*arguments, check=True):
        done = run(*arguments, cwd=tmp_path, environ={"GATEWAY_STORE": url})
        assert PASSWORD not in done.stdout + done.stderr
        assert not check or done.returncode == 0, done.stderr
        return done

    return verb


def test_a_database_is_migrated_and_a_file_needs_no_such_step(verb, tmp_path):
    (tmp_path / "routes.yaml").write_text(ROUTES.format(url="http://127.0.0.1:9"))
    refused = verb("serve", check=False)
    assert (refused.returncode, "gateway migrate --store" in refused.stderr) == (1, True)
    assert f"an empty database, now with schema {VERSION}" in verb("migrate").stdout
    assert f"nothing to do: it has schema {VERSION}" in verb("migrate").stdout
    assert json.loads(verb("migrate", "--json").stdout)["from"] == VERSION
    assert "migrated when a gateway opens it" in verb("migrate", "--store", "sqlite:///here.db").stdout
    assert not (tmp_path / "here.db").exists()


def test_what_is_not_the_url_of_a_store_is_said_without_its_password(verb):
    for wrong in ("postgresql://ann:sesame@h", "mysql://ann:sesame@h/db", "postgresql:ann:sesame@h/db"):
        done = verb("dead", "--store", wrong, check=False)
        assert (done.returncode, "is not the URL of a" in done.stderr) == (1, True)


def test_every_verb_that_looks_into_a_store_looks_into_a_database(url, verb, tmp_path):
    with Sink(answer(422)) as sink:
        gateway = GatewayProcess(tmp_path, ROUTES.format(url=sink.url), options=("--migrate", "--store", url))
        with gateway:
            id_ = gateway.post(distinct(1))[1]["id"]
            gateway.settled(id_)
            assert "store=postgres" in gateway.ready_line
        assert PASSWORD not in gateway.ready_line + gateway.log_text()
        config = ("-c", "routes.yaml")
        assert id_ in verb("events").stdout
        assert "answered 422" in verb("dead").stdout
        assert "answered 422" in verb("show", id_).stdout
        assert "crm" in verb("destinations").stdout
        assert "pg_dump" in verb("backup", "copy.db", check=False).stderr
        assert "is sound" in verb("doctor").stdout
        said = verb("replay", id_, "--yes", *config).stdout
        assert "sent by the replicas that run on this store" in said
        assert id_ in verb("events", "--state", "pending").stdout
        assert "replay" in verb("activity").stdout


def test_a_copy_says_what_was_copied(verb, url, tmp_path):
    verb("migrate")
    said = verb("copy", "--from", url, "--to", "sqlite:///copy.db").stdout
    assert "copy.db is a copy of postgresql://gateway@" in said
    assert (tmp_path / "copy.db").exists()
    assert "sqlite" in verb("doctor", "--store", "sqlite:///copy.db", check=False).stdout
    same = verb("copy", "--from", url, "--to", url, check=False)
    assert (same.returncode, "is on both sides" in same.stderr) == (1, True)
