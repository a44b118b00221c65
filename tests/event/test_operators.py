"""Every operator of a condition: when it holds, what it accepts, and that its entry is whole."""

import jsonschema
import pytest
from hypothesis import find, given
from hypothesis import strategies as st

from gateway.event.operators import OPERATORS, ORDERED, Operand, OperandRefused
from gateway.event.paths import MISSING
from tests.event.given import anything, operands_of

#: An operator, its operands, the value of a field, and whether the operator holds for it.
CASES = [
    ("exists", [True], None, True),
    ("exists", [False], None, False),
    ("empty", [True], [], True),
    ("empty", [True], 0, False),
    ("empty", [False], "a", True),
    ("not", ["a", "b"], "c", True),
    ("not", ["a", "b"], "b", False),
    ("not", [13], "13", True),
    ("not", [None], None, False),
    ("glob", ["Order-*"], "Order-7", True),
    ("glob", ["*a*b"], "xxaxxb", True),
    ("glob", ["a*a"], "a", False),
    ("glob", ["a"], "a", True),
    ("glob", ["a"], "ab", False),
    ("prefix", ["+1", "+49"], "+4930", True),
    ("suffix", ["@a.b"], "x@a.b", True),
    ("suffix", ["@a.b"], "x@a.b.c", False),
    ("prefix", ["1"], 13, False),
    ("regex", ["^[0-9]+$"], "451", True),
    ("regex", ["b"], "abc", True),
    ("regex", ["b"], "\ud800b", False),
    ("equals_ignore_case", ["JOHN"], "john", True),
    ("equals_ignore_case", ["JOHN"], "johnny", False),
    ("contains", [2], [1, 2], True),
    ("contains", ["2"], [1, 2], False),
    ("contains", [True], [1], False),
    ("contains", ["oh"], "John", True),
    ("contains", [1], "1", False),
    ("gt", [5], 5.5, True),
    ("gt", [5], True, False),
    ("gt", [5], "6", False),
    ("gte", [5], 5, True),
    ("gte", [5], 4.9, False),
    ("lt", ["2026-04-17"], "2026-04-16T12:34:56.000000Z", True),
    ("gt", ["2026-04-16T12:00:00+02:00"], "2026-04-16T10:00:01Z", True),
    ("gt", ["2026-04-16"], "2026-13-16", False),
    ("gt", ["2026-04-16"], 5, False),
    ("lt", [5], 5, False),
    ("lte", [10**400], 1.5, True),
    ("lte", [5], 5.1, False),
    ("between", [100, 500], 100, True),
    ("between", [100, 500], 500, True),
    ("between", [100, 500], 99.9, False),
    ("between", [100, 500], "200", False),
    ("between", [5, 5], 5, True),
    ("between", ["2026-04-16", "2026-04-17"], "2026-04-16T23:59:59Z", True),
    ("between", ["2026-04-16", "2026-04-17"], "2026-04-17T00:00:01Z", False),
]


@pytest.mark.parametrize(("operator", "operands", "found", "holding"), CASES)
def test_an_operator_holds(operator, operands, found, holding):
    assert OPERATORS[operator].test(operands)(found) is holding


@pytest.mark.parametrize("name", OPERATORS)
def test_every_operator_has_cases(name):
    outcomes = {holding for operator, _, _, holding in CASES if operator == name}
    assert outcomes == {True, False}, f'add cases to CASES for which "{name}" does and does not hold'


@pytest.mark.parametrize("name", OPERATORS)
def test_every_operator_is_described_in_one_line(name):
    assert 0 < len(OPERATORS[name].about) <= 120, f'"{name}" needs an `about` that fits a line'
    assert "\n" not in OPERATORS[name].about


@pytest.mark.parametrize("name", OPERATORS)
@given(data=st.data())
def test_every_operator_is_total(name, data):
    test = OPERATORS[name].test(data.draw(operands_of(name)))
    assert isinstance(test(data.draw(anything)), bool)
    assert isinstance(test(MISSING), bool)


@pytest.mark.parametrize("name", [name for name, each in OPERATORS.items() if not each.holds_when_missing])
@given(data=st.data())
def test_an_operator_does_not_hold_for_a_missing_field_unless_it_says_so(name, data):
    assert not OPERATORS[name].test(data.draw(operands_of(name)))(MISSING), f'"{name}" needs holds_when_missing=True'


@pytest.mark.parametrize("name", [name for name, each in OPERATORS.items() if each.holds_when_missing])
def test_an_operator_that_says_so_holds_for_a_missing_field_with_some_operand(name):
    assert find(operands_of(name), lambda operands: OPERATORS[name].test(operands)(MISSING))


@pytest.mark.parametrize("name", OPERATORS)
@given(data=st.data())
def test_an_operator_that_is_called_constant_is(name, data):
    operands = data.draw(operands_of(name))
    constant = OPERATORS[name].constant(*operands)
    if constant is not None:
        assert OPERATORS[name].test(operands)(data.draw(anything)) is constant


def test_a_list_of_both_flags_always_holds():
    assert OPERATORS["exists"].constant(True, False) is True
    assert OPERATORS["empty"].constant(True) is None


ALTERNATIVES = [name for name, each in OPERATORS.items() if each.operand.count is None]


@pytest.mark.parametrize("name", ALTERNATIVES)
@given(data=st.data())
def test_a_list_of_alternatives_means_any_of_them_or_none_of_them_after_not(name, data):
    operands, found = data.draw(operands_of(name)), data.draw(anything)
    one_by_one = [OPERATORS[name].test([operand])(found) for operand in operands]
    assert OPERATORS[name].test(operands)(found) is (all if name == "not" else any)(one_by_one)


@pytest.mark.parametrize(
    ("operator", "operands", "problem"),
    [
        ("exists", ["yes"], "must be true or false"),
        ("prefix", [13], 'needs text: write "13" in quotes'),
        ("suffix", [None], 'needs text: write "null" in quotes'),
        ("gt", ["many"], "needs a number or an ISO time: 5, 2026-04-16, 2026-04-16T12:00:00Z"),
        ("lte", [True], "needs a number or an ISO time: 5, 2026-04-16, 2026-04-16T12:00:00Z"),
        ("regex", ["(a"], "cannot be compiled: missing ): (a"),
    ],
)
def test_operands_that_do_not_fit_are_refused(operator, operands, problem):
    with pytest.raises(OperandRefused) as refused:
        OPERATORS[operator].test(operands)
    assert str(refused.value) == problem


@pytest.mark.parametrize(
    ("count", "fitting", "refused", "problem"),
    [
        (None, [1, [1], [1, 2]], [], ""),
        (1, [1, [1]], [[1, 2]], "needs one value, not a list"),
        (2, [[1, 2]], [[1], [1, 2, 3]], "needs a list of 2 values"),
    ],
)
def test_an_operand_has_as_many_values_as_its_shape_says(count, fitting, refused, problem):
    shape = Operand(ORDERED, count)
    schema = jsonschema.Draft202012Validator(shape.schema)
    for written in fitting:
        shape.check(written if isinstance(written, list) else [written])
        assert schema.is_valid(written)
    for written in refused:
        with pytest.raises(OperandRefused, match=problem):
            shape.check(written)
        assert not schema.is_valid(written)
    assert not schema.is_valid([])
