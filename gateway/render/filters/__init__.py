"""Every filter, test and function that a template may use. Pure; none makes a text much longer than it was.

To add a filter, write a function with a doctest in one of the modules here and add it to FILTERS: its first line is its
description in the reference. The function receives the value first and is never called for a missing field, except
``default``. One that walks through everything in its value takes ``spend`` (see ``weigh``) as a keyword.
"""

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, cast

from jinja2 import pass_context
from jinja2 import tests as jinja_tests
from jinja2.runtime import Context

from gateway.render.filters import groups, lists, markup, money, numbers, regexes, sums, texts, times
from gateway.render.sandbox import CHAT_ESCAPED, Sandbox
from gateway.render.values import OMIT

#: Each with its name in templates.
FILTERS: Mapping[str, Callable[..., object]] = {
    "abs": numbers.abs_,
    "batch": groups.batch,
    "bold": markup.bold,
    "capitalize": texts.capitalize,
    "count": lists.length,
    "date": times.date,
    "default": texts.default,
    "dictsort": groups.dictsort,
    "first": lists.first,
    "float": numbers.float_,
    "groupby": groups.groupby,
    "hmac": texts.hmac_,
    "int": numbers.int_,
    "items": lists.items,
    "join": lists.join,
    "last": lists.last,
    "length": lists.length,
    "lines": markup.lines,
    "link": markup.link,
    "list": lists.list_,
    "lower": texts.lower,
    "map": lists.map_,
    "mask": texts.mask,
    "max": lists.max_,
    "min": lists.min_,
    "money": money.money,
    "mrkdwn_raw": markup.mrkdwn_raw,
    "number": money.number,
    "phone": texts.phone,
    "regex_replace": regexes.regex_replace,
    "rejectattr": groups.rejectattr,
    "replace": texts.replace,
    "reverse": lists.reverse,
    "round": numbers.round_,
    "selectattr": groups.selectattr,
    "sha256": texts.sha256,
    "slack_link": markup.slack_link,
    "slack_user": markup.slack_user,
    "sort": lists.sort,
    "string": texts.string,
    "striptags": texts.striptags,
    "sum": lists.sum_,
    "sum_of": sums.sum_of,
    "title": texts.title,
    "tojson": texts.tojson,
    "trim": texts.trim,
    "truncate": texts.truncate,
    "unique": lists.unique,
    "upper": texts.upper,
    "urlencode": texts.urlencode,
}

#: What a filter or function costs for each character or element of its value, beyond reading it and making the result:
#: one that stops at every word or element takes longer than one that copies a text.
PRICES: Mapping[Callable[..., object], int] = {
    lists.join: 32,
    lists.list_: 8,
    lists.map_: 96,
    lists.max_: 16,
    lists.min_: 16,
    lists.sort: 32,
    lists.sum_: 16,
    lists.unique: 16,
    markup.slack_link: CHAT_ESCAPED,
    texts.capitalize: 2,
    texts.lower: 2,
    regexes.regex_replace: CHAT_ESCAPED,
    texts.phone: 32,
    texts.striptags: 16,
    texts.title: 32,
    texts.upper: 2,
    texts.urlencode: 8,
}

#: Those of which an argument is read when the template is loaded: each raises Trouble for one that is written wrongly.
READ_AT_LOAD: Mapping[str, Callable[[str], object]] = {
    "regex_replace": regexes.checked,
    "sum_of": sums.compiled,
}

#: Those that look at the ends of a value only.
AT_ONCE = frozenset({lists.first, lists.last, lists.length})


def markup_of(context: Context) -> markup.Markup:
    """How links and bold texts are written in a template."""
    sandbox = context.environment
    assert isinstance(sandbox, Sandbox)
    return markup.MARKED if sandbox.is_marking else markup.NONE


def _written(function: Callable[..., object]) -> Callable[..., object]:
    @pass_context
    @wraps(function)
    def written(context: Context, *args: object, **kwargs: object) -> object:
        return function(*args, **kwargs, markup=markup_of(context))

    return written


FUNCTIONS: Mapping[str, object] = {
    "bold": _written(markup.bold),
    "link": _written(markup.link),
    "namespace": lists.namespace,
    "omit": OMIT,
    "range": lists.range_,
    "slack_link": markup.slack_link,
    "slack_user": markup.slack_user,
}

TESTS: Mapping[str, Callable[..., Any]] = {
    name: cast("Callable[..., Any]", jinja_tests.TESTS[name])
    for name in [
        "boolean",
        "defined",
        "divisibleby",
        "eq",
        "equalto",
        "even",
        "false",
        "float",
        "ge",
        "gt",
        "in",
        "integer",
        "iterable",
        "le",
        "lower",
        "lt",
        "mapping",
        "ne",
        "none",
        "number",
        "odd",
        "sequence",
        "string",
        "true",
        "undefined",
        "upper",
        "==",
        "!=",
        ">",
        ">=",
        "<",
        "<=",
    ]
}

#: Tests that look inside their values.
COMPARING_TESTS = frozenset(
    ["==", "!=", "<", "<=", ">", ">=", "eq", "equalto", "ge", "gt", "in", "le", "lower", "lt", "ne", "upper"]
)
