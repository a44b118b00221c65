"""What the rewritten template calls: printing by place, marking and counting. Every filter is guarded."""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import wraps
from html import unescape
from inspect import signature
from typing import Any, Final

from jinja2 import pass_context
from jinja2.runtime import Context

from gateway.destinations.escapes import Escaper
from gateway.destinations.markup import said
from gateway.destinations.requests import LONGEST_URL
from gateway.render.filters import AT_ONCE, FILTERS, PRICES, markup_of
from gateway.render.filters.arguments import fields, trouble_with
from gateway.render.filters.money import exact
from gateway.render.filters.texts import default, tojson
from gateway.render.sandbox import Sandbox, budget_of, cost, field, size
from gateway.render.values import (
    OMIT,
    SCALAR,
    Escaped,
    Fragment,
    Trouble,
    UndefinedField,
    encodable,
    joined,
    json_of,
    jsonable,
    percent_encoded,
    readable,
    weigh,
)


def _sandbox(context: Context) -> Sandbox:
    sandbox = context.environment
    assert isinstance(sandbox, Sandbox)
    return sandbox


def _escape_of(context: Context) -> Escaper:
    return _sandbox(context).escaper(context)


# --- printing ---


@pass_context
def print_text(context: Context, value: object, path: str) -> str:
    """A value inside text for people."""
    text = readable(value, path)
    sandbox, budget = _sandbox(context), budget_of(context)
    return sandbox.printed(budget, text) if isinstance(text, Escaped) else sandbox.escaped(budget, text)


@pass_context
def print_attribute(context: Context, value: object, path: str) -> str:
    """A value inside a quoted attribute of HTML, which not even the markup of a macro or set block can end."""
    text = print_text(context, value, path)
    return text.translate(_MARKUP) if isinstance(value, Escaped) else text


_MARKUP: Final = str.maketrans({'"': "&#34;", "'": "&#39;", "<": "&lt;", ">": "&gt;"})


@pass_context
def print_address(context: Context, value: object, path: str) -> str:
    """A value that begins an address in HTML; one that may run code becomes ``#``, which leads nowhere."""
    text = readable(value, path)
    address = unescape(text) if isinstance(text, Escaped) else text
    return "#" if runs_code(address) else print_attribute(context, value, path)


@pass_context
def print_string(context: Context, value: object, path: str) -> str:
    """A value inside a JSON string."""
    return json.dumps(encodable(print_text(context, value, path)), ensure_ascii=False)[1:-1]


@pass_context
def print_value(context: Context, value: object, path: str) -> str:
    """A value where JSON has one: text in quotes, null, numbers, lists and objects unchanged."""
    if isinstance(value, Fragment):
        return _sandbox(context).printed(budget_of(context), value)
    return json_of(value, path, _escape_of(context), budget_of(context).spend)


@pass_context
def print_path(context: Context, value: object, path: str) -> str:
    """A value inside the path of a url, which cannot add, end or climb a segment (RFC 3986, 3.3)."""
    text = readable(value, path)
    if text in ("", ".", ".."):
        raise Trouble(f'{path} is "{text}", which would change the path')
    if len(text) > LONGEST_URL:
        raise Trouble(f"{path} has {len(text):,} characters: a url has at most {LONGEST_URL:,}")
    quoted = percent_encoded(text)
    budget_of(context).spend(len(quoted) + 1)
    return quoted


@pass_context
def print_result(context: Context, value: object, path: str) -> str:
    """Keep the value of a leaf that is a single expression; print nothing."""
    budget = budget_of(context)
    budget.result = value if value is OMIT else jsonable(value, path, _escape_of(context), budget.spend)
    return ""


@pass_context
def print_truth(context: Context, value: object, path: str) -> str:  # noqa: ARG001 - as every print step
    """Keep whether the expression of an ``if`` holds, which it does not for a missing field; print nothing."""
    budget_of(context).result = bool(value)
    return ""


# --- marking text that is already escaped ---


@pass_context
def keep_text(context: Context, text: str) -> str:
    """The output of a prose block."""
    budget_of(context).spend(len(text))
    return Escaped(text, said(text))


