"""A memory cgroup around a process, on machines that let us make one."""

import contextlib
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

MIB = 1024 * 1024
_ROOT = Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class Cgroup:
    """A cgroup with a limit for memory."""

    folder: Path
    is_v2: bool

    @property
    def wrapper(self) -> tuple[str, ...]:
        """What to put before a command so that it runs inside."""
        return "/bin/sh", "-c", f'echo $$ > {self.folder}/cgroup.procs && exec "$@"', "sh"

    @property
    def kills(self) -> int:
        """Processes that the kernel killed because of the limit."""
        file = self.folder / ("memory.events" if self.is_v2 else "memory.oom_control")
        return next(int(line.split()[1]) for line in file.read_text().splitlines() if line.startswith("oom_kill "))


@contextlib.contextmanager
def memory_cgroup(limit: int) -> Iterator[Cgroup]:
    """A new cgroup with so many bytes of memory; skips the test where it cannot be made."""
    is_v2 = (_ROOT / "cgroup.controllers").exists()
    folder = (_ROOT if is_v2 else _ROOT / "memory") / f"gateway-test-{uuid.uuid4().hex[:8]}"
    try:
        folder.mkdir()
    except OSError as error:
        pytest.skip(
            f"NO MEMORY CGROUP CAN BE MADE HERE ({error.strerror}): run the tests as root, with cgroups writable"
        )
    try:
        try:
            (folder / ("memory.max" if is_v2 else "memory.limit_in_bytes")).write_text(str(limit))
        except OSError as error:
            pytest.skip(f"NO MEMORY LIMIT CAN BE SET IN {folder} ({error.strerror})")
        yield Cgroup(folder, is_v2)
    finally:
        with contextlib.suppress(OSError):
            folder.rmdir()
