"""The gateway on clocks that a test moves: those of its process, and the one of a PostgreSQL store.

As a program it takes the command line of ``gateway``. Both clocks of the process are ahead by the seconds in the file that
``GATEWAY_TEST_AHEAD`` names; they are read again each time, so that time may pass at once while it runs.
"""

import mmap
import os
import struct
import sys
import time
from datetime import datetime
from pathlib import Path

from tests import postgres

AHEAD = "GATEWAY_TEST_AHEAD"
_SECONDS = struct.Struct("d")
#: The command of such a gateway.
PROGRAM = (sys.executable, "-m", "tests.acceptance.moved_clock", "serve")


class MovedClock:
    """How far the clocks of a gateway are ahead of those of this machine."""

    def __init__(self, folder: Path, store: str) -> None:
        self._file, self._store = folder / "ahead", store
        self._seconds = 0.0
        self._write()

    @property
    def environ(self) -> dict[str, str]:
        return {AHEAD: str(self._file)}

    def now(self) -> float:
        return time.time() + self._seconds

    def set(self, moment: str) -> None:
        """Make it this moment, which is later than the one before: ``2027-01-07T22:00:00+01:00``."""
        ahead = datetime.fromisoformat(moment).timestamp() - time.time()
        assert ahead > self._seconds, "a clock that is set back is another test"
        self.advance(ahead - self._seconds)

    def advance(self, seconds: float) -> None:
        self._seconds += seconds
        self._write()

    def _write(self) -> None:
        # In place: the gateway has it mapped.
        with self._file.open("r+b" if self._file.exists() else "wb") as file:
            file.write(_SECONDS.pack(self._seconds))
        if self._store.startswith("postgresql:"):
            # The database has its own clock.
            now = f"extract(epoch FROM statement_timestamp())::float8 + {self._seconds!r}::float8"
            declared = "gateway_now() RETURNS float8 LANGUAGE sql STABLE PARALLEL SAFE"
            postgres.run(self._store, f"CREATE OR REPLACE FUNCTION {declared} AS $$ SELECT {now} $$")


def move() -> None:
    """Have this process see the moved clocks; before the gateway is imported, which takes them over."""
    assert "gateway" not in sys.modules, (
        "something that was imported here imports the gateway, on the clocks of this machine"
    )
    with Path(os.environ[AHEAD]).open("rb") as file:
        seconds = mmap.mmap(file.fileno(), _SECONDS.size, access=mmap.ACCESS_READ)
    wall, monotonic = time.time, time.monotonic
    time.time = lambda: wall() + _SECONDS.unpack(seconds[:])[0]
    time.monotonic = lambda: monotonic() + _SECONDS.unpack(seconds[:])[0]


if __name__ == "__main__":
    move()

    from gateway.cli import main

    main()
