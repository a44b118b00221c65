"""A sign in a regular expression that repeats nothing."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.event.operators import OperandRefused, compiled_regex
from gateway.event.regexes import instead


@pytest.mark.parametrize(
    ("pattern", "right"),
    [
        ("+49", "write '^\\+49', or prefix: \"+49\""),
        ("+49.*", "write '^\\+49', or prefix: \"+49\""),
        ("^+49", "write '^\\+49', or prefix: \"+49\""),
        ("+1 (415)", "write '^\\+1 \\(415\\)', or prefix: \"+1 (415)\""),
        ("^+49$", r"write '^\+49$'"),
        ("(+49|+43)", r"write '(\+49|\+43)'"),
        ("(?:+49)", r"write '(?:\+49)'"),
        ("(?i)+49", r"write '(?i)\+49'"),
        ("a|+b", r"write 'a|\+b'"),
        (r"\b+a", r"write '\b\+a'"),
        ("{2}a", r"write '\{2}a'"),
        ("C++", r"write 'C\+\+'"),
        ("a???", r"write 'a?\?\?'"),
        ("don't++", r"write 'don''t\+\+'"),
        ("*.example.com", "write glob: '*.example.com'"),
        ("*sales*", "write glob: '*sales*'"),
    ],
)
def test_a_sign_that_repeats_nothing_is_meant_as_itself(pattern, right):
    assert instead(pattern).partition(": ")[2] == right


@pytest.mark.parametrize(
    "pattern", ["a+", "a+?", "a??", "[+*]+", r"\++", "(a|b)*", "a{2}", "a{2,}?", "a{x", "^a$", "(?i)a+", ""]
)
def test_an_expression_in_order_is_left_alone(pattern):
    assert instead(pattern) == ""


@given(st.text("+*?{}12,^$|()a\\.[]", max_size=12))
def test_what_is_written_instead_compiles_and_repeats_only_what_is_there(pattern):
    written = re.search(r"write '((?:[^']|'')*)'", instead(pattern))
    if written is not None:
        right = written[1].replace("''", "'")
        assert instead(right) == ""
        try:
            compiled_regex(right)
        except OperandRefused as refused:
            assert "repetition operator" not in f"{refused}"


@given(st.text("+*?{}12,^$|()a\\.[]", max_size=12))
def test_every_expression_that_is_refused_for_a_repetition_has_a_remedy(pattern):
    try:
        compiled_regex(pattern)
    except OperandRefused as refused:
        if "repetition operator" in f"{refused}":
            assert refused.hint
