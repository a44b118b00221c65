"""``fetch`` and ``choose``, compiled: what they ask of destinations, and which of these go together."""

import json
import re

import pytest

from gateway.config import load
from gateway.errors import ConfigError
from gateway.rehearsal.expectations import failures, read
from gateway.routing.changes import changed
from gateway.routing.lookups import PATIENCE_S

HEAD = """version: 1
sources: {xobito: {preset: xobito, secret: s3cret}}
destinations:
  crm: {url: "https://crm.example/api", timeout: 20s}
  billing: {url: "https://billing.example", timeout: 5s}
  stock: {url: "https://stock.example"}
  chat: {url: "https://chat.example", timeout: 7s}
  mail: {url: "https://mail.example"}
  alone: {url: "https://alone.example"}
routes:
"""


def fetching(name: str, to: str, *others: str) -> str:
    looked = ", ".join(f"{chr(97 + at)}: {{from: {each}, path: /x}}" for at, each in enumerate(others))
    return f"  - {{name: {name}, match: contact.created, to: [{to}], fetch: {{{looked}}}, body: {{}}}}\n"


@pytest.fixture
def loaded(tmp_path):
    def compiled(text: str, head: str = HEAD):
        (tmp_path / "routes.yaml").write_text(head + text)
        return load(tmp_path / "routes.yaml", environ={})

    return compiled


def test_destinations_that_are_joined_directly_or_over_others_have_one_group_and_the_others_none(loaded):
    routes = fetching("one", "chat", "crm") + fetching("two", "mail", "crm") + fetching("three", "billing", "stock")
    found = loaded(routes).destinations
    groups = {name: each.group for name, each in found.items()}
    assert groups == {
        "crm": "chat",
        "chat": "chat",
        "mail": "chat",
        "billing": "billing",
        "stock": "billing",
        "alone": "",
    }


@pytest.mark.parametrize(
    ("path", "right"),
    [
        ("a.body.id", "a.id"),
        ("a.json.items", "a.items"),
        ("a.id", ""),
        ("a.body", ""),
        ('a["body"].id', ""),
        ("payload.body.id", ""),
    ],
)
def test_the_answer_of_a_look_up_is_its_json_itself(loaded, path, right):
    route = fetching("one", "chat", "crm")
    found = loaded(route.replace("body: {}", f"body: {{x: '{{{{ {path} }}}}'}}")).warnings
    hints = [each.hint.partition(";")[0] for each in found if "the JSON of the answer" in each.message]
    assert hints == ([f"write {right}"] if right else [])


def test_a_destination_that_looks_in_itself_is_joined_to_nothing_but_takes_longer(loaded):
    found = loaded(fetching("one", "crm", "crm")).destinations["crm"]
    assert (found.group, found.lookups_s, found.longest_s) == ("", 20 + PATIENCE_S, 40 + PATIENCE_S)


def test_the_look_ups_of_the_route_that_takes_longest_count(loaded):
    found = loaded(fetching("one", "chat", "crm", "billing") + fetching("two", "chat", "billing")).destinations
    assert found["chat"].longest_s == 7 + 20 + 5 + PATIENCE_S
    assert found["crm"].longest_s == 20


def test_a_file_without_look_ups_asks_nothing_of_its_destinations(loaded):
    config = loaded("  - {name: one, match: contact.created, to: [chat, crm, billing, stock, mail, alone]}\n")
    assert not config.fetches
    assert {(each.lookups_s, each.group) for each in config.destinations.values()} == {(0.0, "")}


def test_a_disabled_route_joins_nothing(loaded):
    config = loaded(fetching("one", "chat", "crm").replace("body: {}", "body: {}, enabled: false"))
    assert config.destinations["crm"].group == ""


def test_a_destination_that_is_only_looked_in_is_not_unused(loaded):
    config = loaded(fetching("one", "chat", "crm"))
    assert not [each for each in config.warnings if '"crm"' in each.message]
    assert [each for each in config.warnings if '"alone"' in each.message]


def test_what_a_look_up_asks_is_tried_with_the_samples(loaded):
    config = loaded(
        '  - {name: one, match: contact.created, to: chat, fetch: {p: {from: crm, path: "/{{ attrs.nickname }}"}},'
        ' text: "{{ p.name }}"}\n'
    )
    said = [each.message for each in config.warnings if "nickname" in each.message]
    assert said
    assert not [each.message for each in config.warnings if "p.name" in each.message]


def test_every_element_of_send_looks_up_what_its_route_does(loaded):
    config = loaded("""\
  - name: both
    match: contact.created
    fetch: {person: {from: crm, path: /x}}
    send:
      - {to: chat, text: "{{ person.name | default('nobody') }}"}
      - {to: mail, text: "{{ person.mail | default('none') }}"}
""")
    assert {name: [each.name for each in found] for name, found in config.fetches.items()} == {
        "both": ["person"],
        "both/1": ["person"],
        "both/2": ["person"],
    }


# --- conditions and keys that name what is known only later ---

