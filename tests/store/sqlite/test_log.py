"""How the log gets back into the database: the counts that decide when."""

import itertools
from contextlib import closing

import apsw
import pytest

from gateway.store.sqlite import log


@pytest.fixture
def writer(tmp_path):
    with closing(apsw.Connection(str(tmp_path / "gateway.db"))) as connection:
        connection.pragma("journal_mode", "wal")
        connection.execute("CREATE TABLE t (a)")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        yield connection


@pytest.fixture
def kept(tmp_path, writer):
    kept = log.Log(str(tmp_path / "gateway.db"), writer)
    yield kept
    kept.close()


def grow(writer, pages):
    for _ in range(pages):
        writer.execute("INSERT INTO t VALUES (zeroblob(4000))")


def test_a_copy_that_has_ended_is_not_counted_after_a_later_one(kept, writer, monkeypatch):
    monkeypatch.setattr(log, "CHECKPOINT_PAGES", log.SHORT_PAGES)
    grow(writer, log.SHORT_PAGES)
    kept.tend()
    grow(writer, log.SHORT_PAGES)
    kept.tend(is_short=True)
    assert kept._copied == kept.pages
    kept.tend()
    assert kept._copied == kept.pages


def test_a_copy_of_a_log_that_has_started_over_does_not_count_for_the_new_one(kept, writer, monkeypatch):
    monkeypatch.setattr(log, "CHECKPOINT_PAGES", log.SHORT_PAGES)
    grow(writer, log.SHORT_PAGES)
    kept.tend()
    kept._copying.result()
    grow(writer, 1)
    assert kept.pages < log.SHORT_PAGES, "it has started over"
    kept.tend()
    assert kept._copied <= kept.pages


def tended(kept, **more):
    """As the writer does, on a machine where a copy never takes long."""
    kept.tend(**more)
    if kept._copying is not None:
        kept._copying.result()


@pytest.mark.parametrize(("awaited", "least"), [(False, 20), (True, 40)], ids=["nobody waits", "senders wait"])
def test_a_long_log_starts_over_later_while_senders_wait(kept, writer, monkeypatch, awaited, least):
    monkeypatch.setattr(log, "RESTART_PAGES", 20)
    monkeypatch.setattr(log, "MOST_PAGES", 40)
    lengths = []
    for _ in range(100):
        grow(writer, 1)
        tended(kept, is_awaited=awaited)
        lengths.append(kept.pages)
    ends = [before for before, now in itertools.pairwise(lengths) if now < before]
    assert ends
    assert all(least <= length < least + 5 for length in ends)


def test_a_log_that_somebody_reads_is_left_to_grow(kept, writer, tmp_path, monkeypatch):
    monkeypatch.setattr(log, "RESTART_PAGES", 20)
    grow(writer, 1)
    with closing(apsw.Connection(str(tmp_path / "gateway.db"))) as reader:
        reader.execute("BEGIN; SELECT count(*) FROM t").fetchall()
        for _ in range(50):
            grow(writer, 1)
            tended(kept)
        assert kept.pages > 50
    tended(kept)
    tended(kept)
    grow(writer, 1)
    assert kept.pages < 20
