"""What a source is expected to send, compiled: ``silence`` and ``follow_up``."""

from typing import TypedDict

from gateway.config.entries import EntryCompiler
from gateway.config.schema.hours import hours
from gateway.config.schema.reading import Reading, Words
from gateway.config.schema.sources import FollowUpKeys, SilenceKeys, SourceKeys
from gateway.event.braces import Template, template_problem
from gateway.routing.silences import FollowUp, Silence


class Expected(TypedDict):
    """Fields of a source."""

    silence: Silence | None
    follow_ups: tuple[FollowUp, ...]


def expected(reading: Reading, name: str, keys: SourceKeys, compiler: EntryCompiler) -> Expected:
    """What a source is expected to send; its problems are reported."""
    rules = [_follow_up(reading, name, each, compiler) for each in keys.follow_up or ()]
    seen = set[str]()
    for written, rule in zip(keys.follow_up or (), rules, strict=True):
        if rule is not None and rule.name in seen:
            message = f'follow_up of "{name}" has "{rule.name}" twice'
            reading.error(written.place, message, "keep one of them, with the shorter within")
        elif rule is not None:
            seen.add(rule.name)
    silence = None if keys.silence is None else _silence(reading, name, keys.silence, compiler)
    return Expected(silence=silence, follow_ups=tuple(rule for rule in rules if rule is not None))


def _silence(reading: Reading, name: str, keys: SilenceKeys, compiler: EntryCompiler) -> Silence | None:
    if keys.match == ():
        hint = "leave match out for every event"
        reading.error(keys.at("match"), f'silence of "{name}": match is an empty list, which no event can match', hint)
    patterns = compiler.patterns(keys.match or (), [name])
    open_hours = hours(reading, keys.hours, f'silence of "{name}"')
    return None if keys.after is None else Silence(after_s=keys.after, patterns=patterns, hours=open_hours)


def _follow_up(reading: Reading, name: str, keys: FollowUpKeys, compiler: EntryCompiler) -> FollowUp | None:
    after, want = (_types(reading, name, keys, key, compiler) for key in ("after", "want"))
    per = None if keys.per is None else _per(reading, name, keys.per)
    if not after or not want or per is None or keys.within is None:
        return None
    return FollowUp(after=after, want=want, per=per, within_s=keys.within)


def _types(reading: Reading, name: str, keys: FollowUpKeys, key: str, compiler: EntryCompiler) -> tuple[str, ...]:
    written: tuple[Words, ...] | None = getattr(keys, key)
    if written == ():
        reading.error(keys.at(key), f'follow_up of "{name}": {key} is an empty list', "name a type of event")
    return compiler.patterns(written or (), [name])


def _per(reading: Reading, name: str, written: Words) -> Template | None:
    if problem := template_problem(written.text):
        said, hint = problem
        reading.error(written.node, f'follow_up of "{name}": per: {said}', hint)
        return None
    if "{" not in written.text:
        message = f'follow_up of "{name}": per is the same for every event, so any event would end the wait'
        reading.error(written.node, message, "name a field: per: {payload.id}")
        return None
    return Template.compile(written.text)