@pass_context
def keep_json(context: Context, text: str) -> str:
    """The output of a JSON block."""
    budget_of(context).spend(len(text))
    return Fragment(text, said(text))


def _macro(mark: type[Escaped]) -> Callable[..., object]:
    @pass_context
    def marked(context: Context, macro: Callable[..., str], length: int) -> Callable[..., str]:
        budget = budget_of(context)

        def call(*args: object, **kwargs: object) -> str:
            # A macro that calls itself twice is a loop, too.
            budget.step(size=length)
            output = macro(*args, **kwargs)
            budget.spend(len(output))
            return mark(output, said(output))

        return call

    return marked


# --- counting ---


@pass_context
def count_steps(context: Context, value: Any, length: int) -> object:
    """What a loop iterates over; nothing if it is null or missing, which is false in a condition, too."""
    if value is None or isinstance(value, UndefinedField):
        return ()
    elements = value if isinstance(value, str | list | tuple | range) else list(value)
    budget_of(context).step(len(elements), length)
    return elements


@pass_context
def count_file(context: Context, name: str, length: int) -> str:
    """The name of a file that is included or imported."""
    budget_of(context).step(size=length)
    return name


@pass_context
def count_all(context: Context, value: object) -> object:
    """A value that is compared, or a list or object that a template builds: all of it counts, so none can keep doubling."""
    weigh(value, budget_of(context).spend)
    return value


@pass_context
def count_inside(context: Context, value: object) -> object:
    """The right side of ``in``. Objects cost nothing: a key is found at once."""
    if not isinstance(value, Mapping):
        weigh(value, budget_of(context).spend)
    return value


@pass_context
def count_made(context: Context, value: object) -> object:
    """A slice, which is a new value."""
    budget_of(context).spend(cost(value))
    return value


@pass_context
def join_texts(context: Context, first: object, paths: tuple[str, ...], *others: object) -> str:
    """``a ~ b``."""
    parts = (first, *others)
    budget_of(context).spend(sum(map(size, parts)))
    return joined(parts, paths, _escape_of(context))


# --- arithmetic ---


@pass_context
def compute(context: Context, left: object, operator: str, paths: tuple[str, str], right: object) -> object:
    """``a * b``."""
    try:
        return _sandbox(context).call_binop(context, operator, left, right)
    except Trouble as trouble:
        nulls = [
            f"{path} | default(0)"
            for each, path in zip((left, right), paths, strict=True)
            if each is None and _FIELD.fullmatch(path)
        ]
        remedies = (
            [" and ".join(nulls)] if nulls else [*_as_numbers((left, right), paths), *_joining(left, operator, right)]
        )
        if not remedies or trouble.quoted or any(isinstance(side, UndefinedField) for side in (left, right)):
            raise
        raise Trouble(f"{trouble.text}: write {', or '.join(remedies)}") from None


def _as_numbers(operands: Sequence[object], paths: Sequence[str]) -> Iterator[str]:
    """The texts among the operands as numbers; nothing if one cannot be a number."""
    if all(exact(each) is not None for each in operands):
        texts = [path for each, path in zip(operands, paths, strict=True) if isinstance(each, str)]
        are_fields = all(map(_FIELD.fullmatch, texts))
        yield " and ".join(f"({path} | number)" for path in texts) if are_fields else "| number after the text"


def _joining(left: object, operator: str, right: object) -> Iterator[str]:
    if operator == "+" and isinstance(left, str) != isinstance(right, str):
        yield "~ to join them"


#: A field as it is shown, which can be copied.
_FIELD: Final = re.compile(r"[\w.\[\]']+")


# --- the filters of FILTERS ---


@pass_context
def _tojson(context: Context, value: object) -> object:
    if isinstance(value, UndefinedField):
        raise _missing(value, "tojson")
    return tojson(value, _escape_of(context), budget_of(context).spend)


#: What a filter can make something of where a field is missing, by the name of the filter; others read any text.
_DEFAULTS: Final[Mapping[str, str]] = {
    **dict.fromkeys(("abs", "float", "int", "money", "number", "round"), "0"),
    **dict.fromkeys(
        ("batch", "count", "first", "groupby", "join", "last", "length", "lines", "list", "map", "max"), "[]"
    ),
    **dict.fromkeys(("min", "rejectattr", "reverse", "selectattr", "sort", "sum", "sum_of", "unique"), "[]"),
    **dict.fromkeys(("dictsort", "items"), "{}"),
    "tojson": "none",
}


