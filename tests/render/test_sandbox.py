"""What a render may use, and what it may reach."""

import pytest

from gateway.destinations import slack
from gateway.destinations.escapes import no_escape
from gateway.model import Text
from gateway.render import Namespace, TemplateText
from gateway.render.sandbox import MAX_WORK
from tests.render.given import FACTS, HERE, failure

ENDLESS = {
    "a loop of loops": "{% for a in range(1000) %}{% for b in range(1000) %}{% endfor %}{% endfor %}",
    "a loop inside a macro": "{% macro m() %}{% for a in range(1000) %}{% endfor %}{% endmacro %}" + "{{ m() }}" * 20,
    "a macro that calls itself": "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
    "a macro that calls itself twice": "{% macro m(n) %}{% if n %}{{ m(n - 1) }}{{ m(n - 1) }}{% endif %}{% endmacro %}{{ m(40) }}",
    "a text that doubles by ~": "{% set x = 'ab' %}" + "{% set x = x ~ x %}" * 40 + "{{ x | length }}",
    "a text that doubles by +": "{% set x = 'ab' %}" + "{% set x = x + x %}" * 40 + "{{ x | length }}",
    "a text that doubles by blocks": "{% set x = 'ab' %}" + "{% set x %}{{ x }}{{ x }}{% endset %}" * 40,
    "a text that doubles by replace": "{% set x = 'aa' %}" + "{% set x = x | replace('a', 'aa') %}" * 40,
    "a text that doubles by join": "{% set x = 'aa' %}" + "{% set x = [x, x] | join %}" * 40,
    "a list that doubles": "{% set x = [1] %}" + "{% set x = x + x %}" * 40,
    "lists of lists": "{% set x = [1] %}" + "{% set x = [x, x] %}" * 40 + "{{ x == 1 }}",
    "objects of objects": "{% set x = {'a': 1} %}" + "{% set x = {'a': x, 'b': x} %}" * 40,
    "a number that grows": "{% set x = 3 %}" + "{% set x = x * x %}" * 40,
    "a huge power": "{{ 9 ** (9 ** 9) }}",
    "a repeated text": "{{ 'a' * 1000000000 }}",
    "a repeated list": "{{ [1] * 1000000000 }}",
    "a padded text": "{% set a = '%1000000000d' %}{{ a % 1 }}",
    "a huge range": "{{ range(1000000000) | length }}",
    "much output": "{% for a in range(1000) %}{{ payload.long }}{% endfor %}",
    "much output of its own": "{% for a in range(1000) %}" + "x" * 20_000 + "{% endfor %}",
    "much output in a block": "{% set a %}{% for a in range(1000) %}" + "x" * 20_000 + "{% endfor %}{% endset %}",
    "many filters": "{% for a in range(1000) %}{{ payload.long | upper | length }}{% endfor %}",
    "many methods": "{% for a in range(1000) %}{{ payload.long.upper() == 1 }}{% endfor %}",
    "a long date": "{{ 0 | date('%Y' * 10000) }}",
    "a long format": "{{ 0 | date(payload.long) }}",
    "a huge rounding": "{{ 5 | round(-1000000000) }}",
}


@pytest.mark.parametrize("source", ENDLESS.values(), ids=ENDLESS.keys())
@pytest.mark.timeout(20)
def test_a_template_that_runs_for_ever_ends_as_an_error(templates, source):
    assert failure(templates.text(TemplateText(source, HERE), slack.escape), FACTS).startswith("routes.yaml:40: ")


