"""A signature is in everything that shows a request, and never with a secret."""

import json

import pytest

from gateway.cli.explain import _curl
from gateway.config import load
from gateway.operate import playground
from gateway.operate.playground import Draft
from gateway.rehearsal import showing
from gateway.rehearsal.explained import explained
from gateway.rehearsal.rehearse import rehearse, sender_headers
from gateway.routing.cases import sample
from tests.sink import Sink, answer
from tests.world import BODY, World, story

NOW = 1_767_225_600.0
PEM = """\
-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f
-----END PRIVATE KEY-----
"""
SECRETS = {
    "SECRET": "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
    "KEY": PEM,
    "SHARED": "shared-with-the-crm",
    "ACCESS": "AKIDEXAMPLE",
    "AWS_SECRET": "wJalrXUtnFEMIEXAMPLE",
    "TOKEN": "token-of-a-temporary-key",
}
FILE = """version: 1
sources: {xobito: {preset: xobito, secret: 5c1f0e8a9b7d42e6a1c3}}
destinations:
  standard: {url: https://a.example, sign: {secret: "${SECRET}"}}
  pair: {url: https://a.example, sign: {key: "${KEY}"}}
  xobito: {url: https://a.example, sign: {preset: xobito, secret: "${SHARED}"}}
  aws: {url: https://a.example, auth: {aws: {service: sqs, region: eu-central-1, access_key_id: "${ACCESS}", secret_access_key: "${AWS_SECRET}", session_token: "${TOKEN}"}}}
routes:
  - {name: all, match: contact.*, to: [standard, pair, xobito, aws], body: {id: "{{ attrs.id }}"}}
"""
SIGNED_BY = {
    "standard": {"webhook-signature", "webhook-timestamp"},
    "pair": {"webhook-signature", "webhook-timestamp"},
    "xobito": {"x-webhook-signature"},
    "aws": {"authorization", "x-amz-date", "x-amz-security-token"},
}


def configured(folder, text=FILE, **options):
    (folder / "routes.yaml").write_text(text)
    return load(folder / "routes.yaml", environ=SECRETS, **options)


def played(config):
    source = config.sources["xobito"]
    body = sample(source, "contact.created")
    return rehearse(config, source, body, sender_headers(source, body), NOW)


def shows_a_secret(text: str) -> bool:
    lines = [line for line in PEM.splitlines() if not line.startswith("-")]
    known = [*(each for each in SECRETS.values() if each != PEM), SECRETS["SECRET"].removeprefix("whsec_"), *lines]
    return any(each in text for each in known)


def test_an_explanation_shows_that_a_request_is_signed_and_not_how(tmp_path):
    config = configured(tmp_path)
    found = explained(config, played(config))
    for each in found["deliveries"]:
        headers = each["request"]["headers"]
        hidden = {name for name, value in headers.items() if value == "***"}
        assert hidden >= SIGNED_BY[each["destination"]], each["destination"]
    assert not shows_a_secret(json.dumps(found))


def test_so_does_a_curl_command(tmp_path):
    config = configured(tmp_path)
    for each in showing.requests(config, played(config)):
        [command] = ["\n".join(_curl(each, config))]
        assert all(f"-H '{name}: ***'" in command for name in SIGNED_BY[each.destination])
        assert not shows_a_secret(command)


def test_a_destination_says_how_it_is_signed_with_the_key_that_receivers_need(tmp_path):
    found = {name: each.signed_as for name, each in configured(tmp_path).destinations.items()}
    assert found == {
        "standard": "as Standard Webhooks",
        "pair": "as Standard Webhooks, verified with whpk_A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg=",
        "xobito": "as Xobito",
        "aws": "for sqs of AWS in eu-central-1",
    }


def test_nothing_that_represents_a_destination_has_a_secret(tmp_path):
    config = configured(tmp_path)
    assert not shows_a_secret(repr(config.destinations))
    for name in ("standard", "xobito"):
        assert SECRETS["SECRET"] not in config.masks.text(f"said {SECRETS['SECRET']} by {name}")


def test_a_file_can_be_checked_without_its_secrets(tmp_path):
    (tmp_path / "routes.yaml").write_text(FILE)
    config = load(tmp_path / "routes.yaml", environ={}, no_env=True)
    assert all(each.signed_as for each in config.destinations.values())


def test_a_developer_needs_no_secrets_either(tmp_path):
    (tmp_path / "routes.yaml").write_text(FILE.replace("https://a.example", '"${URL}"'))
    config = load(tmp_path / "routes.yaml", environ={}, dev=True)
    assert config.inboxes == set(config.destinations)
    assert all(each.request for each in showing.requests(config, played(config)))


def test_a_test_sees_the_same_signature_every_time(tmp_path):
    tests = """tests:
  - name: signed
    event: contact.created
    expect: {standard: {json: {id: 451}}, pair: {json: {id: 451}}, xobito: {json: {id: 451}}, aws: {json: {id: 451}}}
"""
    config = configured(tmp_path, FILE + tests)
    one, other = (played(config).deliveries for _ in range(2))
    assert one == other


@pytest.mark.parametrize("changed", ["SHARED", "SECRET"])
def test_what_is_stored_of_an_attempt_still_matches_after_a_rotation(tmp_path, changed):
    """A signature in a header is no part of the body, so ``explain`` does not call the request changed."""
    before = {each.destination: each.request.body for each in played(configured(tmp_path)).deliveries}
    environ = {**SECRETS, changed: "whsec_HwECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="}
    after = load(tmp_path / "routes.yaml", environ=environ)
    assert {each.destination: each.request.body for each in played(after).deliveries} == before


@story
async def test_what_the_playground_sends_is_signed(tmp_path):
    with Sink(answer(200)) as sink:
        text = f"destinations: {{crm: {{url: '{sink.url}', sign: {{preset: xobito, secret: shared-with-the-crm}}}}}}\n"
        async with World(tmp_path, f"{text}routes: [{{name: all, to: crm}}]\n") as world:
            draft = Draft(source="xobito", payload=BODY.decode())
            sent = await playground.send(world.gateway, draft, route="all", destination="crm", by="test")
            [got] = sink.wait_for(1)
    assert sent.is_accepted
    assert got.headers["x-webhook-signature"]
