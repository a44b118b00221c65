"""The state of reading one file, and the type of the parsers that read its values."""

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from msgspec.structs import replace

from gateway import presets
from gateway.config.text import variables
from gateway.config.text.disk import Disk
from gateway.config.text.reader import Node, Scalar
from gateway.config.text.references import ReferenceRefused, References, Resolved
from gateway.config.text.report import Report
from gateway.errors import Place, Problem
from gateway.event.paths import Facts
from gateway.render.texts import TemplateText
from gateway.wording import suggest_or_list

T = TypeVar("T")
P = TypeVar("P", bound=Callable[..., object])

#: What `dev` uses for the secret of a source, and for a destination's text, if a variable is not set.
DEMO_SECRET: Final = "gateway-demo-secret"  # noqa: S105 - public, for a developer's machine
DEMO_TEXT: Final = "demo"
#: The value of every unset variable when a file is checked without its environment.
TEST_TEXT: Final = "test"
#: What may hold a secret, by its key.
GRANTING: Final = re.compile(r"secret|token|passw|(?:api|access|auth|account|private|sign\w*)[_-]?key|^key$|bearer|credential|auth", re.IGNORECASE)  # fmt: skip
#: What is wrong with a variable as another program writes it.
NOT_A_VARIABLE: Final = "a variable that is not written as ${NAME} is plain text"


@dataclass(slots=True)
class Reading:
    """The state of reading one file: where problems go, and where references are looked up."""

    report: Report
    disk: Disk
    references: References
    #: Whether unset variables get a made-up value inside `stand_in`.
    dev: bool
    #: Whether every unset variable gets a made-up value.
    no_env: bool = False
    #: The section that a misplaced key belongs to, as a noun; empty: none has it.
    home_of: Callable[[str, Any], str] = lambda _key, _section: ""
    #: What the samples have of the sources of the entry that is read.
    samples: Sequence[Facts] = ()
    #: Unset variables, with the place of first use.
    missing: dict[str, Place] = field(default_factory=dict)
    #: Values never to show: everything from outside, and secrets written in the file itself.
    secrets: set[str] = field(default_factory=set)
    #: Secrets that are written in the file itself, with what to write instead.
    literal: list[Problem] = field(default_factory=list)
    #: What could not be read, so that no name of it is unknown: whole sections, "destination", and single entries.
    unread: set[str | tuple[str, str]] = field(default_factory=set)
    #: The patterns under ``include``.
    includes: list[str] = field(default_factory=list)
    #: Whether what is read now is about `tests`.
    in_tests: bool = False
    #: Problems with names of fields that their hints only guess the paths of, by place.
    guesses: dict[Place, tuple[Problem, Sequence[str]]] = field(default_factory=dict)
    _stand_ins: list["StandIn"] = field(default_factory=list)

    def error(self, where: Node | Place, message: str, hint: str = "", *, near: str = "") -> Problem:
        place = where if isinstance(where, Place) else where.place
        problem = Problem(place, message, hint, near=near)
        if self.in_tests:
            self.report.of_tests.add(problem)
        self.report.add(problem)
        return problem

    def guess(self, problem: Problem, names: Sequence[str]) -> None:
        """Note the names that the hint of a problem has below ``attrs``, until the samples say where they are."""
        if names:
            self.guesses[problem.place] = (problem, names)

    def settle(self, place: Place, home: Callable[[str], str]) -> None:
        """Correct what the hint at a place guesses; ``home``: the path of a name."""
        problem, names = self.guesses.pop(place, (None, ()))
        if problem is None:
            return
        hint = problem.hint
        for name in names:
            written = home(name).replace("\\", r"\\")
            hint = re.sub(rf"(?<![\w.])attrs\.{re.escape(name)}(?![\w.\[-])", written, hint)
        self.report.replace(problem, replace(problem, hint=hint))

    @contextmanager
    def about_tests(self) -> Iterator[None]:
        """Errors inside of this context are those of `tests`, in which every unset variable has a made-up value."""
        before, self.in_tests = self.in_tests, True
        try:
            yield
        finally:
            self.in_tests = before

    def warning(self, where: Node | Place, message: str, hint: str = "") -> None:
        place = where if isinstance(where, Place) else where.place
        self.report.warning(place, message, hint)

    def is_literal(self, node: Scalar, label: str, noun: str) -> None:
        """Note a secret that is written in the file; ``noun``: what it is, for the name of a variable: ``TOKEN``."""
        owner = re.findall(r'"([^"]+)"', label)[-1:]
        known = presets.load(owner[0]).variable if noun == "secret" and owner and owner[0] in presets.NAMES else ""
        name = known or re.sub(r"\W+", "_", "_".join((*owner, noun)).upper()).lstrip("_0123456789")
        if default := re.match(r"\$\{(\w+):-", node.text):
            name, label = default[1], f"a default of {label}"
        hint = f'write "${{{name}}}", and put {name}=... in .env'
        self.literal.append(Problem(node.place, f"{label} is written in this file, where others may read it", hint))

    def has_unread(self, noun: str) -> bool:
        """Whether there is one that could not be read."""
        return any(noun in (each, each[0]) for each in self.unread)

    def refuse_unknown(self, noun: str, node: Node, name: str, known: Collection[str], remedy: str = "") -> None:
        """Report a name that is not among the known ones, unless what it names could not be read."""
        if name in known or not self.unread.isdisjoint({noun, (noun, name)}):
            return
        several = [each for each in re.findall(r"[\w-]*\w", name) if each.lower() not in ("and", "or")]
        hint = f"write a list: [{', '.join(several)}]" if len(several) > 1 else suggest_or_list(name, known)
        self.error(node, f'unknown {noun} "{name}"', remedy or hint)

    @contextmanager
    def stand_in(self, text: str) -> Iterator["StandIn"]:
        """In `dev`, and inside this context, use ``text`` for any value that needs an unset variable."""
        stand_in = StandIn(text)
        if self.dev:
            self._stand_ins.append(stand_in)
        try:
            yield stand_in
        finally:
            if self.dev:
                self._stand_ins.pop()

    def report_at(self, node: Scalar, refused: ReferenceRefused) -> None:
        """Report a reference on its own line of a text."""
        text = TemplateText(node.text, node.content, node.breaks)
        end = next((start for start in text.starts if start > refused.at), len(node.text))
        place, near = text.at(refused.at), node.text[refused.at : end].rstrip()
        self.error(place, refused.message, refused.hint, near=near)

    def is_unset(self, node: Node) -> bool:
        """Whether a text needs a variable or file that is missing."""
        try:
            return isinstance(node, Scalar) and bool(self.references.resolve(node.text).missing)
        except ReferenceRefused:
            return False

    def resolved(
        self, node: Scalar, resolve: Callable[[str], Resolved], *, can_be_made_up: bool = True, is_address: bool = False
    ) -> "Words | None":
        """The text of a scalar with its references replaced; None after a problem was reported.

        ``is_address``: whether it is one is checked later, and with it whether a variable was meant.
        """
        try:
            found = resolve(node.text)
        except ReferenceRefused as error:
            self.report_at(node, error)
            return None
        if (name := variables.named_anywhere(node.text)) and not is_address:
            self.warning(node, NOT_A_VARIABLE, f'write "${{{name}}}"')
        self.secrets.update(found.values)
        shown = node.text if found.is_foreign else found.text
        if not found.missing:
            return Words(found.text, shown, node, breaks=found.breaks(node.text, node.breaks))
        if self._stand_ins:
            self._stand_ins[-1].was_used = True
            return Words(self._stand_ins[-1].text, shown, node, is_stand_in=True)
        if (self.no_env or self.in_tests) and can_be_made_up:
            return Words(found.text, shown, node, is_stand_in=True)
        if self.in_tests:
            # It keeps no event from being delivered.
            self.error(node, f"not set: {', '.join(found.missing)}", "set it, or write a default: ${NAME:-...}")
            return None
        for name in found.missing:
            self.missing.setdefault(name, node.place)
        return None


