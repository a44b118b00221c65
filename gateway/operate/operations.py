"""What a person does to a running gateway: replay, discard, pause, mute. Each leaves an activity that names who did it."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import suppress
from typing import Final

import msgspec
from msgspec import Struct, field
from msgspec.structs import replace

from gateway import telemetry
from gateway.dispatcher import Dispatcher
from gateway.dispatcher.steps import for_ever
from gateway.errors import BadRequest, BodyGone, UnknownName
from gateway.model import Delivery, DeliveryState
from gateway.operate import rerouting, said, search, selection
from gateway.operate.errors import Errors
from gateway.operate.forgetting import Forgetting, Found
from gateway.operate.freeing import Freed, freed
from gateway.operate.overtaking import overtaken
from gateway.operate.rerouting import Rerouted
from gateway.operate.selection import Filter
from gateway.process import Gateway
from gateway.store.activities import Activity, Task, TaskVerb
from gateway.store.nouns import NewDelivery
from gateway.store.queries import DeliveryQuery, EventHistory, EventQuery, EventRow
from gateway.store.rules import TAKES, unsendable
from gateway.wording import printable, suggest_or_list

#: Deliveries that a preview shows.
SAMPLE: Final = 5
#: With more deliveries a preview does not check whether newer events have overtaken them.
MOST_LOOKED_AT: Final = 20
#: Most events of one reroute.
MOST_REROUTED: Final = 1000
#: Between two slices of a long task, so that others can use the store, seconds.
BETWEEN_SLICES_S: Final = 0.005
#: How often to look for a task that another replica has left, seconds.
ORPHANS_INTERVAL_S: Final = 15.0


class Move(Struct, frozen=True, kw_only=True):
    """What somebody wants done to deliveries.

    Without ids and without a state it selects dead ones; a reroute selects events, whatever became of them.
    """

    verb: TaskVerb
    by: str
    filter: Filter = field(default_factory=Filter)
    #: Ids of deliveries, or of events for all their deliveries.
    ids: tuple[str, ...] = ()
    reason: str = ""
    #: A second request with the same key that asks for the same does nothing and is answered with the first.
    key: str = ""
    #: ``5/s``; empty: all at once.
    rate: str = ""
    #: Make new deliveries with their own ids instead, for receivers that ignore ids they have seen.
    as_new: bool = False


class Preview(Struct, frozen=True, kw_only=True):
    """What a request would do."""

    count: int
    sample: Sequence[Delivery]
    #: Sentences for people.
    warnings: Sequence[str] = ()
    #: Only for a reroute.
    diff: Sequence[Rerouted] = ()


class Operations:
    """The verbs, and the loop that continues long tasks. One per process."""

    def __init__(self, gateway: Gateway, dispatcher: Dispatcher) -> None:
        self._gateway = gateway
        self._store = gateway.store
        self._holds = dispatcher.holds
        self._forgetting = Forgetting(gateway)
        #: The last error of each destination.
        self.errors = Errors(gateway, dispatcher.holds)
        #: Set while a task may be unfinished; at the start too, since the previous process may have left one.
        self._unfinished = asyncio.Event()
        self._unfinished.set()

    # deliveries

    async def preview(self, move: Move) -> Preview:
        """What a request would do. Raises BadRequest, UnknownName, BodyGone if it names what was forgotten."""
        if move.verb == "reroute":
            diff, task = await self._rerouted(move)
            sample = await self._sample(task.which, move.verb) if task.which.ids else ()
            return Preview(count=len(task.extra) + len(task.which.ids), sample=sample, diff=diff)
        which = self._task(move, self._which(move)).which
        try:
            count = sum([await self._store.count(each) for each in _by_state(which, move.verb)])
        except KeyError as error:
            raise UnknownName(no_such(error.args[0])) from None
        if move.verb == "replay":
            await self._refuse_forgotten(move.ids)
        sample = await self._sample(which, move.verb)
        warnings = await self._overtaken(which) if move.verb == "replay" and count <= MOST_LOOKED_AT else []
        return Preview(count=count, sample=sample, warnings=warnings)

    async def _refuse_forgotten(self, ids: Sequence[str]) -> None:
        """Say at once of what is named that nothing is left to replay. Raises BodyGone."""
        if not (named := tuple(ids[:MOST_LOOKED_AT])):
            return
        of_deliveries = (await self._store.deliveries(DeliveryQuery(ids=named))).rows
        for row in await self._rows([*named, *(each.event_id for each in of_deliveries)]):
            if row.body_is == "forgotten":
                raise BodyGone(unsendable(row.id, row.body_is))

    async def _rows(self, ids: Iterable[str]) -> Sequence[EventRow]:
        """Those of these ids that are events."""
        return (await self._store.events(EventQuery(ids=tuple(dict.fromkeys(ids))))).rows

    async def carry_out(self, move: Move) -> Activity:
        """Begin a move; durable on return, with its first deliveries moved. Raises BadRequest, UnknownName, Conflict."""
        task = (await self._rerouted(move))[1] if move.verb == "reroute" else self._task(move, self._which(move))
        try:
            activity = await self._store.begin(task)
        except KeyError as error:
            raise UnknownName(no_such(error.args[0])) from None
        telemetry.log("activity.begun", activity=activity.id, verb=move.verb, by=move.by, subject=task.subject)
        self._unfinished.set()
        return activity

    async def moved(self, activity: Activity, ids: Sequence[str]) -> Sequence[Delivery]:
        """Those deliveries named by ``ids`` that a replay has made pending."""
        page = await self._store.deliveries(DeliveryQuery(ids=tuple(ids)))
        return [each for each in page.rows if each.replayed_by == activity.id]

    async def stop(self, activity_id: str, *, by: str) -> Activity:
        """Stop a replay or a discard; deliveries it has not reached stay as they are. Raises UnknownName.

        Does nothing if it was stopped before or is over.
        """
        by = said.by(by)
        before = await self._store.activity(activity_id)
        if before and before.progress and (before.progress.stopped_by or before.progress.is_over):
            return before
        try:
            activity = await self._store.stop(activity_id, by=by)
        except KeyError:
            raise UnknownName(f"no replay or discard {printable(activity_id[:100])}") from None
        # What is forgotten already is wiped all the same.
        self._unfinished.set()
        telemetry.log("activity.stopped", activity=activity.id, verb=activity.verb, by=by)
        await self._gateway.note("stop", activity.id, by=by, reason=f"{activity.verb} of {activity.subject}")
        return activity

    # forgetting

    async def look(self, find: str, *, after: str = "") -> Found:
        """Count the events that would be forgotten, part by part. Raises BadRequest."""
        return await self._forgetting.look(find, after=after)

    async def forget(self, find: str, *, by: str, reason: str = "", key: str = "") -> Activity:
        """Begin to forget every event that has this; refused requests and keys that mention it go at once. Raises BadRequest."""
        activity = await self._forgetting.begin(find, by=said.by(by), reason=said.reason(reason), key=said.key(key))
        self._unfinished.set()
        return activity

    async def finish(self, activity_id: str) -> Activity:
        """Carry out all open tasks, where no loop does; the activity as it ends."""
        while await self._store.go_on(self._gateway.replica) or await self._forgetting.go_on():
            pass
        activity = await self._store.activity(activity_id)
        assert activity is not None
        return activity

    # destinations

    async def pause(self, name: str, *, by: str, reason: str, for_s: float | None = None) -> None:
        """Hold the deliveries of a destination. Raises BadRequest, UnknownName."""
        self._check_destination(name)
        reason = said.reason(reason, is_needed=True)
        await self._holds.pause(name, by=said.by(by), reason=reason, for_s=said.for_s(for_s))

    async def resume(self, name: str, *, by: str) -> Freed:
        """Resume deliveries, and try a destination at once that was held otherwise. Raises BadRequest, UnknownName."""
        self._check_destination(name)
        before = self._holds.standing(name)
        was_paused = await self._holds.resume(name, by=said.by(by))
        return freed(before, self._holds.standing(name), was_paused=was_paused)

    async def try_now(self, name: str, *, by: str) -> Freed:
        """Try a destination at once that does not answer, denies or asked to wait. Raises BadRequest, UnknownName."""
        self._check_destination(name)
        before = self._holds.standing(name)
        await self._holds.try_now(name, by=said.by(by))
        return freed(before, self._holds.standing(name), was_paused=False)

    async def hasten(self, id_: str, *, by: str) -> int:
        """Make the deliveries of an event, or one delivery, that wait for another attempt due now; how many.

        What was never attempted still waits for its time. Raises BadRequest, UnknownName.
        """
        by = said.by(by)
        history = await self._store.event(id_)
        if history is None:
            raise UnknownName(no_such(id_))
        ids = [each.id for each in history.deliveries if id_ in (each.id, each.event_id)]
        if count := await self._store.hasten(ids):
            await self._gateway.note("try", id_, by=by)
        return count

    async def mute(self, name: str, *, by: str, reason: str, for_s: float | None = None) -> None:
        """Silence its notifications; its deliveries continue. Raises BadRequest, UnknownName."""
        self._check_destination(name)
        reason = said.reason(reason, is_needed=True)
        await self._holds.mute(name, by=said.by(by), reason=reason, for_s=said.for_s(for_s))

    async def unmute(self, name: str, *, by: str) -> bool:
        """Turn its notifications back on; whether it was muted. Raises BadRequest, UnknownName."""
        self._check_destination(name)
        return await self._holds.unmute(name, by=said.by(by))

    # the loop

    async def run(self) -> None:
        """Continue long tasks until cancelled."""
        await for_ever(self._go_on)

    async def _go_on(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(ORPHANS_INTERVAL_S):
                await self._unfinished.wait()
        await self._store.breathe()
        # Before asking: a task that begins meanwhile sets it again.
        self._unfinished.clear()
        try:
            is_more = await self._store.go_on(self._gateway.replica)
            is_more = await self._forgetting.go_on() or is_more
        except BaseException:
            self._unfinished.set()
            raise
        if is_more:
            self._unfinished.set()
            await asyncio.sleep(BETWEEN_SLICES_S)

    # selecting

    def _which(self, move: Move) -> DeliveryQuery:
        asked = move.filter
        if not move.ids:
            if asked.is_empty:
                raise BadRequest(
                    f"nothing to {move.verb} is selected: name ids, or filter by destination, cause, since, state=dead"
                )
            asked = replace(asked, state=asked.state or DeliveryState.DEAD)
        which = selection.delivery_query(asked, self._gateway.clock(), ids=move.ids, limit=selection.LARGEST_PAGE)
        takes = TAKES[move.verb]
        if which.state is not None and which.state not in takes:
            raise BadRequest(f"state: a {move.verb} is for {' or '.join(takes)} deliveries, not for {which.state} ones")
        return which

    def _task(
        self, move: Move, which: DeliveryQuery, extra: Sequence[tuple[str, NewDelivery]] = (), subject: str = ""
    ) -> Task:
        return Task(
            verb=move.verb,
            by=said.by(move.by),
            which=which,
            subject=subject or selection.in_words(replace(move.filter, state=which.state or ""), move.ids),
            reason=said.reason(move.reason),
            key=said.key(move.key),
            asked=_asked(move),
            interval_s=selection.interval_s(move.rate),
            as_new=move.as_new,
            extra=extra,
        )

    async def _sample(self, which: DeliveryQuery, verb: TaskVerb) -> Sequence[Delivery]:
        pages = [await self._store.deliveries(replace(each, limit=SAMPLE)) for each in _by_state(which, verb)]
        return [delivery for page in pages for delivery in page.rows][:SAMPLE]

    def _check_destination(self, name: str) -> None:
        known = self._gateway.config.destinations
        standing = self._holds.standing(name)
        if name not in known and standing.paused is None and standing.muted is None:
            hint = suggest_or_list(name, known)
            raise UnknownName(f"no destination {printable(name[:100])} in routes.yaml ({hint})")

    async def _overtaken(self, which: DeliveryQuery) -> Sequence[str]:
        """A sentence for each delivery that would send an older state of a record after a newer one."""
        pages = [
            await self._store.deliveries(replace(each, limit=MOST_LOOKED_AT)) for each in _by_state(which, "replay")
        ]
        return await overtaken(self._gateway, [each for page in pages for each in page.rows])

    # matching again

    async def _rerouted(self, move: Move) -> tuple[Sequence[Rerouted], Task]:
        now = self._gateway.clock()
        diff: list[Rerouted] = []
        async for history in self._histories(move):
            diff += rerouting.rerouted(self._gateway.config, history, now)
        replayed = tuple(row.replayed for row in diff if row.replayed)
        extra = [(row.event_id, row.new) for row in diff if row.new]
        which = DeliveryQuery(ids=replayed) if replayed else NOTHING
        return diff, self._task(move, which, extra, selection.in_words(move.filter, move.ids))

    async def _histories(self, move: Move) -> AsyncIterator[EventHistory]:
        """Every event that a reroute selects, once."""
        if not move.ids and move.filter.is_empty:
            raise BadRequest("nothing to reroute is selected: name ids, or filter by source, type, destination, since")
        selection.check_ids(move.ids)
        seen: set[str] = set()
        for id_ in move.ids or await self._event_ids(move.filter):
            history = await self._store.event(id_)
            if history is None:
                raise UnknownName(no_such(id_))
            if history.event.id not in seen:
                seen.add(history.event.id)
                yield history

    async def _event_ids(self, asked: Filter) -> Sequence[str]:
        now, found, before = self._gateway.clock(), dict[str, None](), ""
        while True:
            if asked.is_about_deliveries:
                which = selection.delivery_query(asked, now, limit=selection.LARGEST_PAGE, before=before)
                deliveries = await self._store.deliveries(which)
                found.update(dict.fromkeys(each.event_id for each in deliveries.rows))
                before = deliveries.next
            else:
                wanted = selection.event_search(
                    asked, self._gateway.config, now, limit=selection.LARGEST_PAGE, before=before
                )
                events = await search.events(self._store, wanted)
                found.update(dict.fromkeys(each.id for each in events.rows))
                before = events.next
            if len(found) > MOST_REROUTED:
                raise BadRequest(f"more than {MOST_REROUTED:,} events: narrow it, for instance by since and until")
            if not before:
                return list(found)


#: Matches no delivery, since no task takes discarded ones.
NOTHING: Final = DeliveryQuery(state=DeliveryState.DISCARDED)


def _by_state(which: DeliveryQuery, verb: TaskVerb) -> Sequence[DeliveryQuery]:
    """The query for each state that a verb takes."""
    return [which] if which.state is not None else [replace(which, state=each) for each in TAKES[verb]]


def no_such(id_: str) -> str:
    """The message about an id that the store does not have."""
    return f"no event or delivery {printable(id_[:100])}"


def _asked(move: Move) -> str:
    """What a move is about, without who asks and why."""
    asked = (move.verb, move.filter, sorted(move.ids), move.rate, move.as_new)
    return hashlib.sha256(msgspec.json.encode(asked)).hexdigest()
