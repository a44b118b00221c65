"""What check says to write in a template or a condition can be pasted: the file is then in order."""

import re

import pytest

from gateway.config import load
from gateway.errors import ConfigError
from gateway.render import repairs

HEAD = """version: 1
sources:
  shop: {preset: shopify, secret: "${HUSH}"}
  git: {preset: github, secret: "${HUSH}"}
  crm: {preset: xobito, secret: "${HUSH}"}
  chat: {preset: meta, secret: "${HUSH}"}
  pay: {preset: stripe, secret: "${HUSH}"}
  alerts: {preset: alertmanager, secret: "${HUSH}"}
  own: {verify: {token: {header: x-token}}, secret: "${HUSH}", samples: samples, type: "{payload.kind}"}
destinations:
  log: {url: "https://log.example.com"}
routes:
"""
LOOP = "{% for item in payload.line_items %}"


@pytest.fixture
def problems(tmp_path):
    (tmp_path / "samples").mkdir()
    (tmp_path / "samples" / "invoice.paid.json").write_text('{"kind": "invoice.paid", "number": "7", "total": 3}')

    def found(route):
        (tmp_path / "routes.yaml").write_text(HEAD + route)
        try:
            return load(tmp_path / "routes.yaml", environ={"HUSH": "h" * 40}).warnings
        except ConfigError as refused:
            return refused.problems

    return found


def written(source, match, *lines):
    text = "".join(f"      {line}\n" for line in lines)
    return f"  - source: {source}\n    match: '{match}'\n    to: log\n    text: |\n{text}"


def said(problem):
    return f"{problem.message} ({problem.hint})" if problem.hint else problem.message


MEANT = r'did you mean "(.*?)"'


@pytest.mark.parametrize(
    ("source", "match", "template", "message", "right"),
    [
        # A variable of a loop, or what it leads to, with another name.
        ("shop", "orders/create", LOOP + "{{ itm.title }}{% endfor %}", 'unknown name "itm"', "item.title"),
        ("shop", "orders/create", LOOP + "{{ items.title }}{% endfor %}", 'unknown name "items"', "item.title"),
        ("shop", "orders/create", LOOP + "{{ line_item.title }}{% endfor %}", 'unknown name "line_item"', "item.title"),
        ("shop", "orders/create", LOOP + "{{ product.title }}{% endfor %}", 'unknown name "product"', "item.title"),
        ("shop", "orders/create", "{% for item in payload.line_items | sort(attribute='id') %}{{ product.title }}{% endfor %}", 'unknown name "product"', "item.title"),
        ("shop", "orders/create", "{% for item in payload.line_items[:3] %}{{ item.tittle }}{% endfor %}", "the event has no field item.tittle", "item.title"),
        ("git", "push", "{% set pushed = payload.pusher %}{{ pushd.name }}", 'unknown name "pushd"', "pushed.name"),
        # A field that no sample has, and one that is like it.
        ("shop", "orders/create", LOOP + "{{ item.tittle }}{% endfor %}", "the event has no field item.tittle", "item.title"),
        ("git", "push", "{% set pushed = payload.pusher %}{{ pushed.nme }}", "the event has no field pushed.nme", "pushed.name"),
        ("git", "push", "{% for one in payload.commits %}{% set who = one.author %}{{ who.nam }}{% endfor %}", "the event has no field who.nam", "who.name"),
        ("pay", "**", "{{ payload.data.id }}", "the event has no field payload.data.id", "payload.data.object.id"),
        ("shop", "orders/create", LOOP + "{{ item.tittle | default('x') }}{% endfor %}", "no sample has item.tittle", "item.title"),
    ],
)  # fmt: skip
def test_a_name_that_is_meant(problems, source, match, template, message, right):
    (problem,) = problems(written(source, match, template))
    assert message in problem.message
    assert re.search(MEANT, said(problem))[1] == right
    wrong = re.search(r"(?:name \"|has no field |sample has )([\w.]+\w)", problem.message)[1]
    path = re.search(rf"{wrong}[\w.]*", template.split("{{", 1)[1])[0]
    assert problems(written(source, match, template.replace(f"{{{{ {path}", f"{{{{ {right}"))) == ()


