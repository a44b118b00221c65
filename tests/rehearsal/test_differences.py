"""What two files make of one event: which requests only one of them makes, and in what the others differ."""

import hashlib
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.config import load
from gateway.errors import NameGone
from gateway.model import Delivery, Event
from gateway.rehearsal.differences import MOST_LINES, compare, shortened
from gateway.rehearsal.expectations import failures
from gateway.rehearsal.explained import explained
from gateway.rehearsal.rehearse import rehearse
from tests.world import BODY

HEAD = """version: 1
sources: {xobito: {preset: xobito, secret: s3cret, redact: [attrs.email]}}
destinations:
  crm: {url: "https://crm.example/api", auth: {bearer: a-long-hidden-token}}
  archive: {type: file, path: archive.ndjson}
"""
ROUTES = HEAD + "routes: [{name: to-crm, match: contact.*, to: crm, body: {id: '{{ attrs.id }}'}}]\n"


def configured(folder, text, name="routes.yaml"):
    (folder / name).write_text(text, "utf-8")
    return load(folder / name, environ={})


def event(body: bytes = BODY, **changes) -> Event:
    known = {"id": "evt_1", "source": "xobito", "type": "contact.created", "received_at": 1_000.0}
    headers = {"content-type": "application/json"}
    return Event(**{**known, "headers": headers, "body": body, "sha256": hashlib.sha256(body).digest(), **changes})


def differing(folder, old, new, given=None):
    found = compare(configured(folder, old), configured(folder, new, "new.yaml"), given or event())
    return found, [(each.kind, each.route, each.destination) for each in found.differences]


def test_a_file_that_only_looks_different_makes_the_same_requests(tmp_path):
    renamed = ROUTES.replace("to-crm", "customers").replace("contact.*", "'**'")
    found, kinds = differing(tmp_path, ROUTES, "# tidied\n" + renamed)
    assert (kinds, found.same) == ([], 1)


@pytest.mark.parametrize(
    ("new", "kinds", "lines"),
    [
        pytest.param(
            ROUTES.replace("'{{ attrs.id }}'", "'{{ attrs.id }}', name: '{{ attrs.firstname }}'"),
            [("changed", "to-crm", "crm")],
            ['+   "name": "John"'],
            id="a-body-has-one-more-field",
        ),
        pytest.param(
            ROUTES.replace("to: crm,", "to: crm, path: /people, method: PUT,"),
            [("changed", "to-crm", "crm")],
            ["- POST https://crm.example/api", "+ PUT https://crm.example/api/people"],
            id="another-address",
        ),
        pytest.param(
            ROUTES.replace("to: crm,", "to: [crm, archive],"),
            [("added", "to-crm", "archive")],
            ["+ a line in archive.ndjson"],
            id="one-destination-more",
        ),
        pytest.param(
            ROUTES.replace("contact.*", "status.*"),
            [("removed", "to-crm", "crm")],
            ["- POST https://crm.example/api"],
            id="a-route-that-no-longer-matches",
        ),
        pytest.param(
            ROUTES.replace("'{{ attrs.id }}'", "'{{ attrs.nowhere }}'"),
            [("changed", "to-crm", "crm")],
            ["+ dead: ", "attrs.nowhere"],
            id="a-template-that-fails",
        ),
        pytest.param(
            ROUTES.replace("a-long-hidden-token", "another-hidden-token"),
            [("changed", "to-crm", "crm")],
            ["a value that is not shown"],
            id="another-token",
        ),
        pytest.param(
            ROUTES.replace("preset: xobito,", "preset: xobito, type: 'x.{payload.event}',"),
            [("removed", "to-crm", "crm")],
            [],
            id="a-source-that-names-its-events-in-another-way",
        ),
        pytest.param(
            ROUTES.replace("xobito: {", "other: {"),
            [("removed", "to-crm", "crm")],
            [],
            id="a-source-that-is-gone",
        ),
    ],
)
def test_each_request_that_differs_is_named_with_the_lines_that_do(tmp_path, new, kinds, lines):
    found, seen = differing(tmp_path, ROUTES, new)
    assert seen == kinds
    text = "\n".join(found.differences[0].lines)
    for line in lines:
        assert line in text
    assert "hidden-token" not in json.dumps(found.document())


