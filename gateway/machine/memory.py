"""How much memory there is, what part of it bodies may take, and giving back to the system what they took."""

import ctypes
import re
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

MIB: Final = 1024 * 1024
#: A byte of a body is held up to five times at once: as it arrives, whole, parsed, bound to a statement, and in the
#: store's log. So this part is about a third of the memory there is.
_PART_FOR_BODIES: Final = 16
LEAST_FOR_BODIES: Final = 4 * MIB
MOST_FOR_BODIES: Final = 32 * MIB

#: The part for the bodies of events whose deliveries are in flight; each can be there a second time, as rendered.
_PART_FOR_DELIVERIES: Final = 8
#: What each destination may have, however many there are: 256 bodies of a usual size.
_LEAST_PART: Final = 256 * 1024
#: What a body is taken to be before the first one was seen: ``max_body`` by default.
_UNKNOWN_BODY: Final = MIB

#: mallopt(3).
_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_THRESHOLD: Final = -3
_M_ARENA_MAX: Final = -8
#: Blocks from this size on are mapped one by one, and so go back to the system when they are freed.
_MAPPED_FROM: Final = 128 * 1024


def memory_limit(root: Path = Path("/")) -> int:
    """Bytes that this process may use: the least of its cgroup's limits (v2 and v1) and the machine's memory.

    ``root`` is where ``proc`` and ``sys`` are. 0 if nothing says.
    """
    known = [*_cgroup_limits(root), *_total(root)]
    return min(known, default=0)


def body_budget(memory: int) -> int:
    """Bytes of bodies to hold at one time, for a process that may use ``memory`` bytes; 0: unknown."""
    if not memory:
        return MOST_FOR_BODIES
    return max(LEAST_FOR_BODIES, min(MOST_FOR_BODIES, memory // _PART_FOR_BODIES))


def delivery_room(memory: int) -> int:
    """Bytes of events that may be in memory for their deliveries, for such a process; 0: unknown."""
    return (memory or 1024 * MIB) // _PART_FOR_DELIVERIES


class Held:
    """Bytes of bodies held for deliveries, by destination. Each destination may have the same part of ``room`` bytes."""

    def __init__(self, room: int) -> None:
        self._room = room
        self._held: dict[str, int] = {}
        #: What a body of each destination takes on average.
        self._typical: dict[str, float] = {}

    def hold(self, name: str, size: int) -> None:
        self._held[name] = self._held.get(name, 0) + size
        self._typical[name] = (7 * self._typical.get(name, _UNKNOWN_BODY) + size) / 8

    def release(self, name: str, size: int) -> None:
        left = self._held.pop(name, 0) - size
        if left > 0:
            self._held[name] = left

    def fitting(self, name: str, destinations: int) -> int:
        """How many more bodies fit into its part; one always does if there is none, whatever its size."""
        held = self._held.get(name, 0)
        part = max(_LEAST_PART, self._room // max(1, destinations))
        more = int((part - held) / max(1.0, self._typical.get(name, _UNKNOWN_BODY)))
        return max(more, 0 if held else 1)


def _total(root: Path) -> Iterator[int]:
    found = re.search(r"^MemTotal:\s+([0-9]+) kB$", _read(root / "proc/meminfo"), re.MULTILINE)
    if found:
        yield int(found[1]) * 1024


def _cgroup_limits(root: Path) -> Iterator[int]:
    """Every limit on the way from the cgroup of this process up to the mount: each ancestor's applies as well."""
    for line in _read(root / "proc/self/cgroup").splitlines():
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        is_v2 = number == "0" and not controllers
        if not is_v2 and "memory" not in controllers.split(","):
            continue
        for top, mounted in _mounts(root, is_v2=is_v2):
            yield from _limits_up(mounted, _below(path, top), "memory.max" if is_v2 else "memory.limit_in_bytes")


def _mounts(root: Path, *, is_v2: bool) -> Iterator[tuple[str, Path]]:
    """(cgroup at the top of the mount, where it is mounted) of each cgroup file system; see proc_pid_mountinfo(5)."""
    for line in _read(root / "proc/self/mountinfo").splitlines():
        fields, _, kind = line.partition(" - ")
        words, what = fields.split(" "), kind.split(" ")
        if len(words) < 5 or len(what) < 3:
            continue
        if what[0] == "cgroup2" if is_v2 else what[0] == "cgroup" and "memory" in what[2].split(","):
            yield words[3], root / words[4].lstrip("/")


def _below(path: str, top: str) -> str:
    # In a container the mount may begin at the container's own cgroup, or show another one's names.
    return path.removeprefix(top) if top != "/" and (path + "/").startswith(top + "/") else path


def _limits_up(mounted: Path, path: str, file: str) -> Iterator[int]:
    parts = [part for part in path.split("/") if part and part != ".."]
    for depth in range(len(parts), -1, -1):
        written = _read(mounted.joinpath(*parts[:depth], file)).strip()
        # "max", or with v1 the largest number there is, means none.
        if written.isascii() and written.isdigit() and 0 < int(written) < 1 << 60:
            yield int(written)


def _read(path: Path) -> str:
    with suppress(OSError):
        return path.read_text("utf-8", "replace")
    return ""


def return_large_blocks() -> None:
    """Make the C library give each large block back when it is freed. Without glibc nothing happens.

    By default it learns from the first body that large blocks are common, and keeps them: after bursts of 64 bodies of
    1 MiB, 70 to 150 MiB stayed with the process.
    """
    with suppress(OSError, AttributeError):
        mallopt = _libc().mallopt
        mallopt(_M_MMAP_THRESHOLD, _MAPPED_FROM)
        mallopt(_M_TRIM_THRESHOLD, _MAPPED_FROM)
        mallopt(_M_ARENA_MAX, 2)


def give_back() -> None:
    """Return free memory to the system; takes some milliseconds, without the interpreter's lock."""
    with suppress(OSError, AttributeError):
        _libc().malloc_trim(0)


def _libc() -> ctypes.CDLL:
    if sys.platform != "linux":
        raise OSError("another C library")
    return ctypes.CDLL(None)