@pytest.mark.parametrize(
    ("source", "match", "template", "message"),
    [
        ("git", "push", "{{ attrs.branch }}", "no sample of push has attrs.branch"),
        ("git", "push", "{% for one in payload.commits %}{{ one.branch }}{% endfor %}", "no sample of push has one.branch"),
        ("shop", "orders/create", LOOP + "{{ item.wrapping.color }}{% endfor %}", "no sample of orders/create has item.wrapping.color"),
        ("git", "push", "{{ payload.commits.branch }}", "no sample of push has payload.commits.branch: payload.commits has 1 element in the sample push"),
        # What is null or empty in a sample may have it.
        ("git", "push", "{{ payload.repository.license.name }}", "push may lack payload.repository.license.name: payload.repository.license is null in the sample push"),
    ],
)  # fmt: skip
def test_a_default_is_not_the_remedy_for_a_field_that_no_sample_has(problems, source, match, template, message):
    (problem,) = problems(written(source, match, template))
    assert problem.message == message
    assert problem.hint.startswith("name a field that exists, or ") is message.startswith("no sample")


@pytest.mark.parametrize(
    ("field", "right"),
    [
        ("payload.line_items.title", 'payload.line_items | map("title") | join(", ")'),
        ("attrs.line_items.title", 'attrs.line_items | map("title") | join(", ")'),
        ("payload.commits.author.name", "payload.commits[0].author.name for the first element"),
    ],
)  # fmt: skip
def test_a_field_of_the_elements_of_a_list(problems, field, right):
    event = ("git", "push") if "commits" in field else ("shop", "orders/create")
    (problem,) = problems(written(*event, f"{{{{ {field} }}}}"))
    assert problem.message.endswith(f"the event has no field {field}: write {right}")
    assert problems(written(*event, f"{{{{ {right.removesuffix(' for the first element')} }}}}")) == ()


def test_a_field_that_some_types_have_may_be_missing_in_others(problems):
    found = problems(written("git", "**", "{{ payload.commits }}"))
    assert any("may lack payload.commits" in each.message for each in found)
    assert not any("no sample" in each.message for each in found)


def test_every_misspelt_field_of_a_loop_is_reported(problems):
    found = problems(
        written("git", "push", "{% for c in payload.commits %}{{ c.massage }}{{ c.autor.nme }}{% endfor %}")
    )
    assert [re.search(MEANT, each.message)[1] for each in found] == ["c.message", "c.author"]


def test_a_variable_outside_of_its_loop(problems):
    template = LOOP + "{{ item.title }}{% endfor %}{{ item.title }}"
    (problem,) = problems(written("shop", "orders/create", template))
    assert said(problem) == 'unknown name "item" (item exists only inside {% for item in payload.line_items %})'


@pytest.mark.parametrize(
    ("route", "right"),
    [
        (written("own", "**", "{{ attrs.number }} {{ attrs.total }}"), "payload.number and payload.total"),
        (written("own", "other", "{{ attrs.name }}"), "payload.name"),
        ("  - {source: own, match: other, where: {attrs.number: 7}, to: log}\n", "payload.number"),
    ],
)
def test_a_source_without_the_shortcut_is_named_with_the_field_of_the_payload(problems, route, right):
    problem = next(each for each in problems(route) if "shortcut" in each.message)
    assert problem.message.startswith('the source "own" has no shortcut attrs, so there is no attrs.')
    assert problem.hint == f"write {right}, or declare it there: shortcuts: {{attrs: payload}}"
    assert not any("shortcut" in each.message for each in problems(route.replace("attrs.", "payload.")))


@pytest.mark.parametrize("line", ["match: push", "source: [git, own]", "source: shop"])
def test_an_entry_whose_sources_have_the_shortcut_is_in_order(problems, line):
    found = problems(f"  - {{{line}, to: log, text: '{{{{ attrs.id | default(1) }}}}'}}\n")
    assert any("shortcut" in each.message for each in found) is ("own" in line)


