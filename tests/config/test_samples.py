"""What ``check`` knows of the events of a source: documented ones, a user's own, and those of tests."""

import json

import pytest

from gateway.config import load
from gateway.config.samples import Known
from gateway.errors import ConfigError
from gateway.presets import load as load_preset
from gateway.rehearsal.expectations import failures, read
from gateway.routing.sources import Source

HEAD = "version: 1\nsources:\n  app: {preset: %s, secret: own-secret-of-the-tests%s}\n"
TO = "destinations:\n  log: {type: file, path: log.ndjson}\n"
ANY_SENDER = ["basic", "bearer", "header-token", "hmac-sha256", "standard-webhooks", "svix", "url-secret"]


@pytest.fixture
def loaded(tmp_path):
    def load(text, preset="bearer", more=""):
        (tmp_path / "routes.yaml").write_text(HEAD % (preset, more) + TO + text)
        return read(tmp_path / "routes.yaml")

    return load


def warnings(config):
    return [problem.message for problem in config.warnings]


@pytest.mark.parametrize("preset", ANY_SENDER)
def test_nothing_is_warned_of_where_nothing_is_known(loaded, preset):
    text = "routes: [{match: order.paid, where: {payload.order.total: 5, payload.a: b}, to: log, once: {per: '{{ event.id }}'}}]"
    assert warnings(loaded(text, preset)) == []


def test_the_event_of_a_test_counts_as_a_sample(loaded):
    routes = "routes: [{match: contact.archived, where: {payload.reason: old}, to: log}]\n"
    [warning] = warnings(loaded(routes, "xobito"))
    assert warning == '"routes/log" matches no sample event of its sources'
    tests = "tests: [{name: a, payload: {event: contact.archived, reason: old}, expect: [log]}]"
    assert warnings(loaded(routes + tests, "xobito")) == []


def test_a_test_of_one_type_says_nothing_about_others(loaded):
    text = "routes: [{match: a.b, to: log}, {name: c, where: {payload.x.y: 5}, to: log}]\n"
    tests = "tests: [{name: a, payload: {type: a.b}, expect: [log]}]"
    assert warnings(loaded(text + tests)) == []


def test_the_samples_of_a_source_that_tracks_are_parsed_once(loaded, tmp_path, monkeypatch):
    (tmp_path / "samples").mkdir()
    for number in range(30):
        body = {
            "event": "note.created",
            "model": "Note",
            "event_type": "created",
            "data": {"id": number, f"field{number}": 1},
        }
        (tmp_path / "samples" / f"note.{number}.json").write_text(json.dumps(body))
    parsed = []
    received = Source.received
    monkeypatch.setattr(
        Source, "received", lambda *given, **more: (parsed.append(given[0].name), received(*given, **more))[1]
    )
    config = loaded("", "xobito", ", samples: samples, track: 180d")
    assert parsed.count("app") == len(config.sources["app"].samples)
    known = Known(config.sources, (), tmp_path).documented["app"]
    [one] = [each for each in known if each.facts["payload"]["data"].get("field7") and not each.called.endswith(")")]
    assert set(one.facts["before"]) > {f"field{number}" for number in range(30)}, "what the others of its kind have"


def test_samples_of_ones_own_are_added_to_those_of_the_preset_and_replace_them(loaded, tmp_path):
    own = tmp_path / "samples" / "sub"
    own.mkdir(parents=True)
    (tmp_path / "samples" / "contact.created.json").write_text('{"event": "contact.created", "data": {"mine": 1}}')
    (own / "order.paid.form").write_text("event=order.paid&total=5")
    (own / "README.md").write_text("not an event")
    request = {"headers": [["X-A", "b"]], "body_base64": "eyJldmVudCI6ICJhLmIifQ=="}
    (own / "sent.request.json").write_text(json.dumps(request))
    source = loaded("", "xobito", ", samples: samples").sources["app"]
    assert json.loads(source.samples["contact.created"])["data"] == {"mine": 1}
    assert {"contact.updated", "sub/order.paid", "sub/sent"} < {*source.samples}
    assert source.sample_headers["sub/order.paid"] == {"content-type": "application/x-www-form-urlencoded"}
    assert source.sample_headers["sub/sent"] == {"content-type": "application/json", "x-a": "b"}
    known = Known({"app": source}, (), tmp_path)
    assert {"contact.created", "contact.updated", "order.paid", "a.b"} <= known.types(["app"])


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.request.json", "{}", 'samples of "app": a.request.json is not a request as gateway sign --json prints it'),
        ("a.json", " " * 2000, 'samples of "app": a.json is larger than max_body'),
        ("a.md", "", 'no sample of "app" is in samples/'),
    ],
)
def test_a_sample_that_cannot_be_read_is_a_warning(loaded, tmp_path, name, content, message):
    (tmp_path / "samples").mkdir()
    (tmp_path / "samples" / name).write_text(content)
    assert message in warnings(loaded("always: [{to: log}]", more=", samples: samples, max_body: 1KiB"))


