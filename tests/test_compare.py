"""The comparison counts what it says: losses, repeats, and the CPU of processes that have ended."""

import asyncio
import json
import re
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from bench.compare import peers, run
from bench.compare.sender import Sender

WARDEN = Path(run.__file__).with_name("warden.py")
SPIN = "import time\nend = time.process_time() + 0.3\nwhile time.process_time() < end: pass"


class Warden:
    """The warden of one command; leaving ``with`` ends both."""

    def __init__(self, *command: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(WARDEN), *command], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.process.stdout.readline()

    def __enter__(self):
        return self

    def __exit__(self, *_: object) -> None:
        self.process.communicate(timeout=60)

    def ask(self, word: str) -> dict:
        self.process.stdin.write(f"{word}\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())


def test_the_cpu_of_a_grandchild_that_lost_its_parent_counts_after_its_end():
    """As of a program that starts a shell per event: most of its work is not its own."""
    script = f"import subprocess, sys\nsubprocess.Popen([sys.executable, '-c', {SPIN!r}])"
    with Warden("sh", "-c", f'{sys.executable} -c "$0"; echo orphaned >&2; exec sleep 600', script) as warden:
        assert warden.process.stderr.readline() == "orphaned\n"
        while warden.ask("cpu")["cpu"] < 0.3:
            pass


def test_a_kill_ends_the_whole_group_and_starts_the_command_again():
    with Warden("sh", "-c", "echo $$ >&2; sleep 600 & wait") as warden:
        first = int(warden.process.stderr.readline())
        warden.ask("kill")
        again = int(warden.process.stderr.readline())
        assert again != first
        assert not Path(f"/proc/{first}").exists()


class FlakyPeer:
    """Answers 503 to the first try of every event, and breaks the connection on the second."""

    def __init__(self) -> None:
        self.tries: dict[bytes, int] = {}
        #: Connections that are open.
        self.open = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open += 1
        # The sender closes its connections when it has sent everything.
        with suppress(asyncio.IncompleteReadError):
            while head := await reader.readuntil(b"\n"):
                tries = self.tries[head] = self.tries.get(head, 0) + 1
                if tries == 2:
                    break
                writer.write(b"HTTP/1.1 %d -\r\ncontent-length: 0\r\n\r\n" % (503 if tries == 1 else 200))
        writer.close()
        await writer.wait_closed()
        self.open -= 1


def test_the_sender_repeats_an_event_until_it_is_acknowledged_and_counts_from_when_it_was_due():
    async def send() -> tuple[FlakyPeer, Sender]:
        peer = FlakyPeer()
        server = await asyncio.start_server(peer.serve, "127.0.0.1", 0)
        sender = Sender(server.sockets[0].getsockname()[1], lambda number: b"%d\n" % number)
        await sender.send(range(20), rate=1000, connections=4)
        while peer.open:
            await asyncio.sleep(0.001)
        server.close()
        return peer, sender

    peer, sender = asyncio.run(send())
    assert set(sender.acked) == set(range(20))
    assert set(peer.tries.values()) == {3}
    assert sender.tries == 60
    assert min(sender.acked.values()) > 0.2, "two pauses count"


def test_lost_is_what_was_acknowledged_and_never_arrived():
    sender = Sender(0, bytes)
    sender.acked = {2: 0.1, 3: 0.2, 4: 0.3}
    arrived = {3: 2, 4: 1}
    found = run.figures(sender, [2, 3, 4, 5], arrived, (0.5, 10.0))
    assert (found["events"], found["acknowledged"]) == (4, 3)
    assert found["lost"] == 1, "2 was; 5 was not acknowledged, so its sender still has it"
    assert found["twice"] == 1
    assert found["cpu_ms"] == 125


def test_the_table_adds_losses_up_and_compares_cpu_within_a_round():
    def row(cpu: float, lost: int = 0) -> dict:
        return {"events": 100, "acknowledged": 100, "lost": lost, "twice": 0, "forged": False, "p50_ms": 1.0,
                "p99_ms": 2.0, "cpu_ms": cpu, "rss_mib": 50.0}  # fmt: skip

    results = {
        "ours": {"steady": [row(1), row(2)], "kill": [row(1), row(1)]},
        "theirs": {"steady": [row(2), row(2)], "kill": [row(1, lost=3), row(1, lost=4)]},
    }
    head, _, ours, theirs = run.table(results, ["steady", "kill"]).splitlines()
    columns = [each.strip() for each in head.strip("|").split("|")]
    cells = dict(zip(columns, (each.strip() for each in theirs.strip("|").split("|")), strict=True))
    assert cells["lost, `kill -9`"] == "7 of 200"
    assert cells["CPU, ratio"] == "1.50 (1.00-2.00)"
    assert "0 of 200" in ours


@pytest.mark.parametrize("peer", peers.PEERS, ids=lambda peer: peer.name)
def test_every_program_gets_the_same_event_and_a_forged_one_has_another_signature(peer):
    requests = [peer.request(7), peer.request(7, secret="another")]
    bodies = [each.partition(b"\r\n\r\n")[2] for each in requests]
    signatures = [re.search(rb"x-webhook-signature: (\w+)", each)[1] for each in requests]
    assert bodies[0] == bodies[1]
    assert signatures[0] != signatures[1]
    assert re.findall(rb"evt-(\d+)", bodies[0]) == [b"7"]
