"""What a test of routes.yaml asks of an event, and what it says when that is not so."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.rehearsal.comparing import lacking, same
from gateway.rehearsal.expectations import failures, read

FILE = """\
version: 1
sources:
  xobito: {preset: xobito, secret: "${SECRET}"}
destinations:
  slack: {type: slack, url: "https://hooks.slack.example/services/T0/hidden"}
  crm: {url: "${CRM_URL}/v1", auth: {bearer: hidden-token}, headers: {x-mode: fast}}
  archive: {type: file, path: a.ndjson}
  rest: {url: https://rest.example}
routes:
  - {name: quiet, match: message.*, to: []}
  - name: told
    match: contact.created
    to: slack
    text: |
      New "{{ attrs.firstname }}"
      from {{ attrs.company }} at {{ event.received_at }}
  - {name: kept, match: contact.created, to: archive}
  - name: put
    match: contact.updated
    to: crm
    method: PUT
    path: /contacts/{{ attrs.id }}
    body:
      id: "{{ attrs.id }}"
      name: "{{ attrs.firstname }}"
      is_customer: true
      groups: [1, {n: 2}]
  - {name: said, match: contact.updated, to: crm, text: updated}
  - {name: copied, match: contact.deleted, to: [rest, archive]}
  - {name: altered, match: contact.deleted, to: crm, body: "{{ payload }}"}
  - {name: plain, match: status.*, to: rest, template: note.txt.j2}
unmatched: [{to: rest}]
tests:
"""
CREATED = "event: contact.created, expect"
UPDATED = "event: contact.updated, expect"
DELETED = "event: contact.deleted, expect"
BODY = "{id: 451, name: John, is_customer: true, groups: [1, {n: 2}]}"


@pytest.fixture
def fails(tmp_path):
    """What is wrong with the test that is written as a flow map, in lines."""
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates" / "note.txt.j2").write_text("Status {{ attrs.name }}")
    (tmp_path / "broken.json").write_text('{"event": ')
    (tmp_path / "event.json").write_text(
        '{"event": "created",  "model": "Contact", "data": {"attributes": {"firstname": "Eve", "company": "X"}}}'
    )

    def run(test: str) -> list[str]:
        path = tmp_path / "routes.yaml"
        path.write_text(f"{FILE}  - {{name: t, {test}}}\n", "utf-8")
        config = read(path)
        [only] = config.tests
        return list(failures(config, only, tmp_path))

    return run


def ids(cases):
    return [pytest.param(*case, id=case[0]) for case in cases]


@pytest.mark.parametrize(
    "test",
    [
        f"{CREATED}: [slack, archive]",
        f"{CREATED}: {{slack: {{}}, archive: verbatim}}",
        f"{CREATED}: {{told > slack: {{count: 1}}, kept > archive: {{}}}}",
        # What it says is read as people read it: a quote in JSON text is a quote.
        f"{CREATED}: {{archive: {{}}, slack: {{contains: 'New \"John\"'}}}}",
        f"{CREATED}: {{archive: {{}}, slack: {{contains: '\"unfurl_links\":false'}}}}",
        f"{CREATED}: {{archive: {{}}, slack: {{contains: [John, 2026-01-01T00:00:00], not_contains: [Jane, Bob]}}}}",
        f'{CREATED}: {{archive: {{}}, slack: {{text: "New \\"John\\"\\nfrom Demo Co at 2026-01-01T00:00:00.000Z"}}}}',
        f"{CREATED}: {{slack: {{}}, archive: {{json_contains: {{data: {{attributes: {{group_id: [2]}}}}}}}}}}",
        f"{UPDATED}: {{crm: {{method: PUT, url: https://crm.example/v1/contacts/451}}}}",
        f"{UPDATED}: {{crm: {{count: 2, json: {BODY}}}}}",
        f"{UPDATED}: {{put > crm: {{json_contains: {{groups: [{{n: 2}}]}}}}, said > crm: {{text: updated}}}}",
        f"{UPDATED}: {{crm: {{headers: {{Content-Type: application/json, authorization: Bearer hidden-token}}}}}}",
        f"{UPDATED}: {{crm: {{json: {{text: updated}}}}}}",
        # A line without a route says what holds beside those that name one.
        f"{UPDATED}: {{crm: {{count: 2, not_contains: Jane}}, put > crm: {{}}, said > crm: {{}}}}",
        f"{UPDATED}: {{put > crm: {{json_contains: {{groups: [{{}}]}}}}, said > crm: {{}}}}",
        f"{DELETED}: {{rest: verbatim, archive: verbatim, crm: {{}}}}",
        "event: contact.deleted, set: {attrs.phone: null}, expect: {rest: verbatim, archive: verbatim, crm: {}}",
        "event: status.created, expect: {rest: {text: Status Qualified, headers: {content-type: text/plain; charset=utf-8}}}",
        "event: source.created, expect: [rest]",
        "event: message.read, expect: ignored",
        "event: message.read, expect: []",
        "file: broken.json, expect: rejected",
        "file: event.json, expect: {slack: {contains: Eve}, archive: {contains: '\"X\"'}}",
        "payload: {event: any, data: [1, 2.5, null, true]}, expect: {rest: verbatim}",
        "payload: {event: a, data: [1, 2]}, set: {payload.data.1: 3}, unset: [payload.data.0], expect: {rest: {json: {event: a, data: [3]}}}",
        "event: contact.created, unset: [attrs.company], expect: {failed: the event has no field attrs.company}",
    ],
)  # fmt: skip
def test_what_is_so_passes(fails, test):
    assert fails(test) == []


@pytest.mark.parametrize(
    ("test", "said"),
    [
        pytest.param(
            f"{CREATED}: [slack, crm]",
            [
                "expected deliveries to slack, crm",
                "but it goes to slack (by told), archive (by kept)",
                "missing: crm",
                "not expected: archive (by kept)",
            ],
            id="other destinations",
        ),
        pytest.param(
            f"{UPDATED}: {{put > crm: {{}}}}",
            ["not expected: crm (by said)"],
            id="another route to the same destination",
        ),
        pytest.param(
            f"{UPDATED}: [crm, put > crm]",
            ["not expected: crm (by said): add a line said > crm"],
            id="a line without a route beside one with a route",
        ),
        pytest.param(
            f"{UPDATED}: {{crm: {{contains: updated, not_contains: John}}}}",
            ["crm (by put) is not as expected", 'it contains "John"', "sent:"],
            id="what one of several deliveries must not contain",
        ),
        pytest.param(
            "event: contact.updated, set: {attrs.id: 7}, expect: {said > crm: {}, put > crm: {json_contains: {groups: [{n: 2}, {n: 2}]}}}",
            ['groups has too few elements {"n": 2}: each expected element needs its own'],
            id="one element for two that are expected",
        ),
        pytest.param(
            f'{CREATED}: {{archive: {{}}, slack: {{url: "https://hooks.slack.example/services/T0/other"}}}}',
            ["url is https://hooks.slack.example/***, which differs from the expected url in a masked value"],
            id="a url that differs in what is masked",
        ),
        pytest.param(
            f"{CREATED}: []",
            ["expected no delivery", "but it goes to slack (by told), archive (by kept)"],
            id="none at all",
        ),
        pytest.param(
            "event: message.read, expect: [rest]",
            ["expected deliveries to rest", "but it goes nowhere", "missing: rest"],
            id="ignored",
        ),
        pytest.param(f"{UPDATED}: {{crm: {{count: 1}}}}", ["crm: count is 2, expected 1"], id="count"),
        pytest.param(
            f"{UPDATED}: {{put > crm: {{method: POST, url: https://crm.example/v1/contacts/7}}, said > crm: {{}}}}",
            [
                "method is PUT, expected POST",
                "url is      https://crm.example/v1/contacts/451",
                "expected    https://crm.example/v1/contacts/7",
            ],
            id="method and url",
        ),
        pytest.param(
            f"{UPDATED}: {{put > crm: {{headers: {{Content-Type: text/plain, x-none: a, authorization: no}}}}, said > crm: {{}}}}",
            [
                'header content-type is "application/json", expected "text/plain"',
                "header x-none is missing",
                "header authorization is not as expected (its value may be a secret: ***)",
            ],
            id="headers",
        ),
        pytest.param(
            f"{UPDATED}: {{put > crm: {{json: {{id: 451, name: Jane, is_customer: true, groups: [1, {{n: 2}}]}}}}, said > crm: {{}}}}",
            [
                "the body is not the expected JSON:",
                "--- expected",
                "+++ sent",
                '-  "name": "Jane"',
                '+  "name": "John"',
            ],
            id="json",
        ),
        pytest.param(
            f'{UPDATED}: {{put > crm: {{json_contains: {{id: "451", is_customer: 1, groups: [3], at: {{all: 1}}}}}}, said > crm: {{}}}}',
            [
                'id is 451, expected "451"',
                "is_customer is true, expected 1",
                "groups has no element 3",
                'at is missing, expected {"all": 1}',
                '"name": "John"',
            ],
            id="a part of the JSON",
        ),
        pytest.param(
            f"{CREATED}: {{archive: {{}}, slack: {{text: New Jane}}}}",
            ["the text is not as expected:", "-New Jane", '+New "John"'],
            id="text",
        ),
        pytest.param(
            f"{CREATED}: {{archive: {{}}, slack: {{contains: [John, Jane], not_contains: Demo Co}}}}",
            ['it does not contain "Jane"', "sent:", '"unfurl_links": false', 'it contains "Demo Co"'],
            id="contains",
        ),
        pytest.param(
            f"{CREATED}: {{slack: verbatim, archive: {{}}}}",
            ["the body is not what was received:", '-  "event": "created",'],
            id="verbatim",
        ),
        pytest.param(
            f"{DELETED}: {{rest: {{}}, archive: {{}}, crm: verbatim}}",
            ["the body is not what was received, although the JSON is equal"],
            id="verbatim but for its blanks",
        ),
        pytest.param(
            f"{CREATED}: {{slack: {{}}, archive: {{method: POST}}}}",
            ["archive is a file, without method, url and headers: check json or contains"],
            id="a file has no method",
        ),
        pytest.param(
            "event: status.created, expect: {rest: {json_contains: {a: 1}}}",
            ["the body is not JSON", "Status Qualified"],
            id="not JSON",
        ),
        pytest.param(
            "event: contact.created, unset: [attrs.company], expect: [slack, archive]",
            ["slack (by told) cannot be sent: routes.yaml:16: the event has no field attrs.company"],
            id="a delivery that fails",
        ),
        pytest.param(
            "event: contact.created, unset: [attrs.company], expect: {failed: timeout}",
            ['expected a delivery that fails with "timeout"', "cannot be sent: routes.yaml:16: the event has no field"],
            id="a delivery that fails for another reason",
        ),
        pytest.param(
            f"{CREATED}: ignored",
            [
                "expected it to be ignored: matched by a to: [] and sent by no other route",
                "but it goes to slack (by told)",
            ],
            id="not ignored",
        ),
        pytest.param(
            "event: source.created, expect: ignored",
            ["expected it to be ignored", "but it goes to rest (by unmatched/rest)"],
            id="unmatched is not ignored",
        ),
        pytest.param(f"{CREATED}: rejected", ["expected it to be rejected", "but it goes to slack"], id="not rejected"),
        pytest.param(
            "file: broken.json, expect: [rest]",
            ["expected deliveries to rest", "but it is rejected: the body is not valid JSON"],
            id="rejected",
        ),
        pytest.param(
            "file: nowhere.json, expect: rejected", ["file: nowhere.json: no such file or directory"], id="no file"
        ),
        pytest.param("file: templates, expect: rejected", ["file: templates: is a directory"], id="a folder"),
        pytest.param(
            "file: broken.json, set: {payload.a: 1}, expect: rejected",
            ["set and unset need a JSON event"],
            id="nothing to set in",
        ),
        pytest.param(
            "event: contact.created, set: {payload.event.a: 1}, expect: [slack]",
            ["set payload.event.a: there is no event.a to set"],
            id="set where something else is",
        ),
        pytest.param(
            "event: contact.created, unset: [attrs.fax], expect: [slack]",
            ["unset attrs.fax: there is no data.attributes.fax to unset"],
            id="unset what is not there",
        ),
    ],
)
def test_what_is_not_so_is_said(fails, test, said):
    found = fails(test)
    assert found
    rest = "\n".join(found)
    for words in said:
        _, there, rest = rest.partition(words)
        assert there, f"{words!r} is not there, or not behind the words before it, in\n" + "\n".join(found)
    assert "hidden" not in "\n".join(found)


def test_several_deliveries_to_one_destination_are_all_shown_when_none_of_them_holds(fails):
    found = fails(f"{UPDATED}: {{crm: {{text: nothing}}}}")
    assert [line for line in found if line.startswith("crm")] == [
        "crm (by put) is not as expected in routes.yaml:34:", "crm (by said) is not as expected in routes.yaml:34:"
    ]  # fmt: skip


def test_what_a_sender_wrote_cannot_steer_a_terminal(fails):
    found = fails(
        'event: contact.updated, set: {attrs.firstname: "\\e[31m\\u202e"}, expect: {put > crm: {contains: x}, said > crm: {}}'
    )
    assert found
    assert all(line.isprintable() for line in found)


# --- how JSON is compared ---

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=10,
)


@given(JSON)
def test_a_value_is_itself_and_contains_itself(value):
    assert same(value, json.loads(json.dumps(value)))
    assert list(lacking(value, json.loads(json.dumps(value)), "")) == []


@given(JSON, JSON)
def test_two_values_are_the_same_both_ways_round_and_then_each_contains_the_other(one, other):
    assert same(one, other) == same(other, one)
    if same(one, other):
        assert not list(lacking(one, other, ""))


@given(st.lists(st.sampled_from([1, 2, {"a": 1}, {"a": 1, "b": 2}, {}]), max_size=6), st.data())
def test_a_list_contains_any_selection_of_itself_and_never_one_element_twice(whole, data):
    part = [each for each in data.draw(st.permutations(whole)) if data.draw(st.booleans())]
    assert not list(lacking(part, whole, ""))
    assert list(lacking([*whole, {}], whole, ""))


def test_elements_are_paired_so_that_all_find_one():
    assert not list(lacking([{"a": 1}, {"a": 1, "b": 2}], [{"a": 1, "b": 2}, {"a": 1}], ""))


@given(st.dictionaries(st.text(max_size=5), JSON, min_size=1, max_size=4), st.data())
def test_a_map_contains_every_part_of_itself_and_nothing_more(whole, data):
    names = data.draw(st.sets(st.sampled_from(sorted(whole))))
    part = {name: whole[name] for name in names}
    assert not list(lacking(part, whole, ""))
    assert bool(list(lacking(whole, part, ""))) == (len(part) < len(whole))


@pytest.mark.parametrize(
    ("one", "other"), [(1, True), (0, False), (13, "13"), (None, False), ([], {}), ("", None), ([1], [1, 1])]
)
def test_types_are_not_mixed(one, other):
    assert not same(one, other)


def test_a_number_is_the_same_however_it_is_written():
    assert same(1, 1.0)


def test_nothing_of_the_environment_is_read(tmp_path: Path, monkeypatch):
    monkeypatch.setenv("CRM_URL", "https://real.example")
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates" / "note.txt.j2").write_text("x")
    (tmp_path / "routes.yaml").write_text(FILE + "  []\n", "utf-8")
    assert read(tmp_path / "routes.yaml").destinations["crm"].target.url == "https://crm.example/v1"


def test_the_example_of_the_documentation_says_what_it_says_there(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    page = (Path(__file__).parents[2] / "docs" / "how-to" / "write-a-test.md").read_text("utf-8")
    example = page.split("```yaml\n")[1].split("```")[0]
    path = tmp_path / "routes.yaml"
    path.write_text(example, "utf-8")
    config = read(path)
    assert [test.name for test in config.tests if failures(config, test, tmp_path)] == []
    assert all(f"ok    {test.name}\n" in page for test in config.tests)

    path.write_text(example.replace("    where: {attrs.type: lead}\n", ""), "utf-8")
    config = read(path)
    [_, test] = config.tests
    assert f"FAIL  {test.name} (routes.yaml:{test.place.line})\n" in page
    assert all(f"      {line}\n" in page for line in failures(config, test, tmp_path))


def test_a_route_that_fires_once_names_its_key_where_the_deliveries_are_not_the_expected_ones(tmp_path):
    path = tmp_path / "routes.yaml"
    path.write_text(
        "version: 1\nsources: {xobito: {preset: xobito, secret: s}}\n"
        "destinations: {crm: {url: https://crm.example}}\n"
        "routes:\n"
        "- {name: welcome, to: crm, once: {per: 'contact {{ attrs.id }}', for: 90d}}\n"
        "- {name: again, to: crm, once: {per: '{{ attrs.nothing }}'}}\n"
        "tests: [{name: t, event: contact.created, expect: []}]\n"
    )
    config = read(path)
    [said, came, first, second, *_] = failures(config, config.tests[0], tmp_path)
    assert (said, came) == ("expected no delivery", "but it goes to crm (by welcome), crm (by again)")
    assert first == "welcome: fires once in 90d for the key contact 451"
    assert second.startswith("again: the key of once cannot be rendered, so nothing is held back: ")
