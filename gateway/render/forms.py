"""The expression that does what a function, a filter or a test of another language does. Pure; empty where none does."""

import re
from collections.abc import Mapping, Sequence
from typing import Final

from gateway.render import calls
from gateway.render.filters import FILTERS
from gateway.render.formats import strftime
from gateway.render.sandbox import TEXT_METHODS
from gateway.wording import folded, suggest

_JSON: Final = "{0} | tojson"
_OR_ELSE: Final = "{0} | default({1}, true)"
_SUM: Final = "{0} | sum_of({1})"
_DATE: Final = "{0} | date({1})"

#: By the name in lower case without marks: ``{0}`` is the value, ``{1}`` what is given with it.
_FORMS: Final[Mapping[str, str]] = {
    # Texts
    **dict.fromkeys(("startswith", "startingwith", "beginswith", "hasprefix"), "{0}.startswith({1})"),
    **dict.fromkeys(("endswith", "endingwith", "hassuffix"), "{0}.endswith({1})"),
    **dict.fromkeys(("toupper", "touppercase", "uppercase", "upcase"), "{0} | upper"),
    **dict.fromkeys(("tolower", "tolowercase", "lowercase", "downcase"), "{0} | lower"),
    **dict.fromkeys(("ucfirst", "upcasefirst"), "{0} | capitalize"),
    **dict.fromkeys(("titlecase", "capitalizeall", "totitlecase"), "{0} | title"),
    "trimspace": "{0} | trim",
    "append": "{0} ~ {1}",
    "prepend": "{1} ~ {0}",
    "remove": '{0} | replace({1}, "")',
    "replacefirst": "{0} | replace({1}, {2}, 1)",
    "stripnewlines": '{0} | replace("\\n", "")',
    **dict.fromkeys(("strip", "trimspaces"), "{0} | trim"),
    "basename": '{0}.rpartition("/")[2]',
    "dirname": '{0}.rpartition("/")[0]',
    **dict.fromkeys(("urlescape", "urlencoded", "encodeurl", "encodeuricomponent"), "{0} | urlencode"),
    # Numbers
    **dict.fromkeys(("plus", "add"), "{0} + {1}"),
    **dict.fromkeys(("minus", "subtract"), "{0} - {1}"),
    **dict.fromkeys(("times", "multiply", "multipliedby"), "{0} * {1}"),
    **dict.fromkeys(("dividedby", "divide"), "{0} / {1}"),
    **dict.fromkeys(("modulo", "mod"), "{0} % {1}"),
    "atleast": "[{0}, {1}] | max",
    "atmost": "[{0}, {1}] | min",
    "floor": "({0} // 1) | int",
    "ceil": "(-(-{0} // 1)) | int",
    "tonumber": "{0} | float",
    **dict.fromkeys(("numberwithdelimiter", "thousands", "tolocalestring"), '{0} | number(group=",")'),
    # Conditions and defaults
    **dict.fromkeys(("ternary", "iif", "if"), "{1} if {0} else {2}"),
    **dict.fromkeys(("d", "defaultifnone"), "{0} | default({1})"),
    **dict.fromkeys(("ifempty", "coalesce", "fallback"), _OR_ELSE),
    "inlist": "{0} in {1}",
    "truthy": "{0}",
    "falsy": "not {0}",
    **dict.fromkeys(("sameas", "equals"), "{0} == {1}"),
    **dict.fromkeys(("bool", "boolean", "tobool", "toboolean"), '{0} in [true, 1, "true", "yes", "on", "1"]'),
    # Lists and objects
    **dict.fromkeys(("size", "len"), "{0} | length"),
    "wordcount": "{0}.split() | length",
    "uniq": "{0} | unique",
    **dict.fromkeys(("sorted", "sortnatural"), "{0} | sort"),
    "where": '{0} | selectattr({1}, "eq", {2})',
    "pluck": "{0} | map({1})",
    "sumby": _SUM,
    "nth": "{0}[{1}]",
    "limit": "{0}[:{1}]",
    "offset": "{0}[{1}:]",
    "dict2items": "{0} | items",
    # Dates
    **dict.fromkeys(("formatdate", "dateformat", "datetimeformat", "timestampcustom", "strftime"), _DATE),
    **dict.fromkeys(("isoformat", "toisostring", "tolocaledatestring"), _DATE),
    # Written out
    **dict.fromkeys(("json", "tonicejson", "toprettyjson", "jsonencode", "jsonify", "stringify", "dump"), _JSON),
    **dict.fromkeys(("str", "tostring", "tos"), "{0} | string"),
    "hmacsha256": "{0} | hmac({1})",
}
#: What is asked of a value, as a test.
_ASKED: Final[Mapping[str, str]] = {
    **dict.fromkeys(("list", "array"), "{0} is sequence and {0} is not string and {0} is not mapping"),
    **{name: _FORMS[name] for name in ("truthy", "falsy", "sameas", "equals", "startswith", "startingwith", "inlist")},
    **{name: _FORMS[name] for name in ("endswith", "endingwith")},
    **dict.fromkeys(("empty", "blank"), "not {0}"),
    **dict.fromkeys(("null", "nil"), "{0} is none"),
    "present": "{0} is defined",
    **dict.fromkeys(("dict", "object", "map"), "{0} is mapping"),
    "str": "{0} is string",
    "int": "{0} is integer",
    "bool": "{0} is boolean",
}
#: What is given where nothing was, by the form.
_GIVEN: Final = {_DATE: '"%d.%m.%Y"', _SUM: '"price"'}


