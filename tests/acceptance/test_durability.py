"""P2: an fdatasync of the store's log returns before each 202 leaves, seen from outside by strace."""

import os
import re
import signal

import pytest

from tests.acceptance.harness import GatewayProcess, distinct
from tests.needs import needs

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
