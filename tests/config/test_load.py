"""A file that loads is a Config with every value it was given."""

import json
import os

import pytest
from msgspec.structs import replace

from gateway import presets
from gateway.config import load
from gateway.config.patterns import near
from gateway.destinations.retry import Policy
from gateway.errors import ConfigError
from gateway.event import patterns
from gateway.event.naming import Naming
from tests.config.given import GOOD, HEAD, build, event, plan, problems_of


def test_a_warning_about_a_text_in_a_body_leaves_the_body_as_it_is(loaded):
    config = loaded("routes: [{name: a, match: contact.created, to: crm, body: {key: $NAME, id: '{{ attrs.id }}'}}]\n")
    assert any("${NAME}" in each.hint for each in config.warnings)
    assert json.loads(build(config, "a", "crm").body) == {"key": "$NAME", "id": 451}


def test_a_mistake_in_tests_is_a_warning_for_those_who_do_not_run_them(tmp_path):
    bad = "tests: [{name: a, event: contact.creatd, expect: [nowhere]}, {name: b, event: contact.read}]\n"
    (tmp_path / "routes.yaml").write_text(f"{HEAD}routes: [{{name: a, match: contact.created, to: log}}]\n{bad}")
    with pytest.raises(ConfigError) as refused:
        load(tmp_path / "routes.yaml", environ={})
    config = load(tmp_path / "routes.yaml", environ={}, tests=False)
    said = {each.message for each in config.warnings}
    errors = [each.message for each in refused.value.problems if each.severity == "error"]
    assert errors
    assert set(errors) <= said
    assert {each.severity for each in config.warnings} == {"warning"}
    assert config.entries


def test_tests_are_values_that_name_what_they_expect(loaded):
    config = loaded("""
always: [{to: log}]
tests:
  - name: archived
    event: contact.created
    set: {attrs.type: lead}
    unset: [attrs.phone]
    expect: {always/log > log: verbatim, leads: {contains: hi, count: 2}}
  - {name: nothing, payload: null, expect: ignored}
  - {name: dead, file: x.json, expect: {failed: no field}}
""")
    archived, nothing, dead = config.tests
    assert (archived.source, archived.event, archived.set, archived.unset) == (
        "xobito",
        "contact.created",
        {"attrs.type": "lead"},
        ("attrs.phone",),
    )
    assert [(check.route, check.destination, check.verbatim) for check in archived.checks] == [
        ("always/log", "log", True),
        (None, "leads", False),
    ]
    assert (archived.checks[1].contains, archived.checks[1].count) == (("hi",), 2)
    assert (nothing.outcome, nothing.payload.value) == ("ignored", None)
    assert (dead.outcome, dead.reason, dead.file) == ("failed", "no field", "x.json")


def secrets(source):
    return [credential.secret.reveal() for credential in source.verifier.credentials]


def test_every_key_of_the_language_reaches_its_value():
    environ = {"HUSH": "hush", "CRM_TOKEN": "t0ken", "GATEWAY_SECRET_KEY": "5f0c2d1e" * 8}
    config = load(GOOD / "every-key.yaml", environ=environ)
    source, crm = config.sources["xobito"], config.destinations["crm"]
    others = {f"/in/{name}": other for name, other in config.sources.items() if name != "xobito"}
    assert config.doors == {"/hooks/xobito": source, **others}
    assert secrets(source) == ["hush", "old-secret-of-tests"]
    assert secrets(config.sources["second"]) == ["fallback-of-the-tests"]
    assert source.max_body == 512 * 1024
    assert (crm.timeout_s, crm.concurrency, crm.retry.for_s) == (5.0, 7, 0.0)
    assert (crm.target.method, crm.target.headers) == ("PATCH", (("X-Tenant", "13"),))
    assert config.destinations["keyed"].target.auth == ("x-api-key", "hush")
    assert config.destinations["login"].target.auth == ("authorization", "Basic bWU6aHVzaA==")
    own_tokens = config.destinations["own-tokens"].oauth
    assert (own_tokens.client_secret, own_tokens.client_auth, own_tokens.secret_key) == ("hush", "body", "")
    assert (own_tokens.scope, own_tokens.parameters) == ("contacts.read contacts.write", (("audience", "crm"),))
    assert config.destinations["refreshed"].oauth.secret_key == "5f0c2d1e" * 8
    asserted = config.destinations["asserted"].oauth.assertion
    assert (asserted.algorithm, asserted.key_id, asserted.subject, asserted.audience) == ("ES256", "7", "me", "them")
    sheets = config.destinations["sheets"].oauth
    assert (sheets.token_url, sheets.assertion.issuer) == (
        "https://oauth2.googleapis.com/token",
        "robot@p.iam.gserviceaccount.com",
    )
    assert config.destinations["log"].timeout_s == 90.0
    assert config.destinations["log"].retry == Policy(for_s=7200, first_s=0.5, max_s=600)