@pytest.mark.parametrize("content", ["{", "\x00", "[]", '{"type": {"a": 1}}', "[" * 200])
def test_any_sample_loads(loaded, tmp_path, content):
    (tmp_path / "samples").mkdir()
    (tmp_path / "samples" / "a.json").write_text(content)
    loaded("routes: [{match: a, where: {payload.a: 5}, to: log}]", more=", samples: samples")


def test_a_test_may_use_a_sample_of_ones_own(loaded, tmp_path):
    (tmp_path / "samples").mkdir()
    (tmp_path / "samples" / "paid.json").write_text(
        '{"type": "order.paid", "items": [{"price": "9.50"}, {"price": "12"}]}'
    )
    where = "{'payload.items[*].price': {number: true, between: [10, 20]}}"
    config = loaded(
        f"routes: [{{match: order.*, where: {where}, to: log}}]\n"
        "tests:\n"
        "  - {name: dear, event: paid, expect: [log]}\n"
        "  - {name: cheap, event: paid, set: {'payload.items[1].price': '9'}, expect: []}\n",
        more=", samples: samples",
    )
    assert [failures(config, test, tmp_path) for test in config.tests] == [[], []]


MISSPELT = """
routes:
  - {name: where, match: contact.created, where: {attrs.firstnme: John}, to: log}
  - {name: text, match: contact.created, to: log, text: "{{ attrs.emial }} {{ attrs.nothing_like_it }}"}
  - {name: absent, match: contact.created, to: log, text: "{{ attrs.nothing_like_it }}"}
"""


def test_a_misspelt_field_is_answered_with_the_right_one_before_a_default_is(loaded):
    found = [f"{each.message} ({each.hint})" for each in loaded(MISSPELT, "xobito").warnings]
    assert (
        'no sample of contact.created has attrs.firstnme, so the route never matches (did you mean "attrs.firstname"?)'
        in found
    )
    assert any('the event has no field attrs.emial: did you mean "attrs.email"?' in each for each in found)
    assert any(
        "no sample of contact.created has attrs.nothing_like_it (name a field that exists" in each for each in found
    )


@pytest.mark.parametrize(
    ("root", "said"),
    [
        *[(root, "no sample of contact.created has") for root in ("attrs", "payload")],
        # Samples do not show what else a request has.
        *[(root, "contact.created may lack") for root in ("headers", "query", "envelope", "vars")],
    ],
)
def test_a_field_that_no_sample_has_is_a_warning_below_every_root(loaded, root, said):
    entry = f"routes:\n  - {{name: all, match: contact.created, to: log, text: '{{{{ {root}.absent }}}}'}}\n"
    assert f"{said} {root}.absent" in warnings(loaded(entry, "xobito"))


def test_an_unset_variable_hides_no_warning(tmp_path):
    source = "version: 1\nsources: {app: {preset: xobito, secret: '${NOT_SET}'}}\n"
    (tmp_path / "routes.yaml").write_text(source + TO + MISSPELT)
    with pytest.raises(ConfigError) as caught:
        load(tmp_path / "routes.yaml", environ={})
    *found, unset = caught.value.problems
    assert unset.message.startswith("not set: NOT_SET")
    made_up = load(tmp_path / "routes.yaml", environ={}, no_env=True).warnings
    assert len(found) == 4
    assert tuple(found) == made_up


UNTYPED = """version: 1
sources:
  github: {preset: github, secret: s3cret-of-sixteen-characters, samples: samples}
destinations: {log: {type: file, path: log.ndjson}}
routes: [{name: push, match: push, to: log}]
tests:
  - {name: a file, file: samples/mine.json, expect: [log]}
  - {name: a payload, payload: {ref: main}, expect: [log]}
  - {name: a sample of the preset, event: push, expect: [log]}
  - {name: with its header, file: samples/mine.json, headers: {x-github-event: push}, expect: [log]}
"""


@pytest.fixture
def untyped(tmp_path):
    (tmp_path / "samples").mkdir()
    body = load_preset("github").samples["push"]
    (tmp_path / "samples/mine.json").write_bytes(body)
    request = {"method": "POST", "headers": [["X-GitHub-Event", "push"]], "body": body.decode()}
    (tmp_path / "samples/whole.request.json").write_text(json.dumps(request))
    (tmp_path / "routes.yaml").write_text(UNTYPED)
    return load(tmp_path / "routes.yaml", environ={})


def test_an_event_without_the_header_that_says_its_type_is_warned_of(untyped):
    said = [(each.place.line, f"{each.message}: {each.hint}") for each in untyped.warnings]
    remedy = "its type is in the header x-github-event: save the event with its headers, as NAME.request.json"
    of_test = (
        "has no type, which is in the header x-github-event: add headers: {x-github-event: ...}, for example check_run"
    )
    assert said == [
        (3, f'the sample mine of "github" has no type: {remedy}'),
        (7, f'the event of the test "a file" {of_test}'),
        (8, f'the event of the test "a payload" {of_test}'),
    ]


def test_a_test_that_fails_because_its_event_has_no_type_says_so(untyped, tmp_path):
    found = [failures(untyped, each, tmp_path) for each in untyped.tests]
    assert [bool(each) for each in found] == [True, True, False, False]
    assert (
        "its event has no type, which is in the header x-github-event: add headers: {x-github-event: ...}, for example check_run"
        in found[0]
    )
