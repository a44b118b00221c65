"""Comparisons that are written with a sign: ``attrs.total: >= 3``, ``match: !contact.deleted``. YAML reads most of these signs as something else."""

import re
from collections.abc import Mapping, Sequence
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


def all_but(patterns: Sequence[str]) -> str:
    """The condition that leaves out the events of these types: ``event.type: {not: contact.deleted}``."""
    listed = ", ".join(f"'{each.replace('**', '*')}'" if "*" in each else each for each in patterns)
    operand = listed if len(patterns) == 1 else f"[{listed}]"
    return f"event.type: {{not: {{glob: {operand}}}}}" if "*" in listed else f"event.type: {{not: {operand}}}"


#: A type that a list of patterns is to leave out, up to its mark.
_MATCHED: Final = re.compile(r"\bmatch:\s*(?:\[[^\]]*)?$")
_TYPE: Final = re.compile(r"!\s*(?P<pattern>[\w.*/:-]+)")


def excluded(text: str, column: int) -> str:
    """The type that ``match: !contact.deleted`` leaves out, whose mark is at a column, counted from 1; empty if none does."""
    found = _TYPE.match(text, column - 1)
    return found["pattern"] if found and _MATCHED.search(text[: column - 1]) else ""
