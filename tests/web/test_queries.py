"""Senders that use the address and other methods: tokens in a query or a body, doorbells, slashes that are too many."""

import json
import re

import pytest

from gateway import telemetry
from gateway.config import load
from gateway.rehearsal.expectations import failures
from tests.sink import Sink
from tests.web.asking import AtTheDoor, with_file
from tests.web.desk import READ_TOKEN, GuardedDesk
from tests.web.test_forgetting import until_finished
from tests.world import story

SECRET = "s3cret-of-the-bell-1"
FILE = f"""\
version: 1
sources:
  bell:
    methods: [GET, PUT, POST]
    verify: {{token: {{query: key}}}}
    secret: {SECRET}
    type: "ring.{{query.button}}"
    id: "{{query.press}}"
  form: {{verify: {{token: {{payload: auth.token}}}}, secret: {SECRET}, type: "{{payload.type}}"}}
  flat: {{verify: {{token: {{payload: token}}}}, secret: {SECRET}, type: "{{payload.type}}"}}
  many: {{verify: {{token: {{payload: value.0.state}}}}, secret: {SECRET}, type: many}}
  bearer: {{verify: {{bearer: true}}, secret: {SECRET}, type: a}}
  login: {{verify: {{basic: {{user: me}}}}, secret: {SECRET}, type: a}}
  signed: {{verify: {{signature: {{header: x-sign}}}}, secret: {SECRET}, type: a, methods: PUT}}
destinations: {{log: {{url: "http://127.0.0.1:1", paused: true}}}}
routes:
  - {{name: front, where: {{query.button: front}}, to: log, text: "{{{{ query.button }}}} by {{{{ query.who | default('nobody') }}}}"}}
"""
at_the_door = with_file(FILE)


async def rings(door, query=b"", body=b"", method="GET", path="/in/bell"):
    return await door.send(body, method=method, path=path, query=f"key={SECRET}&".encode() + query, headers={})


async def shown(door, answer):
    return (await door.ask(f"/api/events/{answer.json['id']}"))[1]


@pytest.mark.parametrize("method", ["GET", "PUT", "POST"])
def test_a_request_without_a_body_is_an_event_with_an_empty_payload(tmp_path, method):
    @at_the_door
    async def scenario(door):
        answer = await rings(door, b"button=front&who=Zo%C3%AB", method=method)
        assert answer.status == 202
        event = await shown(door, answer)
        assert (event["type"], event["payload"], event["size"]) == ("ring.front", {}, 0)
        assert event["query"] == {"button": "front", "who": "Zoë"}
        assert [each["route"] for each in event["deliveries"]] == ["front"]

    scenario(tmp_path)


@at_the_door
async def test_method_path_and_query_identify_a_request_without_a_body(door):
    first = [
        await rings(door, b"button=a"),
        await rings(door, b"button=b"),
        await rings(door, b"button=a", method="PUT"),
    ]
    again = [
        await rings(door, b"button=a"),
        await rings(door, b"button=b"),
        await rings(door, b"button=a", method="PUT"),
    ]
    assert [each.json["duplicate"] for each in (*first, *again)] == [False] * 3 + [True] * 3
    assert [each.json["id"] for each in again] == [each.json["id"] for each in first]
    assert (await rings(door, b"button=a", b'{"a": 1}', method="PUT")).json["duplicate"] is False


@at_the_door
async def test_an_id_may_be_in_the_query(door):
    found = [await rings(door, query) for query in (b"press=1&at=1", b"press=1&at=2", b"press=2&at=2")]
    assert [each.json["duplicate"] for each in found] == [False, True, False]


@at_the_door
async def test_what_is_not_signed_of_a_request_without_a_body_makes_no_other_event_of_it(door):
    source = door.gateway.config.sources["signed"]
    from gateway.signatures import Request

    [(name, value)] = source.verifier.sign(Request(headers=[], body=b""), 0.0, "").headers
    answers = [
        await door.send(b"", method="PUT", path="/in/signed", query=query, headers={name: value})
        for query in (b"", b"a=1")
    ]
    assert [each.json["duplicate"] for each in answers] == [False, True]


