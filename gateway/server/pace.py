"""How fast the body of a request has to arrive."""

from gateway.server.limits import Limits


class Pace:
    """Of one connection: when to look next, and whether enough has arrived by then. Times are loop times."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        #: When the body has to be complete.
        self._end = 0.0
        #: Bytes that have to arrive before the next look.
        self._owed = 0.0

    def begin(self, now: float) -> float:
        """The headers are complete, or the app reads again; when to look."""
        self._end = now + self._limits.body_deadline_s
        return self._look(now)

    def arrived(self, size: int) -> None:
        self._owed -= size

    def look(self, now: float) -> float | None:
        """When to look again; None: the body is too slow."""
        return self._look(now) if self._owed <= 0 and now < self._end else None

    def _look(self, now: float) -> float:
        then = min(now + self._limits.body_rate_over_s, self._end)
        self._owed = (then - now) * self._limits.body_rate
        return then