@dataclass(slots=True)
class StandIn:
    """A made-up value, and whether it was used."""

    text: str
    was_used: bool = False


@dataclass(frozen=True, slots=True)
class Words:
    """A text of the file with its references replaced."""

    text: str
    #: The text for problems: a value from outside appears as its reference.
    shown: str
    node: Scalar
    #: Whether it was made up because a variable is not set.
    is_stand_in: bool = False
    #: Where the file begins its next lines, as of ``TemplateText``.
    breaks: tuple[int, ...] | None = None

    @property
    def place(self) -> Place:
        return self.node.place


#: (reading, node, the key's name in problems) -> the value, or None after a problem was reported.
Parser = Callable[[Reading, Node, str], T | None]

#: What a parser accepts, as JSON Schema; the value of "$ref" is the class of a section.
Shape = Mapping[str, Any]

ANYTHING: Final[Shape] = {}


def shaped(shape: Shape) -> Callable[[P], P]:
    """Declare what a parser accepts, for editors that read the JSON Schema."""

    def mark(parse: P) -> P:
        vars(parse)["shape"] = shape
        return parse

    return mark


def shape_of(parse: Parser[Any]) -> Shape:
    """What a parser accepts; anything if it does not declare it."""
    found: Shape = vars(parse).get("shape", ANYTHING)
    return found


class Unfit(ValueError):
    """A value that its key does not accept."""

    def __init__(self, message: str, hint: str = "") -> None:
        self.message, self.hint = message, hint
        super().__init__(message)
