"""A test that fails says which clauses did not hold, what is meant by a missing field, and how to see all of it."""

import shlex

import pytest

from gateway.rehearsal.expectations import failures, read
from tests.cli import command

HEAD = """\
version: 1
sources:
  github: {preset: github, secret: own-secret-of-tests}
  crm: {preset: xobito, secret: own-secret-of-tests}
destinations:
  slack: {type: slack, url: "https://hooks.slack.com/services/T0/B0/x0"}
  other: {type: slack, url: "https://hooks.slack.com/services/T0/B0/x1"}
routes:
  - {name: others, match: issues.*, to: [slack, other], text: hi}
"""
PUSH = "tests:\n  - {name: a test, source: github, event: push, expect: [slack]}\n"


def route(rest):
    return f"  - {{name: main, match: push, to: slack, text: hi, {rest}}}\n"


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def failing(folder, text):
    path = folder / "routes.yaml"
    path.write_text(HEAD + text)
    config = read(path)
    return list(failures(config, config.tests[0], folder))


@pytest.mark.parametrize(
    ("rest", "said"),
    [
        ("where: {payload.ref: main}", 'payload.ref: main, but payload.ref is "refs/heads/main"'),
        ("where: {payload.pusher.name: Octo-Example}", 'payload.pusher.name: Octo-Example, but payload.pusher.name is "octo-example"'),
        ("where: {payload.forced: true}", "payload.forced: true, but payload.forced is false"),
        ("where: {payload.reff: main}", 'payload.reff: main, but the event has no payload.reff (did you mean "payload.ref"?)'),
        ("where: {payload.zzz: main}", "payload.zzz: main, but the event has no payload.zzz"),
        ("where: {payload.repository.id: {gt: 900000000}}", "payload.repository.id: {gt: 900000000}, but payload.repository.id is 186853002"),
        ("where: {any: [{payload.forced: true}, {payload.created: true}]}", "any: [{payload.forced: true}, {payload.created: true}] is false"),
        ("if: payload.size == 1", "if: payload.size == 1 is false"),
        ("where: {payload.ref: main, payload.forced: true}", 'payload.ref: main, but payload.ref is "refs/heads/main"; payload.forced: true, but payload.forced is false'),
    ],
)  # fmt: skip
def test_each_clause_that_did_not_hold_is_there_with_the_value_that_it_saw(tmp_path, rest, said):
    found = failing(tmp_path, route(rest) + PUSH)
    assert found[2:4] == ["missing: slack", f"  main (routes.yaml:10): {said}"]
    assert found[-1] == "see why: gateway explain push --source github"


def test_routes_for_other_events_are_named_if_no_other_route_sends_there(tmp_path):
    found = failing(tmp_path, PUSH.replace("[slack]", "[slack, other > main]").replace("other > main", "other"))
    said = '  others (routes.yaml:9): match: issues.*, but event.type is "push"'
    assert found[2:6] == ["missing: slack", said, "missing: other", said]


def test_a_route_that_was_not_checked_says_so(tmp_path):
    stops = "  - {name: stops, match: push, to: []}\n"
    found = failing(tmp_path, stops + route("where: {payload.ref: main}") + PUSH)
    assert "  main (routes.yaml:11): not checked: an earlier entry matched" in found


def test_a_field_that_is_meant_is_named_for_a_message_that_fails(tmp_path):
    text = route("enabled: true").replace("text: hi", 'text: "{{ payload.pusher.nmae }}"')
    found = failing(tmp_path, text + PUSH)
    assert found[0].endswith('payload.pusher.nmae: did you mean "payload.pusher.name"? (event type push)')
    found = failing(tmp_path, text.replace("nmae", "zzz") + PUSH)
    assert found[0].endswith('payload.pusher.zzz: write | default("...") (event type push)')


EVENTS = [
    'event: push, set: {payload.ref: it\'s, payload.a: "13", payload.b: 13, payload.c: [1, x], headers.x-a: b}',
    "event: push, headers: {x-a: 'b: c'}",
    'event: push, set: {payload.d: null, payload.e: true, payload.f: "true", payload.g: "{"}',
    "file: push.json, headers: {x-github-event: push}",
]


@pytest.mark.parametrize("given", EVENTS)
def test_the_command_can_be_pasted_and_shows_the_same_event(tmp_path, given):
    (tmp_path / "push.json").write_text('{"ref": "x", "a": "13"}')
    expression = "payload.a == '13' and payload.b == 13 or payload.g == '{' and payload.f == 'true' or headers.x_a == 'b: c' or payload.ref == 'x'"
    where = route(f'if: "{expression}"')
    test = f"tests:\n  - {{name: a test, source: github, {given}, expect: [other]}}\n"
    found = failing(tmp_path, where + test)
    assert "but it goes to slack (by main)" in found
    pasted = shlex.split(found[-1].removeprefix("see why: "))
    done = command.run(*pasted[1:], cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, ""), done
    assert "main > slack" in done.stdout


@pytest.mark.parametrize(
    "given",
    ["payload: {ref: a}, headers: {x-github-event: push}", "event: push, unset: [payload.ref]", "event: push, now: 2026-11-30T08:00:00Z"],
)  # fmt: skip
def test_no_command_is_shown_that_would_explain_another_event(tmp_path, given):
    test = f"tests:\n  - {{name: a test, source: github, {given}, expect: [slack]}}\n"
    assert not any("see why" in line for line in failing(tmp_path, test))


def test_the_command_names_the_configuration_where_it_runs(tmp_path):
    (tmp_path / "routes").mkdir()
    found = failing(tmp_path / "routes", PUSH)
    assert found[-1] == "see why: gateway explain push --source github --config routes/routes.yaml"
