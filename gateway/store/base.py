"""The contract of a store: ``Reads``, what can be asked of any store, and ``Store``, one that is running.

The promises of the gateway are kept on the other side of it. Whatever every store decides alike is in ``rules``.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from gateway.errors import CorruptEvent
from gateway.model import Attempt, Delivery, Event
from gateway.store.activities import Activity, ActivityPage, Erasure, OpenErasure, Task
from gateway.store.awaiting import Expectations
from gateway.store.cluster import Cluster
from gateway.store.holds import Assigned, Hold, Terms
from gateway.store.learned import LearnedSecrets
from gateway.store.logins import Login
from gateway.store.memory import Recalled, Subject
from gateway.store.nouns import Appended, Lease, NewEvent, Outcome, Record, Retention, Room, Want
from gateway.store.queries import (
    CandidatePage,
    DeliveryPage,
    DeliveryQuery,
    EventHistory,
    EventPage,
    EventQuery,
    LastError,
    Rejected,
    Stats,
    Survey,
    Unredacted,
)

if TYPE_CHECKING:
    import asyncio


class Reads(Protocol):
    """What can be asked of a store, of the one that is running or of one opened only to look.

    Every answer is a value and shows one moment. Positions (``position``, ``next``; ``before``, ``after``) are handed
    out by the store and mean nothing outside it. Methods raise QueryRefused for a position that the store did not hand
    out, and StoreUnavailable when the disk or the server refuses; a store opened only to look raises StoreError.
    """

    async def events(self, query: EventQuery = ...) -> EventPage:
        """Matching events, newest first; ends early rather than search for long."""

    async def candidates(self, query: EventQuery) -> CandidatePage:
        """The same events with their bodies and without their deliveries, for a caller that looks into payloads."""

    async def survey(self, *, after: str = "", until: str = "") -> Survey:
        """Every event between two positions, oldest first, damaged ones too: a page, for a caller that looks at each."""

    async def event(self, event_id: str) -> EventHistory | None:
        """One event by its id or by the id of one of its deliveries."""

    async def load(self, event_ids: Collection[str]) -> Mapping[str, Event | CorruptEvent]:
        """Events with their bodies; a CorruptEvent for each whose checksum is wrong. Unknown ids are absent."""

    async def deliveries(self, query: DeliveryQuery = ...) -> DeliveryPage:
        """Matching deliveries, those of the newest event first; ends early rather than search for long.

        Matching deliveries of one event are on one page, even if that makes it longer than ``limit``.
        """

    async def last_attempts(self, delivery_ids: Collection[str]) -> Mapping[str, Attempt]:
        """The last attempt of each of these deliveries, by their ids; those of which none is kept are absent."""

    async def last_errors(self, destinations: Collection[str]) -> Mapping[str, LastError]:
        """The last error of each of these destinations, of the newest deliveries that wait, or else of the newest dead one."""

    async def count(self, which: DeliveryQuery) -> int:
        """Count matching deliveries; looks at each in an index. Raises KeyError for an unknown id."""

    async def waiting(self) -> Mapping[tuple[str, str], int]:
        """Pending deliveries by (route, destination). Looks at each of them: ask rarely."""

    async def memories(self) -> Mapping[str, int]:
        """How many keys are remembered, by the name they are remembered as; expired ones count until they are removed."""

    async def stats(self) -> Stats:
        """Current numbers. Costs the same however many deliveries wait."""

    async def rejected(self, *, limit: int = 50) -> Sequence[Rejected]:
        """Refused requests, newest first."""

    async def activities(self, *, limit: int = 50, before: str = "") -> ActivityPage:
        """What people did, newest first."""

    async def activity(self, activity_id: str) -> Activity | None:
        """One activity with its progress."""

    async def holds(self) -> Sequence[Hold]:
        """Everything that holds a destination or has ever held it, by destination."""

    async def records(self, source: str, keys: Collection[str]) -> Mapping[str, Record]:
        """What is remembered of records of a source, by key; the others are absent."""

    async def remembered(self) -> Mapping[str, int]:
        """How many records are remembered, by source. Looks at each of them: ask rarely."""

    async def logins(self) -> Sequence[Login]:
        """Every login at an authorization server whose refresh token is kept, by its id."""

    async def stored_time(self) -> float:
        """The store's clock, seconds since the epoch: never earlier than anything that was stored."""

    @property
    def progress(self) -> tuple[int, int]:
        """How far the latest backup or check has come: how much is done, and of how much; zeros before it has begun."""

    async def backup(self, path: str, *, replaces: bool = False) -> int:
        """Copy the store to ``path`` as of now, also while it is in use; returns bytes. Progress is in bytes.

        The copy gets its name once it is complete. Raises StoreError, also for a file that exists unless
        ``replaces`` is set, and for one that belongs to a store in use. Cancelling stops the copy.
        """

    async def check(self) -> Sequence[str]:
        """Check the whole store; returns what is wrong, a sentence each. Progress is in events. Cancelling stops it."""

    async def close(self) -> None:
        """Let go of the store; a running one carries out what it was given first, and refuses whatever comes later."""


