"""What is printed fits where it is printed, and nothing of a sender's steers the terminal."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from gateway.cli import terminal
from gateway.cli.terminal import Column, laid_out, printed_json
from gateway.wording import count

COLUMNS = (Column("name", least=4), Column("id", leave=1), Column("count", is_number=True), Column("why", least=6))
HOSTILE = "\x1b[2J\x9b31m\u202egpj.exe\u2066\u061c\x07\r"
STEERING = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def cells(*texts):
    return [[each] for each in texts]


def plain(lines):
    return [each.plain for each in lines]


def test_a_table_that_fits_is_as_wide_as_it_is():
    rows = [cells("crm", "dlv_1", "3", "answered 422"), cells("slack-leads", "dlv_2", "1,204", "timed out")]
    assert plain(laid_out(COLUMNS, rows, None)) == [
        "name         id     count  why",
        "crm          dlv_1      3  answered 422",
        "slack-leads  dlv_2  1,204  timed out",
    ]


def test_what_does_not_fit_is_narrowed_before_a_column_is_left_out():
    rows = [cells("slack-leads", "dlv_1", "3", "answered 422")]
    assert plain(laid_out(COLUMNS, rows, 34))[1] == "slack-le…  dlv_1      3  answered…"
    assert plain(laid_out(COLUMNS, rows, 24))[1] == "slack-…      3  answere…"


@given(
    st.lists(st.tuples(*[st.text(max_size=40)] * 4), max_size=5),
    st.integers(min_value=1, max_value=100),
)
def test_no_line_is_wider_than_the_terminal_and_none_is_two(texts, width):
    for each in plain(laid_out(COLUMNS, [cells(*row) for row in texts], width)):
        assert cell_len(each) <= width
        assert "\n" not in each


def test_wide_characters_count_as_two_cells():
    lines = plain(laid_out(COLUMNS, [cells("連絡先", "x", "1", "y"), cells("crm", "x", "1", "y")], None))
    assert [cell_len(each[: each.index("x")]) for each in lines[1:]] == [8, 8]


def test_nothing_of_a_sender_steers_the_terminal():
    assert STEERING.search(terminal.line(HOSTILE, (HOSTILE, "red")).plain) is None
    [_, row] = laid_out(COLUMNS, [cells(HOSTILE, HOSTILE, HOSTILE, HOSTILE)], None)
    assert STEERING.search(row.plain) is None


@given(st.recursive(st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8))
def test_json_says_the_same_and_steers_nothing(value):
    for indent in (2, -1):
        printed = printed_json(value, indent=indent)
        assert json.loads(printed) == value
        assert STEERING.search(printed) is None


@pytest.mark.parametrize(
    ("number", "said"), [(0, "0 B"), (812, "812 B"), (1536, "1.5 KiB"), (300 * 1024**2, "300 MiB"), (5e12, "4,657 GiB")]
)
def test_sizes_are_said_in_their_unit(number, said):
    assert terminal.size(number) == said


def test_numbers_have_their_noun():
    assert [count(n, "delivery", "deliveries") for n in (1, 1204)] == ["1 delivery", "1,204 deliveries"]
