"""Requests as they may be shown: built once more without secrets, and a third time only where that cannot build one."""

import hashlib

import pytest

from gateway.config import load
from gateway.model import Event
from gateway.rehearsal import showing
from gateway.rehearsal.rehearse import attempted, planned
from gateway.rehearsal.showing import Shown, without_secrets
from tests.world import BODY

FILE = """version: 1
sources: {xobito: {preset: xobito, secret: s3cret, redact: [attrs.email]}}
destinations: {crm: {url: "https://crm.example/api"}}
vars: {key: "${KEY}"}
routes:
  - {name: to-crm, to: crm, body: {id: "WHAT"}}
"""


def shown(folder, monkeypatch, what):
    """The delivery as it may be shown, and with what its request was built for that."""
    (folder / "routes.yaml").write_text(FILE.replace("WHAT", what))
    config = load(folder / "routes.yaml", environ={"KEY": "k3y-from-outside"})
    event = Event(
        id="evt_1", source="xobito", type="contact.created", received_at=1_000.0, body=BODY,
        headers={"content-type": "application/json"}, sha256=hashlib.sha256(BODY).digest(),
    )  # fmt: skip
    payload = config.sources["xobito"].received([(b"content-type", b"application/json")], BODY, now=0.0)[0].payload
    delivery, built = planned(event, 1, "to-crm", "crm"), []
    real = attempted(config, delivery, event, payload)

    def counted(used, *given, **more):
        built.append("the file" if used is config else "without secrets")
        return attempted(used, *given, **more)

    monkeypatch.setattr(showing, "attempted", counted)
    return Shown(config, event, payload).delivery(real, delivery), built


def test_a_request_that_can_be_built_without_secrets_is_built_no_further(tmp_path, monkeypatch):
    found, built = shown(tmp_path, monkeypatch, "{{ attrs.id }} {{ attrs.email }}")
    assert built == ["without secrets"]
    assert found.request.body.decode().endswith(' \u2022\u2022\u2022"}')


def test_one_that_computes_with_a_secret_is_built_with_it_and_masked(tmp_path, monkeypatch):
    found, built = shown(
        tmp_path, monkeypatch, "{{ (attrs.id if vars.key | length == 16 else attrs.nowhere) ~ vars.key }}"
    )
    assert built == ["without secrets", "the file"]
    assert found.request.body == b'{"id":"451***"}'


@pytest.mark.parametrize("what", ["{{ attrs.nowhere }}", "{{ vars.key }}{{ attrs.nowhere }}"])
def test_one_that_cannot_be_built_at_all_is_not_tried_again(tmp_path, monkeypatch, what):
    found, built = shown(tmp_path, monkeypatch, what)
    assert built == []
    assert "attrs.nowhere" in found.error


def test_no_root_has_a_secret_where_there_are_none(tmp_path):
    (tmp_path / "routes.yaml").write_text(FILE)
    config = load(tmp_path / "routes.yaml", environ={"KEY": "k3y-from-outside"})
    assert "k3y" not in str(without_secrets(config).sources["xobito"].naming.vars)
