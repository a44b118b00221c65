"""Conditions as the loader reads them: every operator of the registry, without a table of its own."""

import json

import jsonschema
import pytest

from gateway.config import load
from gateway.config.jsonschema import json_schema
from gateway.errors import ConfigError
from gateway.event.operators import OPERATORS

VALIDATOR = jsonschema.Draft202012Validator(json_schema())

#: Operands of every shape, right or wrong.
WRITTEN = [True, 7, "a", "2026-04-16", None, [], [True], [1, 2], ["a", "b"], [1, 2, 3], [["a"]], {}, {"a": 1}]

NUMBER_OR_TIME = "a number or an ISO time: 5, 2026-04-16, 2026-04-16T12:00:00Z"
TWO = f"a list of 2 values, each {NUMBER_OR_TIME}"


def file_with(where):
    return {
        "version": 1,
        "sources": {"xobito": {"preset": "xobito", "secret": "s"}},
        "destinations": {"crm": {"url": "https://crm.example.com"}},
        "routes": [{"to": "crm", "match": "contact.created", "where": where}],
    }


def problem(tmp_path, file, environ=None):
    """The first problem of a file; empty if it loads."""
    (tmp_path / "routes.yaml").write_text(json.dumps(file))
    try:
        load(tmp_path / "routes.yaml", environ=environ or {})
    except ConfigError as error:
        return error.problems[0].message
    return ""


@pytest.mark.parametrize("name", OPERATORS)
def test_whatever_operand_of_an_operator_the_loader_accepts_the_schema_accepts(tmp_path, name):
    accepted = []
    for written in WRITTEN:
        file = file_with({"attrs.id": {name: written}})
        if not problem(tmp_path, file):
            accepted.append(written)
            assert VALIDATOR.is_valid(file), f"the loader accepts {name}: {written!r} and the schema refuses it"
    assert accepted, f'no value of WRITTEN fits "{name}": add one'


@pytest.mark.parametrize(
    ("foreign", "name"), [(foreign, name) for name, each in OPERATORS.items() for foreign in each.also_called]
)
def test_the_name_of_an_operator_in_another_language_is_translated(tmp_path, foreign, name):
    (tmp_path / "routes.yaml").write_text(json.dumps(file_with({"attrs.id": {foreign: "a"}})))
    with pytest.raises(ConfigError) as caught:
        load(tmp_path / "routes.yaml", environ={})
    assert caught.value.problems[0].hint in (f"write attrs.id: {{{name}: a}}", f'did you mean "{name}"?')


@pytest.mark.parametrize(
    ("written", "operands"),
    [
        ([5, "${MAX:number}"], (5, 5)),
        (["${MIN:number}", 7], (7, 7)),
        (["${MIN:number}", "${MAX:number}"], (0, 0)),
        (["2026-04-16", "${UNTIL}"], ("2026-04-16", "2026-04-16")),
        (["${SINCE}", "${UNTIL}"], ("2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z")),
    ],
    ids=str,
)
def test_an_operand_that_is_made_up_fits_those_that_are_written(tmp_path, written, operands):
    assert made_up(tmp_path, {"attrs.id": {"between": written}}) == operands


def made_up(tmp_path, where):
    """The operands of the only condition of a file that is read without its environment."""
    (tmp_path / "routes.yaml").write_text(json.dumps(file_with(where)))
    [considered] = load(tmp_path / "routes.yaml", environ={}, no_env=True).sections.routed.passed_over()
    [condition] = considered.entry.rule.where
    return condition.operands


@pytest.mark.parametrize("name", ["gt", "not", "prefix"])
def test_alternatives_are_made_up_one_by_one(tmp_path, name):
    operands = made_up(tmp_path, {"attrs.id": {name: ["2026-04-16", "${OTHER}"]}})
    assert operands == ("2026-04-16", "2026-01-01T00:00:00Z" if name == "gt" else "test")


@pytest.mark.parametrize(
    ("written", "message", "hint", "caret"),
    [
        ("5", "needs a list of 2 values", f"each {NUMBER_OR_TIME}", "5"),
        ("[5]", "needs a list of 2 values", f"each {NUMBER_OR_TIME}", "between"),
        ("[5, true]", f"needs {NUMBER_OR_TIME}", "", "true"),
        ("[7, 5]", "has the greater value first", "write [5, 7]", "between"),
        ("[5, 2026-04-16]", "compares with a number and a time", "write two numbers or two times", "between"),
        ("[]", "is compared with an empty list", f"write {TWO}", "[]"),
        ("{from: 5}", "is compared with a map", f"write {TWO}", "{from"),
        ("", "has no value", f"write {TWO}", "between"),
    ],
)
def test_a_mistake_with_several_operands_is_at_the_value_or_at_the_operator(tmp_path, written, message, hint, caret):
    line = f"      attrs.id: {{between: {written}}}"
    file = f"version: 1\nroutes:\n  - to: crm\n    where:\n{line}"
    (tmp_path / "routes.yaml").write_text(file)
    with pytest.raises(ConfigError) as caught:
        load(tmp_path / "routes.yaml", environ={})
    [problem] = [each for each in caught.value.problems if '"between"' in each.message]
    assert (problem.message, problem.hint) == (f'"between" of "attrs.id" {message}', hint)
    assert line[problem.place.column - 1 :].startswith(caret)


def test_a_refused_operand_from_the_environment_is_not_quoted(tmp_path):
    file = file_with({"attrs.id": {"gt": "${LEAST}"}})
    assert problem(tmp_path, file, {"LEAST": "hush"}) == '"gt" of "attrs.id" does not accept the value of ${LEAST}'


@pytest.mark.parametrize("text", ["text: '{{ record.id }} {{ attrs.id }}'", "where: {record.id: {gt: 5}}, text: x"])
def test_a_source_without_a_preset_has_the_shortcuts_that_it_declares(tmp_path, text):
    (tmp_path / "routes.yaml").write_text(
        "version: 1\n"
        "sources: {own: {verify: {token: {header: x-token}}, secret: 0123456789abcdef, type: '{payload.type}', "
        "shortcuts: {record: payload.data}}}\n"
        "destinations: {chat: {type: slack, url: https://hooks.slack.com/services/T/B/x}}\n"
        f"routes: [{{match: '*', to: chat, {text}}}]\n"
    )
    assert load(tmp_path / "routes.yaml", environ={}).routes == 1


@pytest.mark.parametrize("written", ["{{ %s", "${{ %s", "${{ attrs.a %s", "{{ attrs.a %s }} x", "${%sattrs.a"])
@pytest.mark.parametrize("between", [" ", "\n"])
def test_a_brace_that_is_not_closed_is_found_however_much_space_follows_it(tmp_path, written, between):
    """Patterns that try each way to divide the space between them would take hours."""
    file = file_with({}) | {"routes": [{"to": "crm", "if": written % (between * 20_000)}]}
    (tmp_path / "routes.yaml").write_text(json.dumps(file))
    with pytest.raises(ConfigError):
        load(tmp_path / "routes.yaml", environ={})
