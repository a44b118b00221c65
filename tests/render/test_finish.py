"""Paths, query values and header fields."""

import re

import pytest

from gateway.errors import RenderError
from gateway.render import TemplateText
from tests.render.given import FACTS, HERE, failure


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("/contacts/{{ attrs.id }}", "/contacts/451"),
        ("/contacts/{{ 'a/b?c#d%2F e' }}/x", "/contacts/a%2Fb%3Fc%23d%252F%20e/x"),
        ("/{{ '...' }}/{{ '.x' }}/{{ 'x..' }}", "/.../.x/x.."),
        ("/{{ 'a..b/1.5' }}", "/a..b%2F1.5"),
        ("/{{ '100%25 ; .. x' }}", "/100%2525%20%3B%20..%20x"),
        ("/ü b/{{ attrs.vip }}", "/%C3%BC%20b/true"),
        ("/a%20b/{{ '\ud800' }}", "/a%20b/%EF%BF%BD"),
        ("/{% set p %}a/{{ attrs.id }}{% endset %}{{ p }}", "/a%2F451"),
    ],
)
def test_a_value_stays_inside_its_segment(templates, source, expected):
    assert templates.path(TemplateText(source, HERE))(FACTS) == expected


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("/{{ attrs.empty }}", 'attrs.empty is "", which would change the path'),
        ("/{{ '.' }}", "would change the path"),
        ("/{{ '..' }}/x", "would change the path"),
        ("/.{% if true %}{{ '.x'[:1] }}{% endif %}", "would change the path"),
        ("/%2e./{{ attrs.id }}", 'a segment ".."'),
        ("/{{ attrs.nothing }}", "attrs.nothing is null"),
        ("/{{ attrs.nope }}", "no field attrs.nope"),
        ("/{{ attrs.group_id }}", "is a list"),
        ("/{{ attrs }}", "is an object"),
    ],
)
def test_a_value_that_would_change_the_path_is_an_error(templates, source, message):
    assert message in failure(templates.path(TemplateText(source, HERE)), FACTS)


@pytest.mark.parametrize(
    "value",
    [
        "../../admin",
        "..\\..\\admin",
        "a/../b",
        "a\\./b",
        "./x",
        "x/..",
        "%2e%2e",
        "%2e%2E/x",
        "..%2fadmin",
        "..%5Cadmin",
        "a%2f.%2E%2fb",
        "%252e%252e%252fadmin",
        "x%255c%252e.",
        "%25%32%65./x",
        "..;a=b/x",
        "../\u00e9",
        ".. /x",
        "..\0/x",
        "%c0%ae%c0%ae%c0%afx",
        "..%c1%9cx",
    ],
)
def test_a_value_never_climbs_even_where_it_is_decoded_first(templates, value):
    render = templates.path(TemplateText("/contacts/{{ attrs.x }}", HERE))
    reason = failure(render, {"attrs": {"x": value}})
    assert re.search(r'the path has a segment "\.{1,2}", which would lead elsewhere', reason)


def test_a_segment_that_climbs_is_not_put_together_from_several_values(templates):
    render = templates.path(TemplateText("/{{ attrs.x }}{{ attrs.y }}", HERE))
    assert render({"attrs": {"x": "a.", "y": ".b"}}) == "/a..b"
    assert 'a segment ".."' in failure(render, {"attrs": {"x": "a/.", "y": "./b"}})


def test_a_path_is_measured_before_it_is_looked_at(templates):
    render = templates.path(TemplateText("/{{ attrs.x }}", HERE))
    assert len(render({"attrs": {"x": "." * 32_767}})) == 32_768
    assert "at most 32,768" in failure(render, {"attrs": {"x": "." * 32_768}})


def test_a_query_value_is_percent_encoded_whole(templates):
    render = templates.query(TemplateText("a&b={{ attrs.bad }}", HERE))
    assert render(FACTS) == "a%26b%3D%3C%21channel%3E%20%22A%22%0A%26%5C"
    assert "is null" in failure(templates.query(TemplateText("{{ attrs.nothing }}", HERE)), FACTS)
    assert "at most 32,768" in failure(templates.query(TemplateText("{{ payload.long }}", HERE)), FACTS)


def test_a_query_value_is_measured_as_it_is_sent(templates):
    render = templates.query(TemplateText("{{ attrs.x }}", HERE))
    assert len(render({"attrs": {"x": "\u20ac" * 3640}})) == 32_760
    with pytest.raises(RenderError, match="at most 32,768 characters, percent-encoded"):
        render({"attrs": {"x": "\u20ac" * 3641}})


@pytest.mark.parametrize("value", ["a\nb", "a\rb", "a\0b", "ü", "a\x7fb", "\ud800"])
def test_a_header_value_holds_printable_ascii_only(templates, value):
    render = templates.header(TemplateText("x {{ attrs.x }} y", HERE))
    assert render({"attrs": {"x": "b"}}) == "x b y"
    assert "a header value cannot hold" in failure(render, {"attrs": {"x": value}})
