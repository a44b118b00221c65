"""Problems by place: collected as they are found, and printed for editors and people."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from gateway.errors import Place, Problem
from gateway.wording import printable

#: The longest line shown, characters; a longer one is cut around the column.
_SHOWN: Final = 160
#: The secret parts of an address: the login, and everything after the host of a chat's webhook.
_SECRET_OF_URL: Final = re.compile(
    r"(?<=://)[^\s\"']{1,300}(?=@)"
    r"|(?<=hooks\.slack\.com/)[^\s\"',}\]]+"
    r"|(?<=/api/webhooks/)[^\s\"',}\]]+"
    r"|(?<=api\.telegram\.org/)[^\s\"',}\]]+"
    r"|(?<=chat\.googleapis\.com/)[^\s\"',}\]]+"
    r"|(?<=/workflows/)[^\s\"',}\]]+"
)


@dataclass(slots=True)
class Report:
    """Every problem in one file and the files it includes."""

    file: str
    lines: Sequence[str] = ()
    #: The reports on included files by name, in reading order.
    included: dict[str, "Report"] = field(default_factory=dict)
    #: In the order found, each once.
    problems: dict[Problem, None] = field(default_factory=dict)
    #: Text never to show, by file and line: (first column, text).
    hidden: dict[tuple[str, int], list[tuple[int, str]]] = field(default_factory=dict)
    #: Masks the values from outside in a text; set once they have been read.
    masked: Callable[[str], str] = str

    def of(self, file: str) -> "Report":
        """A report on an included file; its problems are added to this one."""
        self.included[file] = Report(file, problems=self.problems, hidden=self.hidden)
        return self.included[file]

    @property
    def has_errors(self) -> bool:
        return any(problem.severity == "error" for problem in self.problems)

    def error(self, place: Place, message: str, hint: str = "") -> None:
        self.add(Problem(place, message, hint))

    def warning(self, place: Place, message: str, hint: str = "") -> None:
        self.add(Problem(place, message, hint, "warning"))

    def add(self, problem: Problem) -> None:
        """Add a problem, unless it is there already."""
        self.problems.setdefault(problem)

    def hide(self, place: Place, text: str) -> None:
        """Never show this text of the file: it is a secret."""
        self.hidden.setdefault((place.file, place.line), []).append((place.column, text.split("\n", 1)[0]))

    def line(self, place: Place) -> str:
        lines = self.lines if place.file == self.file else self._lines_of(place.file)
        if not 0 < place.line <= len(lines):
            return ""
        line = lines[place.line - 1]
        for column, text in self.hidden.get((place.file, place.line), ()):
            line = line[: column - 1] + line[column - 1 :].replace(text, "*" * len(text), 1)
        return line

    def _lines_of(self, file: str) -> Sequence[str]:
        return self.included[file].lines if file in self.included else ()

    def sorted(self) -> tuple[Problem, ...]:
        """By place: this file first, then included files, then templates, then problems without a place."""
        return tuple(sorted(map(self._with_final_line, self.problems), key=self._order))

    def _with_final_line(self, problem: Problem) -> Problem:
        texts = (problem.message, problem.hint, self.line(problem.place) or problem.line_text)
        message, hint, line = (_SECRET_OF_URL.sub(lambda found: "*" * len(found[0]), text) for text in texts)
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
