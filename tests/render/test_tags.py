"""A tag or a text that is opened and not closed is found where it is opened."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.destinations.escapes import no_escape
from gateway.render import TemplateText
from gateway.render.tags import mistake_in
from tests.render.given import HERE, refusal

#: A template, the text that the mistake is at, what is said of it, and what to write.
MISTAKES = [
    ("{{ attrs.id } x", "{{", "the {{ that opens here is ended by one }", "write {{ attrs.id }}"),
    ("a\nb {{ attrs.id }\n{{ attrs.b }}", "{{ attrs.id", "the {{ that opens here is ended by one }", "write {{ attrs.id }}"),
    ("{{ attrs.id %} x", "{{", "the {{ that opens here is ended by %}", "write {{ attrs.id }}"),
    ("{% if attrs.id }} x{% endif %}", "{%", "the {% that opens here is ended by }}", "write {% if attrs.id %}"),
    ("{% if attrs.id } x{% endif %}", "{%", "the {% that opens here is ended by one }", "write {% if attrs.id %}"),
    ("{{ attrs.id x", "{{", "the {{ that opens here is never closed", "add }}"),
    ("{{ attrs.a }} {{ attrs.id {{ attrs.b }}", "{{ attrs.id", "the {{ that opens here is never closed", "add }}"),
    ("x {% if attrs.id", "{%", "the {% that opens here is never closed", "add %}"),
    ("x {# attrs.id", "{#", "the {# that opens here is never closed", "add #}"),
    ("x {{ attrs.id | default('none) }} it's", "'none", "the text that begins with ' is never closed", "add a ' at its end"),
    ('— {{ attrs.id }}\n’ {{ attrs.a | default("b) }}', '"b', 'the text that begins with " is never closed', 'add a " at its end'),
    ('{{ {"a": 1} } x', "{{", "the {{ that opens here is ended by one }", 'write {{ {"a": 1} }}'),
]  # fmt: skip


@pytest.mark.parametrize(("text", "at", "message", "hint"), MISTAKES)
def test_a_mistake_is_at_what_opens_it(templates, text, at, message, hint):
    found = mistake_in(text)
    start = text.index(at)
    assert found.at == start
    problem = refusal(templates.text, TemplateText(text, HERE), no_escape)
    assert (problem.place.line, problem.message, problem.hint) == (
        HERE.line + text.count("\n", 0, start),
        message,
        hint,
    )
    assert problem.near == text[start:].splitlines()[0]


@pytest.mark.parametrize(
    ("text", "at", "name", "before"),
    [
        ("{% for x in attrs.a %}\n{% if x %}\n{{ x }}\n{% endfor %}", "{% if", "if", " before {% endfor %}"),
        ("{% if attrs.a %}\n{%- for x in attrs.a %}x\n{% endif %}", "{%- for", "for", " before {% endif %}"),
        ("{% if attrs.a %}{% if attrs.b %}x{% endif %}\n{{ attrs.c }}", "{% if attrs.a", "if", ""),
        ("x\n{% set b %}{% set c = 1 %}{% if c %}\n{% endset %}", "{% if", "if", " before {% endset %}"),
        ("{# {% for #}\n{% macro m(a) %}\n{% raw %}{% if %}{% endraw %}", "{% macro", "macro", ""),
    ],
)
def test_a_block_without_its_end_is_at_what_opens_it(templates, text, at, name, before):
    problem = refusal(templates.text, TemplateText(text, HERE), no_escape)
    assert problem.place.line == HERE.line + text.count("\n", 0, text.index(at))
    assert (problem.message, problem.hint) == (f"{{% {name} %}} is never closed", f"add {{% end{name} %}}{before}")


def test_an_end_without_its_block_is_at_its_own_line(templates):
    problem = refusal(
        templates.text, TemplateText("{% for x in attrs.a %}\n{% endif %}\n{% endfor %}", HERE), no_escape
    )
    assert (problem.place.line, problem.message) == (HERE.line + 1, "{% endif %} has no matching tag")


def test_the_author_of_an_expression_writes_no_tags():
    assert mistake_in("{{ attrs.a } }}", is_bare=True) is None
    assert mistake_in("{{ attrs.a == 'b }}", is_bare=True).message == "the text that begins with ' is never closed"


@pytest.mark.parametrize(
    "text",
    [
        "plain } text }} %}",
        "{{ attrs.a }}{# a {{ b #}{% if attrs.a -%} } {%- endif %}",
        '{{ {"a": {"b": 1}} }}{{ {"a": 1}}}',
        """{{ "}" ~ '%}' ~ "{{" }}""",
        "{% raw %}{{ attrs.a } {% if{% endraw %}",
        "{% set a = {'b': 1} %}",
    ],
)
def test_what_is_closed_as_it_was_opened_has_no_mistake(text):
    assert mistake_in(text) is None


@given(st.lists(st.sampled_from(["{{", "}}", "{%", "%}", "{#", "#}", "{", "}", "'", '"', "\\", "\n", "a", " ", "raw", "endraw"]), max_size=30).map("".join))  # fmt: skip
def test_any_text_gets_a_place_inside_of_it_or_none(text):
    found = mistake_in(text)
    if found is not None:
        assert text[found.at] in "{'\""
