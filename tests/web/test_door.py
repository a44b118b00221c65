"""Every answer of the door, by hand: a scope, the messages that arrive, and the answer that goes out."""

import asyncio
import hashlib
import hmac
from unittest.mock import patch

import pytest

from gateway import pipeline, telemetry
from gateway.errors import StoreUnavailable
from gateway.model import DeliveryState
from gateway.presets import load as load_preset
from gateway.store.activities import Task
from gateway.store.queries import DeliveryQuery
from gateway.store.sqlite import file
from gateway.web import ingest_app
from gateway.web.door import RETRY_AFTER_S
from tests.store.sqlite.given import edit, overwrite
from tests.web.asking import AtTheDoor, signed, with_file

BODY = load_preset("xobito").samples["contact.created"]
FILE = """\
version: 1
sources:
  xobito: {preset: xobito, secret: s3cret, max_body: 4KiB}
  alarms: {preset: url-secret, secret: a-long-url-secret}
  whatsapp: {preset: meta, secret: s3cret, verify: {handshake_token: tok}}
  chat: {preset: intercom, secret: s3cret}
  anyone: {preset: xobito, verify: none}
  mails: {preset: sendgrid, verify: {token: {header: x-token}}, secret: s3cret}
"""


LIMITED = """\
limits: {max_pending: 2}
destinations: {crm: {url: http://127.0.0.1:1, paused: true}}
routes: [{match: contact.created, to: crm}]
"""
ONE_WAITS = DeliveryQuery(state=DeliveryState.PENDING)


def another(number: int) -> bytes:
    """An event of its own."""
    return BODY.replace(b"451", b"%d" % (1000 + number))


at_the_door = with_file(FILE)


def received(source: str, outcome: str, reason: str = "") -> float:
    return telemetry.EVENTS_RECEIVED.of(source, outcome, reason).value


@at_the_door
async def test_a_new_event_is_202_with_its_id_and_the_same_again_is_a_duplicate_of_it(door):
    first = await door.send(BODY)
    again = await door.send(BODY)
    assert (first.status, first.json) == (202, {"id": first.json["id"], "duplicate": False})
    note = (
        f"not delivered again; if some of its deliveries died, send them with: gateway replay --dead {first.json['id']}"
    )
    assert (again.status, again.json) == (202, {"id": first.json["id"], "duplicate": True, "note": note})
    assert await door.refused() == [("/in/xobito", 202, f"duplicate of {first.json['id']}: {note}")]


@at_the_door
async def test_a_body_may_arrive_in_pieces(door):
    assert (await door.send(BODY[:10], BODY[10:20], BODY[20:])).status == 202


@at_the_door
async def test_a_split_request_is_answered_with_all_its_ids(door):
    body = b'[{"event": "open", "sg_event_id": "a"}, {"event": "click", "sg_event_id": "b"}]'
    answer = await door.send(body, path="/in/mails", headers={"x-token": "s3cret", "content-type": "application/json"})
    assert answer.json["ids"][0] == answer.json["id"]
    assert len(answer.json["ids"]) == 2
    assert answer.json["duplicate"] is False


@at_the_door
async def test_a_preset_may_answer_with_another_status(door):
    body = b'{"entry": [{"changes": [{"field": "messages", "value": {}}]}]}'
    signature = "sha256=" + hmac.new(b"s3cret", body, hashlib.sha256).hexdigest()
    answer = await door.send(body, path="/in/whatsapp", headers={"x-hub-signature-256": signature})
    assert answer.status == 200
    assert answer.json["duplicate"] is False


# --- what is refused ---


@at_the_door
async def test_a_wrong_signature_is_401_and_only_our_log_knows_why(door):
    answer = await door.send(BODY, headers={"x-webhook-signature": "0" * 64})
    assert (answer.status, answer.json) == (401, {"error": "signature missing or wrong"})
    [(path, status, reason)] = await door.refused()
    assert (path, status) == ("/in/xobito", 401)
    assert reason
    assert await door.kept() == 0


