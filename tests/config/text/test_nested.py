"""A map on the line of its key is told from a text with a colon."""

import pytest

from gateway.config.schema.file import FileKeys
from gateway.config.schema.keys import Section, keys_of
from gateway.config.text.nested import MAPS, nested


def names_of_keys(section=Section):
    for each in section.__subclasses__():
        yield from keys_of(each)
        yield from names_of_keys(each)


@pytest.mark.parametrize(
    ("line", "written"),
    [
        ("    where: attrs.phone: {prefix: +1}", "where: {attrs.phone: {prefix: +1}}"),
        ("  - where: attrs.type: lead  # for now", "where: {attrs.type: lead}"),
        ("  - {name: a, where: attrs.type: [a, b], to: crm}", "where: {attrs.type: [a, b]}"),
        ("    set: payload.items[0].sku: 'a, b'", "set: {payload.items[0].sku: 'a, b'}"),
        ("    headers: X-Tenant: 13", "headers: {X-Tenant: 13}"),
        ("    where: attrs.type: lead, attrs.id: 5", "where: {attrs.type: lead, attrs.id: 5}"),
        ("    where: attrs.type: [a, b], attrs.id: {gt: 5} # x", "where: {attrs.type: [a, b], attrs.id: {gt: 5}}"),
        ("    - {where: attrs.type: lead, to: crm}", "where: {attrs.type: lead}"),
    ],
)
def test_a_map_on_the_line_of_its_key_is_shown_in_braces(line, written):
    assert nested(line)[1] == written
    assert line[nested(line)[0] - 1] == ":"


@pytest.mark.parametrize(
    "line",
    [
        "    text: Note: call back",
        "    where: {attrs.phone: {prefix: +1}}",
        "    name: where: it goes",
        "    url: https://a.example: 80",
    ],
)
def test_any_other_line_with_two_colons_is_none(line):
    assert nested(line) is None


def test_each_of_these_keys_is_one_of_the_language():
    assert {*keys_of(FileKeys), *names_of_keys()} >= MAPS
