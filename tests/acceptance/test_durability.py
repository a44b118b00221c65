"""P2: an fdatasync of the store's log returns before each 202 leaves, seen from outside by strace."""

import os
import re
import signal

import pytest

from tests.acceptance.harness import GatewayProcess, distinct
from tests.needs import needs
from tests.store.sqlite.given import edit, overwrite

ROUTES = "version: 1\nsources: {xobito: {preset: xobito, secret: acceptance-secret}}\n"

SYNCED = re.compile(r"(?:fdatasync|fsync)\(\d+\)\s+= 0|<\.\.\. (?:fdatasync|fsync) resumed>.*= 0")
ANSWERED = re.compile(r"HTTP/1\.1 202")


@pytest.fixture
def strace():
    needs("strace")
    return ("strace", "-f", "-s", "32", "-e", "trace=fdatasync,fsync,write,writev,sendto,sendmsg")


def test_a_sync_returns_before_each_answer_leaves(tmp_path, strace):
    calls = tmp_path / "calls"
    with GatewayProcess(tmp_path, ROUTES, wrapper=(*strace, "-o", str(calls))) as gateway:
        for number in range(20):
            assert gateway.post(distinct(number))[0] == 202
        # To the gateway itself: strace keeps a signal to itself.
        owner = re.match(r"pid (\d+)", (tmp_path / "gateway.db.lock").read_text())
        os.kill(int(owner[1]), signal.SIGTERM)
        assert gateway.process.wait(60) == 0
    lines = calls.read_text(errors="replace").splitlines()
    answers = [position for position, line in enumerate(lines) if ANSWERED.search(line)]
    assert len(answers) == 20
    before = [0, *answers]
    for start, end in zip(before, answers, strict=False):
        assert any(SYNCED.search(line) for line in lines[start:end]), f"an answer without a sync: {lines[end]}"


def test_a_page_that_was_damaged_after_a_clean_stop_is_refused_at_the_next_start_with_one_line(tmp_path):
    path = tmp_path / "gateway.db"
    with GatewayProcess(tmp_path, ROUTES) as gateway:
        assert gateway.post(distinct(1))[0] == 202
        assert gateway.terminate() == 0
        [(root,)] = edit(path, "SELECT rootpage FROM sqlite_schema WHERE name = 'dedupe'")
        overwrite(path, (root - 1) * 4096, b"\xff" * 4096)
        before = path.read_bytes()
        listeners = ("--bind", "127.0.0.1:0", "--admin-bind", "127.0.0.1:0")
        done = gateway.cli("serve", *listeners, check=False)
        assert (done.returncode, done.stdout) == (1, "")
        [line] = [line for line in done.stderr.splitlines() if line.startswith("gateway: ")]
        assert f"{path} is damaged" in line
        assert "restore a backup" in line
        assert path.read_bytes() == before
