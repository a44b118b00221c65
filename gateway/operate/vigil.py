"""Notices what sources do not send: silence, and what should have followed an event.

The state is in the store, and each alarm has a key, so that neither a restart nor a second replica repeats one.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from msgspec import Struct

from gateway import pipeline, telemetry
from gateway.model import Announcement, new_id
from gateway.pipeline import Starter
from gateway.process import Gateway
from gateway.routing import Config, Source
from gateway.routing.silences import FollowUp, Silence
from gateway.store.awaiting import MOST_OPEN, Expectation
from gateway.store.queries import EventQuery, EventRow
from gateway.wording import duration, iso_time

#: Seconds between two looks.
LOOK_S: Final = 1.0
#: A source that is not silent is looked at again after this long at most, seconds.
LONGEST_S: Final = 30.0
#: After a start senders may take this long to send what they could not deliver before, seconds.
GRACE_S: Final = 60.0
#: An event may be stored this long after its time, seconds.
LATE_S: Final = 5.0
#: Seconds between two lines that say that a source is waited for too often.
FULL_S: Final = 3600.0

#: What the store keeps: that a source is silent, and since when it has been watched.
SILENT: Final = "silent"
WATCHED: Final = "watched"


class Standing(Struct, frozen=True, kw_only=True):
    """What is expected of a source, as people see it."""

    #: Seconds since it was found to be silent; None: it is not.
    silent_s: float | None
    #: How much is awaited from it.
    awaited: int


class Vigil:
    """One per process; the one that does the upkeep for all replicas looks. ``is_ours``: whether that is this one now."""

    def __init__(self, gateway: Gateway, starter: Starter, is_ours: Callable[[], bool]) -> None:
        self._gateway, self._starter, self._is_ours = gateway, starter, is_ours
        self._began = gateway.monotonic()
        self._config: Config | None = None
        #: When each source is looked at next, on the monotonic clock.
        self._next: dict[str, float] = {}
        self._said_full: dict[str, float] = {}

    async def step(self) -> None:
        """Look once, then wait. Raises StoreUnavailable."""
        if self._is_ours():
            await self.look()
        await asyncio.sleep(LOOK_S)

    async def look(self) -> None:
        """Raise what has to be raised now. Raises StoreUnavailable."""
        config = self._gateway.config
        if config is not self._config:
            await self._forget_removed(config)
            self._config, self._next = config, {}
        silent = [each for each in config.sources.values() if each.silence]
        if silent:
            known = {(each.source, each.name): each for each in await self._gateway.store.expectations.lasting()}
            for source in silent:
                if self._gateway.monotonic() >= self._next.get(source.name, 0.0):
                    await self._look_at(source, known)
        if any(each.follow_ups for each in config.sources.values()):
            await self._look_for_overdue(config)

    async def standing(self, source: Source) -> Standing:
        """What is expected of a source. Raises StoreUnavailable."""
        if not source.silence and not source.follow_ups:
            return Standing(silent_s=None, awaited=0)
        expectations = self._gateway.store.expectations
        lasting = [each for each in await expectations.lasting() if each.source == source.name]
        silent = next((each.age_s for each in lasting if each.name == SILENT), None)
        awaited = (await expectations.open()).get(source.name, 0) - len(lasting)
        return Standing(silent_s=silent, awaited=awaited)

    async def _forget_removed(self, config: Config) -> None:
        """Forget what was known of sources that are no longer watched."""
        watched = {name for name, each in config.sources.items() if each.silence}
        expectations = self._gateway.store.expectations
        if gone := [each for each in await expectations.lasting() if each.source not in watched]:
            await expectations.remove(gone)

    # silence

    async def _look_at(self, source: Source, known: Mapping[tuple[str, str], Expectation]) -> None:
        silence, name, now = source.silence, source.name, self._gateway.clock()
        assert silence is not None
        watched, silent = known.get((name, WATCHED)), known.get((name, SILENT))
        if watched is None:
            # The mark stands for the last event until there is one.
            watched = Expectation(source=name, name=WATCHED, event_id=new_id("evt", now))
            await self._gateway.store.expectations.add(watched)
        last = await self._newest(name, silence)
        if silent is not None:
            if last is not None and last.id != silent.event_id and last.received_at > now - silent.age_s - LATE_S:
                await self._raise_heard(source, silent, last)
            return
        since = now - watched.age_s if last is None else last.received_at
        if not silence.is_over(since, now):
            left = silence.after_s - silence.quiet_s(since, now)
            self._next[name] = self._gateway.monotonic() + max(LOOK_S, min(left, LONGEST_S))
        elif self._gateway.monotonic() - self._began >= GRACE_S:
            await self._raise_silent(source, silence, last, watched, now)

    async def _newest(self, name: str, silence: Silence) -> EventRow | None:
        """The newest event that counts."""
        found = list[EventRow]()
        for pattern in silence.patterns or ("",):
            found += (await self._gateway.store.events(EventQuery(source=name, type=pattern, limit=1))).rows
        return max(found, key=lambda each: each.received_at, default=None)

    async def _raise_silent(
        self, source: Source, silence: Silence, last: EventRow | None, watched: Expectation, looked: float
    ) -> None:
        name, mark = source.name, watched.event_id if last is None else last.id
        came = "none has come yet" if last is None else f"the last one came at {iso_time(last.received_at)}"
        within = " of the hours that count" if silence.hours else ""
        message = f"{name} has sent no {silence.wanted} for {duration(silence.after_s)}{within}: {came}"
        fields = {
            "source": name,
            "match": list(silence.patterns),
            "after_s": silence.after_s,
            "event_id": None if last is None else last.id,
            "last_at": None if last is None else iso_time(last.received_at),
        }
        await self._announce("source.silent", message, fields, f"sources/{name}", f"silent {name} {mark}")
        age_s = max(0.0, self._gateway.clock() - looked)
        await self._gateway.store.expectations.add(Expectation(source=name, name=SILENT, event_id=mark, age_s=age_s))
        telemetry.log("source.silent", source=name, reason=message)

    async def _raise_heard(self, source: Source, silent: Expectation, last: EventRow) -> None:
        name, for_s = source.name, round(silent.age_s)
        message = f"{name} is heard from again, {duration(for_s)} after it was reported silent: {last.type}"
        fields = {"source": name, "event_id": last.id, "event_type": last.type, "silent_s": for_s}
        await self._announce("source.heard", message, fields, f"events/{last.id}", f"heard {name} {silent.event_id}")
        await self._gateway.store.expectations.remove([silent])
        telemetry.log("source.heard", source=name, event_id=last.id)

    # what should have followed

    async def _look_for_overdue(self, config: Config) -> None:
        expectations = self._gateway.store.expectations
        while overdue := await expectations.overdue():
            for each in overdue:
                if rule := _rule_of(config, each):
                    await self._raise_missing(each, rule)
            await expectations.remove(overdue)
        for name, number in (await expectations.open()).items():
            if number >= MOST_OPEN:
                self._say_full(name, number)

    def _say_full(self, name: str, number: int) -> None:
        now = self._gateway.monotonic()
        if now - self._said_full.get(name, now - FULL_S) >= FULL_S:
            self._said_full[name] = now
            telemetry.log("source.follow_ups_full", source=name, count=number)

    async def _raise_missing(self, each: Expectation, rule: FollowUp) -> None:
        after, want = " or ".join(rule.after), " or ".join(rule.want)
        message = f"{each.source} sent {after}, and no {want} within {duration(rule.within_s)}"
        fields = {
            "source": each.source,
            "after": list(rule.after),
            "want": list(rule.want),
            "within_s": rule.within_s,
            "event_id": each.event_id,
        }
        key = f"missing {each.source} {each.name} {each.event_id}"
        await self._announce("source.missing", message, fields, f"events/{each.event_id}", key)
        telemetry.log("source.missing", source=each.source, event_id=each.event_id, reason=message)

    async def _announce(self, what: str, message: str, fields: Mapping[str, object], page: str, key: str) -> None:
        announcement = Announcement(what, message, fields, page=page, key=key)
        await pipeline.announce(self._gateway, self._starter, announcement)


def _rule_of(config: Config, each: Expectation) -> FollowUp | None:
    """The rule that expects it; None: it is no longer in the file."""
    source = config.sources.get(each.source)
    rules: Sequence[FollowUp] = source.follow_ups if source else ()
    return next((rule for rule in rules if rule.name == each.name), None)
