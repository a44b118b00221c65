"""An event of a source that its file routes: for a first request to paste."""

import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Final
from urllib.parse import urlencode

import msgspec
from msgspec import Struct

from gateway.errors import GatewayError
from gateway.event.conditions import Check, Clause, Combined, Condition
from gateway.event.naming import Naming
from gateway.event.paths import EACH, assign
from gateway.rehearsal.rehearse import Rehearsal, rehearse, sender_headers
from gateway.routing import Config, Source
from gateway.routing.cases import JSON_HEADERS, body_of, headers_of
from gateway.routing.entries import Entry

#: Taken first if it is routed: a person's record says the most.
_FAVOURITE: Final = "contact.created"
#: Missing fields that are added to a made-up event.
_MOST_ADDED: Final = 30
_LACKING: Final = re.compile(r"the event has no field ([A-Za-z_][\w.]*): ")
_VALUE: Final = "example"


class Example(Struct, frozen=True, kw_only=True):
    """An event as its sender would post it, without a signature."""

    #: The name of the sample or of the test, or the type of a made-up event.
    name: str
    body: bytes
    headers: Mapping[str, str]
    query: str = ""
    #: The routes that send it, in their order, each with the destination of one of its messages; empty: none does.
    sent: tuple[tuple[str, str], ...] = ()


def example(config: Config, source: Source, folder: Path) -> Example | None:
    """A sample of the source that a route sends, else the event of a test, else one made up from the file.

    If none is sent, the first sample. None: nothing is known of what the source sends. ``folder``: of the file.
    """
    known = [*_samples(source), *_tested(config, source, folder)]
    found = (_played(config, source, each) for each in chain(known, _made_up(config, source)))
    return next((each for each in found if each.sent), next(iter(known), None))


def _samples(source: Source) -> Iterator[Example]:
    for name in sorted(source.samples, key=lambda name: (name not in source.own_samples, name != _FAVOURITE)):
        yield Example(name=name, body=source.samples[name], headers=source.sample_headers[name])


def _tested(config: Config, source: Source, folder: Path) -> Iterator[Example]:
    for test in (one for each in config.tests for one in each.each):
        if test.source != source.name or test.event is not None or test.outcome != "deliveries":
            continue
        try:
            body, headers = body_of(test, source, folder), headers_of(test, source)
        except (GatewayError, OSError, ValueError):
            continue
        yield Example(name=test.name, body=body, headers=headers, query=urlencode(test.query))


def _played(config: Config, source: Source, event: Example) -> Example:
    """With the routes that send it."""
    rehearsal = _rehearsed(config, source, event)
    return msgspec.structs.replace(event, sent=() if rehearsal is None else _sent(config, rehearsal))


def _rehearsed(config: Config, source: Source, event: Example) -> Rehearsal | None:
    headers = sender_headers(source, event.body, headers=event.headers)
    try:
        return rehearse(config, source, event.body, headers, 0.0, event.query.encode())
    except GatewayError:
        return None


def _sent(config: Config, rehearsal: Rehearsal) -> tuple[tuple[str, str], ...]:
    # One of several messages of a route is called by its number, too.
    routes = {called: each.name for each in config.sections.routed for called, _ in each.deliveries}
    made = (each for each in rehearsal.deliveries if each.route in routes and each.request)
    return tuple((routes[each.route], each.destination) for each in made)


# --- made up ---


def _made_up(config: Config, source: Source) -> Iterator[Example]:
    """For each route of a source, an event that has what the route asks for and prints."""
    for entry in config.sections.routed:
        rule = entry.rule
        if not entry.deliveries or (rule.sources is not None and source.name not in rule.sources):
            continue
        types = rule.patterns or (_VALUE,)
        for type_ in (re.sub(r"\*+", _VALUE, each) for each in types):
            yield from _of_type(config, source, entry, type_)


def _of_type(config: Config, source: Source, entry: Entry, type_: str) -> Iterator[Example]:
    payload: dict[str, object] = {}
    facts: dict[str, dict[str, object]] = {"payload": payload, "headers": dict(JSON_HEADERS), "query": {}}
    _name(facts, source.naming, type_)
    for path, value in _asked(entry.rule.where):
        _put(facts, source.naming, path, value)
    for _ in range(_MOST_ADDED):
        event = Example(
            name=type_,
            body=msgspec.json.encode(payload),
            headers={name: str(value) for name, value in facts["headers"].items()},
            query=urlencode(facts["query"]),
        )
        rehearsal = _rehearsed(config, source, event)
        if rehearsal is None:
            return
        lacking = [found[1] for each in rehearsal.deliveries if (found := _LACKING.search(each.error))]
        if not lacking:
            yield event
            return
        for path_ in lacking:
            _put(facts, source.naming, tuple(path_.split(".")), _VALUE)


def _name(facts: Mapping[str, dict[str, object]], naming: Naming, type_: str) -> None:
    """Write a type where the source looks for it, with the first of its templates that can say it."""
    for template in naming.types:
        pattern = "".join(re.escape(part) if isinstance(part, str) else "(.+?)" for part in template.parts)
        found = re.fullmatch(pattern, type_)
        if found is not None:
            for path, value in zip(template.paths, found.groups(), strict=True):
                _put(facts, naming, path, value)
            return


def _asked(conditions: Iterable[Condition]) -> Iterator[tuple[tuple[str, ...], object]]:
    """A value for each field that conditions ask for, as far as one is known."""
    for each in conditions:
        match each:
            case Clause(path=path, values=values) if EACH not in path and values:
                yield tuple(map(str, path)), values[0]
            case Check(path=path, operator=operator, operands=operands) if EACH not in path:
                if operator not in ("empty", "not"):
                    yield tuple(map(str, path)), _fitting(operator, operands[0])
            case Combined(how="all", conditions=inner):
                yield from _asked(inner)
            case Combined(how="any", conditions=inner):
                yield from _asked(inner[:1])


def _fitting(operator: str, operand: object) -> object:
    """A value for which an operator holds, for those whose operand says one."""
    match operator, operand:
        case "exists", _:
            return _VALUE
        case "glob", str():
            return operand.replace("*", _VALUE)
        case "gt", int() | float():
            return operand + 1
        case "lt", int() | float():
            return operand - 1
    return operand


def _put(facts: Mapping[str, dict[str, object]], naming: Naming, path: tuple[str, ...], value: object) -> None:
    root, *rest = path
    if root in naming.shortcuts:
        root, *rest = *naming.shortcuts[root].first[0], *rest
    if root in facts and rest:
        try:
            assign(facts[root], rest, value)
        except ValueError:
            # Another condition put a value there that has no fields.
            return
