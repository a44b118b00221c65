"""What the tags of a template of Go are in Jinja. Pure; empty where it cannot be said.

A field of Go begins with a capital, and its name in JSON mostly does not: ``.CommonLabels.alertname`` is
``payload.commonLabels.alertname``.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from msgspec import Struct

_OPERAND: Final = r"""\$(?:\w+)?(?:\.\w+)+|\$\w+|(?<![\w.\])"'])(?:(?:\.\w+)+|\.(?=[\s|)]|\Z))"""
_TOKEN: Final = re.compile(rf"\s*(?:(?P<operand>{_OPERAND})|(?P<constant>\"[^\"]*\"|`[^`]*`|-?\d[\d.]*)|(?P<below>(?<=\))(?:\.\w+)+)|(?P<word>[A-Za-z_]\w*(?:\.\w+)*)|(?P<sign>[()|]))")  # fmt: skip
_RANGE: Final = re.compile(
    rf"range\s+(?:(?:\$(?P<key>\w+)\s*,\s*)?\$(?P<one>\w+)\s*:?=\s*)?(?P<list>{_OPERAND}|[A-Za-z_]\w*(?:\.\w+)+)\s*\Z"
)
#: What the key of a mapping is called.
_KEYS: Final = frozenset({"k", "key", "name", "label"})
_DEFINED: Final = re.compile(r'(?:define|block)\s+"(?P<name>[\w./-]+)"')
_ASSIGNED: Final = re.compile(r"\$(?P<name>\w+)\s*:?=\s*(?P<value>.+)", re.DOTALL)
_TEMPLATE: Final = re.compile(r'template\s+"(?P<name>[\w./-]+)"')
#: A loop or a condition of Jinja, which may be around a tag of Go.
_OF_JINJA: Final = re.compile(
    r"%(?:(?P<end>end\w*)|for\s+(?P<one>\w+)\s+in\b|(?P<other>if|macro|with|set(?=\s+\w+\Z))\b)"
)

#: What compares two operands.
_COMPARING: Final = {"eq": "==", "ne": "!=", "gt": ">", "ge": ">=", "lt": "<", "le": "<="}
_ENDINGS: Final = {"hasprefix": "startswith", "hassuffix": "endswith"}
_JOINING: Final = frozenset({"and", "or"})
#: Functions with a filter that does the same.
_FILTERS: Final[Mapping[str, str]] = {
    **dict.fromkeys(("toupper", "upper"), "upper"),
    **dict.fromkeys(("tolower", "lower"), "lower"),
    **dict.fromkeys(("trim", "trimspace"), "trim"),
    **dict.fromkeys(("tojson", "toprettyjson"), "tojson"),
    **{name: name for name in ("title", "join", "default")},
    "len": "length",
}
#: Methods of Alertmanager's list of alerts.
_CHOSEN: Final = re.compile(r"(?P<list>.+)\.(?P<status>firing|resolved)\Z")


class _Block(Struct, frozen=True):
    """What is open: by which word, and what a dot is inside."""

    word: str
    dot: str
    variables: frozenset[str] = frozenset()


class _Other(Exception):
    """Something that is not of Go, or not known here."""


def remedies(contents: Sequence[str]) -> Sequence[str]:
    """What to write for each tag of a template, told from its content; empty for those that are not of Go."""
    blocks = [_Block("", "payload")]
    return [_read(content, blocks, has_end="end" in contents) for content in contents]


def _read(content: str, blocks: list[_Block], *, has_end: bool) -> str:
    around = blocks[-1]
    if jinja := _OF_JINJA.match(content):
        if jinja["end"]:
            ended = blocks.pop() if len(blocks) > 1 else around
            return _end(ended) if jinja["end"] == "end" else ""
        one = jinja["one"]
        blocks.append(_Block("for", one) if one else _Block(jinja["other"], around.dot, around.variables))
        return ""
    try:
        return _written(content, blocks, has_end=has_end)
    except _Other:
        return ""


def _end(block: _Block) -> str:
    return f"{{% end{block.word} %}}" if block.word else "{% endif %} or {% endfor %}"


