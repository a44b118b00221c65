"""Renders templates to bytes: values are escaped, and an unknown name is an error."""

from collections.abc import Mapping
from functools import cache
from typing import Any, Final

import jinja2
import msgspec

from gateway.console import charts, story, text, words
from gateway.operate.conditions import success
from gateway.operate.outcomes import deed, outcome
from gateway.rehearsal.explained import in_words
from gateway.wording import count, size

_WORDS: Final = (
    words.ago, words.clock, words.condition, words.earlier, words.fate, words.own_words, words.pause, words.percent, words.rate,
    words.next_attempt, words.short, words.span, words.tale, words.took,
)  # fmt: skip
_FILTERS: Final[Mapping[str, Any]] = {
    **{
        each.__name__: each
        for each in (*_WORDS, text.shown, text.flat, text.marked, text.pretty, charts.hour, charts.received)
    },
    "any": any,
    "deed_icon": story.deed_icon,
    "deed_link": story.deed_link,
    "outcome": outcome,
    "deed": deed,
    "success": success,
    "overdue": story.most_overdue,
    "count": count,
    "size": size,
    "in_words": in_words,
    "value": lambda value: msgspec.json.encode(value).decode(),
}


def page(name: str, **values: Any) -> bytes:
    """The page in UTF-8; unpaired surrogates become question marks."""
    return _environment().get_template(name).render(values).encode("utf-8", "replace")


@cache
def macro(name: str) -> Any:
    """A macro of ``parts.html``, callable with its arguments."""
    return getattr(_environment().get_template("parts.html").module, name)


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("gateway.console"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.filters.update(_FILTERS)
    return environment
