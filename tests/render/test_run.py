"""What a template can see, and the errors of a render with their lines."""

import re

import pytest

from gateway.destinations.escapes import no_escape
from gateway.errors import Place, RenderError
from gateway.render import TemplateText
from tests.render.given import FACTS, HERE, failure


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("{{ attrs.firstname }} {{ attrs.id }}", "Ann 451"),
        ("{{ attrs.vip }} {{ attrs.score }}", "true 1.5"),
        ("{{ attrs.get }}", "a field called get"),
        ("{{ payload.items | length }} {{ payload.items.0.sku }}{{ payload.items[1].sku }}", "2 AB"),
        ('{{ headers["x-webhook-event"] }} {{ headers.x_webhook_event }}', "message.sent message.sent"),
        ('{{ headers["X-Webhook-Event"] }}', "message.sent"),
        ("{{ attrs.firstname.upper() }} {{ attrs.phone[:2] }}", "ANN +1"),
        ("{{ 'yes' if attrs.nope else 'no' }}{{ 'x' if attrs.nope.deeper }}", "no"),
        ("{% for g in attrs.group_id %}{{ g }}{% if not loop.last %}, {% endif %}{% endfor %}", "1, 2"),
        ("{% for g in attrs.nope %}{{ g }}{% else %}none{% endfor %}", "none"),
        ("{% for g in attrs.nothing %}{{ g }}{% else %}none{% endfor %}", "none"),
        ("{% for name, one in payload.items[0] | items %}{{ name }}={{ one }};{% endfor %}", "sku=A;n=1;"),
        (
            "{{ attrs.nothing | default('x') }}{{ attrs.empty | default('y') }}{{ attrs.empty | default('z', true) }}",
            "xz",
        ),
        ("{{ attrs.nope.deeper | default('none') }}", "none"),
        ("{{ attrs.nope is defined }} {{ attrs.id is defined }}", "false true"),
        ("{% raw %}{{ not jinja }}{% endraw %}", "{{ not jinja }}"),
        ("{% with a = attrs.id %}{{ a + 1 }}{% endwith %}", "452"),
        ("{{ 'a' ~ attrs.id ~ true }}", "a451true"),
        ("{{ 'a' + 'b' }}{{ ([1] + [2]) | length }}", "ab2"),
    ],
)
def test_a_text_says_what_the_event_has(text, source, expected):
    assert text(source) == expected


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("{{ attrs.company }}", 'the event has no field attrs.company: write | default("...")'),
        ("{{ attrs.company.name.first }}", "the event has no field attrs.company.name.first: write"),
        ("{{ attrs.company | upper }}", "the event has no field attrs.company: write"),
        ("{{ 'a' ~ attrs.company }}", "the event has no field attrs.company: write"),
        ("{{ attrs.company + 1 }}", "the event has no field attrs.company: write"),
        ("{{ attrs.company < 1 }}", "the event has no field attrs.company: write"),
        ("{{ attrs.company[:2] }}", "the event has no field attrs.company: write"),
        ("{{ attrs['a b'] }}", "the event has no field attrs['a b']: write"),
        ("{{ attrs[attrs.id] }}", "the event has no field attrs[attrs.id]: write"),
        ("{{ [attrs.company] | join }}", "the event has no field attrs.company: write"),
        ("{{ attrs.nothing }}", 'attrs.nothing is null: write | default("...")'),
        ("{{ 'a' ~ attrs.nothing }}", "attrs.nothing is null: write"),
        ("{{ attrs.group_id }}", 'attrs.group_id is a list: write | join(", ")'),
        ("{{ attrs }}", "attrs is an object: name one of its fields"),
        ("{{ attrs.firstname.upper }}", "attrs.firstname.upper is a function and cannot be printed"),
        ("{{ omit }}", "omit leaves out a whole value"),
        ("{{ attrs.id + attrs.nothing }}", "cannot compute a number + null"),
        ("{{ attrs.id * attrs.firstname }}", "cannot compute a number * text"),
        ("{{ attrs.nothing < 5 }}", "cannot compare null with a number"),
        ("{{ 1 / 0 }}", "division by zero"),
        ("{{ attrs.firstname | date }}", 'date: "Ann" is neither an ISO 8601 or RFC 2822 time nor seconds since 1970'),
        ("{{ attrs.id | date('%H', 'Mars') }}", 'unknown time zone "Mars"'),
        ("{{ attrs.id | date('%H', '../../etc/passwd') }}", "unknown time zone"),
        ("{{ attrs.firstname | int }}", '"Ann" is not a number'),
        ("{{ payload.long | int }}", f': "{"x" * 39}…" is not a number'),
        ("{{ attrs.bad | int }}", r'"<!channel> "A"\n&\" is not a number'),
        ("{{ payload['items'] | map(payload.long) | join }}", "no field (100,000 characters) in an element"),
        ("{{ attrs.id | items }}", "items needs an object, and this is a number"),
        ("{{ attrs.id | upper('x') }}", "takes 1 positional argument"),
    ],
)
def test_what_cannot_be_printed_is_an_error_with_its_remedy(text, source, message):
    assert message in failure(text, source)


