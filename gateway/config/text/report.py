"""Problems by place: collected as they are found, and printed for editors and people."""

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from msgspec import Struct, field

from gateway.config.text.quotes import DoubleQuoted, single_quoted
from gateway.destinations import KINDS
from gateway.errors import Place, Problem
from gateway.hiding import addresses
from gateway.wording import printable

#: The longest line shown, characters; a longer one is cut around the column.
_SHOWN: Final = 160
#: Masks the login in any address, and everything after the host of a known service.
_without_logins: Final = addresses.starred_after(mark for kind in KINDS.values() for mark in kind.secret_after)


class Report(Struct):
    """Every problem in one file and the files it includes."""

    file: str
    lines: Sequence[str] = ()
    #: Whether its lines are YAML; if not, nothing is known about the addresses in them.
    is_yaml: bool = True
    #: The reports on included files by name, in reading order.
    included: dict[str, "Report"] = field(default_factory=dict)
    #: In the order found, each once.
    problems: dict[Problem, None] = field(default_factory=dict)
    #: Those of them that are about ``tests``, and keep no event from being delivered.
    of_tests: set[Problem] = field(default_factory=set)
    #: Text never to show, by file and line: (first column, text).
    hidden: dict[tuple[str, int], list[tuple[int, str]]] = field(default_factory=dict)
    #: Addresses, as written, that may be shown whole; of any other the path is a secret.
    public: set[str] = field(default_factory=set)
    #: The lines that have problems, by file.
    _with_problems: set[tuple[str, int]] = field(default_factory=set)
    #: Lines without what is hidden on them, with the number of these texts.
    _without_hidden: dict[tuple[str, int], tuple[int, str]] = field(default_factory=dict)
    #: Masks the values from outside in a text; set once they have been read.
    masked: Callable[[str], str] = str

    def of(self, file: str) -> "Report":
        """A report on an included file; its problems are added to this one."""
        self.included[file] = Report(
            file,
            problems=self.problems,
            of_tests=self.of_tests,
            hidden=self.hidden,
            public=self.public,
            _with_problems=self._with_problems,
        )
        return self.included[file]

    @property
    def has_errors(self) -> bool:
        """Whether there is an error in anything but tests."""
        return any(problem.severity == "error" and problem not in self.of_tests for problem in self.problems)

    @property
    def errors(self) -> int:
        """The number of errors so far."""
        return sum(problem.severity == "error" for problem in self.problems)

    def error(self, place: Place, message: str, hint: str = "") -> None:
        self.add(Problem(place, message, hint))

    def warning(self, place: Place, message: str, hint: str = "") -> None:
        self.add(Problem(place, message, hint, "warning"))

    def add(self, problem: Problem) -> None:
        """Add a problem, unless it is there already."""
        self.problems.setdefault(problem)
        self._with_problems.add((problem.place.file, problem.place.line))

    def has_problem_on(self, place: Place) -> bool:
        """Whether there is a problem on the line of a place."""
        return (place.file, place.line) in self._with_problems

    def replace(self, problem: Problem, other: Problem) -> None:
        """Put another problem in the place of one that was added."""
        self.problems.pop(problem, None)
        self.add(other)

    def hide(self, place: Place, text: str) -> None:
        """Never show this text of the file: it is a secret."""
        self.hidden.setdefault((place.file, place.line), []).append((place.column, text.split("\n", 1)[0]))

    def line(self, place: Place) -> str:
        lines = self.of_place(place).lines
        if not 0 < place.line <= len(lines):
            return ""
        hidden = self.hidden.get((place.file, place.line), ())
        if not hidden:
            return lines[place.line - 1]
        # Thousands of problems may be on one line, and thousands of secrets.
        count, line = self._without_hidden.get((place.file, place.line), (0, ""))
        if count != len(hidden):
            line = _starred(lines[place.line - 1], hidden)
            self._without_hidden[place.file, place.line] = len(hidden), line
        return line

    def of_place(self, place: Place) -> "Report":
        """The report on the file of a place; an empty one if it is not this file or one that it includes."""
        return self if place.file == self.file else self.included.get(place.file, Report(place.file))

    def sorted(self, more: Iterable[Problem] = ()) -> tuple[Problem, ...]:
        """By place: this file first, then included files, then templates, then problems without a place.

        ``more``: problems from another report on the same files.
        """
        found = dict.fromkeys((*map(_Finishing(self).finished, self.problems), *more))
        return tuple(sorted(found, key=self._order))

    def finished(self, problems: Iterable[Problem]) -> tuple[Problem, ...]:
        """Problems that are none of this report's own, with their lines, by place."""
        return tuple(sorted(map(_Finishing(self).finished, problems), key=self._order))

    def _order(self, problem: Problem) -> tuple[bool, bool, bool, str, int, int]:
        place = problem.place
        is_own = place.file == self.file
        is_template = not is_own and place.file not in self.included
        return (place.line == 0, is_template, not is_own, place.file, place.line, place.column)


