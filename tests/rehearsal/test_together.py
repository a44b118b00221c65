"""Tests of a file about time: a clock that stands, several events, what waits, gathers and is skipped."""

import pytest

from gateway.config import load
from gateway.rehearsal.expectations import failures

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
