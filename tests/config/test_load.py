"""A file that loads is a Config: what it plans, what it builds, what `dev` makes up."""

import hashlib
import json
import os
import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import presets
from gateway.config import checks, format_problem, load, read_env_file
from gateway.config.schema.file import Section, keys_of
from gateway.config.schema.values import DEMO_SECRET
from gateway.destinations.retry import Policy
from gateway.errors import BuildError, ConfigError, NameGone, RenderError
from gateway.event import patterns
from gateway.event.naming import Naming
from gateway.model import Delivery, Event, FileAppend

ROOT = Path(__file__).parents[2]
GOOD = Path(__file__).parent / "good"
SAMPLES = presets.load("xobito").samples

HEAD = """
version: 1
sources:
  xobito: {preset: xobito, secret: s3cret}
destinations:
  crm: {url: "https://crm.example.com/api", auth: {bearer: t0ken}}
  leads: {type: slack, url: "https://hooks.slack.example/T0"}
  log: {type: file, path: log.ndjson}
"""


@pytest.fixture
def loaded(tmp_path):
    def load_text(text, *, head=HEAD, dev=False, **environ):
        path = tmp_path / "routes.yaml"
        path.write_text(head + text)
        return load(path, environ=environ, dev=dev)

    return load_text


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
    return config.build(delivery, received, json.loads(received.body))


# --- what is planned ---


def test_always_comes_first_then_every_matching_route_and_unmatched_only_without_one(loaded):
    config = loaded("""
always:
  - to: log
routes:
  - {name: one, match: contact.*, to: [crm, log]}
  - {name: two, match: contact.created, to: leads, text: hi}
unmatched:
  - to: leads
""")
    assert plan(config, event()) == (("always/log", "log"), ("one", "crm"), ("one", "log"), ("two", "leads"))
    assert plan(config, event("status.deleted")) == (("always/log", "log"), ("unmatched/leads", "leads"))
    assert config.routes == 2


def test_an_event_that_a_route_ignores_is_not_unmatched_and_no_later_route_sees_it(loaded):
    config = loaded("""
always: [{to: log}]
routes:
  - {match: message.*, to: []}
  - {name: all, to: log}
unmatched: [{to: leads}]
""")
    assert plan(config, event("message.sent")) == (("always/log", "log"),)


def test_where_sees_the_record_the_payload_the_headers_and_the_event(loaded):
    config = loaded("""
routes:
  - {name: a, to: log, where: {attrs.type: lead, attrs.id: 451}}
  - {name: b, to: log, where: {payload.data.attributes.group_id.1: 2}}
  - {name: c, to: log, where: {headers.x-other: [x, y], event.resource: contact, event.action: created}}
  - {name: d, to: log, where: {attrs.id: "451"}}
  - {name: e, to: log, where: {payload.original: null}}
  - {name: f, to: log, where: {attrs.nothing: null}}
""")
    assert [route for route, _ in plan(config, event())] == ["a", "b", "c", "e"]


def test_a_plan_is_total_on_any_payload(loaded):
    config = loaded("routes: [{name: a, to: log, where: {attrs.a.b: 1}}]")
    for body in (b"null", b"[]", b"1", b'{"data": []}', b'{"data": {"attributes": {"a": [[{}]]}}}'):
        assert plan(config, event(body=body)) == ()


def test_an_expression_says_what_where_cannot(loaded):
    config = loaded("""
routes:
  - {name: a, to: log, if: attrs.type == "lead" and not attrs.nothing}
  - {name: b, to: log, if: attrs.id > 1000}
  - {name: c, to: log, where: {attrs.type: customer}, if: attrs.id > 5}
""")
    assert [route for route, _ in plan(config, event())] == ["a"]


def test_an_expression_that_fails_takes_the_event_and_the_delivery_says_why(loaded):
    config = loaded("routes: [{name: a, to: log, if: payload.original > 5}]")
    assert plan(config, event()) == (("a", "log"),)
    with pytest.raises(RenderError, match=r"routes.yaml:9: cannot compare null with a number"):
        build(config, "a", "log")


def test_nothing_behind_a_route_that_stops_is_looked_at(loaded):
    config = loaded("""
always: [{to: log}]
routes:
  - {name: a, match: contact.*, to: crm, stop: true}
  - {name: b, to: crm}
""")
    assert [route for route, _ in plan(config, event())] == ["always/log", "a"]
    assert [route for route, _ in plan(config, event("status.created"))] == ["always/log", "b"]