#: What is looked up and what is recalled have names that are ordinary words.
LATER = """\
  - name: keeps
    match: contact.created
    to: crm
    text: a
    remember: {as: kept, per: "{{ attrs.id }}", values: {id: json.id}, for: 90d}
  - name: one
    match: contact.created
    to: chat
    fetch: {person: {from: crm, path: /x}}
    recall: {contact: {from: kept, per: "{{ attrs.id }}"}}
    text: a
"""


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("once", "person:{{ attrs.id }}"),
        ("once", "{{ attrs.id }} of a contact"),
        ("once", "{# of the person #}{{ attrs.id }}"),
        ("once", "{{ attrs.id }}-{{ attrs.person }}-{{ attrs['contact'] }}"),
        ("once", "{% for person in [attrs.id, 2] %}{{ person }}{% endfor %}"),
        ("once", "{% set contact = attrs.id %}{{ contact }}"),
        ("if", "attrs.type == 'a person or a contact'"),
        ("if", 'attrs.note == "the \\"person\\""'),
        ("if", "attrs.id and attrs.contact"),
        ("if", "attrs.firstname | default(attrs.person) != 'contact'"),
    ],
)
def test_a_word_in_a_text_is_no_use_of_what_has_this_name(loaded, key, text):
    value = {"once": {"per": text, "for": "1d"}, "if": text}[key]
    loaded(LATER + f"    {key}: {json.dumps(value)}\n")


@pytest.mark.parametrize(
    ("key", "text", "name"),
    [
        ("once", "{{ person.id }}", "person"),
        ("once", "{{ attrs.id }}{% if person %}a{% endif %}", "person"),
        ("once", "{{ attrs.id ~ person['id'] }}", "person"),
        ("if", "person.items", "person"),
        ("if", "attrs.id|string in person", "person"),
        ("if", "attrs.id == 1 and (contact.id)", "contact"),
        ("if", "not contact", "contact"),
    ],
)
def test_a_name_that_is_known_later_is_refused_in_what_is_decided_at_once(loaded, key, text, name):
    value = {"once": {"per": text, "for": "1d"}, "if": text}[key]
    with pytest.raises(ConfigError) as refused:
        loaded(LATER + f"    {key}: {json.dumps(value)}\n")
    [problem] = refused.value.problems
    assert re.search(rf'{name}"?, which is (looked up only when|recalled later)', problem.message)


# --- in tests of the file ---

CRM = """version: 1
sources: {xobito: {preset: xobito, secret: s3cret}}
destinations:
  crm: {url: "https://crm.example/api"}
routes:
  - name: person
    match: contact.created
    to: crm
    fetch: {person: {from: crm, path: /search, query: {term: "{{ attrs.email }}"}}}
    choose:
      - {if: person.items, method: PUT, path: "/persons/{{ person.items[0].id }}", body: {name: "{{ attrs.firstname }}"}}
      - {if: attrs.firstname != "Nobody", method: POST, path: /persons, body: {name: "{{ attrs.firstname }}"}}
tests:
"""


@pytest.fixture
def fails(tmp_path):
    def run(test: str) -> list[str]:
        (tmp_path / "routes.yaml").write_text(f"{CRM}  - {{name: a, event: contact.created, {test}}}\n")
        config = read(tmp_path / "routes.yaml")
        return list(failures(config, config.tests[0], tmp_path))

    return run


@pytest.mark.parametrize(
    "test",
    [
        "fetched: {person: {items: [{id: 7}]}}, expect: {crm: {method: PUT, url: https://crm.example/api/persons/7}}",
        "fetched: {person: {items: []}}, expect: {crm: {method: POST, url: https://crm.example/api/persons}}",
        "fetched: {person: null}, expect: {crm: {method: POST}}",
        "expect: {crm: {method: POST, json: {name: John}}}",
        "set: {attrs.firstname: Nobody}, expect: []",
        "unset: [attrs.email], expect: {failed: the event has no field attrs.email}",
        'fetched: {person: {items: {a: 1}}}, expect: {failed: "person.items[0].id"}',
    ],
    ids=["found", "an empty list", "null", "left out", "discarded", "not built", "another shape"],
)
def test_a_test_says_what_is_found(fails, test):
    assert fails(test) == []


def test_a_test_that_expects_what_is_discarded_says_why_it_is(fails):
    said = "\n".join(fails("set: {attrs.firstname: Nobody}, expect: [crm]"))
    assert "missing: crm" in said
    assert "crm (by person) is discarded: no element of choose holds (routes.yaml:" in said


def test_a_reload_names_the_route_that_looks_up_something_else_and_not_the_destinations(loaded):
    def said(old: str, new: str) -> str:
        return changed(loaded(old), loaded(new))

    one, other = fetching("one", "chat", "crm"), fetching("one", "chat", "billing")
    assert said(one, other) == "1 route changed (one)"
    assert said(one, one.replace("path: /x", "path: /y")) == "1 route changed (one)"
    choosing = one.replace("body: {}", "choose: [{if: a.id, body: {id: 1}}, {body: {id: 2}}]")
    assert said(one, choosing) == "1 route changed (one)"
    assert said(choosing, choosing.replace("id: 2", "id: 3")) == "1 route changed (one)"
    assert said(choosing, choosing.replace("if: a.id", "if: a.name")) == "1 route changed (one)"
    assert said(choosing, choosing) == "nothing"
