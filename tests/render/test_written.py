"""An expression is written so that it is read as the same expression."""

import pytest
from jinja2 import Environment, nodes

from gateway.render.written import shown

_READER = Environment()

EXPRESSIONS = [
    "attrs.id", "attrs['first name']", "attrs[0].a", "attrs[index]", "attrs.get('a', 1)", "'x'.upper()",
    "'it\\'s'", "'\"'", "'a\\\\b\\n'", "12", "-1.5", "true", "none", "-attrs.id", "+attrs.id", "not attrs.id",
    "[]", "[1, attrs.id]", "(1,)", "(1, 2)", "()", "{}", "{'a': 1, attrs.id: [2]}",
    "attrs.items[1:]", "attrs.items[:-1]", "attrs.items[1:5:2]", "attrs.items[::2]", "attrs.items[:]",
    "attrs.a | upper", "attrs.a | date('%d', zone='UTC') | trim", "(attrs.a + 1) | number(2)", "attrs.a + (1 | number)",
    "attrs.a is defined", "attrs.a is not none", "attrs.a is divisibleby(3)", "attrs.a is divisibleby 3",
    "a and b or c", "a and (b or c)", "not (a or b)", "a - (b - c)", "a / b * c", "a ** b", "a // b % c", "a ~ b ~ 'c'",
    "a < b", "a < b <= c", "a in [1]", "a not in b", "(a == b) == c",
    "a if b else c", "a if b", "(a if b else c) if d else e", "range(3)", "f(a, b=1)", "f(g(1))(2)",
]  # fmt: skip


def read(expression):
    [output] = _READER.parse(f"{{{{ {expression} }}}}").find_all(nodes.Output)
    return output


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_an_expression_is_read_as_the_same_again(expression):
    [node] = read(expression).nodes
    assert "..." not in shown(node)
    assert read(shown(node)) == read(expression)


def test_a_field_that_get_asks_for_is_written_as_a_field():
    [node] = read("attrs.get('a').get('first name')").nodes
    assert shown(node) == "attrs.a['first name']"
