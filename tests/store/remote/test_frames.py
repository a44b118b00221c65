"""What two processes write into the socket between them."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.model import Secret
from gateway.store.remote import frames
from gateway.store.remote.frames import FrameBroken, Reader, TooLong, decoder, packed

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)
MESSAGES = st.lists(st.tuples(st.integers(0, 2**32), st.text(max_size=20), VALUES), max_size=12)


def sent(messages):
    return b"".join(frames.frames([(number, word, packed(value)) for number, word, value in messages]))


def read(reader, data):
    return [message for part in reader.read(data) for message in part]


@given(MESSAGES, st.lists(st.integers(1, 40), min_size=1, max_size=30))
def test_messages_arrive_as_they_were_sent_however_the_socket_cuts_them(messages, cuts):
    data, reader, got, at, turn = sent(messages), Reader(), [], 0, 0
    while at < len(data):
        size = cuts[turn % len(cuts)]
        got += read(reader, data[at : at + size])
        at, turn = at + size, turn + 1
    plain = msgspec.msgpack.Decoder()
    arrived = [(number, word, plain.decode(value)) for number, word, value in got]
    assert [(n, w, msgspec.msgpack.encode(v)) for n, w, v in arrived] == [
        (number, word, msgspec.msgpack.encode(value)) for number, word, value in messages
    ]


@given(st.binary(max_size=200))
def test_whatever_arrives_is_read_or_refused(data):
    try:
        for number, word, value in read(Reader(), data):
            assert isinstance(number, int)
            assert isinstance(word, str)
            assert isinstance(value, msgspec.Raw)
    except FrameBroken:
        pass


@given(st.lists(st.integers(0, 3_000_000), max_size=8))
def test_a_frame_is_not_filled_beyond_its_size_and_a_longer_message_has_one_of_its_own(sizes):
    messages = [(at, "", packed(bytes(size))) for at, size in enumerate(sizes)]
    made = list(frames.frames(messages))
    for frame in made:
        held = read(Reader(), frame)
        assert len(frame) <= frames.FULL_BYTES + 200 or len(held) == 1
    assert [number for frame in made for number, _, _ in read(Reader(), frame)] == list(range(len(sizes)))


def test_a_frame_that_claims_to_be_longer_than_any_is_refused_before_it_has_arrived():
    with pytest.raises(FrameBroken, match="longer than any"):
        list(Reader().read((frames.LONGEST_BYTES + 1).to_bytes(4, "big")))


def test_a_value_that_no_frame_can_carry_is_refused_where_it_is_sent(monkeypatch):
    monkeypatch.setattr(frames, "LONGEST_BYTES", 1000)
    packed(bytes(800))
    with pytest.raises(TooLong, match="more than the 1000"):
        packed(bytes(1000))


def test_secrets_cross_as_secrets():
    assert decoder(tuple[Secret, ...]).decode(packed((Secret("one"), Secret("two")))) == (Secret("one"), Secret("two"))


def test_texts_that_utf_8_cannot_encode_cross_with_a_substitute():
    assert decoder(dict[str, list[str]]).decode(packed({"a\ud800": ["\udfff", "b"]})) == {"a?": ["?", "b"]}
