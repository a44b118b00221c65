"""Syntax of other products is refused with its form in Jinja."""

import re

import pytest

from gateway.destinations.escapes import no_escape
from gateway.render import TemplateText, repairs
from gateway.render.filters import FILTERS
from gateway.render.scripts import ternary
from gateway.render.unknown import INSTEAD_OF
from tests.render.given import HERE, failure, refusal

CASES = [
    ("{{ .CommonLabels.alertname }}", "Go", "{{ payload.commonLabels.alertname }}"),
    ("{{ .HTTPStatus }} {{ .ID }}", "Go", "{{ payload.httpStatus }}"),
    ("{{- .Name -}}", "Go", "{{ payload.name }}"),
    ("{{ range .Items }}{{ .Sku }}{{ end }}", "Go", "{% for one in payload.items %}{{ one.sku }}{% endfor %}"),
    ("{{ range .Items }}x\n{{ end }}", "Go", "{% for one in payload.items %}...{% endfor %}"),
    ("{{ range .Items }}\n{{ .Sku }}\n{{ end }}", "Go", "{% for one in payload.items %}{{ one.sku }}{% endfor %}"),
    ("{{ if .Ok }}\nyes{{ end }}", "Go", "{% if payload.ok %}...{% endif %}"),
    ("{{ range $i, $e := .Items }}{{ $i }}{{ end }}", "Go", "{% for e in payload.items %}...{% endfor %}"),
    (f"{{{{ if .Ok }}}}{'x' * 200}{{{{ end }}}}", "Go", "{% if payload.ok %}...{% endif %}"),
    ("{{ if .Ok }}{{ a b }}{{ end }}", "Go", "{% if payload.ok %}...{% endif %}"),
    ("{{ if .Ok }}yes", "Go", "{% if payload.ok %}...{% endif %}"),
    (
        '{{ define "a" }}x{{ end }}',
        "Go",
        'write the block into templates/a.txt.j2, and {% include "a.txt.j2" %} where it belongs',
    ),
    (
        "{{ range $i, $e := .Items }}{{ $e.Sku }}{{ end }}",
        "Go",
        "{% for e in payload.items %}{{ e.sku }}{% endfor %}",
    ),
    (
        "{{ range .Alerts.Firing }}{{ .Labels.job }}{{ end }}",
        "Go",
        '{% for one in payload.alerts | selectattr("status", "eq", "firing") %}{{ one.labels.job }}{% endfor %}',
    ),
    ("{% for one in payload.items %}{{ .Sku | toUpper }}{% endfor %}", "Go", "{{ one.sku | upper }}"),
    ("{{ range .Items }}{{ $.Name }}{{ end }}", "Go", "{% for one in payload.items %}{{ payload.name }}{% endfor %}"),
    ("{{ with .Owner }}{{ .Name }}{{ end }}", "Go", "{% if payload.owner %}"),
    ("{{ if .Ok }}yes{{ end }}", "Go", "{% if payload.ok %}"),
    ('{{ if eq .Status "paid" }}yes{{ end }}', "Go", '{% if payload.status == "paid" %}'),
    (
        "{{ if and .Ok (gt (len .Items) 1) }}yes{{ else if not .Name }}no{{ end }}",
        "Go",
        "{% if payload.ok and ((payload.items | length) > 1) %}",
    ),
    ('{{ $x := .Name | default "none" }}', "Go", '{% set x = payload.name | default("none") %}'),
    ('{{ index .Labels "a.b" }}', "Go", '{{ payload.labels["a.b"] }}'),
    ("{{ (index .Items 0).Sku }} {{ .Name }}", "Go", "{{ payload.items[0].sku }}"),
    ('{{ template "header" . }}', "Go", '{% include "header.txt.j2" %}'),
    ('{{ printf "%.2f" .Total }}', "Go", "{{ payload.total | number(2) }}"),
    ("{{ len .Items }}", "Go", "{{ payload.items | length }}"),
    ("{{ range .Items }}{{ end }}{{ end }}", "Go", "{% for one in payload.items %}"),
    ("{{ github.event.action }}", "GitHub Actions", "{{ payload.action }}"),
    (
        "{% if github.ref == 'a' && !failure() %}x{% endif %}",
        "GitHub Actions",
        "{% if payload.ref == 'a' and not payload.workflow_run.conclusion == 'failure' %}",
    ),
    (
        "{{ contains(attrs.a, 'x') || endsWith(attrs.a ~ 'b', 'y') }}",
        "GitHub Actions",
        "{{ 'x' in attrs.a or (attrs.a ~ 'b').endswith('y') }}",
    ),
    (
        "{{ contains(github.event.pull_request.labels.*.name, 'bug') }}",
        "GitHub Actions",
        """{{ 'bug' in (payload.pull_request.labels | map("name") | list) }}""",
    ),
    (
        """{{ contains(fromJSON('["a", "b"]'), github.actor) }}""",
        "GitHub Actions",
        """{{ payload.sender.login in ["a", "b"] }}""",
    ),
    ("{{ attrs.items[*] }}", "JSONPath", "{% for one in attrs.items %}{{ one.name }}{% endfor %}"),
    ("{% for x in attrs.items[*] %}x{% endfor %}", "JSONPath", "{% for x in attrs.items %}"),
    ("{{ attrs.items[*] | length }}", "JSONPath", "{{ attrs.items | length }}"),
    ("{{ attrs.a?.[0]?.b }}", "JavaScript", "{{ attrs.a[0].b }}"),
    ("{% if attrs?.a %}x{% endif %}", "JavaScript", "{% if attrs.a %}"),
    ("{{ attrs?.a ?? 'x' }}", "JavaScript", "{{ attrs.a | default('x', true) }}"),
    ("{{ attrs.id }}{{ end }}", "Go", "{% endif %}"),
    ("{{#if paid}}yes{{/if}}", "Handlebars", "{% if payload.paid %}"),
    ("{{#unless paid}}no{{/unless}}", "Handlebars", "{% if not payload.paid %}"),
    ("{{#each items}}{{this.sku}}{{/each}}", "Handlebars", "{% for one in payload.items %}"),
    ("{{#each items}}{{ sku }}{{/each}}", "Handlebars", "{% for one in payload.items %}{{ one.sku }}{% endfor %}"),
    ("{{#each items}}{{this.sku}}{{/each}}", "Handlebars", "{% for one in payload.items %}{{ one.sku }}{% endfor %}"),
    ("{{#each tags}}{{this}}{{/each}}", "Handlebars", "{% for one in payload.tags %}{{ one }}{% endfor %}"),
    ("{{{ name }}}", "Handlebars", "{{ name }}"),
    ("{{this.sku}}", "Handlebars", "{{ one.sku }}"),
    ("{{!-- a comment --}}", "Handlebars", "{# a comment #}"),
    ("{{> header}}", "Handlebars", '{% include "header.txt.j2" %}'),
    ("{{ $json.body.name }}", "n8n", "{{ payload.name }}"),
    ('{{ $json["first name"] }}', "n8n", '{{ payload["first name"] }}'),
    ('{{ $node["Webhook"].json.x }}', "n8n", "{{ payload.x }}"),
    ('{{ $node["Webhook"].json["phone"] }}', "n8n", "{{ payload.phone }}"),
    ('{{ $("Webhook").item.json.body.phone }}', "n8n", "{{ payload.phone }}"),
    ("{{ $('My Hook').first().json.body['a b'] }}", "n8n", "{{ payload['a b'] }}"),
    ("{{ $input.item.json.items[0].sku }}", "n8n", "{{ payload.items[0].sku }}"),
    ("{{ $json.query.id }}", "n8n", "{{ query.id }}"),
    ("{{ $json.a || $json.b }}", "n8n", "{{ payload.a or payload.b }}"),
    ("{{ $json.a ? 'x' : 'y' }}", "n8n", "{{ 'x' if payload.a else 'y' }}"),
    ("{{ $json.a.toUpperCase() }}", "n8n", "{{ payload.a | upper }}"),
    ("{% if $json.a === 1 && $json.b %}x{% endif %}", "n8n", "{% if payload.a == 1 and payload.b %}"),
    ("{{ $now.toFormat('dd.MM.yyyy') }}", "n8n", '{{ event.received_at | date("%d.%m.%Y") }}'),
    ("{{ $now }}", "n8n", "{{ event.received_at }}"),
    ("{{ $workflow.name }}", "n8n", "a template cannot see the steps of a workflow"),
    ("{{ $env.TOKEN }}", "n8n", "${NAME} outside the braces"),
    ("{{1.phone}}", "Make", "{{ payload.phone }}"),
    ("{{1.data.phone}}", "Make", "{{ payload.data.phone }}"),
    ("{{ 12.items[].sku }}", "Make", '{{ payload.items | map("sku") | join(", ") }}'),
    ('{{ ifempty(1.name; "none") }}', "Make", '{{ ifempty(payload.name, "none") }}'),
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
    ("{{#if payload.paid}}yes{{/if}}", "Handlebars", "{% if payload.paid %}"),
    ("{{#each attrs.items}}{{this.sku}}{{/each}}", "Handlebars", "{% for one in attrs.items %}"),
    ('{{ $json["body"]["name"] }}', "n8n", "{{ payload.name }}"),
    ("{{ $json.items[0].sku }}", "n8n", "{{ payload.items[0].sku }}"),
    ("{{ attrs.a !== 1 }}", "JavaScript", "{{ attrs.a != 1 }}"),
    ("{% if attrs.a === 1 %}x{% endif %}", "JavaScript", "{% if attrs.a == 1 %}"),
    ('{% if attrs.a === "x" && !attrs.b %}x{% endif %}', "JavaScript", '{% if attrs.a == "x" and not attrs.b %}'),
    ('{{ attrs.a === "===" || attrs.b !== 2 }}', "JavaScript", '{{ attrs.a == "===" or attrs.b != 2 }}'),
    (
        "{% for x in attrs.l %}{% if attrs.a === x && x !== y %}x{% endif %}{% endfor %}",
        "JavaScript",
        '{% if attrs.a == x and x != "y" %}',
    ),
    ("{{ attrs.a?.b === 1 && attrs.c }}", "JavaScript", "{{ attrs.a.b == 1 and attrs.c }}"),
    ("{% if attrs.a %}x{% else if attrs.b %}y{% endif %}", "JavaScript", "{% elif attrs.b %}"),
    ("{{ attrs.items.map(x => x.sku) }}", "JavaScript", '{{ attrs.items | map("sku") | join(", ") }}'),
    ("{{ attrs.items[*].sku }}", "JSONPath", '{{ attrs.items | map("sku") | join(", ") }}'),
    ("{{ attrs.items[].sku }}", "JSONPath", '{{ attrs.items | map("sku") | join(", ") }}'),
    ("{% for x in attrs.items[] %}x{% endfor %}", "JSONPath", "{% for x in attrs.items %}"),
    ("{{ $.order.id }}", "JSONPath", "{{ payload.order.id }}"),
    ("{% if attrs.a %}x{% elseif attrs.b %}y{% endif %}", "Twig", "{% elif attrs.b %}"),
    ("{{ attrs.a.toFixed(2) }}", "JavaScript", "{{ attrs.a | number(2) }}"),
    ("{{ attrs.a?attrs.b:attrs.c }}", "JavaScript", "{{ attrs.b if attrs.a else attrs.c }}"),
    ("{{attrs.a?1:0}}", "JavaScript", "{{ 1 if attrs.a else 0 }}"),
    ('{{ attrs.a=="x: ?"?"y":"z" }}', "JavaScript", '{{ "y" if attrs.a=="x: ?" else "z" }}'),
    ("{{ attrs.a === 1 ? 'x' : 'y' }}", "JavaScript", "{{ 'x' if attrs.a == 1 else 'y' }}"),
    ("{{ attrs.a ? attrs.b ? 1 : 2 : 3 }}", "JavaScript", "{{ (1 if attrs.b else 2) if attrs.a else 3 }}"),
    ("{{ attrs.a ?: 'x' }}", "JavaScript", "{{ attrs.a | default('x', true) }}"),
    ("{% set x = attrs.a ? 1 : 0 %}", "JavaScript", "{% set x = 1 if attrs.a else 0 %}"),
    ("{{ [x for x in attrs.tags] }}", "Python", "{{ attrs.tags }}"),
    ("{{ [x.sku for x in payload.items] }}", "Python", '{{ payload.items | map("sku") }}'),
    (
        '{{ ", ".join(x.sku for x in payload.items if not x.free) }}',
        "Python",
        '{{ payload.items | rejectattr("free") | map("sku") | join(", ") }}',
    ),
    ("{{ sum(x.n for x in payload.items) }}", "Python", '{{ payload.items | sum_of("n") }}'),
    ("{{ sum(x.n for x in payload.items) | number(2) }}", "Python", '{{ payload.items | sum_of("n") | number(2) }}'),
    ("{{ [x.n for x in payload.items | sort] }}", "Python", '{{ payload.items | map("n") | sort }}'),
    (
        "{{ len([x for x in payload.items if x.ok]) }}",
        "Python",
        '{{ payload.items | selectattr("ok") | list | length }}',
    ),
    ("{{ [x.n + 1 for x in payload.items] }}", "Python", "{% for x in payload.items %}{{ x.n + 1 }}{% endfor %}"),
    ("{{ {k: v for k, v in attrs.items()} }}", "Python", "{% for key, value in attrs | items %}"),
    ('{{ attrs.a | upcase | split: "," | first }}', "Liquid", '{{ (attrs.a | upper).split(",") | first }}'),
    ('{{ attrs.a | append: "b" | upcase }}', "Liquid", '{{ (attrs.a ~ "b") | upper }}'),
    ('{{ attrs.a | upcase | append: " | x" }}', "Liquid", '{{ (attrs.a | upper) ~ " | x" }}'),
    (
        '{{ attrs.a | default: "x" | truncate: 10, "..." }}',
        "Liquid",
        '{{ attrs.a | default("x") | truncate(10, "...") }}',
    ),
    ('{{ payload.items | map: "sku" | join: ", " }}', "Liquid", '{{ payload.items | map("sku") | join(", ") }}'),
    ('{{ attrs.a | remove: "b" }}', "Liquid", '{{ attrs.a | replace("b", "") }}'),
    ('{{ attrs.a | pluralize: "x" }}', "Liquid", "a filter with its arguments in parentheses"),
    ('{% assign x = attrs.a | append: "b" %}', "Liquid", '{% set x = attrs.a ~ "b" %}'),
    ("{%- assign x = attrs.a -%}", "Liquid", "{% set x = attrs.a %}"),
    ("{% unless attrs.a == 1 or attrs.b %}x{% endunless %}", "Liquid", "{% if not (attrs.a == 1 or attrs.b) %}"),
    (
        "{% for i in attrs.a %}{% unless forloop.last %}, {% endunless %}{% endfor %}",
        "Liquid",
        "{% if not loop.last %}",
    ),
    ("{% for i in attrs.a %}{{ forloop.rindex }}{% endfor %}", "Liquid", "{{ loop.revindex }}"),
    ('{% if attrs.a contains "x" %}y{% endif %}', "Liquid", '{% if "x" in attrs.a %}'),
    ('{% if attrs.a contains "x" && attrs.b %}y{% endif %}', "Liquid", '{% if "x" in attrs.a and attrs.b %}'),
    ('{% if attrs.b %}{% elsif attrs.a contains "x" %}y{% endif %}', "Liquid", '{% elif "x" in attrs.a %}'),
    ("{% if attrs.a == blank %}y{% endif %}", "Liquid", "{% if not attrs.a %}"),
    ("{% if attrs.a != empty %}y{% endif %}", "Liquid", "{% if attrs.a %}"),
    ("{% for i in attrs.a limit:3 %}x{% endfor %}", "Liquid", "{% for i in attrs.a[:3] %}"),
    ("{% for i in attrs.a reversed %}x{% endfor %}", "Liquid", "{% for i in attrs.a | reverse %}"),
    ("{% for i in (1..3) %}x{% endfor %}", "Liquid", "{% for i in range(1, 4) %}"),
    ("{% comment %}x{% endcomment %}", "Liquid", "{# a comment #}"),
    ('{% render "header" %}', "Liquid", '{% include "header.txt.j2" %}'),
]