@pytest.mark.parametrize(
    ("key", "right"),
    [
        ("if: github.event.workflow_run.conclusion == 'failure'", "if: payload.workflow_run.conclusion == 'failure'"),
        ("when: github.event.workflow_run.conclusion == 'failure'", "where: {payload.workflow_run.conclusion: failure}"),
        ("if: failure()", "if: payload.workflow_run.conclusion == 'failure'"),
        ("when: ${{ !success() }}", "if: not payload.workflow_run.conclusion == 'success'"),
        ("if: contains(github.event.workflow_run.name, 'Build')", "if: ('Build' in payload.workflow_run.name)"),
        ("when: contains(github.event.workflow_run.name, 'Build')", "if: ('Build' in payload.workflow_run.name)"),
        ("unless: contains(github.event.workflow_run.name, 'Build')", "if: not ('Build' in payload.workflow_run.name)"),
        ("if: startsWith(github.event.workflow_run.head_branch, 'rel')", "if: payload.workflow_run.head_branch.startswith('rel')"),
        ("if: endsWith(github.event.workflow_run.head_branch, '-x') && failure()", "if: payload.workflow_run.head_branch.endswith('-x') and payload.workflow_run.conclusion == 'failure'"),
        ("if: ${{ github.actor == 'octocat' }}", "if: payload.sender.login == 'octocat'"),
        ("where: github.actor == 'octocat'", "where: {payload.sender.login: octocat}; an expression goes under if"),
        ("if: payload.workflow_run.name is match('Bu')", "if: payload.workflow_run.name.startswith('Bu')"),
        ("if: payload.workflow_run.name is match('B.*d')", r"where: {payload.workflow_run.name: {regex: '^B.*d'}} in the route, or payload.workflow_run.name | regex_replace('(?s)^(?:(B.*d).*|.*)$', '\\1')"),
        ("if: payload.workflow_run.name is not search('B.*d')", r"where: {not: {payload.workflow_run.name: {regex: 'B.*d'}}} in the route, or not (payload.workflow_run.name | regex_replace('(?s)^.*?(?:(B.*d).*)?$', '\\1'))"),
        ("if: payload.workflow_run.name | regex_search('^Bu')", "if: payload.workflow_run.name.startswith('Bu')"),
        ("if: payload.workflow_run.name | contains('Bu')", "if: ('Bu' in payload.workflow_run.name)"),
        ("types: [completed]", "where: {event.action: completed}"),
    ],
)  # fmt: skip
def test_a_condition_of_another_product(problems, key, right):
    route = "  - source: git\n    match: workflow_run.*\n    to: log\n    {}\n"
    (problem,) = problems(route.format(key))
    name = key.partition(":")[0]
    remedy = problem.hint.removeprefix("write ")
    assert remedy == (right.removeprefix("if: ") if name == "if" and "${{" not in key and right[:2] == "if" else right)
    first, _, other = right.partition("; ")[0].partition(" in the route, or ")
    assert problems(route.format(first)) == ()
    assert not other or problems(route.format(f"if: {other}")) == ()


@pytest.mark.parametrize(
    ("key", "right"),
    [
        ("branches: [main]", "where: {payload.ref: refs/heads/main}"),
        ("branches: [main, 'release/**']", "where: {payload.ref: {glob: [refs/heads/main, refs/heads/release/*]}}"),
        ("branches-ignore: [a, b]", "where: {payload.ref: {not: [refs/heads/a, refs/heads/b]}}"),
        ("tags: ['v*']", "where: {payload.ref: {glob: refs/tags/v*}}"),
        ("branches: []", "where: {payload.ref: refs/heads/main}"),
    ],
)
def test_the_branches_of_a_workflow(problems, key, right):
    route = "  - source: git\n    match: push\n    to: log\n    {}\n"
    (problem,) = problems(route.format(key))
    assert problem.hint == f"write {right}"
    assert problems(route.format(right)) == ()


