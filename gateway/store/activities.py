"""What people do to deliveries and destinations: activities, and the tasks among them that take their time."""

from collections.abc import Sequence
from typing import Literal

from msgspec import Struct

from gateway.store.nouns import DeliveryQuery, NewDelivery

#: What is done to many deliveries at a time.
TaskVerb = Literal["replay", "reroute", "discard"]
Verb = (
    TaskVerb
    | Literal["forget", "stop", "pause", "resume", "try", "mute", "unmute", "reload", "handshake", "send", "login"]
)


class Progress(Struct, frozen=True, kw_only=True):
    """How far a task has come, in deliveries; an erasure in events, of which it does not know the number before its end."""

    #: Selected by the task.
    total: int
    #: Moved so far, or forgotten.
    moved: int
    #: Of those, by their current state.
    pending: int = 0
    delivered: int = 0
    dead: int = 0
    #: Of those, taken back before they were tried because the task was stopped.
    not_sent: int = 0
    #: Deliveries that it discarded.
    discarded: int = 0
    #: Whether everything that will be moved has been.
    is_finished: bool = False
    #: Who stopped it; empty if nobody did.
    stopped_by: str = ""

    @property
    def is_over(self) -> bool:
        """Whether nothing more will come of it by itself."""
        return self.is_finished and not self.pending


class Activity(Struct, frozen=True, kw_only=True):
    """Something that somebody did, for others who look after the gateway."""

    #: ``act_`` + UUIDv7.
    id: str
    #: Wall clock, seconds since the epoch.
    at: float
    by: str
    verb: Verb
    #: What it was done to: a destination, an id, or a selection in words.
    subject: str
    reason: str = ""
    #: Only for a task.
    progress: Progress | None = None


class ActivityPage(Struct, frozen=True, kw_only=True):
    """Part of what was done, newest first."""

    rows: tuple[Activity, ...]
    #: ``before`` of the next page; empty if this page is not full.
    next: str = ""


class Wish(Struct, frozen=True, kw_only=True):
    """What the requests have in common that take their time."""

    by: str
    #: What it is done to, in words, for people.
    subject: str
    reason: str = ""
    #: A second one with the same key is the first one, if it asks for the same; empty: no key.
    key: str = ""


class Task(Wish, frozen=True, kw_only=True):
    """A replay, reroute or discard, as requested."""

    verb: TaskVerb
    #: Deliveries that match when the task begins, in a state that ``rules.TAKES`` names for the verb.
    which: DeliveryQuery
    #: What it asks for, as its caller writes it: compared when its key comes again.
    asked: str = ""
    #: Between two deliveries that become due, seconds; 0: all at once.
    interval_s: float = 0.0
    #: Make new deliveries with their own ids instead, for receivers that ignore ids they have seen.
    as_new: bool = False
    #: Missing deliveries to make as well, for a reroute: (event id, NewDelivery).
    extra: Sequence[tuple[str, NewDelivery]] = ()


class Erasure(Wish, frozen=True, kw_only=True):
    """A wish to forget every event of somebody; its subject does not show the value."""

    #: What an event must have to be forgotten, for the caller: ``data.id=451``. Kept only until every event was looked at.
    find: str
    #: Whatever is no event is forgotten if it has this value as a word: refused requests, keys of entries and lanes.
    value: str


class OpenErasure(Struct, frozen=True, kw_only=True):
    """An erasure that is not finished, and how far it has come."""

    activity_id: str
    find: str
    #: Positions: the events up to ``after`` were looked at; those up to ``until`` are to be.
    after: str
    until: str

    @property
    def is_looked_through(self) -> bool:
        """Whether only the store's own files are left to be wiped."""
        return self.after == self.until