def _written(content: str, blocks: list[_Block], *, has_end: bool) -> str:
    """The tag; what it opens or ends is put on the blocks, or taken off. Raises _Other.

    ``has_end``: a block of the template ends as those of Go do, so its fields may be written as in Jinja.
    """
    around = blocks[-1]
    word, _, rest = content.partition(" ")
    if content == "end":
        return _end(blocks.pop() if len(blocks) > 1 else around)
    if found := _RANGE.fullmatch(content):
        one = found["one"] or "one"
        # The first variable of two is the key of a mapping, or the position in a list, which it is mostly called for.
        key = found["key"] if found["key"] in _KEYS else ""
        blocks.append(_Block("for", one, around.variables | {one, *filter(None, [key])}))
        values = _operand(found["list"], around) if found["list"][0] in ".$" else found["list"]
        chosen = _CHOSEN.fullmatch(values)
        values = f'{chosen["list"]} | selectattr("status", "eq", "{chosen["status"]}")' if chosen else values
        return f"{{% for {key}, {one} in {values} | items %}}" if key else f"{{% for {one} in {values} %}}"
    if word in ("if", "with") and (has_end or _is_of_go(rest, around)):
        asked = _asked(rest, around)
        blocks.append(_Block("if", asked if word == "with" else around.dot, around.variables))
        return f"{{% if {asked} %}}"
    if found := _DEFINED.match(content):
        blocks.append(_Block("", around.dot, around.variables))
        name = found["name"]
        return f'the block into templates/{name}.txt.j2, and {{% include "{name}.txt.j2" %}} where it belongs'
    if content == "else":
        return "{% else %}"
    if (asked_too := content.removeprefix("else if ")) != content and (has_end or _is_of_go(asked_too, around)):
        return f"{{% elif {_asked(asked_too, around)} %}}"
    if found := _TEMPLATE.match(content):
        return f'{{% include "{found["name"]}.txt.j2" %}}'
    if found := _ASSIGNED.fullmatch(content):
        blocks[-1] = _Block(around.word, around.dot, around.variables | {found["name"]})
        return f"{{% set {found['name']} = {_expression(found['value'], around)} %}}"
    if _is_of_go(content, around) or re.match(r"printf\s", content):
        return f"{{{{ {_expression(content, around)} }}}}"
    raise _Other


def _asked(text: str, around: _Block) -> str:
    """A condition; as it is written, if nothing in it is of Go. Raises _Other."""
    try:
        return _expression(text, around)
    except (_Other, IndexError):
        if _is_of_go(text, around):
            raise _Other from None
        return text


def _is_of_go(text: str, around: _Block) -> bool:
    """Whether a text has a field or a variable as Go writes them."""
    operands = [each["operand"] for each in _TOKEN.finditer(text) if each["operand"]]
    return any(_is_operand(each, around) for each in operands)


def _is_operand(text: str, around: _Block) -> bool:
    root, _, below = text.partition(".")
    # JSONPath begins with $. as well.
    return not root or (root == "$" and bool(around.word or below[:1].isupper())) or root[1:] in around.variables


def _operand(text: str, around: _Block) -> str:
    """``.Name`` as a field of what the dot is, ``$.Name`` as one of the payload, ``$one.Name`` as one of the variable."""
    root, *names = text.removeprefix("$").split(".")
    root = root or "payload" if text[0] == "$" else around.dot
    return ".".join((root, *(_in_json(name) for name in names if name)))


def _in_json(name: str) -> str:
    """``CommonLabels`` as ``commonLabels``, ``ID`` as ``id``, ``HTTPStatus`` as ``httpStatus``."""
    return re.sub(r"^[A-Z](?:[A-Z]*(?![a-z]))?", lambda found: found[0].lower(), name)


# --- expressions ---

#: How a call begins whose arguments follow without parentheses.
_CALLED_BARE: Final = re.compile(
    r"(?:eq|ne|gt|ge|lt|le|and|or|hasPrefix|hasSuffix|contains|default|len|index|printf|upper|lower|title|trim|toJson)"
    r"\s+[\w\"(.`]"
)


