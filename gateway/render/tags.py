"""Where a tag of a refused template, or a text in one, is opened and never closed, or closed by the mark of another tag."""

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Final

from msgspec import Struct


class Mistake(Struct, frozen=True):
    """What is wrong at a character, counted from 0; and what to write."""

    at: int
    message: str
    hint: str


#: A tag up to its end on one line, and what it is made of.
_ONE_LINE: Final = re.compile(r"\{\{.*?\}\}|\{%.*?%\}")
_TEXTS: Final = re.compile(r"""\"(?:[^"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'""")
_OPENER: Final = re.compile(r"\{[{%#]")
_RAW: Final = re.compile(r"\{%-?\s*raw\s*-?%\}.*?\{%-?\s*endraw\s*-?%\}", re.DOTALL)
#: How each tag is opened and closed.
_ENDS: Final[Mapping[str, str]] = {"{{": "}}", "{%": "%}", "{#": "#}"}
#: What the inside of a tag is made of, as far as it matters for its end.
_INSIDE: Final = re.compile(rf"{_TEXTS.pattern}|\{{\{{|\{{%|\{{#|\}}\}}|%\}}|[{{}}]", re.DOTALL)


def mistake_in(text: str, *, is_bare: bool = False) -> Mistake | None:
    """The first text or tag that is not closed as it was opened; None if each is.

    ``is_bare``: the text is one expression, whose author writes no tags.
    """
    text = _RAW.sub(_blank, text)
    return _text_left_open(text) or (None if is_bare else _tag_left_open(text))


def _text_left_open(text: str) -> Mistake | None:
    for tag in _ONE_LINE.finditer(text):
        # Ends of tags inside a text are rare, and only a template that is refused is looked at.
        without = _TEXTS.sub(lambda found: " " * len(found[0]), tag[0])
        quote = re.search(r"[\"']", without)
        if quote is not None:
            message = f"the text that begins with {quote[0]} is never closed"
            return Mistake(tag.start() + quote.start(), message, f"add a {quote[0]} at its end")
    return None


def _tag_left_open(text: str) -> Mistake | None:
    at = 0
    while opened := _OPENER.search(text, at):
        start, at = opened.span()
        end = text.find("#}", at) if opened[0] == "{#" else _end(text, at, opened[0])
        if isinstance(end, re.Match):
            return _otherwise(text, start, end)
        if end < 0:
            wanted = _ENDS[opened[0]]
            return Mistake(start, f"the {opened[0]} that opens here is never closed", f"add {wanted}")
        at = end + 2
    return None


def _end(text: str, at: int, opener: str) -> int | re.Match[str]:
    """Where a tag ends; -1 if it does not; or what ends it instead."""
    depth = 0
    while part := _INSIDE.search(text, at):
        at = part.end()
        if part[0] == _ENDS[opener] and not (depth and opener == "{{"):
            return part.start()
        match part[0]:
            case "{{" | "{%" | "{#" if not depth:
                return -1
            case "{" | "{{":
                depth += len(part[0])
            case "}" | "}}" if depth:
                # If the first of two braces ends the last open map, the tag continues with the second.
                ended = min(depth, len(part[0]))
                depth -= ended
                at = part.start() + ended
            case "}" | "}}" | "%}":
                return part
    return -1


#: A tag of statements: its name, and the rest of it.
_STATEMENT: Final = re.compile(rf"\{{%[-+]?\s*(\w+)((?:{_TEXTS.pattern}|(?!%\}}).)*)%\}}", re.DOTALL)
_COMMENT: Final = re.compile(r"\{#.*?#\}", re.DOTALL)
_OPENING: Final = frozenset({"if", "for", "macro", "with", "set", "filter", "call", "block", "autoescape"})
#: The blocks that each tag in the middle of one can be in.
_BETWEEN: Final[Mapping[str, Collection[str]]] = {"else": ("if", "for"), "elif": ("if",)}
#: Characters of an opening tag that a message quotes.
_QUOTED: Final = 60