@pytest.mark.parametrize(
    "expression", ["attrs.a ? (attrs.b) ~ (attrs.c ? 1 : 2) : 3", "attrs.a?.b ? 1 : 2", "attrs.a ?? 1"]
)
def test_a_question_with_another_one_in_an_expression_of_it_is_not_said(expression):
    assert ternary(expression) == ""


#: Remedies that stand for more than they say, or name a file that is not there.
NOT_WHOLE = (
    '!= "y"',
    "{{ one",
    "{{ name }}",
    "header",
    "parentheses",
    "ifempty",
    "query",
    "workflow",
    "outside",
    "No. ",
    "{% endif %} or",
    "the block into",
    '"..."',
)


@pytest.mark.parametrize(("source", "form"), [(source, form) for source, _, form in CASES])
def test_what_is_to_be_written_is_a_template(templates, source, form):
    remedy = refusal(templates.text, TemplateText(source, HERE), no_escape).hint.removeprefix("write ")
    is_loop = remedy.startswith("{% for") and "{% endfor %}" in remedy
    if (any(each in remedy for each in NOT_WHOLE) and not is_loop) or remedy in ("{% endif %}", "{# a comment #}"):
        return
    whole = remedy.partition(": a field of")[0]
    if remedy.startswith("{% elif"):
        whole = "{% if attrs.a %}" + remedy
    if whole.startswith("{% if") and "{% endif %}" not in whole:
        whole += "{% endif %}"
    if whole.startswith("{% for") and "{% endfor %}" not in whole:
        whole += "{% endfor %}"
    if "loop." in whole:
        whole = f"{{% for x in payload.items %}}{whole}{{% endfor %}}"
    assert templates.text(TemplateText(whole, HERE), no_escape) is not None


