"""The keys that say when something is sent: ``hours``, ``digest``, ``debounce``."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Final, Literal

from gateway.config.schema import trees, values
from gateway.config.schema.keys import Section, key
from gateway.config.schema.reading import Reading, Shape, Unfit, Words
from gateway.render import TemplateText
from gateway.routing.hours import DAY_MIN, DAYS, Hours, zone_of
from gateway.wording import suggest

_DAY: Final = "|".join(DAYS)
_SPAN: Final = re.compile(rf"({_DAY})(?:-({_DAY}))?", re.IGNORECASE)
#: 24:00 is the end of a day.
_TIME: Final = re.compile(r"([01]?[0-9]|2[0-3]):([0-5][0-9])|24:00")
_LIKE_DAYS: Final = "write mon-fri, sat, or a list: [mon, wed-fri]"


def _span(written: Words, label: str) -> frozenset[int]:
    """The days of ``mon``, ``mon-fri`` or ``sat-mon``; 0 is Monday."""
    found = _SPAN.fullmatch(written.text)
    if found is None:
        raise Unfit(f'{label}: "{written.shown}" is neither a day nor a span of days', _LIKE_DAYS)
    first, last = (DAYS.index((name or found[1]).lower()) for name in found.groups())
    return frozenset((first + each) % 7 for each in range((last - first) % 7 + 1))


_days: Final = values.one_or_more(
    values.typed(_span, {**values.TEXT, "title": "days", "pattern": rf"^(?i:{_SPAN.pattern})$|\$\{{"})
)


def _minutes(written: Words, label: str) -> int:
    """Minutes after midnight."""
    found = _TIME.fullmatch(written.text)
    if found is None:
        raise Unfit(f'{label}: "{written.shown}" is not a time of the day', "write 09:00, 17:30 or 24:00")
    return DAY_MIN if found[1] is None else int(found[1]) * 60 + int(found[2])


time_of_day: Final = values.typed(
    _minutes, {**values.TEXT, "title": "time of day", "pattern": rf"^(?:{_TIME.pattern})$|\$\{{"}
)


def _zone(written: Words, label: str) -> str:
    try:
        return zone_of(written.text).key
    except (ValueError, OSError, KeyError):
        # Imported when it is needed: listing the names takes a while.
        from zoneinfo import available_timezones

        hint = suggest(written.shown, available_timezones()) or "write one such as Europe/Berlin, or UTC"
        raise Unfit(f'{label}: unknown time zone "{written.shown}"', hint) from None


zone: Final = values.typed(_zone, {**values.TEXT, "title": "time zone"})


#: A span of hours in one text, with or without days.
_IN_ONE_TEXT: Final = re.compile(
    rf"(?:(?P<days>(?:{_DAY})(?:-(?:{_DAY}))?),?\s+)?(?P<from>[0-9]{{1,2}})(?::(?P<from_min>[0-5][0-9]))?(?:h| ?Uhr)?"
    r"\s*(?:-|–|to|until|bis)\s*(?P<to>[0-9]{1,2})(?::(?P<to_min>[0-5][0-9]))?(?:h| ?Uhr)?",
    re.IGNORECASE,
)
_TOO_LATE: Final = re.compile(r"(?:2[5-9]|[3-9]\d):|24:(?!00)|from: 24")


@dataclass(frozen=True, kw_only=True)
class HoursKeys(Section):
    """When something happens."""

    noun = "hours"
    is_text_secret = False

    @classmethod
    def meant_by(cls, text: str) -> str:
        """``9-17``, ``mon-fri 09:00-17:30``: the span in its parts."""
        found = _IN_ONE_TEXT.fullmatch(text.strip())
        if found is None:
            return "hours: {days: mon-fri, from: 09:00, to: 18:00}"
        days = f"days: {found['days'].lower()}, " if found["days"] else ""
        times = (f"{int(found[name]):02}:{found[f'{name}_min'] or '00'}" for name in ("from", "to"))
        right = f"hours: {{{days}from: {next(times)}, to: {next(times)}}}"
        return right if not _TOO_LATE.search(right) else "hours: {days: mon-fri, from: 09:00, to: 18:00}"

    together: ClassVar[Shape] = {"anyOf": [{"required": [each]} for each in ("days", "from", "to")]}
    days: Sequence[frozenset[int]] | None = key(
        _days, "the days of the week: mon-fri, or a list such as [mon, wed-fri]; every day if left out"
    )
    from_min: int | None = key(time_of_day, "when they open: 09:00; at midnight if left out", name="from")
    to_min: int | None = key(
        time_of_day,
        "when they close: 18:00; at midnight if left out; a time before from is on the next day",
        name="to",
    )
    zone: str | None = key(zone, "the time zone for days, from and to: Europe/Berlin", usual="UTC")


@dataclass(frozen=True, kw_only=True)
class EntryHoursKeys(HoursKeys):
    """When an entry sends."""

    noun = "hours of a route"
    otherwise: Literal["wait", "skip"] = key(
        values.choice(("wait", "skip")),
        "outside of them: wait until they open, or skip: what is received then is not sent by this route",
        default="wait",
    )


_MOMENT: Final = re.compile(rf"(?:({_DAY}) )?({_TIME.pattern})", re.IGNORECASE)
_LIKE_MOMENT: Final = "write mon 09:00 for once a week, or 09:00 for every day"


def _moment(written: Words, label: str) -> tuple[int | None, int]:
    """The day, None for every day, and the minutes after its midnight."""
    found = _MOMENT.fullmatch(written.text)
    if found is None or found[2] == "24:00":
        raise Unfit(f'{label}: "{written.shown}" is not a moment of the week', _LIKE_MOMENT)
    day = DAYS.index(found[1].lower()) if found[1] else None
    return day, int(found[3]) * 60 + int(found[4])


_at: Final = values.typed(_moment, {**values.TEXT, "title": "moment", "pattern": rf"^(?i:{_MOMENT.pattern})$|\$\{{"})


@dataclass(frozen=True, kw_only=True)
class DigestKeys(Section):
    """One message for the events of a while."""

    noun = "digest"
    is_text_secret = False
    instead_of_text = "digest: {every: 15m}, or {at: mon 09:00, zone: Europe/Berlin}"
    together: ClassVar[Shape] = {"oneOf": [{"required": ["every"]}, {"required": ["at"]}]}
    every: float | None = key(
        values.duration(1, "30d"), "how long after its first event it is sent: 15m; also as soon as it is full"
    )
    moment: tuple[int | None, int] | None = key(
        _at, "when it is sent instead: mon 09:00, or 09:00 for every day; a full one waits, too", name="at"
    )
    zone: str | None = key(zone, "the time zone for at: Europe/Berlin", usual="UTC")
    most: int = key(values.integer(2, 1000), "the most events of one message: 100", default=100, name="max")
    by: Words | None = key(
        values.words, "one message for each value of this field: payload.data.source_id; if left out, one for all"
    )


@dataclass(frozen=True, kw_only=True)
class DebounceKeys(Section):
    """Only the last event of a key."""

    noun = "debounce"
    is_text_secret = False
    instead_of_text = 'debounce: {per: "{{ attrs.id }}", for: 2m, at_most: 30m}'
    per: TemplateText | None = key(trees.template, 'the key whose last event is sent: "{{ attrs.id }}"', required=True)
    for_s: float | None = key(
        values.duration(1, "30d"), "how long to wait for another event of the key: 2m", required=True, name="for"
    )
    at_most: float | None = key(
        values.duration(1, "30d"), "how long after the first event of the key to send at the latest: 30m"
    )


def hours(reading: Reading, keys: HoursKeys | None, called: str) -> Hours | None:
    """Compiled; None after a problem was reported, or if there are none."""
    if keys is None:
        return None
    if not {"days", "from", "to"} & keys.written.keys():
        reading.error(keys.place, f"hours of {called} have no times", "write {days: mon-fri, from: 09:00, to: 18:00}")
        return None
    found = Hours(
        days=frozenset[int]().union(*(keys.days or (range(7),))),
        from_min=0 if keys.from_min is None else keys.from_min,
        to_min=DAY_MIN if keys.to_min is None else keys.to_min,
        zone=keys.zone or "UTC",
    )
    unread = [name for name, value in (("from", keys.from_min), ("to", keys.to_min)) if value is None]
    if found.from_min % DAY_MIN == found.to_min % DAY_MIN and len(unread) < 2 and not {*unread} & keys.written.keys():
        place = keys.at("to" if "to" in keys.written else "from")
        reading.error(place, f"hours of {called} open and close at the same time", "leave both out for whole days")
    return found