@at_the_door
async def test_a_method_that_a_source_does_not_take_is_405_and_the_answer_says_which_it_takes(door):
    for path, method, allowed in (("bell", "DELETE", ("GET", "POST", "PUT")), ("signed", "POST", ("PUT",))):
        answer = await door.send(b"", method=method, path=f"/in/{path}", headers={})
        assert (answer.status, answer.headers["allow"]) == (405, ", ".join(allowed))
        assert answer.json == {"error": f"method not allowed: send {' or '.join(allowed)}"}


@pytest.mark.parametrize("path", ["/in/bell/", "//in/bell", "/in//bell", "/in/bell///"])
def test_a_slash_too_many_finds_its_source(tmp_path, path):
    @at_the_door
    async def scenario(door):
        assert (await rings(door, b"button=front", path=path)).status == 202

    scenario(tmp_path)


@pytest.mark.parametrize("query", [b"", b"key=", b"key=x", f"key=x&key={SECRET}".encode(), f"KEY={SECRET}".encode()])
def test_a_wrong_token_in_the_query_is_401(tmp_path, query):
    @at_the_door
    async def scenario(door):
        assert (await door.send(b"", method="GET", path="/in/bell", query=query, headers={})).status == 401
        assert SECRET not in repr(await door.refused())

    scenario(tmp_path)


JSON, FORM = "application/json", "application/x-www-form-urlencoded"


@pytest.mark.parametrize(
    ("path", "content_type", "body", "status"),
    [
        ("form", JSON, json.dumps({"type": "a", "auth": {"token": SECRET}}), 202),
        ("form", JSON, json.dumps({"type": "a", "auth": {"token": "x"}}), 401),
        ("form", JSON, json.dumps({"type": "a"}), 401),
        ("form", JSON, "{", 401),
        ("flat", FORM, f"type=a&token={SECRET}", 202),
        ("flat", FORM, "type=a&token=x", 401),
        ("flat", JSON, json.dumps({"type": "a", "token": SECRET}), 202),
        ("many", JSON, json.dumps({"value": [{"state": SECRET}, {"state": SECRET, "b": 1}]}), 202),
        ("many", JSON, json.dumps({"value": []}), 401),
    ],
)
def test_a_token_in_the_body_is_compared_and_hidden(tmp_path, path, content_type, body, status):
    @at_the_door
    async def scenario(door):
        answer = await door.send(body.encode(), path=f"/in/{path}", headers={"content-type": content_type})
        assert answer.status == status
        if status == 202:
            for place in (
                f"/api/events/{answer.json['id']}",
                f"/events/{answer.json['id']}",
                f"/api/events?q={SECRET}",
            ):
                found = json.dumps((await door.ask(place))[1])
                assert SECRET not in found.replace(f"q={SECRET}", "")
            event = (await door.store.event(answer.json["id"])).event
            assert event.body == body.encode()

    scenario(tmp_path)


@pytest.mark.parametrize(
    ("path", "value", "status"),
    [
        ("bearer", f"Bearer {SECRET}", 202),
        ("bearer", f"bearer {SECRET}", 202),
        ("bearer", f"BEARER    {SECRET} ", 202),
        ("bearer", f"Bearer\t {SECRET}", 202),
        ("bearer", f"Token {SECRET}", 401),
        ("bearer", SECRET, 401),
        ("bearer", "Bearer", 401),
        ("bearer", f"Bearer{SECRET}", 401),
        ("login", "basic  bWU6czNjcmV0LW9mLXRoZS1iZWxsLTE=", 202),
        ("login", "Bearer bWU6czNjcmV0LW9mLXRoZS1iZWxsLTE=", 401),
    ],
)
def test_the_name_of_a_login_has_no_case_and_spaces_collapse(tmp_path, path, value, status):
    @at_the_door
    async def scenario(door):
        answer = await door.send(b'{"a": 1}', path=f"/in/{path}", headers={"authorization": value})
        assert answer.status == status

    scenario(tmp_path)


# --- a secret in a query is nowhere ---


