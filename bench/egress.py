"""What one send costs: CPU time of `Egress.send` per request of 450 bytes over kept connections, plain and over TLS.

``.venv/bin/python bench/egress.py [--against CHECKOUT] [--turns 5]``. The destination is another process. With ``--against``,
another checkout of the project (with a .venv of its own) takes turns with this one, and the last column is the ratio of the medians.

``--idle 5000`` instead sends one request to each of so many destinations, and prints how much memory that leaves in use.
"""

import argparse
import asyncio
import gc
import json
import resource
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
BODY = b'{"id":1,"text":"' + b"y" * 432 + b'"}'
HEADERS = (
    ("webhook-id", "dlv_0198f0c2-0000-7000-8000-000000000000"),
    ("user-agent", "gateway/bench"),
    ("content-type", "application/json"),
    ("authorization", "Bearer abcdefghijklmnop"),
    ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--against", type=Path)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--requests", type=int, default=6400)
    parser.add_argument("--at-once", type=int, default=32, help="requests in flight")
    parser.add_argument("--idle", type=int, help="destinations that each get one request")
    options = parser.parse_args()
    checkouts = [ROOT] + ([options.against.resolve()] if options.against else [])
    with tempfile.TemporaryDirectory() as folder:
        certificate = made_certificate(Path(folder))
        sink = subprocess.Popen([sys.executable, __file__, "sink", certificate], stdout=subprocess.PIPE, text=True)
        try:
            ports = dict(zip(("plain", "TLS"), map(int, sink.stdout.readline().split()), strict=True))
            if options.idle:
                show_idle(ports, certificate, options.idle)
                return
            found = {(root, kind): [] for root in checkouts for kind in ports}
            for _ in range(options.turns):
                for (root, kind), figures in found.items():
                    figures.append(measured(root, kind, ports[kind], certificate, options))
        finally:
            sink.terminate()
            sink.wait()
    for kind in ports:
        medians = [statistics.median(found[root, kind]) for root in checkouts]
        spans = [f"{min(found[root, kind]):.0f}-{max(found[root, kind]):.0f}" for root in checkouts]
        figures = "   against ".join(f"{median:6.1f} us ({span})" for median, span in zip(medians, spans, strict=True))
        print(f"{kind:<6} {figures}" + (f"   ratio {medians[0] / medians[1]:.2f}" if len(medians) > 1 else ""))


def show_idle(ports, certificate: str, count: int) -> None:
    for kind, port in ports.items():
        command = [sys.executable, __file__, "idle", kind, str(port), certificate, str(count)]
        found = json.loads(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout)
        print(
            f"{kind:<6} {count} destinations: {found['open']} connections open, "
            f"RSS {found['before_mib']:.1f} -> {found['after_mib']:.1f} MiB"
        )


def measured(root: Path, kind: str, port: int, certificate: str, options: argparse.Namespace) -> float:
    python = sys.executable if root == ROOT else root / ".venv" / "bin" / "python"
    command = [python, __file__, "send", root, kind, port, certificate, options.requests, options.at_once]
    done = subprocess.run([str(each) for each in command], stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout)


def made_certificate(folder: Path) -> str:
    path = folder / "both.pem"
    new = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost,DNS:*.all.localhost"
    subprocess.run([*new.split(), "-keyout", path, "-out", folder / "crt.pem"], check=True, capture_output=True)
    path.write_bytes(path.read_bytes() + (folder / "crt.pem").read_bytes())
    return str(path)


# --- in processes of their own ---


async def sink(certificate: str) -> None:
    from sink import Connection

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    loop = asyncio.get_running_loop()
    servers = [await loop.create_server(Connection, "127.0.0.1", 0, ssl=tls) for tls in (None, context)]
    print(*(each.sockets[0].getsockname()[1] for each in servers), flush=True)
    await asyncio.Event().wait()


async def idle(kind: str, port: int, certificate: str, count: int) -> dict[str, float]:
    from gateway.egress import Door, Egress
    from gateway.egress.door import certificates
    from gateway.model import HttpRequest
    from tests.descriptors import open_sockets

    pem = Path(certificate).read_bytes()  # noqa: ASYNC240  before anything is measured
    door = Door(ca=certificates(pem)) if kind == "TLS" else Door()
    egress, slots = Egress(), asyncio.Semaphore(32)

    async def post(number: int) -> None:
        url = f"{'https' if kind == 'TLS' else 'http'}://d{number}.all.localhost:{port}/hook"
        async with slots:
            await egress.send(HttpRequest(method="POST", url=url, headers=HEADERS, body=BODY), timeout_s=60, door=door)

    await post(0)
    gc.collect()
    before = rss_mib()
    await asyncio.gather(*map(post, range(1, count)))
    gc.collect()
    found = {"before_mib": before, "after_mib": rss_mib(), "open": open_sockets()}
    await egress.close()
    return found


def rss_mib() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


async def send(kind: str, port: int, certificate: str, requests: int, at_once: int) -> float:
    from gateway.egress import Door, Egress
    from gateway.egress.door import certificates
    from gateway.model import HttpRequest

    pem = Path(certificate).read_bytes()  # noqa: ASYNC240  before anything is measured
    door = Door(ca=certificates(pem)) if kind == "TLS" else Door()
    url = f"{'https' if kind == 'TLS' else 'http'}://localhost:{port}/hook"
    egress = Egress()

    async def post(count: int) -> None:
        for _ in range(count):
            request = HttpRequest(method="POST", url=url, headers=HEADERS, body=BODY)
            reply = await egress.send(request, timeout_s=30, door=door)
            assert reply.status == 200

    async def all_at_once(count: int) -> None:
        await asyncio.gather(*(post(count // at_once) for _ in range(at_once)))

    await all_at_once(10 * at_once)
    began = time.process_time()
    await all_at_once(requests)
    took = time.process_time() - began
    await egress.close()
    return took / (requests // at_once * at_once) * 1e6


if __name__ == "__main__":
    if sys.argv[1:2] == ["sink"]:
        resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
        import uvloop

        uvloop.run(sink(sys.argv[2]))
    elif sys.argv[1:2] == ["idle"]:
        sys.path.insert(0, str(ROOT))
        resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
        look_up = socket.getaddrinfo
        socket.getaddrinfo = lambda host, *more, **how: look_up("127.0.0.1" if "." in host else host, *more, **how)
        import uvloop

        print(json.dumps(uvloop.run(idle(sys.argv[2], int(sys.argv[3]), sys.argv[4], int(sys.argv[5])))))
    elif sys.argv[1:2] == ["send"]:
        sys.path.insert(0, sys.argv[2])
        import uvloop

        print(uvloop.run(send(sys.argv[3], int(sys.argv[4]), sys.argv[5], *map(int, sys.argv[6:]))))
    else:
        main()