def test_several_messages_of_one_route_are_deliveries_of_their_own(loaded):
    config = loaded("""
routes:
  - name: a
    send:
      - {to: [crm, leads], text: one}
      - {to: leads, text: two}
""")
    assert plan(config, event()) == (("a/1", "crm"), ("a/1", "leads"), ("a/2", "leads"))
    assert json.loads(build(config, "a/2", "leads").body)["text"] == "two"
    assert config.routes == 1


def test_what_is_disabled_is_as_if_absent(loaded):
    config = loaded(
        """
routes:
  - {name: a, to: off}
  - {name: b, to: [off, log]}
  - {name: c, to: log, enabled: false}
unmatched: [{name: d, to: log}]
""",
        head=HEAD + "  off: {url: 'https://off.example.com', enabled: false}\n",
    )
    assert plan(config, event()) == (("b", "log"),)
    assert "c" not in config.entries
    assert "off" not in config.destinations
    with pytest.raises(NameGone, match="disabled: enable it and replay"):
        build(config, "a", "off")


def test_vars_are_a_root_of_conditions_expressions_and_templates(loaded):
    config = loaded("""
vars: {statuses: {1: New, 3: Qualified}, floor: 100}
routes:
  - {name: a, to: log, where: {vars.floor: 100}, if: attrs.id > vars.floor, text: "{{ vars.statuses[attrs.status_id] }}"}
""")
    assert plan(config, event()) == (("a", "log"),)
    assert b'"New"' in build(config, "a", "log").line


def test_a_condition_by_name_stands_for_its_lines(loaded):
    config = loaded("""
conditions:
  vip: {attrs.company: [Demo Co, Big Corp], is: reachable}
  reachable: {not: {attrs.phone: {empty: true}, attrs.email: {empty: true}}}
routes:
  - {name: a, to: log, where: {is: vip}}
  - {name: b, to: log, where: {not: {is: vip}}}
""")
    assert [route for route, _ in plan(config, event())] == ["a"]
    assert [route for route, _ in plan(config, event("status.created"))] == ["b"]


def test_names_inside_names_do_not_grow_without_end(loaded):
    doubled = "".join(f"  c{n}: {{any: [{{is: c{n + 1}}}, {{is: c{n + 1}}}]}}\n" for n in range(25))
    printed = problems_of(
        lambda: loaded(f"conditions:\n{doubled}  c25: {{attrs.id: 1}}\nroutes: [{{to: log, where: {{is: c0}}}}]")
    )
    assert "more than 10,000 lines" in printed


def test_a_shortcut_of_the_file_wins_over_the_presets(loaded):
    config = loaded(
        'routes: [{name: a, to: log, text: "{{ attrs.id }} {{ data.id }}", where: {attrs.attributes.id: 451}}]',
        head=HEAD.replace(
            "secret: s3cret", "secret: s3cret, shortcuts: {attrs: payload.data, data: [payload.x, payload.data]}"
        ),
    )
    assert plan(config, event()) == (("a", "log"),)
    assert b"451 451" in build(config, "a", "log").line


def test_included_files_are_one_configuration_with_the_file(loaded, tmp_path):
    (tmp_path / "routes.d").mkdir()
    (tmp_path / "routes.d" / "b.yaml").write_text("routes: [{name: b, to: log}]")
    (tmp_path / "routes.d" / "a.yaml").write_text(
        "destinations: {own: {type: file, path: x}}\nroutes: [{name: a, to: own}]"
    )
    text = "include: routes.d/*.yaml\nroutes: [{name: main, to: log}]"
    config = loaded(text)
    assert [route for route, _ in plan(config, event())] == ["main", "a", "b"]
    (tmp_path / "routes.d" / "b.yaml").write_text("routes: [{name: b, to: log, text: hi}]")
    assert loaded(text).revision != config.revision


def test_a_link_may_lead_elsewhere_in_the_folder_and_not_out_of_it(loaded, tmp_path):
    outside = tmp_path.parent / f"{tmp_path.name}-outside.yaml"
    outside.write_text("routes: [{name: more, to: log}]\n")
    (tmp_path / ".data").mkdir()
    (tmp_path / ".data" / "in.yaml").write_text("routes: [{name: more, to: log}]\n")
    (tmp_path / "more.yaml").symlink_to(".data/in.yaml")
    assert loaded("include: more.yaml").routes == 1
    (tmp_path / "more.yaml").unlink()
    (tmp_path / "more.yaml").symlink_to(outside)
    printed = problems_of(lambda: loaded("include: [more.yaml]"))
    assert 'include: "more.yaml" is a link that leads out of the folder of this file' in printed


