"""A map of one line that is written on the line of its key: ``where: attrs.phone: {prefix: "+1"}``."""

import re
from typing import Final

#: Keys whose value may be a map, and is never a sentence.
MAPS: Final = frozenset(
    {
        "auth",
        "before",
        "conditions",
        "defaults",
        "destinations",
        "fetch",
        "fetched",
        "form",
        "headers",
        "memory",
        "query",
        "retry",
        "set",
        "sources",
        "track",
        "vars",
        "where",
    }
)
_VALUE: Final = r"(?P<value>\{[^{}]*\}|\[[^\[\]]*\]|\"[^\"]*\"|'[^']*'|[^\s{}\[\]\"',#][^{},#]*?)\s*(?:[,}#]|$)"
#: One more pair of the same map.
_MORE: Final = re.compile(rf"\s*,\s*(?P<name>[^\s\"'{{}},:]+):\s+{_VALUE}")
_LINE: Final = re.compile(
    rf"(?:^\s*(?:-\s+)*|[{{,]\s*)(?P<key>{'|'.join(sorted(MAPS))}):\s+(?P<name>[^\s\"'{{}},:]+)(?P<colon>:)\s+{_VALUE}"
)


def nested(text: str) -> tuple[int, str] | None:
    """The column of the second colon of a line, counted from 1, and what to write; None if no map is written like this."""
    found = _LINE.search(text)
    if found is None:
        return None
    pairs = [f"{found['name']}: {found['value']}"]
    # In braces, what follows belongs to the map around it.
    is_block = not text[: found.start("key")].strip(" -")
    at = found.end("value")
    while is_block and (more := _MORE.match(text, at)):
        pairs.append(f"{more['name']}: {more['value']}")
        at = more.end("value")
    return found.start("colon") + 1, f"{found['key']}: {{{', '.join(pairs)}}}"