FAILING = {
    "a content": "body: {id: '{{ attrs.nowhere }}'}",
    "choose": "choose: [{if: attrs.nowhere, body: {}}]",
    "a look-up": "fetch: {person: {from: crm, path: '/{{ attrs.nowhere }}'}}\n    body: {}",
}
FILE = HEAD + "routes:\n  - name: to-crm\n    match: contact.*\n    to: crm\n    {what}\n"


def written(what):
    return FILE.replace("{what}", what)


@pytest.mark.parametrize("what", FAILING.values(), ids=FAILING)
def test_what_fails_in_both_files_for_one_reason_is_the_same_wherever_it_is_written(tmp_path, what):
    found, kinds = differing(tmp_path, written(what), "# a line above it\n" + written(what))
    assert (kinds, found.same) == ([], 1)
    found, kinds = differing(tmp_path, written(what), written(what.replace("nowhere", "elsewhere")))
    assert kinds == ([] if what.startswith("choose") else [("changed", "to-crm", "crm")])


PERSON = "fetch: {person: {from: crm, path: /search, query: {term: '{{ attrs.email }}'}}}\n    "


@pytest.mark.parametrize(
    ("old", "new", "lines"),
    [
        pytest.param(
            "body: {a: 1}",
            "choose: [{if: attrs.type == 'customer', body: {a: 1}}]",
            ["+ discarded: no element of choose holds (new.yaml:"],
            id="it is discarded from now on",
        ),
        pytest.param(
            "choose: [{if: attrs.type == 'customer', body: {a: 1}}]",
            "body: {a: 1}",
            ["- discarded: no element of choose holds (routes.yaml:", "+ POST https://crm.example/api"],
            id="it is no longer discarded",
        ),
        pytest.param(
            "body: {a: 1}",
            PERSON + "body: {a: 1}",
            ["+ fetch person: GET https://crm.example/api/search?term="],
            id="it looks something up first",
        ),
        pytest.param(
            PERSON + "body: {a: 1}",
            PERSON.replace("/search", "/find") + "body: {a: 1}",
            ["- fetch person: GET https://crm.example/api/search", "+ fetch person: GET https://crm.example/api/find"],
            id="it looks elsewhere",
        ),
        pytest.param(
            PERSON + "body: {a: 1}",
            PERSON + "body: {a: '{{ person.id }}'}",
            ["+ not shown: it depends on what person finds"],
            id="what is sent depends on what is found",
        ),
    ],
)
def test_what_is_discarded_and_what_is_looked_up_are_compared_too(tmp_path, old, new, lines):
    found, kinds = differing(tmp_path, written(old), written(new))
    assert kinds == [("changed", "to-crm", "crm")]
    text = "\n".join(found.differences[0].lines)
    assert [each for each in lines if each not in text] == []
    assert "john" not in json.dumps(found.document())
    assert "hidden-token" not in json.dumps(found.document())


def test_a_discard_and_a_look_up_that_are_the_same_in_both_files_are_no_difference(tmp_path):
    for what in ("choose: [{if: attrs.type == 'customer', body: {a: 1}}]", PERSON + "body: {a: 1}"):
        assert differing(tmp_path, written(what), written(what))[1] == []


def test_what_the_source_redacts_is_in_no_difference(tmp_path):
    body = BODY.replace(b'"firstname":"John"', b'"firstname":"secret-mail@example.com"')
    new = ROUTES.replace("'{{ attrs.id }}'", "'{{ attrs.id }}', mail: '{{ attrs.email }}'")
    email = json.loads(BODY)["data"]["attributes"].get("email", "john@example.com")
    found, kinds = differing(tmp_path, ROUTES, new, event(body))
    assert kinds == [("changed", "to-crm", "crm")]
    assert email not in json.dumps(found.document())


def test_once_counts_as_not_fired_in_both_files(tmp_path):
    new = ROUTES.replace("to: crm,", "to: crm, once: {per: '{{ attrs.id }}'},")
    assert differing(tmp_path, ROUTES, new)[1] == []


def test_an_event_that_cannot_be_read_or_belongs_to_no_source_says_so(tmp_path):
    assert "cannot be read" in differing(tmp_path, ROUTES, ROUTES, event(b"{"))[0].why_not
    assert "neither file" in differing(tmp_path, ROUTES, ROUTES, event(source="gone"))[0].why_not