#: Of nearly a megabyte each: nine looks at one of them are what a render can have.
BIG = {
    "text": "a" * 900_000,
    "same": "".join(["a"] * 900_000),
    "list": ["a" * 9] * 50_000,
    "same list": ["a" * 9] * 50_000,
    "objects": [{"x": 1}] * 50_000,
    "object": {f"k{n}": "a" * 9 for n in range(50_000)},
}
GROWING = [
    "'aaaaaaab' in payload.text",
    "'aaaaaaab' not in payload.text",
    "payload.text == payload.same",
    "payload.text < payload.same",
    "1 < 2 != payload.text",
    "payload.list == payload['same list']",
    "payload.object != payload.list",
    "'b' in payload.list",
    "payload.list in [payload['same list']]",
    "payload.text[1:]",
    "payload.text[1:] == payload.same[1:]",
    "payload.list[1:]",
    "payload.text is eq payload.same",
    "'b' is in payload.text",
    "'b' is in payload.list",
    "payload.text is lower",
    "payload.text ~ 'x'",
    "payload.text + 'x'",
    "[payload.text]",
    "payload.text.count('b')",
    "payload.text.find('b')",
    "payload.text.split('b')",
    "payload.text.partition('b')",
    "payload.text[:4000].rpartition('b' ~ payload.text[:2500])",
    "payload.text[:4000].rsplit('b' ~ payload.text[:2500])",
    "payload.text.startswith(payload.same)",
    "'x'.startswith(payload.text)",
    "loop.changed(payload.text)",
    "loop.changed(payload.list)",
    "slack_link('https://x.test', payload.text)",
    "'https://x.test' | slack_link(payload.text)",
    "payload.list | sort",
    "payload.list | unique",
    "payload.list | min",
    "payload.list | max",
    "payload.list | join",
    "payload.objects | map('x')",
    "payload.object | items",
    "payload.objects | sort(attribute='x')",
    "payload.text | list",
    "payload.text | reverse",
    "payload.text | upper",
    "payload.text | replace('b', 'c')",
    "payload.text | truncate",
    "payload.text | title",
    "payload.text | urlencode",
    "payload.text | int(0)",
    "payload.text | tojson",
    "payload.text | sha256",
    "payload.text | hmac('key')",
    "payload.text | mask",
    "payload.text | phone",
    "'key' | hmac(payload.text)",
]


@pytest.mark.parametrize("expression", GROWING)
def test_whatever_takes_longer_with_a_longer_value_is_refused_after_a_few_rounds(templates, expression):
    source = f"{{% for i in range(50) %}}{{% set x = {expression} %}}{{% endfor %}}"
    names = Namespace({"payload": BIG})
    assert "characters handled" in failure(templates.text(TemplateText(source, HERE), slack.escape), names)
    # What was handled after the last of the budget is one operation's.
    assert -40 * 900_000 < names.budget.work < 0


def test_looking_at_the_fields_of_a_record_costs_little(templates):
    source = "{% for i in range(1000) %}{% if 'id' in payload and attrs.id == 451 and attrs.x is defined %}{% endif %}{% endfor %}"
    names = Namespace({"payload": BIG, "attrs": {"id": 451, "x": BIG}})
    templates.text(TemplateText(source, HERE), no_escape)(names)
    # Each round pays for its expressions, and nothing for the size of what it looks at.
    assert names.budget.work > MAX_WORK - 2_000_000


def test_an_include_in_a_loop_counts_as_its_own_length(templates, folder):
    (folder / "part.txt.j2").write_text("x" * 100_000)
    render = templates.text(
        TemplateText("{% for a in range(1000) %}{% include 'part.txt.j2' %}{% endfor %}", HERE), no_escape
    )
    assert "characters handled" in failure(render, FACTS)


def test_a_megabyte_of_output_is_the_limit(templates):
    source = TemplateText("{% for a in range(11) %}{{ payload.long }}{% endfor %}", HERE)
    assert "more than 1,048,576 characters of output" in failure(templates.text(source, no_escape), FACTS)
    source = TemplateText("{% for a in range(10) %}{{ payload.long }}{% endfor %}", HERE)
    assert len(templates.text(source, no_escape)(FACTS).text) == 1_000_000


def test_one_render_leaves_nothing_for_the_next(templates):
    render = templates.text(TemplateText("{% for a in range(1000) %}{{ a }}{% endfor %}", HERE), no_escape)
    assert len({render(FACTS) for _ in range(50)}) == 1


class Hostile(dict):
    def __getitem__(self, key):
        raise MemoryError

    def __len__(self):
        raise UnicodeError(chr(0xD800))


@pytest.mark.parametrize("source", ["{{ attrs.x }}", "{% if attrs %}{% endif %}", "{{ attrs | length }}"])
def test_whatever_goes_wrong_is_a_render_error(templates, source):
    render = templates.text(TemplateText(source, HERE), no_escape)
    failure(render, {"attrs": Hostile(x=1)}).encode()


@pytest.mark.parametrize(
    "source",
    [
        "{{ attrs.__class__ }}",
        "{{ attrs.firstname.__class__.__mro__ }}",
        "{{ attrs['__class__'] }}",
        "{{ attrs.firstname['format'] }}",
        "{{ slack_link.__globals__ }}",
        "{{ range.__doc__ }}",
        "{% for a in [1] %}{{ loop.__class__ }}{% endfor %}",
        "{% macro m() %}{% endmacro %}{{ m.name }}",
        "{{ payload.items | map('__class__') | join }}",
    ],
)
def test_no_attribute_of_python_can_be_reached(templates, source):
    failure(templates.text(TemplateText(source, HERE), no_escape), FACTS)


def test_a_text_is_rendered_into_text(templates):
    assert templates.text(TemplateText("hi", HERE), no_escape)({}) == Text("hi")
