"""Problems with their place, collected as they are found and printed the way editors and people read them."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from gateway.destinations import KINDS
from gateway.errors import Place, Problem
from gateway.hiding import addresses

#: A source line is shown up to here; a longer one is cut around its column.
_SHOWN: Final = 160
#: Takes the login out of any address, and what follows the host of a known service.
_without_logins: Final = addresses.starred_after(mark for kind in KINDS.values() for mark in kind.secret_after)
_UNPRINTABLE: Final = re.compile(r"[^\x20-\x7e\xa0-\u1fff\u2030-\u205f\u2070-\ud7ff\uf900-\U000e0000]")


@dataclass(slots=True)
class Report:
    """Every finding about one file and those that it includes, in the order it was made."""

    file: str
    lines: Sequence[str] = ()
    #: Whether its lines are YAML; if not, nothing is known about the addresses in them.
    is_yaml: bool = True
    #: By file, in the order of their reading.
    included: dict[str, "Report"] = field(default_factory=dict)
    #: In the order of their finding, each once.
    problems: dict[Problem, None] = field(default_factory=dict)
    #: Text that is never shown, by file and line: (first column, text).
    hidden: dict[tuple[str, int], list[tuple[int, str]]] = field(default_factory=dict)
    #: Addresses, as they are written, that lines may show whole; of any other the path is a secret.
    public: set[str] = field(default_factory=set)
    #: A text without the values that came from outside; known once they have been read.
    masked: Callable[[str], str] = str

    def of(self, file: str) -> "Report":
        """The report on an included file; its findings are among these."""
        self.included[file] = Report(file, problems=self.problems, hidden=self.hidden, public=self.public)
        return self.included[file]

    @property
    def has_errors(self) -> bool:
        return any(problem.severity == "error" for problem in self.problems)

    def error(self, place: Place, message: str, hint: str = "") -> None:
        self.add(Problem(place, message, hint))

    def warning(self, place: Place, message: str, hint: str = "") -> None:
        self.add(Problem(place, message, hint, "warning"))

    def add(self, problem: Problem) -> None:
        """One more finding; said once, however often it is met."""
        self.problems.setdefault(problem)

    def hide(self, place: Place, text: str) -> None:
        """Never show this text of the file: it is a secret."""
        self.hidden.setdefault((place.file, place.line), []).append((place.column, text.split("\n", 1)[0]))

    def line(self, place: Place) -> str:
        lines = self.of_place(place).lines
        if not 0 < place.line <= len(lines):
            return ""
        line = lines[place.line - 1]
        for column, text in self.hidden.get((place.file, place.line), ()):
            line = line[: column - 1] + line[column - 1 :].replace(text, "*" * len(text), 1)
        return line

    def of_place(self, place: Place) -> "Report":
        """The report on the file of a place; an empty one if it is not this file or one that it includes."""
        return self if place.file == self.file else self.included.get(place.file, Report(place.file))

    def sorted(self) -> tuple[Problem, ...]:
        """By place: the file's own first, then those of included files, then the templates', then what has no place."""
        return tuple(sorted(map(self._with_final_line, self.problems), key=self._order))

    def _with_final_line(self, problem: Problem) -> Problem:
        is_yaml = self.of_place(problem.place).is_yaml
        line = addresses.starred(self.line(problem.place) or problem.line_text, self.public, is_yaml=is_yaml)
        message, hint, line = map(_without_logins, (problem.message, problem.hint, line))
        return Problem(problem.place, self.masked(message), self.masked(hint), problem.severity, line)

    def _order(self, problem: Problem) -> tuple[bool, bool, bool, str, int, int]:
        place = problem.place
        is_own = place.file == self.file
        is_template = not is_own and place.file not in self.included
        return (place.line == 0, is_template, not is_own, place.file, place.line, place.column)


def format_problem(problem: Problem) -> str:
    """``file:line:column: message  (remedy)``, then the line with its number and a caret under the column."""
    kind = "warning: " if problem.severity == "warning" else ""
    remedy = f"  ({problem.hint})" if problem.hint else ""
    head = f"{problem.place}: {kind}{problem.message}{remedy}"
    return "\n".join(map(_printable, (head, *_excerpt(problem))))


def _excerpt(problem: Problem) -> Sequence[str]:
    if not problem.line_text:
        return ()
    place = problem.place
    # Far to the right in a very long line: begin shortly before the column.
    start = max(0, place.column - _SHOWN // 2) if len(problem.line_text) > _SHOWN else 0
    shown = problem.line_text[start : start + _SHOWN].rstrip()
    line = f"{place.line:>5} | {shown}"
    if not place.column:
        return (line,)
    return (line, f"      | {' ' * (place.column - 1 - start)}^")


def _printable(text: str) -> str:
    # A tab counts as one column; nothing of a file may steer the terminal.
    return _UNPRINTABLE.sub(lambda found: " " if found[0] == "\t" else "\N{REPLACEMENT CHARACTER}", text)
