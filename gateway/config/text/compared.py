"""Comparisons that are written with a sign: ``attrs.total: >= 3``. YAML reads most of these signs as something else."""

import re
from collections.abc import Mapping
from typing import Final

#: What is written for each sign.
_OPERATORS: Final[Mapping[str, str]] = {">=": "gte", ">": "gt", "!=": "not", "!": "not"}
#: The name of a field, up to the value.
_FIELD: Final = re.compile(r"(?P<field>[\w.\[\]*-]+\.[\w.\[\]*-]+):\s*$")
_VALUE: Final = re.compile(r"(?P<sign>>=?|!=?)\s*(?P<value>[^\s,{}#][^,{}]*?)\s*(?:[,}]|\s#|$)")


def compared(text: str, column: int) -> tuple[str, str] | None:
    """The sign at a column, counted from 1, and the condition to write; None if no field is compared there."""
    field, value = _FIELD.search(text[: column - 1]), _VALUE.match(text, column - 1)
    if field is None or value is None:
        return None
    return value["sign"], f"{field['field']}: {{{_OPERATORS[value['sign']]}: {value['value']}}}"
