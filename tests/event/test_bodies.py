"""Bodies as senders really write them: compressed, in another charset, by lines, under another name."""

import asyncio
import gzip
import json
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import BodyTooLarge, NoRoom, Unparsable
from gateway.event import charsets, codings
from gateway.event.payload import kept_headers, kept_query, parse, parse_body, query_fields
from gateway.event.split import lines
from tests.event.given import json_values

FORM = "application/x-www-form-urlencoded"
NDJSON = "application/x-ndjson"
BOM = b"\xef\xbb\xbf"
#: A character of windows-1252 that ISO-8859-1 does not have.
QUOTED = b'{"a": "\x93caf\xe9\x94"}'


# --- JSON and texts ---


@pytest.mark.parametrize(
    ("body", "content_type", "payload"),
    [
        (BOM + b'{"a": 1}', "application/json", {"a": 1}),
        (b'{"a": "caf\xe9"}', "application/json; charset=ISO-8859-1", {"a": "café"}),
        (b'{"a": "caf\xe9"}', 'application/json;charset="latin1"', {"a": "café"}),
        (QUOTED, "application/json; charset=windows-1252", {"a": "“café”"}),
        (b'{"a": "caf\xa4"}', "application/vnd.api+json; charset=iso-8859-15", {"a": "caf€"}),
        ('{"a": "café"}'.encode(), "application/json; charset=iso-8859-1", {"a": "café"}),
        (b"a=caf%E9&b=1", f"{FORM}; charset=iso-8859-1", {"a": "café", "b": "1"}),
        (b"a=caf%C3%A9", f"{FORM}; charset=iso-8859-1", {"a": "café"}),
        (b"caf\xe9", "text/plain; charset=windows-1252", "café"),
        (b"<a>caf\xe9</a>", "application/xml; charset=iso-8859-1", "<a>café</a>"),
        (b"caf\xe9", "text/plain", "caf�"),
        (b'{"a": [1]}', FORM, {"a": [1]}),
        (b' [{"a": 1}]', FORM, [{"a": 1}]),
        (b"{}", FORM, {}),
        (b'{"a" 1}', FORM, {'{"a" 1}': ""}),
        (b"a=1", FORM, {"a": "1"}),
        (b"", "application/json", {}),
        (b"", FORM, {}),
        (b"", "", {}),
        (b"", "text/plain", {}),
    ],
)
def test_a_body_is_read_as_its_sender_means_it(body, content_type, payload):
    assert parse_body(body, content_type) == payload


@pytest.mark.parametrize(
    ("body", "charset", "reason"),
    [
        (b"", "", "it is empty"),
        (b" \n", "", "it is empty"),
        ('{"a": 1}'.encode("utf-16"), "", "it is UTF-16 or UTF-32, and JSON is UTF-8"),
        ('{"a": 1}'.encode("utf-16-le"), "utf-16", "it is UTF-16 or UTF-32, and JSON is UTF-8"),
        (b'{"a": "\xe9"}', "", "byte 7 (0xe9) is not UTF-8: declare the charset"),
        (b'{"a": "\xe9"}', "utf-8", "byte 7 (0xe9) is not UTF-8: declare the charset"),
        (b'{"a": "\xe9"}', "shift_jis", "byte 7 (0xe9) is not UTF-8, and the charset shift_jis is not supported"),
        (b'{"a": "\x81"}', "windows-1252", "byte 7 (0x81) is not valid in UTF-8 nor in windows-1252"),
        (b'{"a": "\\ud83d"}', "", "byte 7 begins an unpaired surrogate, \\ud83d: half of a character such as an emoji"),
        (b'{"a": "\\ud83d\\ude00 \\ude00"}', "", "byte 20 begins an unpaired surrogate, \\ude00"),
        (b'{"a": "\\\\ud83d", "b": "\\ud83dx"}', "", "byte 23 begins an unpaired surrogate"),
        (b'{"a": 1', "", "it ends before its last bracket or quote is closed"),
        (BOM + b'{"a": 1', "", "it ends before its last bracket or quote is closed"),
        (BOM, "", "it ends before its last bracket or quote is closed"),
        (b"{'a': 1}", "", "object keys must be strings"),
    ],
)
def test_the_reason_says_what_is_wrong(body, charset, reason):
    with pytest.raises(Unparsable) as refused:
        parse(body, charset)
    assert reason in str(refused.value)
    assert "truncated" not in str(refused.value)


