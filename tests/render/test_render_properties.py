import posixpath
import re
from urllib.parse import quote, unquote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.destinations import slack
from gateway.destinations.escapes import no_escape
from gateway.errors import Place, RenderError, TemplateRefused
from gateway.render import Templates, TemplateText

HERE = Place("routes.yaml", 1)

#: Any text at all, lone surrogates and controls too, with a leaning to what breaks things.
texts = st.text(
    st.one_of(st.characters(codec=None), st.sampled_from('"\\<>&|{}%#/.\n\r\x00\ud800\u202e'))
) | st.sampled_from(
    ["", ".", "..", "<!channel>", "<https://x.test|y>", "{{ 1 / 0 }}", '"}],"', "\\", "\\u0022", "</script>", "null"]
)
scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4), max_leaves=8
)


def encodable(value):
    match value:
        case str():
            return re.sub("[\ud800-\udfff]", "\ufffd", value)
        case list():
            return [encodable(one) for one in value]
        case dict():
            return {encodable(key): encodable(one) for key, one in value.items()}
    return value


def texts_of(value):
    match value:
        case str():
            yield value
        case list():
            yield from (text for one in value for text in texts_of(one))
        case dict():
            yield from (text for one in value.values() for text in texts_of(one))


def same(one, other):
    return one == other and repr(one) == repr(other)


@pytest.fixture(scope="module")
def templates(tmp_path_factory):
    folder = tmp_path_factory.mktemp("render") / "templates"
    folder.mkdir()
    (folder / "places.json.j2").write_text(
        '{% macro block(x) %}{"in": "{{ x }}", "at": {{ x }}}{% endmacro %}'
        "{% macro prose(x) %}{{ x }}{% endmacro %}"
        "{% set kept %}{{ attrs.x }}{% endset %}"
        '{"in": "{{ attrs.x }}", "at": {{ attrs.x }}, "block": {{ block(attrs.x) }}, "prose": {{ prose(attrs.x) }},'
        ' "prose in": "{{ prose(attrs.x) }}", "kept": "{{ kept }}", "json": {{ attrs.x | tojson }}, "list": {{ [attrs.x] }}}'
    )
    (folder / "value.json.j2").write_text('{"at": {{ attrs.x }}, "json": {{ attrs.x | tojson }}}')
    return Templates(folder, roots={"attrs"})


@pytest.fixture(scope="module")
def places(templates):
    escapers = {"none": no_escape, "slack": slack.escape}
    return {name: templates.file("places.json.j2", HERE, escape) for name, escape in escapers.items()}


@given(text=texts)
def test_a_text_survives_every_place_of_a_json_file(places, text):
    text_out = encodable(text)
    assert places["none"]({"attrs": {"x": text}}).value == {
        "in": text_out,
        "at": text_out,
        "block": {"in": text_out, "at": text_out},
        "prose": text_out,
        "prose in": text_out,
        "kept": text_out,
        "json": text_out,
        "list": [text_out],
    }


@given(text=texts)
def test_no_place_of_a_slack_file_lets_a_text_become_markup(places, text):
    value = places["slack"]({"attrs": {"x": text}}).value
    shown = value["in"]
    # On lines of its own, it keeps its line breaks.
    assert not set(shown) & set("<>\r\x00\u202e")
    assert re.fullmatch(r"(?:[^&]|&(?:amp|lt|gt);)*", shown, re.DOTALL)
    assert value == {
        "in": shown,
        "at": shown,
        "block": {"in": shown, "at": shown},
        "prose": shown,
        "prose in": shown,
        "kept": shown,
        "json": shown,
        "list": [shown],
    }


@given(value=values)
def test_any_value_survives_value_position(templates, value):
    render = templates.file("value.json.j2", HERE, no_escape)
    expected = encodable(value)
    assert same(render({"attrs": {"x": value}}).value, {"at": expected, "json": expected})


@given(value=values)
def test_any_value_survives_a_whole_leaf(templates, value):
    render = templates.tree({"x": TemplateText("{{ attrs.x }}", HERE)}, no_escape)
    assert same(render({"attrs": {"x": value}}).value, {"x": encodable(value)})


@given(value=values)
def test_no_value_of_a_slack_leaf_has_angle_brackets(templates, value):
    render = templates.tree({"x": TemplateText("{{ attrs.x }}", HERE)}, slack.escape)
    assert not set("".join(texts_of(render({"attrs": {"x": value}}).value))) & set("<>")


@given(text=texts)
def test_slack_text_never_holds_a_bracket_or_a_line_of_a_value(templates, text):
    render = templates.text(TemplateText("a {{ attrs.x }} b", HERE), slack.escape)
    assert not set(render({"attrs": {"x": text}}).text) & set("<>\n\r\x00\u202e")


#: What some servers trim.
TRIMMED = "".join(map(chr, range(33))) + "\x7f"


def climbs(path):
    """Whether a server that decodes a path, once or more, and then normalises it, would leave a folder."""
    for _ in range(5):
        path = unquote(path, "latin-1")
    return bool({".", ".."} & {each.partition(";")[0].strip(TRIMMED) for each in re.split(r"[/\\?#]", path)})


pieces = st.lists(
    st.sampled_from(["..", ".", "/", "\\", "%2e", "%2F", "%5c", "%25", "2e", "x", "", ";", " "]), max_size=8
)


