"""Fields of forms and queries, percent-decoded as the standard library does it, with little work for each escape."""

from urllib.parse import parse_qsl, unquote_to_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.event.forms import MAX_FIELDS, pairs, percent_decoded

#: Texts in which escapes, broken ones and what JSON escapes are next to each other.
TEXTS = st.lists(
    st.sampled_from([b"%", b"%%", b"%2", b"%25", b"%0", b"%c3%A9", b"%FF", b"\x00", b'"', b"\\", b"\\u00", b"\x7f", b"41", b"e", "é".encode()])
    | st.binary(max_size=3),
    max_size=12,
).map(b"".join)  # fmt: skip


@given(TEXTS)
def test_escapes_are_read_as_the_standard_library_reads_them(text):
    assert percent_decoded(text) == unquote_to_bytes(text)


@given(st.lists(st.text(), max_size=6).map("&".join) | TEXTS.map(lambda text: text.decode("latin-1")))
def test_fields_are_those_of_the_standard_library(form):
    try:
        expected = parse_qsl(form, keep_blank_values=True, errors="strict")
    except ValueError:
        with pytest.raises(ValueError, match="utf-8"):
            pairs(form.encode())
    else:
        assert pairs(form.encode()) == expected


def test_a_form_with_too_many_fields_is_refused():
    assert len(pairs(b"&".join([b"a=b"] * MAX_FIELDS))) == MAX_FIELDS
    with pytest.raises(ValueError, match="more than 1,000 fields"):
        pairs(b"&".join([b"a=b"] * (MAX_FIELDS + 1)))
