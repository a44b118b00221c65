"""What other rule languages call operators and combinations of conditions, and how that is written here.

The words are those of MongoDB and the filters like it, Amazon EventBridge, visual editors, Go, Liquid and SQL. A word
counts in any spelling: ``startsWith``, ``starts_with`` and ``$startsWith`` are one.
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Final

from gateway.config.schema.operands import as_written
from gateway.config.text.reader import Items, Map, Node, Pair, Scalar, json_scalar
from gateway.errors import Place
from gateway.event import regexes
from gateway.event.operators import OPERATORS
from gateway.render import actions
from gateway.wording import truth_like

#: Texts that need no quotes, whatever stands around them.
_PLAIN: Final = re.compile(r"[\w./^$][\w.+/@$ -]*(?<! )")
#: A number of a telephone, or the beginning of one.
_NUMBER: Final = re.compile(r"\+[\d ]*")


def shown(node: Node) -> str:
    """A value as it may be copied into a map or a list."""
    match node:
        case Map(pairs=pairs):
            return f"{{{', '.join(f'{pair.key.text}: {shown(pair.value)}' for pair in pairs)}}}"
        case Items(nodes=nodes):
            return f"[{', '.join(map(shown, nodes))}]"
        case Scalar(text=text, value=str()) if not _PLAIN.fullmatch(text):
            return json.dumps(text, ensure_ascii=False) if "'" in text or _NUMBER.fullmatch(text) else f"'{text}'"
    return as_written(node)


def _folded(word: str) -> str:
    """A word without case and marks, ``!contains`` as ``notcontains``; a sign such as ``>=`` as it is."""
    word = re.sub(r"^!(?=\w)", "not", word.strip().lower())
    return re.sub(r"[^a-z0-9]", "", word) or word


def _by_word(table: Mapping[str, str]) -> Mapping[str, str]:
    return {word: written for written, words in table.items() for word in words.split()}


#: What is written here, with ``{}`` for the value, and the words for it. ``{}`` alone is equality.
_OPERATORS: Final[Mapping[str, str]] = {
    **_by_word(
        {
            "{}": "= == === eq equal equals equalto is isequalto in oneof anyof isin isoneof isanyof",
            "not: {}": "<> !== noteq notequal notequalto doesnotequal isnot isnotin noneof anythingbut",
            "prefix: {}": "beginwith hasprefix stringstartswith",
            "suffix: {}": "hassuffix stringendswith",
            "regex: {}": "regexp matchesregex matchregex",
            "glob: {}": "wildcard like",
            "equals_ignore_case: {}": "ieq iequals equalfold equalsignorecase",
            "contains: {}": "include includes has hassubstring",
            "gt: {}": "greaterthan isgreaterthan larger largerthan morethan above after isafter",
            "gte: {}": "ge geq greaterorequal isafterorequalto greaterthanorequal greaterthanorequals greaterthanorequalto largerequal atleast",
            "lt: {}": "lessthan islessthan smaller smallerthan below before isbefore",
            "lte: {}": "le leq lessorequal isbeforeorequalto lessthanorequal lessthanorequals lessthanorequalto smallerequal atmost",
            "between: {}": "range inrange isbetween",
            "exists: {}": "exist isset isdefined",
            "exists: false": "notexist notexists doesnotexist isnotset undefined missing absent",
            "empty: true": "isempty blank isblank nil",
            "empty: false": "notempty nonempty isnotempty isnotblank",
            "=null": "isnull",
            "not: null": "notnull nonnull isnotnull",
            "not: {{contains: {}}}": "notcontain notcontains doesnotcontain notinclude notincludes excludes",
            "not: {{prefix: {}}}": "notstartswith doesnotstartwith",
            "not: {{suffix: {}}}": "notendswith doesnotendwith",
            "not: {{regex: {}}}": "notregex notmatch notmatches doesnotmatch !~",
        }
    ),
    **{_folded(word): f"{name}: {{}}" for name, each in OPERATORS.items() for word in (name, *each.also_called)},
}
_COMBINING: Final[Mapping[str, str]] = _by_word(
    {
        "any": "any or anyof oneof some should || |",
        "all": "all and allof every must && &",
        "not": "not nor none noneof mustnot ! ~",
    }
)
#: What each condition that has no value of its own says where its word is false: ``{is_null: false}``.
_OPPOSITES: Final[Mapping[str, str]] = {
    "exists: false": "exists: true",
    "empty: true": "empty: false",
    "empty: false": "empty: true",
    "=null": "not: null",
    "not: null": "=null",
}
#: Words that measure a value, which only an expression can do.
_MEASURING: Final = frozenset({"size", "length", "len", "count", "lengthequals", "minlength", "maxlength"})
#: What looks like a comparison, written as the text to equal.
_COMPARISON: Final = re.compile(r"(>=|<=|!=|<>|==|=~|>|<)\s*(\S.*)")
#: Words that nobody gives to a field, of this file and of others.
_UNMISTAKABLE: Final = frozenset(
    [
        "gt",
        "gte",
        "lt",
        "lte",
        "between",
        "regex",
        "glob",
        "equalsignorecase",
        "isnull",
        "isnotnull",
        "notnull",
        "isempty",
        "isnotempty",
        "notempty",
        "startswith",
        "beginswith",
        "beginwith",
        "stringstartswith",
        "hasprefix",
        "endswith",
        "stringendswith",
        "hassuffix",
        "notstartswith",
        "doesnotstartwith",
        "notendswith",
        "doesnotendwith",
        "notcontains",
        "doesnotcontain",
        "notincludes",
        "doesnotmatch",
        "matchesregex",
        "notregex",
        "notequal",
        "notequals",
        "notequalto",
        "doesnotequal",
        "equalfold",
        "anythingbut",
        "notin",
        "notexists",
        "doesnotexist",
        "greaterthan",
        "greaterthanorequal",
        "greaterthanorequals",
        "greaterthanorequalto",
        "largerthan",
        "morethan",
        "lessthan",
        "lessthanorequal",
        "lessthanorequals",
        "lessthanorequalto",
        "smallerthan",
    ]
)


def truth(node: Node) -> bool | None:
    """Whether a value says true or false, in any word for it; None if it says neither."""
    return truth_like(node.text) if isinstance(node, Scalar) else None


def combination(key: str) -> str:
    """The key that combines conditions as ``$or`` or ``&&`` does elsewhere; empty if none does."""
    return "" if "." in key or "[" in key else _COMBINING.get(_folded(key), "")


def combined(how: str, node: Node) -> str:
    """A combination as it is written here."""
    if isinstance(node, Map) and how != "not":
        return f"{how}: [{', '.join(f'{{{pair.key.text}: {shown(pair.value)}}}' for pair in node.pairs)}]"
    return f"{how}: {shown(node)}"


def is_operator(word: str) -> bool:
    """Whether it is an operator, here or elsewhere."""
    return _folded(word) in {*_OPERATORS, *_COMBINING, *_MEASURING, "numeric"}


def operator_at_end(key: str) -> tuple[str, str] | None:
    """The field and the operator of ``payload.name.startsWith``; None if a field may have that name."""
    field, dot, word = key.rpartition(".")
    folded = _folded(word)
    is_sign = not re.search(r"\w", word) or word.startswith("$")
    if not dot or "." not in field or "]" in word or folded not in _OPERATORS:
        return None
    return (field, word) if is_sign or folded in _UNMISTAKABLE else None


#: A comparison that was written as the name of a field.
_COMPARED: Final = re.compile(r"([A-Za-z_][\w.*\[\]-]*)\s*(>=|<=|!=|<>|=~|!~|==?=?|>|<)\s*(\S.*)")


def sign_at_end(key: str) -> tuple[str, str] | None:
    """The field and the operator of ``attrs.total >=``; None if the key is none."""
    found = re.fullmatch(r"([A-Za-z_][\w.*\[\]-]*)\s+(>=|<=|!=|<>|=~|!~|==?=?|>|<)", key)
    return (found[1], found[2]) if found and "." in found[1] else None


def compared_key(key: str) -> tuple[str, str] | None:
    """The field and the condition of ``payload.total > 5`` or ``payload.kind == "a"``; None if the key is none."""
    found = _COMPARED.fullmatch(key)
    if found is None or "." not in found[1]:
        return None
    place = Place("", 0, 0)
    value = found[3][1:-1] if found[3][0] == found[3][-1] and found[3][0] in "\"'" else found[3]
    field = actions.field(found[1]) or found[1]
    return field, comparison(field, found[2], _scalar(place, value))


def is_combined(text: str) -> bool:
    """Whether a text has several conditions."""
    return re.search(r"\s(?:and|or|AND|OR|&&|\|\|)\s", text) is not None


def as_expression(text: str) -> str:
    """Conditions in one text as they are written under ``if``: ``a.b === 1 && c.d`` is ``a.b == 1 and c.d``."""
    text = re.sub(r"\s(?:&&|AND)\s", " and ", text)
    text = re.sub(r"\s(?:\|\||OR)\s", " or ", text)
    return re.sub(r"(?<=\s)([=!])==(?=\s)", r"\1=", text)


def line(field: str, node: Node) -> str:
    """The line about a field that says here what ``node`` says elsewhere; empty if it is not known."""
    if not isinstance(node, Map):
        return f"{field}: {shown(node)}"
    match node.pairs:
        case [Pair(key=key, value=Items(nodes=nodes))] if any(isinstance(each, Map) for each in nodes):
            how = _COMBINING.get(_folded(key.text))
            if how is not None:
                return _around(how, field, nodes)
    found = [_operator(pair) for pair in node.pairs]
    if len(found) == 1 and found[0].startswith("="):
        return f"{field}: {found[0][1:]}"
    if not found or "" in found or any(each.startswith("=") for each in found):
        return ""
    return f"{field}: {{{', '.join(found)}}}"


def comparison(field: str, word: str, value: Node) -> str:
    """The line for one operator of another language and its value; empty if it is not known."""
    return line(field, Map(value.place, (Pair(_scalar(value.place, word), value),)))


def compared_text(field: str, node: Scalar) -> str:
    """The line for a comparison that was written as a text: ``>= 100``; empty if it is none."""
    found = _COMPARISON.fullmatch(node.text)
    return comparison(field, found[1], _scalar(node.place, found[2])) if found else ""


def _scalar(place: Place, text: str) -> Scalar:
    return Scalar(place, text, json_scalar(text), place)


def alternatives(field: str, nodes: Sequence[Node]) -> str:
    """The line that says here what a list of operators and values says elsewhere; empty if it is not known."""
    return line(field, nodes[0]) if len(nodes) == 1 else _around("any", field, nodes)


def measured(field: str, node: Map) -> str:
    """How a length is asked for; empty if none is."""
    asked = any(_folded(pair.key.text) in _MEASURING for pair in node.pairs)
    return f"if: ({field} | length) > 2" if asked else ""


def _around(how: str, field: str, nodes: Sequence[Node]) -> str:
    lines = [line(field, each) for each in nodes]
    return "" if "" in lines else f"{how}: [{', '.join(f'{{{each}}}' for each in lines)}]"


def _operator(pair: Pair) -> str:
    """One operator as it is written here, or ``=`` and the value of an equality; empty if it is not known."""
    word, value = _folded(pair.key.text), pair.value
    if word == "numeric" and isinstance(value, Items):
        return _numeric(value.nodes)
    written = _OPERATORS.get(word)
    if written is None:
        return ""
    if isinstance(value, Map):
        inner = [_operator(each) for each in value.pairs]
        if written != "not: {}" or not inner or "" in inner:
            return ""
        return f"not: {inner[0][1:]}" if inner[0].startswith("=") else f"not: {{{', '.join(inner)}}}"
    if written in _OPPOSITES:
        return _OPPOSITES[written] if truth(value) is False else written
    right, is_so = _right(word, value), truth(value)
    if written in ("exists: {}", "empty: {}") and is_so is not None:
        right = str(is_so).lower()
    if "regex" in written and isinstance(value, Scalar) and regexes.instead(value.text):
        right = regexes.in_order(value.text)
    return f"={right}" if written == "{}" else written.format(right)


#: Operators that compare with any value of a list.
_OF_LISTS: Final = frozenset(["in", "oneof", "anyof", "isin", "isoneof", "isanyof", "notin", "isnotin", "noneof"])
_BRACKETS: Final = re.compile(r"[(\[](.*)[)\]]")


def _right(word: str, value: Node) -> str:
    """What is compared with, as it may be copied: a list in one text as a list, and ``%`` of SQL as ``*``."""
    if isinstance(value, Scalar) and word in _OF_LISTS and "," in value.text:
        items = (each.strip(" \"'") for each in _BRACKETS.sub(r"\1", value.text).split(","))
        return f"[{', '.join(shown(_scalar(value.place, each)) for each in items if each)}]"
    if isinstance(value, Scalar) and word == "like" and "%" in value.text:
        return f"'{value.text.replace('%', '*')}'"
    return shown(value)


def _numeric(nodes: Sequence[Node]) -> str:
    """EventBridge's ``[">", 0, "<=", 5]``."""
    words = [_OPERATORS.get(shown(each), "") for each in nodes[::2]]
    if "" in words or len(nodes) % 2:
        return ""
    found = [word.format(shown(each)) for word, each in zip(words, nodes[1::2], strict=True)]
    return f"={shown(nodes[1])}" if words == ["{}"] else ", ".join(found)
