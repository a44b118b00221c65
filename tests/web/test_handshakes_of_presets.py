"""A source with nothing but a preset and a secret answers what its sender asks, as the sender's page shows it."""

from urllib.parse import urlsplit

import pytest

from gateway import presets
from gateway.store.learned import AGAIN_S
from tests.presets.test_vectors import FILES as VECTORS
from tests.web.asking import with_file

SECRET = "s3cret-of-tests-1"
CHALLENGE = "3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P"
NAMES = ("trello", "asana", "dropbox", "microsoft-graph", "okta", "mailchimp", "monday")
URL = "public_url: https://hooks.example.com/in/trello"
FILE = "version: 1\nsources:\n" + "".join(
    f"  {name}: {{preset: {name}, secret: {SECRET}{f', {URL}' if name == 'trello' else ''}}}\n" for name in NAMES
)
at_the_door = with_file(FILE)
JSON = {"content-type": "application/json"}

#: Method, path, query, headers and body of a question; status, content type and body of the answer.
QUESTIONS = {
    "Trello": (("HEAD", "trello", "", {}, b""), (200, "text/plain", b"")),
    "Dropbox": (("GET", "dropbox", f"challenge={CHALLENGE}", {}, b""), (200, "text/plain", CHALLENGE.encode())),
    "Microsoft Graph": (
        ("POST", "microsoft-graph", "validationToken=a%3A+b", {"content-type": "text/plain; charset=utf-8"}, b""),
        (200, "text/plain", b"a: b"),
    ),
    "Okta": (
        ("GET", "okta", "", {"x-okta-verification-challenge": CHALLENGE, "authorization": SECRET}, b""),
        (200, "application/json", b'{"verification":"%s"}' % CHALLENGE.encode()),
    ),
    "Mailchimp": (("GET", f"mailchimp/{SECRET}", "", {}, b""), (200, "text/plain", b"")),
    "monday.com": (
        ("POST", f"monday/{SECRET}", "", JSON, b'{\n "challenge": "%s"\n}' % CHALLENGE.encode()),
        (200, "application/json", b'{"challenge":"%s"}' % CHALLENGE.encode()),
    ),
}
#: What somebody who does not know the secret gets.
STRANGERS = {
    "Okta": (("GET", "okta", "", {"x-okta-verification-challenge": CHALLENGE}, b""), 401),
    "Mailchimp": (("GET", "mailchimp/another", "", {}, b""), 404),
    "monday.com": (("POST", "monday/another", "", JSON, b'{"challenge": "a"}'), 404),
    "Microsoft Graph, an event": (
        ("POST", "microsoft-graph", "", JSON, b'{"value": [{"clientState": "another", "changeType": "created"}]}'),
        401,
    ),
}


@pytest.mark.parametrize(("asked", "answered"), QUESTIONS.values(), ids=QUESTIONS)
def test_the_question_of_a_sender_gets_the_answer_that_its_page_asks_for(tmp_path, asked, answered):
    method, path, query, headers, body = asked
    status, content_type, expected = answered

    @at_the_door
    async def scenario(door):
        answer = await door.send(body, method=method, path=f"/in/{path}", query=query.encode(), headers=headers)
        assert (answer.status, answer.body) == (status, expected)
        if expected:
            assert answer.headers["content-type"].partition(";")[0] == content_type
        assert await door.kept() == 0

    scenario(tmp_path)


@pytest.mark.parametrize(("asked", "status"), STRANGERS.values(), ids=STRANGERS)
def test_whoever_does_not_know_the_secret_gets_no_answer(tmp_path, asked, status):
    method, path, query, headers, body = asked

    @at_the_door
    async def scenario(door):
        answer = await door.send(body, method=method, path=f"/in/{path}", query=query.encode(), headers=headers)
        assert answer.status == status
        assert b"challenge" not in answer.body
        assert await door.kept() == 0

    scenario(tmp_path)


@pytest.mark.parametrize(
    ("source", "sender"),
    [
        (f"{{preset: meta, secret: {SECRET}}}", "Meta"),
        (
            f"{{verify: {{token: {{query: key}}}}, secret: {SECRET}, type: a, handshake: [{{query_echo: {{challenge: c}}}}]}}",
            "own",
        ),
        (f"{{preset: bearer, secret: {SECRET}, handshake: [{{query_echo: {{challenge: c}}}}]}}", "own"),
    ],
)
def test_whoever_asks_something_else_is_refused_by_the_name_of_the_sender(tmp_path, source, sender):
    @with_file(f"version: 1\nsources:\n  own: {source}\n")
    async def scenario(door):
        answer = await door.send(b"", method="GET", path="/in/own", query=b"a=b")
        [(_, status, reason)] = await door.refused()
        assert (answer.status, status, reason) == (401, 401, f"this GET is not a handshake that {sender} makes")

    scenario(tmp_path)


@at_the_door
async def test_the_secret_of_an_asana_webhook_is_taken_over_while_somebody_expects_it(door):
    asks = {"path": "/in/asana", "headers": {"x-hook-secret": CHALLENGE}}
    assert (await door.send(b"", **asks)).status == 401
    assert (await door.ask("/api/sources/asana/handshake", {"by": "ann"}))[0] == 200
    await door.later(AGAIN_S)
    answer = await door.send(b"", **asks)
    assert (answer.status, answer.headers["x-hook-secret"]) == (200, CHALLENGE)


@pytest.mark.parametrize("name", ["okta", "mailchimp", "monday", "microsoft-graph"])
def test_an_event_of_such_a_sender_is_kept(tmp_path, name):
    preset = presets.load(name)
    type_, body = next(iter(preset.samples.items()))
    body = body.replace(b"secretClientValue", SECRET.encode())
    path = f"/in/{name}" + (f"/{SECRET}" if {"url_secret": True} in preset.verify else "")

    @at_the_door
    async def scenario(door):
        headers = {**preset.sample_headers[type_], "authorization": SECRET}
        assert (await door.send(body, path=path, headers=headers)).status == preset.reply
        assert await door.kept() == 1

    scenario(tmp_path)


@pytest.mark.parametrize(
    ("name", "answer"),
    [("okta", b""), ("airtable", b""), ("salesforce", b"<Ack>true</Ack>"), ("dropbox", b'"id"')],
)
def test_an_event_gets_the_answer_that_the_page_of_its_sender_asks_for(tmp_path, name, answer):
    preset = presets.load(name)
    vector = next(each for each in VECTORS[name] if each["verdict"] == "accepted")
    request, [secret] = vector["request"], vector["secrets"]

    @with_file(f"version: 1\nsources:\n  source: {{preset: {name}, secret: {secret}}}\n")
    async def scenario(door):
        headers = {key.lower(): value for key, value in request["headers"]}
        path = urlsplit(request["url"]).path
        for _ in range(2):
            got = await door.send(request["body"].encode(), path=path, headers=headers)
            assert (got.status, answer in got.body, bool(answer) == bool(got.body)) == (200, True, True)
        # A doorbell that rings twice is two events.
        assert await door.kept() == (2 if preset.dedupe_s == 0 else 1)

    scenario(tmp_path)
