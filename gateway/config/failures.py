"""How content fails with samples: with every field that a sample lacks, not only with the first."""

import copy
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Final

from gateway.config.meanings import Meanings
from gateway.config.mismatches import UNSAMPLED, in_template, lacks, meant, written_as_field
from gateway.config.samples import LEAST, Sample
from gateway.config.schema.reading import Reading
from gateway.errors import BuildError, Place, RenderError
from gateway.event.paths import (
    EACH,
    MISSING,
    Each,
    Facts,
    Path,
    PathRefused,
    as_written,
    assign,
    elements,
    lookup,
    parse_path,
    position,
)
from gateway.wording import count, few, joined

#: Types that a warning names; the rest are counted.
_NAMED: Final = 3
#: A template's words about a field that an event lacks.
_LACKING: Final = re.compile(r"the event has no field ([A-Za-z_](?:[\w.]|\[(?:\d+|'[^']*'|\"[^\"]*\")\])*): ")
#: A template's words about a default.
_DEFAULT: Final = re.compile(r"(?:write (?:\S+ )?\| default\([^()]*\)|add default=\S+ to the arguments of date)")
#: The most missing fields that are reported of one content and sample.
_MOST: Final = 50
#: Elements of the longest list that is made up.
_LONGEST: Final = 100
#: The value of a missing field, where nothing says what it would be.
_VALUE: Final = "sample"


class Failures:
    """What fails with samples. What fails in the same way with several of them is reported once."""

    def __init__(
        self,
        samples: Sequence[Sample],
        tests: Sequence[Sample] = (),
        meanings: Meanings | None = None,
        told: Collection[str] = (),
    ) -> None:
        """``tests``: other events that show which fields there are; ``meanings``: of the variables of the content.

        ``told``: roots that some events lack, which is reported.
        """
        self._samples = samples
        self._facts = [each.facts for each in samples]
        self._shown = [each.facts for each in (*samples, *tests)]
        self._meanings = meanings or Meanings()
        self._told = told
        #: Place and reason of each failure, with the names of the samples that fail.
        self._failed: dict[tuple[Place, str], list[str]] = {}

    @property
    def lacking(self) -> set[tuple[str, int, str]]:
        """File, line and path of each field that a sample lacks."""
        found = ((place, _LACKING.match(reason)) for place, reason in self._failed)
        return {(place.file, place.line, lacking[1]) for place, lacking in found if lacking}

    def add(self, build: Callable[[Facts], object], sample: Sample, place: Place) -> None:
        """Try to build with a sample; ``place``: of a failure that says none."""
        for failure in self._failures(build, sample.facts, place):
            names = self._failed.setdefault(failure, [])
            # The whole sample comes first: a failure with it is reported once.
            if not {sample.called, sample.event.type} & {*names}:
                names.append(sample.called)

    def _failures(self, build: Callable[[Facts], object], facts: Facts, place: Place) -> Iterator[tuple[Place, str]]:
        """Where it fails and why. After a missing field it is tried again as if the field were there."""
        lacked = set[str]()
        for _ in range(_MOST):
            failure = _failure(build, facts, place)
            lacking = _LACKING.match(failure[1]) if failure else None
            # After that, a value that was made up may be the cause of any other failure.
            if failure is None or (lacked and lacking is None) or (lacking and lacking[1] in lacked):
                return
            yield failure
            path = self._meanings.path(failure[0], lacking[1]) if lacking else ()
            if lacking is None or (more := _with(facts, path, self._facts)) is None:
                return
            lacked.add(lacking[1])
            facts = more

    def report(self, reading: Reading) -> None:
        """Warn of each misspelt field and of any other failure, and of all fields together that the same samples lack."""
        lacked: dict[tuple[Place, str, str, str], list[str]] = {}
        for (place, reason), names in self._failed.items():
            lacking = _LACKING.match(reason)
            if lacking and lacking[1].partition(".")[0] in self._told:
                continue
            right = self._better(place, lacking[1]) if lacking else ""
            if lacking is None or right:
                words = f"the event has no field {lacking[1]}: {right}" if lacking else reason
                reading.warning(place, f"with the {'sample' if len(names) == 1 else 'samples'} {few(names)}: {words}")
                continue
            field, remedy = lacking[1], reason[lacking.end() :]
            said, why = f"{_types(names)} may lack", self._why(field, names)
            if self._is_nowhere(place, field):
                said = f"no sample of {_types(names)} has"
                remedy = f"name a field that exists, or {remedy} if some events have it"
            lacked.setdefault((place, said, why, remedy), []).append(field)
        for (place, said, why, remedy), fields in lacked.items():
            reading.warning(place, f"{said} {joined(fields)}{why}", remedy)

    def _better(self, place: Place, field: str) -> str:
        """What to read instead of a field that is written at a place."""
        path = self._meanings.path(place, field)
        right = in_template(written_as_field(path), self._shown) if path else ""
        return self._meanings.as_written(place, field, right)

    def _is_nowhere(self, place: Place, field: str) -> bool:
        """Whether no sample has a field, nor anything in which it might be."""
        path = self._meanings.path(place, field)
        is_sampled = len(path) > 1 and path[0] not in UNSAMPLED and all(path[0] in each for each in self._shown)
        return is_sampled and all(lacks(each, path) for each in self._shown)

    def _why(self, field: str, names: Sequence[str]) -> str:
        """``: attrs.milestone is null in the sample issues.opened`` if that is why some samples lack a field of it."""
        found: dict[str, list[str]] = {}
        for each in self._samples:
            if each.called in names and (above := _hollow(each.facts, field)):
                found.setdefault(above, []).append(each.called)
        said = (f"{above} in the {'sample' if len(of) == 1 else 'samples'} {few(of)}" for above, of in found.items())
        return ": " + ", ".join(said) if found else ""