def test_what_nobody_writes_has_the_documented_default(loaded):
    config = loaded("")
    assert config.sources["xobito"].path == "/in/xobito"
    assert config.sources["xobito"].max_body == 1024 * 1024
    assert config.destinations["crm"].concurrency == 32
    assert config.destinations["crm"].timeout_s == 10.0
    assert config.destinations["crm"].retry == Policy(for_s=86400, first_s=1, max_s=3600)


def test_nothing_of_a_config_shows_a_secret(loaded):
    config = loaded("routes: [{name: a, to: crm}]")
    assert "s3cret" not in repr(config)
    assert "t0ken" not in repr(config)


def test_the_revision_changes_with_the_file_and_with_the_templates_it_uses(loaded, tmp_path):
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates" / "a.json.j2").write_text("{}")
    (tmp_path / "templates" / "unused.json.j2").write_text("{}")
    text = "routes: [{name: a, to: crm, template: a.json.j2}]"
    first = loaded(text).revision
    assert len(first) == 8
    assert int(first, 16) >= 0
    (tmp_path / "templates" / "unused.json.j2").write_text("[]")
    assert loaded(text).revision == first
    (tmp_path / "templates" / "a.json.j2").write_text("[]")
    second = loaded(text).revision
    assert second != first
    assert loaded(text + "\n").revision not in (first, second)


def test_values_from_outside_are_converted_and_stay_inert_in_templates(loaded):
    config = loaded(
        'routes: [{name: a, to: crm, text: "${GREETING} {{ attrs.id }}"}]', GREETING="{{ 7 * 7 }}{% raw %}{# x"
    )
    assert json.loads(build(config, "a", "crm").body)["text"] == "{{ 7 * 7 }}{% raw %}{# x 451"


def test_all_that_is_not_set_is_one_problem_at_the_end(loaded):
    printed = problems_of(lambda: loaded("routes: [{name: a, to: nobody, where: {attrs.a: '${A}', attrs.b: '${B}'}}]"))
    assert printed.splitlines()[-1].startswith("routes.yaml: not set: A (line 9), B (line 9)")
    assert 'unknown destination "nobody"' in printed


@pytest.fixture
def a_sender_without_shortcuts(monkeypatch):
    real = presets.load("xobito")
    naming = Naming.compile(["{payload.event}"], {})
    bare = replace(real, name="bare", title="Bare", naming=naming, samples={}, sample_headers={}, promised={})
    monkeypatch.setattr(presets, "NAMES", ("bare", "xobito"))
    monkeypatch.setattr(presets, "load", {"bare": bare, "xobito": real, "gateway": presets.load("gateway")}.__getitem__)


TWO_SENDERS = HEAD.replace("destinations:", "  bare: {preset: bare, secret: s}\ndestinations:")


@pytest.mark.usefixtures("a_sender_without_shortcuts")
def test_a_shortcut_that_one_of_the_sources_lacks_asks_for_the_source(loaded):
    printed = problems_of(lambda: loaded("routes: [{to: crm, where: {attrs.id: 1}}]", head=TWO_SENDERS))
    assert "add source: xobito" in printed
    loaded("routes: [{to: crm, source: xobito, where: {attrs.id: 1}}]", head=TWO_SENDERS)


@pytest.mark.usefixtures("a_sender_without_shortcuts")
def test_a_template_uses_only_the_roots_that_every_source_of_its_route_has(loaded):
    problems_of(lambda: loaded("routes: [{to: crm, text: '{{ attrs.id }}'}]", head=TWO_SENDERS))
    loaded("routes: [{to: crm, source: xobito, text: '{{ attrs.id }}'}]", head=TWO_SENDERS)


def test_a_file_that_is_not_there_is_a_problem(tmp_path):
    assert "cannot read" in problems_of(lambda: load(tmp_path / "nowhere.yaml", environ={}))
    assert "cannot read" in problems_of(lambda: load(tmp_path, environ={}))


def test_warnings_do_not_stop_a_file(loaded):
    config = loaded("routes: [{to: [crm, log], match: contact.create}, {to: leads, text: hi}]")
    assert [warning.hint for warning in config.warnings] == ['did you mean "contact.created"?']


