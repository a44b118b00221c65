"""A quote inside a text in the same quotes ends the text too early: the error says so, and its remedy means the text."""

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from gateway.config.text.mistakes import explain
from gateway.config.text.quotes import DoubleQuoted, single_quoted

#: Texts with a quote inside, without the quotes around them.
DOUBLE = {
    "an argument": '{{ attrs.firstname | default("none") }}',
    "an empty argument": '{{ attrs.firstname | default("") }}',
    "a word before the braces": 'Name: {{ attrs.firstname | default("none") }}',
    "a key in brackets": 'Name: {{ attrs["firstname"] }}',
    "two arguments": '{{ attrs.name | replace("a", "b") }} and more',
    "words": 'He said "hello" to all',
    "both quotes": 'it\'s {{ attrs["firstname"] }}',
    "two expressions": '{{ attrs["a"] }}, {{ attrs["b"] }}',
}
PLACES = {
    "a key": "text: {}",
    "an entry of a list": "- text: {}",
    "a map in braces": "body: {{text: {}, total: 3}}",
    "the last of a map in braces": "body: {{total: 3, text: {}}}",
    "a list in brackets": "any: [a, {}]",
    "a line below": "body:\n  id: {}\n  more: a",
}


def mistake(text):
    with pytest.raises(yaml.YAMLError) as refused:
        list(yaml.parse(text, Loader=yaml.CSafeLoader))
    return explain(refused.value, text.split("\n"))


#: Two single quotes are one inside single quotes.
INSIDE = [pytest.param('"', inner, id=f"double-{name}") for name, inner in DOUBLE.items()] + [
    pytest.param("'", inner, id=f"single-{name}") for name, inner in DOUBLE.items() if '""' not in inner
]


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
@pytest.mark.parametrize(("quote", "inner"), INSIDE)
def test_a_quote_inside_its_own_quotes_is_named_and_the_remedy_is_the_text(inner, place, quote):
    written = inner if quote == '"' else inner.translate(str.maketrans("\"'", "'\""))
    text = place.format(f"{quote}{written}{quote}")
    found = mistake(text)
    assert found.message == f"a {quote} inside {quote}...{quote} ends the text too early"
    assert text.split("\n")[found.line - 1][found.column - 1 :].startswith(quote + written)
    pasted = text.replace(f"{quote}{written}{quote}", found.hint.removeprefix("write "))
    assert written in _values(yaml.safe_load(pasted))


def _values(node):
    if isinstance(node, dict):
        return [each for value in node.values() for each in _values(value)]
    return [each for value in node for each in _values(value)] if isinstance(node, list) else [node]


@pytest.mark.parametrize(
    ("line", "near", "expected"),
    [
        ('text: "a {{ x }}"', "x", True),
        ("text: 'a {{ x }}'", "x", False),
        ("text: 'a \"{{ x }}\"'", "x", False),
        ("text: a {{ x }}", "x", False),
        ('- {if: a, text: "{{ x }}"}', "x", True),
        ("- {if: \"a\", text: '{{ x }}'}", "x", False),
        ("- {if: \"a\", text: '{{ x }}'}", "", False),
        ('- {if: a, text: "{{ x }}"}', "", True),
    ],
)
def test_where_a_remedy_needs_single_quotes(line, near, expected):
    assert DoubleQuoted.of(line).has(line.rindex(near) + 1 if near else 0) is expected


def test_only_arguments_get_single_quotes():
    assert single_quoted('write | default("...")') == "write | default('...')"
    assert single_quoted('did you mean "item.title"?') == 'did you mean "item.title"?'


@given(st.text(alphabet="{}[]\"',: #a-\\"), st.integers(0, 30))
def test_any_line_has_an_answer(line, column):
    DoubleQuoted.of(line).has(column)
    try:
        list(yaml.parse(line, Loader=yaml.CSafeLoader))
    except yaml.YAMLError as error:
        assert explain(error, [line]).message
