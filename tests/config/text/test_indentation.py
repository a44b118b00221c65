"""Lines with too many or too few spaces are answered with the number that fits."""

import pytest

from gateway.config.schema.file import FileKeys
from gateway.config.schema.keys import keys_of
from gateway.config.text.indentation import OF_THE_FILE
from gateway.config.text.reader import read
from gateway.config.text.report import Report
from gateway.errors import ConfigError

CASES = {
    "a line of a text block": (
        "- name: a\n  text: |\n    Hello\n  under {{ attrs.id }}\n  to: crm\n",
        4,
        "indent it by 4 spaces, like line 3",
    ),
    "a last line of a text block": (
        "- name: a\n  text: >-\n    Hello\n\n under the block\n",
        5,
        "indent it by 4 spaces, like line 3",
    ),
    "a key one space too far left": (
        "routes:\n  - name: a\n   where: {attrs.id: 1}\n    to: crm\n",
        3,
        'indent it by 4 spaces, like "name" in line 2',
    ),
    "a key one space too far right": (
        "routes:\n  - name: a\n     match: contact.created\n    to: crm\n",
        3,
        'indent it by 4 spaces, like "name" in line 2',
    ),
    "a key two spaces too far right": (
        "routes:\n  - name: a\n    match: contact.created\n      to: crm\n",
        4,
        'indent it by 4 spaces, like "match" in line 3',
    ),
    "a key after a map": (
        "routes:\n  - name: a\n    where:\n      attrs.id: 1\n     attrs.type: lead\n",
        5,
        'indent it by 6 spaces, like "attrs.id" in line 4',
    ),
    "a key in the column of its parent": (
        'destinations:\n  crm:\n  url: "https://crm.example.com"\n    auth: {bearer: x}\n',
        3,
        "indent it by 4 spaces, like line 4",
    ),
    "a key of the file among the entries of a section": (
        "version: 1\nroutes:\n  - name: a\n    to: crm\n  always:\n    - to: crm\n",
        5,
        'indent it by 0 spaces, like "routes" in line 2',
    ),
    "a key of the file after an entry": (
        "version: 1\nroutes:\n  - name: a\n    to: crm\n   tests:\n    - name: b\n",
        5,
        'indent it by 0 spaces, like "routes" in line 2',
    ),
    "a key of the file after a map": (
        "version: 1\nsources:\n  a: {preset: xobito}\n destinations:\n  crm: {url: https://crm.example.com}\n",
        4,
        'indent it by 0 spaces, like "sources" in line 2',
    ),
    "a dash": (
        "routes:\n  - name: a\n    to: crm\n   - name: b\n    to: crm\n",
        4,
        'indent it by 2 spaces, like "- name" in line 2',
    ),
}


@pytest.mark.parametrize(("text", "line", "remedy"), CASES.values(), ids=CASES)
def test_a_misindented_line_is_named_with_the_spaces_that_fit(text: str, line: int, remedy: str) -> None:
    report = Report("routes.yaml")
    with pytest.raises(ConfigError):
        read(text.encode(), report)
    (problem,) = report.sorted()
    assert (problem.place.line, problem.hint) == (line, remedy)
    assert problem.message.startswith("this line is indented by ")


def test_the_keys_of_the_file_are_known() -> None:
    assert {*keys_of(FileKeys)} == OF_THE_FILE
