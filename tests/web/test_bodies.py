"""Bodies as they really come, at the door: what is stored, forwarded, split and refused."""

import gzip
import hashlib
import hmac
import json
import zlib

import pytest

from gateway.event import codings
from tests.sink import Sink
from tests.web.asking import AtTheDoor, with_file
from tests.world import story

SECRET = "s3cret-of-tests-1"
SOURCES = f"""\
version: 1
sources:
  signed: {{verify: {{signature: {{header: x-sign}}}}, secret: {SECRET}, type: "{{payload.type}}", max_body: 4KiB}}
  inner: {{verify: {{signature: {{header: x-sign, signed: "{{content}}"}}}}, secret: {SECRET}, type: "{{payload.type}}"}}
  split:
    verify: {{signature: {{header: x-sign}}}}
    secret: {SECRET}
    split: payload.items.*
    type: "{{payload.type}}"
"""
at_the_door = with_file(SOURCES + "destinations: {}\n")
BODY = json.dumps({"type": "order.paid", "text": "x" * 500}).encode()
PACKED = {"gzip": gzip.compress(BODY, mtime=0), "deflate": zlib.compress(BODY), "x-gzip": gzip.compress(BODY, mtime=0)}


def signed(body, content_type="application/json", of=None, **more):
    signature = hmac.new(SECRET.encode(), body if of is None else of, hashlib.sha256).hexdigest()
    return {"content-type": content_type, "x-sign": signature} | {
        name.replace("_", "-"): value for name, value in more.items()
    }


async def sent(door, body, path="/in/signed", **more):
    return await door.send(body, path=path, headers=signed(body, **more))


async def shown(door, answer):
    return (await door.ask(f"/api/events/{answer.json['id']}"))[1]


@pytest.mark.parametrize("coding", PACKED)
def test_a_compressed_body_is_stored_as_it_was_sent_and_read_as_it_was(tmp_path, coding):
    @at_the_door
    async def scenario(door):
        answer = await sent(door, PACKED[coding], content_encoding=coding)
        assert answer.status == 202
        event = await shown(door, answer)
        assert (event["type"], event["payload"]) == ("order.paid", json.loads(BODY))
        assert (await door.store.event(answer.json["id"])).event.body == PACKED[coding]
        assert (await sent(door, PACKED[coding], content_encoding=coding)).json["duplicate"]
        while await door.store.index():
            pass
        for q in ("order.paid", "type=order.paid"):
            assert len((await door.ask(f"/api/events?q={q}"))[1]["events"]) == 1, q

    scenario(tmp_path)


@at_the_door
async def test_the_signature_is_over_the_bytes_as_sent_unless_the_file_says_else(door):
    packed = PACKED["gzip"]
    for path, of, status in (
        ("signed", packed, 202), ("signed", BODY, 401), ("inner", BODY, 202), ("inner", packed, 401),
    ):  # fmt: skip
        answer = await door.send(packed, path=f"/in/{path}", headers=signed(packed, of=of, content_encoding="gzip"))
        assert answer.status == status, (path, status)
    plain = await door.send(BODY, path="/in/inner", headers=signed(BODY))
    assert plain.json["duplicate"]


@pytest.mark.parametrize(
    ("body", "status", "reason"),
    [
        (gzip.compress(b'{"a": "' + b"x" * 4096 + b'"}'), 413, "over 4096 bytes once decompressed"),
        (gzip.compress(bytes(100_000)), 413, "over 4096 bytes once decompressed"),
        (gzip.compress(bytes(4000))[:40], 413, "over 100 times its size once decompressed"),
        (gzip.compress(BODY)[:-3], 400, "the stream has no end"),
        (b'{"a": 1}', 400, "declared as gzip, but does not begin as gzip does"),
    ],
    ids=["over max_body", "a bomb over max_body", "a bomb", "cut", "plain"],
)
def test_a_compressed_body_is_bounded_by_what_comes_out(tmp_path, body, status, reason):
    @at_the_door
    async def scenario(door):
        answer = await sent(door, body, content_encoding="gzip")
        assert answer.status == status
        [(_, _, said)] = await door.refused()
        assert reason in said
        assert await door.kept() == 0

    scenario(tmp_path)


@at_the_door
async def test_a_stranger_has_nothing_decompressed(door):
    bomb = gzip.compress(bytes(1_000_000))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(codings, "_inflated", lambda *_: pytest.fail("decompressed before its signature was checked"))
        answer = await door.send(bomb, path="/in/signed", headers={"x-sign": "0" * 64, "content-encoding": "gzip"})
    assert answer.status == 401


@at_the_door
async def test_where_bodies_take_all_the_room_the_sender_is_asked_to_come_again(door):
    answer = await door.send(
        PACKED["gzip"], path="/in/signed", headers=signed(PACKED["gzip"], content_encoding="gzip"), hold=lambda _: False
    )
    assert (answer.status, answer.json) == (503, {"error": "too many large bodies at one time: send it again"})
    assert int(answer.headers["retry-after"]) > 0
    assert await door.kept() == 0


# --- charsets, marks, labels ---