@pytest.mark.parametrize(
    ("source", "hint"),
    [
        ('{{ attrs.get("firstname") }}', "write attrs.firstname"),
        ('{{ attrs.get("firstname", "none") }}', "write attrs.firstname | default('none')"),
        ("{{ payload.get('data').get('first name') }}", "write payload.data['first name']"),
        ('{{ ", ".join(attrs.tags) }}', "write attrs.tags | join(', ')"),
        ('{{ attrs.tags.join(", ") }}', "write attrs.tags | join(', ')"),
        ('{{ attrs.a.includes("x") }}', "write 'x' in attrs.a"),
        ("{{ attrs.a.slice(0, 3) }}", "write attrs.a[0:3]"),
        ("{{ attrs.a.substring(2) }}", "write attrs.a[2:]"),
        ('{{ attrs.a.replaceAll("a", "b") }}', "write attrs.a | replace('a', 'b')"),
        ("{{ attrs.keys() }}", "write {% for key, value in attrs | items %}"),
        ("{{ attrs.a is not null }}", "write attrs.a is not none"),
        ("{{ attrs.a is not empty }}", "write attrs.a"),
        ("{{ attrs.a is not present }}", "write attrs.a is not defined"),
        ("{{ body.x }}", "write payload: it is what the sender sends"),
        ("{{ secrets.X }}", "write ${NAME}, outside the braces"),
    ],
)
def test_a_function_test_or_name_of_other_languages_gets_what_to_write(templates, source, hint):
    assert refusal(templates.text, TemplateText(source, HERE), no_escape).hint == hint


