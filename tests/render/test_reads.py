"""What a template reads is told from its text, in whatever way it names it."""

import pytest

from gateway.errors import Place
from gateway.render import TemplateText
from gateway.render.reads import names_in, reads_of


@pytest.mark.parametrize(
    ("text", "headers"),
    [
        ("{{ headers.x_own }}", [("x-own", 1)]),
        ('{{ headers["X-Own"] | default("") }}', [("x-own", 1)]),
        ("a\n{% if headers.x_own is defined %}{{ payload.headers.x }}{% endif %}", [("x-own", 2)]),
        ("{% for each in payload.list %}\n{{ headers.x_a ~ headers.x_b }}{% endfor %}", [("x-a", 2), ("x-b", 2)]),
        ("{% macro m() %}{{ headers.x_own }}{% endmacro %}", [("x-own", 1)]),
        ("{{ headers[payload.name] }} {{ payload.headers }} headers.x_own", []),
    ],
)
def test_the_headers_that_a_template_reads_with_their_lines(text, headers):
    found = reads_of(TemplateText(text, Place("routes.yaml", 1)))
    assert [(name, place.line) for name, place in found.headers] == headers


def test_the_files_that_a_template_includes_or_imports():
    text = "{% include 'a.txt.j2' %}{% if payload.x %}{% import 'b.txt.j2' as b %}{% endif %}{% from 'c.txt.j2' import m %}"
    assert set(reads_of(TemplateText(text, Place("routes.yaml", 1))).files) == {"a.txt.j2", "b.txt.j2", "c.txt.j2"}


@pytest.mark.parametrize(
    "expression", ["9" * 5000, "(" * 5000, "attrs.a ?"], ids=["digits", "too deep", "no expression"]
)
def test_of_what_does_not_compile_no_names_are_told(expression):
    assert names_in(f"{{{{ {expression} }}}}") == frozenset()
