"""Syntax of other products is refused with its form in Jinja."""

import pytest

from gateway.destinations.escapes import no_escape
from gateway.render import TemplateText
from gateway.render.filters import FILTERS, TESTS
from gateway.render.foreign import INSTEAD_OF, INSTEAD_OF_TESTS
from tests.render.given import HERE, refusal

CASES = [
    ("{{ .Event.Name }}", "Go", "{{ payload.Event.Name }}"),
    ("{{- .Name -}}", "Go", "{{ payload.Name }}"),
    ("{{ range .Items }}{{ .Sku }}{{ end }}", "Go", "{% for one in payload.Items %}"),
    ("{{ range $i, $e := .Items }}x{{ end }}", "Go", "{% for one in payload.Items %}"),
    ("{{ if .Ok }}yes{{ end }}", "Go", "{% if payload.Ok %}"),
    ('{{ if eq .Status "paid" }}yes{{ end }}', "Go", '{% if payload.Status == "paid" %}'),
    ('{{ printf "%.2f" .Total }}', "Go", "{{ payload.Total | number(2) }}"),
    ("{{ len .Items }}", "Go", "{{ payload.Items | length }}"),
    ("{{ attrs.id }}{{ end }}", "Go", "{% endif %}"),
    ("{{#if paid}}yes{{/if}}", "Handlebars", "{% if payload.paid %}"),
    ("{{#unless paid}}no{{/unless}}", "Handlebars", "{% if not payload.paid %}"),
    ("{{#each items}}{{this.sku}}{{/each}}", "Handlebars", "{% for one in payload.items %}"),
    ("{{{ name }}}", "Handlebars", "{{ name }}"),
    ("{{this.sku}}", "Handlebars", "{{ one.sku }}"),
    ("{{!-- a comment --}}", "Handlebars", "{# a comment #}"),
    ("{{> header}}", "Handlebars", '{% include "header.txt.j2" %}'),
    ("{{ $json.body.name }}", "n8n", "{{ payload.name }}"),
    ('{{ $json["first name"] }}', "n8n", '{{ payload["first name"] }}'),
    ('{{ $node["Webhook"].json.x }}', "n8n", "no other step"),
    ("{{ $json.headers['x-id'] }}", "n8n", '{{ headers["x-id"] }}'),
    ('{{ attrs.name | default: "x" }}', "Liquid", '{{ attrs.name | default("x") }}'),
    ('{{ attrs.at | date: "%Y" }}', "Liquid", '{{ attrs.at | date("%Y") }}'),
    ('{{ attrs.a | append: "b" }}', "Liquid", '{{ attrs.a ~ "b" }}'),
    ("{{ attrs.a | times: 2 }}", "Liquid", "{{ attrs.a * 2 }}"),
    ("{{ attrs.a | upcase }}", "Liquid", "{{ attrs.a | upper }}"),
    ("{{ attrs.a | size }}", "Liquid", "{{ attrs.a | length }}"),
    ("{% assign x = attrs.a %}", "Liquid", "{% set x = attrs.a %}"),
    ("{% unless attrs.a %}x{% endunless %}", "Liquid", "{% if not attrs.a %}"),
    ("{% if attrs.a %}x{% elsif attrs.b %}y{% endif %}", "Liquid", "{% elif attrs.b %}"),
    ("{% case attrs.a %}{% when 1 %}x{% endcase %}", "Liquid", '{% if attrs.a == "..." %}'),
    ("{{ attrs.a ?? 'x' }}", "JavaScript", "{{ attrs.a | default('x', true) }}"),
    ("{{ attrs?.a }}", "JavaScript", "{{ attrs.a }}"),
    ("{{ attrs.a ? 'x' : 'y' }}", "JavaScript", "{{ 'x' if attrs.a else 'y' }}"),
    ("{{ attrs.a == 'b' ? 'x: y' : 'z' }}", "JavaScript", "{{ 'x: y' if attrs.a == 'b' else 'z' }}"),
    ("{{ attrs.a ? attrs.b : attrs.c }}", "JavaScript", "{{ attrs.b if attrs.a else attrs.c }}"),
    ("{{ f'No. {attrs.a}' }}", "Python", "the text itself, with each value in braces: No. {{ attrs.id }}"),
    ("{{ attrs.a.toUpperCase() }}", "JavaScript", "{{ attrs.a | upper }}"),
    ("{{ .payload.name }}", "Go", "{{ payload.name }}"),
    ("{{ if .attrs.ok }}yes{{ end }}", "Go", "{% if attrs.ok %}"),
    ('{{ printf "%s" payload.name }}', "Go", "{{ payload.name }}"),
    ("{% if attrs.a %}x{% end %}", "Go", "{% endif %}"),
    ("{{#if payload.paid}}yes{{/if}}", "Handlebars", "{% if payload.paid %}"),
    ("{{#each attrs.items}}{{this.sku}}{{/each}}", "Handlebars", "{% for one in attrs.items %}"),
    ('{{ $json["body"]["name"] }}', "n8n", '{{ payload["name"] }}'),
    ("{{ $json.items[0].sku }}", "n8n", "{{ payload.items[0].sku }}"),
    ("{{ attrs.a !== 1 }}", "JavaScript", "{{ attrs.a != 1 }}"),
    ("{% if attrs.a === 1 %}x{% endif %}", "JavaScript", "{% if attrs.a == 1 %}"),
    ("{% if attrs.a %}x{% else if attrs.b %}y{% endif %}", "JavaScript", "{% elif attrs.b %}"),
    ("{{ attrs.items.map(x => x.sku) }}", "JavaScript", '{{ attrs.items | map("sku") | join(", ") }}'),
    ("{{ attrs.items[*].sku }}", "JSONPath", '{{ attrs.items | map("sku") | join(", ") }}'),
    ("{{ $.order.id }}", "JSONPath", "{{ payload.order.id }}"),
    ("{% if attrs.a %}x{% elseif attrs.b %}y{% endif %}", "Twig", "{% elif attrs.b %}"),
    ("{{ attrs.a.toFixed(2) }}", "JavaScript", "{{ attrs.a | number(2) }}"),
]


