"""What a Config plans for an event, and how it explains that."""

import json

import pytest

from gateway.errors import NameGone, RenderError
from tests.config.given import HEAD, build, event, plan, problems_of


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
    assert config.routes == 3


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
            "secret: s3cret-of-the-tests",
            "secret: s3cret-of-the-tests, shortcuts: {attrs: payload.data, data: [payload.x, payload.data]}",
        ),
    )
    assert plan(config, event()) == (("a", "log"),)
    assert b"451 451" in build(config, "a", "log").line


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


def test_a_route_whose_every_destination_is_disabled_is_as_if_it_was_absent(loaded):
    head = HEAD.replace("  crm: {url", "  crm: {enabled: false, url")
    config = loaded("routes: [{name: a, to: crm, stop: true}, {name: b, to: leads, text: hi}]", head=head)
    assert plan(config, event()) == (("b", "leads"),)
    config = loaded("routes: [{name: a, to: crm}]\nunmatched: [{to: log}]", head=head)
    assert plan(config, event()) == (("unmatched/log", "log"),)
