"""${NAME} and its kin: resolved after parsing, inert in templates, silent about their values."""

import jinja2
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from gateway.config.text.disk import Values
from gateway.config.text.references import ReferenceRefused, References, Resolved, literal_text

ENVIRON = {"NAME": "value", "EMPTY": "", "BRACES": "{{ 7 * 7 }}{% raw %}"}


@pytest.fixture
def references(tmp_path):
    (tmp_path / "secret").write_bytes(b"from a file\n")
    (tmp_path / "two-lines").write_bytes(b"a\n\n")
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    (tmp_path / "empty").write_bytes(b"\n")
    (tmp_path / "large").write_bytes(b"x" * 70_000)
    return References(ENVIRON, Values(tmp_path))


@pytest.mark.parametrize(
    ("text", "resolved"),
    [
        ("plain", "plain"),
        ("$5 and $$", "$5 and $$"),
        ("${NAME}", "value"),
        ("a${NAME}b${NAME}", "avaluebvalue"),
        ("${NAME:-other}", "value"),
        ("${UNSET:-other}", "other"),
        ("${EMPTY:-other}", "other"),
        ("${UNSET:-}", ""),
        ("${UNSET:-a:-b}", "a:-b"),
        ("$${NAME}", "${NAME}"),
        ("$${NAME} ${NAME}", "${NAME} value"),
        ("${file:secret}", "from a file"),
        ("${file:two-lines}", "a\n"),
        ("${BRACES}", "{{ 7 * 7 }}{% raw %}"),
    ],
)
def test_a_reference_becomes_its_value(references, text, resolved):
    found = references.resolve(text)
    assert found.text == resolved
    assert found.missing == ()


@pytest.mark.parametrize(
    "text", ["${", "${}", "${1A}", "${NAME", "${NAME:int}", "${A B}", "a ${file:} b", "${${NAME}}"]
)
def test_what_begins_like_a_reference_and_is_none_is_refused(references, text):
    with pytest.raises(ReferenceRefused):
        references.resolve(text)


def test_all_that_is_not_there_is_named(references):
    found = references.resolve("${UNSET} ${EMPTY} ${file:nowhere} ${file:binary} ${file:empty} ${file:.} ${file:large}")
    assert found.missing == (
        "UNSET",
        "EMPTY",
        "file:nowhere (no such file or directory)",
        "file:binary (not UTF-8 text)",
        "file:empty (empty)",
        "file:. (is a directory)",
        "file:large (more than 64 KiB)",
    )


def test_whether_a_value_came_from_outside_is_known(references):
    assert references.resolve("${NAME}").is_foreign
    assert not references.resolve("$${NAME}").is_foreign
    assert references.resolve("plain") == Resolved("plain")


@pytest.mark.parametrize(
    "text",
    [
        "{{ ${NAME} }}",
        '{{ "${NAME}" }}',
        '{{ "}}" ~ "${NAME}" }}',
        "{{ {'a': {'b': 1}} ~ '${NAME}' }}",
        "{% if ${NAME} %}x{% endif %}",
        "{# ${NAME} #}",
        "{% raw %}${NAME}{% endraw %}",
        "{%- raw -%}a{% endraw %}${NAME}",
        "{{ ' ${NAME}",
        "{${NAME}}",
    ],
)
def test_a_reference_inside_a_tag_is_refused(references, text):
    with pytest.raises(ReferenceRefused):
        references.resolve_in_template(text)


def render(references, text):
    return jinja2.Template(references.resolve_in_template(text).text, keep_trailing_newline=True).render(x="X")


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ("${BRACES}", "{{ 7 * 7 }}{% raw %}"),
        ("{{ x }}${BRACES}{{ x }}", "X{{ 7 * 7 }}{% raw %}X"),
        ("{{ '}}' }}${NAME}", "}}value"),
        ("$${NAME} {{ x }}", "${NAME} X"),
    ],
)
def test_a_value_in_a_template_prints_as_it_is(references, text, printed):
    assert render(references, text) == printed


pieces = st.text(alphabet="{}%#x \"'-+\\\n", max_size=8)


@given(before=pieces, value=st.text(alphabet="{}%#x* 7\"'-\\", min_size=1, max_size=12), after=pieces)
@example(before="{", value="% raw %}", after="")
@example(before="", value="{", after="{ 7 * 7 }}")
@example(before="", value="# {", after="# x #}")
def test_no_value_is_ever_template_source(before, value, after, tmp_path_factory):
    references = References({"VALUE": value}, Values(tmp_path_factory.getbasetemp()))
    mark = "MARK"
    try:
        text = references.resolve_in_template(f"{before}${{VALUE}}{after}").text
        marked = jinja2.Template(f"{before}{mark}{after}", keep_trailing_newline=True).render(x="X")
    except (ReferenceRefused, jinja2.TemplateSyntaxError):
        # Not a template, or not a place for a reference, whatever the value is.
        return
    assume(mark in marked)
    assert jinja2.Template(text, keep_trailing_newline=True).render(x="X") == marked.replace(mark, value)


def test_the_literal_part_of_a_template_leaves_its_tags_out():
    assert literal_text('/a/{{ x ~ "?}}" }}/b{# ? #}{% if x == "?" %}/c{% endif %}') == "/a//b/c"
