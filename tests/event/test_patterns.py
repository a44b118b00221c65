"""Patterns of event types."""

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.event.patterns import Trie, covers, fits, glob, resource_and_action
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


@pytest.mark.parametrize(
    ("pattern", "event_type", "fitting"),
    [
        ("products/*", "products/create", True),
        ("products/*", "products/create/now", False),
        ("products/*", "products.create", False),
        ("products.*", "products/create", False),
        ("pullrequest:*", "pullrequest:created", True),
        ("pullrequest:*", "pullrequest:comment:created", False),
        ("jira:issue_*", "jira:issue_updated", True),
        ("jira:issue_*", "jira:issue_", True),
        ("jira:issue_*", "jira:issue_link.created", False),
        ("jira:issue_*", "jira:issuelink_created", False),
        ("*_failed", "payment_failed", True),
        ("invoice.*_failed", "invoice.payment_failed", True),
        ("invoice.p*_f*d", "invoice.payment_failed", True),
        ("*", "orders/create", False),
        ("*", "issue:created", False),
        ("*/*", "orders/create", True),
        ("**", "jira:issue_updated/a.b", True),
        ("orders/**", "orders", True),
        ("orders/**", "orders/create.v2", True),
        ("orders/**", "orders.create", False),
        ("**/create", "shop.orders/create", True),
        ("**/create", "create", True),
        ("**/create", "shop.create", False),
        ("a.**/d", "a.b:c/d", True),
        ("a.**/d", "a.d", True),
    ],
)
def test_slashes_and_colons_part_segments_as_dots_do_and_are_literal(pattern, event_type, fitting):
    assert fits(pattern, event_type) is fitting


def takes(pattern, event_type):
    """What patterns mean, one choice after another: slow, and nothing else."""
    if re.fullmatch(r".*[./:]\*\*", pattern, re.DOTALL) and takes(pattern[:-3], event_type):
        return True
    segment, separator, rest = parted(pattern)
    first, ending, remaining = parted(event_type)
    if segment == "**":
        if not separator:
            return True
        ends = [at + 1 for at, char in enumerate(event_type) if char == separator]
        return takes(rest, event_type) or any(takes(rest, event_type[at:]) for at in ends)
    if separator != ending or not spells(segment, first):
        return False
    return not separator or takes(rest, remaining)


def parted(text):
    found = re.fullmatch(r"([^./:]*)(?:([./:])(.*))?", text, re.DOTALL)
    return found[1], found[2] or "", found[3] or ""


def spells(text, segment):
    if not text or not segment:
        return not text.strip("*") and not segment
    if text[0] == "*":
        return spells(text[1:], segment) or spells(text, segment[1:])
    return text[0] == segment[0] and spells(text[1:], segment[1:])


@given(dotted, dotted)
def test_a_pattern_means_the_same_as_trying_every_choice(pattern, event_type):
    assert fits(pattern, event_type) is takes(pattern, event_type)


@given(st.lists(dotted, max_size=8), dotted)
@example(["a", "a.**"], "a")
@example(["a.**", "a/**", "a"], "a")
def test_patterns_together_match_what_each_of_them_matches(patterns, event_type):
    assert Trie(patterns).find(event_type) == {each for each in patterns if takes(each, event_type)}


@given(st.text("ab*.", max_size=6), st.text("ab.", max_size=8))
def test_a_glob_means_the_same_as_trying_every_choice(pattern, text):
    assert glob(pattern)(text) is spells(pattern, text)


def test_many_stars_take_no_longer():
    assert not fits("**." * 60 + "z", "a." * 100)
    assert not fits("*a" * 60 + "z", "a" * 200)
    assert not glob("*a" * 1000 + "z")("a" * 100_000)


@pytest.mark.parametrize(
    ("event_type", "parts"),
    [
        ("contact.created", ("contact", "created")),
        ("a.b.created", ("a.b", "created")),
        ("orders/create", ("orders", "create")),
        ("jira:issue_updated", ("jira", "issue_updated")),
        ("repo:commit/status.created", ("repo:commit/status", "created")),
        ("ping", ("ping", "")),
        ("", ("", "")),
    ],
)
def test_resource_and_action_part_at_the_last_separator(event_type, parts):
    assert resource_and_action(event_type) == parts


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
        ("**.*", "**", False),
        ("*", "issue_*", True),
        ("issue_*", "*", False),
        ("i*_*", "issue_*", True),
        ("orders/**", "orders/*", True),
        ("orders/**", "orders.*", False),
        ("**.**", "**", True),
    ],
)
def test_a_pattern_covers_another_if_it_takes_all_that_the_other_takes(pattern, other, covering):
    assert covers(pattern, other) is covering


@given(dotted, dotted, dotted)
def test_what_a_pattern_covers_it_takes(pattern, other, event_type):
    if covers(pattern, other) and takes(other, event_type):
        assert takes(pattern, event_type)
