"""What is refused when a template is compiled."""

import pytest

from gateway.destinations import slack
from gateway.destinations.escapes import no_escape
from gateway.render import Templates, TemplateText
from gateway.routing.gathering import DIGEST_ROOTS
from tests.render.given import HERE, refusal


@pytest.mark.parametrize(
    ("source", "line", "message", "hint"),
    [
        ("a\n{{ atrs.id }}", 41, 'unknown name "atrs"', 'did you mean "attrs"?'),
        ("{% if x.y %}{% endif %}", 40, 'unknown name "x"', "known: attrs, event"),
        ("{{ null }}", 40, 'unknown name "null"', "write none"),
        ("{{ slak_link('a') }}", 40, 'unknown name "slak_link"', 'did you mean "slack_link"?'),
        ("\n\n{{ attrs.id | uper }}", 42, 'unknown filter "uper"', 'did you mean "upper"?'),
        ("{{ attrs.id is numbr }}", 40, 'unknown test "numbr"', 'did you mean "number"?'),
        ("{{ attrs.a.replace('a', 'b') }}", 40, 'unknown function ".replace()"', "write attrs.a | replace('a', 'b')"),
        ("{{ attrs.items() }}", 40, 'unknown function ".items()"', "write attrs | items"),
        ("{{ attrs.a.uper() }}", 40, 'unknown function ".uper()"', 'did you mean "upper"?'),
        ("{{ len(attrs.a) }}", 40, 'unknown name "len"', "write attrs.a | length"),
        ("{{ upper(attrs.a) }}", 40, 'unknown name "upper"', "write attrs.a | upper"),
        ("{{ now() }}", 40, 'unknown name "now"', "write event.received_at"),
        (
            "{{ attrs.a | default(“x”) }}",
            40,
            "“ is not a quote that templates know",
            'write {{ attrs.a | default("x") }}',
        ),
        ("{% foreach a in attrs.b %}{% endfor %}", 40, "unknown tag {% foreach %}", "write {% for a in attrs.b %}"),
        ("{% if attrs.a %}x{% endfi %}", 40, "{% endfi %} does not close {% if attrs.a %}", "write {% endif %}"),
        ("a\n{{ attrs.id", 41, "the {{ that opens here is never closed", "add }}"),
        ("a\n{% if attrs.id %}", 41, "{% if %} is never closed", "add {% endif %}"),
        ("{{ attrs. }}", 40, "a . must be followed by the name of a field", "to join two texts, write ~"),
        ("{{ attrs.a . ' x' }}", 40, "a . must be followed by the name of a field", "to join two texts, write ~"),
        ("{{ attrs.a & ' x' }}", 40, "& is not an operator", "write and; to join two texts, write ~"),
        ("{% if attrs.a LIKE 'x' %}y{% endif %}", 40, "LIKE is not an operator", "where: {regex: ...}"),
        ("{% if attrs.a eq 'x' %}y{% endif %}", 40, "eq is not an operator", "write {% if attrs.a == 'x' %}"),
        (
            "{% if attrs.a AND attrs.b %}y{% endif %}",
            40,
            "AND is not an operator",
            "write {% if attrs.a and attrs.b %}",
        ),
        ("{{ attrs.a 'x' }}", 40, "unexpected text after the end of the expression", "an operator before it"),
        ("{{ attrs.a 10 }}", 40, "unexpected number after the end of the expression", "an operator before it"),
        ("{{ (attrs.a 'x') }}", 40, "a ) is missing before a text", "add it"),
        ("{{ 1.a | default('x') }}", 40, "is written in the syntax of Make", "write {{ payload.a | default('x') }}"),
        ("{{ attrs.a[] }}", 40, "is written in the syntax of JSONPath", "{% for one in attrs.a %}"),
        ("{{ payload[id] }}", 40, 'unknown name "id"', "write payload.id"),
        ("{% if attrs.a attrs.b %}y{% endif %}", 40, 'unexpected "attrs" in this tag', "an operator before it"),
        ("{{ (attrs.a attrs.b) }}", 40, 'a ) is missing before "attrs"', "add it"),
        ("{% trans %}{% endtrans %}", 40, "unknown tag {% trans %}", ""),
        ("{% autoescape true %}{% endautoescape %}", 40, "autoescape", ""),
        ("{% extends 'a.txt.j2' %}", 40, "{% extends %} is not supported", ""),
        ("{% block a %}{% endblock %}", 40, "{% block %} is not supported", ""),
        ("{% filter upper %}a{% endfilter %}", 40, "{% filter %} is not supported", ""),
        ("{% macro f() %}{% endmacro %}{% call f() %}{% endcall %}", 40, "{% call %} is not supported", ""),
        ("{% set a | upper %}x{% endset %}", 40, "a filter on a {% set %} block", ""),
        ("{% for a in attrs recursive %}{% endfor %}", 40, "recursive", ""),
        ("{{ lipsum() }}{{ cycler() }}", 40, 'unknown name "lipsum"', ""),
        ("{{ self }}", 40, 'unknown name "self"', ""),
        ("{{ loop.index }}", 40, 'unknown name "loop"', ""),
        ("{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}", 40, "too deep", ""),
        ("{{ ''.__class__.mro() }}", 40, 'unknown function ".mro()"', ""),
        ("{% include attrs.file %}", 40, "the name of a file cannot be computed", ""),
        ("{% include 'nope.txt.j2' %}", 40, 'unknown template "nope.txt.j2"', ""),
        ("{% include 'a.json.j2' %}", 40, '"a.json.j2" cannot be used here', ""),
    ],
)
def test_a_mistake_is_found_when_the_template_is_compiled(templates, source, line, message, hint):
    problem = refusal(templates.text, TemplateText(source, HERE), no_escape)
    assert (problem.place.file, problem.place.line) == ("routes.yaml", line)
    assert message in problem.message
    assert hint in problem.hint


