"""What is remembered, in rehearsals: examples where nobody can know it, what a test says, and what the store has."""

import json

import pytest

from gateway.operate import playground, views
from gateway.operate.playground import Draft
from gateway.rehearsal.expectations import failures
from gateway.rehearsal.explained import explained, explained_history, recalled_by
from gateway.rehearsal.rehearse import rehearse, sender_headers
from gateway.routing.cases import sample
from tests.dispatcher.test_recalling import CREATED, UPDATED, creating, file, made
from tests.sink import Sink, answer
from tests.world import World, story

KNOWN = {("crm-id", "451"): {"id": 77}}


class Nowhere:
    url = "https://crm.example"


def played(config, type_, known=None):
    source = config.sources["xobito"]
    body = sample(source, type_)
    return rehearse(config, source, body, sender_headers(source, body, type_), 0.0, known=known)


def test_a_sample_is_explained_with_an_example_of_each_value(tmp_path):
    config = World(tmp_path, file(Nowhere())).config
    [change] = explained(config, played(config, "contact.updated"))["deliveries"]
    assert change["request"]["url"] == "https://crm.example/contacts/crm-id.id"
    assert change["memory"] == ["contact: whatever is remembered as crm-id of 451; shown with examples"]
    [create] = explained(config, played(config, "contact.created"))["deliveries"]
    assert create["memory"] == ["will be remembered as crm-id of 451 for 90d: id (json.id)"]


def test_a_request_is_shown_with_what_is_known(tmp_path):
    config = World(tmp_path, file(Nowhere())).config
    [known] = explained(config, played(config, "contact.updated", KNOWN))["deliveries"]
    assert (known["request"]["url"], known["memory"]) == (
        "https://crm.example/contacts/77",
        ["contact: crm-id of 451: id 77"],
    )
    [unknown] = explained(config, played(config, "contact.updated", {}))["deliveries"]
    assert (unknown["request"]["url"], unknown["memory"]) == (
        "https://crm.example/contacts/none",
        ["contact: nothing is remembered as crm-id of 451"],
    )


TESTS = """
tests:
  - name: known
    event: contact.updated
    memory: {crm-id: {"451": {id: 77}, "452": {id: 78}}}
    expect: {crm: {url: "https://crm.example/contacts/77"}}
  - name: unknown
    event: contact.updated
    expect: {crm: {url: "https://crm.example/contacts/none"}}
  - name: another's
    event: contact.updated
    memory: {crm-id: {"452": {id: 78}}}
    expect: {crm: {url: "https://crm.example/contacts/78"}}
"""


def test_a_test_has_the_memory_that_it_says_and_no_other(tmp_path):
    config = World(tmp_path, file(Nowhere()) + TESTS).config
    known, unknown, others = (failures(config, test, tmp_path) for test in config.tests)
    assert (known, unknown) == ([], [])
    assert any("contacts/none" in line for line in others)


@story
async def test_a_stored_event_is_explained_with_what_the_store_has(tmp_path):
    with Sink(answer(200)) as sink:
        creating(sink)
        async with World(tmp_path, file(sink, wait="10m")) as world:
            changed = await world.receive(UPDATED)
            await world.turn()
            waiting = await world.store.event(changed.event_id)
            await world.receive(CREATED)
            await world.turn()
            history = await world.store.event(changed.event_id)
            subjects = recalled_by(world.config, history)
            recalled = await world.store.recall("", subjects)
            known = {subject: each.value for subject, each in recalled.known.items()}
            [request] = explained_history(world.config, history, "", known)["requests"]
    assert views.event_history(waiting)["deliveries"][0]["waits_for"] == ["crm-id of 451"]
    [delivery] = views.event_history(history)["deliveries"]
    assert (delivery["waits_for"], delivery["attempts_made"][0]["memory"]) == ([], ["contact: crm-id of 451: id 77"])
    assert request["request"]["url"].endswith("/contacts/77")
    assert request["changed"] is False


@story
async def test_what_the_playground_sends_has_what_is_remembered_and_remembers_nothing(tmp_path):
    with Sink(answer(200)) as sink:
        creating(sink)
        async with World(tmp_path, file(sink)) as world:
            await world.receive(CREATED)
            await world.turn()
            draft = Draft(source="xobito", payload=UPDATED.decode())
            sent = await playground.send(world.gateway, draft, route="change", destination="crm", by="ann")
            assert sent.is_accepted
            assert made(sink)[-1] == "PUT /contacts/77"
            memories = await world.store.memories()
            draft = Draft(source="xobito", payload=CREATED.decode().replace("451", "452"))
            await playground.send(world.gateway, draft, route="create", destination="crm", by="ann")
            assert await world.store.memories() == memories == {"crm-id": 1}


@pytest.mark.parametrize("value", ["john@example.com", 77], ids=["redacted", "plain"])
def test_a_value_that_the_source_redacts_is_not_shown_as_recalled(tmp_path, value):
    head = "version: 1\nsources: {xobito: {preset: xobito, secret: s3cret, redact: [attrs.email]}}\n"
    config = World(tmp_path, head + file(Nowhere()).replace("match: contact.updated", "match: contact.*")).config
    known = {("crm-id", "451"): {"id": value}}
    shown = json.dumps(explained(config, played(config, "contact.created", known))["deliveries"])
    assert ("john@example.com" in shown) is False
    assert ("/contacts/77" in shown) is (value == 77)
