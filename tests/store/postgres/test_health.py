"""What a server says of itself, and the way from one schema to the next."""

import asyncio
import time

import asyncpg
import pytest

from gateway.errors import StoreError, StoreOutdated, StoreTooNew, StoreUnavailable
from gateway.store import health_of, migrate, open_reads, open_store
from gateway.store.postgres import health, schema
from gateway.store.postgres.schema import VERSION
from tests import postgres


@pytest.fixture
def url():
    """A new database."""
    made = postgres.fresh()
    yield made
    postgres.drop(made)


def signs_of(url):
    return {each.check: each for each in health_of(url).signs}


async def stats(url):
    async with open_reads(url) as reads:
        return await reads.stats()


def test_an_empty_database_is_refused_with_the_command_that_fills_it(url):
    for opened in (open_store(url), stats(url)):
        with pytest.raises(StoreOutdated, match=r"has no schema yet.*gateway migrate --store"):
            asyncio.run(opened)
    sign = signs_of(url)["schema"]
    assert (sign.verdict, "gateway migrate" in sign.said) == ("fail", True)
    assert health_of(url).state == "missing"


def test_a_database_is_migrated_once_and_then_runs(url):
    assert asyncio.run(migrate(url)) == (0, VERSION)
    assert asyncio.run(migrate(url)) == (VERSION, VERSION)
    assert asyncio.run(stats(url)).destinations == {}
    assert health_of(url).state == "in use"


def test_a_database_of_the_first_schema_is_brought_to_this_one_and_its_release_runs_on_it(url, monkeypatch):
    with monkeypatch.context() as first:
        first.setattr(schema, "VERSION", 1)
        first.setattr(schema, "MIGRATIONS", schema.MIGRATIONS[:1])
        assert asyncio.run(migrate(url)) == (0, 1)
    with pytest.raises(StoreOutdated, match=f"has schema 1, and this release needs {VERSION}"):
        asyncio.run(open_store(url))
    assert asyncio.run(migrate(url)) == (1, VERSION)
    assert asyncio.run(stats(url)).destinations == {}
    monkeypatch.setattr(schema, "VERSION", 1)
    assert asyncio.run(stats(url)).destinations == {}, "the release before"


def test_what_the_first_schema_has_is_there_after_the_migration_and_its_release_can_still_write(url, monkeypatch):
    monkeypatch.setattr(schema, "VERSION", 1)
    monkeypatch.setattr(schema, "MIGRATIONS", schema.MIGRATIONS[:1])
    asyncio.run(migrate(url))
    add = """
    INSERT INTO event (seq, id, source, type, received_at, stored_at, headers, sha256, body, redact, label)
    SELECT seq, id, source, type, received_at, 0, headers, sha256, body, redact, label FROM unnest(ARRAY[
        ROW({0}, 'evt_{0}', 'crm', 'contact', 0, '{{}}', sha256('{{}}'), '{{}}', false, '')::new_event
    ])
    """
    postgres.run(url, add.format(1))
    monkeypatch.undo()
    assert asyncio.run(migrate(url)) == (1, VERSION)
    postgres.run(url, add.format(2))

    async def loaded():
        async with open_reads(url) as reads:
            return [(await reads.event(id_)).event.track for id_ in ("evt_1", "evt_2")]

    assert asyncio.run(loaded()) == [b"", b""]


def test_a_newer_schema_says_which_releases_may_run_on_it(url):
    asyncio.run(migrate(url))
    postgres.run(url, f"UPDATE meta SET version = {VERSION + 1}, runs_from = {VERSION}")
    assert asyncio.run(stats(url)).destinations == {}, "the one before, always"
    assert asyncio.run(migrate(url)) == (VERSION + 1, VERSION + 1), "a release that is rolled back migrates as before"
    postgres.run(url, f"UPDATE meta SET version = {VERSION + 2}, runs_from = {VERSION + 1}")
    for opened in (open_store(url), stats(url)):
        with pytest.raises(StoreTooNew, match=f"schema {VERSION + 2}, for releases of schema {VERSION + 1} or later"):
            asyncio.run(opened)
    with pytest.raises(StoreTooNew):
        asyncio.run(migrate(url))


def test_the_signs_of_a_sound_server_are_good(url):
    asyncio.run(migrate(url))
    signs = signs_of(url)
    assert set(signs) == {"latency", "commit", "standby", "snapshots", "schema", "vacuum", "partitions", "replicas"}
    assert {name: each.verdict for name, each in signs.items() if name != "latency"} == dict.fromkeys(
        signs.keys() - {"latency"}, "ok"
    )
    assert "none is running" in signs["replicas"].said


def test_replicas_that_run_on_it_are_counted(url):
    asyncio.run(migrate(url))
    postgres.run(url, "INSERT INTO replica (seen, said) VALUES (gateway_now(), '{}'), (gateway_now() - 3600, '{}')")
    assert signs_of(url)["replicas"].said == "1 replica running on it"


def test_replicas_with_different_configurations_are_a_warning(url):
    asyncio.run(migrate(url))
    for config, verdict in (("aa", "ok"), ("aa", "ok"), ("bb", "warn")):
        postgres.run(url, f"""INSERT INTO replica (seen, said) VALUES (gateway_now(), '{{"config": "{config}"}}')""")
        assert signs_of(url)["replicas"].verdict == verdict
    assert signs_of(url)["replicas"].said == "3 replicas running on it, with different configurations"


