"""What ``gateway dev`` prints when it is ready: for every sender a request that the file routes."""

import re

import pytest

from gateway import presets
from gateway.cli import small
from gateway.cli.banner import banner
from gateway.config import load
from gateway.destinations import KINDS

DECLARED = """version: 1
sources:
  one: {verify: {signature: {header: x-signature}}, type: "{payload.kind}", secret: "${SECRET}"}
destinations: {slack: {type: slack, url: "${SLACK_URL}"}}
routes: [{name: all, to: slack, text: "{{ event.type }}"}]
"""


def printed(folder, routes, **environ):
    (folder / "routes.yaml").write_text(routes)
    config = load(folder / "routes.yaml", environ=environ, dev=True)
    return banner(config, "http://127.0.0.1:8080", "http://127.0.0.1:8081", "sqlite:///gateway.db", folder)


@pytest.mark.parametrize("name", presets.NAMES)
def test_a_request_of_every_sender_is_there_to_paste(tmp_path, name):
    said = printed(tmp_path, small.routes(presets.load(name), KINDS["slack"]))
    title = presets.load(name).title
    assert f'; the route "{name}-to-slack" sends it, and the message is in the inbox at once.' in said
    assert (
        re.search(rf"^  curl -sS '?http://127\.0\.0\.1:8080/in/{name}\b", said, re.MULTILINE)
        or f"(only {title} can sign: " in said
    )
    assert (
        f"put the secret that you set at {title} into .env" in said
        or f"{title} must reach it from the internet" in said
    )


def test_so_is_one_of_a_sender_that_the_file_declares_and_it_is_called_by_its_name(tmp_path):
    said = printed(tmp_path, DECLARED)
    assert "before real events arrive,\n            put the secret that one signs with into .env" in said
    assert '; the route "all" sends it' in said
    assert "  curl -sS http://127.0.0.1:8080/in/one -H 'content-type: application/json' -H 'x-signature: " in said


SEVERAL = """version: 1
sources: {xobito: {preset: xobito, secret: "${SECRET}"}}
destinations:
  people: {type: slack, url: "${SLACK_URL}"}
  crm: {url: "${CRM_URL}"}
routes:
"""
OF_ONE = """
  - name: contacts
    match: contact.created
    send: [{to: people, text: hi}, {to: crm, body: {a: b}}, {to: people, text: ho}]
"""


@pytest.mark.parametrize(
    ("routes", "said"),
    [
        (OF_ONE, 'the route "contacts" sends 3 messages, to people and crm, and they are in the inbox at once'),
        (
            "  - {name: a, to: [crm, people], body: {text: hi}}",
            'the route "a" sends 2 messages, to crm and people, and',
        ),
        ("  - {name: a, send: [{to: crm}]}", 'the route "a" sends it, and the message is in the inbox at once'),
        (
            "  - {name: a, to: crm}\n  - {name: b, to: people, text: hi}",
            "2 routes send 2 messages, to crm and people, and",
        ),
    ],
    ids=["of one route", "to several", "one of one", "of several routes"],
)
def test_several_messages_are_counted_and_their_destinations_named(tmp_path, routes, said):
    assert f"; {said}" in printed(tmp_path, SEVERAL + routes)


ASKING = """version: 1
sources:
  meta: {preset: meta, secret: "${META_SECRET}", verify: {handshake_token: "${META_VERIFY_TOKEN}"}}
  hooks: {preset: meta, secret: "${META_SECRET}"}
  github: {preset: github, secret: "${GITHUB_SECRET}"}
destinations: {slack: {type: slack, url: "${SLACK_URL}"}}
routes: [{name: all, to: slack, text: "{{ event.type }}"}]
"""


def tokens(said):
    return [line.strip() for line in said.splitlines() if "verify token" in line]


def test_the_verify_token_of_a_handshake_is_said_and_only_the_demo_one_is_shown(tmp_path):
    known = "the verify token to enter at Meta (WhatsApp, Instagram, Messenger) is"
    assert tokens(printed(tmp_path, ASKING)) == [
        f"{known} gateway-demo-secret until you set your own: ${{META_VERIFY_TOKEN}}, which is read on every reload",
        f"{known} gateway-demo-secret until you set your own: ${{META_SECRET}}, which is read on every reload",
    ]
    said = printed(tmp_path, ASKING, META_VERIFY_TOKEN="the-token-of-ours", META_SECRET="the-secret-of-ours")
    assert tokens(said) == [
        f"{known} the one from ${{META_VERIFY_TOKEN}}, which is read on every reload",
        f"{known} the one from ${{META_SECRET}}, which is read on every reload",
    ]
    assert "of-ours" not in said.partition("curl")[0]


def test_one_that_listens_elsewhere_says_how_to_send_to_it_from_another_terminal(tmp_path):
    usual = printed(tmp_path, small.routes(presets.load("github"), KINDS["slack"]))
    assert "gateway send" not in usual
    config = load(tmp_path / "routes.yaml", environ={}, dev=True)
    said = banner(config, "http://127.0.0.1:9090", "http://127.0.0.1:9091", "sqlite:///gateway.db", tmp_path)
    [line] = [line.strip() for line in said.splitlines() if "gateway send" in line]
    assert re.fullmatch(r"More, signed and as new events: gateway send \S+ --to http://127.0.0.1:9090", line)


def test_a_sender_without_samples_has_no_event_to_send_from_another_terminal(tmp_path):
    printed(tmp_path, DECLARED)
    config = load(tmp_path / "routes.yaml", environ={}, dev=True)
    said = banner(config, "http://127.0.0.1:9090", "http://127.0.0.1:9091", "sqlite:///gateway.db", tmp_path)
    assert "  curl -sS http://127.0.0.1:9090/in/one " in said
    assert "gateway send" not in said


@pytest.mark.parametrize(
    ("names", "said"),
    [("one", "records one: its url is not set"), ("one two", "records one, two: their urls are not set")],
)
def test_the_inbox_counts_the_destinations_that_it_records(tmp_path, names, said):
    destinations = ", ".join(f'{name}: {{url: "${{{name.upper()}_URL}}"}}' for name in names.split())
    assert said in printed(tmp_path, f"version: 1\nsources: {{}}\ndestinations: {{{destinations}}}\nroutes: []\n")


def test_a_destination_that_is_only_looked_up_is_asked_for_real_too(tmp_path):
    routes = """version: 1
sources: {xobito: {preset: xobito, secret: "${SECRET}"}}
destinations: {chat: {url: "${CHAT_URL}"}, crm: {url: "https://crm.example.com"}, other: {url: "https://other.example.com"}}
routes:
  - name: contacts
    match: contact.created
    to: chat
    fetch: {known: {from: crm, path: /contacts}}
    text: hello
"""
    assert "it is sent FOR REAL to crm." in printed(tmp_path, routes, SECRET="s" * 40)
