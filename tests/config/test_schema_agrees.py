"""The JSON Schema is the loader's own declarations: what one takes or refuses, the other does, as far as it can know."""

import json
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config import load
from gateway.config.jsonschema import json_schema
from gateway.config.schema.destinations import DestinationKeys
from gateway.config.schema.entries import EntryKeys
from gateway.config.schema.keys import Section, keys_of
from gateway.config.schema.reading import shape_of
from gateway.config.schema.sources import SourceKeys
from gateway.config.schema.tests import TestKeys
from gateway.config.text.reader import Broken, Items, Map, Node, Scalar, read
from gateway.config.text.report import Report
from gateway.errors import ConfigError
from gateway.wording import exact_size, size_in_bytes

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
BAD = sorted((HERE / "bad").glob("*.yaml"))
GOOD = [*sorted((HERE / "good").glob("*.yaml")), ROOT / "routes.yaml"]

VALIDATOR = jsonschema.Draft202012Validator(json_schema())

#: Mistakes that only the whole file, its surroundings or the meaning of a text give away, by what it takes to know.
BEYOND = {
    "what else the file declares, and other files": {
        "conditions",
        "if-in-braces",
        "include-of-odd-files",
        "include",
        "names-twice",
        "schema",
        "order-by",
        "queries",
        "retention-below-the-usual-retry",
        "unknown-destination",
        "unknown-source",
    },
    "which keys of an entry or destination go together": {
        "chat-without-content",
        "content-type",
        "failed",
        "disabled-destination-with-a-mistake",
        "headers-of-a-route",
        "shape-for-file",
        "shape-for-slack",
    },
    "the rules of a text": {
        "addresses",
        "client-certificates",
        "constant-ids",
        "headers",
        "headers-of-a-test",
        "in-the-clear",
        "labels-as-fields",
        "names-of-other-scripts",
        "never",
        "paths-to-one-value",
        "pattern-near-a-known-type",
        "question-mark-in-path",
        "redact-of-an-unknown-field",
        "references",
        "references-nearly",
        "shortcuts",
        "unix-sockets",
        "urls",
        "where-event",
        "where-regex",
    },
    "whether a template compiles": {
        "brace-missing-in-a-block",
        "headers-in-jinja",
        "expressions",
        "filter-before-arithmetic",
        "if-with-statement",
        "names-alone",
        "one-brace",
        "quote-open-in-a-tag",
        "several-typos-in-one-template",
        "tags-left-open",
        "template-endings",
        "templates",
    },
    "the environment": {"value-from-the-environment"},
    # To JSON an empty value is null, which is a value.
    "what was not written": {"body-without-a-value", "vars", "where-without-blank"},
}


class Unreadable(Exception):
    """Not YAML as the gateway reads it: no schema gets to see it."""


def content(path: Path) -> object:
    report = Report(path.name)
    try:
        tree = read(path.read_bytes(), report)
    except ConfigError:
        raise Unreadable from None
    if report.sorted():
        raise Unreadable
    return plain(tree)


def plain(node: Node) -> object:
    match node:
        case Map(_, pairs):
            return {pair.key.text: plain(pair.value) for pair in pairs}
        case Items(_, nodes):
            return [plain(each) for each in nodes]
        case Scalar():
            return node.value
        case Broken():
            raise Unreadable


def test_the_schema_is_one():
    jsonschema.Draft202012Validator.check_schema(json_schema())


@pytest.mark.parametrize("path", GOOD, ids=lambda path: path.stem)
def test_what_the_loader_takes_the_schema_takes(path):
    assert [error.message for error in VALIDATOR.iter_errors(content(path))] == []


@pytest.mark.parametrize("path", BAD, ids=lambda path: path.stem)
def test_what_the_loader_refuses_the_schema_refuses_as_far_as_it_can_know(path):
    beyond = [reason for reason, names in BEYOND.items() if path.stem in names]
    try:
        is_refused = not VALIDATOR.is_valid(content(path))
    except Unreadable:
        is_refused = True
    if is_refused:
        assert not beyond, f"the schema does refuse {path.name}: take it out of BEYOND"
    else:
        assert beyond, f"the schema takes {path.name}: improve the shape of that key, or add it to BEYOND"