@given(pieces=pieces, decoded=st.integers(0, 2))
def test_no_value_climbs_a_path_however_it_is_encoded(templates, pieces, decoded):
    value = "".join(pieces)
    for _ in range(decoded):
        value = quote(value, safe="")
    try:
        path = templates.path(TemplateText("/api/{{ attrs.x }}/end", HERE))({"attrs": {"x": value}})
    except RenderError:
        return
    plain = path
    for _ in range(4):
        parts = [each.partition(";")[0] for each in re.split(r"[/\\]", plain)]
        assert not {".", ".."} & set(parts)
        assert posixpath.normpath(plain.replace("\\", "/")).startswith("/api")
        plain = unquote(plain)


@given(text=texts, other=texts)
def test_a_path_value_never_adds_a_segment(templates, text, other):
    render = templates.path(TemplateText("/a/{{ attrs.x }}/.{{ attrs.y }}", HERE))
    try:
        path = render({"attrs": {"x": text, "y": other}})
    except RenderError:
        assert {text, other} & {"", ".", ".."} or climbs(f"/{text}/.{other}")
        return
    assert not climbs(path)
    assert path.isascii()
    segments = path.split("/")
    assert [unquote(segment) for segment in segments] == ["", "a", encodable(text), f".{encodable(other)}"]
    assert not {"", ".", ".."} & set(segments[1:])


@given(text=texts)
def test_a_query_value_is_one_value(templates, text):
    query = templates.query(TemplateText("{{ attrs.x }}", HERE))({"attrs": {"x": text}})
    assert re.fullmatch(r"[A-Za-z0-9_.~%-]*", query)
    assert unquote(query) == encodable(text)


@given(text=texts)
def test_a_header_value_is_printable_ascii_or_an_error(templates, text):
    render = templates.header(TemplateText("v={{ attrs.x }}", HERE))
    try:
        assert re.fullmatch(r"[\t\x20-\x7e]*", render({"attrs": {"x": text}}))
    except RenderError:
        assert not re.fullmatch(r"[\t\x20-\x7e]*", text)


@given(text=texts)
@example(text="\U000e0080" * 30)  # written out, each of them is ten characters
def test_no_error_shows_a_control_or_bidi_character_of_a_value_or_much_of_it(templates, text):
    expressions = [
        "attrs.x | int",
        "attrs.x | date",
        "0 | date(tz=attrs.x)",
        "slack_link(attrs.x)",
        "slack_user(attrs.x)",
        "[attrs] | map(attrs.x ~ 'y') | join",
        "attrs['nope' ~ attrs.x]",
        "[attrs][attrs.x]",
        "attrs.x < 1",
        "attrs.x - 1",
        "0 | date(attrs.x ~ '\ud800')",
    ]
    facts = {"attrs": {"x": text}}
    renders = [templates.text(TemplateText(f"{{{{ {each} }}}}", HERE), slack.escape) for each in expressions]
    renders.append(templates.header(TemplateText("{{ attrs.x }}", HERE)))
    renders.append(templates.path(TemplateText("/{{ attrs.x }}", HERE)))
    for render in renders:
        try:
            render(facts)
        except RenderError as error:
            assert str(error).isprintable()
            assert len(str(error)) < 200


pieces = st.lists(
    st.sampled_from(
        [
            *(
                "{{",
                "}}",
                "{%",
                "%}",
                "{#",
                "#}",
                " ",
                "\n",
                '"',
                "\\",
                "{",
                "}",
                "[",
                "]",
                ":",
                ",",
                "-",
                "|",
                "~",
                "+",
                "*",
            ),
            *(
                "attrs",
                ".x",
                ".y",
                "['x']",
                "atrs",
                "1",
                "'a'",
                "none",
                "(",
                ")",
                "upper",
                "default('d')",
                "tojson",
                "nope",
            ),
            *(
                "{{ attrs.x }}",
                '"{{ attrs.x }}"',
                "{% if attrs.x %}",
                "{% else %}",
                "{% endif %}",
                "{% for a in attrs %}",
            ),
            *(
                "{% endfor %}",
                "{% set a %}",
                "{% endset %}",
                "{{ a }}",
                "{% macro m(x) %}",
                "{% endmacro %}",
                "{{ m(1) }}",
            ),
        ]
    ),
    max_size=12,
).map("".join)


@given(source=pieces | st.text(), value=values)
def test_any_template_is_refused_or_renders_or_is_a_render_error(templates, source, value):
    text = TemplateText(source, HERE)
    compiles = [
        lambda: templates.text(text, slack.escape),
        lambda: templates.tree([text], slack.escape),
        lambda: templates.path(text),
        lambda: templates.query(text),
        lambda: templates.header(text),
    ]
    for compile in compiles:
        try:
            compile()({"attrs": {"x": value}})
        except (TemplateRefused, RenderError) as error:
            assert str(error).startswith("routes.yaml:")


@given(source=pieces)
def test_whatever_a_json_file_makes_of_an_escaped_text_it_is_json_without_brackets(templates, tmp_path_factory, source):
    folder = tmp_path_factory.mktemp("case")
    (folder / "case.json.j2").write_text(source)
    fresh = Templates(folder, roots={"attrs"})
    try:
        value = fresh.file("case.json.j2", HERE, slack.escape)({"attrs": {"x": '<!here>"}'}}).value
    except (TemplateRefused, RenderError):
        return
    assert not set("".join(texts_of(value))) & set("<>")
