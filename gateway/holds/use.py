"""How many slots of each destination this replica has used since it last told the others, and where it had too few."""

from collections import Counter
from collections.abc import Callable, Mapping

from gateway.holds.assignments import Use


class SlotUse:
    """Remembers it between two questions to the store. One for each process.

    Only slots of destinations where something was started count: one that was taken for a new delivery is given back
    when others turn out to be ahead of it.
    """

    def __init__(self) -> None:
        self._most: Counter[str] = Counter()
        self._short: set[str] = set()

    def started(self, name: str, taken: int) -> None:
        """A delivery was started, and this many slots are taken now."""
        self._most[name] = max(taken, self._most[name])

    def lacked(self, name: str) -> None:
        """Another slot was needed and none was free."""
        self._short.add(name)

    def since(self, taken: Mapping[str, int], slots: Callable[[str], int]) -> Mapping[str, Use]:
        """The use of each destination since this was last asked. ``taken``: slots that are taken now."""
        use = {
            name: Use(most, name in self._short or taken.get(name, 0) >= slots(name))
            for name, most in self._most.items()
        }
        self._most = Counter({name: taken[name] for name in self._most if name in taken})
        self._short = set()
        return use