def test_every_file_beyond_a_schema_exists():
    assert {name for names in BEYOND.values() for name in names} <= {path.stem for path in BAD}


def test_the_shipped_schema_is_what_the_declarations_say():
    printed = subprocess.run([sys.executable, "-m", "gateway", "schema"], capture_output=True, check=True).stdout
    assert (ROOT / "routes.schema.json").read_bytes() == printed, "run: make docs"


def test_the_shipped_file_names_its_schema_for_editors():
    first = (ROOT / "routes.yaml").read_text("utf-8").splitlines()[0]
    assert first == "# yaml-language-server: $schema=./routes.schema.json"


def sections() -> list[type[Section]]:
    found, waiting = [], [Section]
    while waiting:
        section = waiting.pop()
        found.append(section)
        waiting.extend(section.__subclasses__())
    return found


@pytest.mark.parametrize("section", sections(), ids=lambda section: section.__name__)
def test_every_key_says_what_it_takes_and_what_it_is_for(section):
    for text, (_, key) in keys_of(section).items():
        assert "shape" in vars(key.parse), f"mark the parser of {text} with @shaped: editors know it by that"
        assert key.about, text


def test_every_declared_key_is_in_the_schema_with_its_description():
    written = json.dumps(json_schema(), ensure_ascii=False)
    for section in sections():
        for text, (_, key) in keys_of(section).items():
            assert json.dumps(text) in written
            assert json.dumps(key.about, ensure_ascii=False) in written


@given(st.integers(min_value=1, max_value=10**12 - 1))
def test_a_size_is_written_as_it_is_read(octets):
    assert size_in_bytes(exact_size(octets)) == octets


@pytest.mark.parametrize(
    ("keys", "is_taken"),
    [
        ({"timeout": "${TIMEOUT}"}, True),
        ({"timeout": "1h30m"}, True),
        ({"timeout": "soon"}, False),
        ({"timeout": 10}, False),
        ({"concurrency": "${LIMIT:-7}"}, True),
        ({"concurrency": 7}, True),
        ({"concurrency": "7"}, True),
        ({"concurrency": 0}, False),
        ({"concurrency": 1.5}, False),
        ({"type": "${TYPE:-http}"}, True),
        ({"type": "slak"}, False),
        ({"type": "slack"}, True),
        ({"type": "file"}, False),
        ({"type": "discord", "auth": {"bearer": "x"}}, False),
        ({"type": "slack", "auth": {"bearer": "x"}, "channel": "#leads"}, True),
        ({"type": "telegram"}, False),
        ({"type": "telegram", "chat_id": -100123}, True),
        ({"chat_id": -100123}, False),
        ({"success": {}}, False),
        ({"success": {"status": "2xx"}}, True),
        ({"success": [{"status": [422, "2xx"], "json": {"ok": True}}, {"text": {"contains": "taken"}}]}, True),
        ({"success": {"status": 99}}, False),
        ({"retry_after": "json:retry_after"}, True),
        ({"retry_after": "retry_after"}, False),
        ({"auth": {"bearer": "x"}}, True),
        ({"match": "contact.*"}, False),
    ],
    ids=str,
)
def test_a_destination_is_taken_as_the_loader_takes_it(keys, is_taken):
    file = {"version": 1, "destinations": {"crm": {"url": "https://crm.example.com", **keys}}}
    assert VALIDATOR.is_valid(file) == is_taken


HEAD = {
    "version": 1,
    "sources": {"xobito": {"preset": "xobito", "secret": "s"}},
    "destinations": {"crm": {"url": "https://crm.example.com"}},
}
ROUTE = {"to": "crm", "match": "contact.created"}
TEST = {"name": "t", "event": "contact.created"}


def with_where(where: object) -> dict[str, object]:
    return {"routes": [{**ROUTE, "where": where}]}


def with_expect(expect: object) -> dict[str, object]:
    return {"routes": [ROUTE], "tests": [{**TEST, "expect": expect}]}


def with_source(**keys: object) -> dict[str, object]:
    return {"sources": {"xobito": {"preset": "xobito", "secret": "s", **keys}}}


def with_destination(**keys: object) -> dict[str, object]:
    return {"destinations": {"crm": {"url": "https://crm.example.com", **keys}}}


