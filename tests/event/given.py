"""Facts, payloads and conditions for the tests of what can be asked of an event."""

import math

from hypothesis import strategies as st

from gateway.event.conditions import Check, Clause, Combined
from gateway.event.operators import ANY, FLAG, OPERATORS, ORDERED, TEXT, OperandRefused
from gateway.event.paths import EACH

#: Any payload.
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=20,
)


def facts(event_type="contact.created", source="xobito", **attrs):
    return {"event": {"source": source, "type": event_type}, "payload": {}, "headers": {}, "attrs": attrs}


def where(**fields):
    return tuple(
        Clause(path=("attrs", name), values=tuple(values) if isinstance(values, list) else (values,))
        for name, values in fields.items()
    )


def check(operator, *operands):
    return (Check(path=("attrs", "f"), operator=operator, operands=operands),)


#: Event types, and patterns of them.
_parts = st.tuples(st.sampled_from(["a", "b", "ab", "*", "**", "a*", "*b", ""]), st.sampled_from(".../:"))
dotted = st.lists(_parts, min_size=1, max_size=6).map(lambda parts: "".join(a + b for a, b in parts)[:-1])

#: Few enough values that two of them are often equal.
values = st.sampled_from([None, True, False, 0, 1, 1.0, 2, "", "1", "a", math.nan, 10**30, -0.0])
anything = st.recursive(
    values, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("abc"), inner, max_size=2)
)
paths = st.sampled_from(
    [
        *(("attrs", "a"), ("attrs", "b"), ("attrs", "c", "0"), ("payload", "a"), ("event", "type")),
        *(("attrs", "a", EACH), ("payload", EACH, "a"), ("payload", EACH, "a", EACH), ("payload", "a", EACH, "b")),
    ]
)
clauses = st.builds(
    Clause, path=paths, values=st.lists(values.filter(lambda v: v == v), min_size=1, max_size=3).map(tuple)
)

#: Values that fit, for each kind of operand.
FITTING = {
    FLAG: st.booleans(),
    TEXT: st.text("a*b", max_size=3) | st.sampled_from(["^b$", r"\d+"]),
    ORDERED: st.integers() | st.sampled_from([1.5, "2026-04-16", "2026-04-16T12:00Z"]),
    ANY: st.sampled_from([None, True, 1, "a", ""]),
}


def operands_of(name):
    """Operands that the operator accepts."""
    operator = OPERATORS[name]
    shape = operator.operand
    assert shape.kind in FITTING, f'add a strategy for the kind of operand of "{name}" to FITTING'
    drawn = st.lists(FITTING[shape.kind], min_size=shape.count or 1, max_size=shape.count or 2)
    return drawn.map(tuple).filter(lambda operands: is_accepted(operator, operands))


def is_accepted(operator, operands):
    try:
        operator.test(operands)
    except OperandRefused:
        return False
    return True


checks = st.one_of(
    st.builds(Check, path=paths, operator=st.just(name), operands=operands_of(name), number=st.booleans())
    for name in OPERATORS
)
conditions = st.recursive(
    clauses | checks,
    lambda inner: st.builds(
        Combined, how=st.sampled_from(["any", "all", "not"]), conditions=st.lists(inner, max_size=3).map(tuple)
    ),
    max_leaves=5,
)