@pytest.mark.parametrize(
    ("body", "content_type", "text"),
    [
        (b'\xef\xbb\xbf{"type": "a", "text": "caf\xc3\xa9"}', "application/json", "café"),
        (b'{"type": "a", "text": "caf\xe9"}', "application/json; charset=ISO-8859-1", "café"),
        (b'{"type": "a", "text": "\x93caf\xe9\x94"}', "application/json; charset=windows-1252", "“café”"),
        (b"type=a&text=caf%E9", "application/x-www-form-urlencoded; charset=ISO-8859-1", "café"),
        (b'{"type": "a", "text": "caf\xc3\xa9"}', "application/x-www-form-urlencoded", "café"),
    ],
)
def test_a_charset_a_mark_and_a_wrong_label_are_understood_and_the_bytes_stay(tmp_path, body, content_type, text):
    @at_the_door
    async def scenario(door):
        answer = await sent(door, body, content_type=content_type)
        assert answer.status == 202
        event = await shown(door, answer)
        assert (event["type"], event["payload"]["text"]) == ("a", text)
        assert (await door.store.event(answer.json["id"])).event.body == body

    scenario(tmp_path)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b'{"type": "a", "text": "\\ud83d"}', "an unpaired surrogate, \\ud83d: half of a character such as an emoji"),
        (b'{"type": "caf\xe9"}', "is not UTF-8: declare the charset"),
        ('{"type": "a"}'.encode("utf-16"), "it is UTF-16 or UTF-32"),
    ],
)
def test_the_reason_of_a_refusal_says_what_is_wrong(tmp_path, body, reason):
    @at_the_door
    async def scenario(door):
        assert (await sent(door, body)).status == 400
        [(_, _, said)] = await door.refused()
        assert reason in said

    scenario(tmp_path)


@at_the_door
async def test_a_header_in_utf_8_is_kept_as_text(door):
    headers = signed(BODY) | {"x-name": "Zoë 🙂".encode().decode("latin-1")}
    answer = await door.send(BODY, path="/in/signed", headers=headers)
    assert (await shown(door, answer))["headers"]["x-name"] == "Zoë 🙂"


# --- lines ---


@pytest.mark.parametrize("pack", [bytes, lambda body: gzip.compress(body, mtime=0)], ids=["plain", "gzip"])
def test_each_line_is_an_event(tmp_path, pack):
    lines = b'{"type": "a", "n": 1}\n{"type": "b", "n": 2}\n\n{"type": "a", "n": 1}\n'
    more = {} if pack is bytes else {"content_encoding": "gzip"}

    @at_the_door
    async def scenario(door):
        first = await sent(door, pack(lines), content_type="application/x-ndjson", **more)
        again = await sent(door, pack(lines), content_type="application/x-ndjson", **more)
        assert (first.status, len(first.json["ids"]), first.json["duplicate"]) == (202, 3, False)
        assert (again.json["ids"], again.json["duplicate"]) == (first.json["ids"], True)
        events = [(await door.store.event(id_)).event for id_ in first.json["ids"]]
        assert [(each.type, each.body) for each in events] == [
            ("a", b'{"type": "a", "n": 1}'), ("b", b'{"type": "b", "n": 2}'), ("a", b'{"type": "a", "n": 1}'),
        ]  # fmt: skip
        assert not [each for each in events if "content-encoding" in each.headers]

    scenario(tmp_path)


@at_the_door
async def test_a_bad_line_stores_none_and_the_reason_says_which(door):
    for body, reason in (
        (b'{"type": "a"}\n{"type": }\n', "item 2 of 2: the body is not valid JSON"),
        (b'{"type": "a"}\n7\n', "item 2 of 2 is not an object"),
        (b'{"type": "a"}\n' * 1001, "at most 1000"),
    ):
        answer = await sent(door, body, path="/in/split", content_type="application/x-ndjson")
        assert answer.status == 400
        assert reason in (await door.refused())[0][2]
    assert await door.kept() == 0


@at_the_door
async def test_a_line_may_hold_several_events_itself(door):
    body = b'{"items": [{"type": "a"}, {"type": "b"}]}\n{"items": [{"type": "c"}]}\n'
    answer = await sent(door, body, path="/in/split", content_type="application/x-ndjson")
    assert [(await door.store.event(id_)).event.type for id_ in answer.json["ids"]] == ["a", "b", "c"]


# --- what goes out ---


@pytest.mark.parametrize("coding", PACKED)
def test_verbatim_is_the_bytes_as_sent_with_their_encoding_and_a_template_reads_them(tmp_path, coding):
    @story
    async def scenario():
        with Sink() as sink:
            file = SOURCES + (
                f"destinations: {{crm: {{url: {sink.url}}}, text: {{url: '{sink.url}/text'}}}}\n"
                "always: [{to: crm}, {to: text, text: '{{ payload.type }}'}]\n"
            )
            async with AtTheDoor(tmp_path, file) as door:
                assert (await sent(door, PACKED[coding], content_encoding=coding)).status == 202
                assert (await sent(door, BODY)).status == 202
                await door.turn()
                found = {(each.path, each.headers.get("content-encoding"), each.body) for each in sink.requests}
                text = b'{"text":"order.paid"}'
                assert found == {("/", coding, PACKED[coding]), ("/", None, BODY), ("/text", None, text)}

    scenario()