@at_the_door
async def test_a_signed_body_that_cannot_be_parsed_is_400(door):
    answer = await door.send(b"{")
    assert answer.status == 400
    assert answer.json == {"error": "the body is not valid JSON: it ends before its last bracket or quote is closed"}


@at_the_door
async def test_an_unknown_path_is_404(door):
    for path in ("/", "//", "/in/nobody", "/in/xobito/more"):
        answer = await door.send(BODY, path=path)
        assert (answer.status, answer.json) == (404, {"error": "unknown source"})


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_another_method_is_405_and_names_the_right_one(tmp_path, method):
    @at_the_door
    async def scenario(door):
        answer = await door.send(BODY, method=method)
        assert (answer.status, answer.headers["allow"]) == (405, "POST")
        assert answer.json == {"error": "method not allowed: send POST"}
        assert door.messages_left == 1

    scenario(tmp_path)


@at_the_door
async def test_a_body_too_large_by_its_content_length_is_413_before_a_byte_of_it_is_read(door):
    answer = await door.send(b"x", headers=signed(b"x", **{"content-length": "4097"}))
    assert (answer.status, answer.json) == (413, {"error": "body too large: max_body of this source is 4096 bytes"})
    assert door.messages_left == 1


@at_the_door
async def test_a_body_that_grows_too_large_is_413_and_the_rest_is_not_read(door):
    answer = await door.send(b"x" * 4096, b"x", b"x" * 4096)
    assert answer.status == 413
    assert door.messages_left == 1
    assert (await door.send(BODY)).status == 202


@at_the_door
async def test_a_body_of_exactly_the_limit_is_read(door):
    body = b'{"pad": "' + b"x" * (4096 - 11) + b'"}'
    assert len(body) == 4096
    assert (await door.send(body, headers=signed(body, **{"content-length": "4096"}))).status == 202


@pytest.mark.parametrize("encoding", ["br", "gzip, gzip", "gzip, br", "zstd", "\xff"])
def test_a_content_encoding_that_is_not_accepted_is_415_and_the_answer_says_which_are(tmp_path, encoding):
    @at_the_door
    async def scenario(door):
        answer = await door.send(BODY, headers=signed(BODY, **{"content-encoding": encoding}))
        assert (answer.status, answer.json) == (
            415,
            {"error": "content encoding not accepted: send gzip, deflate or none"},
        )
        assert answer.headers["accept-encoding"] == "gzip, deflate"
        assert door.messages_left == 1

    scenario(tmp_path)


@pytest.mark.parametrize("encoding", ["", "identity", " Identity "])
def test_no_encoding_by_any_name_is_accepted(tmp_path, encoding):
    @at_the_door
    async def scenario(door):
        assert (await door.send(BODY, headers=signed(BODY, **{"content-encoding": encoding}))).status == 202

    scenario(tmp_path)


@at_the_door
async def test_a_secret_in_the_path_is_checked_and_a_wrong_one_looks_like_no_source(door):
    body = b'{"event": "x"}'
    headers = {"content-type": "application/json"}
    assert (await door.send(body, path="/in/alarms/a-long-url-secret", headers=headers)).status == 202
    for path in ("/in/alarms/wrong-url-secret", "/in/alarms", "/in/alarms/"):
        answer = await door.send(body, path=path, headers=headers)
        assert (answer.status, answer.json) == (404, {"error": "unknown source"})
    assert "wrong-url-secret" not in repr(await door.refused())


@at_the_door
async def test_every_refusal_is_counted_under_its_reason(door):
    telemetry.in_force(sources=["xobito"], routes=[], entries=[], destinations=[])
    before = received("xobito", "rejected", "signature"), received("xobito", "accepted")
    await door.send(BODY, headers={})
    await door.send(BODY)
    assert (received("xobito", "rejected", "signature"), received("xobito", "accepted")) == (
        before[0] + 1,
        before[1] + 1,
    )


# --- handshakes and probes ---


@at_the_door
async def test_a_handshake_is_answered_in_its_own_words_and_keeps_nothing(door):
    query = b"hub.mode=subscribe&hub.verify_token=tok&hub.challenge=12345"
    answer = await door.send(method="GET", path="/in/whatsapp", query=query, headers={})
    assert (answer.status, answer.body) == (200, b"12345")
    assert answer.headers["content-type"].startswith("text/plain")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert await door.kept() == 0


