"""P9 on PostgreSQL: the disk of the database has no free byte, and has room again."""

import contextlib
import os
import subprocess

import pytest

from tests import postgres
from tests.acceptance.cluster import Cluster, Senders, lost, repeats, routes
from tests.acceptance.harness import distinct, eventually
from tests.needs import needs_root
from tests.sink import Sink, answer

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture
def small():
    """A file system of its own, for the tables of a database and not for its log: a server without a log crashes."""
    needs_root("to mount a small file system")
    server = postgres.start_server()
    folder = server.folder / "small"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m,mode=0755", "tmpfs", folder], check=True)
    try:
        (folder / "tables").mkdir()
        os.chown(folder / "tables", server.folder.stat().st_uid, -1)
        postgres.run(server.url, f"CREATE TABLESPACE small LOCATION '{folder}/tables'")
        postgres.run(server.url, "CREATE DATABASE on_small TABLESPACE small STRATEGY file_copy")
        yield folder, server.url.replace("/postgres?", "/on_small?")
    finally:
        server.stop()
        subprocess.run(["umount", folder], check=True)


def fill(folder):
    with (folder / "filler").open("ab", buffering=0) as file:
        for size in (1024 * 1024, 4096, 1):
            with contextlib.suppress(OSError):
                while file.write(b"x" * size) == size:
                    pass


def test_a_database_without_a_free_byte_refuses_says_why_and_continues_when_there_is_room(tmp_path, small):
    folder, url = small
    with Sink(answer(after_s=0.02)) as sink, Cluster(tmp_path, url, routes(sink.url), replicas=1) as cluster:
        [gateway] = cluster.gateways
        with Senders(cluster, 6) as senders:
            eventually(lambda: senders.count > 50, "events are acknowledged")
            fill(folder)
            eventually(lambda: gateway.post(distinct(99_000_000))[0] == 503, "an event is refused")
            eventually(lambda: "No space left on device" in gateway.api("/readyz")[1]["status"], "it says why")
            eventually(lambda: "make room" in gateway.log_text(), "the log says what to do")
            (folder / "filler").unlink()
            before = senders.count
            eventually(lambda: senders.count > before + 50, "events are acknowledged again")
            eventually(lambda: gateway.api("/readyz")[0] == 200, "it is ready again")
        cluster.drain()
        assert lost(senders, sink) == {}
        assert repeats(sink) == 0
        assert cluster.alive() == [gateway]