def test_text_that_yaml_takes_for_a_comment_is_warned_about(loaded):
    config = loaded("routes:\n  - to: leads\n    text: New lead in #sales\n")
    assert any("#sales" in warning.message for warning in config.warnings)


def test_a_pattern_that_thousands_of_routes_share_is_looked_at_once(loaded):
    matched = patterns._trie_of.cache_info().misses
    suggested = near.cache_info().misses
    routes = "".join(f"  - {{name: r{n}, match: thing{n % 2}.happened, to: crm}}\n" for n in range(100))
    assert loaded(f"routes:\n{routes}").routes == 100
    assert patterns._trie_of.cache_info().misses - matched <= 2
    assert near.cache_info().misses - suggested <= 2


def test_thousands_of_problems_are_all_reported(loaded):
    entries = "".join(f"  - {{name: r{n}, to: nobody}}\n" for n in range(2000))
    with pytest.raises(ConfigError) as caught:
        loaded("routes:\n" + entries)
    assert len(caught.value.problems) == 2000


NUMBERED = """
routes:
  - {name: a, to: crm, where: {attrs.tenant_id: "${TENANT:number}"}, body: {n: "${TENANT:number}", t: "x ${TENANT:number}"}}
"""


def test_a_variable_can_stand_for_a_number_where_any_type_may_stand(loaded):
    config = loaded(NUMBERED, TENANT="13")
    assert plan(config, event()) == (("a", "crm"),)
    assert json.loads(build(config, "a", "crm").body) == {"n": 13, "t": "x 13"}
    assert plan(loaded(NUMBERED, TENANT="14"), event()) == ()


@pytest.mark.parametrize("value", ["x", "013", "0x1F", "NaN", "true", "1 2", "+1"])
def test_what_is_no_number_is_a_problem_that_does_not_show_it(loaded, value):
    printed = problems_of(lambda: loaded(NUMBERED, TENANT=value))
    assert printed.count("the value of ${TENANT:number} is not a number") == 2


def test_the_revision_tells_every_file_apart_that_has_a_part_in_what_is_sent(loaded, tmp_path):
    folder = tmp_path / "templates"
    folder.mkdir()
    (folder / "part.txt.j2").write_text("one")
    (folder / "whole.txt.j2").write_text("{% include 'part.txt.j2' %}")
    (folder / "unused.txt.j2").write_text("one")
    routes = "routes: [{name: a, to: crm, template: whole.txt.j2}]"
    first = loaded(routes).revision
    (folder / "unused.txt.j2").write_text("two")
    assert loaded(routes).revision == first
    (folder / "part.txt.j2").write_text("two")
    assert loaded(routes).revision != first
    assert loaded(routes + " # changed").revision != loaded(routes).revision


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("where: {is: []}", '"is" of'),
        ("source: []", "is an empty list"),
        ("if: 'attrs.firstname == \"${X}\"'", "cannot contain ${...}"),
        ("if: '${X}'", "cannot contain ${...}"),
    ],
)
def test_what_would_take_events_by_accident_is_refused(loaded, entry, said):
    printed = problems_of(lambda: loaded(f"routes: [{{name: a, to: crm, {entry}}}]", X="attrs.id == 451"))
    assert said in printed


def test_a_pipe_in_place_of_the_file_is_refused_and_waited_for_by_nobody(tmp_path):
    os.mkfifo(tmp_path / "routes.yaml")
    assert "is not a file" in problems_of(lambda: load(tmp_path / "routes.yaml", environ={}))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("always: [{name: a, to: []}, {to: log}]", "keep events from"),
        ("always: [{name: a, to: log, stop: true}]", "keep events from"),
        ("routes: [{name: a, send: [{to: []}, {to: crm}]}]", "is sent nowhere"),
    ],
)
def test_what_would_silence_others_or_nobody_hears_is_refused(loaded, text, said):
    assert said in problems_of(lambda: loaded(text))


def test_a_variable_is_read_at_start_and_by_dev_on_every_reload(tmp_path):
    path = tmp_path / "routes.yaml"
    path.write_text(
        'version: 1\nsources: {xobito: {preset: xobito, secret: "${S}"}}\n'
        'destinations: {crm: {url: "https://crm.example", auth: {bearer: "${T}"}}}\nroutes: [{to: crm}]\n'
    )
    for dev, when in ((False, "at start"), (True, "on every reload")):
        config = load(path, environ={"S": "s3cr3t", "T": "t0ken"}, dev=dev)
        assert config.sources["xobito"].secret_from == f"${{S}}, which is read {when}"
        assert config.destinations["crm"].target.login == f"auth.bearer is ${{T}}, which is read {when}"