@pytest.mark.parametrize(
    ("on", "right"),
    [
        ("{push: {branches: [main]}}", "match: push, and where: {payload.ref: refs/heads/main}"),
        (
            "{push: , pull_request: {types: [opened, closed]}}",
            "match: [push, pull_request.opened, pull_request.closed]",
        ),
        (
            "{pull_request: {branches: [main]}}",
            "match: pull_request.*, and where: {payload.pull_request.base.ref: main}",
        ),
        ("{workflow_run: {types: completed}}", "match: workflow_run.completed"),
        ("push", "match"),
        ("[push, pull_request]", "match: [push, pull_request.*]"),
    ],
)
def test_the_trigger_of_a_workflow(problems, on, right):
    route = "  - source: git\n    to: log\n    {}\n"
    (problem,) = problems(route.format(f"on: {on}"))
    assert problem.hint == f"write {right}"
    assert problems(route.format("match: push" if right == "match" else right.replace(", and ", "\n    "))) == ()


@pytest.mark.parametrize(
    ("line", "right"),
    [
        ("when: known.id", "if: known.id"),
        ("when: known.id && payload.id === 1", "if: known.id and payload.id == 1"),
        ("when: {payload.id: 7, payload.name: null}", "if: payload.id == 7 and payload.name == none"),
        ("where: {attrs.id: 7}", "if: attrs.id == 7"),
        ("unless: known.id", "if: not (known.id)"),
        ("condition: contains(payload.name, 'x')", "if: ('x' in payload.name)"),
    ],
)
def test_a_condition_of_an_element_of_choose_is_one_problem(problems, line, right):
    route = "  - source: shop\n    match: orders/create\n    to: log\n    fetch: {{known: {{from: log, path: /x}}}}\n    choose:\n      - {}\n        path: /a\n      - path: /b\n"
    (problem,) = problems(route.format(line))
    assert problem.hint == f"write {right}"
    assert problems(route.format(right)) == ()


@pytest.mark.parametrize("line", ["else: true", "default: true", "otherwise: true"])
def test_the_last_element_of_choose_needs_no_condition(problems, line):
    route = "  - {{source: git, match: push, to: log, choose: [{{{}, path: /a}}]}}\n"
    (problem,) = problems(route.format(line))
    assert problem.hint == "remove it: the last element needs no if"


def test_a_field_of_the_event_of_an_action_in_a_condition(problems):
    route = "  - source: git\n    match: workflow_run.completed\n    where: {{{}: completed}}\n    to: log\n"
    (problem,) = problems(route.format("github.event.action"))
    assert problem.hint == "write payload.action"
    assert problems(route.format("payload.action")) == ()


@pytest.mark.parametrize(
    ("source", "match", "lines", "at", "right"),
    [
        ("alerts", "**", ["x {{ payload.status }}", "{{ .CommonLabels.alertname }}"], 1, "{{ payload.commonLabels.alertname }}"),
        ("alerts", "**", ["{{ range .Alerts }}{{ .Labels.alertname }}{{ end }}"], 0, "{% for one in payload.alerts %}{{ one.labels.alertname }}{% endfor %}"),
        ("alerts", "**", ["{% for a in payload.alerts %}{{ .Labels.alertname }}{% endfor %}"], 0, "{{ a.labels.alertname }}"),
        ("git", "push", ["x", "{{ .HeadCommit.Id }}"], 1, "{{ payload.head_commit.id }}"),
        ("shop", "orders/create", ["x", "{{ payload.line_items[*].title }}"], 1, '{{ payload.line_items | map("title") | join(", ") }}'),
        ("shop", "orders/create", ["x", "{{ payload.line_items[*] }}"], 1, "{% for one in payload.line_items %}{{ one.name }}{% endfor %}"),
        ("shop", "orders/create", ["{{ payload.name }}", "{{ payload.line_items?.[0]?.title }}"], 1, "{{ payload.line_items[0].title }}"),
        ("git", "push", ["x", "${{ payload.ref }}"], 1, "{{ payload.ref }}"),
        ("git", "push", ["x", "${{ github.event.pusher.name }}"], 1, "{{ payload.pusher.name }}"),
    ],
)  # fmt: skip
def test_a_tag_of_another_language_is_reported_where_it_is(problems, source, match, lines, at, right):
    (problem,) = problems(written(source, match, *lines))
    first = (HEAD + written(source, match)).count("\n") + 1
    assert problem.place.line == first + at
    tag = re.search(r"\$?\{\{[^}]*[.?*$\[][^}]*\}\}", lines[at])[0]
    assert problem.place.column == 7 + lines[at].index(tag)
    assert right in said(problem)
    whole = lines[at] if "endfor" not in right else tag
    pasted = [*lines[:at], right if "range" in whole else whole.replace(tag, right), *lines[at + 1 :]]
    assert problems(written(source, match, *pasted)) == ()


