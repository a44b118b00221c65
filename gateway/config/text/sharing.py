"""Parts of a file that YAML's anchors, aliases and merge keys would share, and what this file has instead."""

import re
from collections.abc import Iterable, Sequence
from typing import Final

#: What a map of conditions is below.
_CONDITIONS: Final = frozenset({"where", "conditions"})
#: Keys whose value may be a file, with the ending of one.
_FILES: Final = {"text": ".txt.j2", "body": ".json.j2", "form": ".form.j2"}


_SIGNED: Final = re.compile(r"(?<![^\s\[{,])[&*][\w-]+")


def shared(lines: Iterable[str]) -> frozenset[str]:
    """Names that are both an anchor's and an alias's: one that is only one of them is the beginning of a text."""
    found = {sign for line in lines for sign in _SIGNED.findall(line)}
    return frozenset(sign[1:] for sign in found if sign[0] == "&" and f"*{sign[1:]}" in found)


def instead(path: Sequence[str], name: str = "name") -> str:
    """What to write instead of an anchor or an alias below these keys, the outermost first."""
    if _CONDITIONS.intersection(path):
        return f"put the conditions under conditions: {{{name}: ...}}, and write where: {{is: {name}}}"
    if path and path[-1] in _FILES:
        return f"put it in templates/{name}{_FILES[path[-1]]}, and write template: {name}{_FILES[path[-1]]}"
    if path and (path[0] in ("destinations", "defaults") or path[0].startswith("x-")):
        return "write the keys that destinations share once, under defaults, and repeat the others"
    return "repeat it in each place; put what several templates print under vars"
