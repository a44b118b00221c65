"""A real PgBouncer in transaction mode, in front of the servers of the tests; each process of them starts its own."""

import atexit
import os
import shutil
import signal
import subprocess
import tempfile
import time
from functools import cache
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from tests import postgres
from tests.needs import needs

#: In the name of its socket.
PORT = 6432
#: As its documentation has them, but for how long an idle transaction of a client may last: that is for the server to say.
SETTINGS = """
[databases]
* = {server}

[pgbouncer]
listen_addr =
listen_port = {port}
unix_socket_dir = {folder}
auth_type = any
pool_mode = transaction
default_pool_size = 20
max_client_conn = 500
log_connections = 0
log_disconnections = 0
"""


class Pooler:
    """A PgBouncer on a Unix socket that passes every database of one server on."""

    def __init__(self, url: str) -> None:
        """``url``: of any database of the server."""
        needs("pgbouncer")
        # As with a server's: not in pytest's folder.
        self.folder = Path(tempfile.mkdtemp(prefix="gateway-pgbouncer-", dir="/tmp"))
        self._settings = self.folder / "pgbouncer.ini"
        self._settings.write_text(SETTINGS.format(server=_server_of(url), port=PORT, folder=self.folder))
        self._user = postgres.user()
        for path in (self.folder, self._settings) if self._user else ():
            os.chown(path, self._user["user"], self._user["group"])
        self.start()

    def start(self) -> None:
        command = [shutil.which("pgbouncer") or "pgbouncer", "-q", self._settings]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                command, stdout=log, stderr=log, cwd=self.folder, start_new_session=True, **self._user
            )
        self._guard = postgres.guarded(self._process.pid, self.folder)
        deadline = time.monotonic() + 60
        while not (self.folder / f".s.PGSQL.{PORT}").exists():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"PgBouncer does not start:\n{(self.folder / 'log').read_text()}")
            time.sleep(0.02)

    def url_of(self, url: str) -> str:
        """The URL of a database of the server, through this one."""
        return f"postgresql://gateway@{urlsplit(url).path}?host={self.folder}&port={PORT}&pooler=true"

    def stop(self) -> None:
        """End it at once, and with it every connection."""
        postgres.ended(self._process, self._guard, signal.SIGKILL)
        (self.folder / f".s.PGSQL.{PORT}").unlink(missing_ok=True)

    def remove(self) -> None:
        """End it for good."""
        self.stop()
        shutil.rmtree(self.folder)


def _server_of(url: str) -> str:
    """As a line of PgBouncer's settings has it."""
    parts = urlsplit(url)
    given = {name: values[0] for name, values in parse_qs(parts.query).items()}
    found = {
        "host": parts.hostname or given.get("host", ""),
        "port": parts.port or given.get("port", ""),
        "user": parts.username or given.get("user", ""),
        "password": parts.password or given.get("password", ""),
    }
    return " ".join(f"{name}={value}" for name, value in found.items() if value)


@cache
def pooler_of(server: str) -> Pooler:
    made = Pooler(server)
    atexit.register(made.remove)
    return made


def pooled(url: str) -> str:
    """The URL of a database through PgBouncer. Skips the test if it is missing."""
    return pooler_of(postgres.server_url()).url_of(url)
