"""Why a test does not send what it expects: the clauses that do not hold, the fields that are meant, and the command that shows all."""

import os
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from msgspec import DecodeError, json

from gateway import presets
from gateway.config.failures import with_field_meant
from gateway.config.mismatches import better
from gateway.rehearsal.explained import entries, in_words
from gateway.rehearsal.rehearse import Rehearsal
from gateway.routing import Config
from gateway.routing.cases import Check, Test

#: Entries that are named of those that could have sent something.
_MOST: Final = 5
#: Characters of a value.
_LONGEST: Final = 120


def why_missing(config: Config, rehearsal: Rehearsal, check: Check) -> Iterator[str]:
    """For each entry that could have made a delivery: the clauses that did not hold, with the values they saw."""
    considered = (*rehearsal.considered, *rehearsal.told)
    named = {
        id(each)
        for each in considered
        for route, destination in each.entry.deliveries
        if not each.taken and destination == check.destination and check.route in (None, route)
    }
    found = [said for each, said in zip(considered, entries(config, rehearsal), strict=True) if id(each) in named]
    # Of entries for other events, it is clear why.
    about = [each for each in found if not any(clause["text"].startswith("match: ") for clause in _unheld(each))]
    for each in (about or found)[:_MOST]:
        reasons = in_words(each) or "; ".join(_reason(clause, rehearsal) for clause in _unheld(each))
        yield f"  {each['name']} ({each['place']}): {reasons}"


def _unheld(entry: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    return [clause for clause in entry["clauses"] if not clause["held"]]


def _reason(clause: Mapping[str, Any], rehearsal: Rehearsal) -> str:
    text, field = clause["text"], clause.get("field")
    if field is None:
        return f"{text} is false"
    if clause["missing"]:
        meant = better(field, [rehearsal.facts])
        return f"{text}, but the event has no {field}" + (f" ({meant})" if meant else "")
    value = _json(clause["seen"])
    return f"{text}, but {field} is {value if len(value) <= _LONGEST else value[:_LONGEST] + '...'}"


def why_dead(error: str, rehearsal: Rehearsal) -> str:
    """Why a delivery cannot be sent, with the field that is meant by one that the event does not have."""
    return with_field_meant(error, [rehearsal.facts])


def command(config: Config, test: Test, file: Path) -> str:
    """The command that explains the event of a test; empty if none can make this event. ``file``: the configuration."""
    given = test.event or (test.file and os.path.relpath(file.parent / test.file))
    is_exact = not (test.events or test.unset or test.query or test.memory or test.fetched or test.now is not None)
    if not given or not is_exact:
        return ""
    words = ["gateway", "explain", given]
    if len([name for name in config.sources if name != presets.OWN]) > 1:
        words += ["--source", test.source]
    for path, value in test.set.items():
        words += ["--set", f"{path}={_option(value)}"]
    for name, header in test.headers.items():
        words += ["--header", f"{name}: {header}"]
    for name, value in (test.before or {}).items():
        words += ["--before", f"{name}={_option(value)}"]
    if (written := os.path.relpath(file)) != "routes.yaml":
        words += ["--config", written]
    return shlex.join(words)


def _json(value: object) -> str:
    return json.encode(value).decode()


def _option(value: object) -> str:
    """A value as an option has it: a text is written as it is, unless it would be read as JSON."""
    if not isinstance(value, str):
        return _json(value)
    try:
        json.decode(value)
    except DecodeError:
        return value
    return _json(value)
