"""``make compare``: this gateway and other programs at the same job, in turns: take signed events, forward each to a sink.

Every round gives each program four turns. *steady*: events at a fixed rate, for CPU and times. *kill*: the same, and in
the middle the program and all its children get SIGKILL and are started again. *outage*: the same, and for a while the sink
answers 503. *both*: the kill happens during the outage. The sender sends an event again until it is acknowledged. Lost is what was acknowledged and never arrived.
"""

import argparse
import asyncio
import json
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import ExitStack
from pathlib import Path

from bench.compare.peers import PEERS
from bench.compare.sender import Sender, exchange

HERE = Path(__file__).parent
TURNS = ("steady", "kill", "outage", "both")
FORGED, WARM, FIRST = 1, 1_000, 1_000_000


class Child:
    """A process that prints a line when it is ready."""

    def __init__(self, *command, log):
        self.popen = subprocess.Popen([sys.executable, *map(str, command)], stdin=subprocess.PIPE,
                                      stdout=subprocess.PIPE, stderr=log, text=True)  # fmt: skip
        self.first_line = self.popen.stdout.readline()

    def ask(self, word):
        self.popen.stdin.write(f"{word}\n")
        self.popen.stdin.flush()
        return json.loads(self.popen.stdout.readline())

    def stop(self):
        self.popen.stdin.close()
        self.popen.stdout.close()
        try:
            self.popen.wait(30)
        except subprocess.TimeoutExpired:
            self.popen.terminate()
            self.popen.wait(30)


class Sink:
    def __init__(self, answer_s, log):
        self.popen = subprocess.Popen(
            [sys.executable, str(HERE / "sink.py"), str(answer_s)], stdout=subprocess.PIPE, stderr=log, text=True
        )
        self.at = f"http://127.0.0.1:{int(self.popen.stdout.readline())}"

    def get(self, path):
        with urllib.request.urlopen(f"{self.at}{path}", timeout=30) as answer:
            return answer.read()

    def arrived(self):
        """How often each event arrived."""
        events = json.loads(self.get("/events"))["events"]
        return {int(number): times for number, times in events.items()}

    def stop(self):
        self.popen.terminate()
        self.popen.wait(30)
        self.popen.stdout.close()


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return listening.getsockname()[1]


async def until_ready(port, request, wait_s=60):
    """Until the program answers. A forged event shows at the same time whether it checks signatures."""
    deadline = time.monotonic() + wait_s
    while time.monotonic() < deadline:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                status, _ = await exchange(reader, writer, request)
            finally:
                writer.close()
        except (OSError, EOFError):
            await asyncio.sleep(0.05)
            continue
        if status not in (404, 502, 503):  # Node-RED listens before its flows run
            return
        await asyncio.sleep(0.05)
    raise TimeoutError(f"nothing answered on port {port} within {wait_s} s")


async def turn(peer, kind, options, stack):
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gateway-compare-")))
    log = stack.enter_context((folder / "log").open("w"))
    sink = Sink(options.answer, log)
    stack.callback(sink.stop)
    port = free_port()
    command = peer.command(folder, port, f"{sink.at}/in")
    warden = Child(HERE / "warden.py", *command, log=log)
    stack.callback(warden.stop)
    await until_ready(port, peer.request(FORGED, secret="forged"))
    await Sender(port, peer.request).send(range(WARM, WARM + options.warm), options.rate)
    await settled(sink, options.warm, quiet_s=1)
    sender = Sender(port, peer.request)
    before, numbers = warden.ask("cpu"), range(FIRST, FIRST + options.rate * options.seconds)
    sending = asyncio.create_task(sender.send(numbers, options.rate))
    await asyncio.sleep(options.seconds / 2)
    if kind == "kill":
        await asyncio.to_thread(warden.ask, "kill")
    if kind in ("outage", "both"):
        sink.get("/down")
        await asyncio.sleep(options.outage / 2)
        if kind == "both":
            await asyncio.to_thread(warden.ask, "kill")
        await asyncio.sleep(options.outage / 2)
        sink.get("/up")
    await sending
    arrived = await settled(sink, len(numbers) + options.warm, quiet_s=1 if kind == "steady" else options.patience)
    after = warden.ask("cpu")
    return figures(sender, numbers, arrived, (after["cpu"] - before["cpu"], after["rss"]))


async def settled(sink, expected, quiet_s, longest_s=120):
    """What arrived, once all of it has, or nothing more for ``quiet_s`` seconds."""
    deadline = changed = time.monotonic()
    deadline += longest_s
    last = -1
    while time.monotonic() < deadline:
        arrived = sink.arrived()
        now = sum(arrived.values())
        if now != last:
            last, changed = now, time.monotonic()
        if len(arrived.keys() - {FORGED}) >= expected or time.monotonic() - changed > quiet_s:
            break
        await asyncio.sleep(0.2)
    return sink.arrived()