class _Line(Struct, frozen=True):
    """A line of a file as it may be shown."""

    text: str
    quoted: DoubleQuoted


class _Finishing:
    """Gives problems their lines, each of which is made once, however many problems are on it."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._public = sorted(report.public)
        self._lines: dict[tuple[str, int, str], _Line] = {}

    def finished(self, problem: Problem) -> Problem:
        report, is_yaml = self._report, self._report.of_place(problem.place).is_yaml
        line = self._line(problem, is_yaml=is_yaml)
        message, hint = map(_without_logins, (problem.message, problem.hint))
        place = _nearer(problem.place, line.text, problem.near)
        if is_yaml and line.quoted.has(place.column):
            message, hint = single_quoted(message), single_quoted(hint)
        return Problem(place, report.masked(message), report.masked(hint), problem.severity, line.text)

    def _line(self, problem: Problem, *, is_yaml: bool) -> _Line:
        key = (problem.place.file, problem.place.line, problem.line_text)
        if key not in self._lines:
            written = self._report.line(problem.place) or problem.line_text
            text = _without_logins(addresses.starred(written, self._public, is_yaml=is_yaml))
            self._lines[key] = _Line(text, DoubleQuoted.of(text))
        return self._lines[key]


def _starred(line: str, hidden: Sequence[tuple[int, str]]) -> str:
    """A line with stars for each text, at or after its column."""
    found = sorted((at, at + len(text)) for column, text in hidden if (at := line.find(text, column - 1)) >= 0)
    pieces, end = [], 0
    for start, stop in found:
        pieces += [line[end:start], "*" * (stop - max(start, end))]
        end = max(end, stop)
    return "".join((*pieces, line[end:]))


#: How far after its place a text is looked for on a long line.
_NEAR: Final = 10_000


def _nearer(place: Place, line: str, near: str) -> Place:
    """The column of a text on a line, which is not before the place; the place itself if it is not there as it is."""
    start, end = ("(?<![\\w.])" if near[:1].isalnum() else ""), (r"\b" if near[-1:].isalnum() else "")
    found = (
        re.compile(start + re.escape(near) + end).search(line, first := max(place.column - 1, 0), first + _NEAR)
        if near
        else None
    )
    return Place(place.file, place.line, found.start() + 1) if found else place


def format_problem(problem: Problem) -> str:
    """``file:line:column: message  (remedy)``, then the line with its number and a caret under the column."""
    kind = "warning: " if problem.severity == "warning" else ""
    remedy = f"  ({problem.hint})" if problem.hint else ""
    head = f"{problem.place}: {kind}{problem.message}{remedy}"
    return "\n".join(map(printable, (head, *_excerpt(problem))))


def _excerpt(problem: Problem) -> Sequence[str]:
    if not problem.line_text:
        return ()
    place = problem.place
    # In a very long line, start shortly before the column.
    start = max(0, place.column - _SHOWN // 2) if len(problem.line_text) > _SHOWN else 0
    shown = problem.line_text[start : start + _SHOWN].rstrip()
    line = f"{place.line:>5} | {shown}"
    if not place.column:
        return (line,)
    return (line, f"      | {' ' * (place.column - 1 - start)}^")
