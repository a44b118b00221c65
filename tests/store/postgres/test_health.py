"""What a server says of itself, and the way from one schema to the next."""

import asyncio
import re

import asyncpg
import pytest

from gateway.errors import StoreError, StoreOutdated, StoreTooNew, StoreUnavailable
from gateway.store import health_of, migrate, open_reads, open_store
from gateway.store.postgres import health, schema
from gateway.store.postgres.schema import VERSION
from tests import postgres
from tests.acceptance.harness import eventually


def signs_of(url):
    return {each.check: each for each in health_of(url).signs}


async def stats(url):
    async with open_reads(url) as reads:
        return await reads.stats()


def test_an_empty_database_is_refused_with_the_command_that_fills_it(database):
    for opened in (open_store(database), stats(database)):
        with pytest.raises(StoreOutdated, match=r"has no schema yet.*gateway migrate --store"):
            asyncio.run(opened)
    sign = signs_of(database)["schema"]
    assert (sign.verdict, "gateway migrate" in sign.said) == ("fail", True)
    assert health_of(database).state == "missing"


def test_a_database_is_migrated_once_and_then_runs(database):
    assert asyncio.run(migrate(database)) == (0, VERSION)
    assert asyncio.run(migrate(database)) == (VERSION, VERSION)
    assert asyncio.run(stats(database)).destinations == {}
    assert health_of(database).state == "in use"


def test_a_database_of_the_first_schema_is_brought_to_this_one_and_its_release_runs_on_it(database, monkeypatch):
    with monkeypatch.context() as first:
        first.setattr(schema, "VERSION", 1)
        first.setattr(schema, "MIGRATIONS", schema.MIGRATIONS[:1])
        assert asyncio.run(migrate(database)) == (0, 1)
    with pytest.raises(StoreOutdated, match=f"has schema 1, and this release needs {VERSION}"):
        asyncio.run(open_store(database))
    assert asyncio.run(migrate(database)) == (1, VERSION)
    assert asyncio.run(stats(database)).destinations == {}
    monkeypatch.setattr(schema, "VERSION", 1)
    assert asyncio.run(stats(database)).destinations == {}, "the release before"


def test_what_the_first_schema_has_is_there_after_the_migration_and_its_release_can_still_write(database, monkeypatch):
    monkeypatch.setattr(schema, "VERSION", 1)
    monkeypatch.setattr(schema, "MIGRATIONS", schema.MIGRATIONS[:1])
    asyncio.run(migrate(database))
    add = """
    INSERT INTO event (seq, id, source, type, received_at, stored_at, headers, sha256, body, redact, label)
    SELECT seq, id, source, type, received_at, 0, headers, sha256, body, redact, label FROM unnest(ARRAY[
        ROW({0}, 'evt_{0}', 'crm', 'contact', 0, '{{}}', sha256('{{}}'), '{{}}', false, '')::new_event
    ])
    """
    postgres.run(database, add.format(1))
    monkeypatch.undo()
    assert asyncio.run(migrate(database)) == (1, VERSION)
    postgres.run(database, add.format(2))

    async def loaded():
        async with open_reads(database) as reads:
            return [(await reads.event(id_)).event.track for id_ in ("evt_1", "evt_2")]

    assert asyncio.run(loaded()) == [b"", b""]


def test_a_newer_schema_says_which_releases_may_run_on_it(database):
    asyncio.run(migrate(database))
    postgres.run(database, f"UPDATE meta SET version = {VERSION + 1}, runs_from = {VERSION}")
    assert asyncio.run(stats(database)).destinations == {}, "the one before, always"
    assert asyncio.run(migrate(database)) == (VERSION + 1, VERSION + 1), (
        "a release that is rolled back migrates as before"
    )
    postgres.run(database, f"UPDATE meta SET version = {VERSION + 2}, runs_from = {VERSION + 1}")
    for opened in (open_store(database), stats(database)):
        with pytest.raises(StoreTooNew, match=f"schema {VERSION + 2}, for releases of schema {VERSION + 1} or later"):
            asyncio.run(opened)
    with pytest.raises(StoreTooNew):
        asyncio.run(migrate(database))


