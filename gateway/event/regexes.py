"""Regular expressions in which a sign repeats nothing, such as ``^+49``, and what was meant by them."""

import re
from collections.abc import Iterator
from typing import Final

#: One token of RE2: an escape, a class, the start of a group, a repetition, or a character.
_TOKEN: Final = re.compile(
    r"(?P<nothing>\(\?(?:P?<\w+>|[a-zA-Z-]*[:)])|[(|^$]|\\[bBAz])"
    r"|(?P<repeats>[*+?]|\{\d+(?:,\d*)?\})"
    r"|(?P<one>\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|.)",
    re.DOTALL,
)
#: Signs that begin a literal text, and a text that may follow them.
_LITERAL: Final = re.compile(r"\^?(?P<text>[+*?][\w@ ()-]*)(?:\.\*)?")
_SPECIAL: Final = re.compile(r"[+*?()]")
_GLOB: Final = re.compile(r"\*[\w@. -]+[\w*.@ -]*")


def instead(pattern: str) -> str:
    """What to write for an expression with a sign that repeats nothing, or only a place in the text; empty for any other."""
    found = list(_dangling(pattern))
    if not found:
        return ""
    sign = pattern[found[0]]
    why = f"{sign} repeats what precedes it: " if sign != "{" else "{ } repeats what precedes it: "
    if _GLOB.fullmatch(pattern) and ".*" not in pattern:
        return f"{why}write glob: '{pattern}'"
    literal = _LITERAL.fullmatch(pattern)
    if literal is not None:
        text, escaped = literal["text"], _SPECIAL.sub(r"\\\g<0>", literal["text"])
        return f'{why}write {_quoted("^" + escaped)}, or prefix: "{text}"'
    return f"{why}write {_quoted(_escaped(pattern, found))}"


def in_order(pattern: str) -> str:
    """An expression as YAML, in single quotes, with every sign that repeats nothing as itself."""
    return _quoted(_escaped(pattern, list(_dangling(pattern))))


def _dangling(pattern: str) -> Iterator[int]:
    """Where the signs are that repeat nothing, and those that repeat a repetition, with that one."""
    last, at = "nothing", 0
    for token in _TOKEN.finditer(pattern):
        kind = str(token.lastgroup)
        if kind == "repeats" and last == "nothing":
            yield token.start()
            # The sign itself is meant.
            kind = "one"
        elif kind == "repeats" and (last == "lazy" or (last == "repeats" and token[0] != "?")):
            yield from (at, token.start())
            kind = "one"
        elif kind == "repeats" and last == "repeats":
            kind = "lazy"
        last, at = kind, token.start()


def _escaped(pattern: str, places: list[int]) -> str:
    return "".join(f"\\{each}" if at in places else each for at, each in enumerate(pattern))


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
