"""The shipped example: routes.yaml, its templates and .env.example."""

import json
import re

import pytest

from gateway.config import load, read_env_file
from gateway.errors import BuildError
from tests.config.given import ROOT, SAMPLES, build, event, plan


@pytest.fixture(scope="module")
def shipped():
    return load(ROOT / "routes.yaml", environ={}, dev=True)


def test_the_shipped_file_is_in_order(shipped):
    assert shipped.warnings == ()
    assert shipped.inboxes == {"slack-leads", "slack-ops", "crm"}
    assert shipped.demo_sources == {"xobito"}


@pytest.mark.parametrize("event_type", SAMPLES)
def test_the_shipped_file_has_a_request_for_every_delivery_of_every_sample(shipped, event_type):
    received = event(event_type)
    planned = plan(shipped, received)
    assert planned[0] == ("always/archive", "archive")
    for route, destination in planned:
        try:
            build(shipped, route, destination, received)
        except BuildError as error:
            pytest.fail(f"{route} to {destination}: {error}")


def test_the_shipped_file_tells_slack_of_a_lead_and_the_crm_of_a_contact(shipped):
    assert json.loads(build(shipped, "new-lead", "slack-leads").body)["text"] == (
        ":wave: New lead *John Doe*\njohn@example.com · +14155551234"
    )
    request = build(shipped, "contact-to-crm", "crm")
    assert (request.method, request.url) == ("PUT", "inbox://crm/contacts/451")


def test_the_shipped_file_uses_every_shipped_template(shipped):
    written = (ROOT / "routes.yaml").read_text("utf-8")
    templates = ROOT / "templates"
    assert [
        file for file in templates.rglob("*.j2") if f" {file.relative_to(templates).as_posix()}" not in written
    ] == []


def test_the_environment_example_names_every_variable_of_the_shipped_file():
    used = set(re.findall(r"\$\{([A-Z_]+)\}", (ROOT / "routes.yaml").read_text("utf-8")))
    assert set(read_env_file(ROOT / ".env.example")) == used
