"""What was removed is left in the pages of its table until that is vacuumed: table by table, once there is something."""

from typing import Final

from gateway.store.postgres.address import Address
from gateway.store.postgres.connections import connect, translated

#: Tables with what a sender has sent, or what was made of it; partitions are vacuumed with them.
_TABLES: Final = (
    "event",
    "done",
    "attempt",
    "word",
    "queue",
    "once",
    "held_back",
    "notice",
    "timing",
    "memory",
    "memory_wait",
    "record",
    "awaited",
    "rejected",
    "activity",
)


class Wiping:
    """Remembers which tables are left to be vacuumed."""

    def __init__(self, address: Address) -> None:
        self._address = address
        #: Something was removed since the last round began.
        self.is_due = False
        self._left: list[str] = []
        self._known: set[str] = set()

    def begin(self, activity_id: str) -> None:
        """Begin a round for an erasure that was looked through, unless this process has done so."""
        if activity_id not in self._known:
            self._known.add(activity_id)
            self.is_due = True

    async def step(self) -> bool:
        """Vacuum the next table; whether there are more. Raises StoreUnavailable."""
        if self.is_due:
            self.is_due, self._left = False, list(_TABLES)
        if not self._left:
            return False
        connection = await connect(self._address)
        try:
            async with translated(self._address):
                await connection.execute(f"VACUUM {self._left[-1]}")
        finally:
            connection.terminate()
        self._left.pop()
        return bool(self._left)
