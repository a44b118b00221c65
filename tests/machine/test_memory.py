"""The memory there is, as Linux tells it in its many ways."""

import ctypes
import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.machine.memory import MIB, MOST_FOR_BODIES, Held, body_budget, delivery_room, memory_limit

MEMINFO = "MemTotal:       16384000 kB\nMemFree:         1000 kB\n"
V1 = "35 31 0:32 {top} /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n"
V2 = "41 31 0:38 {top} /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"


def machine(folder, files):
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


@pytest.mark.parametrize(
    ("files", "limit"),
    [
        ({}, 16_384_000 * 1024),
        (
            {
                "proc/self/cgroup": "0::/\n",
                "proc/self/mountinfo": V2.format(top="/"),
                "sys/fs/cgroup/memory.max": "max\n",
            },
            16_384_000 * 1024,
        ),
        # A container with its own view of the cgroups: Docker, Kubernetes.
        (
            {
                "proc/self/cgroup": "0::/\n",
                "proc/self/mountinfo": V2.format(top="/"),
                "sys/fs/cgroup/memory.max": "268435456\n",
            },
            256 * MIB,
        ),
        # A systemd unit in a slice that has the smaller limit.
        (
            {
                "proc/self/cgroup": "0::/system.slice/gateway.service\n",
                "proc/self/mountinfo": V2.format(top="/"),
                "sys/fs/cgroup/system.slice/memory.max": "104857600\n",
                "sys/fs/cgroup/system.slice/gateway.service/memory.max": "209715200\n",
            },
            100 * MIB,
        ),
        (
            {
                "proc/self/cgroup": "4:cpu,memory:/docker/abc\n0::/docker/abc\n",
                "proc/self/mountinfo": V1.format(top="/docker/abc"),
                "sys/fs/cgroup/memory/memory.limit_in_bytes": "134217728\n",
            },
            128 * MIB,
        ),
        (
            {
                "proc/self/cgroup": "4:memory:/a/b\n",
                "proc/self/mountinfo": V1.format(top="/"),
                "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
                "sys/fs/cgroup/memory/a/memory.limit_in_bytes": "134217728\n",
                "sys/fs/cgroup/memory/a/b/memory.limit_in_bytes": "9223372036854771712\n",
            },
            128 * MIB,
        ),
        # A cgroup above the container's own shows as a way up; it is not there to read.
        (
            {
                "proc/self/cgroup": "0::/../other\n",
                "proc/self/mountinfo": V2.format(top="/"),
                "sys/fs/cgroup/memory.max": "268435456\n",
            },
            256 * MIB,
        ),
        ({"proc/self/cgroup": "nonsense\n\n::\n", "proc/self/mountinfo": "1 2\n - cgroup2\n"}, 16_384_000 * 1024),
    ],
    ids=["no cgroups", "v2 none", "v2 own view", "v2 slice", "v1 container", "v1 nested", "v2 outside", "nonsense"],
)
def test_the_least_of_all_limits_counts(tmp_path, files, limit):
    assert memory_limit(machine(tmp_path, {"proc/meminfo": MEMINFO, **files})) == limit


def test_a_system_that_says_nothing_has_no_known_limit(tmp_path):
    assert memory_limit(tmp_path) == 0
    assert body_budget(0) == MOST_FOR_BODIES


def test_this_machine_says_something():
    assert memory_limit() > 32 * MIB


@pytest.mark.parametrize(
    ("memory", "budget"),
    [
        (64 * MIB, 4 * MIB),
        (128 * MIB, 8 * MIB),
        (256 * MIB, 16 * MIB),
        (512 * MIB, 32 * MIB),
        (64 * 1024 * MIB, 32 * MIB),
    ],
)
def test_bodies_may_take_a_sixteenth_of_it(memory, budget):
    assert body_budget(memory) == budget


#: Large blocks between small ones that stay, as bodies are between what else a server holds.
_BURST = """
import sys
from pathlib import Path
from gateway.machine import memory

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

if "before" in sys.argv:
    memory.return_large_blocks()
bytearray(2 * memory.MIB)
before, small, large = resident(), [], []
for number in range(64):
    large.append(b"x" * (memory.MIB + number))
    small.append(b"y" * (50_000 + number))
large.clear()
if "after" in sys.argv:
    memory.give_back()
print((resident() - before) // memory.MIB)
"""


@pytest.mark.skipif(sys.platform != "linux" or not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="not glibc")
@pytest.mark.parametrize(
    ("when", "least", "most"),
    [("never", 40, 80), ("before", -5, 9), ("after", -5, 9)],
    ids=["neither", "at start", "after"],
)
def test_what_a_burst_of_bodies_took_goes_back_to_the_system(when, least, most):
    command = [sys.executable, "-c", _BURST, when]
    # In CI a variable may tell the C library what to do.
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_"))}
    kept = int(subprocess.run(command, env=environ, check=True, capture_output=True, text=True).stdout)
    assert least <= kept <= most


def test_the_bodies_of_deliveries_may_take_an_eighth_of_the_memory():
    assert delivery_room(256 * MIB) == 32 * MIB
    assert delivery_room(0) == 128 * MIB


def test_each_destination_has_its_part_whatever_the_others_hold():
    held = Held(32 * MIB)
    for _ in range(20):
        held.hold("hangs", MIB)
    assert held.fitting("hangs", 4) == 0
    assert held.fitting("other", 4) == 8
    for _ in range(14):
        held.release("hangs", MIB)
    assert held.fitting("hangs", 4) == 2


def test_one_body_always_fits_and_small_ones_are_not_held_back():
    held = Held(MIB)
    assert held.fitting("crm", 1) == 1
    held.hold("crm", 50 * MIB)
    assert held.fitting("crm", 1) == 0
    held.release("crm", 50 * MIB)
    assert held.fitting("crm", 1) == 1
    for _ in range(100):
        held.hold("crm", 1000)
        held.release("crm", 1000)
    assert held.fitting("crm", 1) > 900
    assert held.fitting("crm", 100_000) > 200


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 5 * MIB)), max_size=40), st.integers(1, 1000))
def test_whatever_is_held_and_given_back_leaves_nothing(bodies, destinations):
    held = Held(4 * MIB)
    for name, size in bodies:
        held.hold(name, size)
        assert held.fitting(name, destinations) >= 0
    for name, size in bodies:
        held.release(name, size)
    assert held._held == {}
    assert all(held.fitting(name, destinations) >= 1 for name, _ in bodies)