def figures(sender, numbers, arrived, used):
    times = sorted(sender.acked.values())
    wanted = {number: arrived.get(number, 0) for number in numbers}
    return {
        "events": len(numbers),
        "acknowledged": len(times),
        "lost": sum(not wanted[number] for number in sender.acked),
        "twice": sum(times > 1 for times in wanted.values()),
        "forged": FORGED in arrived,
        "p50_ms": times[len(times) // 2] * 1000,
        "p99_ms": times[int(len(times) * 0.99)] * 1000,
        "cpu_ms": used[0] / len(numbers) * 1000,
        "rss_mib": used[1],
    }


def measure(peers, options):
    """``results[peer][kind]``: one row of figures per round. Each round begins with another peer."""
    results = {peer.name: {kind: [] for kind in options.turns} for peer in peers}
    for round_ in range(options.rounds):
        try:
            found = one_round(round_, peers, options)
        except KeyboardInterrupt:
            print(f"stopped after {round_} rounds", file=sys.stderr)
            break
        for name, kind, row in found:
            results[name][kind].append(row)
    return results


def one_round(round_, peers, options):
    found = []
    first = round_ % len(peers)
    for peer in peers[first:] + peers[:first]:
        for kind in options.turns:
            with ExitStack() as stack:
                row = asyncio.run(turn(peer, kind, options, stack))
            found.append((peer.name, kind, row))
            print(f"round {round_ + 1}, {peer.name}, {kind}: {row}", file=sys.stderr, flush=True)
    return found


def spread(values, digits=1):
    """The median, and the least and the most."""
    median, least, most = statistics.median(values), min(values), max(values)
    if f"{least:.{digits}f}" == f"{most:.{digits}f}":
        return f"{median:,.{digits}f}"
    return f"{median:,.{digits}f} ({least:,.{digits}f}-{most:,.{digits}f})"


def of_all(rows, key):
    """``3 of 2,500``, over all rounds: a loss is not averaged away."""
    return f"{sum(row[key] for row in rows):,} of {sum(row['acknowledged'] for row in rows):,}"


def table(results, turns):
    """Markdown. The ratio is to the first peer of the same round."""
    first = next(iter(results.values()))
    columns = {}
    if "kill" in turns:
        columns["lost, `kill -9`"] = lambda rows: of_all(rows["kill"], "lost")
    if "outage" in turns:
        columns["lost, destination down"] = lambda rows: of_all(rows["outage"], "lost")
    if "both" in turns:
        columns["lost, both"] = lambda rows: of_all(rows["both"], "lost")
    if "kill" in turns:
        columns["arrived twice, `kill -9`"] = lambda rows: of_all(rows["kill"], "twice")
    columns["refuses a forged event"] = lambda rows: (
        "no" if any(row["forged"] for kind in rows.values() for row in kind) else "yes"
    )
    if "steady" in turns:
        columns |= {
            "answer p50, ms": lambda rows: spread([row["p50_ms"] for row in rows["steady"]]),
            "p99, ms": lambda rows: spread([row["p99_ms"] for row in rows["steady"]]),
            "CPU per event, ms": lambda rows: spread([row["cpu_ms"] for row in rows["steady"]], 2),
            "CPU, ratio": lambda rows: spread(
                [row["cpu_ms"] / ours["cpu_ms"] for row, ours in zip(rows["steady"], first["steady"], strict=True)], 2
            ),
            "memory, MiB": lambda rows: spread([row["rss_mib"] for row in rows["steady"]], 0),
        }
    lines = [["", *columns], ["---"] * (len(columns) + 1)]
    lines += [[name, *(cell(rows) for cell in columns.values())] for name, rows in results.items()]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rate", type=int, default=100, help="events per second")
    parser.add_argument("--seconds", type=int, default=4, help="how long a turn sends")
    parser.add_argument("--warm", type=int, default=50, help="events before a turn that do not count")
    parser.add_argument("--answer", type=float, default=0.1, help="seconds that each answer of the sink takes")
    parser.add_argument("--outage", type=float, default=2.0, help="seconds that the sink answers 503")
    parser.add_argument(
        "--patience", type=float, default=8.0, help="seconds without an arrival after which the rest is lost"
    )
    parser.add_argument("--turns", type=lambda text: text.split(","), default=list(TURNS), help=",".join(TURNS))
    parser.add_argument("--only", type=lambda text: text.split(","), default=[], help="names of peers")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    chosen = [peer for peer in PEERS if not options.only or peer.name in options.only]
    for peer in chosen:
        if said := peer.missing():
            print(f"LEFT OUT, {said}", file=sys.stderr)
    results = measure([peer for peer in chosen if not peer.missing()], options)
    if not all(rows for kinds in results.values() for rows in kinds.values()):
        sys.exit("no round is complete: nothing to compare")
    print(json.dumps(results, indent=2) if options.json else table(results, options.turns))


if __name__ == "__main__":
    main()