def with_field_meant(reason: str, samples: Sequence[Facts]) -> str:
    """A reason why content fails; if it is a missing field, with the one that is meant by it instead of a default."""
    found = _LACKING.search(reason)
    right = in_template(found[1], samples) if found else ""
    return f"{reason[: found.end()]}{right}{_DEFAULT.sub('', reason[found.end() :])}" if found and right else reason


def _types(names: Sequence[str]) -> str:
    """The types of samples: each once, by the fullest of its samples."""
    named = {name.partition(" (")[0]: name.removesuffix(LEAST) for name in reversed(names)}
    types = [*reversed(named.values())]
    return joined(types) if len(types) <= _NAMED else few(types, _NAMED)


def _hollow(facts: Facts, field: str) -> str:
    """``attrs.milestone is null`` for a field below it; empty if what it would be in has anything."""
    try:
        path = parse_path(field)
    except PathRefused:
        return ""
    for end in range(2, len(path)):
        value = elements(facts, path[:end])
        if value == [None]:
            return f"{as_written(path[:end])} is null"
        if value and value[0] in ({}, [], ""):
            return f"{as_written(path[:end])} is empty"
        if value and isinstance(value[0], list) and lookup(value[0], [str(path[end])]) is MISSING:
            return f"{as_written(path[:end])} has {count(len(value[0]), 'element')}"
    return ""


def _failure(build: Callable[[Facts], object], facts: Facts, place: Place) -> tuple[Place, str] | None:
    try:
        build(facts)
    except RenderError as error:
        return error.place, error.message
    except BuildError as error:
        return place, str(error)
    return None


def _with(facts: Facts, path: Path, samples: Sequence[Facts]) -> Facts | None:
    """The facts with a field that they lack; None if it cannot be put there."""
    root, *rest = path or ("",)
    if not isinstance(root, str) or root not in facts or not rest:
        return None
    above = facts[root]
    # The fields of the query are a mapping that nobody may change.
    known = copy.deepcopy(dict(above) if isinstance(above, Mapping) else above)
    try:
        _put(known, rest, _value(path, meant(written_as_field(path), samples), samples))
    except ValueError:
        return None
    return {**facts, root: known}


def _put(known: object, path: Sequence[str | Each], value: object) -> None:
    """Put a value at a path; through a list, in each element that lacks it. Raises ValueError."""
    if EACH not in path:
        _lengthen(known, path)
        assign(known, [str(segment) for segment in path], value)
        return
    at = path.index(EACH)
    whole = lookup(known, [str(segment) for segment in path[:at]])
    for each in whole if isinstance(whole, list) else ():
        if elements(each, tuple(path[at + 1 :])) == [MISSING]:
            _put(each, path[at + 1 :], value)


def _lengthen(known: object, path: Sequence[str | Each]) -> None:
    """Repeat the last element of each list on a path up to the one that the path names."""
    for segment in map(str, path):
        if isinstance(known, list):
            last = known[-1] if known else {}
            known += [copy.deepcopy(last) for _ in range(len(known), min(position(segment), _LONGEST) + 1)]
        known = lookup(known, [segment])


def _value(path: Path, right: Path, samples: Sequence[Facts]) -> object:
    """What another sample has there, or any sample where the path was meant to lead."""
    found = (value for one in (path, right) if one for facts in samples for value in elements(facts, one))
    return next((value for value in found if value is not MISSING), _VALUE)