def test_the_signs_of_a_sound_server_are_good(database):
    asyncio.run(migrate(database))
    signs = signs_of(database)
    assert set(signs) == {"latency", "commit", "standby", "snapshots", "schema", "vacuum", "partitions", "replicas"}
    assert {name: each.verdict for name, each in signs.items() if name != "latency"} == dict.fromkeys(
        signs.keys() - {"latency"}, "ok"
    )
    assert "none is running" in signs["replicas"].said


def test_replicas_that_run_on_it_are_counted(database):
    asyncio.run(migrate(database))
    postgres.run(
        database, "INSERT INTO replica (seen, said) VALUES (gateway_now(), '{}'), (gateway_now() - 3600, '{}')"
    )
    assert signs_of(database)["replicas"].said == "1 replica running on it"


def test_replicas_with_different_configurations_are_a_warning(database):
    asyncio.run(migrate(database))
    for config, verdict in (("aa", "ok"), ("aa", "ok"), ("bb", "warn")):
        postgres.run(
            database, f"""INSERT INTO replica (seen, said) VALUES (gateway_now(), '{{"config": "{config}"}}')"""
        )
        assert signs_of(database)["replicas"].verdict == verdict
    assert signs_of(database)["replicas"].said == "3 replicas running on it, with different configurations"


def test_a_missing_partition_and_a_commit_that_may_lose_are_told(database):
    asyncio.run(migrate(database))
    days = postgres.run(
        database, r"SELECT relname FROM pg_class WHERE relname LIKE 'event\_d%' AND relkind = 'r' ORDER BY 1"
    )
    postgres.run(database, *(f"DROP TABLE {row[0]}" for row in days[1:]))
    assert signs_of(database)["partitions"].verdict == "warn"
    postgres.run(
        database, f"ALTER DATABASE {database.partition('@/')[2].partition('?')[0]} SET synchronous_commit = off"
    )
    assert signs_of(database)["commit"].verdict == "fail"
    with pytest.raises(StoreError, match=r"\?synchronous_commit=off"):
        asyncio.run(open_store(database))
    assert signs_of(f"{database}&synchronous_commit=off")["commit"].verdict == "warn"


def sign_that_is(verdict, check, url):
    """The sign once it has this verdict: what a server counts it shows a moment later."""
    return eventually(lambda: (sign := signs_of(url)[check]).verdict == verdict and sign, f"{check} is {verdict}")


def test_a_round_trip_that_takes_long_is_a_warning(database, monkeypatch):
    asyncio.run(migrate(database))
    monkeypatch.setattr(health, "SLOW_S", 0.0)
    sign = signs_of(database)["latency"]
    assert (sign.verdict, sign.remedy.startswith("run the gateway nearer to the server")) == ("warn", True)


def test_a_snapshot_that_is_kept_is_named_with_the_command_that_ends_it(database, monkeypatch):
    asyncio.run(migrate(database))
    monkeypatch.setattr(health, "OLD_SNAPSHOT_S", 0.0)

    def oldest(program):
        return program in (sign := signs_of(database)["snapshots"]).said and sign

    async def kept():
        connection = await asyncpg.connect(database, server_settings={"application_name": "nightly dump"})
        try:
            async with connection.transaction(isolation="repeatable_read"):
                pid = await connection.fetchval("SELECT pg_backend_pid()")
                # Another one, of autovacuum for example, may be older for a moment.
                return pid, await asyncio.to_thread(eventually, lambda: oldest("nightly dump"), "it is the oldest")
        finally:
            await connection.close()

    pid, sign = asyncio.run(kept())
    said = rf"one of nightly dump \(pid {pid}\) is \d+ s old: the queue cannot be vacuumed"
    assert re.fullmatch(said, sign.said)
    assert sign.remedy == f"end it: SELECT pg_terminate_backend({pid})"
    assert sign_that_is("ok", "snapshots", database).said == "none is old"