@pytest.mark.parametrize(("source", "language", "form"), CASES)
def test_foreign_syntax_gets_its_form_in_jinja(templates, source, language, form):
    problem = refusal(templates.text, TemplateText(source, HERE), no_escape)
    assert f"is written in the syntax of {language}" in problem.message
    assert form in problem.hint


@pytest.mark.parametrize("name", INSTEAD_OF)
def test_a_filter_of_other_templates_gets_what_to_write_instead(templates, name):
    assert name not in FILTERS
    problem = refusal(templates.text, TemplateText(f"{{{{ attrs.a | {name} }}}}", HERE), no_escape)
    assert (problem.message, problem.hint) == (f'unknown filter "{name}"', INSTEAD_OF[name])


@pytest.mark.parametrize("name", INSTEAD_OF_TESTS)
def test_a_test_of_other_templates_gets_what_to_write_instead(templates, name):
    assert name not in TESTS
    problem = refusal(templates.text, TemplateText(f"{{% if attrs.a is {name} %}}x{{% endif %}}", HERE), no_escape)
    assert problem.hint == INSTEAD_OF_TESTS[name]


def test_an_expression_gets_its_form_without_braces(templates):
    assert refusal(templates.truth, TemplateText("attrs.a === 1", HERE)).hint == "write attrs.a == 1"


def test_the_line_is_that_of_the_tag(templates):
    problem = refusal(templates.text, TemplateText("{{ attrs.a }}\n\n{{ .Name }}", HERE), no_escape)
    assert problem.place.line == HERE.line + 2


@pytest.mark.parametrize(
    "source", ["{{ atrs.id }}", "{{ attrs.id | uper }}", "{{ attrs.id ", "{% if attrs.id %}", "{{ a[1:2] }}"]
)
def test_a_mistake_in_jinja_stays_one(templates, source):
    assert "syntax of" not in refusal(templates.text, TemplateText(source, HERE), no_escape).message


@pytest.mark.parametrize("field", ["time", "name", "Type"])
def test_a_field_that_event_does_not_have_is_refused(templates, field):
    for source in (f"{{{{ event.{field} }}}}", f"{{% if event['{field}'] %}}x{{% endif %}}"):
        problem = refusal(templates.text, TemplateText(source, HERE), no_escape)
        assert problem.message == f'event has no field "{field}"'
    assert refusal(templates.truth, TemplateText(f"event.{field}", HERE)).hint in (
        "known: id, type, source, resource, action, received_at",
        'did you mean "type"?',
    )


def test_a_loop_may_call_each_of_the_senders_events_event(text):
    assert text("{% for event in payload.items %}{{ event.sku }}{% endfor %}") == "AB"
