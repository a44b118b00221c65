"""What entries remember of answers, as it crosses the store's seam: what is kept, asked for and waited for."""

from collections.abc import Mapping
from typing import Final

import msgspec
from msgspec import Struct, field

#: Keys kept under one name. When there are more, those remembered the longest ago are forgotten.
MOST_KEYS: Final = 1_000_000
#: The values of one key, as JSON; bytes.
MOST_BYTES: Final = 16 * 1024

#: What values are kept under: the name that a file gives them (``as``), and a key.
Subject = tuple[str, str]


class Remembered(Struct, frozen=True, kw_only=True):
    """Values of an answer; they take the place of those that their key had before."""

    subject: Subject
    #: A JSON object.
    values: bytes
    #: Seconds until they are forgotten.
    for_s: float


class Known(Struct, frozen=True, kw_only=True):
    """What is remembered for a key."""

    #: A JSON object.
    values: bytes
    #: The event whose delivery was answered.
    event_id: str
    #: By the store's clock, seconds since the epoch.
    remembered_at: float

    @property
    def value(self) -> Mapping[str, object]:
        """The values by name; none if the disk has damaged them."""
        try:
            return msgspec.json.decode(self.values, type=dict[str, object])
        except (ValueError, RecursionError):
            return {}


class Recalled(Struct, frozen=True, kw_only=True):
    """What a delivery is given before its attempt."""

    #: Subjects of which nothing is remembered are absent.
    known: Mapping[Subject, Known] = field(default_factory=dict)
    #: Seconds since the delivery first waited for something, and has not ended since; None: it has not waited.
    waited_s: float | None = None


class Learnt(Struct, frozen=True, kw_only=True):
    """What an outcome means for what is remembered."""

    remembered: Remembered | None = None
    #: Its result is ``Waits``: it is due as soon as something is remembered for one of these.
    waits_for: tuple[Subject, ...] = ()
    #: It has waited; when it ends, the store forgets since when.
    has_waited: bool = False