def test_a_text_and_a_number_are_joined_by_another_operator(text):
    assert "cannot compute text + a number: write ~ to join them" in failure(text, "{{ 'No. ' + attrs.id }}")
    assert text("{{ 'No. ' ~ attrs.id }}") == "No. 451"


@pytest.mark.parametrize(
    ("expression", "printed"),
    [
        ("2 * price", "5.0"),
        ("price * 2", "5.0"),
        ("price - 1", "1.5"),
        ("price / price", "1.0"),
        ("price + 1", "3.5"),
        ("(price | trim) ** 2", "6.25"),
    ],
)
def test_a_text_that_shows_a_number_is_computed_after_the_filter_that_the_error_names(text, expression, printed):
    assert "| number" in failure(text, f"{{% set price = '2.50' %}}{{{{ {expression} }}}}")
    right = expression.replace("price", "(price | number)").replace("| number) | trim", "| trim | number)")
    assert text(f"{{% set price = '2.50' %}}{{{{ {right} }}}}") == printed


@pytest.mark.parametrize(("source", "language", "form"), CASES)
def test_foreign_syntax_gets_its_form_in_jinja(templates, source, language, form):
    problem = refusal(templates.text, TemplateText(source, HERE), no_escape)
    assert f"is written in the syntax of {language}" in problem.message
    assert form in problem.hint


