"""Start the real gateway as a process, talk to it over real sockets, and end it by its pid."""

import contextlib
import fcntl
import hashlib
import hmac
import http.client
import json
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from gateway import presets
from tests.acceptance.stores import url_of
from tests.cli.command import Done, run

SECRET = "acceptance-secret"
SAMPLES = presets.load("xobito").samples

#: Deadlines only turn a hang into a failure: far longer than a busy machine needs.
DEADLINE_S = 90
#: By this variable `coverage run` has the processes measured that are started.
OF_PROCESSES = "COVERAGE_PROCESS_CONFIG"


def signature(body: bytes, secret: str = SECRET) -> str:
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def distinct(number: int, type: str = "contact.created") -> bytes:
    """A sample whose record has this id: each number gives different bytes."""
    payload = json.loads(SAMPLES[type])
    payload["data"]["id"] = payload["data"]["attributes"]["id"] = number
    return json.dumps(payload).encode()


def eventually(condition: Callable[[], Any], what: str, deadline_s: float = DEADLINE_S) -> Any:
    """The first true value of ``condition``; AssertionError naming ``what`` if none comes before the deadline."""
    deadline = time.monotonic() + deadline_s
    while time.monotonic() < deadline:
        if value := condition():
            return value
        time.sleep(0.02)
    raise AssertionError(f"did not happen within {deadline_s:g} s: {what}")


