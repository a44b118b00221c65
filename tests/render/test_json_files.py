"""Files that render to JSON: every value is escaped for its place."""

import pytest

from gateway.destinations import slack
from gateway.destinations.escapes import no_escape
from gateway.errors import RenderError, TemplateRefused
from tests.render.given import FACTS, HERE, failure, refusal


@pytest.mark.parametrize(
    ("source", "value"),
    [
        ('{"a": "x {{ attrs.bad }}", "b": {{ attrs.bad }}}', {"a": 'x <!channel> "A"\n&\\', "b": '<!channel> "A"\n&\\'}),
        ("[{{ attrs.id }}, {{ attrs.nothing }}, {{ attrs.vip }}]", [451, None, True]),
        ('{ {{ attrs.bad }}: "\\"{{ attrs.id }}\\"" }', {'<!channel> "A"\n&\\': '"451"'}),
        ("[{{ attrs.group_id }}, {{ payload.items | tojson }}]", [[1, 2], [{"sku": "A", "n": 1}, {"sku": "B", "n": 2}]]),
        ('"{{ attrs.group_id | tojson }}"', "[1, 2]"),
        ('"{% if attrs.vip %}a\\n{{ attrs.id }}{% else %}b{% endif %}"', "a\n451"),
        ('[{% for g in attrs.group_id %}"{{ g }}"{{ "," if not loop.last }}{% endfor %}]', ["1", "2"]),
        ('{ {% for g in attrs.group_id %}"{{ g }}": {{ g }}{{ ", " if not loop.last else "" }}{% endfor %} }', {"1": 1, "2": 2}),
        ('[{% for g in attrs.group_id %}"{{ g }}"{% if not loop.last %},{% endif %}{% endfor %}]', ["1", "2"]),
        ('{% set a %}Hi {{ attrs.bad }}{% endset %}[{{ a }}, "{{ a }}"]', ['Hi <!channel> "A"\n&\\'] * 2),
        ('{% set a %}{"x": {{ attrs.bad }}}{% endset %}[{{ a }}]', [{"x": '<!channel> "A"\n&\\'}]),
        ('{% macro m(x) %}{"x": "{{ x }}"}{% endmacro %}[{{ m(attrs.bad) }}]', [{"x": '<!channel> "A"\n&\\'}]),
        ("{% macro m(x) %}<{{ x }}>{% endmacro %}[{{ m(attrs.bad) }}]", ['<<!channel> "A"\n&\\>']),
        ("{% raw %}{}{% endraw %}", {}),
    ],
)  # fmt: skip
def test_a_value_is_escaped_for_its_place_in_json(json_file, source, value):
    if value is None:
        assert "the result is not JSON" in failure(json_file, source)
    else:
        assert json_file(source) == value


@pytest.mark.parametrize(
    "source",
    [
        '"{{ attrs.bad }}"',
        "{{ attrs.bad }}",
        "{{ [attrs.bad] }}",
        "{{ attrs.bad | tojson }}",
        '"{{ attrs.bad | tojson }}"',
        "{{ attrs | tojson }}",
        '"{% set a %}{{ attrs.bad }}{% endset %}{{ a }}"',
        "{% set a %}{{ attrs.bad }}{% endset %}{{ a }}",
        "{% set a = attrs.bad %}{{ a }}",
        "{% macro m(x) %}{{ x }}{% endmacro %}{{ m(attrs.bad) }}",
        '{% macro m(x) %}["{{ x }}", {{ x }}]{% endmacro %}{{ m(attrs.bad) }}',
        '{% macro m(x) %}["{{ x }}", {{ x }}]{% endmacro %}"{{ m(attrs.bad) }}"',
        "{% set a %}{{ attrs.bad }}{% endset %}{{ [a] }}",
        "{{ attrs.bad ~ attrs.bad }}",
        "{{ (attrs.bad | tojson) ~ attrs.bad }}",
    ],
)
def test_no_place_of_a_slack_file_makes_a_value_live_markup(json_file, source):
    shown = repr(json_file(source, slack.escape))
    assert "<" not in shown
    assert ">" not in shown
    assert "&lt;!channel&gt;" in shown
    assert "&amp;lt;" not in shown


@pytest.mark.parametrize(
    ("source", "line", "message"),
    [
        ('{\n"a": "{% if attrs.vip %}x"{% else %}y{% endif %}}', 2, "branches of this {% if %} do not agree"),
        ('"{% if attrs.vip %}x"{% endif %}', 1, "branches of this {% if %} do not agree"),
        ('[\n{% for x in attrs %}"{% endfor %}]', 2, "this {% for %} begins"),
        ('{"a": "x}', 1, "the text ends inside a JSON string"),
        ('{\n"a": "x,\n"b": 1}', 2, "a JSON string must end on the line on which it begins"),
        ('{"a": "\\{{ attrs.id }}"}', 1, "a backslash right before {{"),
        ('{% set a %}{"{% endset %}', 1, "this block ends inside a JSON string"),
        ('"{% include "other.json.j2" %}"', 1, "not supported inside a JSON string"),
        ("[{% include 'other.txt.j2' %}]", 1, "cannot be used here"),
        ("{}\n{{ atrs }}", 2, 'unknown name "atrs"'),
    ],
)  # fmt: skip
def test_a_json_file_that_cannot_be_kept_whole_is_refused(templates, folder, source, line, message):
    (folder / "case.json.j2").write_text(source)
    (folder / "other.json.j2").write_text("1")
    problem = refusal(templates.file, "case.json.j2", HERE, no_escape)
    assert (problem.place.file, problem.place.line) == ("templates/case.json.j2", line)
    assert message in problem.message
    assert problem.line_text == source.split("\n")[line - 1]


def test_a_result_that_is_not_json_is_an_error_that_shows_where(json_file):
    assert failure(json_file, '{\n  "a": {{ attrs.id }},\n}') == (
        "templates/case.json.j2: the result is not JSON: trailing comma in object in line 3, column 1 of it, "
        "near '{\\n  \"a\": 451,\\n}'"
    )


def test_the_place_where_a_result_is_not_json_is_shown_in_few_characters(templates, folder):
    (folder / "case.json.j2").write_text("[{{ attrs.x }} {{ attrs.x }}]")
    message = failure(templates.file("case.json.j2", HERE, no_escape), {"attrs": {"x": "\U000e0080" * 30}})
    assert len(message) < 200
    assert message.isprintable()


def test_an_error_in_a_file_names_the_file_and_its_line(json_file):
    assert failure(json_file, '{\n"a":\n{{ attrs.nope }}}').startswith(
        "templates/case.json.j2:3: the event has no field"
    )


@pytest.mark.parametrize(
    "source", ["", "{", '["\\ud800"]', "[1e999]", "[NaN]", "[" * 100_000, "\ud800".encode("utf-8", "surrogatepass")]
)
def test_no_result_is_more_than_a_render_error(templates, folder, source):
    (folder / "case.json.j2").write_bytes(source if isinstance(source, bytes) else source.encode())
    with pytest.raises((RenderError, TemplateRefused)):
        templates.file("case.json.j2", HERE, no_escape)(FACTS)
