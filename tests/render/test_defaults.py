"""What the error about a missing field or null says to write: a default where it comes in time."""

import re

import pytest

from tests.render.given import failure

MISSING = [
    # The expression, and what is to be written instead of the field.
    ("FIELD / 100", "FIELD | default(0)"),
    ("100 - FIELD", "FIELD | default(0)"),
    ("FIELD + 1", "FIELD | default(0)"),
    ("1 + FIELD * 2", "FIELD | default(0)"),
    ("FIELD > 3", "FIELD | default(0)"),
    ("3 >= FIELD", "FIELD | default(0)"),
    ("'yes' if FIELD < 'm' else 'no'", 'FIELD | default("...")'),
    ("-FIELD", "(FIELD | default(0))"),
    ("FIELD[:3]", '(FIELD | default("..."))'),
    ("FIELD.upper()", '(FIELD | default("..."))'),
    ("FIELD.startswith('a')", '(FIELD | default("..."))'),
    ("FIELD ~ 'a'", 'FIELD | default("...")'),
    ("'a' ~ FIELD ~ 'b'", 'FIELD | default("...")'),
    ("FIELD + 'a'", 'FIELD | default("...")'),
    ("bold(FIELD)", 'FIELD | default("...")'),
    ("FIELD if attrs.id else 'x'", 'FIELD | default("...")'),
    *((f"FIELD | {name}", "FIELD | default(0)") for name in ("number(2)", "money('EUR')", "round", "abs", "int", "float")),
    *((f"FIELD | {name}", 'FIELD | default("...")') for name in ("upper", "truncate(10)", "replace('a', 'b')", "trim | lower", "bold", "urlencode")),
    *((f"FIELD | {name}", "FIELD | default([])") for name in ("map('a') | join", "join(', ')", "length", "first | default('x')", "sum_of('a * b')", "sort | join", "unique | join", "sum", "reverse | join")),
    ("FIELD | items | length", "FIELD | default({})"),
    ("FIELD | tojson", "FIELD | default(none)"),
]  # fmt: skip


@pytest.mark.parametrize(("expression", "right"), MISSING)
def test_a_default_for_a_missing_field_comes_in_time_where_it_is_proposed(text, expression, right):
    said = failure(text, f"{{{{ {expression.replace('FIELD', 'attrs.nope')} }}}}")
    right = right.replace("FIELD", "attrs.nope")
    assert said.endswith(f"the event has no field attrs.nope: write {right}")
    assert text(f"{{{{ {expression.replace('FIELD', right)} }}}}") is not None


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("FIELD + 1", "cannot compute null + a number: write attrs.nothing | default(0)"),
        ("2 * FIELD", "cannot compute a number * null: write attrs.nothing | default(0)"),
        ("FIELD.upper()", 'attrs.nothing is not a text, and only a text has .upper(): write (attrs.nothing | default("") | string)'),
        ("FIELD | default(none)", 'attrs.nothing is missing or null, and so is its default: write attrs.nothing | default("...")'),
    ],
)  # fmt: skip
def test_a_default_for_null_is_proposed_at_the_field(text, expression, message):
    assert failure(text, f"{{{{ {expression.replace('FIELD', 'attrs.nothing')} }}}}").endswith(message)
    right = re.search(r"write (.*)", message)[1]
    pasted = right if "none" in expression else expression.replace("FIELD", right)
    assert text(f"{{{{ {pasted} }}}}") is not None


def test_a_default_for_null_comes_before_the_filter(text):
    assert failure(text, "{{ attrs.nothing | upper }}").endswith('is null: write | default("...") before the filter')
    assert text('{{ attrs.nothing | default("...") | upper }}') == "..."


def test_a_default_of_a_date_is_one_of_its_arguments(text):
    assert failure(text, "{{ attrs.nope | date('%Y') }}").endswith('add default="..." to the arguments of date')
    assert text("{{ attrs.nope | date('%Y', default=\"...\") }}") == "..."
