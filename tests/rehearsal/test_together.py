"""Tests of a file about time: a clock that stands, several events, what waits, gathers and is skipped."""

import json

import pytest

from gateway.config import load
from gateway.rehearsal.expectations import failures
from gateway.rehearsal.rehearse import rehearse, sender_headers
from gateway.rehearsal.together import together
from tests.world import BODY

FILE = """
version: 1
sources: {{xobito: {{preset: xobito, secret: s3cret}}}}
destinations:
  leads: {{type: slack, url: https://hooks.slack.com/services/T0/B0/x}}
  crm: {{url: https://crm.example.com/hook, hours: {{from: 06:00, to: 20:00, zone: America/New_York}}}}
routes:
  - name: week
    match: contact.created
    to: leads
    digest: {{at: mon 09:00, zone: Europe/Berlin, by: attrs.source_id, max: 3}}
    text: "{{{{ count }}}}: {{% for each in events %}}{{{{ each.attrs.firstname }}}} {{% endfor %}}"
  - {{name: calm, match: contact.updated, to: leads, debounce: {{per: "{{{{ attrs.id }}}}", for: 2m}}, text: "{{{{ attrs.firstname }}}}"}}
  - {{name: first, match: source.created, to: leads, once: {{per: "{{{{ attrs.name }}}}"}}, text: "{{{{ attrs.name }}}}"}}
  - {{name: night, match: status.created, to: leads, hours: {{days: mon-fri, from: 09:00, to: 18:00, zone: Europe/Berlin}}, text: hi}}
  - {{name: office, match: status.deleted, to: leads, hours: {{from: 09:00, to: 18:00, otherwise: skip}}, text: hi}}
  - {{name: late, match: source.deleted, to: crm, delay: 10m}}
tests:
  - {test}
"""


def failed(tmp_path, test):
    (tmp_path / "routes.yaml").write_text(FILE.format(test=test))
    config = load(tmp_path / "routes.yaml", environ={})
    return failures(config, config.tests[0], tmp_path)


def contacts(*names):
    return ", ".join(f"{{event: contact.created, set: {{attrs.firstname: {name}}}}}" for name in names)


PASSING = [
    f"{{name: one message, events: [{contacts('Ada', 'Bob')}], expect: {{leads: {{text: '2: Ada Bob ', count: 1}}}}}}",
    "{name: one event, event: contact.created, now: 2026-12-02T10:00:00+01:00, expect: {leads: {waits_until: mon 09:00, contains: '1: '}}}",
    f"{{name: at most three, events: [{contacts('A', 'B', 'C', 'D')}], expect: {{leads: {{count: 2, text: '1: D '}}}}}}",
    "{name: two values, events: [contact.created, {event: contact.created, set: {attrs.source_id: 99}}], expect: {leads: {count: 2}}}",
    "{name: the last, events: [contact.updated, {event: contact.updated, set: {attrs.firstname: Zoe}}], expect: {leads: {text: Zoe, count: 1}}}",
    "{name: two keys, events: [contact.updated, {event: contact.updated, set: {attrs.id: 7}}], expect: {leads: {count: 2}}}",
    "{name: once, events: [source.created, source.created], expect: {leads: {count: 1}}}",
    "{name: at night, event: status.created, now: 2026-11-30T22:00:00+01:00, expect: {leads: {waits_until: tue 09:00}}}",
    "{name: by day, event: status.created, now: 2026-11-30T10:00:00+01:00, expect: {leads: {waits_until: none}}}",
    "{name: skipped, event: status.deleted, now: 2026-11-30T22:00:00Z, expect: []}",
    "{name: not skipped, event: status.deleted, now: 2026-11-30T10:00:00Z, expect: [leads]}",
    "{name: delayed, event: source.deleted, now: 2026-11-30T15:00:00Z, expect: {crm: {waits_until: 2026-11-30T15:10:00Z}}}",
    "{name: closed, event: source.deleted, now: 2026-11-30T08:00:00Z, expect: {crm: {waits_until: mon 06:00}}}",
]


@pytest.mark.parametrize("test", PASSING, ids=[each.partition("name: ")[2].partition(",")[0] for each in PASSING])
def test_a_test_about_time_passes(tmp_path, test):
    assert failed(tmp_path, test) == []


