"""With an error in the file, what else is wrong with it is still said, and nothing that only follows from the error."""

import pytest

from gateway.config import load
from gateway.errors import ConfigError

HEAD = """version: 1
sources: {xobito: {preset: xobito, secret: "${SECRET}"}}
destinations:
  slack: {type: slack, url: "${URL}"}
  crm: {url: https://crm.example.com/api}
"""
SET = {"SECRET": "a-long-secret-of-the-tests", "URL": "https://hooks.slack.example/T0"}
WARNED = '  - {name: warned, match: contact.created, to: slack, text: "{{ attrs.fristname }}"}\n'
FINE = "  - {name: fine, match: contact.created, to: crm}\n"
BROKEN = "  - {name: broken, mtch: contact.created, to: crm}\n"
SAID = 'the event has no field attrs.fristname: did you mean "attrs.firstname"?'


def said(folder, text, environ):
    (folder / "routes.yaml").write_text(text)
    try:
        return [(each.severity, each.message) for each in load(folder / "routes.yaml", environ=environ).warnings]
    except ConfigError as error:
        return [(each.severity, each.message) for each in error.problems]


def is_warned(found):
    return any(severity == "warning" and SAID in message for severity, message in found)


@pytest.mark.parametrize("environ", [SET, {}, {"URL": SET["URL"]}], ids=["set", "unset", "one of two set"])
@pytest.mark.parametrize(
    "routes",
    [WARNED + FINE, WARNED + BROKEN, BROKEN + WARNED, FINE + BROKEN + WARNED + FINE.replace("fine", "more")],
    ids=["no error", "an error below", "an error above", "an error between"],
)
def test_neither_an_unset_variable_nor_an_error_elsewhere_hides_a_warning(tmp_path, environ, routes):
    found = said(tmp_path, f"{HEAD}routes:\n{routes}", environ)
    assert is_warned(found)
    assert (("error", "not set: SECRET (line 2)" + (", URL (line 4)" if not environ else "")) in found) == (
        environ != SET
    )


def test_an_error_in_a_test_hides_no_warning(tmp_path):
    found = said(
        tmp_path, f"{HEAD}routes:\n{WARNED}tests:\n  - {{name: a, event: contact.creatd, expect: [slack]}}\n", SET
    )
    assert is_warned(found)


def test_what_only_follows_from_an_error_is_not_said(tmp_path):
    """The destination of a broken route is not unused, and a broken destination is no reason to try its routes."""
    found = said(tmp_path, f"{HEAD}routes:\n{BROKEN}", SET)
    assert [severity for severity, _ in found] == ["error"]
    broken = HEAD.replace("{type: slack,", "{type: slack, tmeout: 5s,")
    found = said(tmp_path, f"{broken}routes:\n{WARNED}{FINE}", SET)
    assert [severity for severity, _ in found] == ["error"]


def test_lines_of_an_included_file_are_not_those_of_the_main_one(tmp_path):
    (tmp_path / "routes.d").mkdir()
    (tmp_path / "routes.d/more.yaml").write_text(f"routes:\n{WARNED}{FINE}")
    assert is_warned(said(tmp_path, f"{HEAD}include: routes.d/*.yaml\nroutes:\n{BROKEN}", SET))
    (tmp_path / "routes.d/more.yaml").write_text(f"routes:\n{BROKEN}")
    assert [each for each, _ in said(tmp_path, f"{HEAD}include: routes.d/*.yaml\nroutes:\n{FINE}", SET)] == ["error"]
