"""A tag or a text that is opened and not closed is found where it is opened."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.destinations.escapes import no_escape
from gateway.render import TemplateText
from gateway.render.tags import block_left_open, mistake_in
from tests.render.given import HERE, refusal

#: A template, the text that the mistake is at, what is said of it, and what to write.
MISTAKES = [
    ("{{ attrs.id } x", "{{", "the {{ that opens here is ended by one }", "write {{ attrs.id }}"),
    ("a\nb {{ attrs.id }\n{{ attrs.b }}", "{{ attrs.id", "the {{ that opens here is ended by one }", "write {{ attrs.id }}"),
    ("{{ attrs.id %} x", "{{", "the {{ that opens here is ended by %}", "write {{ attrs.id }}"),
    ("{% if attrs.id }} x{% endif %}", "{%", "the {% that opens here is ended by }}", "write {% if attrs.id %}"),
    ("{% if attrs.id } x{% endif %}", "{%", "the {% that opens here is ended by one }", "write {% if attrs.id %}"),
    ("{{ attrs.id x", "{{", "the {{ that opens here is never closed", "add }}"),
    ("{{ attrs.a }} {{ attrs.id {{ attrs.b }}", "{{ attrs.id", "the {{ that opens here is never closed", "add }}"),
    ("x {% if attrs.id", "{%", "the {% that opens here is never closed", "add %}"),
    ("x {# attrs.id", "{#", "the {# that opens here is never closed", "add #}"),
    ("x {{ attrs.id | default('none) }} it's", "'none", "the text that begins with ' is never closed", "add a ' at its end"),
    ('— {{ attrs.id }}\n’ {{ attrs.a | default("b) }}', '"b', 'the text that begins with " is never closed', 'add a " at its end'),
    ('{{ {"a": 1} } x', "{{", "the {{ that opens here is ended by one }", 'write {{ {"a": 1} }}'),
]  # fmt: skip


@pytest.mark.parametrize(("text", "at", "message", "hint"), MISTAKES)
def test_a_mistake_is_at_what_opens_it(templates, text, at, message, hint):
    found = mistake_in(text)
    start = text.index(at)
    assert found.at == start
    problem = refusal(templates.text, TemplateText(text, HERE), no_escape)
    assert (problem.place.line, problem.message, problem.hint) == (
        HERE.line + text.count("\n", 0, start),
        message,
        hint,
    )
    assert problem.near == text[start:].splitlines()[0]


@pytest.mark.parametrize(
    ("text", "at", "name", "before"),
    [
        ("{% for x in attrs.a %}\n{% if x %}\n{{ x }}\n{% endfor %}", "{% if", "if", " before {% endfor %}"),
        ("{% if attrs.a %}\n{%- for x in attrs.a %}x\n{% endif %}", "{%- for", "for", " before {% endif %}"),
        ("{% if attrs.a %}{% if attrs.b %}x{% endif %}\n{{ attrs.c }}", "{% if attrs.a", "if", ""),
        ("x\n{% set b %}{% set c = 1 %}{% if c %}\n{% endset %}", "{% if", "if", " before {% endset %}"),
        ("{# {% for #}\n{% macro m(a) %}\n{% raw %}{% if %}{% endraw %}", "{% macro", "macro", ""),
    ],
)
def test_a_block_without_its_end_is_at_what_opens_it(templates, text, at, name, before):
    problem = refusal(templates.text, TemplateText(text, HERE), no_escape)
    assert problem.place.line == HERE.line + text.count("\n", 0, text.index(at))
    assert (problem.message, problem.hint) == (f"{{% {name} %}} is never closed", f"add {{% end{name} %}}{before}")


@pytest.mark.parametrize(
    "text",
    [
        "{% for x in attrs.a %}\n{% endif %}\n{% endfor %}",
        "{% for x in attrs.a %}{% if x %}x{% endif %}\n{% endif %}{% endfor %}",
        "{% if attrs.a %}x{% endif %}\n{% endif %}",
    ],
)
def test_an_end_without_its_block_is_at_its_own_line(templates, text):
    problem = refusal(templates.text, TemplateText(text, HERE), no_escape)
    assert (problem.place.line, problem.message) == (HERE.line + 1, "{% endif %} has no matching tag")
    assert problem.hint == "remove it"


#: A template with one end of another block, the block that is open there, and what to write.
WRONG_ENDS = [
    ("{% for x in attrs.a %}\n{{ x }}\n{% endif %}", "{% for x in attrs.a %}", "{% endfor %}"),
    ("{% if attrs.a %}\nx\n{% endfor %}", "{% if attrs.a %}", "{% endif %}"),
    ("{%- set a -%}\nx\n{% endif %}", "{%- set a -%}", "{% endset %}"),
    ("{% macro m(a) %}\n{{ a }}\n{% endif %}{{ m(1) }}", "{% macro m(a) %}", "{% endmacro %}"),
    ("{% with a = 1 %}\n{{ a }}\n{% endset %}", "{% with a = 1 %}", "{% endwith %}"),
    ("{% if attrs.a %}\n{% for x in attrs.a %}x{% endfor %}\n{% endfor %}", "{% if attrs.a %}", "{% endif %}"),
    ("{% for x in attrs.a %}\n{% if x %}x{% else %}y{% endif %}\n{% endfr %}", "{% for x in attrs.a %}", "{% endfor %}"),
    ("{% if attrs.a %}\nx\n{% endfilter %}", "{% if attrs.a %}", "{% endif %}"),
    (f"{{% if attrs.{'a' * 60} %}}\nx\n{{% endfor %}}", "{% if %}", "{% endif %}"),
    ("{% if attrs.a %}{% for x in attrs.a %}\n\n{% endif %}{% endfor %}", "{% for x in attrs.a %}", "{% endfor %} first, and {% endif %} after it"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "opener", "right"), WRONG_ENDS)
def test_a_block_with_the_end_of_another_is_told_its_own(templates, text, opener, right):
    problem = refusal(templates.text, TemplateText(text, HERE), no_escape)
    wrong = text.splitlines()[2].split("%}")[0] + "%}"
    assert problem.place.line == HERE.line + 2
    assert problem.message == f"{wrong} does not close {opener}, which is open since line {HERE.line}"
    assert problem.hint == f"write {right}"


@pytest.mark.parametrize("middle", ["{% else %}", "{% elif attrs.b %}"])
def test_a_middle_after_the_end_of_its_block_is_told_which_end_to_remove(templates, middle):
    text = f"{{% if attrs.a %}}x{{% endif %}}\n{middle}y{{% endif %}}"
    problem = refusal(templates.text, TemplateText(text, HERE), no_escape)
    assert problem.place.line == HERE.line + 1
    assert (
        problem.message == f"{middle} has no matching tag: {{% endif %}} on line {HERE.line} ends the block before it"
    )
    assert problem.hint == "remove that {% endif %}"
    templates.text(TemplateText(text.replace("{% endif %}", "", 1), HERE), no_escape)


@pytest.mark.parametrize(
    "text",
    [
        "{% for x in attrs.a %}{% elif x %}{% endfor %}",
        "{% if attrs.a %}x{% endif %}{% else %}",
        "{% if attrs.a %}x{% endif %}{% macro m() %}{% else %}{% endmacro %}",
    ],
)
def test_a_middle_whose_block_was_never_there_is_to_be_removed(templates, text):
    assert refusal(templates.text, TemplateText(text, HERE), no_escape).hint == "remove it"


OPENERS = {
    "if": "{% if attrs.a %}",
    "for": "{% for x in attrs.a %}",
    "set": "{% set b %}",
    "macro": "{% macro m() %}",
    "with": "{% with c = 1 %}",
}
BLOCKS = st.recursive(
    st.just(()),
    lambda inner: st.lists(st.tuples(st.sampled_from([*OPENERS]), inner), min_size=1, max_size=3).map(tuple),
    max_leaves=8,
)


def pieces_of(blocks):
    for name, inner in blocks:
        yield OPENERS[name]
        yield from pieces_of(inner)
        yield f"{{% end{name} %}}"


@given(BLOCKS.filter(bool).map(lambda blocks: list(pieces_of(blocks))), st.data())
def test_one_wrong_end_gets_the_end_that_was_right(pieces, data):
    at = data.draw(st.sampled_from([at for at, piece in enumerate(pieces) if "end" in piece]))
    wrong = data.draw(st.sampled_from([f"{{% end{name} %}}" for name in OPENERS if f"end{name} " not in pieces[at]]))
    found = block_left_open("".join([*pieces[:at], wrong, *pieces[at + 1 :]]), lambda _: 1)
    assert found.at == len("".join(pieces[:at]))
    assert found.message.startswith(f"{wrong} does not close ")
    assert found.hint.split(" first")[0] == f"write {pieces[at]}"


@given(BLOCKS.filter(bool).map(lambda blocks: list(pieces_of(blocks))), st.data())
def test_one_missing_end_is_to_be_added(pieces, data):
    assert block_left_open("".join(pieces), lambda _: 1) is None
    at = data.draw(st.sampled_from([at for at, piece in enumerate(pieces) if "end" in piece]))
    found = block_left_open("".join([*pieces[:at], *pieces[at + 1 :]]), lambda _: 1)
    assert found.message.endswith(" is never closed")
    assert found.hint.startswith("add {% end")


def test_the_author_of_an_expression_writes_no_tags():
    assert mistake_in("{{ attrs.a } }}", is_bare=True) is None
    assert mistake_in("{{ attrs.a == 'b }}", is_bare=True).message == "the text that begins with ' is never closed"


@pytest.mark.parametrize(
    "text",
    [
        "plain } text }} %}",
        "{{ attrs.a }}{# a {{ b #}{% if attrs.a -%} } {%- endif %}",
        '{{ {"a": {"b": 1}} }}{{ {"a": 1}}}',
        """{{ "}" ~ '%}' ~ "{{" }}""",
        "{% raw %}{{ attrs.a } {% if{% endraw %}",
        "{% set a = {'b': 1} %}",
    ],
)
def test_what_is_closed_as_it_was_opened_has_no_mistake(text):
    assert mistake_in(text) is None


@given(st.lists(st.sampled_from(["{{", "}}", "{%", "%}", "{#", "#}", "{", "}", "'", '"', "\\", "\n", "a", " ", "raw", "endraw"]), max_size=30).map("".join))  # fmt: skip
def test_any_text_gets_a_place_inside_of_it_or_none(text):
    found = mistake_in(text)
    if found is not None:
        assert text[found.at] in "{'\""