@at_the_door
async def test_a_handshake_with_a_wrong_token_is_401_and_a_get_that_is_none_too(door):
    asked = b"hub.mode=subscribe&hub.challenge=12345"
    for query, said in (
        (asked + b"&hub.verify_token=no", "verify token missing or wrong"),
        (asked, "verify token missing or wrong"),
        (b"", "signature missing or wrong"),
    ):
        answer = await door.send(method="GET", path="/in/whatsapp", query=query, headers={})
        assert (answer.status, answer.json) == (401, {"error": said})


@at_the_door
async def test_a_probe_of_the_sender_is_200_and_empty(door):
    answer = await door.send(method="HEAD", path="/in/chat", headers={})
    assert (answer.status, answer.body) == (200, b"")


# --- what cannot be kept ---


@at_the_door
async def test_a_store_that_refuses_is_503_with_a_time_to_wait_and_readiness_knows_until_an_event_is_kept(door):
    def refuse(*_, **__):
        appending = asyncio.get_running_loop().create_future()
        appending.set_exception(StoreUnavailable("the disk is full"))
        return appending

    append, door.gateway.store.append = door.gateway.store.append, refuse
    answer = await door.send(BODY)
    assert (answer.status, answer.headers["retry-after"]) == (503, str(RETRY_AFTER_S))
    assert answer.json == {"error": "the event could not be stored: send it again"}
    assert door.readiness.refused_at is not None
    door.gateway.store.append = append
    assert (await door.send(BODY)).status == 202
    assert door.readiness.refused_at is None


@at_the_door
async def test_a_defect_costs_the_sender_a_retry_and_says_nothing_about_itself(door):
    async def fail(*_):
        raise KeyError("a secret detail")

    with patch.object(pipeline, "receive", fail):
        answer = await door.send(BODY)
    assert (answer.status, answer.headers["retry-after"]) == (503, str(RETRY_AFTER_S))
    assert b"detail" not in answer.body


@at_the_door
async def test_a_sender_that_hangs_up_gets_no_answer(door):
    assert (await door.send(b"x" * 60, None)).status == 0
    assert await door.kept() == 0
    assert await door.refused() == []


@at_the_door
async def test_only_a_sender_whose_request_was_authentic_counts_as_verified(door):
    refused = {"x-webhook-signature": "0" * 64}
    await door.send(BODY, headers=refused)
    await door.send(BODY, path="/in/anyone", headers={})
    assert not door.senders.has_verified("127.0.0.1", b"/in/xobito")
    assert not door.senders.has_verified("127.0.0.1", b"/in/anyone")
    await door.send(BODY)
    assert door.senders.has_verified("127.0.0.1", b"/in/xobito")
    assert not door.senders.has_verified("127.0.0.1", b"/in/alarms")
    assert not door.senders.has_verified("127.0.0.2", b"/in/xobito")


@at_the_door
async def test_behind_the_application_the_door_sees_the_path_as_it_was_sent(door):
    app = ingest_app(door.gateway, door.dispatcher, door.readiness, door.rejections, door.senders)
    assert (await door.send(BODY, through=app)).status == 202
    assert (await door.send(BODY, path="/in/%78obito", through=app)).status == 404


@at_the_door
async def test_above_max_pending_new_events_are_refused_until_something_has_gone_out(door):
    door.reload(FILE + LIMITED)
    assert [(await door.send(BODY)).status for _ in range(2)] == [202, 202], "the second is a duplicate"
    assert (await door.send(another(1))).status == 202
    assert door.readiness.status(door.gateway, door.dispatcher).startswith("no new events are accepted: 2 deliveries")
    answer = await door.send(another(2))
    assert (answer.status, answer.headers["retry-after"]) == (503, str(RETRY_AFTER_S))
    assert await door.kept() == 2
    status, metrics = await door.ask("/metrics")
    assert (status, 'gateway_max_pending_ratio{destination="crm"} 1.0' in metrics) == (200, True)
    _, page = await door.ask("/", accept="text/html")
    assert "limits.max_pending is 2" in page
    await door.store.begin(Task(verb="discard", by="ann", which=ONE_WAITS, subject="a test"))
    assert door.readiness.status(door.gateway, door.dispatcher) == "ready"
    assert (await door.send(another(2))).status == 202


