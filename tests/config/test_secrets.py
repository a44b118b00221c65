"""What comes from outside is in no message, whatever a filter, an operator or an encoding makes of it."""

import json

import pytest

from gateway.config import format_problem, load
from gateway.errors import BuildError, ConfigError
from gateway.event.payload import parse
from gateway.model import Delivery
from gateway.presets import load as preset
from gateway.rehearsal.rehearse import rehearse, sender_headers

LONG = "tok-Secret-" + "".join(chr(97 + at % 26) for at in range(60))
ENVIRON = {"HUSH": "hush-Value-13", "LONG": LONG, "NUMBER": "987654321", "HALF": "a{{b-secret"}
#: Any of these in an output is a leak, also a part of it.
LEAKS = ["hush-value", "eulav-hsuh", "tok-secret", "abcdefghij", "987654321", "b-secret"]
HEAD = """\
version: 1
sources: {xobito: {preset: xobito, secret: "${HUSH}"}}
destinations: {crm: {url: https://crm.example.com}}
vars: {hush: "${HUSH}", long: "${LONG}", number: "${NUMBER:number}", inner: {list: ["x ${HUSH} y"]}}
"""


def leaks(text):
    return [each for each in LEAKS if each in text.lower()]


def problems(tmp_path, text):
    (tmp_path / "routes.yaml").write_text(text, "utf-8")
    try:
        found = load(tmp_path / "routes.yaml", environ=ENVIRON).warnings
    except ConfigError as error:
        found = error.problems
    return "\n".join(map(format_problem, found))


EXPRESSIONS = [
    "vars.hush | int",
    "vars.long | int",
    "vars.hush | upper | int",
    "vars.hush | reverse | float",
    "vars.inner.list[0] | date",
    "vars.long | date",
    "attrs.id | date('%H', vars.long)",
    "slack_link(vars.hush)",
    "slack_link(vars.long)",
    "slack_user(vars.hush)",
    "attrs[vars.long]",
    "payload | items | map(vars.long) | join",
    "[payload] | map(vars.hush) | join",
    "vars.number ** vars.number",
    "vars.number | slack_user",
]


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_an_error_of_a_filter_names_no_secret_in_a_warning_or_a_dead_letter(tmp_path, expression):
    routes = (
        f"routes: [{{name: told, match: contact.created, to: crm, text: {json.dumps('{{ ' + expression + ' }}')}}}]\n"
    )
    warned = problems(tmp_path, HEAD + routes)
    assert "with the sample contact.created" in warned
    assert leaks(warned) == []

    config = load(tmp_path / "routes.yaml", environ=ENVIRON)
    source, body = config.sources["xobito"], preset("xobito").samples["contact.created"]
    event = rehearse(config, source, body, sender_headers(source, body), 0.0).event
    delivery = Delivery(id="dlv_1", event_id=event.id, route="told", destination="crm")
    with pytest.raises(BuildError) as dead:
        config.built(delivery, event, parse(body))
    assert leaks(str(dead.value)) == []


@pytest.mark.parametrize(
    "more",
    [
        "routes: [{name: r, to: crm, where: {attrs.id: {prefix: '${NUMBER:number}'}}}]",
        "routes: [{name: r, to: crm, where: {attrs.id: {regex: '(${HUSH}'}}}]",
        "routes: [{name: r, to: crm, where: {attrs.id: {regex: '${HUSH}(?<=x)'}}}]",
        "routes: [{name: r, to: crm, where: {attrs.id: {gt: '${HUSH}'}}}]",
        "routes: [{name: r, to: '${HUSH}'}]",
        "routes: [{name: r, to: crm, template: '${HUSH}'}]",
        "routes: [{name: r, to: crm, match: '${HUSH}.*x'}]",
        "routes: [{name: r, to: crm, if: vars.hush | int}]",
        "include: ${HUSH}.yaml",
        "defaults: {timeout: '${HUSH}'}",
    ],
)
def test_no_problem_of_a_file_shows_what_came_from_outside(tmp_path, more):
    found = problems(tmp_path, f"{HEAD}{more}\n")
    assert found
    assert leaks(found) == []


def test_json_that_breaks_is_shown_without_the_secret_beside_the_place(tmp_path):
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates" / "a.json.j2").write_text('{"a": "{{ vars.long }}"{{ attrs.id }}}')
    found = problems(tmp_path, HEAD + "routes: [{name: r, match: contact.created, to: crm, template: a.json.j2}]\n")
    assert "the result is not JSON" in found
    assert leaks(found) == []


def test_a_braced_value_from_outside_logs_in_and_a_template_does_not(tmp_path):
    keys = 'auth: {bearer: "${HALF}"}, headers: {x-a: "${HALF}"}'
    assert load_with(tmp_path, keys).destinations["crm"].target.auth == ("authorization", "Bearer a{{b-secret")
    for way in ("bearer: '{{ vars.hush }}'", "basic: {user: me, password: '{{ vars.hush }}'}"):
        assert "is not a template: its braces would be part of it" in problems(tmp_path, file_with(f"auth: {{{way}}}"))


def file_with(keys):
    return f"version: 1\ndestinations: {{crm: {{url: https://crm.example.com, {keys}}}}}\nvars: {{hush: x}}\n"


def load_with(tmp_path, keys):
    (tmp_path / "routes.yaml").write_text(file_with(keys))
    return load(tmp_path / "routes.yaml", environ=ENVIRON)


def test_an_error_still_quotes_what_is_no_secret(tmp_path):
    found = problems(
        tmp_path, HEAD + "routes: [{name: r, match: contact.created, to: crm, text: '{{ attrs.firstname | int }}'}]\n"
    )
    assert '"John" is not a number' in found
