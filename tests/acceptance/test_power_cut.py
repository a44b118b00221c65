"""P2: what was answered 202 survives a power cut at any moment, whatever the disk had not written by then.

A real gateway runs under a library that records its writes, its syncs and its answers (tests/disk/shim.c). Then the
power is cut in thousands of places of that past, checkpoints and new logs among them: what is left is opened, and every
event that had been answered must be in it.
"""

import itertools
import random
import re
import sys
import time

import pytest

from gateway.store.sqlite.database import Database
from gateway.store.sqlite.file import File
from tests import disk
from tests.acceptance.harness import GatewayProcess
from tests.acceptance.test_kill import CONCURRENCY, ROUTES, Clients
from tests.disk import cuts, small_log
from tests.needs import needs
from tests.sink import Sink, answer

CUTS = 2_000
#: At least so many answers of each of the gateway's two lives.
ANSWERS = 250
ID = re.compile(rb"evt_[^\"]+")


def past(folder, **environ):
    """Everything that happened to the store of a gateway under load, which was killed once and ended once."""
    needs("cc", "gcc libc6-dev")
    recorded = folder.parent / "recorded"
    with Sink(answer()) as sink:
        clients = Clients(itertools.count(1))
        gateway = GatewayProcess(
            folder,
            ROUTES.format(url=sink.url, concurrency=CONCURRENCY),
            command=(sys.executable, small_log.__file__, "serve"),
            environ={**disk.remembered(folder, recorded), **environ},
        )
        for life in range(2):
            with gateway:
                clients.run(gateway.port)
                while len(clients.acked) < ANSWERS * (life + 1):
                    time.sleep(0.01)
                if life:
                    gateway.terminate()
            clients.join()
            cuts.drop_half_a_record(recorded)
    return cuts.records(recorded)


def lost(folder, acked):
    """Events that are missing in what a cut has left, opened as the next start opens it."""
    database = Database(File(str(folder / "gateway.db"), time.monotonic, time.time))
    database.open()
    try:
        return acked - {id_ for (id_,) in database.file.db.execute("SELECT id FROM event")}
    finally:
        database.file.abandon()


def losses(records, folder, count, seed=7):
    """For each cut in which something was lost: how it was cut, and how many events."""
    chance = random.Random(seed)
    places = sorted(chance.choices(range(len(records)), k=count))
    state, acked, found = cuts.Folder(), set(), []
    at = 0
    for number, place in enumerate(places):
        for record in records[at:place]:
            state.go_on(record)
            if record.what == "A" and (named := ID.search(record.data)):
                acked.add(named[0].decode())
        at = max(at, place)
        if acked:
            how = cuts.HOW[number % len(cuts.HOW)]
            left = folder / str(number)
            left.mkdir()
            state.cut(left, chance, how)
            missing = lost(left, acked)
            if missing:
                found.append((how, place, len(missing)))
            for file in left.iterdir():
                file.unlink()
    return found


@pytest.fixture
def folders(tmp_path):
    for name in ("store", "left"):
        (tmp_path / name).mkdir()
    return tmp_path / "store", tmp_path / "left"


def test_a_sync_counts_when_it_returns_also_if_an_older_one_is_still_under_way():
    file = cuts.File()
    for thread, data in ((1, b"a"), (2, b"b")):
        file.since.append(cuts.Record("W", 5, thread - 1, data))
        file.syncing[thread] = thread
    file.synced(2)
    assert (bytes(file.certain), file.since, file.syncing) == (b"ab", [], {1: 0})


@pytest.mark.slow
def test_no_answered_event_is_lost_in_thousands_of_power_cuts(folders):
    store, left = folders
    records = past(store)
    answered = {named[0] for record in records if record.what == "A" and (named := ID.search(record.data))}
    logs = {record.inode for record in records if record.what == "C" and record.data == b"gateway.db-wal"}
    assert len(answered) >= 2 * ANSWERS
    starts_over = sum(record.what == "W" and record.offset == 0 and record.inode in logs for record in records)
    assert starts_over >= 10, "the log started over again and again"
    assert losses(records, left, CUTS) == []


@pytest.mark.slow
def test_the_same_cuts_find_what_a_store_that_does_not_sync_each_commit_loses(folders):
    store, left = folders
    assert losses(past(store, NORMAL="1"), left, 200), "the control must lose events, or the test above proves nothing"
