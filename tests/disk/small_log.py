"""A gateway whose log is copied back and starts over every few events; with NORMAL in its environment, one that does not sync each commit.

Takes the command line of ``gateway``.
"""

import os

from gateway.cli import main
from gateway.store.sqlite import file, log


class Unsynced(log.Log):
    """The control: what was answered may be lost in a power cut."""

    def __init__(self, path, writer):
        super().__init__(path, writer)
        writer.pragma("synchronous", "normal")


if __name__ == "__main__":
    # Not where it is only imported: that process has other tests to run.
    log.CHECKPOINT_PAGES = 40
    log.RESTART_PAGES = log.MOST_PAGES = 160
    if os.environ.get("NORMAL"):
        file.Log = Unsynced
    main()
