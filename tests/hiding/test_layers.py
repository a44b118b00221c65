"""What a text says once its escapes are read, and where it says so."""

import html
import json
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.hiding import layers
from gateway.hiding.layers import MOST_LAYERS, Layer, bare, unescaped

ESCAPING = st.sampled_from(
    [
        str,
        lambda text: quote(text, safe=""),
        lambda text: json.dumps(text)[1:-1],
        lambda text: json.dumps(text, ensure_ascii=False)[1:-1],
        html.escape,
        lambda text: "".join(f"%{byte:02x}" for byte in text.encode()),
        lambda text: "".join(f"\\{each}" if each in "_*[]" else each for each in text),
    ]
)
PLAIN = st.text(st.characters(exclude_characters="%&\\", exclude_categories=["Cs"]), max_size=30)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"plain", b"plain"),
        (b"a%2Fb%c3%A9", "a/bé".encode()),
        (rb"a\/b\"c\\d\ne", b'a/b"c\\d\ne'),
        (rb"\u00e9\ud83d\ude00\x41", "é😀A".encode()),
        (b"&lt;&#39;&#x41;&amp;", b"<'A&"),
        (rb"\_\*", b"_*"),
        (b"100% of 5 & 6; %zz &unknown; \\", b"100% of 5 & 6; %zz &unknown; \\"),
        (rb"\ud83d", "\ud83d".encode("utf-8", "surrogatepass")),
    ],
)
def test_escapes_are_read(text, said):
    assert unescaped(text) == said


@given(PLAIN, st.lists(ESCAPING, max_size=MOST_LAYERS - 1))
def test_a_text_that_is_escaped_again_and_again_is_said_by_one_of_its_layers(text, escapings):
    escaped = text
    for escape in escapings:
        escaped = escape(escaped)
    assert text.encode() in [layer.data for layer in layers.layers(escaped.encode())]
    assert bare(escaped.encode()) == text.encode()


@given(PLAIN, PLAIN, PLAIN, ESCAPING, ESCAPING)
def test_what_a_layer_says_can_be_found_in_the_text(before, text, after, inner, outer):
    parts = [outer(inner(each)).encode() for each in (before, text, after)]
    *_, layer = layers.layers(b"".join(parts))
    begin = len(before.encode())
    if text and layer.data == (before + text + after).encode():
        begin, end = layer.origin((begin, begin + len(text.encode())))
        assert b"".join(parts)[begin:end] == parts[1]


@given(
    st.binary(max_size=200) | st.lists(st.sampled_from(["%", "2", "5", "\\", "u", "&", "#", ";", "d8"])).map("".join)
)
def test_reading_is_total_and_bounded(text):
    data = text if isinstance(text, bytes) else text.encode()
    found = list(layers.layers(data))
    assert 1 <= len(found) <= MOST_LAYERS
    assert all(len(each.data) <= len(data) for each in found)
    for layer in found:
        for at in range(len(layer.data)):
            begin, end = layer.origin((at, at + 1))
            assert 0 <= begin < end <= len(data)


def test_a_layer_of_its_own_is_where_it_is():
    assert Layer(b"abc").origin((1, 2)) == (1, 2)
