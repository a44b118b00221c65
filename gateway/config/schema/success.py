"""The keys of ``success``: which responses of a destination count as accepted."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Final

from gateway.config.schema import conditions, values
from gateway.config.schema.conditions import Where
from gateway.config.schema.keys import Section, key, read_section
from gateway.config.schema.reading import Parser, Reading, Unfit, Words, shape_of, shaped
from gateway.config.schema.remedies import Instead, Remedy
from gateway.config.text.reader import Items, Node, Scalar
from gateway.event.conditions import Check, Clause, Combined, Condition


def _one_status(written: Words, label: str) -> Condition:
    if re.fullmatch("[2-5]xx", written.text):
        lowest = int(written.text[0]) * 100
        bounds = (("gte", lowest), ("lt", lowest + 100))
        return Combined(how="all", conditions=tuple(Check(path=(), operator=op, operands=(at,)) for op, at in bounds))
    if re.fullmatch("[2-5][0-9]{2}", written.text):
        return Clause(path=(), values=(int(written.text),))
    raise Unfit(f'{label}: "{written.shown}" is not a valid status', "write 2xx, 422, or a list")


_STATUS: Final = {**values.spelled("status", "[2-5](?:[0-9]{2}|xx)"), "minimum": 200, "maximum": 599}


_some_statuses: Final[Parser[tuple[Condition, ...]]] = values.one_or_more(values.typed(_one_status, _STATUS))


@shaped({**shape_of(_some_statuses), "minItems": 1})
def _statuses(reading: Reading, node: Node, label: str) -> Condition | None:
    """``2xx``, ``422``, or a list."""
    found = _some_statuses(reading, node, label)
    if found == ():
        reading.error(node, f"{label} is an empty list, so no response matches", "write status: 2xx")
    return Combined(how="any", conditions=found) if found else None


@shaped(conditions.FIELD)
def _answer_text(reading: Reading, node: Node, label: str) -> tuple[Condition, ...] | None:  # noqa: ARG001 - a parser's
    return conditions.of_value(reading, "text", node, ())


@shaped(conditions.WHERE)
def _answer_json(reading: Reading, node: Node, label: str) -> Where | None:
    if isinstance(node, Scalar | Items):
        reading.error(node, f"{label} must be a map", "write json: {ok: true}")
        return None
    return conditions.where(reading, node, label)


_PLAIN_STATUS: Final = re.compile(r"[2-5](?:\d\d|xx)")


@dataclass(frozen=True, kw_only=True)
class SuccessKeys(Section):
    """One rule about a response: every key of it must match."""

    noun = "success"
    foreign: ClassVar[Mapping[str, Remedy]] = {
        **dict.fromkeys(("code", "codes", "statuses", "status_code"), "status"),
        "body": Instead("write text or json", ("text", "json")),
    }
    status: Condition | None = key(_statuses, "its status: 2xx, 422 or a list; 2xx if left out")
    json: Where | None = key(_answer_json, "fields of its JSON, as in where: {ok: true}")
    text: tuple[Condition, ...] | None = key(
        _answer_text, 'its body as text: {contains: "already been taken"}, or the exact text'
    )


@shaped(
    {
        "anyOf": [
            {"$ref": SuccessKeys, "minProperties": 1},
            {"type": "array", "items": {"$ref": SuccessKeys, "minProperties": 1}, "minItems": 1},
        ]
    }
)
def read_success(reading: Reading, node: Node, label: str) -> tuple[SuccessKeys, ...] | None:
    """One rule, or a list of rules of which one must match."""
    nodes = node.nodes if isinstance(node, Items) else (node,)
    texts = [each.text for each in nodes if isinstance(each, Scalar)]
    if texts and len(texts) == len(nodes):
        fits = all(_PLAIN_STATUS.fullmatch(each) for each in texts)
        listed = texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
        hint = f"write success: {{status: {listed if fits else '2xx'}}}"
        reading.error(node, f"{label} must be a map, or a list of maps", hint)
        return None
    if not nodes:
        reading.error(node, f"{label} is an empty list, so no response matches", "write {status: 2xx}")
    rules = [read_section(reading, each, SuccessKeys, label) for each in nodes]
    for each, rule in zip(nodes, rules, strict=True):
        if rule is not None and not rule.written:
            reading.error(
                each, f"{label} says nothing about the response", "write {status: 2xx}, {json: {ok: true}} or text"
            )
    return tuple(rule for rule in rules if rule is not None) or None
