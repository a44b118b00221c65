"""What a list says about an event: made when it is shown, from what may be shown of it."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import presets
from gateway.config import load
from gateway.errors import ConfigError
from gateway.event import subjects
from gateway.hiding.masks import Masks
from gateway.operate import search, selection, summaries
from gateway.operate.selection import Filter
from tests.world import BODY, World, story

FILE = "destinations: {archive: {type: file, path: archive.ndjson}}\nalways: [{to: archive}]\n"
HEAD = "version: 1\nsources: {xobito: {preset: xobito, secret: s3cret-of-xobito MORE}}\n" + FILE


def world(folder, more: str = "") -> World:
    return World(folder, HEAD.replace(" MORE", more))


async def said(here: World) -> str:
    rows = (await here.store.events()).rows
    return (await summaries.of_rows(here.store, here.gateway.config, rows)).get(rows[0].id, "")


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ("", "John Doe · lead · +14155551234"),
        (", summary: '{{ attrs.email }} · {{ attrs.nothing | default(\"\") }} · {{ event.type }}'", "john@example.com · contact.created"),
        (", redact: [attrs.phone]", "John Doe · lead · •••"),
        (", redact: [attrs.firstname], summary: '{{ attrs.firstname | upper }} {{ attrs.type }}'", "••• lead"),
        # A field that this event does not have: the usual ones.
        (", summary: '{{ attrs.nothing }}'", "John Doe · new · john@example.com · +14155551234"),
    ],
)  # fmt: skip
@story
async def test_a_source_says_what_its_events_are_about(tmp_path, more, expected):
    async with world(tmp_path, more) as here:
        payload = json.loads(BODY)
        payload["data"]["attributes"] |= {
            "firstname": "John",
            "lastname": "Doe",
            "type": "lead",
            "phone": "+14155551234",
            "email": "john@example.com",
        }
        await here.receive(json.dumps(payload).encode())
        found = await said(here)
        if "nothing }}" in more:
            assert found.startswith("John Doe · ")
        else:
            assert found == expected


@story
async def test_one_that_is_too_large_has_none(tmp_path):
    async with world(tmp_path) as here:
        await here.receive(
            json.dumps({"event": "contact.created", "data": {"name": "Ada", "more": "x" * summaries.LARGEST}}).encode()
        )
        assert await said(here) == ""


@story
async def test_all_bodies_of_a_list_together_are_bounded(tmp_path, monkeypatch):
    async with world(tmp_path) as here:
        for number in range(5):
            await here.receive(json.dumps({"event": "contact.created", "data": {"name": f"Ada {number}"}}).encode())
        rows = (await here.store.events()).rows
        monkeypatch.setattr(summaries, "LARGEST_OF_ALL", 2 * rows[0].size)
        found = await summaries.of_rows(here.store, here.gateway.config, rows)
        assert set(found) == {rows[0].id, rows[1].id}


@story
async def test_what_was_forgotten_has_none(tmp_path):
    async with world(tmp_path) as here:
        await here.receive(json.dumps({"event": "contact.created", "data": {"id": 7, "name": "Ada"}}).encode())
        activity = await here.operations.forget("data.id=7", by="ann")
        await here.operations.finish(activity.id)
        assert "Ada" not in await said(here)


@story
async def test_what_is_shown_can_be_searched_for_although_it_stands_in_two_fields(tmp_path):
    async with world(tmp_path) as here:
        for first, last in (("Ada", "Lovelace"), ("Ada", "Byron")):
            payload = json.loads(BODY)
            payload["data"]["attributes"] |= {"firstname": first, "lastname": last, "type": "lead"}
            await here.receive(json.dumps(payload).encode())
        while await here.store.index():
            pass
        wanted = selection.event_search(Filter(q="ada lovelace · lead"), here.gateway.config, here.clock.wall())
        page = await search.events(here.store, wanted)
        assert [await summaries.of_rows(here.store, here.gateway.config, page.rows)] == [
            {page.rows[0].id: "Ada Lovelace · lead · +14155551234"}
        ]


@story
async def test_a_redacted_value_cannot_be_found_by_it(tmp_path):
    async with world(tmp_path, ", redact: [attrs.firstname]") as here:
        payload = json.loads(BODY)
        payload["data"]["attributes"] |= {"firstname": "Ada", "lastname": "Lovelace"}
        await here.receive(json.dumps(payload).encode())
        wanted = selection.event_search(Filter(q="Ada Lovelace"), here.gateway.config, here.clock.wall())
        assert (await search.events(here.store, wanted)).rows == ()


def test_a_mistake_in_it_is_reported(tmp_path):
    with pytest.raises(ConfigError) as refused:
        world(tmp_path, ", summary: '{{ atrs.name }}'")
    assert "atrs" in refused.value.problems[0].message


@pytest.mark.parametrize("name", [name for name in (*presets.NAMES, presets.OWN) if presets.load(name).summary])
def test_the_summary_of_a_preset_says_something_about_each_of_its_samples(tmp_path, name):
    preset = presets.load(name)
    text = (
        HEAD.replace(" MORE", "")
        if name == presets.OWN
        else HEAD.replace("preset: xobito, secret: s3cret-of-xobito MORE", f'preset: {name}, secret: "${{SECRET}}"')
    )
    (tmp_path / "routes.yaml").write_text(text)
    config = load(tmp_path / "routes.yaml", environ={}, no_env=True)
    source = config.own if name == presets.OWN else config.sources["xobito"]
    for type_, body in preset.samples.items():
        headers = [(each.encode(), value.encode()) for each, value in preset.sample_headers[type_].items()]
        event = source.received(headers, body, now=0.0)[0].event
        assert source.summary is not None
        assert 2 <= len(summaries.summary(config, event)) <= subjects.LONGEST


@pytest.mark.parametrize(
    ("preset", "payload", "expected"),
    [
        ("stripe", {"data": {"object": {"status": "open", "amount_due": 1999, "currency": "usd"}}}, "open · 19.99 USD"),
        ("stripe", {"data": {"object": {"status": "failed", "amount": 500, "currency": "jpy"}}}, "failed · 500 JPY"),
        ("stripe", {"data": {"object": {"status": "new", "id": "cus_1"}}}, "new · cus_1"),
        ("alertmanager", {"commonLabels": {"alertname": "Down"}, "alerts": [{}]}, "Down · 1 alert"),
        ("alertmanager", {"commonLabels": {"alertname": "Down"}, "alerts": [{}, {}]}, "Down · 2 alerts"),
    ],
)
def test_amounts_and_numbers_are_said_as_people_write_them(tmp_path, preset, payload, expected):
    file = tmp_path / "routes.yaml"
    file.write_text(f"version: 1\nsources: {{{preset}: {{preset: {preset}, secret: s3cret-of-the-sender}}}}\n")
    config = load(file, environ={})
    body = json.dumps({"type": "x", "id": "1", "status": "firing", **payload}).encode()
    event = config.sources[preset].received([(b"content-type", b"application/json")], body, now=0.0)[0].event
    assert summaries.summary(config, event) == expected


@given(payload=st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=200),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["name", "title", "status", "id", "x"]), inner, max_size=4),
    max_leaves=20,
))  # fmt: skip
def test_the_usual_fields_give_one_bounded_line_for_any_payload(payload):
    said = subjects.usual(payload)
    assert len(said) <= subjects.LONGEST
    assert said == " ".join(said.split())
    assert not any(ord(each) < 32 for each in said)


def test_a_secret_of_the_file_is_hidden_in_it(tmp_path):
    (tmp_path / "key").write_text("key-of-the-file")
    text = (
        HEAD.replace(" MORE", ", summary: '{{ vars.key }} {{ vars.key | reverse }}'") + 'vars: {key: "${file:key}"}\n'
    )
    config = World(tmp_path, text).config
    event = config.sources["xobito"].received([], BODY, now=0.0)[0].event
    assert summaries.summary(config, event) == "*** ***"
    assert isinstance(config.masks, Masks)


def test_the_summary_of_an_event_of_the_gateway_begins_with_the_cause(tmp_path):
    (tmp_path / "routes.yaml").write_text(HEAD.replace(" MORE", ""))
    config = load(tmp_path / "routes.yaml", environ={}, no_env=True)
    body = presets.load(presets.OWN).samples["gateway.circuit.opened"]
    said = summaries.summary(config, config.own.received([], body, now=0.0)[0].event)
    assert said.startswith("crm failed: answered 503 (an error on its side). That is 5 consecutive failures: ")
    assert "gateway.circuit.opened" not in said
