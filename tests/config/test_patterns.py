"""Event types as other products select them, and the patterns that select the same."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config import globs
from gateway.config.patterns import near
from gateway.event.patterns import fits
from gateway.presets import load

KNOWN = frozenset(load("xobito").samples)
NONE_KNOWN = frozenset[str]()

#: A text, the patterns that say the same where the types of Xobito are known, and those where no type is.
REGEXES = [
    (r"^contact\..*$", ["contact.*"], ["contact.**"]),
    (r"/^contact\./", ["contact.*"], ["contact.**"]),
    (r"/^contact\./i", ["contact.*"], ["contact.**"]),
    ("^contact", ["contact.*"], ["contact.**"]),
    ("regex:^contact", ["contact.*"], ["contact.**"]),
    (r"~contact\.updated", ["contact.updated"], ["contact.updated"]),
    (r"contact\.created", ["contact.created"], ["contact.created"]),
    ("^contact.created$", ["contact.created"], ["contact.created"]),
    (r"^contact\.(created|updated)$", ["contact.created", "contact.updated"], ["contact.created", "contact.updated"]),
    (r"^(?:contact|status)\.\w+$", ["contact.*", "status.*"], ["contact.*", "status.*"]),
    (r"contact.[a-z]+", ["contact.*"], ["contact.*"]),
    (r"^.*\.created$", ["*.created"], ["*.created"]),
    (r"^$", [], []),
    (f"^({'|'.join(f'a{n}' for n in range(30))})$", [], []),
    (r"created$", ["contact.created", "source.created", "status.created"], ["created"]),
    (r"^contact\.(?!deleted)", [], []),
    ("a{2}", ["aa"], ["aa"]),
    ("a{2,3}", [], []),
    ("v{2}.x", ["vv.x"], ["vv.x"]),
    (r"^contact\.\w{3,9}$", ["contact.created", "contact.deleted", "contact.updated"], []),
]
LISTS = [
    ("contact.created|contact.updated", ["contact.created", "contact.updated"], []),
    ("contact.(created|updated)", ["contact.created", "contact.updated"], []),
    ("contact.{created,updated}", ["contact.created", "contact.updated"], []),
    ("{contact,status}.created, message.*", ["contact.created", "status.created", "message.*"], []),
    (
        "{contact,status}.{created,updated}",
        ["contact.created", "contact.updated", "status.created", "status.updated"],
        [],
    ),
    (
        "((contact|status).created|message.(sent|read))",
        ["contact.created", "status.created", "message.sent", "message.read"],
        [],
    ),
    ("order.{1,2}", ["order.1", "order.2"], []),
    ("contact.created or contact.updated", ["contact.created", "contact.updated"], []),
    ("contact.created || contact.updated", ["contact.created", "contact.updated"], []),
    ("!contact.deleted", [], ["contact.deleted"]),
    ("-contact.deleted", [], ["contact.deleted"]),
    ("not contact.deleted", [], ["contact.deleted"]),
    ("contact.*,!contact.deleted", ["contact.*"], ["contact.deleted"]),
    ("contact.* except contact.deleted, contact.updated", ["contact.*"], ["contact.deleted", "contact.updated"]),
    ("contact.* and not contact.deleted", ["contact.*"], ["contact.deleted"]),
]


@pytest.mark.parametrize(("text", "known", "unknown"), REGEXES)
def test_a_regular_expression_has_the_patterns_that_match_the_same_types(text, known, unknown):
    assert globs.read(text, KNOWN) == globs.Meant(globs.REGEX, tuple(known))
    assert globs.read(text, NONE_KNOWN) == globs.Meant(globs.REGEX, tuple(unknown))


@pytest.mark.parametrize(("text", "selected", "excluded"), LISTS)
def test_a_list_in_one_text_is_taken_apart_into_what_it_selects_and_what_it_excludes(text, selected, excluded):
    assert globs.read(text, KNOWN) == globs.Meant(globs.SEVERAL, tuple(selected), tuple(excluded))


@pytest.mark.parametrize(
    "text", ["contact.created", "contact.*", "**", "*.*", "nothing.like.it", "order_*", "a/b:c", ""]
)
def test_a_pattern_is_one(text):
    assert globs.read(text, KNOWN) == globs.Meant()


@pytest.mark.parametrize("text", ["$pageview", "a|b", "!x", "C++", "(x)", "^y$"])
def test_a_type_that_a_sender_is_known_to_send_is_never_taken_for_anything_else(text):
    assert globs.read(text, KNOWN | {text}) == globs.Meant()


@given(st.text("contacreated.|()*^$\\+[]/!{}, w", max_size=30))
def test_any_text_is_read_and_every_remedy_is_a_pattern(text):
    meant = globs.read(text, KNOWN)
    if meant.what == globs.REGEX:
        assert all(globs.is_pattern(each) for each in meant.patterns)


@pytest.mark.parametrize(
    ("pattern", "hint"),
    [
        ("contact", 'write "contact.*" for every type that begins with it'),
        ("contact.%", 'write "contact.*"'),
        ("contact/created", 'separators are literal: write "contact.created"'),
        ("contact.creatd", 'did you mean "contact.created"?'),
        ("invoice.paid", ""),
        ("contact.*", ""),
    ],
)
def test_a_pattern_that_matches_no_known_type_gets_one_that_does(pattern, hint):
    assert near(pattern, KNOWN) == hint
    if hint:
        assert any(fits(hint.split('"')[1], each) for each in KNOWN)
