"""Files, events and deliveries for tests of the configuration."""

import hashlib
import json
from pathlib import Path

import pytest

from gateway import presets
from gateway.config import format_problem, load
from gateway.errors import ConfigError
from gateway.model import Delivery, Event

ROOT = Path(__file__).parents[2]


GOOD = Path(__file__).parent / "good"


SAMPLES = presets.load("xobito").samples


HEAD = """
version: 1
sources:
  xobito: {preset: xobito, secret: s3cret-of-the-tests}
destinations:
  crm: {url: "https://crm.example.com/api", auth: {bearer: t0ken}}
  leads: {type: slack, url: "https://hooks.slack.example/T0"}
  log: {type: file, path: log.ndjson}
"""


def problems_of(call):
    with pytest.raises(ConfigError) as caught:
        call()
    return "\n".join(map(format_problem, caught.value.problems))


def event(event_type="contact.created", body=None, source="xobito"):
    body = SAMPLES[event_type] if body is None else body
    return Event(
        id="evt_1",
        source=source,
        type=event_type,
        received_at=1_700_000_000.0,
        headers={"content-type": "application/json", "x-webhook-signature": "abc", "x-other": "y"},
        body=body,
        sha256=hashlib.sha256(body).digest(),
    )


def plan(config, received):
    source = config.sources[received.source]
    return config.plan(source, source.naming.facts(received, json.loads(received.body)))


def build(config, route, destination, received=None):
    received = event() if received is None else received
    delivery = Delivery(id="dlv_1", event_id=received.id, route=route, destination=destination)
    return config.built(delivery, received, json.loads(received.body)).request


def loader(folder):
    """A function that loads a text below HEAD as the routes.yaml of a folder."""

    def load_text(text, *, head=HEAD, dev=False, **environ):
        path = folder / "routes.yaml"
        path.write_text(head + text)
        return load(path, environ=environ, dev=dev)

    return load_text