class GatewayProcess:
    """``gateway serve`` in its own folder; leaving ``with`` ends it."""

    def __init__(
        self,
        folder: Path,
        routes: str | None = None,
        *,
        command: tuple[str, ...] = (sys.executable, "-m", "gateway", "serve"),
        wrapper: tuple[str, ...] = (),
        environ: Mapping[str, str] | None = None,
        bind: str = "127.0.0.1:0",
        options: tuple[str, ...] = (),
    ) -> None:
        self.folder, self.store = folder, url_of(folder)
        if routes is not None:
            (folder / "routes.yaml").write_text(routes)
        self._command = (
            *wrapper, *command, "-c", str(folder / "routes.yaml"), "--bind", bind, "--admin-bind", "127.0.0.1:0",
            "--store", self.store, *options,
        )  # fmt: skip
        self._environ = {**os.environ, "GATEWAY_LOG": "json", **(environ or {})}
        self.process: subprocess.Popen[str] | None = None

    def replace_command(self, command: tuple[str, ...]) -> None:
        """Run another program from the next start on."""
        options = self._command[self._command.index("-c") :]
        self._command = (*command, *options)

    def start(self) -> "GatewayProcess":
        self.log = (self.folder / "log").open("a")
        self.process = subprocess.Popen(
            self._command,
            env=self._environ,
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=self.log,
            text=True,
            start_new_session=True,
        )
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith("ready "):
                self.ready_line = line.strip()
                break
        else:
            raise AssertionError(f"the gateway did not start, exit {self.process.wait()}: {self.log_text()[-2000:]}")
        ingest, admin = re.match(r"ready http://(\S+) admin=http://(\S+)", line).groups()
        self.ingest, self.admin = ingest, admin
        return self

    def __enter__(self) -> "GatewayProcess":
        return self.start()

    def __exit__(self, *_: object) -> None:
        # A killed process saves no figures of coverage, so it is asked to stop first.
        if OF_PROCESSES in self._environ and self.process is not None and self.process.poll() is None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.send_signal(signal.SIGTERM)
                self.process.wait(5)
        self.kill()

    @property
    def port(self) -> int:
        return int(self.ingest.rpartition(":")[2])

    def log_text(self) -> str:
        return (self.folder / "log").read_text()

    def log_lines(self, event: str = "") -> list[dict[str, Any]]:
        # The last one may be half written.
        whole = self.log_text().rpartition("\n")[0]
        lines = [json.loads(line) for line in whole.splitlines() if line.startswith("{")]
        return [line for line in lines if not event or line["event"] == event]

    def post(
        self, body: bytes, *, path: str = "/in/xobito", headers: Mapping[str, str] | None = None
    ) -> tuple[int, Any]:
        """Sign and post ``body``. Returns the status and the decoded answer."""
        signed = {"content-type": "application/json", "x-webhook-signature": signature(body)}
        return self.request("POST", path, body, signed if headers is None else headers)

    def request(
        self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> tuple[int, Any]:
        connection = http.client.HTTPConnection(self.ingest, timeout=DEADLINE_S)
        try:
            connection.request(method, path, body, dict(headers or {}))
            response = connection.getresponse()
            return response.status, json.loads(response.read())
        finally:
            connection.close()

    def api(self, path: str, body: object = None, *, headers: Mapping[str, str] | None = None) -> tuple[int, Any]:
        connection = http.client.HTTPConnection(self.admin, timeout=DEADLINE_S)
        try:
            if body is None:
                connection.request("GET", path, headers=dict(headers or {}))
            else:
                connection.request(
                    "POST", path, json.dumps(body), {"content-type": "application/json", **(headers or {})}
                )
            response = connection.getresponse()
            data = response.read()
            is_json = "json" in response.headers.get("content-type", "")
            return response.status, json.loads(data) if is_json else data.decode()
        finally:
            connection.close()

    @property
    def cli_environ(self) -> dict[str, str]:
        """The environment that points the command line at this gateway, or at its store once it has ended."""
        running = self.process is not None and self.process.poll() is None
        where = {"GATEWAY_URL": f"http://{self.admin}"} if running else {"GATEWAY_ADMIN_BIND": "127.0.0.1:1"}
        return {**self._environ, **where, "GATEWAY_STORE": self.store}

    def cli(
        self, *arguments: str, check: bool = True, environ: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run the real command line in the gateway's environment."""
        done = subprocess.run(
            [sys.executable, "-m", "gateway", *arguments], cwd=self.folder, capture_output=True, text=True, timeout=DEADLINE_S,
            env={**self.cli_environ, **(environ or {})},
        )  # fmt: skip
        assert not check or done.returncode == 0, done.stderr
        return done

    def verb(
        self, *arguments: str, check: bool = True, environ: Mapping[str, str] | None = None, columns: int | None = None
    ) -> Done:
        """Like ``cli``, but in this process, in a tenth of the time; with ``columns``, in a terminal."""
        # A runner of tests may have a terminal of its own in the environment.
        inherited = {name: value for name, value in self.cli_environ.items() if name not in OF_A_TERMINAL}
        done = run(*arguments, cwd=self.folder, environ={**inherited, **(environ or {})}, columns=columns)
        assert not check or done.returncode == 0, done.stderr
        return done

    def terminal(self, *arguments: str, columns: int = 80, environ: Mapping[str, str] | None = None) -> "Terminal":
        """Run the real command line in a terminal."""
        command = [sys.executable, "-m", "gateway", *arguments]
        # The test runner's own environment may describe a terminal.
        where = {name: value for name, value in self.cli_environ.items() if name not in OF_A_TERMINAL}
        return Terminal(command, columns=columns, environ={**where, **(environ or {})}, cwd=self.folder)

    def deliveries(self, event_id: str) -> list[dict[str, Any]]:
        return self.api(f"/api/events/{event_id}")[1]["deliveries"]

    def settled(self, event_id: str) -> list[dict[str, Any]]:
        """The deliveries of an event, once none of them is pending."""

        def done() -> list[dict[str, Any]] | None:
            found = self.deliveries(event_id)
            return None if any(each["state"] == "pending" for each in found) else found

        return eventually(done, f"no delivery of {event_id} is pending")

    def terminate(self) -> int:
        """Send SIGTERM. Returns the exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(DEADLINE_S)

    def kill(self) -> None:
        """End the process with kill -9 if it still runs."""
        if self.process is not None and self.process.poll() is None:
            # The whole group: the gateway may run under strace.
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(DEADLINE_S)
        if self.process is not None and self.process.stdout is not None:
            self.process.stdout.close()
            self.log.close()


#: Variables that override what the terminal itself says.
OF_A_TERMINAL = ("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR", "CLICOLOR_FORCE")


class Terminal:
    """A command running in a pseudo-terminal."""

    def __init__(
        self, command: Sequence[str], *, columns: int = 80, environ: Mapping[str, str] | None = None, cwd: Path
    ) -> None:
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        inherited = {name: value for name, value in os.environ.items() if name not in OF_A_TERMINAL}
        self.process = subprocess.Popen(
            # A session and a controlling terminal of its own, so that a typed Ctrl-C reaches it.
            ["setsid", "--ctty", *command], stdin=slave, stdout=slave, stderr=slave, cwd=cwd,
            env={**inherited, "TERM": "xterm-256color", **(environ or {})},
        )  # fmt: skip
        os.close(slave)
        self._said = b""
        self._reading = threading.Thread(target=self._read, daemon=True)
        self._reading.start()

    def _read(self) -> None:
        # Linux answers EIO once the other end is closed.
        with contextlib.suppress(OSError):
            while data := os.read(self._master, 65536):
                self._said += data

    @property
    def said(self) -> str:
        return self._said.decode("utf-8", "replace")

    def type(self, keys: str) -> None:
        os.write(self._master, keys.encode())

    def until(self, text: str) -> "Terminal":
        eventually(lambda: text in self.said, f"{text!r} is shown; output so far: {self._said[-2000:]!r}")
        return self

    def wait(self) -> int:
        """Wait for the end, and for all output. Returns the exit code."""
        code = self.process.wait(DEADLINE_S)
        self._reading.join(DEADLINE_S)
        return code

    def __enter__(self) -> "Terminal":
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(DEADLINE_S)
        self._reading.join(DEADLINE_S)
        os.close(self._master)