def test_what_is_not_set_names_the_included_file(loaded, tmp_path):
    (tmp_path / "more.yaml").write_text("routes:\n  - {name: a, to: log, where: {attrs.a: '${GONE}'}}")
    printed = problems_of(lambda: loaded("include: more.yaml"))
    assert "not set: GONE (more.yaml:2)" in printed


def test_every_entry_is_explained_and_what_was_not_looked_at_says_so(loaded):
    config = loaded("""
always: [{to: log}]
routes:
  - {name: a, match: contact.*, to: log, where: {attrs.type: customer, attrs.id: {gt: 5}}}
  - {name: b, match: contact.*, to: log, stop: true}
  - {name: c, to: log}
unmatched: [{to: leads}]
""")
    received = event()
    source = config.sources["xobito"]
    found = config.explain(source, source.naming.facts(received, json.loads(received.body)))
    assert [(each.entry.name, each.taken) for each in found] == [
        ("always/log", True),
        ("a", False),
        ("b", True),
        ("c", False),
        ("unmatched/leads", False),
    ]
    assert [each.explanation is None for each in found] == [False, False, False, True, True]
    kind, number = found[1].explanation.findings
    assert (kind.text, kind.held, kind.seen) == ("attrs.type: customer", False, "lead")
    assert (number.text, number.held, number.seen) == ("attrs.id: {gt: 5}", True, 451)


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


def test_without_its_environment_a_file_is_checked_with_made_up_values(tmp_path):
    path = tmp_path / "routes.yaml"
    path.write_text(UNSET)
    config = load(path, environ={}, no_env=True)
    assert config.inboxes == config.demo_sources == frozenset()
    assert config.destinations["crm"].target.url == "https://crm.example.com/test"
    assert config.destinations["leads"].target.url == "https://leads.example"
    assert config.destinations["crm"].concurrency == 32


# --- what is built ---


def test_a_form_is_sent_in_form_encoding(loaded):
    config = loaded("""
routes:
  - name: a
    to: crm
    form: {name: "{{ attrs.company }} & co", group: ["{{ attrs.id }}", x], more: {on: true, no: null}}
""")
    request = build(config, "a", "crm")
    assert request.body == b"name=Demo+Co+%26+co&group=451&group=x&more%5Bon%5D=true&more%5Bno%5D="
    assert dict(request.headers)["content-type"] == "application/x-www-form-urlencoded"


@pytest.mark.parametrize(
    ("name", "source", "body", "content_type"),
    [
        (
            "a.html.j2",
            '<p title="{{ attrs.company }}">',
            b'<p title="&lt;b&gt;&#34;&amp;&#34;">',
            "text/html; charset=utf-8",
        ),
        (
            "a.form.j2",
            "x={{ attrs.company }}\n\ny=a b",
            b"x=%3Cb%3E%22%26%22&y=a%20b",
            "application/x-www-form-urlencoded",
        ),
    ],
)
def test_the_ending_of_a_template_says_how_values_are_escaped(loaded, tmp_path, name, source, body, content_type):
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates" / name).write_text(source)
    received = event(body=SAMPLES["contact.created"].replace(b"Demo Co", b'<b>\\"&\\"'))
    request = build(loaded(f"routes: [{{name: a, to: crm, template: {name}}}]"), "a", "crm", received)
    assert (request.body, dict(request.headers)["content-type"]) == (body, content_type)


def test_the_request_is_the_destinations_with_the_entrys_on_top(loaded):
    config = loaded("""
routes:
  - name: put
    to: crm
    method: PUT
    path: /contacts/{{ attrs.id }}
    query: {dry run: "{{ attrs.firstname }} & co"}
    headers: {x-id: "{{ attrs.id }}"}
    body: {external_id: "{{ attrs.id }}", flags: [true, null, NO, "{{ attrs.nope | default(omit) }}"]}
""")
    request = build(config, "put", "crm")
    assert request.method == "PUT"
    assert request.url == "https://crm.example.com/api/contacts/451?dry%20run=John%20%26%20co"
    assert dict(request.headers)["authorization"] == "Bearer t0ken"
    assert dict(request.headers)["x-id"] == "451"
    assert dict(request.headers)["webhook-id"] == "dlv_1"
    assert json.loads(request.body) == {"external_id": 451, "flags": [True, None, "NO"]}