def form(name: str, value: str, arguments: Sequence[str] = ()) -> str:
    """``write 'x' in attrs.a`` for ``attrs.a | contains('x')`` and ``contains(attrs.a, 'x')``."""
    plain = folded(name)
    if plain in ("max", "min") and arguments:
        return f"write [{', '.join((value, *arguments))}] | {plain}"
    if plain in FILTERS:
        return f"write {value} | {plain}" + (f"({', '.join(arguments)})" if arguments else "")
    if name in TEXT_METHODS:
        return f"write {value}.{name}({', '.join(arguments)})"
    written = _FORMS.get(plain, "")
    return _filled(written, value, arguments) if written else calls.known(value, name, arguments)


#: Methods that change their list or object.
_CHANGING: Final = frozenset({"append", "push", "update"})


def method(of: str, name: str, arguments: Sequence[str]) -> str:
    """The same for ``attrs.a.contains('x')``; the name that is meant by one that is only like a method."""
    plain = folded(name)
    if plain in _CHANGING:
        return "remove it: values of the event cannot be changed"
    if plain == "join" and of[:1] in "'\"" and arguments:
        # ", ".join(list)
        return f"write {arguments[0]} | join({of})"
    return form(name, of, arguments) or suggest(name, sorted(TEXT_METHODS), closeness=0.75)


def asked(name: str, value: str, arguments: Sequence[str], *, is_denied: bool = False) -> str:
    """The same for ``attrs.a is contains('x')``, and ``is not`` if it ``is_denied``."""
    written = _ASKED.get(folded(name), "")
    if written:
        return _filled(_opposite(written) if is_denied else written, value, arguments)
    hint = calls.known(value, name, arguments)
    return denied(hint) if is_denied else hint


def _opposite(written: str) -> str:
    if re.fullmatch(r"\{0\} is \w+", written):
        return written.replace(" is ", " is not ")
    return written.removeprefix("not ") if written.startswith("not ") else f"not ({written})"


def _filled(written: str, value: str, arguments: Sequence[str]) -> str:
    if written == _DATE:
        arguments = [_as_format(each) for each in arguments]
    # A remedy is a template, too, where something was left out.
    missing = [_GIVEN.get(written, '"..."')] * 2
    return f"write {written.format(value, *arguments, *missing)}"


def _as_format(argument: str) -> str:
    """A format of another language as strftime has it, if it is written out."""
    right = strftime(argument[1:-1]) if argument[:1] in "'\"" else ""
    return f"{argument[0]}{right}{argument[0]}" if right else argument


def denied(hint: str) -> str:
    """A hint for the opposite of a test: ``write not ('x' in attrs.a)``."""
    written = hint.removeprefix("write ")
    if written == hint:
        return hint
    if written.startswith(WHERE):
        return f"write where: {{not: {written.removeprefix(WHERE)}}}"
    return f"write not ({written})"


# --- regular expressions ---

#: What a condition begins with that only a route can have.
WHERE: Final = "where: "
#: Tests and filters of Ansible and of others that look for a pattern, and whether only at the beginning.
SEARCHING: Final[Mapping[str, bool]] = {
    **dict.fromkeys(("match", "regex_match", "matches"), True),
    **dict.fromkeys(("search", "regex", "regex_search", "test"), False),
}
#: A pattern that is a text, at the beginning, at the end or anywhere.
_LITERAL: Final = re.compile(r"(?P<start>\^?)(?P<text>(?:[^\\.^$*+?{}\[\]|()]|\\[^\w\s])+)(?P<end>\$?)")


def matching(name: str, value: str, pattern: str) -> str:
    """What to write for a condition on a text, by its pattern."""
    if SEARCHING[name] and not pattern.startswith("^"):
        pattern = f"^(?:{pattern})" if "|" in pattern else f"^{pattern}"
    literal = _LITERAL.fullmatch(pattern)
    if literal is None:
        return f"write where: {{{value}: {{regex: {_in_yaml(pattern)}}}}}"
    text = in_quotes(re.sub(r"\\(.)", r"\1", literal["text"]))
    match bool(literal["start"]), bool(literal["end"]):
        case True, True:
            return f"write {value} == {text}"
        case True, False:
            return f"write {value}.startswith({text})"
        case False, True:
            return f"write {value}.endswith({text})"
    return f"write {text} in {value}"


def found(name: str, value: str, pattern: str) -> str:
    """What to write for the part of a text that a pattern finds; an empty text if it finds none."""
    whole = f"(?s)^(?:({pattern}).*|.*)$" if SEARCHING[name] else f"(?s)^.*?(?:({pattern}).*)?$"
    return f"write {value} | regex_replace({in_quotes(whole)}, {in_quotes(chr(92) + '1')})"


def bare(expression: str) -> str:
    """An expression as a value of YAML without quotes, where a quote or a bracket at its beginning means something else."""
    return f"({expression})" if expression[:1] in "'\"[{!&*%@`|>-" else expression


def in_quotes(text: str) -> str:
    """A text as a template has it."""
    text = text.replace("\\", "\\\\").replace("\n", "\\n")
    return f"'{text}'" if "'" not in text else '"{}"'.format(text.replace('"', '\\"'))


def _in_yaml(text: str) -> str:
    return "'{}'".format(text.replace("'", "''"))