class _Step(Struct, frozen=True):
    """A tag that opens a block, ends one or is in the middle of one."""

    name: str
    at: int
    #: As it is written.
    tag: str

    @property
    def ends(self) -> str:
        """The name of the block that it ends; empty if it ends none."""
        return self.name[3:] if self.name.startswith("end") else ""


def block_left_open(text: str, line: Callable[[int], int]) -> Mistake | None:
    """The first block that is not closed by its own end, or closed too early; None if each is, or an end has no block.

    ``line``: the line of a character, as its author counts them.
    """
    text = _COMMENT.sub(_blank, _RAW.sub(_blank, text))
    steps = list(_steps(text))
    opened, ended = list[_Step](), None
    for at, step in enumerate(steps):
        around = opened[-1].name if opened else ""
        if step.name in _OPENING:
            opened.append(step)
            ended = None
        elif step.name in _BETWEEN and around not in _BETWEEN[step.name]:
            reopened = [*(each.name for each in opened), "if"]
            return _ended_early(step, ended, line) if ended and _balance(reopened, steps[at + 1 :]) else None
        elif step.ends and step.ends != around:
            return _ended_by_another(opened, step, steps[at + 1 :], line)
        elif step.ends:
            opened.pop()
            ended = step if step.name == "endif" else None
    return _never_closed(opened[-1], "") if opened else None


def _steps(text: str) -> Iterator[_Step]:
    for tag in _STATEMENT.finditer(text):
        is_block = tag[1] in _OPENING and not (tag[1] == "set" and "=" in tag[2])
        if is_block or tag[1] in _BETWEEN or tag[1].startswith("end"):
            yield _Step(tag[1], tag.start(), " ".join(tag[0].split()))


def _balance(names: Sequence[str], steps: Sequence[_Step]) -> bool:
    """Whether the blocks that are open, and those that follow, are each closed by its own end."""
    opened = list(names)
    for step in steps:
        if step.name in _OPENING:
            opened.append(step.name)
        elif step.ends and not (opened and opened.pop() == step.ends):
            return False
    return not opened


def _ended_by_another(
    opened: Sequence[_Step], end: _Step, rest: Sequence[_Step], line: Callable[[int], int]
) -> Mistake | None:
    """An end that is wrong, missing before this one, or one too many: by which of them all blocks are closed."""
    if not opened:
        return None
    last, names, before = opened[-1], [each.name for each in opened], f"{{% {end.name} %}}"
    is_swapped = (
        [end.ends] == names[-2:-1] and bool(rest) and rest[0].ends == last.name and _balance(names[:-2], rest[1:])
    )
    if _balance(names, rest):
        return None
    if end.ends in names and not is_swapped and not _balance(names[:-1], rest):
        return _never_closed(last, f" before {before}")
    shown = last.tag if len(last.tag) <= _QUOTED else f"{{% {last.name} %}}"
    return Mistake(
        end.at,
        f"{end.tag} does not close {shown}, which is open since line {line(last.at)}",
        f"write {{% end{last.name} %}}{f' first, and {before} after it' if is_swapped else ''}",
    )


def _ended_early(step: _Step, end: _Step, line: Callable[[int], int]) -> Mistake:
    message = f"{step.tag} has no matching tag: {end.tag} on line {line(end.at)} ends the block before it"
    return Mistake(step.at, message, f"remove that {end.tag}")


def _blank(found: re.Match[str]) -> str:
    return re.sub(r"[^\n]", " ", found[0])


def _never_closed(opened: _Step, before: str) -> Mistake:
    return Mistake(opened.at, f"{{% {opened.name} %}} is never closed", f"add {{% end{opened.name} %}}{before}")


def _otherwise(text: str, start: int, end: re.Match[str]) -> Mistake:
    opener = text[start : start + 2]
    wanted, found = _ENDS[opener], end[0]
    ended = "one }" if found == "}" else found
    inside = text[start + 2 : end.start()].strip()
    right = f"write {opener} {inside} {wanted}" if "\n" not in inside else f"write {wanted}"
    return Mistake(start, f"the {opener} that opens here is ended by {ended}", right)