def test_without_a_content_the_exact_bytes_travel_with_what_makes_them_verifiable(loaded):
    request = build(loaded("always: [{to: crm}]"), "always/crm", "crm")
    headers = dict(request.headers)
    assert request.body == SAMPLES["contact.created"]
    assert (headers["content-type"], headers["x-webhook-signature"]) == ("application/json", "abc")
    assert "x-other" not in headers


def test_an_empty_body_sends_none(loaded):
    assert build(loaded('routes: [{name: a, to: crm, body: ""}]'), "a", "crm").body == b""


def test_one_text_is_escaped_for_each_of_its_destinations(loaded):
    config = loaded('routes: [{name: a, to: [crm, leads], text: "{{ attrs.company }}"}]')
    body = SAMPLES["contact.created"].replace(b"Demo Co", b"<!channel>")
    assert json.loads(build(config, "a", "crm", event(body=body)).body)["text"] == "<!channel>"
    assert json.loads(build(config, "a", "leads", event(body=body)).body)["text"] == "&lt;!channel&gt;"


def test_a_chat_is_told_of_an_unmatched_event_in_a_built_in_sentence(loaded):
    request = build(loaded("unmatched: [{to: leads}]"), "unmatched/leads", "leads")
    assert json.loads(request.body)["text"] == "No route took contact.created from xobito"


def test_a_file_gets_a_line(loaded):
    assert isinstance(build(loaded("always: [{to: log}]"), "always/log", "log"), FileAppend)


def test_the_path_of_a_file_is_left_to_the_working_directory_as_the_store_is(loaded):
    assert loaded("").destinations["log"].target.path == "log.ndjson"


def test_headers_of_the_sender_travel_with_its_exact_bytes_only(loaded):
    config = loaded("routes: [{name: a, to: crm, text: hi}, {name: b, to: crm}]")
    kept = config.sources["xobito"].kept_headers
    message = {name: config.entries[name].messages["crm"] for name in "ab"}
    assert message["a"].render({}, event(), "dlv_1", kept).verbatim_headers == ()
    assert ("x-webhook-signature", "abc") in message["b"].render({}, event(), "dlv_1", kept).verbatim_headers


def test_the_templates_of_one_message_share_one_budget(loaded):
    loop = "{% for a in range(1000) %}{% for b in range(7) %}{% endfor %}{% endfor %}"
    config = loaded(f"""
routes:
  - {{name: one, to: crm, body: ["{loop}"]}}
  - {{name: two, to: crm, path: "/x{loop}", body: ["{loop}"]}}
""")
    build(config, "one", "crm")
    with pytest.raises(RenderError, match="loop steps"):
        build(config, "two", "crm")


def test_a_template_that_fails_names_its_line_of_the_file(loaded):
    config = loaded("""
routes:
  - name: a
    to: leads
    text: |
      first
      {{ attrs.nope }}
""")
    with pytest.raises(RenderError) as caught:
        build(config, "a", "leads")
    assert str(caught.value.place).startswith("routes.yaml:15")


@pytest.mark.parametrize(
    ("route", "destination", "source", "sentence"),
    [
        ("gone", "crm", "xobito", 'the route "gone" is no longer in routes.yaml'),
        ("a", "gone", "xobito", 'the destination "gone" is no longer in routes.yaml'),
        ("a", "log", "xobito", 'the route "a" no longer sends to "log"'),
        ("a", "crm", "gone", 'the source "gone" is no longer in routes.yaml'),
    ],
)
def test_a_name_that_has_gone_is_a_reason_with_a_remedy(loaded, route, destination, source, sentence):
    config = loaded("routes: [{name: a, to: crm}]")
    with pytest.raises(NameGone, match="put it back") as caught:
        build(config, route, destination, event(source=source))
    assert sentence in str(caught.value)


def secrets(source):
    return [credential.secret.reveal() for credential in source.verifier.credentials]


