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


def test_a_refused_operand_from_the_environment_is_not_quoted(tmp_path):
    file = file_with({"attrs.id": {"gt": "${LEAST}"}})
    assert problem(tmp_path, file, {"LEAST": "hush"}) == '"gt" of "attrs.id" does not accept the value of ${LEAST}'
