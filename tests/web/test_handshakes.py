"""Questions that senders ask before they send anything, as their pages describe them, at a door made from a file."""

import gzip
import hashlib
import hmac
import json
import re
from pathlib import Path

import pytest

from gateway.config import load
from gateway.signatures.handshakes import KINDS
from gateway.store.learned import AGAIN_S, EXPECTED_S, Expected
from tests.web.asking import with_file

FILE = """\
version: 1
sources:
  trello: {verify: {signature: {header: x-a}}, secret: s3cret-of-tests-1, type: a, handshake: [{probe: {method: HEAD}}]}
  mailchimp: {verify: {token: {query: key}}, secret: s3cret-of-tests-1, type: a, handshake: [{probe: {method: GET}}]}
  dropbox:
    verify: {signature: {header: x-dropbox-signature}}
    secret: s3cret-of-tests-1
    type: a
    handshake: [{query_echo: {challenge: challenge}}]
  okta:
    verify: {token: {header: authorization}}
    secret: s3cret-of-tests-1
    type: a
    handshake:
      - header_echo:
          challenge: x-okta-verification-challenge
          verify: {token: {header: authorization}}
          answer: {verification: "{challenge}"}
  graph:
    verify: {token: {payload: value.0.clientState}}
    secret: s3cret-of-tests-1
    split: payload.value.*
    type: "{payload.changeType}"
    handshake: [{query_echo: {method: POST, challenge: validationToken}}]
  asana:
    verify: {signature: {header: x-hook-signature}}
    type: a
    handshake:
      - header_echo: {method: POST, challenge: x-hook-secret, answer: none, headers: {x-hook-secret: "{challenge}"}, becomes: secret}
  strava:
    verify: {token: {query: key}}
    secret: s3cret-of-tests-1
    type: a
    handshake:
      - query_echo:
          when: {hub.mode: subscribe}
          token: hub.verify_token
          challenge: hub.challenge
          answer: {hub.challenge: "{challenge}"}
  monday:
    verify: {token: {query: key}}
    secret: s3cret-of-tests-1
    type: a
    handshake: [{json_echo: {challenge: payload.challenge, answer: {challenge: "{challenge}"}}}]
  monday-open:
    verify: none
    type: a
    handshake: [{json_echo: {challenge: payload.challenge, answer: {challenge: "{challenge}"}}}]
  cloudevents:
    verify: {bearer: true}
    secret: s3cret-of-tests-1
    type: "{payload.type}"
    handshake:
      - header_echo:
          method: OPTIONS
          when: {headers.webhook-request-origin: events.example.com}
          challenge: webhook-request-origin
          answer: none
          headers: {webhook-allowed-origin: "{challenge}", webhook-allowed-rate: "120", allow: POST}
  zoom:
    verify: {signature: {header: x-sign}}
    secret: s3cret-of-tests-1
    type: a
    handshake:
      - hmac_reply:
          when: {payload.event: endpoint.url_validation}
          of: payload.payload.plainToken
          answer: {plainToken: "{of}", encryptedToken: "{hmac:hex}"}
  in-a-header:
    verify: {bearer: true}
    secret: s3cret-of-tests-1
    type: a
    handshake: [{query_echo: {challenge: c, answer: none, headers: {x-back: "{challenge}"}}}]
  by-body:
    verify: {bearer: true}
    secret: s3cret-of-tests-1
    type: a
    handshake: [{json_echo: {challenge: payload.challenge, verify: none}}]
  secret-path:
    verify: {url_secret: true}
    secret: s3cret-of-tests-1
    type: a
    handshake: [{query_echo: {challenge: challenge}}, {probe: {}}]
"""
SECRET = "s3cret-of-tests-1"
at_the_door = with_file(FILE)
#: Method, path, query, headers and body of a question; status, content type, body and further headers of the answer.
QUESTIONS = {
    "Trello": (("HEAD", "trello", "", {}, b""), (200, None, b"", {})),
    "Mailchimp": (("GET", "mailchimp", f"key={SECRET}", {}, b""), (200, None, b"", {})),
    "Mailchimp by another": (("GET", "mailchimp", "key=x", {}, b""), (401, None, None, {})),
    "Mailchimp without a key": (("GET", "mailchimp", "", {}, b""), (401, None, None, {})),
    "Dropbox": (("GET", "dropbox", "challenge=abc%3Cb%3E", {}, b""), (200, "text/plain", b"abc<b>", {})),
    "Dropbox, too long": (("GET", "dropbox", "challenge=" + "a" * 2049, {}, b""), (401, None, None, {})),
    "Dropbox, too long in UTF-8": (("GET", "dropbox", "challenge=" + "%C3%A9" * 1025, {}, b""), (401, None, None, {})),
    "Dropbox, as long as it may be": (
        ("GET", "dropbox", "challenge=" + "a" * 2048, {}, b""),
        (200, "text/plain", b"a" * 2048, {}),
    ),
    "Dropbox, empty": (("GET", "dropbox", "challenge=", {}, b""), (401, None, None, {})),
    "Okta": (
        ("GET", "okta", "", {"x-okta-verification-challenge": "abc", "authorization": SECRET}, b""),
        (200, "application/json", b'{"verification":"abc"}', {}),
    ),
    "Okta by another": (
        ("GET", "okta", "", {"x-okta-verification-challenge": "abc", "authorization": "x"}, b""),
        (401, None, None, {}),
    ),
    "Microsoft Graph": (("POST", "graph", "validationToken=a%20b", {}, b""), (200, "text/plain", b"a b", {})),
    "Strava": (
        ("GET", "strava", f"key={SECRET}&hub.mode=subscribe&hub.challenge=15&hub.verify_token={SECRET}", {}, b""),
        (200, "application/json", b'{"hub.challenge":"15"}', {}),
    ),
    "Strava, another token": (
        ("GET", "strava", f"key={SECRET}&hub.mode=subscribe&hub.challenge=15&hub.verify_token=x", {}, b""),
        (401, None, None, {}),
    ),
    "monday": (
        ("POST", "monday", f"key={SECRET}", {}, b'{"challenge": "3eZ"}'),
        (200, "application/json", b'{"challenge":"3eZ"}', {}),
    ),
    "monday by another": (("POST", "monday", "key=x", {}, b'{"challenge": "3eZ"}'), (401, None, None, {})),
    "monday, where anyone may post": (
        ("POST", "monday-open", "", {}, b'{"challenge": "<script>"}'),
        (200, "text/plain", b'{"challenge":"<script>"}', {}),
    ),
    "CloudEvents": (
        ("OPTIONS", "cloudevents", "", {"webhook-request-origin": "events.example.com"}, b""),
        (
            200,
            None,
            b"",
            {"webhook-allowed-origin": "events.example.com", "webhook-allowed-rate": "120", "allow": "POST"},
        ),
    ),
    "CloudEvents from elsewhere": (
        ("OPTIONS", "cloudevents", "", {"webhook-request-origin": "evil.example.com"}, b""),
        (401, None, None, {}),
    ),
    "a challenge in a header": (
        ("GET", "in-a-header", "c=a%20b", {}, b""),
        (200, None, b"", {"x-back": "a b"}),
    ),
    "a challenge that would be another header": (
        ("GET", "in-a-header", "c=a%0D%0Aset-cookie:%20b", {}, b""),
        (200, None, b"", {}),
    ),
    "a challenge in the body of a stranger": (
        ("POST", "by-body", "", {}, b'{"challenge": "a"}'),
        (200, "text/plain", b"a", {}),
    ),
    "no challenge in the body of a stranger": (("POST", "by-body", "", {}, b"{"), (401, None, None, {})),
    "a bomb of a stranger": (("POST", "by-body", "", {}, gzip.compress(bytes(1_000_000))), (413, None, None, {})),
    "Zoom, unsigned": (
        ("POST", "zoom", "", {}, b'{"event": "endpoint.url_validation", "payload": {"plainToken": "p"}}'),
        (401, None, None, {}),
    ),
    "a secret in the path": (("GET", f"secret-path/{SECRET}", "challenge=a", {}, b""), (200, "text/plain", b"a", {})),
    "another secret in the path": (("GET", "secret-path/x", "challenge=a", {}, b""), (404, None, None, {})),
    "a probe with another secret in the path": (("HEAD", "secret-path/x", "", {}, b""), (404, None, None, {})),
    "no secret in the path": (("HEAD", "secret-path", "", {}, b""), (404, None, None, {})),
    "a method that nothing takes": (("PUT", "trello", "", {}, b""), (405, None, None, {"allow": "POST, HEAD"})),
}


