"""Without its environment a file in order is in order: what stands for a variable fits its place."""

import pytest

from gateway.config import load
from gateway.errors import ConfigError
from gateway.rehearsal.expectations import failures, read

FILE = """\
version: 1
sources:
  xobito: {preset: xobito, secret: "${SECRET}", path: "/hooks/${DOOR}", max_body: "${LARGEST}"}
defaults: {timeout: "${TIMEOUT}", retry: {for: "${FOR}", first: "${FIRST}"}, concurrency: "${MANY}"}
destinations:
  whole: {url: "${URL}"}
  based: {url: "${BASE}/v1"}
  ported: {url: "https://crm.internal:${PORT}/v1"}
  hosted: {url: "http://${HOST}"}
  built: {url: "${SCHEME}://${HOST}:${PORT}/${PREFIX}?key=${KEY}"}
  prefixed: {url: "${URL}:${PORT}${PREFIX}"}
  log: {type: file, path: "${LOGS}/all.ndjson", enabled: "${ENABLED}"}
  chat: {type: slack, url: "${CHAT}"}
  basic: {url: "https://a.example", method: "${METHOD}", auth: {basic: {user: "${USER_NAME}", password: "${KEY}"}}}
vars: {limit: "${LIMIT:number}", name: "${NAME}"}
routes:
  - name: later
    match: contact.created
    where:
      attrs.created_at: {gt: "${SINCE}", lte: ["${UNTIL}", "${YEAR}-12-31"]}
      attrs.type: {not: "${OTHER}", regex: "^${PATTERN}", glob: "${GLOB}*"}
      attrs.id: ["${ID:number}", "${ID_2:number}"]
    to: [whole, based]
    stop: "${STOP}"
  - {name: typed, match: "${EVENT}.*", to: [ported, hosted]}
  - name: said
    match: contact.created
    if: attrs.id > vars.limit
    to: built
    path: "/${SEGMENT}/{{ attrs.id }}"
    headers: {x-name: "${NAME} {{ vars.name }}"}
    body: {count: "${COUNT:number}", text: "${TEXT} {{ attrs.id }}"}
unmatched: [{to: [prefixed, log, basic]}, {to: chat}]
tests:
  - name: it goes there
    event: contact.created
    expect:
      said > built:
        url: "${SCHEME}://${HOST}:${PORT}/${PREFIX}/${SEGMENT}/451?key=${KEY}"
        headers: {x-name: "${NAME} ${NAME}"}
        json: {count: 0, text: "${TEXT} 451"}
"""


def test_a_file_in_order_is_in_order_without_its_environment(tmp_path):
    (tmp_path / "routes.yaml").write_text(FILE)
    config = load(tmp_path / "routes.yaml", environ={}, no_env=True)
    assert config.warnings == ()
    assert {name: each.target.url for name, each in config.destinations.items()} == {
        "whole": "https://whole.example",
        "based": "https://based.example/v1",
        "ported": "https://crm.internal:443/v1",
        "hosted": "http://test",
        "built": "https://test:443/test?key=test",
        "prefixed": "https://prefixed.example:443",
        "log": "",
        "chat": "https://chat.example",
        "basic": "https://a.example",
    }


def test_its_tests_pass_without_its_environment(tmp_path):
    (tmp_path / "routes.yaml").write_text(FILE)
    config = read(tmp_path / "routes.yaml")
    assert [failures(config, test, tmp_path) for test in config.tests] == [[]]


NAMES = """\
version: 1
sources: {xobito: {preset: "${PRESET}", secret: s}}
destinations: {crm: {type: "${TYPE}", url: "https://crm.example"}}
conditions: {vip: {attrs.id: 1}}
routes:
  - {name: a, source: "${SOURCE}", to: "${TO}", where: {is: "${VIP}"}, template: "${TEMPLATE}"}
  - {name: b, to: [crm, "${TO}"]}
include: "${MORE}.yaml"
tests: [{name: t, event: "${EVENT}", set: {attrs.id: 1}, expect: []}]
"""


def test_what_only_a_name_can_stand_for_is_asked_for_in_one_line(tmp_path):
    (tmp_path / "routes.yaml").write_text(NAMES)
    with pytest.raises(ConfigError) as refused:
        load(tmp_path / "routes.yaml", environ={}, no_env=True)
    of_a_test, problem = refused.value.problems
    assert problem.message == (
        "not set: PRESET (line 2), TYPE (line 3), SOURCE (line 6), TO (line 6), VIP (line 6), TEMPLATE (line 6), "
        "MORE (line 8)"
    )
    assert (of_a_test.message, of_a_test.place.line) == ("not set: EVENT", 9)
    assert problem.hint == "set them, or write a default: ${NAME:-...}; no value can be made up for them"


def test_a_default_stands_for_a_name(tmp_path):
    names = {"PRESET": "xobito", "TYPE": "http", "SOURCE": "xobito", "TO": "crm", "VIP": "vip", "EVENT": "contact.read"}
    text = NAMES.replace(', template: "${TEMPLATE}"', "").replace('include: "${MORE}.yaml"\n', "")
    for name, value in names.items():
        text = text.replace(f"${{{name}}}", f"${{{name}:-{value}}}")
    (tmp_path / "routes.yaml").write_text(
        text.replace("contact.read", "contact.created").replace('[crm, "${TO:-crm}"]', "crm")
    )
    assert load(tmp_path / "routes.yaml", environ={}, no_env=True).routes == 2