@pytest.mark.parametrize(
    "source", ["{{ attrs.a.b }}", "{{ attrs.a.b | upper }}", "{% if 1 %}{{ attrs.a.b }}{% endif %}"]
)
def test_the_whole_path_is_named_of_a_root_that_the_source_does_not_have(templates, source):
    render = templates.text(TemplateText(source, HERE), no_escape)
    with pytest.raises(RenderError, match=re.escape("the event has no field attrs.a.b: ")):
        render({"payload": {}})


def test_an_error_names_the_line_it_happened_on(text):
    assert failure(text, "one\ntwo\n{{ 1 / 0 }}\n") == "routes.yaml:42: division by zero"
    assert failure(text, "{% if true %}\n\n{% for x in [1] %}\n{{ attrs.nope }}{% endfor %}{% endif %}").startswith(
        "routes.yaml:43: "
    )


def test_an_error_in_a_macro_names_the_line_inside_the_macro(text):
    assert failure(text, "{% macro f(x) %}\n{{ x / 0 }}\n{% endmacro %}\n{{ f(1) }}").startswith("routes.yaml:41: ")


def test_the_same_text_at_two_places_fails_at_each_own_line(templates):
    first = templates.text(TemplateText("{{ 1 / 0 }}", Place("routes.yaml", 3)), no_escape)
    second = templates.text(TemplateText("{{ 1 / 0 }}", Place("routes.yaml", 9)), no_escape)
    assert failure(first, FACTS).startswith("routes.yaml:3: ")
    assert failure(second, FACTS).startswith("routes.yaml:9: ")


def test_blank_lines_at_the_ends_are_dropped_and_double_ones_collapsed(text):
    assert text("\n \n  a\n\n\n \nb\n{% if false %}\nx\n{% endif %}\n\n") == "  a\n\nb"


@pytest.mark.parametrize(
    ("source", "missing"),
    [
        ("{{ attrs.nope.upper() }}", "attrs.nope"),
        ("{{ attrs.nope.startswith('+1') }}", "attrs.nope"),
        ("{{ attrs.nope.deeper.strip().upper() }}", "attrs.nope.deeper"),
        ("{{ attrs['nope'].split(attrs.firstname) | join }}", "attrs.nope"),
        ("{{ headers.x_nope.lower() }}", "headers.x_nope"),
        ("{{ attrs.firstname.split(attrs.nope.lower()) | join }}", "attrs.nope"),
    ],
)
def test_a_method_of_a_missing_field_is_refused_by_the_name_of_the_field(text, source, missing):
    assert f"the event has no field {missing}: " in failure(text, source)