@pytest.mark.parametrize(("asked", "answered"), QUESTIONS.values(), ids=QUESTIONS)
def test_a_question_is_answered_as_its_sender_documents_it(tmp_path, asked, answered):
    method, path, query, headers, body = asked
    status, content_type, expected, more = answered

    @at_the_door
    async def scenario(door):
        answer = await door.send(body, method=method, path=f"/in/{path}", query=query.encode(), headers=headers)
        assert answer.status == status
        if expected is not None:
            assert answer.body == expected
        # An empty answer has no type that a browser could take for another.
        if expected:
            assert answer.headers["content-type"].partition(";")[0] == content_type
            assert answer.headers["x-content-type-options"] == "nosniff"
        elif expected is not None:
            # RFC 9110, 8.3: what has no content has no type.
            assert content_type is None
            assert "content-type" not in answer.headers
        assert more.items() <= answer.headers.items()
        assert "set-cookie" not in answer.headers
        assert await door.kept() == 0
        assert not door.senders.has_verified("127.0.0.1", f"/in/{path}".encode())
        assert SECRET not in repr(await door.refused())

    scenario(tmp_path)


@at_the_door
async def test_a_signed_value_goes_back_with_its_digest(door):
    body = b'{"event": "endpoint.url_validation", "payload": {"plainToken": "p"}}'
    signature = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
    answer = await door.send(body, path="/in/zoom", headers={"x-sign": signature})
    digest = hmac.new(SECRET.encode(), b"p", hashlib.sha256).hexdigest()
    assert (answer.status, answer.json) == (200, {"plainToken": "p", "encryptedToken": digest})