def call(text: str) -> str:
    """``hasPrefix "+49" attrs.phone`` as ``attrs.phone.startswith("+49")``; empty if it is not such a call."""
    try:
        return _expression(text, _Block("", "payload")) if _CALLED_BARE.match(text) else ""
    except (_Other, IndexError):
        return ""


def _expression(text: str, around: _Block) -> str:
    tokens = list(_tokens(text))
    value, rest = _pipeline(tokens, around)
    if rest:
        raise _Other
    return value


def _tokens(text: str) -> Iterator[tuple[str, str]]:
    at, text = 0, text.strip()
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None or found.lastgroup is None:
            raise _Other
        yield found.lastgroup, found[found.lastgroup]
        at = found.end()


_Tokens = Sequence[tuple[str, str]]


def _pipeline(tokens: _Tokens, around: _Block) -> tuple[str, _Tokens]:
    value, rest = _command(tokens, around)
    while rest[:1] == [("sign", "|")]:
        if len(rest) < 2 or rest[1][0] != "word":
            raise _Other
        arguments, name = [], rest[1][1]
        rest = rest[2:]
        while rest and rest[0] not in (("sign", "|"), ("sign", ")")):
            argument, rest = _argument(rest, around)
            arguments.append(argument)
        value = _called(name, [*arguments, value])
    return value, rest


def _command(tokens: _Tokens, around: _Block) -> tuple[str, _Tokens]:
    if not tokens:
        raise _Other
    kind, text = tokens[0]
    if kind != "word" or "." in text:
        return _argument(tokens, around)
    arguments, rest = list[str](), tokens[1:]
    while rest and rest[0] not in (("sign", "|"), ("sign", ")")):
        argument, rest = _argument(rest, around)
        arguments.append(argument)
    return _called(text, arguments), rest


def _argument(tokens: _Tokens, around: _Block) -> tuple[str, _Tokens]:
    (kind, text), rest = tokens[0], tokens[1:]
    if kind == "operand":
        return _operand(text, around), rest
    if kind == "constant":
        return f'"{text[1:-1]}"' if text[0] == "`" else text, rest
    if kind == "word":
        return text, rest
    if text != "(":
        raise _Other
    value, rest = _pipeline(rest, around)
    if rest[:1] != [("sign", ")")]:
        raise _Other
    value, rest = (f"({value})" if " " in value else value), rest[1:]
    if rest and rest[0][0] == "below":
        # (index .Alerts 0).Labels
        names = rest[0][1].split(".")[1:]
        return ".".join((value, *map(_in_json, names))), rest[1:]
    return value, rest


def _called(name: str, arguments: Sequence[str]) -> str:
    """A function with its arguments, of which a pipe gives the last. Raises _Other."""
    match name.lower(), arguments:
        case word, [left, right] if word in _COMPARING:
            return f"{left} {_COMPARING[word]} {right}"
        case "eq", [left, *others] if others:
            return f"{left} in [{', '.join(others)}]"
        case word, [_, _, *_] if word in _JOINING:
            return f" {word} ".join(arguments)
        case "not", [value]:
            return f"not {value}"
        case "hasprefix" | "hassuffix", [part, value]:
            return f"{value}.{_ENDINGS[name.lower()]}({part})"
        case "contains", [part, value]:
            return f"{part} in {value}"
        case "index", [value, *keys] if keys:
            return value + "".join(f"[{key}]" for key in keys)
        case "printf", ['"%s"' | '"%d"' | '"%v"' | '"%q"', value]:
            return value
        case "printf", [_, value]:
            return f"{value} | number(2)"
        case word, [*before, value] if word in _FILTERS:
            given = f"({', '.join(before)})" if before else ""
            return f"{value} | {_FILTERS[word]}{given}"
        case word, [*_, value] if word not in (*_COMPARING, *_JOINING, "not", "printf"):
            # A function that only the other program has.
            return value
    raise _Other