def test_a_body_of_very_many_lines_is_not_compared_line_by_line(tmp_path):
    text = "\n".join(map(str, range(MOST_LINES + 1)))
    new = ROUTES.replace("body: {id: '{{ attrs.id }}'}", "template: long.txt.j2")
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates" / "long.txt.j2").write_text(text)
    (tmp_path / "templates" / "other.txt.j2").write_text(text + "x")
    found, _ = differing(tmp_path, new, new.replace("long.txt", "other.txt"))
    assert "too many to compare" in found.differences[0].lines[0]
    shown = shortened(["y" * 1000, *map(str, range(100))], 10)
    assert (len(shown), len(shown[0]), shown[-1]) == (11, 301, "… 91 more lines")


@settings(max_examples=60, deadline=None)
@given(body=st.just(BODY) | st.binary(max_size=200) | st.recursive(st.none() | st.text(), lambda each: st.lists(each) | st.dictionaries(st.text(), each)).map(lambda value: json.dumps(value).encode()))  # fmt: skip
def test_any_body_is_compared_or_says_why_not(tmp_path_factory, body):
    folder = tmp_path_factory.mktemp("any")
    found, kinds = differing(folder, ROUTES, ROUTES.replace("id: ", "key: "), event(body))
    alone, _ = differing(folder, ROUTES, HEAD, event(body))
    if found.why_not:
        assert (kinds, found.same, alone.why_not) == ([], 0, found.why_not)
    else:
        [made] = alone.differences
        # What fails in both files for the same reason is the same.
        assert (kinds, found.same) == (([], 1) if made.before["error"] else ([("changed", "to-crm", "crm")], 0))
    json.dumps(found.document())


# --- shadow: true ---

SHADOWED = (
    ROUTES
    + """\
  - {name: next, match: contact.created, to: archive, stop: true, shadow: true, body: {name: "{{ attrs.firstname }}"}}
unmatched: [{to: archive}]
"""
).replace(ROUTES, ROUTES.replace("routes: [", "routes:\n  - ").replace("}}]\n", "}}\n"))


def test_a_shadow_route_sends_nothing_and_changes_nothing_for_the_others(tmp_path):
    config = configured(tmp_path, SHADOWED)
    source = config.sources["xobito"]
    played = rehearse(config, source, BODY, [(b"content-type", b"application/json")], 0.0)
    assert [(each.route, each.destination) for each in played.deliveries] == [("to-crm", "crm")]
    assert [(each.route, each.destination) for each in played.shadows] == [("next", "archive")]
    # An event that only the shadow would match is unmatched.
    only = configured(tmp_path, SHADOWED.replace("contact.*", "status.*"))
    played = rehearse(only, only.sources["xobito"], BODY, [(b"content-type", b"application/json")], 0.0)
    assert [each.destination for each in played.deliveries] == ["archive"]


def test_explain_shows_what_a_shadow_would_send(tmp_path):
    config = configured(tmp_path, SHADOWED)
    played = rehearse(config, config.sources["xobito"], BODY, [(b"content-type", b"application/json")], 0.0)
    shown = explained(config, played)
    assert [each["name"] for each in shown["entries"] if each["shadow"]] == ["next"]
    [shadow] = shown["shadows"]
    assert shadow["request"]["line"]["body"] == {"name": "John"}


@pytest.mark.parametrize(
    ("expect", "said"),
    [
        ("{crm: {json: {id: 451}}, next > archive: {json: {name: John}}}", ""),
        ("[crm]", ""),
        ("{crm: {}, next > archive: {json: {name: Jane}}}", "not the expected JSON"),
        ("[crm, archive]", "missing: archive"),
    ],
)
def test_a_test_can_check_a_shadow_by_its_route(tmp_path, expect, said):
    text = SHADOWED + f"tests: [{{name: t, event: contact.created, expect: {expect}}}]\n"
    config = configured(tmp_path, text)
    found = "\n".join(failures(config, config.tests[0], tmp_path))
    assert said in found
    assert bool(said) == bool(found)


def test_a_delivery_that_waits_for_a_route_that_is_now_a_shadow_says_what_to_do(tmp_path):
    config = configured(tmp_path, SHADOWED)
    waiting = Delivery(id="dlv_1", event_id="evt_1", route="next", destination="archive")
    with pytest.raises(NameGone, match='is a shadow now and sends nothing: remove "shadow" and replay'):
        config.built(waiting, event(), json.loads(BODY))
