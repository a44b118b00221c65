"""What is made up for unset variables: by `dev`, and by a check without an environment."""

from gateway.config import load
from gateway.config.schema.reading import DEMO_SECRET
from tests.config.given import build, problems_of

UNSET = """
version: 1
sources:
  xobito: {preset: xobito, secret: ["${SECRET}", known]}
  other: {preset: xobito, secret: mine-of-the-tests}
destinations:
  crm: {url: "https://crm.example.com/${TENANT}", auth: {bearer: "${TOKEN}"}, concurrency: "${N}", method: "${M}"}
  leads: {type: slack, url: "${LEADS}"}
  log: {type: file, path: "${LOG}"}
  real: {url: "https://real.example.com"}
routes:
  - {name: a, to: [crm, leads, log, real], text: hi}
"""


def test_in_dev_a_destination_with_an_unset_address_is_an_inbox_whatever_else_is_unset(loaded):
    config = loaded("", head=UNSET, dev=True)
    assert config.inboxes == {"crm", "leads", "log"}
    assert {build(config, "a", name).url for name in config.inboxes} == {"inbox://crm", "inbox://leads", "inbox://log"}
    assert build(config, "a", "real").url == "https://real.example.com"
    assert config.destinations["crm"].concurrency == 32
    assert config.warnings == ()


def test_in_dev_an_unset_secret_is_the_demo_secret(loaded):
    config = loaded("", head=UNSET, dev=True)
    assert config.demo_sources == {"xobito"}
    assert [secret.reveal() for secret in config.sources["xobito"].secrets] == [DEMO_SECRET, "known"]


def test_in_dev_so_is_an_unset_token_of_a_handshake(loaded):
    source = '{preset: meta, secret: "${SECRET}", verify: {handshake_token: "${TOKEN}"}}'
    config = loaded("", head=f"version: 1\nsources: {{meta: {source}}}\n", dev=True)
    assert [token.reveal() for token in config.sources["meta"].handshake_tokens] == [DEMO_SECRET]


def test_in_dev_what_is_set_is_used(loaded):
    config = loaded("", head=UNSET, dev=True, SECRET="s", LEADS="https://hooks.slack.example/T", LOG="x.ndjson")
    assert config.inboxes == {"crm"}
    assert config.demo_sources == frozenset()


def test_in_dev_an_unset_token_of_a_destination_with_an_address_is_a_problem(loaded):
    printed = problems_of(lambda: loaded("", head=UNSET, dev=True, TENANT="acme", N="3"))
    assert "not set: TOKEN (line 7), M (line 7)" in printed
    assert loaded("", head=UNSET, dev=True, TENANT="acme", N="3", M="PUT", TOKEN="t").inboxes == {"leads", "log"}


def test_in_dev_an_unset_variable_elsewhere_is_a_problem_still(loaded):
    printed = problems_of(lambda: loaded("routes: [{to: crm, text: '${NOPE}'}]", dev=True))
    assert "not set: NOPE" in printed


def test_outside_dev_everything_unset_is_a_problem(loaded):
    printed = problems_of(lambda: loaded("", head=UNSET))
    assert (
        "SECRET (line 4), TENANT (line 7), TOKEN (line 7), N (line 7), M (line 7), LEADS (line 8), LOG (line 9)"
        in printed
    )


def test_without_its_environment_a_file_is_checked_with_made_up_values(tmp_path):
    path = tmp_path / "routes.yaml"
    path.write_text(UNSET)
    config = load(path, environ={}, no_env=True)
    assert config.inboxes == config.demo_sources == frozenset()
    assert config.destinations["crm"].target.url == "https://crm.example.com/test"
    assert config.destinations["leads"].target.url == "https://leads.example"
    assert config.destinations["crm"].concurrency == 32
