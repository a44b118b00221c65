"""Conditions with several values, or the exclusion of one, in one text: ``lead, customer``, ``lead or customer``, ``not lead``.

Many texts have a comma or begin with "not". One is meant as several values only if a sample has one of these, and none
has the whole text.
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Final

from gateway.config.text.reader import json_scalar
from gateway.event.conditions import Check, Clause, Condition
from gateway.event.values import Value, as_json

_ITEM: Final = r"(?:\w[\w.@+-]*|\"\w[\w.@+-]*\"|'\w[\w.@+-]*')"
_SEVERAL: Final = re.compile(
    rf"(?:(?:in|either|(?:any|one) of)\b\s*)?[(\[]?\s*(?P<items>{_ITEM}(?:(?:\s*(?:[,;]\s*or\s|[,;]|\|\|?)\s*|\s+or\s+){_ITEM})+)\s*[)\]]?",
    re.IGNORECASE,
)
_OR: Final = re.compile(r"(?<=[\s,;])or\s", re.IGNORECASE)
_OTHER: Final = re.compile(
    rf"(?:not|except|(?:any|every|all)(?:thing)?\s+(?:but|except)|is\s+not|isn't)\s+(?P<item>{_ITEM})", re.IGNORECASE
)
_EXACTLY: Final = '"{}" is compared with exactly this text'


def in_one_text(field: str, condition: Condition, values: Sequence[object]) -> tuple[str, str] | None:
    """What is wrong with a condition and what to write; ``values``: those that the field has in samples."""
    compared, is_denied = _compared(condition)
    if not any(map(_may_be_several, compared)):
        return None
    known = {each.lower(): each for each in values if isinstance(each, str)}
    listed = list[Value]()
    for value in compared:
        if isinstance(value, str) and not is_denied and (other := _other(value, known)):
            return _EXACTLY.format(field), f"write {field}: {{not: {_written(other)}}} for an exclusion"
        listed += _items(value, known) if isinstance(value, str) else [value]
    if len(listed) == len(compared):
        return None
    right = f"[{', '.join(map(_written, listed))}]"
    return _EXACTLY.format(field), f"write {field}: {f'{{not: {right}}}' if is_denied else right} for a list"


def _may_be_several(value: Value) -> bool:
    return isinstance(value, str) and bool(_SEVERAL.fullmatch(value) or _OTHER.fullmatch(value))


def _compared(condition: Condition) -> tuple[Sequence[Value], bool]:
    """What a condition compares the field with, and whether it leaves that out."""
    if isinstance(condition, Check) and condition.operator == "not":
        return condition.operands, True
    return (condition.values if isinstance(condition, Clause) else ()), False


def _other(text: str, known: Mapping[str, str]) -> str:
    """The value that a text leaves out, as a sample has it; empty for any other text."""
    found = _OTHER.fullmatch(text)
    return "" if found is None or text.lower() in known else known.get(_bare(found["item"]).lower(), "")


def _items(text: str, known: Mapping[str, str]) -> Sequence[str]:
    """The values in a text, as the samples have them; the text itself if it is one value."""
    found = _SEVERAL.fullmatch(text)
    if found is None or text.lower() in known:
        return [text]
    items = [_bare(each) for each in re.findall(_ITEM, _OR.sub(",", found["items"]))]
    return [known.get(each.lower(), each) for each in items] if any(each.lower() in known for each in items) else [text]


def _bare(item: str) -> str:
    return item.strip("\"'")


def _written(value: Value) -> str:
    """As YAML; a text that looks like anything else in quotes."""
    if not isinstance(value, str):
        return as_json(value)
    is_plain = re.fullmatch(_ITEM, value) and isinstance(json_scalar(value), str)
    return value if is_plain else json.dumps(value, ensure_ascii=False)
