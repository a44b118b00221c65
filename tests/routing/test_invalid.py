"""What does not fit the schema of its source: marked when it is received, kept so, and sent where `invalid` says."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from msgspec.structs import replace

from gateway.cli import cli
from gateway.config import format_problem, load
from gateway.errors import ConfigError
from gateway.model import Delivery, HttpRequest, Misfit
from gateway.rehearsal.explained import explained
from gateway.rehearsal.rehearse import rehearse, rehearse_event
from gateway.routing import Config
from gateway.store.contents import head_of, read_head

SCHEMA = {
    "type": "object",
    "required": ["id"],
    "properties": {"id": {"type": "integer"}, "email": {"type": "string", "pattern": "@"}},
}
FILE = """\
version: 1
sources:
  shop: {verify: none, type: "{payload.type}", schema: schemas/shop.json}
  other: {verify: none, type: "{payload.type}"}
destinations:
  archive: {url: 'https://archive.example'}
  crm: {url: 'https://crm.example'}
  rest: {url: 'https://rest.example'}
  ops: {type: slack, url: 'https://hooks.slack.com/services/x'}
always: [{to: archive}]
routes: [{name: order, match: order.*, to: crm}]
unmatched: [{to: rest}]
invalid:
  - to: ops
    text: "{{ event.source }}: {{ invalid.path }} {{ invalid.reason }}"
tests:
  - {name: a good order, source: shop, payload: {type: order.paid, id: 7}, expect: [archive, crm]}
  - {name: a bad order, source: shop, payload: {type: order.paid, id: x}, expect: {archive: verbatim, ops: {text: "shop: payload.id is not an integer"}}}
  - {name: no schema, source: other, payload: {type: order.paid, id: x}, expect: [archive, crm]}
"""
GOOD = b'{"type": "order.paid", "id": 7}'
BAD = b'{"type": "order.paid", "id": 7, "email": "s3cr3t"}'


def written(folder: Path, schema: object = SCHEMA, file: str = FILE) -> Path:
    (folder / "schemas").mkdir(exist_ok=True)
    (folder / "schemas" / "shop.json").write_text(schema if isinstance(schema, str) else json.dumps(schema))
    path = folder / "routes.yaml"
    path.write_text(file)
    return path


@pytest.fixture
def config(tmp_path) -> Config:
    return load(written(tmp_path), environ={})


def played(config: Config, body: bytes, source: str = "shop"):
    return rehearse(config, config.sources[source], body, [(b"content-type", b"application/json")], 1.0)


def sent(rehearsal) -> list[str]:
    return [each.destination for each in rehearsal.deliveries]


def test_what_fits_goes_to_the_routes_and_what_does_not_to_invalid(config) -> None:
    assert sent(played(config, GOOD)) == ["archive", "crm"]
    assert sent(played(config, b'{"type": "x", "id": 7}')) == ["archive", "rest"]
    assert sent(played(config, BAD)) == ["archive", "ops"]
    assert sent(played(config, BAD, "other")) == ["archive", "crm"]


def test_the_section_knows_where_and_why(config) -> None:
    request = played(config, BAD).deliveries[1].request
    assert isinstance(request, HttpRequest)
    assert json.loads(request.body)["text"] == 'shop: payload.email does not match the pattern "@"'


def test_explain_says_why_and_shows_only_the_entries_that_take_it(config) -> None:
    shown = explained(config, played(config, BAD))
    assert shown["event"]["invalid"] == {"path": "payload.email", "reason": 'does not match the pattern "@"'}
    assert [each["section"] for each in shown["entries"] if each["considered"]][:2] == ["always", "invalid"]
    assert "invalid" not in explained(config, played(config, GOOD))["event"]


def test_the_mark_of_a_stored_event_outlives_another_schema(config, tmp_path) -> None:
    event = played(config, BAD).event
    looser = load(written(tmp_path, {}), environ={})
    assert sent(played(looser, BAD)) == ["archive", "crm"]
    assert sent(rehearse_event(looser, looser.sources["shop"], event, json.loads(BAD))) == ["archive", "ops"]
    delivery = Delivery(
        id="dlv_1", event_id=event.id, route=next(name for name in looser.entries if "ops" in name), destination="ops"
    )
    assert b"payload.email" in looser.built(delivery, event, json.loads(BAD)).request.body


@pytest.mark.parametrize("query", ["", "a=1"])
def test_the_mark_is_kept_with_the_head_of_the_event(config, query: str) -> None:
    event = replace(played(config, BAD).event, query=query)
    head = read_head(head_of(event))
    assert head is not None
    assert (head.headers, head.query, head.invalid) == (event.headers, query, event.invalid)
    assert read_head(head_of(replace(event, invalid=None))).invalid is None
    odd = Misfit('payload.(reason)."é"', 'has no "(path)"')
    assert read_head(head_of(replace(event, invalid=odd))).invalid == odd


def test_the_tests_of_a_file_see_the_section(config, tmp_path) -> None:
    done = CliRunner().invoke(cli, ["test", "--config", str(tmp_path / "routes.yaml")])
    assert done.exit_code == 0, done.output


def test_an_invalid_event_is_explained_on_the_command_line(config, tmp_path) -> None:
    (tmp_path / "bad.json").write_bytes(BAD)
    arguments = ["explain", str(tmp_path / "bad.json"), "--source", "shop", "--config", str(tmp_path / "routes.yaml")]
    done = CliRunner().invoke(cli, arguments)
    assert (
        'invalid: payload.email does not match the pattern "@"; only entries in always and invalid match it'
        in done.output
    )


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        ("{", "is not JSON"),
        ("[]", "a schema is an object"),
        ({"$ref": "https://acme.example/x.json"}, "#/$ref leads out of the file"),
        ({"$schema": "http://json-schema.org/draft-04/schema#"}, "names a draft that is not supported"),
        ({"pattern": "(?!a)"}, "#/pattern cannot be compiled"),
        ({"description": "x" * 300_000}, "has more than 256 KiB"),
    ],
    ids=["not JSON", "a list", "elsewhere", "draft", "pattern", "large"],
)
def test_a_schema_that_cannot_be_used_is_a_mistake_of_the_file(tmp_path, schema, message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        load(written(tmp_path, schema), environ={})
    [problem] = [each for each in refused.value.problems if each.severity == "error"]
    assert message in problem.message
    assert problem.place.line == 3


def test_a_schema_that_is_not_there_and_a_root_elsewhere_are_mistakes(tmp_path) -> None:
    file = FILE.replace("schemas/shop.json", "nowhere.json").replace("match: order.*", "where: {invalid.path: x}")
    with pytest.raises(ConfigError) as refused:
        load(written(tmp_path, file=file), environ={})
    shown = "\n".join(map(format_problem, refused.value.problems))
    assert 'schema: "nowhere.json" cannot be used: no such file' in shown
    assert '"invalid" exists only in entries under invalid' in shown


def test_another_schema_is_another_revision(config, tmp_path) -> None:
    assert load(written(tmp_path, {**SCHEMA, "title": "x"}), environ={}).revision != config.revision