_GO, _BRACED = "written in the syntax of Go", "a statement in the braces of a value"

#: A block, what is said of its first tag, and the whole block as it is to be written.
WHOLE = [
    ("{{ if .Ok }}yes{{ end }}", _GO, "{% if payload.ok %}yes{% endif %}"),
    ("{{ if attrs.id }}yes{{ end }}", _GO, "{% if attrs.id %}yes{% endif %}"),
    ("{{if .Email}}{{.Email}}{{else}}none{{end}}", _GO, "{% if payload.email %}{{ payload.email }}{% else %}none{% endif %}"),
    ('{{ if eq attrs.id "a" }}x{{ else if attrs.vip }}y{{ end }}', _GO, '{% if attrs.id == "a" %}x{% elif attrs.vip %}y{% endif %}'),
    ('{{ if attrs.id == "a" and attrs.vip }}x{{ end }}', _GO, '{% if attrs.id == "a" and attrs.vip %}x{% endif %}'),
    ("{{ if attrs.id && !attrs.vip }}x{{ end }}", _GO, "{% if attrs.id and not attrs.vip %}x{% endif %}"),
    ("{{ with .Owner }}{{ .Name }}{{ end }}", _GO, "{% if payload.owner %}{{ payload.owner.name }}{% endif %}"),
    ("{{ with attrs.owner }}{{ .Name }}{{ end }}", _GO, "{% if attrs.owner %}{{ attrs.owner.name }}{% endif %}"),
    ("{{ range .Items }}{{ .name }}, {{ .n }}{{ end }}", _GO, "{% for one in payload.items %}{{ one.name }}, {{ one.n }}{% endfor %}"),
    ("{{ range payload.items }}{{ .name }}{{ else }}none{{ end }}", _GO, "{% for one in payload.items %}{{ one.name }}{% else %}none{% endfor %}"),
    ("{{ range $one := attrs.group_id }}{{ $one }}{{ end }}", _GO, "{% for one in attrs.group_id %}{{ one }}{% endfor %}"),
    ("{{ range $k, $v := .Labels }}{{ $k }}={{ $v }}{{ end }}", _GO, "{% for k, v in payload.labels | items %}{{ k }}={{ v }}{% endfor %}"),
    ("{{ if .A }}{{ range .B }}{{ . }}{{ end }}{{ end }}", _GO, "{% if payload.a %}{% for one in payload.b %}{{ one }}{% endfor %}{% endif %}"),
    ("{{- if .A -}} {{ attrs.id }} {{- end }}", _GO, "{%- if payload.a -%} {{ attrs.id }} {%- endif %}"),
    ("{{ if .A }}{% if attrs.id %}x{% endif %}{{ end }}", _GO, "{% if payload.a %}{% if attrs.id %}x{% endif %}{% endif %}"),
    ("{{ if attrs.id }}yes{{ endif }}", _BRACED, "{% if attrs.id %}yes{% endif %}"),
    ("{{ if attrs.id }}yes{{ elif attrs.vip = 1 }}{{ attrs.id }}{{ else }}no{{ endif }}", _BRACED, "{% if attrs.id %}yes{% elif attrs.vip == 1 %}{{ attrs.id }}{% else %}no{% endif %}"),
    ("{{ for x in payload.items }}{{ x.sku }}{{ endfor }}", _BRACED, "{% for x in payload.items %}{{ x.sku }}{% endfor %}"),
    ("{{ set x = 1 }}{{ x }}", _BRACED, "{% set x = 1 %}"),
    ("{{ if attrs.id }}yes{% endif %}", _BRACED, "{% if attrs.id %}yes{% endif %}"),
]  # fmt: skip


