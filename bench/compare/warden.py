"""Run one command in a process group of its own, as a service manager would, and count the CPU of its whole tree.

Reads words from its standard input and answers each with a line of JSON: ``cpu`` (seconds since the start, of living and
ended processes, and of children that lost their parent) and ``rss`` (MiB), ``kill`` (SIGKILL for the whole group, then the
same command again), ``stop`` (SIGTERM, after 20 s SIGKILL). The end of its input is a stop as well.
"""

import ctypes
import json
import os
import resource
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

_PR_SET_CHILD_SUBREAPER = 36
_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE_MIB = os.sysconf("SC_PAGE_SIZE") / 2**20


def start(command):
    return subprocess.Popen(command, stdout=sys.stderr, start_new_session=True)


def reap():
    """Wait for whatever has ended. Only what was waited for counts in RUSAGE_CHILDREN."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return False
    return True


def descendants():
    """The fields of /proc/PID/stat after the name, of every process below this one."""
    found = {}
    for each in Path("/proc").iterdir():
        if each.name.isdigit():
            try:
                found[int(each.name)] = (each / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue  # it has ended
    below, grown = {os.getpid()}, True
    while grown:
        new = {pid for pid, fields in found.items() if int(fields[1]) in below} - below
        below, grown = below | new, bool(new)
    return [found[pid] for pid in below - {os.getpid()}]


def usage():
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    alive = descendants()
    # utime, stime, and those of the children that each has waited for
    cpu = sum(int(field) for fields in alive for field in fields[11:15]) / _TICKS
    rss = sum(int(fields[21]) for fields in alive) * _PAGE_MIB
    return {"cpu": cpu + ended.ru_utime + ended.ru_stime, "rss": rss}


def end(group, number, wait_s):
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return
    deadline = time.monotonic() + wait_s
    while reap() and time.monotonic() < deadline:
        time.sleep(0.01)


def main():
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    group = start(sys.argv[1:]).pid
    print(json.dumps({}), flush=True)
    while True:
        if not select.select([sys.stdin], [], [], 0.05)[0]:
            reap()
            continue
        word = sys.stdin.readline().strip()
        if word == "kill":
            end(group, signal.SIGKILL, 5)
            group = start(sys.argv[1:]).pid
        elif word != "cpu":
            end(group, signal.SIGTERM, 20)
            end(group, signal.SIGKILL, 5)
        print(json.dumps(usage()), flush=True)
        if word not in ("cpu", "kill"):
            return


if __name__ == "__main__":
    main()