@at_the_door
async def test_half_of_max_pending_is_said_on_every_page(door):
    door.reload(FILE + LIMITED)
    assert (await door.send(BODY)).status == 202
    for path in ("/", "/destinations", "/dead"):
        assert "50% of limits.max_pending, 1 of them for crm" in (await door.ask(path, accept="text/html"))[1]


@at_the_door
async def test_what_the_gateway_says_of_itself_is_stored_when_others_are_refused(door):
    door.reload(FILE + LIMITED)
    for number in range(2):
        await door.send(another(number))
    await pipeline.announce(door.gateway, door.dispatcher, pipeline.Announcement("store.full", "It is full.", {}))
    assert await door.kept() == 3


def test_a_damaged_store_refuses_new_events_and_says_what_to_do(tmp_path, monkeypatch):
    async def fill():
        async with AtTheDoor(tmp_path, FILE) as door:
            assert (await door.send(BODY)).status == 202

    async def look():
        async with AtTheDoor(tmp_path, FILE) as door:
            assert (await door.send(BODY)).status == 202, "nothing is known yet"
            assert door.readiness.status(door.gateway, door.dispatcher) == "ready"
            while await door.store.inspect():
                pass
            said = door.readiness.status(door.gateway, door.dispatcher)
            assert said.startswith(f"no new events are accepted: {tmp_path}/gateway.db is damaged")
            assert "restore a backup" in said
            answer = await door.send(another(1))
            assert (answer.status, answer.headers["retry-after"]) == (503, str(RETRY_AFTER_S))
            _, metrics = await door.ask("/metrics")
            assert "gateway_store_damaged 1.0" in metrics
            status, detail = await door.ask("/readyz")
            assert (status, "is damaged" in detail["status"], "checked" in detail["store"]) == (503, True, True)

    asyncio.run(fill())
    # As if the file were too large to be checked whole at its start.
    monkeypatch.setattr(file, "quick_check", lambda *_: False)
    root = edit(tmp_path / "gateway.db", "SELECT rootpage FROM sqlite_schema WHERE name = 'rejected'")[0][0]
    overwrite(tmp_path / "gateway.db", (root - 1) * 4096, b"\xff" * 4096)
    asyncio.run(look())


@at_the_door
async def test_an_unsigned_id_is_found_by_search_before_and_after_it_is_indexed(door):
    door.reload(
        "version: 1\nsources: {hub: {preset: github, secret: s3cret}, hush: {preset: github, secret: s3cret, "
        "redact: [headers.x-github-delivery]}}\ndestinations: {}\n"
    )
    body = b'{"action": "opened"}'
    sent = {"content-type": "application/json", "x-hub-signature-256": f"sha256={signed(body)['x-webhook-signature']}"}
    sent |= {"x-github-event": "issues", "x-github-delivery": "72d3162e-cc78-11e3-81ab-4c9367dc0958"}
    first = (await door.send(body, path="/in/hub", headers=sent)).json["id"]
    hushed = (await door.send(body, path="/in/hush", headers=sent)).json["id"]
    for _ in range(2):
        for q in (
            "72d3162e-cc78-11e3-81ab-4c9367dc0958",
            "headers.x-github-delivery=72d3162e-cc78-11e3-81ab-4c9367dc0958",
        ):
            _, found = await door.ask(f"/api/events?q={q}")
            assert [each["id"] for each in found["events"]] == [first], q
        while await door.store.index():
            pass
    assert (await door.ask(f"/api/events/{first}"))[1]["label"] == "72d3162e-cc78-11e3-81ab-4c9367dc0958"
    assert (await door.ask(f"/api/events/{hushed}"))[1]["label"] == "•••"
    assert "72d3162e-cc78-11e3-81ab-4c9367dc0958" in (await door.ask(f"/events/{first}"))[1]