@pytest.mark.parametrize(("source", "language", "right"), WHOLE)
def test_a_block_is_written_as_a_whole_and_its_first_tag_is_reported(templates, source, language, right):
    problem = refusal(templates.text, TemplateText(f"a {source} b", HERE), no_escape)
    assert problem.near == f"{source} b"
    assert problem.message.endswith(f" is {language}")
    assert problem.hint == f"write {right}"
    templates.text(TemplateText(right, HERE), no_escape)


@pytest.mark.parametrize("name", INSTEAD_OF)
def test_a_filter_of_other_templates_gets_what_to_write_instead(templates, name):
    assert name not in FILTERS
    problem = refusal(templates.text, TemplateText(f"{{{{ attrs.a | {name} }}}}", HERE), no_escape)
    assert (problem.message, problem.hint) == (f'unknown filter "{name}"', INSTEAD_OF[name])


#: What nothing but Jinja's own refusal tells apart, and what is to be written.
REPAIRED = [
    ('{{ attrs.a | default "x" }}', '{{ attrs.a | default("x") }}'),
    ("{{ attrs.a | truncate 10 }}", "{{ attrs.a | truncate(10) }}"),
    ('{{ attrs.a | replace "a" "b" | upper }}', '{{ attrs.a | replace("a", "b") | upper }}'),
    ('{{ default "x" attrs.a }}', '{{ attrs.a | default("x") }}'),
    ('{% if hasPrefix "+49" attrs.a %}x{% endif %}', '{% if attrs.a.startswith("+49") %}'),
    ('{% if hasSuffix "9" attrs.a %}x{% endif %}', '{% if attrs.a.endswith("9") %}'),
    ('{% if contains "9" attrs.a %}x{% endif %}', '{% if "9" in attrs.a %}'),
    ('{% if eq attrs.a "x" %}y{% endif %}', '{% if attrs.a == "x" %}'),
    ('{% if and (eq attrs.a "x") attrs.b %}y{% endif %}', '{% if (attrs.a == "x") and attrs.b %}'),
    ('{% if attrs.a starts with "+49" %}x{% endif %}', '{% if attrs.a.startswith("+49") %}'),
    ('{% if attrs.b and attrs.a startsWith "+49" %}x{% endif %}', '{% if attrs.b and attrs.a.startswith("+49") %}'),
    ('{% if attrs.a does not end with "9" %}x{% endif %}', '{% if not attrs.a.endswith("9") %}'),
    ('{% if attrs.a includes "x" %}y{% endif %}', '{% if "x" in attrs.a %}'),
    ('{% if attrs.a =~ "^\\+49" %}x{% endif %}', "{% if attrs.a.startswith('+49') %}"),
    ("{% if attrs.a !~ '9$' %}x{% endif %}", "{% if not attrs.a.endswith('9') %}"),
    (
        "{% if attrs.a matches 'a.c' %}x{% endif %}",
        r"{% if (attrs.a | regex_replace('(?s)^.*?(?:(a.c).*)?$', '\\1')) %}",
    ),
    ("{% if attrs.a = lead %}x{% endif %}", '{% if attrs.a == "lead" %}'),
    ("{% if attrs.a = attrs.b and attrs.c = 1 %}x{% endif %}", "{% if attrs.a == attrs.b and attrs.c == 1 %}"),
    ('{% if attrs.a | number(point=",") = 1 %}x{% endif %}', '{% if attrs.a | number(point=",") == 1 %}'),
    ("{% for x in attrs.l %}{% if x = y-z %}x{% endif %}{% endfor %}", '{% if x == "y-z" %}'),
    ("{% for x in attrs.l %}{% if attrs.a = x %}x{% endif %}{% endfor %}", "{% if attrs.a == x %}"),
    ("{% if attrs.a <> 'x' AND NOT attrs.b %}x{% endif %}", "{% if attrs.a != 'x' and not attrs.b %}"),
    ("{% if attrs.a gte 3 || attrs.b lt 2 %}x{% endif %}", "{% if attrs.a >= 3 or attrs.b < 2 %}"),
    ("{{ attrs.a || attrs.b }}", "{{ attrs.a or attrs.b }}"),
    ("{{ attrs.a | default(“x”) }}", '{{ attrs.a | default("x") }}'),
    ("{% for x of attrs.l %}x{% endfor %}", "{% for x in attrs.l %}"),
    ("{% for (const x of attrs.l) %}x{% endfor %}", "{% for x in attrs.l %}"),
    ("{% foreach x in attrs.l %}x{% endfor %}", "{% for x in attrs.l %}"),
    ("{% for x in attrs.l || [] %}x{% endfor %}", "{% for x in attrs.l or [] %}"),
    ("{% foreach attrs.l as x %}x{% endfor %}", "{% for x in attrs.l %}"),
    ("{% foreach attrs.l as $k => $v %}x{% endfor %}", "{% for k, v in attrs.l | items %}"),
    ("{% for attrs.l %}x{% endfor %}", "{% for one in attrs.l %}"),
    ("{% if attrs.a %}x{% fi %}", "{% endif %}"),
    ("{% if attrs.a %}x{% end if %}", "{% endif %}"),
    ("{% for x in attrs.l %}x{% endforeach %}", "{% endfor %}"),
]


