"""What keeps a destination from being sent to: its slots, its rate, an open circuit, a 429, a pause; and who is muted.

The rules are those of ``destinations/gates.py``. A pause, a mute, an open circuit and the wait after a 429 are durable
and the same for every replica (``store.holds``). The rest is in memory, for the destinations that this replica decides
for (``store.assigned``): slots taken, the last start, consecutive failures, and the events denied since the last success.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Any, Final

from msgspec.structs import replace

from gateway import telemetry
from gateway.destinations import gates
from gateway.destinations.gates import Gate, Learned, Permit, Rules
from gateway.errors import StoreUnavailable
from gateway.holds import announcements, durable
from gateway.holds.assignments import Assignments
from gateway.holds.closing import within_hours
from gateway.holds.standing import Standing
from gateway.holds.use import SlotUse
from gateway.model import Announcement, Delivery
from gateway.process import Gateway
from gateway.routing import Destination
from gateway.store.holds import ITSELF, Hold, Pause, lasting_reason, paused_by
from gateway.store.queries import LastError

_CLOSED: Final = Gate()


class Holds:
    """Knows of every destination whether it may be sent to. One for each process."""

    def __init__(
        self,
        gateway: Gateway,
        *,
        announce: Callable[[Announcement], Awaitable[None]],
        changed: Callable[[str], None],
    ) -> None:
        """``changed`` is called when a destination may be sent to again, or no longer."""
        self._gateway = gateway
        self._store = gateway.store
        self._announce = announce
        self._changed = changed
        #: Slots taken, by destination.
        self._taken: Counter[str] = Counter()
        self.assignments, self._use = Assignments(gateway), SlotUse()
        #: How many deliveries this replica may have in flight, by destination; 0: it may send nothing there.
        self.slots = self.assignments.slots
        self._gates: dict[str, Gate] = {}
        #: What of each gate is in the store.
        self._stored: dict[str, Gate] = {}
        #: By destination, in addition to the pauses in the file.
        self._paused: dict[str, Pause] = {}
        self._muted: dict[str, Pause] = {}
        #: By destination; of those that are gone, too.
        self._errors: dict[str, LastError] = {}
        #: The revision of each hold that this process knows.
        self._revs: dict[str, int] = {}
        #: The parts of each hold that are being stored: what another replica has stored does not replace them.
        self._unsaved: defaultdict[str, list[str]] = defaultdict(list)
        #: Slots of a destination that other processes of this gateway have taken.
        self.elsewhere: Callable[[str], int] = lambda _name: 0

    # slots

    def reserve(self, name: str) -> bool:
        """Take a slot for a new delivery, unless something holds the destination."""
        if not self.free(name) or not self._is_free(name):
            return False
        self._taken[name] += 1
        return True

    def free(self, name: str) -> int:
        """How many slots are free; called when one could be used."""
        free = self.slots(name) - self._taken[name]
        if free <= 0:
            self._use.lacked(name)
        return max(0, free)

    def take(self, name: str, slots: int) -> None:
        self._taken[name] += slots

    def may_send(self, name: str) -> bool:
        """Whether a request may begin in a slot that was taken; asked before each one, for ``store/spread.py`` relies on it."""
        return max(1, self._taken[name]) <= self.slots(name)

    def give_back(self, name: str, slots: int = 1) -> None:
        self._taken[name] -= slots
        if not self._taken[name]:
            del self._taken[name]

    @property
    def in_flight(self) -> Mapping[str, int]:
        """Slots taken, by destination; without those that have none taken."""
        return self._taken

    def may_claim_now(self, name: str) -> bool:
        """Whether this replica may claim what waits now: what something holds, such as a probe, is for the holder."""
        return self.assignments.may_claim(name) and (self.assignments.is_holder(name) or self._is_free(name))

    # turns

    def permit(self, name: str) -> Permit:
        """How many deliveries may start now, or when to ask again."""
        return gates.permit(self._gate(name), self._rules(name), self._gateway.monotonic())

    def turn(self, delivery: Delivery) -> float | None:
        """Take the next turn of its destination for a delivery; the seconds to wait for it.

        None: its destination has been held since the delivery was leased.
        """
        name = delivery.destination
        self._use.started(name, self._taken[name])
        if self._is_free(name):
            return 0.0
        now, rules = self._gateway.monotonic(), self._rules(name)
        if not gates.may_start(self._gate(name), rules, now):
            return None
        self._gates[name], at = gates.started(self._gate(name), rules, now, delivery.id)
        return at - now

    def _gate(self, name: str) -> Gate:
        return self._gates.get(name, _CLOSED)

    def _is_free(self, name: str) -> bool:
        return gates.is_free(self._gates.get(name, _CLOSED), self._rules(name), self._gateway.monotonic())

    def _rules(self, name: str) -> Rules:
        destination = self._gateway.config.destinations.get(name)
        rules, hours = self._pauses(name, destination), destination.hours if destination else None
        return within_hours(rules, hours, self._gateway.clock()) if hours else rules

    def _pauses(self, name: str, destination: Destination | None) -> Rules:
        rules = destination.gate if destination else Rules()
        pause = self._paused.get(name) if self._paused else None
        if pause is None or rules.paused:
            return rules
        left_s = self._left_s(pause)
        return replace(rules, paused=paused_by(pause), paused_for_s=left_s) if left_s > 0 else rules

    def _left_s(self, pause: Pause) -> float:
        return math.inf if pause.until is None else pause.until - self._gateway.clock()

    # for people

    def standing(self, name: str) -> Standing:
        """The current status of a destination, whether it is in the file or not."""
        gate = self._gate(name)
        return Standing(
            held=self.health(name),
            circuit="closed" if not gate.is_open else "probing" if gate.probe else "open",
            failures=gate.failures,
            denied=gate.denied if gate.is_open and gate.is_denied else (),
            throttled=gates.is_throttled(gate, self._gateway.monotonic()),
            in_flight=self._taken[name] + self.elsewhere(name),
            paused=self._paused.get(name),
            muted=self._muted.get(name) if self.is_muted(name) else None,
        )

    def last_error(self, name: str) -> LastError | None:
        """Why the last attempt that failed here did; None if none has since the process started."""
        return self._errors.get(name)

    def health(self, name: str) -> str:
        """What holds a destination now, in words; empty: nothing does."""
        return self.permit(name).why

    def is_paused(self, name: str) -> bool:
        """Whether its deliveries are held by the file, by a person or by the gateway."""
        return bool(self._pauses(name, self._gateway.config.destinations.get(name)).paused)

    def is_muted(self, name: str) -> bool:
        """Whether nobody is to be notified of its troubles now."""
        mute = self._muted.get(name)
        return mute is not None and self._left_s(mute) > 0

    # what attempts teach

    async def learn(self, delivery: Delivery, what: Learned, *, reason: str = "", aloud: bool = True) -> bool:
        """Remember what an attempt taught about its destination; whether that has to wait for a person now.

        ``aloud``: with an event for those who want to be notified, too.
        """
        name = delivery.destination
        before, now = self._gate(name), self._gateway.monotonic()
        if reason and what.outcome != "nothing":
            self._errors[name] = LastError(at=self._gateway.clock(), reason=reason, event_id=delivery.event_id)
        is_usual = not (before.failures or before.denied or before.limited or before.is_open)
        if what.outcome == "accepted" and is_usual and not what.disables:
            return False
        after = self._gates[name] = gates.learned(before, what, now, delivery=delivery.id, event=delivery.event_id)
        if before.is_open or after.is_open or what.wait_s:
            self._changed(name)
        # If another replica has found the same, it has said so.
        is_first = not gates.is_news(self._stored.get(name, _CLOSED), after) or await self._store_gate(name, after)
        if is_first and after.is_open and (not before.is_open or after.is_denied > before.is_denied):
            await self._say_opened(name, after, reason, aloud=aloud)
        elif is_first and before.is_open and not after.is_open:
            await self._say_closed(name, before, aloud=aloud)
        if why := gates.paused_for(what, reason):
            await self._pause_itself(name, why, aloud=aloud)
        return bool(why)

    async def _store_gate(self, name: str, gate: Gate) -> bool:
        """Store a gate; whether no other replica has just stored that the circuit is open, or closed, like this one."""
        before, self._stored[name] = self._stored.get(name, _CLOSED), gate
        try:
            other = await self._save(name, "gate")
        except StoreUnavailable as error:
            # It holds in memory; the next news is stored with it.
            self._stored[name], other = before, None
            telemetry.log("store.unavailable", reason=str(error))
        return other is None or (other.circuit is not None) != gate.is_open

    async def _say_opened(self, name: str, gate: Gate, reason: str, *, aloud: bool) -> None:
        failures, denied, next_s = gate.failures, gate.denied if gate.is_denied else (), gate.probe_interval_s
        telemetry.log("circuit.opened", destination=name, failures=failures, denied=denied, next_s=next_s)
        if aloud:
            await self._announce(announcements.opened(name, gate, reason))

    async def _say_closed(self, name: str, gate: Gate, *, aloud: bool) -> None:
        telemetry.log("circuit.closed", destination=name, failures=gate.failures)
        if aloud:
            await self._announce(announcements.closed(name, gate))

    async def _pause_itself(self, name: str, reason: str, *, aloud: bool) -> None:
        if self.is_paused(name):
            return  # the answers of those that were in flight with the first one
        try:
            await self.pause(name, by=ITSELF, reason=reason, aloud=aloud)
        except StoreUnavailable as error:
            # It holds until this process ends; the next one finds out for itself.
            self._paused[name] = self._pause(ITSELF, reason, None)
            telemetry.log("store.unavailable", reason=str(error))

    # what people do

    async def pause(self, name: str, *, by: str, reason: str, for_s: float | None = None, aloud: bool = True) -> None:
        """Hold the deliveries of a destination, after a restart too; attempts in flight end. Raises StoreUnavailable."""
        pause = self._pause(by, reason, for_s)
        # It holds at once, for the disk takes its time; if storing it fails, the destination was never paused.
        before, self._paused[name] = self._paused.get(name), pause
        try:
            other = await self._save(name, "pause")
        except StoreUnavailable:
            durable.put(self._paused, name, before)
            self._changed(name)
            raise
        telemetry.log("destination.paused", destination=name, by=by, reason=reason, for_s=for_s)
        await self._gateway.note("pause", name, by=by, reason=lasting_reason(pause))
        if by == ITSELF and other is not None and other.pause is not None:
            return  # another replica has found the same, and said so
        if aloud and not self.is_muted(name):
            await self._announce(announcements.paused(name, pause))

    async def resume(self, name: str, *, by: str) -> bool:
        """Send to a paused destination again; whether it was paused, other than in the file. Raises StoreUnavailable.

        One whose circuit is open, or that has asked for patience, is tried at once.
        """
        was_paused = name in self._paused
        await self._let_go(name, *(("pause",) if was_paused else ()))
        if was_paused:
            telemetry.log("destination.resumed", destination=name, by=by)
            await self._gateway.note("resume", name, by=by)
        if was_paused and not self.is_muted(name):
            await self._announce(announcements.resumed(name, by))
        return was_paused

    async def try_now(self, name: str, *, by: str) -> bool:
        """Try a destination at once that does not answer, denies or has asked to wait; whether it was held like that.

        A pause stays. Raises StoreUnavailable.
        """
        gate = self._gate(name)
        if not gate.is_open and not gates.is_throttled(gate, self._gateway.monotonic()):
            return False
        await self._let_go(name)
        telemetry.log("destination.tried", destination=name, by=by)
        await self._gateway.note("try", name, by=by)
        return True

    async def _let_go(self, name: str, *parts: str) -> None:
        """Store and open the gate of a destination; ``pause`` among the parts ends its pause, too."""
        gate = gates.resumed(self._gate(name), self._gateway.monotonic())
        changes = durable.kept(gate, self._gateway.monotonic()) | dict.fromkeys(parts)
        if parts or gates.is_news(self._stored.get(name, _CLOSED), gate):
            await self._save(name, "gate", *parts, **changes)
        for _ in parts:
            self._paused.pop(name, None)
        self._gates[name] = self._stored[name] = gates.resumed(self._gate(name), self._gateway.monotonic())
        self._changed(name)

    async def mute(self, name: str, *, by: str, reason: str, for_s: float | None = None) -> None:
        """Notify nobody of the troubles of a destination, after a restart too; deliveries continue. Raises StoreUnavailable."""
        mute = self._pause(by, reason, for_s)
        await self._save(name, "mute", mute=mute)
        self._muted[name] = mute
        telemetry.log("destination.muted", destination=name, by=by, reason=reason, for_s=for_s)
        await self._gateway.note("mute", name, by=by, reason=lasting_reason(mute))

    async def unmute(self, name: str, *, by: str) -> bool:
        """Notify of its troubles again; whether it was muted. Raises StoreUnavailable."""
        if was_muted := name in self._muted:
            await self._save(name, "mute", mute=None)
            self._muted.pop(name, None)
            telemetry.log("destination.unmuted", destination=name, by=by)
            await self._gateway.note("unmute", name, by=by)
        return was_muted

    async def end_overdue(self) -> None:
        """End the pauses and mutes whose time is over. Raises StoreUnavailable."""
        for those, end in ((self._paused, self.resume), (self._muted, self.unmute)):
            for name in [
                name for name, each in those.items() if self._left_s(each) <= 0 and self.assignments.is_holder(name)
            ]:
                await end(name, by="the clock")

    def _pause(self, by: str, reason: str, for_s: float | None) -> Pause:
        now = self._gateway.clock()
        return Pause(by=by, reason=reason, since=now, until=None if for_s is None else now + for_s)

    # what replicas share

    async def refresh(self, names: Collection[str] = ()) -> Collection[str]:
        """Learn from the store what this replica decides for and what holds it; the destinations that are new to it.

        ``names``: besides those in the file and those known already. Raises StoreUnavailable.
        """
        use = self._use.since(self._taken, self.slots)
        new = await self.assignments.renew({*names, *self._paused, *self._muted}, use)
        await self.reread(new)
        return new

    async def reread(self, new: Collection[str] = ()) -> None:
        """Learn from the store what holds destinations. ``new``: this replica has just come to decide for them.

        Raises StoreUnavailable.
        """
        holds = await self._store.holds()
        for name in new:
            # Another replica may have started something just now, and knows better what holds it.
            self._gates[name] = gates.opened(self._gateway.monotonic())
            self._revs.pop(name, None)
        for hold in holds:
            if not self._unsaved.get(hold.destination):
                self._adopt(hold)

    async def hand_over(self) -> None:
        """Let other replicas have every destination for which nothing is in flight here. Raises StoreUnavailable."""
        await self.assignments.release([name for name in self.assignments.held if name not in self._taken])

    def _adopt(self, hold: Hold) -> None:
        """Take over what is stored, unless this process knows it or is about to replace it."""
        name = hold.destination
        if hold.rev <= self._revs.get(name, 0):
            return
        self._revs[name] = hold.rev
        unsaved = self._unsaved.get(name, ())
        if "pause" not in unsaved:
            durable.put(self._paused, name, hold.pause)
        if "mute" not in unsaved:
            durable.put(self._muted, name, hold.mute)
        if "gate" not in unsaved:
            stored = durable.gate_of(hold, self._gateway.monotonic())
            self._gates[name] = self._stored[name] = gates.restored(self._gate(name), stored)
        self._changed(name)

    async def _save(self, name: str, *parts: str, **changes: Any) -> Hold | None:
        """Store the hold as it is in memory, with ``changes`` to it; of its other parts take over what a replica has changed.

        The hold that another replica had stored meanwhile, if one had.
        """
        unsaved, other = self._unsaved[name], None
        unsaved += parts
        try:
            while not await self._store.set_hold(hold := replace(self._hold(name), **changes)):
                stored = {each.destination: each for each in await self._store.holds()}
                # Whatever this process believed is out of date.
                self._revs.pop(name, None)
                other = stored.get(name, Hold(destination=name))
                self._adopt(other)
            self._revs[name] = max(hold.rev + 1, self._revs.get(name, 0))
            return other
        finally:
            for part in parts:
                unsaved.remove(part)

    def _hold(self, name: str) -> Hold:
        return Hold(
            destination=name,
            rev=self._revs.get(name, 0),
            pause=self._paused.get(name),
            mute=self._muted.get(name),
            **durable.kept(self._gate(name), self._gateway.monotonic()),
        )
