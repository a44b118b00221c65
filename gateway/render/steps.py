"""What the rewritten template calls: printing by place, marking, counting. Every filter runs behind a guard."""

import json
from collections.abc import Callable, Mapping
from functools import wraps
from inspect import signature
from typing import Any
from urllib.parse import quote

from jinja2 import pass_context
from jinja2.runtime import Context

from gateway.destinations.escapes import Escaper
from gateway.render.filters import FILTERS, default, tojson
from gateway.render.sandbox import Sandbox, budget_of, cost, field, size
from gateway.render.values import (
    OMIT,
    Escaped,
    Fragment,
    Trouble,
    UndefinedField,
    encodable,
    joined,
    jsonable,
    readable,
    weigh,
)


def _escape_of(context: Context) -> Escaper:
    sandbox = context.environment
    assert isinstance(sandbox, Sandbox)
    return sandbox.escape


# --- printing ---


@pass_context
def print_text(context: Context, value: object, path: str) -> str:
    """A value inside readable text."""
    text = readable(value, path)
    if not isinstance(text, Escaped):
        text = _escape_of(context)(text)
    budget_of(context).spend(len(text) + 1)
    return text


@pass_context
def print_string(context: Context, value: object, path: str) -> str:
    """A value inside a JSON string."""
    return json.dumps(encodable(print_text(context, value, path)), ensure_ascii=False)[1:-1]


@pass_context
def print_value(context: Context, value: object, path: str) -> str:
    """A value where JSON has one: text in quotes, null, numbers, lists and objects as they are."""
    spend = budget_of(context).spend
    if isinstance(value, Fragment):
        spend(len(value))
        return value
    return json.dumps(jsonable(value, path, _escape_of(context), spend), ensure_ascii=False)


@pass_context
def print_path(context: Context, value: object, path: str) -> str:
    """A value inside the path of a url: it never adds, ends or climbs a segment (RFC 3986, 3.3)."""
    text = readable(value, path)
    if text in ("", ".", ".."):
        raise Trouble(f'{path} is "{text}", which would change the path')
    quoted = quote(encodable(text), safe="")
    budget_of(context).spend(len(quoted) + 1)
    return quoted


@pass_context
def print_result(context: Context, value: object, path: str) -> str:
    """The value of a leaf that is one whole expression, kept beside the text."""
    budget = budget_of(context)
    budget.result = value if value is OMIT else jsonable(value, path, _escape_of(context), budget.spend)
    return ""


@pass_context
def print_truth(context: Context, value: object, path: str) -> str:  # noqa: ARG001 - as every print step
    """Whether the one expression of an ``if`` holds; a missing field does not."""
    budget_of(context).result = bool(value)
    return ""


# --- marking what is escaped already ---


@pass_context
def keep_text(context: Context, text: str) -> str:
    """What a prose block printed."""
    budget_of(context).spend(len(text))
    return Escaped(text)


@pass_context
def keep_json(context: Context, text: str) -> str:
    """What a JSON block printed."""
    budget_of(context).spend(len(text))
    return Fragment(text)


def _macro(mark: type[Escaped]) -> Callable[..., object]:
    @pass_context
    def marked(context: Context, macro: Callable[..., str], length: int) -> Callable[..., str]:
        budget = budget_of(context)

        def call(*args: object, **kwargs: object) -> str:
            # A macro that calls itself twice is a loop too.
            budget.step(size=length)
            text = mark(macro(*args, **kwargs))
            budget.spend(len(text))
            return text

        return call

    return marked


# --- counting ---


@pass_context
def count_steps(context: Context, value: Any, length: int) -> object:
    """What a loop goes over; nothing for null and for what is missing, as in a condition."""
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
    """What is compared, or a list or object that is written out: all in it counts, so none can double without end."""
    weigh(value, budget_of(context).spend)
    return value


@pass_context
def count_inside(context: Context, value: object) -> object:
    """What is looked into by ``in``; a name is found in an object at once."""
    if not isinstance(value, Mapping):
        weigh(value, budget_of(context).spend)
    return value


@pass_context
def count_made(context: Context, value: object) -> object:
    """A new piece of something."""
    budget_of(context).spend(cost(value))
    return value


@pass_context
def join_texts(context: Context, first: object, paths: tuple[str, ...], *others: object) -> str:
    """``a ~ b``."""
    parts = (first, *others)
    budget_of(context).spend(sum(map(size, parts)))
    return joined(parts, paths, _escape_of(context))


# --- the filters of filters.py ---


@pass_context
def _tojson(context: Context, value: object) -> object:
    return tojson(value, _escape_of(context), budget_of(context).spend)


def _guarded(function: Callable[..., object]) -> Callable[..., object]:
    looks_inside = "spend" in signature(function).parameters

    @pass_context
    @wraps(function)
    def guarded(context: Context, value: object, *args: object, **kwargs: object) -> object:
        if isinstance(value, UndefinedField):
            raise value.trouble()
        spend = budget_of(context).spend
        spend(cost(value) + sum(map(size, (*args, *kwargs.values()))))
        if looks_inside:
            kwargs["spend"] = spend
        result = function(value, *args, **kwargs)
        if isinstance(result, str):
            spend(len(result))
        return result

    return guarded


STEPS: Mapping[str, Callable[..., object]] = {
    **{name: _guarded(function) for name, function in FILTERS.items()},
    "default": default,
    "tojson": _tojson,
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
    "print path": print_path,
    "print result": print_result,
    "print string": print_string,
    "print text": print_text,
    "print truth": print_truth,
    "print value": print_value,
}