@pytest.mark.parametrize(("source", "right"), REPAIRED)
def test_a_tag_that_jinja_refuses_is_put_right_as_a_whole(templates, source, right):
    problem = refusal(templates.text, TemplateText(f"Hello {source}", HERE), no_escape)
    assert problem.hint == f"write {right}"


@pytest.mark.parametrize(("source", "right"), REPAIRED)
def test_a_tag_that_was_put_right_is_accepted(templates, source, right):
    wrong = next(tag for tag in re.findall(r"\{%.*?%\}|\{\{.*?\}\}", source) if not repairs.is_of_jinja(content(tag)))
    assert templates.text(TemplateText(source.replace(wrong, right), HERE), no_escape) is not None


def content(tag):
    """What a tag has inside, which begins with % if it is one of statements."""
    return f"%{tag[2:-2].strip()}" if tag.startswith("{%") else tag[2:-2].strip()


@pytest.mark.parametrize(
    "source", ["{{ attrs.id attrs.b }}", "{% if attrs.a = %}x{% endif %}", "{% for x of y z %}x{% endfor %}"]
)
def test_what_cannot_be_put_right_is_not_proposed(templates, source):
    problem = refusal(templates.text, TemplateText(source, HERE), no_escape)
    assert source[3:-3].split(" %}")[0] not in problem.hint


