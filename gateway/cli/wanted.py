"""What ``replay`` and ``discard`` are asked to do."""

from msgspec import Struct

from gateway.cli import api
from gateway.cli.online import parameters
from gateway.operate.selection import Filter
from gateway.store.activities import TaskVerb


class Wanted(Struct, frozen=True, kw_only=True):
    """What to do with which deliveries, and how."""

    verb: TaskVerb
    ids: tuple[str, ...]
    which: Filter
    reason: str = ""
    rate: str = ""
    as_new: bool = False

    def body(self, *, dry_run: bool) -> dict[str, object]:
        """As the API accepts it, without what is left at its default."""
        asked: dict[str, object] = {**parameters(self.which), "ids": list(self.ids), "reason": self.reason}
        asked |= {"rate": self.rate, "as_new": self.as_new, "reroute": self.verb == "reroute", "dry_run": dry_run}
        return {**{name: value for name, value in asked.items() if value}, "by": api.who()}
