"""``gateway sources NAME``: what a sender's events have under ``attrs``."""

import json

import pytest

from gateway import presets
from gateway.cli import sources


def test_the_page_of_a_sender_says_where_attrs_is_and_which_fields_each_sample_has(capsys):
    assert sources.show("xobito", as_json=False) == 0
    lines = capsys.readouterr().out.splitlines()
    places = "payload.data.attributes, payload.data.resource.attributes, payload.data"
    assert f"attrs is the first of these that the event has: {places}" in lines
    assert any(line.startswith("attrs.id, where that lacks it, is ") for line in lines)
    [created] = [line for line in lines if line.strip().startswith("contact.created ")]
    assert {"firstname", "status_id", "phone"} < set(created.replace(",", "").split())
    [deleted] = [line for line in lines if line.strip().startswith("contact.deleted ")]
    assert "status_id" not in deleted


def test_json_has_the_same(capsys):
    assert sources.show("xobito", as_json=True) == 0
    attrs = json.loads(capsys.readouterr().out)["attrs"]
    assert attrs["paths"][0] == "payload.data.attributes"
    assert attrs["filled"] == {"id": ["payload.data.id", "payload.data.resource.id"]}
    assert attrs["fields"]["status.deleted"] == ["id", "tenant_id", "name"]


@pytest.mark.parametrize("name", ["bearer", "svix"])
def test_fields_that_a_sender_chooses_itself_are_not_listed(capsys, name):
    assert sources.show(name, as_json=False) == 0
    said = capsys.readouterr().out
    assert "attrs is " in said
    assert "fields of their attrs" not in said


@pytest.mark.parametrize("name", presets.NAMES)
def test_every_sender_has_a_page(capsys, name):
    assert sources.show(name, as_json=False) == 0
    said = capsys.readouterr().out
    assert all(type_ in said for type_ in presets.load(name).samples)
    assert ("attrs is " in said) == ("attrs" in presets.load(name).naming.shortcuts)