@pytest.mark.parametrize(
    ("expression", "right"),
    [
        ("attrs.a - attrs.b * 3 | number(2)", "(attrs.a - (attrs.b * 3)) | number(2)"),
        ("attrs.a + attrs.b * 3 | number(2)", "(attrs.a + (attrs.b * 3)) | number(2)"),
        ("attrs.a / 100 | money(attrs.currency, minor=true)", "(attrs.a / 100) | money(attrs.currency, minor=true)"),
        ("attrs.a * attrs.items[0].price | number(2)", "(attrs.a * attrs.items[0].price) | number(2)"),
        ("attrs['a b'] * -2 | string", "(attrs['a b'] * -2) | string"),
        ("attrs.a / attrs.b | default(1) | number(2)", "(attrs.a / (attrs.b | default(1))) | number(2)"),
        ('attrs.a * 2 | money("E\'R")', '(attrs.a * 2) | money("E\'R")'),
    ],
)
def test_a_filter_that_was_meant_for_a_computation_is_written_after_all_of_it(templates, expression, right):
    refused = refusal(templates.text, TemplateText(f"{{{{ {expression} }}}}", HERE), no_escape)
    assert refused.hint == f"write {right}"
    templates.text(TemplateText(f"{{{{ {right} }}}}", HERE), no_escape)


@pytest.mark.parametrize(
    "expression",
    [
        "attrs.total - attrs.items | length",
        "attrs.a * attrs.b | float",
        "attrs.a / attrs.b | round(2)",
        "attrs.a - attrs.b | default(0)",
        "attrs.a * attrs.b | number(2) | float",
        "attrs.a * (attrs.b | number)",
        "(attrs.b | number) * attrs.a",
        "attrs.a / attrs.b | number(default=0)",
        "attrs.name + attrs.b | number(2)",
        "attrs.a ~ attrs.b | number(2)",
    ],
)
def test_a_filter_may_be_meant_for_the_last_operand_alone(templates, expression):
    templates.text(TemplateText(f"{{{{ {expression} }}}}", HERE), no_escape)


@pytest.mark.parametrize(
    ("source", "hint"),
    [
        ("{{ attrs.id }}", "first.attrs, or {% for each in events %}"),
        ("{{ record.id }}", "first.record, or {% for each in events %}"),
        ("{{ null }}", "write none"),
        ("{{ slak_link('a') }}", 'did you mean "slack_link"?'),
    ],
)
def test_an_unknown_name_in_a_digest_has_the_hint_that_helps(folder, source, hint):
    templates = Templates(folder, roots=DIGEST_ROOTS)
    assert hint in refusal(templates.text, TemplateText(source, HERE), no_escape).hint


def test_names_a_template_makes_itself_are_known(text):
    source = "{% set a = 1 %}{% for b in [2] %}{% macro c(d) %}{{ a }}{{ d }}{% endmacro %}{{ c(b) }}{{ loop.index }}{% endfor %}"
    assert text(source) == "121"


@pytest.mark.parametrize(
    "source",
    [
        "<{{ attrs.firstname }}>",
        "<{{ attrs.firstname }}|link>",
        "<@{{ attrs.id }}>",
        "<#{{ attrs.id }}>",
        "<!subteam^{{ attrs.id }}>",
        "<https://crm.example/{{ attrs.id }}|open>",
        "<{% if attrs.vip %}{{ attrs.id }}{% endif %}>",
        "<{% for n in attrs.group_id %}{{ n }}{% endfor %}>",
        "<https://e|{{ attrs.firstname }}>",
    ],
)
def test_a_value_inside_slacks_angle_brackets_is_refused(templates, folder, source):
    problem = refusal(templates.text, TemplateText(source, HERE), slack.escape)
    assert "live markup" in problem.message
    assert "slack_link(url, label)" in problem.hint
    (folder / "case.json.j2").write_text(f'{{"text": "{source}"}}')
    refusal(templates.file, "case.json.j2", HERE, slack.escape)
    templates.text(TemplateText(source, HERE), no_escape)


@pytest.mark.parametrize(
    "source",
    [
        "{{ attrs.id }} < {{ attrs.score }}",
        "<!here> {{ attrs.firstname }}",
        "<https://e.example|open> {{ attrs.firstname }} <#C1>",
        "<{{ attrs.firstname | mrkdwn_raw }}>",
        "{{ slack_link('https://e.example/' ~ attrs.id, attrs.firstname) }}",
    ],
)
def test_a_value_beside_them_is_not(text, source):
    assert text(source)


def test_the_ends_of_a_value_are_kept(text):
    assert text("{{ ' lead trail ' }}\n\n") == " lead trail "
    assert text("\n  \n {{ 'a' }} \n \n") == " a "
