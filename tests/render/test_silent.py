"""Fields that can be missing without an error are found however they are used, but where their author has thought of that."""

import pytest

from gateway.errors import Place
from gateway.event.paths import as_written
from gateway.render import TemplateText
from gateway.render.silent import silent_in

#: A template, and what is found in it: how it is used, and its path.
FOUND = [
    ("{% for i in payload.rows %}{{ i }}{% endfor %}", ["loop payload.rows"]),
    ("{% for i in payload['rows'] %}{{ i }}{% endfor %}", ["loop payload.rows"]),
    ("{% for i in payload.rows if i.sold %}{{ i.name }}{% endfor %}", ["loop payload.rows", "test payload.rows[*].sold"]),
    ("{% for i in payload.a %}{% for j in i.b %}{{ j if j.c == 1 }}{% endfor %}{% endfor %}", ["loop payload.a", "loop payload.a[*].b", "test payload.a[*].b[*].c"]),
    ("{% for k, v in payload.a %}{% if k.b %}x{% endif %}{% endfor %}", ["loop payload.a"]),
    ("{% set rows = payload.rows %}{% for i in rows %}{{ i }}{% endfor %}", ["loop payload.rows"]),
    ("{% if attrs.vip %}x{% endif %}", ["test attrs.vip"]),
    ("{% if attrs.a.b[0] %}x{% endif %}", ["test attrs.a.b.0"]),
    ("{% if attrs.a %}x{% elif attrs.b %}y{% endif %}", ["test attrs.a", "test attrs.b"]),
    ("{% if attrs.a and attrs.b or attrs.c %}x{% endif %}", ["test attrs.a", "test attrs.b", "test attrs.c"]),
    ("{{ 'x' if attrs.vip }}", ["test attrs.vip"]),
    ("{{ 'x' if attrs.a == 'b' else attrs.c }}", ["test attrs.a"]),
    ("{{ attrs.a == attrs.b }}", ["test attrs.a", "test attrs.b"]),
    ("{% if attrs.a != 1 %}x{% endif %}", ["denial attrs.a"]),
    ("{% if 'a' in attrs.tags %}x{% endif %}", ["test attrs.tags"]),
    ("{% if attrs.a not in ['b'] %}x{% endif %}", ["denial attrs.a"]),
    ("{% if attrs.a %}{{ attrs.b }}{% endif %}", ["test attrs.a"]),
]  # fmt: skip
NOT_FOUND = [
    "{{ attrs.a }} {{ attrs.b | upper }}",
    "{% for i in payload.rows | default([]) %}{{ i }}{% endfor %}",
    "{% for i in payload.rows or [] %}{{ i }}{% endfor %}",
    "{% for i in payload.rows %}{{ i }}{% else %}none{% endfor %}",
    "{% if payload.rows %}{% for i in payload.rows %}{{ i }}{% endfor %}{% endif %}",
    "{% if attrs.a %}{{ attrs.a }}{% endif %}",
    "{% if attrs.a %}{{ attrs.a.b }}{% endif %}",
    "{{ attrs.a if attrs.a else 'none' }}",
    "{{ attrs.a.b if attrs.a and attrs.a.b }}",
    "{% if not attrs.a %}none{% endif %}",
    "{% if attrs.a is defined and attrs.a == 1 %}x{% endif %}",
    "{% if attrs.a is none %}x{% else %}{{ 'x' if attrs.a == 1 }}{% endif %}",
    "{% if not payload.rows %}none{% else %}{% for i in payload.rows %}{{ i }}{% endfor %}{% endif %}",
    "{% if attrs.a | default(1) == 1 %}x{% endif %}",
    "{% macro m(a) %}{{ 'x' if a.b }}{% endmacro %}{{ m(attrs) }}",
    "{% set a = attrs.b | default({}) %}{{ 'x' if a.c }}",
    "{{ payload.rows",
    "{% if " + "9" * 5000 + " %}x{% endif %}",
]


def found_in(text, **how):
    found = silent_in(TemplateText(text, Place("routes.yaml", 3)), **how)
    return [f"{each.use} {as_written(each.path)}" for each in found]


@pytest.mark.parametrize(("text", "found"), FOUND)
def test_a_field_that_can_be_missing_without_an_error_is_found(text, found):
    assert found_in(text) == found


@pytest.mark.parametrize("text", NOT_FOUND)
def test_a_field_that_fails_or_is_expected_to_be_missing_is_not_found(text):
    assert found_in(text) == []


@pytest.mark.parametrize(
    ("expression", "found"),
    [
        ("attrs.vip", ["test attrs.vip"]),
        ("attrs.a == 1 and not attrs.b", ["test attrs.a"]),
        ("attrs.a and attrs.a.b == 1", ["test attrs.a.b"]),
        ("attrs.a is defined", []),
        ("(attrs.a | default(0)) > 1", []),
    ],
)
def test_a_condition_is_one_test(expression, found):
    assert found_in(f"{{{{ {expression} }}}}", is_condition=True) == found
