"""One synchronous piece of work, and how long it takes."""

import time
from collections.abc import Callable

from msgspec import Struct

from gateway.errors import BuildError, Unparsable

#: Seconds of one piece of work, for a body of 1 MiB.
LIMIT = 0.050
#: How often a slow piece is run: others use the processor, too, and the best run is what it takes.
MOST_RUNS = 7


class Piece(Struct, frozen=True):
    """One synchronous piece of work."""

    stage: str
    what: str
    payload: str
    seconds: float
    #: How it ended, if not well.
    said: str = ""


def timed(stage: str, what: str, payload: str, call: Callable[[], object]) -> tuple[Piece, object]:
    """The piece, and what its call returned; None if it was refused."""
    best, found, said = float("inf"), None, ""
    for _ in range(MOST_RUNS):
        began = time.process_time()
        try:
            found, said = call(), ""
        except (BuildError, Unparsable) as error:
            found, said = None, str(error)
        best = min(best, time.process_time() - began)
        if best < LIMIT / 2:
            break
    return Piece(stage, what, payload, best, said), found


def speed() -> float:
    """Milliseconds of CPU that a loop of 200,000 steps takes: runs can be compared if it takes the same in both."""
    best = float("inf")
    for _ in range(9):
        began, total = time.process_time(), 0
        for number in range(200_000):
            total += number * number % 7
        best = min(best, time.process_time() - began)
    return best * 1000