@pytest.mark.parametrize(
    ("test", "said"),
    [
        (
            "{name: x, event: status.created, now: 2026-11-30T22:00:00+01:00, expect: {leads: {waits_until: mon 09:00}}}",
            "  waits until Tue 09:00 (Europe/Berlin), expected until Mon 09:00",
        ),
        (
            "{name: x, event: status.created, now: 2026-11-30T22:00:00+01:00, expect: {leads: {waits_until: none}}}",
            "  waits until Tue 09:00 (Europe/Berlin), expected that it is sent at once",
        ),
        (
            "{name: x, event: status.created, now: 2026-11-30T10:00:00+01:00, expect: {leads: {waits_until: 2026-11-30T10:00:00Z}}}",
            "  it is sent at once, expected until 2026-11-30T10:00:00.000Z",
        ),
        (
            "{name: x, event: contact.created, now: 2026-12-02T10:00:00+01:00, expect: {leads: {waits_until: none}}}",
            "  gathers until Mon 09:00 (Europe/Berlin), expected that it is sent at once",
        ),
    ],
)
def test_a_time_that_differs_is_said_with_the_one_expected(tmp_path, test, said):
    assert said in failed(tmp_path, test)


TRACKED = """
version: 1
sources: {{xobito: {{preset: xobito, secret: s3cret, track: 180d}}}}
destinations: {{leads: {{type: slack, url: https://hooks.slack.com/services/T0/B0/x}}}}
routes:
  - {{name: qualified, match: contact.updated, where: {{attrs.status_id: {{changed: {{to: 3}}}}}}, to: leads, text: "{{{{ before.status_id }}}} {{{{ record.firstname }}}}"}}
  - name: day
    match: contact.*
    where: {{attrs.phone: {{changed: true}}}}
    to: leads
    digest: {{every: 1h}}
    text: "{{% for each in events %}}{{% for one in each.changes %}}{{{{ one.name }}}} {{{{ one.before }}}} {{{{ one.after }}}} {{% endfor %}}{{% endfor %}}"
  - {{name: rest, to: []}}
tests:
  - {test}
"""


def changes(*fields):
    return ", ".join(f"{{event: contact.updated, set: {{payload.data.attributes: {{{each}}}}}}}" for each in fields)


TRACKING = [
    f"{{name: one after the other, events: [{changes('id: 1, status_id: 1, firstname: Ada', 'id: 1, status_id: 3', 'id: 1, status_id: 3')}], expect: {{leads: {{text: 1 Ada, count: 1}}}}}}",
    f"{{name: each record for itself, events: [{{event: contact.updated, set: {{payload.data.id: 7, attrs.status_id: 1}}}}, {changes('id: 1, status_id: 3')}], expect: []}}",
    "{name: what is written counts, events: [{event: contact.updated, set: {attrs.status_id: 1}}, {event: contact.updated, set: {attrs.status_id: 3}, before: {status_id: 3}}], expect: []}",
    "{name: before the first, events: [{event: contact.updated, set: {payload.data.attributes: {status_id: 2}}, before: {status_id: 1, firstname: Bea}}, {event: contact.updated, set: {payload.data.attributes: {status_id: 3}}}], expect: {leads: {text: 2 Bea, count: 1}}}",
    f"{{name: a digest of changes, events: [{changes('id: 1, phone: a', 'id: 1, phone: b', 'id: 1, phone: c')}], expect: {{leads: {{text: 'phone a b phone b c ', count: 1}}}}}}",
]


@pytest.mark.parametrize("test", TRACKING, ids=[each.partition("name: ")[2].partition(",")[0] for each in TRACKING])
def test_each_event_of_a_test_comes_on_top_of_those_before_it_about_its_record(tmp_path, test):
    (tmp_path / "routes.yaml").write_text(TRACKED.format(test=test))
    config = load(tmp_path / "routes.yaml", environ={})
    assert failures(config, config.tests[0], tmp_path) == []


def test_the_shadows_of_every_event_are_kept(tmp_path):
    text = TRACKED.format(test="{name: x, event: status.created, expect: []}")
    shadow = '  - {name: tried, match: contact.*, to: leads, shadow: true, text: "{{ attrs.firstname }}"}\n'
    (tmp_path / "routes.yaml").write_text(text.replace("  - {name: rest", f"{shadow}  - {{name: rest"))
    config = load(tmp_path / "routes.yaml", environ={})
    source, body = config.sources["xobito"], BODY.decode()
    bodies = [body.replace("John", name).encode() for name in ("Ada", "Bob")]
    found = together(config, [rehearse(config, source, each, sender_headers(source, each), 0.0) for each in bodies])
    assert [json.loads(each.request.body)["text"] for each in found.shadows] == ["Ada", "Bob"]
    assert "tried" not in {each.route for each in found.deliveries}
