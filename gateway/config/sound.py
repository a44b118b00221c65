"""Which entries have no mistake in them, so that what they do can be tried although another part of the file has one."""

from bisect import bisect_right
from collections.abc import Sequence

from gateway.config.schema.entries import EntryKeys
from gateway.config.schema.file import FileKeys
from gateway.errors import Problem
from gateway.routing.entries import Entry

Compiled = tuple[EntryKeys, Sequence[Entry]]


def sound(written: FileKeys, entries: Sequence[Compiled], problems: Sequence[Problem]) -> Sequence[Compiled]:
    """The entries without an error. None at all if an error is in anything else than entries and tests: they use it."""
    main = written.place.file
    parts = (*written.entries, *written.tests)
    starts: list[tuple[int, object]] = [(pair.key.place.line, None) for pair in written.written.values()]
    starts += [(each.place.line, each) for each in parts if each.place.file == main]
    starts.sort(key=lambda start: start[0])
    lines = [line for line, _ in starts]
    broken = set[int]()
    for problem in problems:
        if problem.severity != "error":
            continue
        at = bisect_right(lines, problem.place.line) - 1
        part = starts[at][1] if at >= 0 and problem.place.file == main else None
        if part is None:
            return ()
        broken.add(id(part))
    return [(keys, found) for keys, found in entries if id(keys) not in broken]
