"""How the content of an entry fails with a sample: with every field that the sample lacks, not only with the first."""

import copy
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from gateway.config.mismatches import meant
from gateway.errors import BuildError, Place, RenderError
from gateway.event.paths import MISSING, Facts, Path, PathRefused, assign, elements, parse_path

#: A template's words about a field that an event lacks.
LACKING: Final = re.compile(r"the event has no field ([A-Za-z_](?:[\w.]|\[(?:\d+|'[^']*'|\"[^\"]*\")\])*): ")
#: The most missing fields that are reported of one content and sample.
_MOST: Final = 50
#: The value of a missing field, where nothing says what it would be.
_VALUE: Final = "sample"


def failures(
    build: Callable[[Facts], object], facts: Facts, place: Place, samples: Sequence[Facts]
) -> Iterator[tuple[Place, str]]:
    """Where it fails and why; ``place``: of a failure that says none. After a missing field it is tried as if it were there."""
    lacked = set[str]()
    for _ in range(_MOST):
        failure = _failure(build, facts, place)
        lacking = LACKING.match(failure[1]) if failure else None
        # After that, a value that was made up may be the cause of any other failure.
        if failure is None or (lacked and lacking is None) or (lacking and lacking[1] in lacked):
            return
        yield failure
        if lacking is None or (more := _with(facts, lacking[1], samples)) is None:
            return
        lacked.add(lacking[1])
        facts = more


def _failure(build: Callable[[Facts], object], facts: Facts, place: Place) -> tuple[Place, str] | None:
    try:
        build(facts)
    except RenderError as error:
        return error.place, error.message
    except BuildError as error:
        return place, str(error)
    return None


def _with(facts: Facts, field: str, samples: Sequence[Facts]) -> Facts | None:
    """The facts with a field that they lack; None if it cannot be put there."""
    try:
        root, *rest = path = parse_path(field)
    except PathRefused:
        return None
    if not isinstance(root, str) or root not in facts or not rest:
        return None
    known = copy.deepcopy(facts[root])
    try:
        assign(known, [str(segment) for segment in rest], _value(path, meant(field, samples), samples))
    except ValueError:
        return None
    return {**facts, root: known}


def _value(path: Path, right: Path, samples: Sequence[Facts]) -> object:
    """What another sample has there, or any sample where the path was meant to lead."""
    found = (value for one in (path, right) if one for facts in samples for value in elements(facts, one))
    return next((value for value in found if value is not MISSING), _VALUE)
