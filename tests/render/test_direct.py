"""A template that is a closure does what Jinja does: the same text, value, error and cost."""

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from msgspec.structs import replace

from gateway.destinations import KINDS
from gateway.destinations.escapes import no_escape, xml_escape
from gateway.errors import RenderError, TemplateRefused
from gateway.render import Templates, TemplateText
from gateway.render.compiler import Compiler, Folder, Source
from gateway.render.names import Namespace
from gateway.render.run import renderer
from tests.garbage import leaves_none
from tests.render.given import HERE
from tests.render.test_render_properties import texts, values

ROOTS = {"event", "payload", "headers", "attrs"}
ESCAPERS = {"none": no_escape, "xml": xml_escape, **{kind.name: kind.escape for kind in KINDS.values()}}

lookups = st.sampled_from(
    [
        "attrs.x", "attrs.y.x", "attrs['x']", "attrs.x[0]", "attrs.x[-1].y", "attrs.x.y", "attrs.missing", "attrs",
        "payload", "payload['a b']", "payload.list[1]", "headers.x_event", "event.type", "other_root.x", "omit",
        "attrs.x.lower", "attrs.x[attrs.y]",
    ]
)  # fmt: skip
constants = st.sampled_from(["''", "'<a> & b'", "0", "3", "2.5", "true", "none", "'x'"])
filters = st.sampled_from(
    [
        "default('-')", "default(omit)", "default('', true)", "default(default='é')", "lower", "upper", "trim", "title",
        "int", "int(default=1)", "float", "round(1)", "string", "length", "first", "last", "join(', ')", "tojson", "bold",
        "truncate(4)", "replace('a', '<')", "urlencode", "striptags", "money('EUR')", "phone", "mask", "date", "lines",
        "map('y')", "sort", "list", "unique", "default(attrs.y)",
    ]
)  # fmt: skip
tests = st.sampled_from(["defined", "undefined", "none", "string", "number", "mapping", "eq 3", "in 'xyz'"])
comparisons = st.sampled_from(["==", "!=", "<", ">=", "in", "not in"])


def compound(inner):
    return st.one_of(
        st.builds("({} | {})".format, inner, filters),
        st.builds("({} {} {})".format, inner, comparisons, inner),
        st.builds("({} {} {})".format, inner, st.sampled_from(["and", "or", "~", "+", "*"]), inner),
        st.builds("(not {})".format, inner),
        st.builds("({} is {})".format, inner, tests),
        st.builds("({} if {} else {})".format, inner, inner, inner),
        st.builds("({} if {})".format, inner, inner),
    )


expressions = st.recursive(lookups | constants, compound, max_leaves=5)
#: Texts of an author's: a backslash or a bracket would only be refused.
written = st.text(st.sampled_from("ab é\n*`")) | st.just("/in/")
templates = st.lists(st.one_of(written, st.builds("{{{{ {} }}}}".format, expressions)), min_size=1, max_size=4).map(
    "".join
)
facts = st.fixed_dictionaries(
    {
        "attrs": st.fixed_dictionaries({"x": values, "y": values}),
        "payload": st.fixed_dictionaries({"a b": values, "list": st.lists(values, max_size=3)}) | values,
        "headers": st.fixed_dictionaries({"x-event": texts}),
        "event": st.just({"type": "contact.created"}),
    }
)


def compiled(tmp_path_factory, source, escape, *, start="text", leaf=False):
    compiler = Compiler(escape, Folder(tmp_path_factory.getbasetemp(), {}), {*ROOTS, "other_root"})
    return compiler.inline(source, start, leaf=leaf)


def outcome(one, names, source):
    """What a template came to: its text and its value, or its error; and what it took of the budget."""
    hide = lambda text: text.replace("a", "***")  # noqa: E731
    try:
        text = renderer(one, str, source, hide)(names)
    except RenderError as error:
        return str(error)
    return text, repr(names.budget.result), names.budget.work, names.budget.steps


@given(
    text=templates, event=facts, kind=st.sampled_from(sorted(ESCAPERS)), place=st.sampled_from(["text", "leaf", "path"])
)
@example(text="{{ attrs.x }}", event={"attrs": {"x": "\ud800\ufdd0" * 2_000}}, kind="slack", place="leaf")
@example(text="{{ attrs.x }}", event={"attrs": {"x": "\ud800<"}}, kind="xml", place="leaf")
@example(text="{{ attrs.x }}", event={"attrs": {"x": "é" * 50_000}}, kind="slack", place="leaf")
@example(text="{{ attrs.x }}", event={"attrs": {"x": float("inf")}}, kind="http", place="leaf")
@example(text="a\n{{ attrs.x }}\n{{ attrs.y.z }}", event={"attrs": {"x": "A", "y": None}}, kind="slack", place="text")
@example(
    text="{{ attrs.x | lower }}{{ attrs.x | title }}", event={"attrs": {"x": "A" * 300_000}}, kind="http", place="text"
)
def test_a_closure_is_what_jinja_makes_of_the_same_template(tmp_path_factory, text, event, kind, place):
    source = Source(text, HERE)
    one = compiled(
        tmp_path_factory, source, ESCAPERS[kind], start="text" if place == "leaf" else place, leaf=place == "leaf"
    )
    assert one.closure is not None
    by_jinja = outcome(replace(one, closure=None), Namespace(event), source)
    assert outcome(one, Namespace(event), source) == by_jinja
    if not isinstance(by_jinja, str):
        # And it was the closure that did it.
        assert one.closure(Namespace(event), one.template.environment) == by_jinja[0]


@given(text=expressions, event=facts)
def test_the_condition_of_an_entry_holds_as_jinja_says(tmp_path_factory, text, event):
    source = Source(f"{{{{ {text} }}}}", HERE)
    try:
        one = compiled(tmp_path_factory, source, no_escape, start="truth", leaf=True)
    except TemplateRefused as refused:
        # A filter that makes a text of a number is refused in a computation.
        assume("makes a text" not in str(refused))
        raise
    assert one.closure is not None
    assert outcome(one, Namespace(event), source) == outcome(replace(one, closure=None), Namespace(event), source)


@pytest.mark.parametrize(
    "text",
    [
        "{% if attrs.x %}a{% endif %}",
        "{% set a = attrs.x %}{{ a }}",
        "{{ attrs.x.lower() }}",
        "{{ [attrs.x] }}",
        "{{ attrs.x[1:] }}",
    ],
)
def test_what_is_more_than_a_plain_expression_is_left_to_jinja(tmp_path_factory, text):
    assert compiled(tmp_path_factory, Source(text, HERE), no_escape).closure is None


def test_a_message_that_is_rendered_is_forgotten_at_once(tmp_path):
    tree = {"name": TemplateText("{{ attrs.x | title }} {{ attrs.y }}", HERE), "x": TemplateText("{{ attrs.x }}", HERE)}
    render = Templates(tmp_path, roots=ROOTS).tree(tree, no_escape)
    with leaves_none():
        assert render({"attrs": {"x": "ada", "y": 1}}).value == {"name": "Ada 1", "x": "ada"}


def test_the_closures_of_a_message_share_its_budget(tmp_path):
    tree = {name: TemplateText("{{ attrs.x | lower }}", HERE) for name in "abcdefgh"}
    render = Templates(tmp_path, roots=ROOTS).tree(tree, no_escape)
    assert len(render({"attrs": {"x": "A" * 100_000}}).value) == 8
    with pytest.raises(RenderError, match="characters handled"):
        render({"attrs": {"x": "A" * 1_000_000}})