@pytest.mark.parametrize(
    ("source", "match", "template", "right"),
    [
        # A value of another product's step is where the samples of the source have it.
        ("crm", "contact.created", '{{ $node["Webhook"].json["phone"] }}', "{{ attrs.phone }}"),
        ("crm", "contact.created", '{{ $("Webhook").item.json.body.phone }}', "{{ attrs.phone }}"),
        ("crm", "contact.created", "{{ .firstname }}", "{{ attrs.firstname }}"),
        ("crm", "contact.created", "{{1.phone}}", "{{ attrs.phone }}"),
        ("crm", "contact.created", "{{1.data.phone}}", "{{ payload.data.attributes.phone }}"),
        ("shop", "orders/create", "{{ payload.line_items[].title }}", '{{ payload.line_items | map("title") | join(", ") }}'),
        ("shop", "orders/create", "{% for item of payload.line_items %}{{ item.title }}{% endfor %}", "{% for item in payload.line_items %}"),
        ("shop", "orders/create", "{{#each payload.line_items}}{{ title }}{{/each}}", "{% for one in payload.line_items %}{{ one.title }}{% endfor %}"),
        ("shop", "orders/create", "{{#each payload.shipping_lines}}- {{/each}}", "{% for one in payload.shipping_lines %}{{ one.title }}{% endfor %}"),
        ("crm", "contact.created", '{{ attrs.firstname | default "unknown" }}', '{{ attrs.firstname | default("unknown") }}'),
        ("crm", "contact.created", "{{ attrs.firstname | truncate 10 }}", "{{ attrs.firstname | truncate(10) }}"),
        ("crm", "contact.created", "{% if attrs.type = lead %}x{% endif %}", '{% if attrs.type == "lead" %}'),
        ("crm", "contact.created", '{% if attrs.type === "lead" && attrs.phone %}x{% endif %}', '{% if attrs.type == "lead" and attrs.phone %}'),
        ("crm", "contact.created", "{% if attrs.type %}x{% fi %}", "{% endif %}"),
        ("chat", "messages.text", "{{ entry[0].changes[0].value.messages[0].text.body }}", "payload.value.messages[0].text.body"),
        ("chat", "messages.text", "{{ payload.entry[0].changes[0].value.messages[0].text.body }}", "payload.value.messages[0].text.body"),
        ("git", "push", "{{ payload[ref] }}", "payload.ref"),
        ("git", "push", "{{ commits[0].id }}", "payload.commits[0].id"),
    ],
)  # fmt: skip
def test_a_tag_that_is_replaced_by_its_remedy_is_in_order(problems, source, match, template, right):
    (problem,) = problems(written(source, match, template))
    assert re.search(r"(?:write |did you mean \")(.*?)(?:\"\?|; known.*)?\)?$", said(problem))[1] == right
    is_whole = "endfor" in right
    wrong = template if is_whole else _refused_in(template)
    assert (
        problems(written(source, match, template.replace(wrong, right if right[0] == "{" else f"{{{{ {right} }}}}")))
        == ()
    )


