"""Many texts are found in another one, with work that the other one bounds."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.hiding import finder
from gateway.hiding.finder import FEW, LONGEST, Finder, Needle, hidden, hidden_text
from gateway.hiding.layers import MOST_LAYERS

TOKENS = [f"xoxb-1234-token{number:05}" for number in range(500)]


def masked(text: str, *texts: str, words: tuple[str, ...] = ()) -> str:
    return hidden_text(text, (Finder(texts, words),), "*")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("the word beta.", "the word *."),
        ("/beta?x=beta&y", "/*?x=*&y"),
        ("alphabeta betaine x_beta beta2 2beta Beta BETA bêta", "alphabeta betaine x_beta beta2 2beta Beta BETA bêta"),
        (r'{"a": "\nbeta\n"}', r'{"a": "\n*\n"}'),
        ("%2Fbeta%2F %62eta", "%2F*%2F *"),
        ("YmV0YQ==", "*"),
    ],
)
def test_a_short_secret_is_found_only_where_it_stands_alone(text, shown):
    assert masked(text, words=("beta",)) == shown


def test_an_end_that_is_no_letter_needs_nothing_around_it():
    assert masked("x-be. be.x", words=("-be.",)) == "x* be.x"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("<abcdefgh>", "<*>"),
        ("<abcdefghij>", "<*>"),
        ("abcdefabcdef", "*"),
        ("fghijkl", "fghijkl"),
        ("xABCDEFx", "x*x"),
    ],
)
def test_what_overlaps_is_hidden_as_one(text, shown):
    assert masked(text, "abcdef", "cdefgh", "efghij") == shown


def test_of_a_long_text_each_piece_and_each_line_is_found():
    key = "\n".join(["-----BEGIN PRIVATE KEY-----", *(f"line-{number}-{'k' * 50}" for number in range(30)), "end"])
    assert masked(f"<{key}>", key) == "<*>"
    assert masked(f"<line-7-{'k' * 50}>", key) == "<*>"
    assert masked("<end>", key) == "<end>"
    assert masked(f"<{'x' * (2 * LONGEST + 1)}>", "x" * (2 * LONGEST + 1)) == "<*>"


@given(st.lists(st.text("ab%\\u0Z", min_size=4, max_size=8), max_size=8), st.text("ab%\\u0Z&;", max_size=80))
def test_few_and_many_texts_are_found_alike(texts, text):
    one = Finder(texts)
    few = hidden(text.encode(), (one,), b"*")
    many = Finder(texts)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(finder, "FEW", 0)
        assert hidden(text.encode(), (many,), b"*") == few


@given(st.binary(max_size=200))
def test_hiding_is_total(data):
    assert isinstance(hidden(data, (Finder(TOKENS[:3], ("beta",)),), b"***"), bytes)


@given(st.text(max_size=20), st.text(max_size=20))
def test_a_text_with_any_characters_stays_one(before, after):
    assert masked(f"{before}<s3cr3t-token>{after}", "s3cr3t-token").count("*") >= 1


# --- work ---


@pytest.fixture
def searched(monkeypatch) -> list[int]:
    """The length of the text each time that one needle was looked for."""
    lengths: list[int] = []
    found = Needle.found

    def counted(self, layer):
        lengths.append(len(layer.data))
        return found(self, layer)

    monkeypatch.setattr(Needle, "found", counted)
    return lengths


HOSTILE = [
    pytest.param(b"%41" * 5_461, id="percent"),
    pytest.param(b"%25" * 5_461, id="percent in percent"),
    pytest.param(b"\\" * 16_384, id="backslashes"),
    pytest.param(b"\\u0041" * 2_730, id="JSON"),
    pytest.param(b"&amp;" * 3_276, id="entities"),
    pytest.param(b"&" * 16_384, id="half entities"),
    pytest.param(b"xoxb-1234-token" * 1_092, id="the beginnings of secrets"),
    pytest.param(b"a" * 16_384, id="one letter"),
]


@pytest.mark.parametrize("data", HOSTILE)
def test_of_thousands_of_texts_only_those_that_can_be_there_are_searched_for(searched, data):
    many = Finder(TOKENS)
    many.prepare()
    hidden(data, (many,), b"***")
    assert sum(searched) <= MOST_LAYERS * FEW * len(data)


@pytest.mark.parametrize("data", HOSTILE)
def test_no_answer_has_a_pattern_compiled(monkeypatch, data):
    one = Finder(TOKENS)
    one.prepare()
    monkeypatch.setattr(re, "compile", None)
    monkeypatch.setattr(re, "sub", None)
    hidden(data, (one,), b"***")


def test_texts_that_begin_alike_are_kept_apart():
    many = Finder(TOKENS).prepare()
    assert max(len(each) for each in many._by_gram.values()) < len(TOKENS) / 10
