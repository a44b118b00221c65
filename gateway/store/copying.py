"""Everything in one store, copied to another one: rows by value, some at a time, each time with how far it has come.

Rows are tuples in the order of COLUMNS: texts are str, times are seconds since the epoch. Rows name each other by the
numbers that they have in the store they come from; the target may give them others, in the same order.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from itertools import count as numbers
from typing import Any, Final, NamedTuple, Protocol

import msgspec

from gateway.errors import StoreError

#: Called now and then with how much is done of how much.
OnProgress = Callable[[int, int], None]
Row = tuple[Any, ...]
#: Where a part continues: values of a key; empty: at its start.
Place = tuple[Any, ...]

#: What is copied with an event.
OF_EVENTS: Final = ("event", "delivery", "attempt", "notice", "held_back")
#: Parts in the order in which they are copied; "event" is everything that belongs to events.
PARTS: Final = ("activity", "event", "dedupe", "once", "hold", "rejected", "came", "went", "login", "secret")
COLUMNS: Final[Mapping[str, str]] = {
    "activity": (
        "seq id at by verb subject reason key asked which total moved began position ends interval_s next_due as_new "
        "finished stopped_by"
    ),
    "event": "seq id source type received_at stored_at headers sha256 body body_is redact label",
    "delivery": (
        "event_seq seq id route destination state due attempts attempts_before_replay spent_s crashes reason last_status "
        "last_answer changed_at lane turn cause task"
    ),
    "attempt": (
        "event_seq delivery_seq number recorded_at started_at duration_s outcome status reason answer config_revision "
        "sent_bytes sent_sha256 next_s"
    ),
    "notice": "event_seq delivery_seq teller due dead count",
    "held_back": "event_seq name key event_id fired_at",
    "dedupe": "source key event_id expires",
    "once": "name key event_id fired_at expires",
    "hold": "destination rev pause mute failures denied next_probe probe_interval_s waits_until",
    "rejected": "at source path status reason client count",
    "came": "minute source events",
    "went": "minute destination outcome bucket attempts",
    "login": "id rev sealed by since until ended",
    "secret": "source secret",
}
#: Columns with numbers that may be others in the copy; what they name is compared instead, by its order.
NUMBERS: Final = frozenset({"seq", "event_seq", "delivery_seq", "position", "ends"})
#: Events of which everything is copied at a time, and bytes of their bodies.
EVENTS: Final = 500
BYTES: Final = 8 * 1024 * 1024
#: Rows of any other part.
ROWS: Final = 2_000


class Chunk(NamedTuple):
    """Some rows of a part, and of what belongs to them."""

    rows: Mapping[str, list[Row]]
    #: None: there are no more.
    next: Place | None


class Side(Protocol):
    """A store that nobody runs on while it is open here."""

    #: What people call it.
    name: str

    async def events(self) -> int:
        """How many events it has."""

    async def chunk(self, part: str, after: Place) -> Chunk:
        """Rows after a place, in an order that stays."""

    async def close(self) -> None:
        """Let go of it."""


class Target(Side, Protocol):
    """A store that becomes a copy. It is not one before ``finish``, and no gateway runs on it."""

    async def come_to(self) -> tuple[str, Place] | None:
        """Where the copy continues, as the last ``add`` left it; None: every part is there."""

    async def add(self, part: str, chunk: Chunk, then: tuple[str, Place] | None) -> None:
        """Store rows, and ``then`` as what ``come_to`` gives from now on; all or nothing."""

    async def finish(self) -> None:
        """Make it a store: every row is there and was compared."""


class Tally(NamedTuple):
    """What one kind of rows comes to: their number, and a checksum that is the same in every store."""

    rows: int
    checksum: str


async def copy(source: Side, target: Target, on_progress: OnProgress) -> Mapping[str, Tally]:
    """Copy everything, from where an earlier copy ended; the number of rows of each kind. Raises StoreError.

    Progress is in events; they are counted once while they are copied and once while both stores are compared.
    """
    whole = 2 * await source.events()
    done = await target.events()
    place = await target.come_to()
    while place is not None:
        part, after = place
        chunk = await source.chunk(part, after)
        place = (part, chunk.next) if chunk.next is not None else _next_part(part)
        await target.add(part, chunk, place)
        done += len(chunk.rows.get("event", ()))
        on_progress(done, max(whole, done))
    ours, theirs = _Reading(source, on_progress, done, whole), _Reading(target)
    found, copied = await asyncio.gather(ours.tally(), theirs.tally())
    for kind in COLUMNS:
        if found[kind] != copied[kind]:
            raise StoreError(
                f"{target.name} is not a copy of {source.name}: of {kind} {found[kind].rows:,} rows have checksum "
                f"{found[kind].checksum}, and {copied[kind].rows:,} rows in the copy {copied[kind].checksum}: remove the copy "
                "and begin again"
            )
    await target.finish()
    return found


def _next_part(part: str) -> tuple[str, Place] | None:
    left = PARTS[PARTS.index(part) + 1 :]
    return (left[0], ()) if left else None


class _Reading:
    """Reads a store to its end for its checksums."""

    def __init__(self, side: Side, on_progress: OnProgress | None = None, done: int = 0, whole: int = 0) -> None:
        self._side, self._on_progress, self._done, self._whole = side, on_progress, done, whole

    async def tally(self) -> Mapping[str, Tally]:
        """Each kind of rows; in any order, but for events, whose order is part of it."""
        rows, sums = dict.fromkeys(COLUMNS, 0), dict.fromkeys(COLUMNS, 0)
        order = numbers()
        async for kind, row in self._rows():
            values = [value for column, value in zip(_columns(kind), row, strict=True) if column not in NUMBERS]
            if kind == "event":
                values.append(next(order))
            rows[kind] += 1
            sums[kind] += int.from_bytes(hashlib.blake2b(msgspec.msgpack.encode(values), digest_size=8).digest(), "big")
        return {kind: Tally(rows[kind], f"{sums[kind] % 2**64:016x}") for kind in COLUMNS}

    async def _rows(self) -> AsyncIterator[tuple[str, Row]]:
        for part in PARTS:
            place: Place | None = ()
            while place is not None:
                chunk = await self._side.chunk(part, place)
                place = chunk.next
                for kind, row in _of(chunk):
                    yield kind, row
                self._done += len(chunk.rows.get("event", ()))
                if self._on_progress is not None:
                    self._on_progress(self._done, max(self._whole, self._done))


def _of(chunk: Chunk) -> Iterable[tuple[str, Row]]:
    return ((kind, row) for kind, rows in chunk.rows.items() for row in rows)


def _columns(kind: str) -> list[str]:
    return COLUMNS[kind].split()
