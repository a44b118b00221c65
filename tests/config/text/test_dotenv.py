"""The .env file of a developer's machine."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config import doubts, format_problem, read_env_file
from gateway.errors import ConfigError


@pytest.fixture
def read(tmp_path):
    def read(text):
        path = tmp_path / ".env"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return read_env_file(path)

    return read


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("KEY=value", "value"),
        ("  KEY = value  ", "value"),
        ("export KEY=value", "value"),
        ("KEY=", ""),
        ("KEY=a b # a comment", "a b"),
        ("KEY=a#b", "a#b"),
        ("KEY=# only a comment", ""),
        ("KEY='a # b' # c", "a # b"),
        ("KEY='a\\n'", "a\\n"),
        ('KEY="a\\nb \\"c\\" \\\\"', 'a\nb "c" \\'),
        ("KEY=https://a.example/?x=1&y=2", "https://a.example/?x=1&y=2"),
        ("KEY=a'b", "a'b"),
    ],
)
def test_a_line_is_a_key_and_its_value(read, line, value):
    assert read(line) == {"KEY": value}


def test_blank_lines_and_comments_are_nothing_and_later_lines_win(read):
    assert read("\ufeff# a comment\r\n\r\nA=1\r\nA=2\nB=3\n") == {"A": "2", "B": "3"}


def test_every_line_that_cannot_be_read_is_named_without_its_value(read):
    with pytest.raises(ConfigError) as caught:
        read("A=1\nhush hush\nB='hush\nC=\"hush\n1X=hush\n")
    printed = "\n".join(map(format_problem, caught.value.problems))
    assert [problem.place.line for problem in caught.value.problems] == [2, 3, 4, 5]
    assert "the value of B" in printed
    assert "hush" not in printed


def test_a_file_that_is_no_text_is_refused(read):
    with pytest.raises(ConfigError):
        read(b"A=\xff")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("A=1\nB=2\nA=3\nA=4", ["3 A is already set on line 1: this line wins", "4 A is already set on line 1: this line wins"]),
        ("A=1\nB=${A}/x", ["2 ${A} in the value of B is plain text: variables are not expanded here"]),
        ("B=${NOT_HERE}", ["1 ${NOT_HERE} in the value of B is plain text: variables are not expanded here"]),
        ('B="$HOME/x"', ["1 $HOME in the value of B is plain text: variables are not expanded here"]),
        ("A=1\nexport B=x$A", ["2 $A in the value of B is plain text: variables are not expanded here"]),
        ("A='${HOME}'\nB='$HOME'", []),
        ('A="\\$HOME"', []),
        ("A=pa$word\nB=cost$5\nC=$$HOME\nD=a$", []),
        ("# A=${HOME}\nno line\n", []),
        ('B=x # like ${HOME}\nC="x" # like $HOME\nD=# $HOME', []),
        ('B="$HOME" # its $PATH', ["1 $HOME in the value of B is plain text: variables are not expanded here"]),
    ],
)  # fmt: skip
def test_a_line_that_probably_means_something_else_is_named_without_its_value(tmp_path, text, found):
    path = tmp_path / ".env"
    path.write_text(text)
    problems = list(doubts(path, {"HOME": "/root"}))
    assert [f"{each.place.line} {each.message}" for each in problems] == found
    assert {each.severity for each in problems} <= {"warning"}


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "any.env"
    path.write_bytes(data)
    try:
        values = read_env_file(path)
    except ConfigError as error:
        assert error.problems
    else:
        assert all("\0" not in value for value in values.values())