def test_every_key_of_the_language_reaches_its_value():
    config = load(GOOD / "every-key.yaml", environ={"HUSH": "hush", "CRM_TOKEN": "t0ken"})
    source, crm = config.sources["xobito"], config.destinations["crm"]
    others = {f"/in/{name}": other for name, other in config.sources.items() if name != "xobito"}
    assert config.doors == {"/hooks/xobito": source, **others}
    assert secrets(source) == ["hush", "old-secret"]
    assert secrets(config.sources["second"]) == ["fallback"]
    assert source.max_body == 512 * 1024
    assert (crm.timeout_s, crm.concurrency, crm.retry.for_s) == (5.0, 7, 0.0)
    assert (crm.target.method, crm.target.headers) == ("PATCH", (("X-Tenant", "13"),))
    assert config.destinations["keyed"].target.auth == ("x-api-key", "hush")
    assert config.destinations["login"].target.auth == ("authorization", "Basic bWU6aHVzaA==")
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


# --- references ---


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


# --- what `dev` makes up ---


UNSET = """
version: 1
sources:
  xobito: {preset: xobito, secret: ["${SECRET}", known]}
  other: {preset: xobito, secret: mine}
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


# --- the file itself ---


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
    suggested = checks._near.cache_info().misses
    routes = "".join(f"  - {{name: r{n}, match: thing{n % 2}.happened, to: crm}}\n" for n in range(100))
    assert loaded(f"routes:\n{routes}").routes == 100
    assert patterns._trie_of.cache_info().misses - matched <= 2
    assert checks._near.cache_info().misses - suggested <= 2


def test_thousands_of_problems_are_all_reported(loaded):
    entries = "".join(f"  - {{name: r{n}, to: nobody}}\n" for n in range(2000))
    with pytest.raises(ConfigError) as caught:
        loaded("routes:\n" + entries)
    assert len(caught.value.problems) == 2000


def every_section(section: type[Section] = Section):
    for each in section.__subclasses__():
        yield each
        yield from every_section(each)


def test_every_key_of_every_place_says_what_it_is_for():
    for section in every_section():
        assert section.noun
        for name, (_, declared) in keys_of(section).items():
            assert declared.about, name


def test_every_key_is_in_the_file_that_shows_them_all():
    written = (GOOD / "every-key.yaml").read_text("utf-8")
    names = {name for section in every_section() for name in keys_of(section)}
    assert {name for name in names if f"{name}:" not in written} == set()


KEYS = sorted({name for section in every_section() for name in keys_of(section)} | {"x", "${A}", ""})


def _maps(inner):
    return st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4)


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=5), _maps, max_leaves=12))
def test_any_json_is_a_config_or_problems(tmp_path_factory, written):
    path = tmp_path_factory.getbasetemp() / "routes.yaml"
    path.write_text(json.dumps(written), "utf-8")
    try:
        load(path, environ={})
    except ConfigError as error:
        assert all(map(format_problem, error.problems))


# --- the shipped example ---


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


# --- ${NAME:number} ---

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
    assert printed.count("the value of ${TENANT:number} is no number") == 2


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
        ("source: []", "names none"),
        ("if: 'attrs.firstname == \"${X}\"'", "cannot hold a ${...}"),
        ("if: '${X}'", "cannot hold a ${...}"),
    ],
)
def test_what_would_take_events_by_accident_is_refused(loaded, entry, said):
    printed = problems_of(lambda: loaded(f"routes: [{{name: a, to: crm, {entry}}}]", X="attrs.id == 451"))
    assert said in printed


def test_a_route_whose_every_destination_is_disabled_is_as_if_it_was_absent(loaded):
    head = HEAD.replace("  crm: {url", "  crm: {enabled: false, url")
    config = loaded("routes: [{name: a, to: crm, stop: true}, {name: b, to: leads, text: hi}]", head=head)
    assert plan(config, event()) == (("b", "leads"),)
    config = loaded("routes: [{name: a, to: crm}]\nunmatched: [{to: log}]", head=head)
    assert plan(config, event()) == (("unmatched/log", "log"),)


def test_a_pipe_in_place_of_the_file_is_refused_and_waited_for_by_nobody(tmp_path):
    os.mkfifo(tmp_path / "routes.yaml")
    assert "is no file" in problems_of(lambda: load(tmp_path / "routes.yaml", environ={}))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("always: [{name: a, to: []}, {to: log}]", "keep events from"),
        ("always: [{name: a, to: log, stop: true}]", "keep events from"),
        ("routes: [{name: a, send: [{to: []}, {to: crm}]}]", "is sent to nobody"),
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
