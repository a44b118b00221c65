"""What reading one file knows: where problems go, where references look, and what a parser is."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from gateway.config.text.reader import Node, Scalar
from gateway.config.text.references import ReferenceRefused, References, Resolved
from gateway.config.text.report import Report
from gateway.errors import Place

T = TypeVar("T")
P = TypeVar("P", bound=Callable[..., object])

#: What a source verifies with, and a destination is built with, where `dev` finds a variable unset.
DEMO_SECRET: Final = "xobito-demo-secret"  # noqa: S105 - known to everyone, for a developer's machine
DEMO_TEXT: Final = "demo"
#: What stands for every variable that is not set when a file is checked without its environment.
TEST_TEXT: Final = "test"


@dataclass(slots=True)
class Reading:
    """The state of reading one file: where problems go, where references look."""

    report: Report
    references: References
    #: Whether unset variables inside a `stand_in` are made up.
    dev: bool
    #: Whether every unset variable is made up.
    no_env: bool = False
    #: The kind of section that a misplaced key belongs to; empty: none has it.
    home_of: Callable[[str], str] = lambda _key: ""
    #: What is not set, and where it was first used.
    missing: dict[str, Place] = field(default_factory=dict)
    #: What is never shown: all that came from outside, and what the file itself holds as a secret.
    secrets: set[str] = field(default_factory=set)
    #: The patterns of files that are included.
    includes: list[str] = field(default_factory=list)
    _stand_ins: list["StandIn"] = field(default_factory=list)

    def error(self, where: Node | Place, message: str, hint: str = "") -> None:
        place = where if isinstance(where, Place) else where.place
        self.report.error(place, message, hint)

    def warning(self, where: Node | Place, message: str, hint: str = "") -> None:
        place = where if isinstance(where, Place) else where.place
        self.report.warning(place, message, hint)

    @contextmanager
    def stand_in(self, text: str) -> Iterator["StandIn"]:
        """While inside, and in `dev`, ``text`` stands for a value with a variable that is not set."""
        stand_in = StandIn(text)
        if self.dev:
            self._stand_ins.append(stand_in)
        try:
            yield stand_in
        finally:
            if self.dev:
                self._stand_ins.pop()

    def is_unset(self, node: Node) -> bool:
        """Whether a variable or file that a text needs is not there."""
        try:
            return isinstance(node, Scalar) and bool(self.references.resolve(node.text).missing)
        except ReferenceRefused:
            return False

    def resolved(
        self, node: Scalar, resolve: Callable[[str], Resolved], *, can_be_made_up: bool = True
    ) -> "Words | None":
        """The text of a scalar without its references; None when they were a problem."""
        try:
            found = resolve(node.text)
        except ReferenceRefused as error:
            self.error(node, str(error))
            return None
        self.secrets.update(found.values)
        shown = node.text if found.is_foreign else found.text
        if not found.missing:
            return Words(found.text, shown, node)
        if self._stand_ins:
            self._stand_ins[-1].was_used = True
            return Words(self._stand_ins[-1].text, shown, node, is_stand_in=True)
        if self.no_env and can_be_made_up:
            return Words(found.text, shown, node, is_stand_in=True)
        for name in found.missing:
            self.missing.setdefault(name, node.place)
        return None


@dataclass(slots=True)
class StandIn:
    """A made-up value, and whether it was needed."""

    text: str
    was_used: bool = False


@dataclass(frozen=True, slots=True)
class Words:
    """A text of the file with its references replaced."""

    text: str
    #: For problems: a value from outside shows as its reference.
    shown: str
    node: Scalar
    #: Made up because a variable is not set.
    is_stand_in: bool = False

    @property
    def place(self) -> Place:
        return self.node.place


#: (reading, node, how a problem calls the key) -> the value, or None after a problem was reported.
Parser = Callable[[Reading, Node, str], T | None]

#: What a parser takes, in the words of JSON Schema. Under "$ref" stands the class of a section.
Shape = Mapping[str, Any]

ANYTHING: Final[Shape] = {}


def shaped(shape: Shape) -> Callable[[P], P]:
    """Say what a parser takes, for the editors that read the JSON Schema."""

    def mark(parse: P) -> P:
        vars(parse)["shape"] = shape
        return parse

    return mark


def shape_of(parse: Parser[Any]) -> Shape:
    """What a parser takes; anything, if it does not say."""
    found: Shape = vars(parse).get("shape", ANYTHING)
    return found


class Unfit(ValueError):
    """A value that its key cannot take."""

    def __init__(self, message: str, hint: str = "") -> None:
        self.message, self.hint = message, hint
        super().__init__(message)