def test_a_missing_partition_and_a_commit_that_may_lose_are_told(url):
    asyncio.run(migrate(url))
    days = postgres.run(
        url, r"SELECT relname FROM pg_class WHERE relname LIKE 'event\_d%' AND relkind = 'r' ORDER BY 1"
    )
    postgres.run(url, *(f"DROP TABLE {row[0]}" for row in days[1:]))
    assert signs_of(url)["partitions"].verdict == "warn"
    postgres.run(url, f"ALTER DATABASE {url.partition('@/')[2].partition('?')[0]} SET synchronous_commit = off")
    assert signs_of(url)["commit"].verdict == "fail"
    with pytest.raises(StoreError, match=r"\?synchronous_commit=off"):
        asyncio.run(open_store(url))
    assert signs_of(f"{url}&synchronous_commit=off")["commit"].verdict == "warn"


def eventually(url, check, verdict):
    """The sign once it has this verdict: what a server counts it shows a moment later."""
    for _ in range(600):
        sign = signs_of(url)[check]
        if sign.verdict == verdict:
            return sign
        time.sleep(0.05)
    raise AssertionError(sign)


def test_a_round_trip_that_takes_long_is_a_warning(url, monkeypatch):
    asyncio.run(migrate(url))
    monkeypatch.setattr(health, "SLOW_S", 0.0)
    sign = signs_of(url)["latency"]
    assert (sign.verdict, sign.remedy.startswith("run the gateway nearer to the server")) == ("warn", True)


def test_a_snapshot_that_is_kept_is_named_with_the_command_that_ends_it(url, monkeypatch):
    asyncio.run(migrate(url))
    monkeypatch.setattr(health, "OLD_SNAPSHOT_S", 0.0)

    async def kept():
        connection = await asyncpg.connect(url, server_settings={"application_name": "nightly dump"})
        try:
            async with connection.transaction(isolation="repeatable_read"):
                pid = await connection.fetchval("SELECT pg_backend_pid()")
                return pid, await asyncio.to_thread(signs_of, url)
        finally:
            await connection.close()

    pid, signs = asyncio.run(kept())
    assert signs["snapshots"].said.startswith(f"one of nightly dump (pid {pid}) is 0 s old")
    assert signs["snapshots"].remedy == f"end it: SELECT pg_terminate_backend({pid})"
    assert signs_of(url)["snapshots"].verdict == "ok"


def test_rows_that_vacuum_has_not_removed_are_a_warning(url, monkeypatch):
    asyncio.run(migrate(url))
    monkeypatch.setattr(health, "DEAD_ROWS", 100)
    row = "SELECT n, 'dlv_' || n, 0, 'evt_1', 'to-slack', 'slack', 0, 0 FROM generate_series(1, 150) n"
    postgres.run(
        url,
        "ALTER TABLE queue SET (autovacuum_enabled = off)",
        f"INSERT INTO queue (seq, id, event_seq, event_id, route, destination, due, changed_at) {row}",
        "DELETE FROM queue",
    )
    assert eventually(url, "vacuum", "warn").said == "150 dead rows beside 0 live ones in the queue"
    postgres.run(url, "VACUUM queue")
    assert eventually(url, "vacuum", "ok").said == "0 dead rows beside 0 live ones in the queue"


def test_a_standby_is_counted_and_what_it_lacks_is_a_warning(monkeypatch):
    primary = postgres.start_server()
    standby = postgres.standby_of(primary)
    try:
        asyncio.run(migrate(primary.url))
        assert eventually(primary.url, "standby", "ok").said.startswith("1 standby, ")
        monkeypatch.setattr(health, "LAGGING_S", -1.0)
        sign = signs_of(primary.url)["standby"]
        assert (sign.verdict, "lost if it is promoted" in sign.remedy) == ("warn", True)
        sign = signs_of(standby.url)["standby"]
        assert (sign.verdict, sign.remedy) == ("fail", "name the primary in --store")
    finally:
        standby.stop()
        primary.stop()


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


def test_what_the_server_refuses_says_what_to_check(url):
    name = url.partition("?")[0].rpartition("/")[2]
    for wrong, said in (
        (url.replace(name, "nobody_made_it"), r'database "nobody_made_it" does not exist: check the URL'),
        (url.replace("gateway@", "nobody@"), r'role "nobody" does not exist: check the URL'),
        (f"{url}&no_such_setting=1", r'unrecognized .* "no_such_setting": check the URL'),
    ):
        with pytest.raises(StoreUnavailable, match=said):
            asyncio.run(stats(wrong))


def test_a_server_that_only_reads_says_to_name_the_primary(url):
    asyncio.run(migrate(url))
    with pytest.raises(StoreUnavailable, match="name the primary in the URL"):
        asyncio.run(open_store(f"{url}&default_transaction_read_only=on"))


def test_a_backup_names_the_command_and_no_password(url, tmp_path):
    asyncio.run(migrate(url))

    async def copied():
        async with open_reads(url.replace("gateway@", "gateway:sesame@")) as reads:
            await reads.backup(str(tmp_path / "my copy"))

    with pytest.raises(
        StoreError, match=r"pg_dump --format=custom --file='.*my copy' 'postgresql://gateway@"
    ) as refused:
        asyncio.run(copied())
    assert "sesame" not in str(refused.value)
    assert not (tmp_path / "my copy").exists()
