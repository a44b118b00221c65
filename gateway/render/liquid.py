"""What an expression, a condition or a tag of Liquid is in Jinja. Pure; empty where it cannot be said."""

import re
from collections.abc import Mapping, Sequence
from typing import Final

#: A text in quotes, which nothing inside is taken from.
_TEXT: Final = r"\"[^\"]*\"|'[^']*'"
#: What separates the parts of an expression, outside of texts.
_PIPE: Final = re.compile(rf"({_TEXT})|\|")
_COMMA: Final = re.compile(rf"({_TEXT})|,")
_FILTER: Final = re.compile(r"\s*(?P<name>\w+)\s*(?::\s*(?P<arguments>.+?))?\s*", re.DOTALL)

#: Filters with an operator instead, for the value and the argument.
_OPERATORS: Final[Mapping[str, str]] = {
    "append": "{0} ~ {1}",
    "prepend": "{1} ~ {0}",
    "plus": "{0} + {1}",
    "minus": "{0} - {1}",
    "times": "{0} * {1}",
    "divided_by": "{0} / {1}",
    "modulo": "{0} % {1}",
}
#: Filters with another name, and what follows the value.
_NAMES: Final[Mapping[str, str]] = {
    "upcase": "| upper",
    "downcase": "| lower",
    "size": "| length",
    "strip": "| trim",
    "json": "| tojson",
    "strip_html": "| striptags",
    "url_encode": "| urlencode",
    "uniq": "| unique",
    "money": '| money("EUR")',
    "remove": '| replace({0}, "")',
    "split": ".split({0})",
}
#: Filters that are called so here, too.
_SAME: Final = frozenset(
    [
        "abs",
        "capitalize",
        "date",
        "default",
        "first",
        "join",
        "last",
        "map",
        "replace",
        "reverse",
        "round",
        "sort",
        "sum",
        "truncate",
    ]
)


def expression(text: str) -> str:
    """``attrs.name | upcase | append: "!"`` as ``(attrs.name | upper) ~ "!"``."""
    value, *filters = _parted(text, _PIPE)
    written, last = value.strip(), ""
    for each in filters:
        found = _FILTER.fullmatch(each)
        if found is None:
            return ""
        arguments = [argument.strip() for argument in _parted(found["arguments"] or "", _COMMA) if argument.strip()]
        name, is_alone = found["name"], not last
        if name in _OPERATORS and len(arguments) == 1:
            written = _OPERATORS[name].format(written if is_alone else f"({written})", *arguments)
            last = "operator"
            continue
        after = _after(name, arguments)
        if after is None:
            return ""
        is_method = after.startswith(".")
        written = f"({written})" if last == "operator" or (last and is_method) else written
        written, last = f"{written}{after}" if is_method else f"{written} {after}", "filter"
    return written


def _after(name: str, arguments: Sequence[str]) -> str | None:
    """What follows a value that is filtered; None for a filter that is not known."""
    if name in _NAMES:
        try:
            return _NAMES[name].format(*arguments)
        except IndexError:
            return None
    if name not in _SAME:
        return None
    return f"| {name}({', '.join(arguments)})" if arguments else f"| {name}"


def _parted(text: str, separator: re.Pattern[str]) -> Sequence[str]:
    found, start = [], 0
    for each in separator.finditer(text):
        if each[1] is None:
            found.append(text[start : each.start()])
            start = each.end()
    return [*found, text[start:]]


# --- conditions ---

_CONTAINS: Final = re.compile(rf"((?:{_TEXT}|[\w.\[\]])+)\s+contains\s+((?:{_TEXT}|[\w.\[\]])+)")
_EMPTY: Final = re.compile(r"([\w.\[\]]+)\s*(==|!=)\s*(?:blank|empty|nil)\b")
_COMBINED: Final = re.compile(r"\s(?:and|or)\s")
_LOOP: Final = re.compile(r"\bforloop\.(\w+)")
_OF_LOOPS: Final = {"rindex": "revindex", "rindex0": "revindex0", "parentloop": "parent"}


def condition(text: str) -> str:
    """``attrs.tags contains "vip"`` as ``"vip" in attrs.tags``."""
    text = _CONTAINS.sub(r"\2 in \1", text)
    return loop(_EMPTY.sub(lambda found: found[1] if found[2] == "!=" else f"not {found[1]}", text))


def loop(text: str) -> str:
    """``forloop.rindex`` as ``loop.revindex``."""
    return _LOOP.sub(lambda found: f"loop.{_OF_LOOPS.get(found[1], found[1])}", text)


def negated(text: str) -> str:
    """The condition of ``{% unless %}``."""
    written = condition(text)
    return (
        f"not ({written})" if _COMBINED.search(written) or re.search(r"[=<>]| in |^not ", written) else f"not {written}"
    )


# --- tags ---

_EACH: Final = re.compile(
    r"for\s+(?P<one>\w+)\s+in\s+(?P<list>\(\s*(?P<from>\w+)\s*\.\.\s*(?P<to>[\w.]+)\s*\)|[\w.\[\]\"']+)(?P<more>.*)"
)
_KNOBS: Final = re.compile(r"\s*(?:(?P<reversed>reversed)|limit:\s*(?P<limit>\w+)|offset:\s*(?P<offset>\w+))")


def each(text: str) -> str:
    """``for one in items limit:3 reversed``, ``for one in (1..3)``; empty if it is not a Liquid loop."""
    found = _EACH.fullmatch(text.strip())
    knobs = list(_KNOBS.finditer(found["more"])) if found else []
    if found is None or "".join(each[0] for each in knobs).strip() != found["more"].strip():
        return ""
    if not knobs and not found["from"]:
        return ""
    values = found["list"]
    if found["from"]:
        end = str(int(found["to"]) + 1) if found["to"].isdecimal() else f"{found['to']} + 1"
        values = f"range({found['from']}, {end})"
    chosen = {name: value for knob in knobs for name, value in knob.groupdict().items() if value}
    if limit := chosen.get("limit"):
        offset = chosen.get("offset", "")
        is_sum = offset.isdecimal() and limit.isdecimal()
        values += f"[{offset}:{int(offset) + int(limit) if is_sum else limit if not offset else f'{offset} + {limit}'}]"
    elif offset := chosen.get("offset"):
        values += f"[{offset}:]"
    values += " | reverse" if "reversed" in chosen else ""
    return f"for {found['one']} in {values}"
