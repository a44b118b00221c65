"""The playground says what an entry makes of an event; it stores nothing, and it sends only what it is told to."""

import hashlib

import pytest

from gateway.errors import BadRequest, NothingChosen, UnknownName
from gateway.operate import playground
from gateway.operate.playground import Draft
from tests.sink import Sink, answer
from tests.world import BODY, World, story

FILE = """
destinations:
  chat: {{type: slack, url: "{url}/chat"}}
  crm: {{url: "{url}/crm", retry: {{for: 1h}}}}
vars: {{key: "${{file:key}}", team: leads}}
routes:
  - {{name: lead, match: contact.created, to: chat, text: "{{{{ attrs.firstname }}}}"}}
"""
ENTRY = "name: mine\nmatch: contact.created\nto: chat\ntext: 'hello {{ attrs.firstname }}'\n"


def a_draft(**changes) -> Draft:
    return Draft(**{"source": "xobito", "payload": BODY.decode(), **changes})


def world(folder, url="http://127.0.0.1:1", text=FILE) -> World:
    (folder / "key").write_text("key-of-the-file")
    return World(folder, text.format(url=url))


def test_an_entry_is_played_with_its_clauses_and_its_request(tmp_path):
    config = world(tmp_path).config
    found = playground.played(config, a_draft(entry=f"{ENTRY}where: {{attrs.type: [customer, partner]}}\n"), 0.0)
    [entry] = found["entries"]
    assert (entry["name"], entry["taken"]) == ("mine", False)
    assert {
        "text": "attrs.type: [customer, partner]",
        "held": False,
        "field": "attrs.type",
        "missing": False,
        "seen": "lead",
    } in entry["clauses"]
    found = playground.played(config, a_draft(entry=ENTRY), 0.0)
    [delivery] = found["deliveries"]
    assert delivery["request"]["body"]["text"] == "hello John"


def test_without_an_entry_all_of_the_file_are_played(tmp_path):
    found = playground.played(world(tmp_path).config, a_draft(), 0.0)
    assert [each["name"] for each in found["entries"]] == ["lead"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"payload": "{"}, "a request with this payload is refused"),
        ({"source": "nobody"}, "no source nobody"),
        ({"headers": "no colon"}, '"no colon" is not a header'),
        ({"headers": "a: b\n" * 101}, "at most 100"),
        ({"entry": "x" * 70_000}, "at most 65,536 characters"),
        ({"payload": "[" * 100_000}, "refused"),
    ],
)
def test_a_draft_that_cannot_be_played_is_answered_with_the_reason(tmp_path, changes, said):
    assert said in playground.played(world(tmp_path).config, a_draft(**changes), 0.0)["error"]


def test_a_mistake_in_the_entry_is_reported_with_its_place(tmp_path):
    found = playground.played(world(tmp_path).config, a_draft(entry="name: mine\nto: caht\n"), 0.0)
    assert [(each["file"], each["line"], each["hint"]) for each in found["problems"]] == [
        ("entry", 2, 'did you mean "chat"?')
    ]


@pytest.mark.parametrize(
    "entry",
    [
        "text: '{{ vars.key }}'",
        "text: '{{ vars.key | reverse }}'",
        "text: '{{ vars.key | sha256 }}'",
        "text: ${file:key}",
        "text: a\nwhere: {vars.key: key-of-the-file}",
        "text: a\nif: vars.key == 'key-of-the-file'",
    ],
)
def test_no_entry_can_show_or_guess_a_value_from_outside(tmp_path, entry):
    found = playground.played(world(tmp_path).config, a_draft(entry=f"name: mine\nto: chat\n{entry}\n"), 0.0)
    for shape in ("key-of-the-file", "elif-eht-fo-yek", hashlib.sha256(b"key-of-the-file").hexdigest()):
        assert shape not in str(found["deliveries"])
    asks = "where" in entry or "if:" in entry
    assert [each["taken"] for each in found["entries"]] == [not asks]