@pytest.mark.parametrize("name", ["key", "token", "access_token", "SIG"])
def test_a_secret_in_the_query_is_in_no_log_store_page_metric_answer_or_delivery(tmp_path, name, monkeypatch):
    lines = []
    monkeypatch.setattr(telemetry, "log", lambda event, **fields: lines.append((event, fields)))

    class Guarded(AtTheDoor, GuardedDesk):
        pass

    @story
    async def scenario():
        with Sink() as sink:
            file = (
                "version: 1\nsources: {bell: {verify: {token: {query: key}}, methods: GET, type: ring, redact: query.who, "
                f"secret: {SECRET}}}}}\ndestinations: {{crm: {{url: {sink.url}}}}}\nalways: [{{to: crm, "
                'body: {all: "{{ query }}", who: "{{ query.who }}"}}]\n'
            )
            async with Guarded(tmp_path, file) as desk:
                query = f"button=front&who=Ann&{name}={SECRET}" + ("" if name == "key" else f"&key={SECRET}")
                answer = await desk.send(b"", method="GET", path="/in/bell", query=query.encode(), headers={})
                assert answer.status == 202
                await desk.turn()
                refused = await desk.send(b"", method="GET", path="/in/bell", query=(query + "x").encode(), headers={})
                assert refused.status == 401
                id_ = answer.json["id"]
                seen = [repr(await desk.store.event(id_)), repr(lines), answer.body.decode()]
                for path in ("/api/events", f"/api/events/{id_}", f"/events/{id_}", "/api/rejected", "/metrics"):
                    status, page = await desk.ask(path, authorization=f"Bearer {READ_TOKEN}")
                    assert status == 200
                    seen.append(json.dumps(page))
                [sent, *_] = sink.requests
                assert json.loads(sent.body)["who"] == "Ann"
                seen.append(repr(sent))
                assert "button" in seen[0]
                assert not [each for each in seen if SECRET in each]
                _, page = await desk.ask(f"/api/events/{id_}", authorization=f"Bearer {READ_TOKEN}")
                assert page["query"] == {"button": "front", "who": "•••"}
                files = b"".join(each.read_bytes() for each in tmp_path.glob("*.db*"))
                assert b"button=front" in files
                assert SECRET.encode() not in files

    scenario()


@at_the_door
async def test_an_event_is_found_and_forgotten_by_a_field_of_its_query(door):
    answer = await rings(door, b"button=front&who=ann%40example.com")
    await rings(door, b"button=back")
    for q in ("query.who=ann@example.com", "query.button=front"):
        _, found = await door.ask(f"/api/events?q={q}")
        assert [each["id"] for each in found["events"]] == [answer.json["id"]]
    for find in ("query.who=ann@example.com", "ann@example.com"):
        _, counted = await door.ask("/api/forget", {"find": find, "dry_run": True})
        assert counted["count"] == 1
    _, begun = await door.ask("/api/forget", {"find": "query.who=ann@example.com"})
    await until_finished(door, begun["activity"])
    assert (await shown(door, answer))["query"] == {}


def test_what_signs_a_token_is_accepted(tmp_path):
    path = tmp_path / "routes.yaml"
    path.write_text(FILE)
    from gateway.rehearsal.rehearse import request_of
    from gateway.signatures import Verified

    for name in ("bell", "form", "flat"):
        source = load(path, environ={}).sources[name]
        request = request_of(source, b'{"type": "a", "auth": {}}')
        assert isinstance(source.verifier.verify(request, 0.0), Verified)
        assert re.search(SECRET, request.query.decode() + request.body.decode())


@pytest.mark.parametrize(("query", "expected"), [("button: front", "[log]"), ("button: back", "[]")])
def test_a_test_of_the_file_may_have_a_query(tmp_path, query, expected):
    path = tmp_path / "routes.yaml"
    path.write_text(
        f"{FILE}tests: [{{name: a, source: bell, payload: {{}}, query: {{{query}}}, expect: {expected}}}]\n"
    )
    config = load(path, environ={})
    [test] = config.tests
    assert failures(config, test, tmp_path) == []