def test_rows_that_vacuum_has_not_removed_are_a_warning(database, monkeypatch):
    asyncio.run(migrate(database))
    monkeypatch.setattr(health, "DEAD_ROWS", 100)
    row = "SELECT n, 'dlv_' || n, 0, 'evt_1', 'to-slack', 'slack', 0, 0 FROM generate_series(1, 150) n"
    postgres.run(
        database,
        "ALTER TABLE queue SET (autovacuum_enabled = off)",
        f"INSERT INTO queue (seq, id, event_seq, event_id, route, destination, due, changed_at) {row}",
        "DELETE FROM queue",
    )
    assert sign_that_is("warn", "vacuum", database).said == "150 dead rows beside 0 live ones in the queue"
    postgres.run(database, "VACUUM queue")
    assert sign_that_is("ok", "vacuum", database).said == "0 dead rows beside 0 live ones in the queue"


def test_a_standby_is_counted_and_what_it_lacks_is_a_warning(monkeypatch):
    with postgres.start_server() as primary, postgres.standby_of(primary) as standby:
        asyncio.run(migrate(primary.url))
        assert sign_that_is("ok", "standby", primary.url).said.startswith("1 standby, ")
        monkeypatch.setattr(health, "LAGGING_S", -1.0)
        sign = signs_of(primary.url)["standby"]
        assert (sign.verdict, "lost if it is promoted" in sign.remedy) == ("warn", True)
        sign = signs_of(standby.url)["standby"]
        assert (sign.verdict, sign.remedy) == ("fail", "name the primary in --store")


def test_a_server_that_is_away_is_named_without_its_password():
    url = "postgresql://ann:sesame@127.0.0.1:9/gateway"
    seen = health_of(url)
    [sign] = seen.signs
    assert (seen.state, sign.verdict) == ("missing", "fail")
    with pytest.raises(StoreError) as refused:
        asyncio.run(stats(url))
    for said in (sign.said, sign.remedy, str(refused.value), seen.name, repr(seen)):
        assert "sesame" not in said


WRONG = {
    "port": ("postgresql://ann@127.0.0.1:9/gateway", "nothing listens there: check the server, and the host and port"),
    "port of two addresses": ("postgresql://ann@localhost:9/gateway", "nothing listens there: check the server"),
    "socket": ("postgresql://ann@/gateway?host=/nowhere", "No such file or directory: check the server"),
    "host": (
        "postgresql://ann@nowhere.invalid/gateway",
        "the name of the host cannot be resolved .*: check the server",
    ),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_server_that_cannot_be_reached_says_what_to_check(what):
    wrong, said = WRONG[what]
    with pytest.raises(StoreUnavailable, match=said):
        asyncio.run(stats(wrong))


def test_what_the_server_refuses_says_what_to_check(database):
    name = database.partition("?")[0].rpartition("/")[2]
    for wrong, said in (
        (database.replace(name, "nobody_made_it"), r'database "nobody_made_it" does not exist: check the URL'),
        (database.replace("gateway@", "nobody@"), r'role "nobody" does not exist: check the URL'),
        (f"{database}&no_such_setting=1", r'unrecognized .* "no_such_setting": check the URL'),
    ):
        with pytest.raises(StoreUnavailable, match=said):
            asyncio.run(stats(wrong))


def test_a_server_that_only_reads_says_to_name_the_primary(database):
    asyncio.run(migrate(database))
    with pytest.raises(StoreUnavailable, match="name the primary in the URL"):
        asyncio.run(open_store(f"{database}&default_transaction_read_only=on"))


def test_a_backup_names_the_command_and_no_password(database, tmp_path):
    asyncio.run(migrate(database))

    async def copied():
        async with open_reads(database.replace("gateway@", "gateway:sesame@")) as reads:
            await reads.backup(str(tmp_path / "my copy"))

    with pytest.raises(
        StoreError, match=r"pg_dump --format=custom --file='.*my copy' 'postgresql://gateway@"
    ) as refused:
        asyncio.run(copied())
    assert "sesame" not in str(refused.value)
    assert not (tmp_path / "my copy").exists()
