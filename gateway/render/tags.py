"""Where a tag of a refused template, or a text in one, is opened and never closed, or closed by the mark of another tag."""

import re
from collections.abc import Mapping
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
_OPENING: Final = frozenset({"if", "for", "macro", "with", "set"})


def block_left_open(text: str) -> Mistake | None:
    """The first tag that another one follows without its end; None if each has its end, or an end has no tag."""
    text = _COMMENT.sub(_blank, _RAW.sub(_blank, text))
    opened: list[tuple[str, int]] = []
    for tag in _STATEMENT.finditer(text):
        name, rest = tag[1], tag[2]
        if name in _OPENING and not (name == "set" and "=" in rest):
            opened.append((name, tag.start()))
        elif name.removeprefix("end") in _OPENING and name.startswith("end"):
            if name.removeprefix("end") not in [each for each, _ in opened]:
                return None
            if f"end{opened[-1][0]}" != name:
                return _never_closed(*opened[-1], f" before {{% {name} %}}")
            opened.pop()
    return _never_closed(*opened[-1], "") if opened else None


def _blank(found: re.Match[str]) -> str:
    return re.sub(r"[^\n]", " ", found[0])


def _never_closed(name: str, at: int, before: str) -> Mistake:
    return Mistake(at, f"{{% {name} %}} is never closed", f"add {{% end{name} %}}{before}")


def _otherwise(text: str, start: int, end: re.Match[str]) -> Mistake:
    opener = text[start : start + 2]
    wanted, found = _ENDS[opener], end[0]
    ended = "one }" if found == "}" else found
    inside = text[start + 2 : end.start()].strip()
    right = f"write {opener} {inside} {wanted}" if "\n" not in inside else f"write {wanted}"
    return Mistake(start, f"the {opener} that opens here is ended by {ended}", right)
