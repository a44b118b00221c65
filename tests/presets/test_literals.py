"""What the examples of a package are read from: the literals of its files, and nothing that a program would have made."""

import pytest

from tests.presets.literals import in_javascript, in_python

PYTHON = """\
SENDER = {"id": "1"}
COMPUTED = make()
def test_it():
    handle({"sender": SENDER, "message": {"text": "hi", "n": 1.5, "old": None, "all": (1, True)}})
    handle({"sender": COMPUTED, "message": {"text": "inner"}})
    handle({"sender": f"{SENDER}"}, {**SENDER})
"""
JAVASCRIPT = """\
import { Client } from 'client';  // not a { mapping: 1 }
const USER_ID = '1';
/* { also: 'not' } */
it('works', () => {
  handle({ body: { from: { id: USER_ID }, 'url': 'https://example.com/a', ok: true, old: null } });
  handle({ from: other(), message: { text: 'inner', n: 1.5, } });
});
"""


@pytest.mark.parametrize(
    ("read", "text", "wanted"),
    [
        (
            in_python,
            PYTHON,
            [
                {"id": "1"},
                {"sender": {"id": "1"}, "message": {"text": "hi", "n": 1.5, "old": None, "all": [1, True]}},
                {"text": "inner"},
            ],
        ),
        (
            in_javascript,
            JAVASCRIPT,
            [
                {"body": {"from": {"id": "1"}, "url": "https://example.com/a", "ok": True, "old": None}},
                {"text": "inner", "n": 1.5},
            ],
        ),
    ],
)
def test_the_outermost_mappings_that_are_written_out_are_found(read, text, wanted):
    assert list(read(text)) == wanted


@pytest.mark.parametrize("text", ["", "{", "}}{", "def (", "print 'a'", "{'a': 1", "\ufeff", "{a: 'b}c'}"])
def test_a_file_that_cannot_be_read_has_none(text):
    assert not list(in_python(text))
    assert not list(in_javascript(text))