@pytest.mark.parametrize(
    ("keys", "is_taken"),
    [
        (with_where({"attrs.id": {"exists": [True]}}), True),
        (with_where({"attrs.id": {"exists": []}}), False),
        (with_where({"attrs.id": {"empty": [True, False]}}), True),
        (with_where({"attrs.id": {"gt": [1, 2]}}), True),
        (with_where({"attrs.id": {"gt": []}}), False),
        (with_where({"attrs.id": {"prefix": []}}), False),
        (with_where({"attrs.id": {"contains": []}}), False),
        (with_where({"attrs.id": {"not": [1]}}), True),
        (with_where({"attrs.id": {"not": []}}), False),
        (with_where({"attrs.id": {"not": {}}}), False),
        (with_where({"attrs.id": []}), False),
        (with_where({"attrs.id": {}}), False),
        (with_where({"any": []}), False),
        (with_where({"not": []}), False),
        (with_where({"is": []}), False),
        (with_where({}), True),
        ({"routes": [{**ROUTE, "match": []}]}, False),
        ({"routes": [{**ROUTE, "source": []}]}, False),
        ({"routes": [{**ROUTE, "text": "a", "body": {}}]}, False),
        ({"routes": [{**ROUTE, "form": {}, "template": "a.json.j2"}]}, False),
        ({"routes": [{**ROUTE, "send": [{"to": "crm"}]}]}, False),
        ({"routes": [{"send": [{"to": "crm", "text": "a", "form": {}}]}]}, False),
        ({"routes": [{"send": [{"to": "crm", "text": "a"}]}]}, True),
        ({"routes": None, "tests": None, "destinations": None, "vars": None}, True),
        (with_source(secret=[]), False),
        (with_source(secret=["a", "b"]), True),
        (with_source(path="hooks/x"), False),
        (with_source(path="/hooks/x/"), False),
        (with_source(path="/hooks/x"), True),
        (with_source(max_body=0), False),
        (with_source(max_body="0KiB"), False),
        (with_source(max_body=1), True),
        (with_source(max_body="10KiB"), True),
        (with_destination(timeout="0s"), False),
        (with_destination(timeout="0m0.0s"), False),
        (with_destination(timeout="0m10s"), True),
        (with_destination(retry={"for": "0s"}), True),
        (with_destination(auth={}), False),
        (with_destination(auth={"bearer": "a", "header": {"name": "x-a", "value": "b"}}), False),
        ({"routes": [ROUTE], "tests": [{**TEST, "file": "a.json", "expect": ["crm"]}]}, False),
        ({"routes": [ROUTE], "tests": [{"name": "t", "expect": ["crm"]}]}, False),
        (with_expect(["crm"]), True),
        (with_expect(["crm", "crm"]), False),
        (with_expect({"failed": 1}), True),
        (with_expect({"failed": ""}), False),
        (with_expect({"crm": {"contains": ""}}), False),
        (with_expect({"crm": {"contains": []}}), False),
        (with_expect({"crm": {"not_contains": [""]}}), False),
        (with_expect({"crm": {"contains": ["a"]}}), True),
    ],
    ids=str,
)
def test_loader_and_schema_agree_on_what_a_shape_can_tell(tmp_path, keys, is_taken):
    file = {**HEAD, **keys}
    (tmp_path / "routes.yaml").write_text(json.dumps(file))
    try:
        load(tmp_path / "routes.yaml", environ={})
    except ConfigError:
        loads = False
    else:
        loads = True
    assert (loads, VALIDATOR.is_valid(file)) == (is_taken, is_taken)


