"""One gateway of several processes: what it consists of, and senders that post to it."""

import http.client
import os
import signal
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from tests.acceptance.harness import GatewayProcess, eventually

WORKERS = 2


class Crew:
    """A gateway with workers; leaving ``with`` ends it. Senders take it for a cluster of one."""

    def __init__(
        self,
        folder: Path,
        file: str,
        *,
        workers: int = WORKERS,
        options: tuple[str, ...] = (),
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self.workers_wanted = workers
        self.gateway = GatewayProcess(folder, file, options=("--workers", str(workers), *options), environ=environ)

    def __enter__(self) -> "Crew":
        self.gateway.start()
        return self

    def __exit__(self, *_: object) -> None:
        pids = self.pids()
        self.gateway.__exit__()
        gone(pids)

    # its processes

    def pids(self, kind: str = "") -> list[int]:
        """The processes that the supervisor has started and that have not ended: all, or those of a kind."""
        assert self.gateway.process is not None
        return [pid for pid in _children(self.gateway.process.pid) if not kind or kind in _command(pid)]

    @property
    def owner(self) -> int:
        return eventually(lambda: self.pids("owner"), "there is an owner")[0]

    def workers(self) -> list[int]:
        return eventually(
            lambda: len(found := self.pids("worker")) == self.workers_wanted and found, "all workers are there"
        )

    def ready(self) -> None:
        """Return when the gateway says that it is."""
        eventually(lambda: self._readyz() == 200, "it is ready")

    def _readyz(self) -> int:
        with suppress(OSError, http.client.HTTPException):
            return self.gateway.api("/readyz")[0]
        return 0

    # as a cluster

    def alive(self) -> list[GatewayProcess]:
        return [self.gateway]

    def pending(self) -> list[object]:
        with suppress(OSError, http.client.HTTPException):
            status, page = self.gateway.api("/api/deliveries?state=pending")
            if status == 200:
                return page["deliveries"]
        return ["it does not answer"]

    def drain(self, deadline_s: float = 120.0) -> None:
        eventually(lambda: not self.pending(), "everything is delivered", deadline_s)


def kill(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def is_there(pid: int) -> bool:
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    return False


def gone(pids: list[int]) -> None:
    eventually(lambda: not [pid for pid in pids if is_there(pid)], "no process is left")


def _children(pid: int) -> list[int]:
    with suppress(OSError):
        return [
            int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split() if is_there(int(each))
        ]
    return []


def _command(pid: int) -> list[str]:
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
    return []