def _refused_in(template):
    tags = re.findall(r"\{%.*?%\}|\{\{.*?\}\}", template)
    return next(
        tag
        for tag in tags
        if not repairs.is_of_jinja(f"%{tag[2:-2].strip()}" if tag[1] == "%" else tag[2:-2].strip()) or len(tags) == 1
    )


@pytest.mark.parametrize(
    ("expression", "remedy"),
    [
        ("FIELD / 100", "FIELD | default(0)"),
        ("FIELD | number(2)", "FIELD | default(0)"),
        ("FIELD ~ 'a'", 'FIELD | default("...")'),
    ],
)
def test_a_default_is_proposed_at_the_field_where_one_at_the_end_would_come_too_late(problems, expression, remedy):
    field = "payload.data.object.amount_due"
    (problem,) = problems(written("pay", "**", f"{{{{ {expression.replace('FIELD', field)} }}}}"))
    assert problem.message.endswith(f"may lack {field}")
    assert problem.hint == f"write {remedy.replace('FIELD', field)}"
    pasted = expression.replace("FIELD", remedy).replace("FIELD", field)
    assert problems(written("pay", "**", f"{{{{ {pasted} }}}}")) == ()


def test_a_default_of_a_date_is_one_of_its_arguments(problems):
    (problem,) = problems(written("pay", "**", "{{ payload.data.object.period_end | date('%Y') }}"))
    assert problem.hint == 'add default="..." to the arguments of date'
    assert problems(written("pay", "**", "{{ payload.data.object.period_end | date('%Y', default=\"...\") }}")) == ()


def test_a_default_that_is_null_is_not_asked_for_another_default(problems):
    (problem,) = problems(written("crm", "contact.created", "{{ attrs.email | default(none) }}"))
    assert problem.message.endswith(
        'attrs.email is missing or null, and so is its default: write attrs.email | default("...")'
    )
    assert problems(written("crm", "contact.created", '{{ attrs.email | default("...") }}')) == ()


@pytest.mark.parametrize(
    ("expression", "right"),
    [
        ('attrs.phone =~ "^\\\\+49"', "attrs.phone.startswith('+49')"),
        ("attrs.type = lead", 'attrs.type == "lead"'),
        ('hasPrefix "+49" attrs.phone', 'attrs.phone.startswith("+49")'),
        ('attrs.phone starts with "+49"', 'attrs.phone.startswith("+49")'),
        ("attrs.type == lead", '"lead"'),
    ],
)
def test_a_condition_that_is_replaced_by_its_remedy_is_in_order(problems, expression, right):
    route = "  - source: crm\n    match: contact.created\n    to: log\n    text: x\n    if: {}\n"
    (problem,) = problems(route.format(expression))
    assert problem.hint.removeprefix("write ").removeprefix("put it in quotes: ") == right
    assert problems(route.format(expression.replace("lead", right) if right == '"lead"' else right)) == ()


ENTRY = "  - source: crm\n    to: log\n    "


@pytest.mark.parametrize(
    "line",
    [
        'match: event.type == "contact.created"',
        "match: type = contact.created",
        'match: event.type != "contact.created"',
        "match: event.type !== 'contact.created'",
        "match: contact created",
        "where: [{field: attrs.type, operator: equals, value: lead}]",
        "where: [{field: type, op: '==', value: lead}, {field: attrs.id, op: gt, value: 3}]",
        "where: {field: attrs.type, operator: contains, value: lead}",
        "where: {key: type, value: lead}",
        "headers: {Authorization: Bearer ${HUSH}}",
        "headers: {Authorization: Token ${HUSH}, Accept: a/b}",
    ],
)
def test_a_line_in_the_notation_of_an_expression_or_of_three_parts(problems, line):
    """One mistake, one problem; and what it says to write, in the place of what is named, is in order."""
    [problem] = problems(ENTRY + line + "\n")
    rights = re.findall(r"write ((?:where: )?(?:\{.*\}|\".*\"|[\w.]+))(?=$|,|;)", problem.hint)
    key, _, value = line.partition(": ")
    if "remove match" in problem.hint or rights[-1].startswith(f"{key}:"):
        pasted = rights[-1]
    elif key == "headers":
        pasted = re.sub(r"(Bearer|Token) \$\{HUSH\}", lambda _: rights[-1], line)
    else:
        pasted = f"{key}: {rights[-1]}"
    assert value not in pasted
    assert problems(ENTRY + pasted + "\n") == ()