@pytest.mark.parametrize(
    ("source", "wrong"),
    [
        ("long {{ attrs.id }} and {% if attrs.a %}x{% fi %}", "{% fi %}"),
        ("long {{ attrs.id }} {% if attrs.a = b %}x{% endif %}", "{% if attrs.a = b %}"),
        ("long {{ attrs.id }} {{ attrs.a || attrs.b }}", "{{ attrs.a ||"),
        ("long {{ attrs.id }} {% foreach x in attrs.l %}x{% endfor %}", "{% foreach"),
        ("long {{ attrs.id }} {% for x y %}x{% endfor %}", "{% for x y"),
        ("long {{ attrs.id }} {{ attrs.id attrs.b }}", "{{ attrs.id attrs.b"),
        ("long {{ attrs.id }} {% endif %}", "{% endif"),
        ("long {{ attrs.id }} {{ attrs.a | default(1 }}", "{{ attrs.a | default(1"),
    ],
)
def test_the_place_is_that_of_the_tag_on_a_long_line(templates, source, wrong):
    problem = refusal(templates.text, TemplateText(source, HERE), no_escape)
    assert problem.near == source[source.index(wrong) :]


@pytest.mark.parametrize(
    ("source", "hint"),
    [
        ("{% if attrs.a %}x{% end %}", "write {% endif %}"),
        ("{% for x in attrs.a %}x{% end %}", "write {% endfor %}"),
        ("{% set a %}x{% end %}", "write {% endset %}"),
        ("{% set a = 1 %}{% if a %}x{% end %}", "write {% endif %}"),
        ("{% macro m() %}x{% end %}", "write {% endmacro %}"),
        ("{% with a = 1 %}x{% end %}", "write {% endwith %}"),
    ],
)
def test_an_end_that_does_not_say_of_what_is_of_no_other_language(templates, source, hint):
    problem = refusal(templates.text, TemplateText(source, HERE), no_escape)
    assert (problem.message, problem.hint) == ("{% end %} does not say what it ends", hint)


@pytest.mark.parametrize(
    ("expression", "right"),
    [
        ('hasPrefix "+49" attrs.a', 'attrs.a.startswith("+49")'),
        ('attrs.a starts with "+49"', 'attrs.a.startswith("+49")'),
        ('attrs.a =~ "^\\+49"', "attrs.a.startswith('+49')"),
        ("attrs.a = lead", 'attrs.a == "lead"'),
        ("attrs.a && !attrs.b", "attrs.a and not attrs.b"),
    ],
)
def test_a_condition_is_put_right_without_braces(templates, expression, right):
    assert refusal(templates.truth, TemplateText(expression, HERE)).hint == f"write {right}"
    assert templates.truth(TemplateText(right, HERE)) is not None


def test_a_bare_word_that_a_field_is_compared_with_is_a_text(templates):
    problem = refusal(templates.text, TemplateText("{% if attrs.a == lead %}x{% endif %}", HERE), no_escape)
    assert (problem.message, problem.hint) == ('unknown name "lead"', 'put it in quotes: "lead"')


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


OWN = "known: id, type, source, resource, action, received_at; what the sender sends is under payload: "


@pytest.mark.parametrize(
    ("path", "hint"),
    [
        ("time", "write event.received_at"),
        ("name", "write event.type"),
        ("Type", 'did you mean "type"?'),
        ("payload.x", "write payload.x"),
        ("payload.items[0].sku", "write payload.items[0].sku"),
        ("headers.x_id", "write headers.x_id"),
        ("attrs.firstname", "write attrs.firstname"),
        ("body.id", "write payload.id"),
        ("order.id", OWN + "payload.order.id"),
    ],
)
def test_a_field_that_event_does_not_have_is_refused_with_where_it_is(templates, path, hint):
    field, _, rest = path.partition(".")
    below = f".{rest}" if rest else ""
    for source in (f"{{{{ event.{path} }}}}", f"{{% if event['{field}']{below} %}}x{{% endif %}}"):
        problem = refusal(templates.text, TemplateText(source, HERE), no_escape)
        assert problem.message == f'event has no field "{field}"'
    assert refusal(templates.truth, TemplateText(f"event.{path}", HERE)).hint == hint


def test_a_loop_may_call_each_of_the_senders_events_event(text):
    assert text("{% for event in payload.items %}{{ event.sku }}{% endfor %}") == "AB"