class Store(Reads, Protocol):
    """Durable on return. The store owns the clock: all times cross this seam as seconds from now.

    A store serves one or many replicas: processes that receive and deliver. Every method but ``wake``,
    ``holds_changed`` and ``breathe`` raises StoreUnavailable when the disk or the server refuses. ``append`` and ``settle``
    begin when they are called, and never raise: their futures do.
    """

    #: ``sqlite``; shown in the ready line.
    name: str

    @property
    def cluster(self) -> Cluster:
        """What its replicas tell each other."""

    @property
    def secrets(self) -> LearnedSecrets:
        """What senders chose in handshakes; the same for all replicas."""

    @property
    def expectations(self) -> Expectations:
        """What sources are expected to send."""

    @property
    def healthy(self) -> bool:
        """Whether appends can be expected to succeed: False after an error until the store was opened again and checked."""

    @property
    def trouble(self) -> str:
        """Why it is not healthy, as a sentence with the remedy; "" if it is, or if it is closed."""

    @property
    def room(self) -> Room:
        """What it can take just now, at most a second old. Costs a few microseconds at most, and never waits."""

    @property
    def checked(self) -> float:
        """The fraction of what was stored at the start that was checked for damage since, or then; see ``inspect``."""

    # events come in, deliveries go out

    def append(self, events: Sequence[NewEvent], *, replica: str = "") -> "asyncio.Future[Sequence[Appended]]":
        """Store the events of one request with their deliveries, all or nothing, on disk before the future is done.

        An event whose key was seen within its window is not stored again: the result has the first event's id. An event
        about a record writes the record, unless another event has changed it since this one was planned: then nothing of
        the request is stored (``Appended.stale``). Calls that wait at the same time share one transaction. ``replica``
        gets a lease for each delivery that asks for one, unless other deliveries for its destination are due. The append
        is carried out even if the caller goes away: if it cancels the future, the leases are given back.
        """

    async def claim(self, replica: str, wants: Mapping[str, Want]) -> Sequence[Lease]:
        """Lease due deliveries to ``replica``, those overdue the longest first, at most ``slots`` per destination.

        Of new ones that are due since about the same time, those may come first that the replica has accepted itself.
        Where a want names events that go last, the others are first.
        A delivery is leased to one replica at a time. If the caller goes away, the leases are given back.
        """

    async def gathered(self, delivery_id: str) -> Sequence[str]:
        """The ids of the events that a digest sends, in the order of acceptance; no other event joins it from now on.

        ``delivery_id`` is the delivery that sends the digest. The deliveries of the other events are pending and never due;
        when this one is settled, they get its outcome.
        """

    async def recall(self, delivery_id: str, subjects: Collection[Subject]) -> Recalled:
        """What is remembered, and how long a delivery has waited for it. Everything that was settled before is known."""

    def settle(self, outcomes: Sequence[Outcome]) -> "asyncio.Future[frozenset[str]]":
        """Record attempts and new states together: the ids whose lease was still held. A lost lease changes nothing.

        The outcomes are recorded even if the caller goes away. What an outcome remembers replaces what its key had before.
        Deliveries that wait for that key are due at once, those of other destinations too. So is a delivery whose outcome
        says that it waits for something that has been remembered meanwhile.
        """

    async def wake(self) -> Collection[str]:
        """Return destinations that may have something due, as soon as there is something new to tell.

        A hint: it may come late and may name too many. The first call names everything that is due; after that a hint
        comes once for each change: what is already due and cannot be taken does not end the next wait.
        """

    async def breathe(self) -> None:
        """Return once the store's own work has had its turn; await it before each piece of work for the store."""

    async def crashed(self, delivery_id: str) -> Delivery | None:
        """Count a death of the process against a pending delivery; the delivery as it is now, or None if it is not pending."""

    async def hasten(self, delivery_ids: Collection[str]) -> int:
        """Make those due now that wait for another attempt; how many. Their budgets and attempts stay as they are.

        What is leased, due already or behind another one in its lane is left alone, and so is what was never attempted.
        """

    # what replicas share

    async def assigned(self, replica: str, wanted: Mapping[str, Terms]) -> Assigned:
        """What ``replica`` may do with each destination that it wants from now on, and until when; and when to ask for more.

        A destination has one holder at a time. One that is paced, or has fewer slots than there are replicas, is
        assigned to its holder alone; the shares of the others add up to at most 1.
        """

    async def release(self, replica: str, destinations: Collection[str]) -> None:
        """Give up destinations that ``replica`` holds and has nothing in flight for: another one may take each at once."""

    async def set_hold(self, hold: Hold) -> bool:
        """Store a hold as revision ``hold.rev + 1``; False, and nothing is changed, if ``hold.rev`` is not the present one."""

    async def set_login(self, login: Login) -> bool:
        """Store a login as revision ``login.rev + 1``; False, and nothing is changed, as with ``set_hold``."""

    async def holds_changed(self) -> None:
        """Return once another replica may have stored a hold. A hint: it may come late, or never."""

    # what people do

    async def begin(self, task: Task) -> Activity:
        """Start a task; durable on return, with its first slice done. A small one is finished then.

        ``go_on`` does the rest slice by slice, also after a restart. A replayed delivery is pending and due, at the
        task's pace; its attempts are numbered on, ``spent_s`` and ``crashes`` start at 0. Deliveries that are
        pending already are left alone. A task with the key of an earlier one does nothing and gives that one. Raises
        KeyError for an unknown id, BodyGone when an event named by id has lost its body, KeyReused for a key of a task
        that was asked for something else, and Overlaps for a replay of deliveries that another one has yet to reach.
        """

    async def go_on(self, replica: str) -> bool:
        """Do the next slice of the oldest unfinished task that no other replica holds; False if there is none.

        The replica holds the task for ``rules.TASK_LEASE_S`` seconds more; after that another one may take it on.
        No slice is ever done twice.
        """

    async def stop(self, activity_id: str, *, by: str) -> Activity:
        """End a task: deliveries it has not reached stay as they are, those waiting for their first attempt since are
        what they were before. New ones that it made and that were not attempted are discarded.

        Raises KeyError for an unknown id.
        """

    async def begin_erasure(self, erasure: Erasure) -> Activity:
        """Begin to forget events; durable on return. Refused requests, keys of entries, records, and what is remembered are
        removed if they have its value.

        The caller looks through all events that are stored by now and names those to ``forget``.
        """

    async def open_erasure(self, replica: str) -> OpenErasure | None:
        """The oldest unfinished erasure that no other replica holds."""

    async def forget(self, erasure: OpenErasure, event_ids: Collection[str], *, to: str, replica: str) -> None:
        """Forget these events; those up to ``to`` were looked at. The replica holds the erasure as in ``go_on``.

        Of each stays that it was there, what became of its deliveries, and ``rules.tombstone``. What waits or is dead is
        discarded; attempts lose their answers and reasons; entries may fire again for its keys; what was remembered of
        answers about it is gone, and so are the records that they are about. Called once
        more when everything was looked through and ``wipe`` has nothing to do, it finishes the erasure. Does nothing
        if the erasure is elsewhere by now.
        """

    async def note(self, activity: Activity) -> None:
        """Remember what somebody did; the oldest are forgotten."""

    async def reject(self, rejected: Sequence[Rejected]) -> None:
        """Remember requests that were refused; the oldest of each source are forgotten."""

    # upkeep, in slices: between two of them events and deliveries have their turn

    async def prune(self, retention: Retention, *, limit: int = 500) -> int:
        """Remove at most ``limit`` items past their retention; how many. Call again until it is 0."""

    async def unredacted(self, *, after: str = "", limit: int = 50) -> Unredacted:
        """Events appended with ``is_redacted_later`` that no delivery needs any more, oldest first.

        ``after``: ``next`` of the previous page.
        """

    async def redact(self, bodies: Mapping[str, bytes]) -> int:
        """Replace bodies of events from ``unredacted``, by id; how many. One that is needed again by now stays as it is."""

    async def inspect(self) -> bool:
        """Check a part of what is stored for damage; whether there is more to check.

        It takes some milliseconds. Damage is in ``room`` from then on, and stays there until the next start.
        """

    async def cleanse(self, headers: Mapping[str, Collection[str]], *, limit: int = 250) -> bool:
        """Remove headers from at most ``limit`` events that an older release stored; whether there are more such events.

        ``headers``: lower-case names by the source of an event; those of ``""`` are removed whatever the source.
        """

    async def wipe(self) -> bool:
        """Remove what ``redact`` and ``forget`` have left in the store's own files, a slice of it; whether there is more.

        Without it, what was removed can be found in them for hours. Does nothing if nothing was removed.
        """

    async def index(self, *, limit: int = 250) -> bool:
        """Add at most ``limit`` newer events to the index of words; whether there are more.

        A search looks into events that are not in the index yet.
        """