def test_redacted_values_of_the_payload_stay_hidden(tmp_path):
    config = World(
        tmp_path,
        "version: 1\nsources: {xobito: {preset: xobito, secret: s3cret, redact: [attrs.firstname]}}\n"
        "destinations: {chat: {type: slack, url: 'http://127.0.0.1:1/x'}}\n",
    ).config
    found = playground.played(config, a_draft(entry=f"{ENTRY}where: {{attrs.firstname: John}}\n"), 0.0)
    assert "John" not in str(found["entries"]) + str(found["deliveries"])


@pytest.mark.parametrize("kind", ["teams", "discord", "telegram", "googlechat"])
def test_a_message_can_be_shown_as_another_chat_shows_it(tmp_path, kind):
    [delivery] = playground.played(world(tmp_path).config, a_draft(entry=ENTRY, kind=kind), 0.0)["deliveries"]
    assert "hello John" in str(delivery["request"]["body"])


@story
async def test_playing_stores_nothing_and_fires_no_once(tmp_path):
    async with world(tmp_path) as here:
        once = f"{ENTRY}once: {{per: '{{{{ attrs.id }}}}', for: 1h}}\n"
        for _ in range(2):
            found = playground.played(here.config, a_draft(entry=once), 0.0)
            assert found["entries"][0]["once"].startswith("fires once in 1h for the key")
        assert (await here.store.events()).rows == ()
        assert (await here.store.activities()).rows == ()


@story
async def test_a_message_is_sent_once_when_told_and_who_did_it_is_recorded(tmp_path):
    with Sink(answer(200, b"ok")) as sink:
        async with world(tmp_path, sink.url) as here:
            sent = await playground.send(here.gateway, a_draft(entry=ENTRY), route="mine", destination="chat", by="ann")
            assert (sent.is_accepted, sent.status, sent.answer) == (True, 200, "ok")
            [request] = sink.requests
            assert b"hello John" in request.body
            [done] = (await here.store.activities()).rows
            assert (done.verb, done.subject, done.by) == ("send", "chat", "ann")
            assert (await here.store.events()).rows == ()


@story
async def test_an_answer_that_refuses_it_is_shown_with_its_reason(tmp_path):
    with Sink(answer(422, b'{"message": "property unknown"}')) as sink:
        async with world(tmp_path, sink.url) as here:
            entry = "name: mine\nto: crm\nbody: {a: 1}\n"
            sent = await playground.send(here.gateway, a_draft(entry=entry), route="mine", destination="crm", by="ann")
            assert (sent.is_accepted, sent.status) == (False, 422)
            assert sent.reason.startswith("answered 422: property unknown")


@pytest.mark.parametrize(
    ("changes", "route", "destination", "error"),
    [
        ({}, "mine", "elsewhere", UnknownName),
        ({}, "other", "chat", BadRequest),
        ({"kind": "teams"}, "mine", "chat", BadRequest),
        ({"entry": f"{ENTRY}headers: {{x-a: '${{KEY}}'}}\n"}, "mine", "chat", BadRequest),
        ({"entry": ENTRY.replace("contact.created", "status.*")}, "mine", "chat", BadRequest),
    ],
)
@story
async def test_nothing_else_is_sent(tmp_path, changes, route, destination, error):
    with Sink(answer(200)) as sink:
        async with world(tmp_path, sink.url) as here:
            draft = a_draft(**{"entry": ENTRY, **changes})
            with pytest.raises(error):
                await playground.send(here.gateway, draft, route=route, destination=destination, by="ann")
            assert sink.requests == []
            assert (await here.store.activities()).rows == ()


@story
async def test_what_no_element_of_choose_fits_is_not_sent(tmp_path):
    with Sink(answer(200)) as sink:
        async with world(tmp_path, sink.url) as here:
            draft = a_draft(entry="name: mine\nto: crm\nchoose: [{if: attrs.firstname == 'Jane', body: {}}]\n")
            with pytest.raises(NothingChosen, match="no element of choose holds"):
                await playground.send(here.gateway, draft, route="mine", destination="crm", by="ann")
            assert sink.requests == []
            assert (await here.store.activities()).rows == ()