FLOW = 'own: {secret: "${HUSH}", verify: {signature: {header: x-signature}}, type: TEXT}'
BLOCK = """own:
    secret: "${HUSH}"
    verify: {signature: {header: x-signature}}
    type: TEXT"""


@pytest.mark.parametrize(
    "text", ["{payload.kind}.{payload.action}", "{payload.kind} of {payload.action}", "{payload.kind}!"]
)
@pytest.mark.parametrize("form", [FLOW, BLOCK], ids=["flow", "block"])
def test_fields_beside_other_text_need_quotes(tmp_path, form, text):
    rest = "\ndestinations: {log: {url: 'https://log.example.com'}}\nroutes: [{to: log, name: all}]\n"

    def loaded(written):
        routes = f"version: 1\nsources:\n  {form.replace('TEXT', written)}{rest}"
        (tmp_path / "routes.yaml").write_text(routes)
        return load(tmp_path / "routes.yaml", environ={"HUSH": "h" * 40})

    with pytest.raises(ConfigError) as refused:
        loaded(text)
    assert [each.hint for each in refused.value.problems] == [f'write "{text}"']
    assert not loaded(f'"{text}"').warnings


@pytest.mark.parametrize(
    ("before", "line", "right"),
    [
        ("", "always: log", "always: [{to: log}]"),
        ("", "failed: log", "failed: [{to: log}]"),
        ("", "always: [log]", "always: [{to: log}]"),
        ("", "always:\n  - log", "always:\n  - {to: log}"),
        ("routes:\n  - ", "{to: log, from: crm}", "{to: log, source: crm}"),
        ("destinations:\n  ", 'slack: "${HUSH}"', 'slack: {type: slack, url: "${HUSH}"}'),
        (
            "destinations:\n  ",
            'log: {url: "https://log.example.com", auth: {header: X-API-Key, value: "${HUSH}"}}',
            'log: {url: "https://log.example.com", auth: {header: {name: X-API-Key, value: "${HUSH}"}}}',
        ),
        ("destinations:\n  ", 'chat: "${DISCORD_URL}"', 'chat: {type: discord, url: "${DISCORD_URL}"}'),
    ],
)
def test_a_name_or_an_address_alone_gets_what_belongs_around_it(tmp_path, before, line, right):
    parts = {
        "sources": 'sources: {crm: {preset: xobito, secret: "${HUSH}"}}',
        "destinations": "destinations: {log: {url: 'https://log.example.com'}}",
    }

    def loaded(text):
        rest = [part for name, part in parts.items() if not before.startswith(name)]
        (tmp_path / "routes.yaml").write_text("\n".join(("version: 1", *rest, before + text, "")))
        return load(
            tmp_path / "routes.yaml",
            environ={"HUSH": "https://a.example.com/x", "DISCORD_URL": "https://discord.com/api/webhooks/1/a"},
        )

    with pytest.raises(ConfigError) as refused:
        loaded(line)
    [hint] = [each.hint for each in refused.value.problems]
    assert hint.removeprefix("write ") in right
    loaded(right)


@pytest.mark.parametrize(
    ("path", "right"),
    [("$.attrs.id", "attrs.id"), ("$.data.id", "payload.data.id"), ("$.payload.data.id", "payload.data.id")],
)
def test_a_path_of_jsonpath(problems, path, right):
    [problem] = problems(ENTRY + f"where: {{{path}: 451}}\n")
    assert problem.hint == f"write {right}"
    assert problems(ENTRY + f"where: {{{right}: 451}}\n") == ()