@given(
    st.binary(max_size=60), st.sampled_from(["", "utf-8", "iso-8859-1", "windows-1252", "utf-16", "x", "iso-8859-12"])
)
def test_any_bytes_in_any_charset_are_read_or_refused(body, charset):
    try:
        parse(body, charset)
    except Unparsable as refused:
        assert "truncated" not in str(refused)
    assert isinstance(charsets.text(body, charset), str)


@given(json_values, st.sampled_from(["iso-8859-1", "windows-1252"]))
def test_a_charset_changes_nothing_about_json_in_utf_8(value, charset):
    assert parse(json.dumps(value, ensure_ascii=False).encode("utf-8", "replace"), charset) == parse(
        json.dumps(value, ensure_ascii=False).encode("utf-8", "replace")
    )


# --- lines ---


@pytest.mark.parametrize(
    ("body", "content_type", "found"),
    [
        (b'{"a": 1}\n{"a": 2}\n', NDJSON, [b'{"a": 1}', b'{"a": 2}']),
        (b'{"a": 1}\r\n\r\n{"a": 2}', "application/jsonl", [b'{"a": 1}', b'{"a": 2}']),
        (BOM + b'{"a": 1}\n{"a": 2}', NDJSON, [b'{"a": 1}', b'{"a": 2}']),
        (b'{"a": 1}\n', NDJSON, []),
        (b'{\n"a": 1\n}', "text/plain", []),
        (b'{"a": 1}\n{"a": 2}', "text/plain", [b'{"a": 1}', b'{"a": 2}']),
        (b'{"a": 1}\n{"a": 2', "text/plain", []),
        (b'{"a": 1}\n{"a": 2}', "application/json", []),
    ],
)
def test_one_object_on_each_line_is_a_list_of_them(body, content_type, found):
    assert lines(body, content_type) == found


# --- compression ---

ZLIB, GZIP = zlib.compress, lambda body: gzip.compress(body, mtime=0)


@given(st.binary(max_size=3000), st.sampled_from([ZLIB, GZIP]))
def test_what_was_compressed_is_what_comes_out(body, pack):
    packed = pack(body)
    named = "gzip" if pack is GZIP else "deflate"
    assert codings.coding_of(packed) == named
    assert codings.plain(packed) == body
    assert asyncio.run(codings.unpacked(packed, named, codings.MOST, lambda _: True)) == body


@given(st.binary(max_size=200).map(lambda body: b"\x1f\x8b\x08" + body) | st.binary(max_size=200))
def test_any_bytes_are_decompressed_or_refused(body):
    try:
        codings.plain(body)
    except (Unparsable, BodyTooLarge):
        assert codings.coding_of(body)


@given(json_values)
def test_no_json_seems_to_be_compressed(value):
    assert codings.coding_of(json.dumps(value).encode()) == ""


def test_a_text_that_begins_like_zlib_stays_a_text():
    for text in (b"x^2 + y^2", b"x\x01 and more"):
        assert codings.coding_of(text) == "deflate"
        assert codings.plain(text) == text
        assert asyncio.run(codings.unpacked(text, "", 100, lambda _: True)) == text
        with pytest.raises(Unparsable, match="not valid deflate"):
            asyncio.run(codings.unpacked(text, "deflate", 100, lambda _: True))


@pytest.mark.parametrize(
    ("body", "most", "reason"),
    [
        (GZIP(b"x" * 2000), 1999, "over 1999 bytes once decompressed"),
        (GZIP(bytes(1_000_000)), codings.MOST, "over 100 times its size once decompressed"),
        (ZLIB(bytes(1_000_000)), codings.MOST, "over 100 times its size once decompressed"),
    ],
    ids=["larger than max_body", "a bomb of gzip", "a bomb of deflate"],
)
def test_what_comes_out_is_bounded_by_its_size_and_by_a_ratio(body, most, reason):
    held = []

    def hold(size):
        held.append(size)
        return True

    with pytest.raises(BodyTooLarge, match=reason):
        asyncio.run(codings.unpacked(body, codings.coding_of(body), most, hold))
    # Not more than a piece beyond the limit ever was in memory.
    assert sum(held) <= min(most, len(body) * codings.RATIO)


