"""Every filter, test and function that a template may use. Pure; none makes a text much longer than it was.

To add a filter, write a function with a doctest in one of the modules here and add it to FILTERS: its first line is its
description in the reference. The function receives the value first and is never called for a missing field, except
``default``. One that walks through everything in its value takes ``spend`` (see ``weigh``) as a keyword.
"""

from collections.abc import Callable, Mapping
from typing import Any, cast

from jinja2 import tests as jinja_tests

from gateway.render.filters.lists import (
    first,
    items,
    join,
    last,
    length,
    list_,
    map_,
    max_,
    min_,
    range_,
    reverse,
    sort,
    sum_,
    unique,
)
from gateway.render.filters.numbers import abs_, date, float_, int_, round_
from gateway.render.filters.slack import mrkdwn_raw, slack_link, slack_user
from gateway.render.filters.texts import (
    capitalize,
    default,
    hmac_,
    lower,
    mask,
    phone,
    replace,
    sha256,
    string,
    title,
    tojson,
    trim,
    truncate,
    upper,
    urlencode,
)
from gateway.render.values import OMIT

#: Each with its name in templates.
FILTERS: Mapping[str, Callable[..., object]] = {
    "abs": abs_,
    "capitalize": capitalize,
    "count": length,
    "date": date,
    "default": default,
    "first": first,
    "float": float_,
    "hmac": hmac_,
    "int": int_,
    "items": items,
    "join": join,
    "last": last,
    "length": length,
    "list": list_,
    "lower": lower,
    "map": map_,
    "mask": mask,
    "max": max_,
    "min": min_,
    "mrkdwn_raw": mrkdwn_raw,
    "phone": phone,
    "replace": replace,
    "reverse": reverse,
    "round": round_,
    "sha256": sha256,
    "slack_link": slack_link,
    "slack_user": slack_user,
    "sort": sort,
    "string": string,
    "sum": sum_,
    "title": title,
    "tojson": tojson,
    "trim": trim,
    "truncate": truncate,
    "unique": unique,
    "upper": upper,
    "urlencode": urlencode,
}

FUNCTIONS: Mapping[str, object] = {
    "omit": OMIT,
    "range": range_,
    "slack_link": slack_link,
    "slack_user": slack_user,
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
