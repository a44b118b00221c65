"""A value is shown as JSON that can be copied, and what nobody would see is marked."""

import json
import re
from html import unescape

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.console import text, words

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(alphabet=st.characters(codec="utf-8", exclude_categories=["C", "Zl", "Zp"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(alphabet="abc", min_size=1), inner, max_size=3),
    max_leaves=8,
)


@given(VALUES.filter(lambda value: not isinstance(value, str)))
def test_what_is_shown_can_be_copied_as_json(value):
    shown = unescape(re.sub(r"<[^>]*>", "", str(text.pretty(value))))
    assert json.loads(shown) == value


@pytest.mark.parametrize("character", ["\u202e", "\u2066", "\u200b", "\x00", "\x1b", "\ufeff", "\ud800", "\U000e0041"])
def test_a_character_that_nobody_would_see_is_marked(character):
    shown = text.shown(f"a{character}b")
    assert character not in shown
    assert f"U+{ord(character):04X}" in shown


def test_what_is_cut_says_how_much_more_there_is():
    html, is_cut = text.pretty_and_cut({"a": "x" * 5_000})
    assert is_cut
    assert "(3,000 more characters)" in html
    assert text.pretty_and_cut({"a": "x"})[1] is False


@pytest.mark.parametrize("value", [{str(at): at for at in range(5_000)}, [[[0] * 50] * 50] * 50, ["x" * 1_900] * 100])
def test_a_value_of_too_many_lines_or_characters_is_cut(value):
    html, is_cut = text.pretty_and_cut(value)
    assert is_cut
    assert "… cut here" in html
    assert len(html) < 300_000


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0 s"),
        (99.9, "99 s"),
        (100, "1 min"),
        (5999, "99 min"),
        (6000, "1 h 40 min"),
        (7200, "2 h"),
        (200_000, "2 d"),
    ],
)
def test_a_time_in_words(seconds, said):
    assert words.span(seconds) == said


@pytest.mark.parametrize(
    ("number", "said"), [(0, "0"), (9_999, "9,999"), (12_400, "12.4k"), (475_000, "475k"), (1_200_000, "1.2M")]
)
def test_a_number_for_a_small_place(number, said):
    assert words.short(number) == said


@pytest.mark.parametrize(("share", "said"), [(None, "–"), (100.0, "100 %"), (99.98, "99.9 %"), (0.0, "0.0 %")])
def test_all_is_said_of_all_only(share, said):
    assert words.percent(share) == said