@pytest.mark.parametrize(
    ("body", "named", "reason"),
    [
        (GZIP(b"hello")[:-4], "gzip", "the stream has no end"),
        (GZIP(b"hello")[:-1] + b"\x01", "gzip", "not valid gzip"),
        (GZIP(b"hello") + b"garbage", "gzip", "not valid gzip"),
        (GZIP(b"a") * 17, "gzip", "more than 16 streams"),
        (b'{"a": 1}', "gzip", "declared as gzip, but does not begin as gzip does"),
        (GZIP(b"hello"), "deflate", "declared as deflate, but does not begin as deflate does"),
    ],
    ids=["cut", "another checksum", "more behind it", "too many streams", "plain", "another coding"],
)
def test_a_broken_stream_is_refused_with_its_reason(body, named, reason):
    with pytest.raises(Unparsable, match=reason):
        asyncio.run(codings.unpacked(body, named, codings.MOST, lambda _: True))


def test_members_of_gzip_that_follow_each_other_are_one_body():
    assert codings.plain(GZIP(b"one ") + GZIP(b"two")) == b"one two"


def test_where_there_is_no_room_nothing_more_is_decompressed():
    held = []

    def hold(size):
        held.append(size)
        return len(held) < 3

    body = GZIP(b"".join(b"%d" % number for number in range(100_000)))
    with pytest.raises(NoRoom):
        asyncio.run(codings.unpacked(body, "gzip", codings.MOST, hold))
    assert len(held) == 3


def test_others_have_a_turn_while_a_large_body_is_decompressed():
    body = GZIP(b"".join(b"%d" % number for number in range(1_000_000)))
    turns = []

    async def both():
        other = asyncio.create_task(counting())
        content = await codings.unpacked(body, "gzip", codings.MOST, lambda _: True)
        other.cancel()
        return content

    async def counting():
        while True:
            turns.append(1)
            await asyncio.sleep(0)

    # A turn is longer by the piece that ends it.
    assert len(asyncio.run(both())) // (codings.TURN + 64 * 1024) <= len(turns)


@pytest.mark.parametrize(
    ("values", "coding"),
    [
        ([], ""),
        ([b""], ""),
        ([b"identity"], ""),
        ([b" GZIP "], "gzip"),
        ([b"x-gzip"], "gzip"),
        ([b"deflate"], "deflate"),
        ([b"gzip, identity"], "gzip"),
        ([b"br"], None),
        ([b"gzip, gzip"], None),
        ([b"gzip", b"deflate"], None),
        ([b"\xff"], None),
    ],
)
def test_the_declared_coding_is_one_of_two_or_none(values, coding):
    assert codings.declared(values) == coding


# --- headers and queries ---


def test_a_header_in_utf_8_is_read_as_utf_8_and_any_other_byte_is_kept():
    assert kept_headers([(b"x-name", "Zoë 🙂".encode()), (b"x-old", b"Zo\xeb")]) == {"x-name": "Zoë 🙂", "x-old": "Zoë"}


@pytest.mark.parametrize(
    ("query", "kept"),
    [
        (b"", ""),
        (b"a=1&b=%20&a=2", "a=1&b=%20&a=2"),
        (b"a=1&key=s3cret", "a=1"),
        (b"%6Bey=s3cret&a=1", "a=1"),
        (b"KEY=s3cret", ""),
        (b"key", ""),
        (b"a=\xff", ""),
        (b"%ff=1", ""),
    ],
)
def test_of_a_query_stays_what_shows_no_secret(query, kept):
    assert kept_query(query, {"key"}) == kept


@given(st.binary(max_size=60), st.sampled_from([b"key", b"%6bey", b"KEY", b"k%65y"]))
def test_no_spelling_of_a_name_brings_its_secret_through(rest, name):
    query = rest.replace(b"&", b"") + b"&" + name + b"=s3cret"
    assert "s3cret" not in kept_query(query, {"key"})
    assert "key" not in {each.lower() for each in query_fields(kept_query(query, {"key"}))}