@at_the_door
async def test_after_its_question_the_sender_is_verified_as_ever(door):
    items = [{"clientState": SECRET, "changeType": "created"}, {"clientState": SECRET, "changeType": "updated"}]
    body = json.dumps({"value": items}).encode()
    answer = await door.send(body, path="/in/graph", headers={"content-type": "application/json"})
    assert (answer.status, len(answer.json["ids"])) == (202, 2)
    other = await door.send(body.replace(SECRET.encode(), b"x"), path="/in/graph", headers={})
    assert other.status == 401
    for path in (f"/api/events/{answer.json['id']}", f"/events/{answer.json['id']}"):
        _, shown = await door.ask(path)
        assert SECRET not in json.dumps(shown)
        assert "created" in json.dumps(shown)


def documented():
    """Every handshake of the page that shows them."""
    page = (Path(__file__).parents[2] / "docs/how-to/add-a-sender.md").read_text("utf-8")
    return re.findall(r"\| `(- \w+: \{.*\})` \|", page)


@pytest.mark.parametrize("written", documented(), ids=lambda written: written.partition(":")[0])
def test_every_handshake_of_the_documentation_loads(tmp_path, written):
    path = tmp_path / "routes.yaml"
    path.write_text(
        "version: 1\nsources:\n  one:\n    verify: {signature: {header: x-sign}}\n"
        f"    secret: {SECRET}\n    type: a\n    handshake:\n      {written}\ndestinations: {{}}\n"
    )
    assert len(load(path, environ={}).sources["one"].handshakes) == 1


def test_the_documentation_shows_every_kind_of_handshake():
    assert {re.match(r"- (\w+)", written)[1] for written in documented()} == set(KINDS) - {"constant"}


# --- a secret that comes in a handshake ---

CHOSEN = "b537207f20cbfa02357cf448134da559e8bd39d61597dcd5631b8012eae53e81"


async def chooses(door, secret=CHOSEN):
    return await door.send(b"", path="/in/asana", headers={"x-hook-secret": secret})


async def sends(door, secret=CHOSEN, number=1):
    body = json.dumps({"events": [number]}).encode()
    signature = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    return await door.send(body, path="/in/asana", headers={"x-hook-signature": signature})


@at_the_door
async def test_a_chosen_secret_is_accepted_for_ten_minutes_after_somebody_said_so(door):
    file = door.folder / "gateway.db.secrets"
    assert (await chooses(door)).status == 401
    assert (await sends(door)).status == 401
    assert not file.exists()
    status, answer = await door.ask("/api/sources/asana/handshake", {"by": "ann"})
    assert (status, answer["source"]) == (200, "asana")
    await door.later(AGAIN_S)
    answer = await chooses(door)
    assert (answer.status, answer.body, answer.headers["x-hook-secret"]) == (200, b"", CHOSEN)
    assert (await sends(door)).status == 202
    assert file.stat().st_mode & 0o777 == 0o600
    # Another webhook there has another secret; both are accepted from now on, also by a replica that starts later.
    assert (await chooses(door, "another" * 5)).status == 200
    await door.later(EXPECTED_S + 1)
    assert (await chooses(door, "too-late" * 5)).status == 401
    door.gateway.expected = Expected()
    assert (await sends(door, number=2)).status == 202
    assert (await sends(door, "another" * 5, number=3)).status == 202
    assert (await sends(door, "too-late" * 5, number=4)).status == 401
    _, activity = await door.ask("/api/activity")
    assert [(each["verb"], each["subject"], each["by"]) for each in activity["activity"]] == [
        ("handshake", "asana", "ann")
    ]
    for path in ("/api/events", "/api/rejected", "/api/config", "/api/activity", "/metrics"):
        assert CHOSEN not in json.dumps(await door.ask(path))
    assert CHOSEN.encode() not in b"".join(each.read_bytes() for each in door.folder.glob("*.db*") if each != file)


@at_the_door
async def test_strangers_do_not_make_the_store_look_each_time(door):
    looks, look = [], door.store.activities

    async def counted(**asked):
        looks.append(asked)
        return await look(**asked)

    door.store.activities = counted
    for _ in range(5):
        assert (await chooses(door)).status == 401
    assert len(looks) == 1


@at_the_door
async def test_only_a_source_whose_sender_chooses_its_secret_can_expect_one(door):
    assert (await door.ask("/api/sources/nobody/handshake", {}))[0] == 404
    assert (await door.ask("/api/sources/trello/handshake", {}))[0] == 400
