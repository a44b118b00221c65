"""Patterns of event types."""

import re

import pytest
from hypothesis import given

from gateway.event.patterns import covers, fits
from tests.event.given import dotted


@pytest.mark.parametrize(
    ("pattern", "event_type", "fitting"),
    [
        ("contact.created", "contact.created", True),
        ("contact.created", "contact.updated", False),
        ("contact.created", "Contact.created", False),
        ("contact.*", "contact.created", True),
        ("contact.*", "contact", False),
        ("contact.*", "contact.field.created", False),
        ("*.created", "contact.created", True),
        ("*", "contact", True),
        ("*", "contact.created", False),
        ("**", "contact.created", True),
        ("**", "", True),
        ("contact.**", "contact", True),
        ("contact.**", "contact.field.created", True),
        ("**.created", "a.b.created", True),
        ("**.created", "created", True),
        ("a.**.d", "a.b.c.d", True),
        ("a.**.d", "a.b.c", False),
        ("a.**.**.d", "a.d", True),
        ("a.*", "a.**", True),
        ("a.b", "a.*", False),
    ],
)
def test_a_star_is_one_segment_and_two_are_any_number(pattern, event_type, fitting):
    assert fits(pattern, event_type) is fitting


def as_regex(pattern):
    parts = [{"**": r"(?:\.[^.]*)*", "*": r"\.[^.]*"}.get(part, r"\." + re.escape(part)) for part in pattern.split(".")]
    return re.compile("".join(parts))


@given(dotted, dotted)
def test_a_pattern_means_the_same_as_its_regular_expression(pattern, event_type):
    # "**" swallows whole segments, so every segment is written with the dot in front of it.
    assert fits(pattern, event_type) is bool(as_regex(pattern).fullmatch("." + event_type))


@pytest.mark.parametrize(
    ("pattern", "other", "covering"),
    [
        ("**", "a.**", True),
        ("a.*", "a.b", True),
        ("a.*", "a.**", False),
        ("a.**", "a.*", True),
        ("a.b", "a.*", False),
        ("*.*", "a.*", True),
        ("**.b", "a.**", False),
    ],
)
def test_a_pattern_covers_another_if_it_takes_all_that_the_other_takes(pattern, other, covering):
    assert covers(pattern, other) is covering