def _missing(value: UndefinedField, name: str) -> Trouble:
    """The error for a missing field that a filter reads: a default after the filter would come too late."""
    if name == "date":
        return Trouble(f'the event has no field {value.path}: add default="..." to the arguments of date')
    return value.trouble_with_default(_DEFAULTS.get(name, '"..."'))


def _guarded(function: Callable[..., object], name: str) -> Callable[..., object]:
    looks_inside, writes = "spend" in signature(function).parameters, "markup" in signature(function).parameters
    has_default = "default" in signature(function).parameters
    at_once, dear = function in AT_ONCE, PRICES.get(function, 0)

    @pass_context
    @wraps(function)
    def guarded(context: Context, value: object, *args: object, **kwargs: object) -> object:
        if isinstance(value, UndefinedField):
            if has_default and "default" in kwargs:
                return kwargs["default"]
            raise _missing(value, name)
        spend = budget_of(context).spend
        arguments = sum(map(size, (*args, *kwargs.values())))
        spend(
            SCALAR + arguments
            if at_once
            else cost(value) + dear * size(value) + (1 + dear * isinstance(value, str)) * arguments
        )
        if looks_inside:
            kwargs["spend"] = spend
        if writes:
            kwargs["markup"] = markup_of(context)
        result = function(value, *args, **kwargs)
        if isinstance(result, str):
            spend(len(result))
        return result

    return guarded


def _map() -> Callable[..., object]:
    """``map``: a field of objects; of texts and numbers, what the filter of that name makes of each."""
    of_fields = _guarded(FILTERS["map"], "map")

    @pass_context
    @wraps(FILTERS["map"])
    def mapped(context: Context, value: object, *args: object, **kwargs: object) -> object:
        if not args or not isinstance(value, list | tuple | range) or not any(isinstance(one, _PLAIN) for one in value):
            return of_fields(context, value, *args, **kwargs)
        name, *rest = args
        each = STEPS.get(name) if isinstance(name, str) and name in FILTERS else None
        if each is None:
            raise trouble_with(name, "map: {} is neither a field of an object nor a filter")
        budget_of(context).spend(PRICES[FILTERS["map"]] * len(value))
        return [
            each(context, one, *rest, **kwargs) if isinstance(one, _PLAIN) else fields([one], name)[0] for one in value
        ]

    return mapped


#: Values that have no fields.
_PLAIN: Final = str | int | float

STEPS: Mapping[str, Callable[..., object]] = {
    **{name: _guarded(function, name) for name, function in FILTERS.items()},
    "default": default,
    "map": _map(),
    "tojson": _tojson,
    "compute": compute,
    "count file": count_file,
    "count all": count_all,
    "count inside": count_inside,
    "count made": count_made,
    "count steps": count_steps,
    "join texts": join_texts,
    "keep text": keep_text,
    "keep value": keep_json,
    "look up": field,
    "macro text": _macro(Escaped),
    "macro value": _macro(Fragment),
    "print address": print_address,
    "print attribute": print_attribute,
    "print path": print_path,
    "print result": print_result,
    "print string": print_string,
    "print text": print_text,
    "print truth": print_truth,
    "print value": print_value,
}

#: Those that are called without the context.
WITHOUT_CONTEXT: Final = frozenset({"default", "look up"})


# --- addresses ---

_SCHEME: Final = re.compile(r"([^/?#:]*):")
#: Schemes of addresses that run no code.
_SCHEMES: Final = frozenset({"http", "https", "mailto", "tel"})


def runs_code(address: str) -> bool:
    r"""Whether an address may run code where somebody follows it. Browsers ignore blanks and controls in its scheme.

    >>> runs_code("java\tscript:alert(1)"), runs_code("https://example.com"), runs_code("/a:b")
    (True, False, False)
    """
    found = _SCHEME.match(re.sub(r"[\x00-\x20]", "", address))
    return found is not None and found[1].lower() not in _SCHEMES
