"""From bytes to a tree with places: JSON's scalars, nothing of YAML that surprises, and never a foreign error."""

import doctest
from contextlib import suppress

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.config import format_problem
from gateway.config.text import reader
from gateway.config.text.reader import Items, Map, Scalar, read
from gateway.config.text.report import Report
from gateway.errors import ConfigError, Place, Problem


def tree(text):
    report = Report("routes.yaml")
    return read(text.encode(), report), list(report.problems)


def pairs(text):
    node, problems = tree(text)
    assert problems == []
    return {pair.key.text: pair.value for pair in node.pairs}


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("null", None),
        ("true", True),
        ("false", False),
        ("13", 13),
        ("-0", 0),
        ("1.5", 1.5),
        ("1e5", 1e5),
        ("1E-2", 0.01),
        *(
            (text, text)
            for text in ("~", "Null", "NO", "yes", "off", "True", "013", "+14155551234", "0x1F", "0o7", "1_000")
        ),
        *((text, text) for text in ("12:30", "2026-04-16", ".5", "5.", ".inf", ".nan", "1e999", "٣", "9" * 41)),
        ('"13"', "13"),
        ("'true'", "true"),
    ],
)
def test_a_plain_scalar_is_what_json_would_say_and_else_text(written, value):
    found = pairs(f"key: {written}\n")["key"].value
    assert found == value
    assert type(found) is type(value)


def test_doctests_hold():
    assert doctest.testmod(reader).failed == 0


def test_every_node_knows_its_place():
    node, _ = tree("a: 1\nb:\n  - x\n  - {c: d}\n")
    first, second = node.pairs
    assert first.value.place == Place("routes.yaml", 1, 4)
    assert second.value.nodes[1].pairs[0].value.place == Place("routes.yaml", 4, 9)


@pytest.mark.parametrize(
    ("written", "place"),
    [
        ("key: text", (1, 6)),
        ('key: "text"', (1, 7)),
        ("key: |\n  text\n  more", (2, 3)),
        ("key: |\n\n    text", (2, 1)),
        ("key: >-\n   text", (2, 4)),
    ],
    ids=["plain", "quoted", "block", "block with an empty line", "folded"],
)
def test_a_text_knows_where_its_first_character_stands(written, place):
    assert pairs(written)["key"].content == Place("routes.yaml", *place)


def test_an_empty_value_is_placed_at_its_key():
    empty = pairs("a:\n\n\nb: 1\n")["a"]
    assert empty.empty
    assert empty.place.line == 1


def test_a_comment_glued_to_a_text_is_remembered_and_a_real_one_is_not():
    assert pairs("text: New in #sales\n")["text"].cut_off == "#sales"
    assert pairs("text: New in  #sales\n")["text"].cut_off == ""
    assert pairs("text: New in # sales\n")["text"].cut_off == ""


def test_a_line_that_windows_saved_is_shown_as_its_author_sees_it():
    with pytest.raises(ConfigError) as refused:
        read("a: 1\nb: \u201cHi\u201d \u2014 it\u2019s \u2026\n".encode("cp1252"), Report("routes.yaml"))
    [problem] = refused.value.problems
    assert problem.line_text == "b: \u201cHi\u201d \u2014 it\u2019s \u2026"
    assert (problem.place.line, problem.place.column) == (2, 4)


@given(st.binary(max_size=60))
def test_any_bytes_are_shown_or_read(data):
    found = Report("routes.yaml")
    with suppress(ConfigError):
        read(data, found)
    "".join(found.lines).encode("utf-8")  # a lone surrogate could not be printed


def test_a_byte_order_mark_and_windows_line_ends_are_no_problem():
    found = Report("routes.yaml")
    node = read(b"\xef\xbb\xbfa: 1\r\nb: 2\r\n", found)
    assert [pair.key.text for pair in node.pairs] == ["a", "b"]
    assert found.lines[:2] == ["a: 1", "b: 2"]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"#" * (1024 * 1024 + 1), "larger than 1 MiB"),
        (b"a: 1\nb: \xff\n", "not UTF-8"),
        ("a: 1\n".encode("utf-16"), "not UTF-8"),
        (b"a: \x00\n", "U+0000"),
        (b"[" * 500_000, "nested deeper"),
        (b"{" * 500_000, "nested deeper"),
        (b"- " * 500_000, "nested deeper"),
        (b"? " * 500_000, "nested deeper"),
        (b"a: " * 300_000, ""),
        (b'"' * 500_001, ""),
    ],
    ids=["too large", "latin-1", "utf-16", "nul", "brackets", "braces", "dashes", "question marks", "colons", "quotes"],
)
def test_a_hostile_file_is_refused_with_a_problem(data, message):
    with pytest.raises(ConfigError) as caught:
        read(data, Report("routes.yaml"))
    assert message in caught.value.problems[-1].message


yaml_like = st.lists(
    st.sampled_from(
        [
            *"abc:-?[]{}&*!|>'\"%@`#,~ \n\t\\$.0",
            ": ",
            "- ",
            "  ",
            "\n  ",
            "${X}",
            "{{ x }}",
            "<<: ",
            "---\n",
            "\r\n",
            "\x85",
            "\ufeff",
        ]
    ),
    max_size=60,
).map("".join)


@given(st.text() | yaml_like | st.binary())
@example("? ")
@example("a: {b: ${X")
@example("key: 'don't'")
@example("- - -\n\t- x")
def test_any_bytes_give_a_tree_or_problems_that_can_be_printed(data):
    report = Report("routes.yaml")
    try:
        assert isinstance(
            read(data.encode("utf-8", "surrogatepass") if isinstance(data, str) else data, report), reader.Node
        )
        problems = report.sorted()
    except ConfigError as error:
        problems = error.problems
        assert problems
    for problem in problems:
        assert format_problem(problem)
        assert 0 <= problem.place.line <= max(1, len(report.lines))


def test_a_problem_shows_its_line_and_a_caret_under_the_column():
    problem = Problem(
        Place("routes.yaml", 39, 5), 'unknown key "whre"', 'did you mean "where"?', "error", "    whre: {}"
    )
    assert format_problem(problem) == (
        'routes.yaml:39:5: unknown key "whre"  (did you mean "where"?)\n'
        "   39 |     whre: {}\n"
        "      |     ^"
    )  # fmt: skip


def test_a_very_long_line_is_cut_around_the_column():
    problem = Problem(Place("routes.yaml", 1, 5001), "here", "", "error", "x" * 5000 + "!" + "x" * 5000)
    _, line, caret = format_problem(problem).split("\n")
    assert len(line) < 200
    assert line[caret.index("^")] == "!"


def test_nothing_of_a_file_steers_the_terminal():
    problem = Problem(Place("routes.yaml", 1, 1), "bad \x1b[2J", "", "error", "\x1b]0;x\x07 \u202e")
    assert not {"\x1b", "\x07", "\u202e"} & set(format_problem(problem))


def test_nodes_of_every_shape_are_built():
    node, problems = tree("a: [1, {b: x}]\n")
    assert isinstance(node, Map)
    assert isinstance(node.pairs[0].value, Items)
    assert isinstance(node.pairs[0].value.nodes[0], Scalar)
    assert problems == []


def test_punctuation_of_a_line_is_printed_as_it_is():
    problem = Problem(
        Place("routes.yaml", 1, 1), "bad", "", "error", "text: \u201cNew\u201d \u2013 lead\u2026 \u00b7 \U0001f44b"
    )
    assert "text: \u201cNew\u201d \u2013 lead\u2026 \u00b7 \U0001f44b" in format_problem(problem)