ANY_VALUE = [
    *(None, True, False, 0, 1, 7, 1.5, -1, "", "x", "true", "7", "10s", "512KiB", "${X:-7}", "POST", "crm", "slack"),
    *("log.ndjson", "https://a.example", "contact.created", "attrs.id == 1", "/in/x", "xobito", "verbatim", "ignored"),
    *([], ["crm"], ["contact.*", "x"], [1], [[1]], [{}], [{"to": "crm"}], [{"to": "crm", "text": "x"}]),
    *({}, {"a": "b"}, {"a": 1}, {"a": ["payload.data"]}, {"bearer": "x"}, {"for": "1h"}, {"crm": "verbatim"}),
    *({"attrs.type": "x"}, {"attrs.type": None}, {"attrs.id": {"gt": 1}}, {"attrs.id": {"gt": [1, 2]}}),
    *({"attrs.type": {"prefix": 1}}, {"attrs.type": {"exists": True}}, {"attrs.type": {"exists": "true"}}),
    *({"not": {"attrs.type": "x"}}, {"any": [{"attrs.type": "x"}]}, {"crm": {"count": 1}}, {"failed": "x"}),
]
PLACES = {
    "sources": ({"preset": "xobito", "secret": "s"}, SourceKeys),
    "destinations": ({"url": "https://crm.example.com"}, DestinationKeys),
    "routes": ({"to": "crm"}, EntryKeys),
    "tests": ({"name": "it goes to the CRM", "event": "contact.created", "expect": ["crm"]}, TestKeys),
}


@pytest.mark.parametrize(
    ("place", "key"), [(place, key) for place, (_, section) in PLACES.items() for key in keys_of(section)]
)
def test_whatever_value_of_a_key_the_loader_takes_the_schema_takes(tmp_path, place, key):
    written = {name: {**base, key: None} if name == place else base for name, (base, _) in PLACES.items()}
    for value in ANY_VALUE:
        written[place][key] = value
        file = {name: [one] if name in ("routes", "tests") else {"crm": one} for name, one in written.items()}
        file["version"] = 1
        (tmp_path / "routes.yaml").write_text(json.dumps(file))
        try:
            load(tmp_path / "routes.yaml", environ={})
        except ConfigError:
            continue
        assert [error.message for error in VALIDATOR.iter_errors(file)] == [], value


def test_every_place_has_a_name_of_its_own():
    nouns = [section.noun for section in sections() if section is not Section]
    assert len(set(nouns)) == len(nouns)


@pytest.mark.parametrize(("file", "is_taken"), [({"x-team": {"any": [1]}}, True), ({"team": 1}, False)], ids=str)
def test_only_keys_that_begin_with_x_are_the_users_own(file, is_taken):
    assert VALIDATOR.is_valid({"version": 1, **file}) == is_taken


def test_a_default_is_shown_as_it_would_be_written():
    retry = json_schema()["$defs"]["retry"]["properties"]
    assert [retry[key]["default"] for key in ("for", "first", "max")] == ["24h", "1s", "1h"]
    assert json_schema()["$defs"]["source"]["properties"]["max_body"]["default"] == "1MiB"


@pytest.mark.parametrize(
    ("place", "key", "usual"),
    [
        ("destination", "timeout", "10s"), ("destination", "concurrency", 32),
        ("destination", "retry", {"for": "24h", "first": "1s", "max": "1h"}), ("retry", "jitter", "20%"),
        ("retention", "events", "30d"), ("retention", "attempts", "30d"), ("retention", "dead", "90d"),
        ("limits", "max_pending", 1_000_000), ("source", "dedupe", "30d"),
    ],
)  # fmt: skip
def test_a_default_in_the_schema_is_what_holds_where_nobody_wrote_it(tmp_path, place, key, usual):
    assert json_schema()["$defs"][place]["properties"][key]["default"] == usual

    def loaded(value):
        here = {"destination": "{url: 'https://a.example'%s}", "retry": "{url: 'https://a.example'%s}"}
        line = f", {key}: {json.dumps(value)}" if value is not None else ""
        line = f", retry: {{{line[2:]}}}" if place == "retry" and line else line
        source = f"{{preset: xobito, secret: s{line if place == 'source' else ''}}}"
        own = f"{place}: {{{line[2:]}}}\n" if place in ("retention", "limits") and line else ""
        text = f"version: 1\nsources: {{x: {source}}}\ndestinations: {{d: {here.get(place, here['retry']) % (line if place in here else '')}}}\n{own}routes: []\n"
        (tmp_path / "routes.yaml").write_text(text)
        config = load(tmp_path / "routes.yaml", environ={})
        door = config.destinations["d"]
        return (
            door.timeout_s,
            door.concurrency,
            door.retry,
            config.retention,
            config.limits,
            config.sources["x"].dedupe_s,
        )

    assert loaded(usual) == loaded(None)


def test_a_parser_that_does_not_say_takes_anything():
    assert shape_of(lambda _reading, _node, _label: None) == {}
