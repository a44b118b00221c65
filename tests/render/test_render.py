import doctest

import pytest

from gateway.destinations import slack
from gateway.destinations.escapes import no_escape
from gateway.errors import Place, RenderError, TemplateRefused
from gateway.model import Json, Raw, Text
from gateway.render import Namespace, Templates, TemplateText, filters, values
from gateway.render.sandbox import MAX_WORK

ROOTS = {"event", "payload", "headers", "attrs"}
HERE = Place("routes.yaml", 40, 11)
FACTS = {
    "event": {"type": "contact.created"},
    "payload": {"items": [{"sku": "A", "n": 1}, {"sku": "B", "n": 2}], "long": "x" * 100_000},
    "headers": {"x-webhook-event": "message.sent"},
    "attrs": {
        "id": 451,
        "firstname": "Ann",
        "bad": '<!channel> "A"\n&\\',
        "nothing": None,
        "empty": "",
        "vip": True,
        "score": 1.5,
        "group_id": [1, 2],
        "phone": "+14155551234",
        "get": "a field called get",
    },
}


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "templates" / "slack").mkdir(parents=True)
    return tmp_path / "templates"


@pytest.fixture
def templates(folder):
    return Templates(folder, roots=ROOTS)


@pytest.fixture
def text(templates):
    return lambda source, escape=slack.escape: templates.text(TemplateText(source, HERE), escape)(FACTS).text


@pytest.fixture
def leaf(templates):
    return lambda source, escape=no_escape: templates.tree(TemplateText(source, HERE), escape)(FACTS).value


@pytest.fixture
def json_file(templates, folder):
    def render(source, escape=no_escape, facts=FACTS):
        (folder / "case.json.j2").write_text(source)
        content = templates.file("case.json.j2", HERE, escape)(facts)
        assert isinstance(content, Json)
        return content.value

    return render


def refusal(compile, *arguments):
    with pytest.raises(TemplateRefused) as caught:
        compile(*arguments)
    return caught.value.problem


def failure(render, *arguments):
    with pytest.raises(RenderError) as caught:
        render(*arguments)
    return str(caught.value)


# --- what a template can see ---


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
        ("{{ omit }}", "omit leaves out a whole leaf"),
        ("{{ attrs.id + attrs.nothing }}", "cannot compute a number + null"),
        ("{{ attrs.nothing < 5 }}", "cannot compare null with a number"),
        ("{{ 1 / 0 }}", "division by zero"),
        ("{{ attrs.firstname | date }}", 'date: "Ann" is neither an ISO 8601 time nor seconds since 1970'),
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


@pytest.mark.parametrize("name", [*filters.FILTERS, "slack_link", "slack_user", "range"])
def test_every_filter_and_function_has_a_doctest(name):
    function = filters.FILTERS.get(name) or filters.FUNCTIONS[name]
    assert ">>>" in (function.__doc__ or "")


@pytest.mark.parametrize("module", [filters, values])
def test_the_doctests_hold(module):
    results = doctest.testmod(module)
    assert results.attempted
    assert not results.failed


# --- what is refused when it is compiled ---


@pytest.mark.parametrize(
    ("source", "line", "message", "hint"),
    [
        ("a\n{{ atrs.id }}", 41, 'unknown name "atrs"', 'did you mean "attrs"?'),
        ("{% if x.y %}{% endif %}", 40, 'unknown name "x"', "known: attrs, event"),
        ("{{ null }}", 40, 'unknown name "null"', "write none"),
        ("{{ slak_link('a') }}", 40, 'unknown name "slak_link"', 'did you mean "slack_link"?'),
        ("\n\n{{ attrs.id | uper }}", 42, 'unknown filter "uper"', 'did you mean "upper"?'),
        ("{{ attrs.id is numbr }}", 40, 'unknown test "numbr"', 'did you mean "number"?'),
        ("{{ attrs.a.replace('a', 'b') }}", 40, 'unknown function ".replace()"', "write | replace"),
        ("{{ attrs.items() }}", 40, 'unknown function ".items()"', "write | items"),
        ("{{ attrs.a.uper() }}", 40, 'unknown function ".uper()"', 'did you mean "upper"?'),
        ("a\n{{ attrs.id", 41, "a {{ is never closed", "add }}"),
        ("a\n{% if attrs.id %}", 41, "{% if %} is never closed", "add {% endif %}"),
        ("{{ attrs. }}", 40, "expected name or number", ""),
        ("{% trans %}{% endtrans %}", 40, "unknown tag {% trans %}", ""),
        ("{% autoescape true %}{% endautoescape %}", 40, "autoescape", ""),
        ("{% extends 'a.txt.j2' %}", 40, "{% extends %} is not possible here", ""),
        ("{% block a %}{% endblock %}", 40, "{% block %} is not possible here", ""),
        ("{% filter upper %}a{% endfilter %}", 40, "{% filter %} is not possible here", ""),
        ("{% macro f() %}{% endmacro %}{% call f() %}{% endcall %}", 40, "{% call %} is not possible", ""),
        ("{% set a | upper %}x{% endset %}", 40, "a filter on a {% set %} block", ""),
        ("{% for a in attrs recursive %}{% endfor %}", 40, "recursive", ""),
        ("{% set n = namespace() %}", 40, 'unknown name "namespace"', ""),
        ("{{ lipsum() }}{{ cycler() }}", 40, 'unknown name "lipsum"', ""),
        ("{{ self }}", 40, 'unknown name "self"', ""),
        ("{{ loop.index }}", 40, 'unknown name "loop"', ""),
        ("{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}", 40, "too deep", ""),
        ("{{ ''.__class__.mro() }}", 40, 'unknown function ".mro()"', ""),
        ("{% include attrs.file %}", 40, "written out here, not computed", ""),
        ("{% include 'nope.txt.j2' %}", 40, 'unknown template "nope.txt.j2"', ""),
        ("{% include 'a.json.j2' %}", 40, '"a.json.j2" does not fit in here', ""),
    ],
)
def test_a_mistake_is_found_when_the_template_is_compiled(templates, source, line, message, hint):
    problem = refusal(templates.text, TemplateText(source, HERE), no_escape)
    assert (problem.place.file, problem.place.line) == ("routes.yaml", line)
    assert message in problem.message
    assert hint in problem.hint


def test_names_a_template_makes_itself_are_known(text):
    source = "{% set a = 1 %}{% for b in [2] %}{% macro c(d) %}{{ a }}{{ d }}{% endmacro %}{{ c(b) }}{{ loop.index }}{% endfor %}"
    assert text(source) == "121"


# --- Slack ---


def test_a_value_is_inert_in_slack_text(text):
    assert text("*{{ attrs.bad }}*") == '*&lt;!channel&gt; "A" &amp;\\*'


def test_without_slack_a_value_is_printed_as_it_is(text):
    assert text("*{{ attrs.bad }}*", no_escape) == '*<!channel> "A"\n&\\*'


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("a\r\nb\rc\nd\u2028e\tf", "a b c d e f"),
        ("a\x00\x1b\x9f\u200e\u202eb\u2066\u061c", "ab"),
        ("\ud800", "\ufffd"),
        ("👩‍👩‍👧 é", "👩‍👩‍👧 é"),
    ],
)
def test_slack_text_has_no_line_breaks_controls_or_bidi_marks_of_a_value(templates, value, shown):
    render = templates.text(TemplateText("{{ attrs.x }}.", HERE), slack.escape)
    assert render({"attrs": {"x": value}}).text == f"{shown}."


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        ("<!here> {{ attrs.bad | mrkdwn_raw }}", '<!here> <!channel> "A"\n&\\'),
        ("{{ slack_user('U024BE7LH') }}", "<@U024BE7LH>"),
        (
            "{{ slack_link('https://x.test/?a=1&copy=|>', attrs.bad) }}",
            '<https://x.test/?a=1&amp;copy=%7C%3E|&lt;!channel&gt; "A" &amp;\\>',
        ),
        ("{{ 'mailto:a@x.test' | slack_link('a|b') }}", "<mailto:a@x.test|a¦b>"),
        ("{{ slack_link('https://x.test', 'x') ~ attrs.bad[:10] }}", "<https://x.test|x>&lt;!channel&gt;"),
        ("{{ slack_link('https://x.test', 'x') + attrs.bad[:10] }}", "<https://x.test|x>&lt;!channel&gt;"),
        ("{% set a %}<b> {{ attrs.bad[:10] }}{% endset %}{{ a }}", "<b> &lt;!channel&gt;"),
        ("{% macro a(x) %}<b> {{ x }}{% endmacro %}{{ a(attrs.bad[:10]) }}", "<b> &lt;!channel&gt;"),
        ("{% set a %}{{ attrs.bad[:10] }}{% endset %}{{ a | upper }}", "&amp;LT;!CHANNEL&amp;GT;"),
        ("{{ attrs.group_id | join('<') }}", "1&lt;2"),
        ("{{ [attrs.bad[:10]] | tojson }}", '["&lt;!channel&gt;"]'),
    ],
)
def test_only_the_authors_own_markup_is_alive(text, source, shown):
    assert text(source) == shown


@pytest.mark.parametrize("url", ["javascript:alert(1)", "!channel", "@U1", "", "http:/x", " data:x"])
def test_a_link_goes_to_http_https_or_mailto_only(templates, url):
    render = templates.text(TemplateText("{{ slack_link(attrs.url, 'x') }}", HERE), slack.escape)
    assert "is not an http, https or mailto address" in failure(render, {"attrs": {"url": url}})


# --- body trees ---


@pytest.mark.parametrize(
    ("source", "value"),
    [
        ("{{ attrs.id }}", 451),
        ("{{ attrs.phone }}", "+14155551234"),
        ("{{ attrs.vip }}", True),
        ("{{ attrs.nothing }}", None),
        ("{{ attrs.group_id }}", [1, 2]),
        ("{{ payload.items[0] }}", {"sku": "A", "n": 1}),
        ("{{ attrs.bad }}", '<!channel> "A"\n&\\'),
        ("no. {{ attrs.id }}", "no. 451"),
        (" {{ attrs.id }}", " 451"),
        ("{% if attrs.vip %}yes{% endif %}", "yes"),
        ("{{ attrs.id | tojson }}", "451"),
        ("{{ 'a\ud800' }}", "a\ufffd"),
        ("{# no template #}", "{# no template #}"),
    ],
)
def test_a_leaf_that_is_one_whole_expression_keeps_its_type(leaf, source, value):
    assert leaf(source) == value
    assert type(leaf(source)) is type(value)


def test_a_tree_keeps_its_shape_and_leaves_out_what_is_omitted(templates):
    def t(source):
        return TemplateText(source, HERE)

    tree = {
        "id": t("{{ attrs.id }}"),
        "gone": t("{{ attrs.nope | default(omit) }}"),
        "fixed": [1, 1.5, True, None, {"plain": t("<b>")}],
        "list": [t("{{ attrs.nope | default(omit) }}"), t("{{ attrs.firstname }}")],
    }
    value = templates.tree(tree, no_escape)(FACTS).value
    assert value == {"id": 451, "fixed": [1, 1.5, True, None, {"plain": "<b>"}], "list": ["Ann"]}


def test_a_leaf_for_slack_is_inert_all_the_way_down(templates):
    facts = {"attrs": {"x": {"<a>": ["<!here>", {"b": "&"}]}}}
    value = templates.tree(TemplateText("{{ attrs.x }}", HERE), slack.escape)(facts).value
    assert value == {"&lt;a&gt;": ["&lt;!here&gt;", {"b": "&amp;"}]}


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("{{ attrs.nope }}", "the event has no field attrs.nope"),
        ("{{ [attrs.nope] }}", "the event has no field attrs.nope"),
        ("{{ attrs.nope | default(omit) }}", "omit would leave out the whole body"),
        ("{{ [omit] }}", "omit leaves out a whole leaf"),
        ("{{ 1e308 * 10 }}", "inf, which JSON cannot hold"),
        ("{{ range }}", "range is a function, which JSON cannot hold"),
        ("{{ slack_link }}", "a function, which JSON cannot hold"),
    ],
)
def test_a_leaf_that_has_no_json_is_an_error(leaf, source, message):
    assert message in failure(leaf, source)


def test_a_leaf_fails_at_its_own_line(templates):
    tree = {"a": TemplateText("x", HERE), "b": [TemplateText("{{ 1 / 0 }}", Place("routes.yaml", 77, 5))]}
    assert failure(templates.tree(tree, no_escape), FACTS) == "routes.yaml:77: division by zero"


# --- .json.j2 ---


@pytest.mark.parametrize(
    ("source", "value"),
    [
        ('{"a": "x {{ attrs.bad }}", "b": {{ attrs.bad }}}', {"a": 'x <!channel> "A"\n&\\', "b": '<!channel> "A"\n&\\'}),
        ("[{{ attrs.id }}, {{ attrs.nothing }}, {{ attrs.vip }}]", [451, None, True]),
        ('{ {{ attrs.bad }}: "\\"{{ attrs.id }}\\"" }', {'<!channel> "A"\n&\\': '"451"'}),
        ("[{{ attrs.group_id }}, {{ payload.items | tojson }}]", [[1, 2], [{"sku": "A", "n": 1}, {"sku": "B", "n": 2}]]),
        ('"{{ attrs.group_id | tojson }}"', "[1, 2]"),
        ('"{% if attrs.vip %}a\\n{{ attrs.id }}{% else %}b{% endif %}"', "a\n451"),
        ('[{% for g in attrs.group_id %}"{{ g }}"{{ "," if not loop.last }}{% endfor %}]', None),
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
        ('{\n"a": "x,\n"b": 1}', 2, "a JSON string ends on the line on which it begins"),
        ('{"a": "\\{{ attrs.id }}"}', 1, "a backslash right before {{"),
        ('{% set a %}{"{% endset %}', 1, "this block ends inside a JSON string"),
        ('"{% include "other.json.j2" %}"', 1, "not possible inside a JSON string"),
        ("[{% include 'other.txt.j2' %}]", 1, "does not fit in here"),
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


# --- files ---


def test_a_txt_file_is_plain_text(templates, folder):
    (folder / "a.txt.j2").write_text("Hello {{ attrs.firstname }}\n")
    assert templates.file("a.txt.j2", HERE, no_escape)(FACTS) == Raw(b"Hello Ann", "text/plain; charset=utf-8")


@pytest.mark.parametrize(
    ("name", "message", "hint"),
    [
        ("slack/leed.json.j2", 'unknown template "slack/leed.json.j2"', 'did you mean "slack/lead.json.j2"?'),
        ("nothing-like-it.txt.j2", "unknown template", "known: slack/lead.json.j2"),
        ("slack/lead.xml.j2", "must end in .json.j2, .txt.j2", 'did you mean "slack/lead.json.j2"?'),
        ("slack/lead.json", "must end in .json.j2, .txt.j2", 'did you mean "slack/lead.json.j2"?'),
        ("../secret.txt.j2", "unknown template", ""),
        ("slack/../../secret.txt.j2", "unknown template", ""),
        ("/etc/secret.txt.j2", "unknown template", ""),
        ("out.txt.j2", "unknown template", ""),
        ("slack\\lead.json.j2", "unknown template", ""),
        ("a\0.txt.j2", "unknown template", ""),
        ("x" * 5000 + ".txt.j2", "unknown template", ""),
        ("loop.txt.j2", "unknown template", ""),
    ],
)
def test_only_files_of_the_folder_are_templates(templates, folder, name, message, hint):
    (folder / "slack" / "lead.json.j2").write_text("{}")
    (folder.parent / "secret.txt.j2").write_text("secret")
    (folder / "out.txt.j2").symlink_to(folder.parent / "secret.txt.j2")
    (folder / "loop.txt.j2").symlink_to(folder / "loop.txt.j2")
    problem = refusal(templates.file, name, HERE, no_escape)
    assert problem.place == HERE
    assert message in problem.message
    assert hint in problem.hint


def test_a_file_that_is_not_utf8_is_refused_with_its_line(templates, folder):
    (folder / "a.txt.j2").write_bytes(b"one\ntwo \xff\n")
    assert refusal(templates.file, "a.txt.j2", HERE, no_escape).place == Place("templates/a.txt.j2", 2)


def test_a_folder_that_is_not_there_has_no_templates(tmp_path):
    templates = Templates(tmp_path / "templates", roots=ROOTS)
    assert refusal(templates.file, "a.txt.j2", HERE, no_escape).hint == "files are looked for in templates/"


def test_files_include_and_import_files_of_the_same_kind(templates, folder):
    (folder / "blocks.json.j2").write_text('{% macro line(x) %}{"line": "{{ x }} {{ attrs.id }}"}{% endmacro %}')
    (folder / "part.json.j2").write_text('"{{ attrs.bad }}"')
    (folder / "all.json.j2").write_text(
        '{% from "blocks.json.j2" import line %}{% import "blocks.json.j2" as blocks %}'
        '[{{ line(attrs.bad) }}, {{ blocks.line("<b>") }}, {% include "part.json.j2" %}]'
    )
    assert templates.file("all.json.j2", HERE, slack.escape)(FACTS).value == [
        {"line": '&lt;!channel&gt; "A" &amp;\\ 451'},
        {"line": "&lt;b&gt; 451"},
        '&lt;!channel&gt; "A" &amp;\\',
    ]


def test_an_error_in_an_included_file_names_that_file(templates, folder):
    (folder / "part.txt.j2").write_text("\n{{ attrs.nope }}")
    (folder / "all.txt.j2").write_text('{% include "part.txt.j2" %}')
    assert failure(templates.file("all.txt.j2", HERE, no_escape), FACTS).startswith("templates/part.txt.j2:2: ")
    (folder / "typo.txt.j2").write_text("\n\n{{ atrs }}")
    (folder / "more.txt.j2").write_text('{% include "typo.txt.j2" %}')
    assert refusal(templates.file, "more.txt.j2", HERE, no_escape).place == Place("templates/typo.txt.j2", 3)


def test_a_file_that_includes_itself_is_refused(templates, folder):
    (folder / "a.txt.j2").write_text('{% include "b.txt.j2" %}')
    (folder / "b.txt.j2").write_text('\n{% include "a.txt.j2" %}')
    problem = refusal(templates.file, "a.txt.j2", HERE, no_escape)
    assert problem.place == Place("templates/b.txt.j2", 2)
    assert "a.txt.j2 > b.txt.j2 > a.txt.j2" in problem.message


# --- path, query, headers ---


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("/contacts/{{ attrs.id }}", "/contacts/451"),
        ("/contacts/{{ 'a/b?c#d%2F e' }}/x", "/contacts/a%2Fb%3Fc%23d%252F%20e/x"),
        ("/{{ '%2e%2e' }}", "/%252e%252e"),
        ("/ü b/{{ attrs.vip }}", "/%C3%BC%20b/true"),
        ("/a%20b/{{ '\ud800' }}", "/a%20b/%EF%BF%BD"),
        ("/{% set p %}a/{{ attrs.id }}{% endset %}{{ p }}", "/a%2F451"),
        ("/{{ '\\\\..\\\\' }}", "/%5C..%5C"),
    ],
)
def test_a_value_stays_inside_its_segment(templates, source, expected):
    assert templates.path(TemplateText(source, HERE))(FACTS) == expected


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("/{{ attrs.empty }}", 'attrs.empty is "", which would change the path'),
        ("/{{ '.' }}", "would change the path"),
        ("/{{ '..' }}/x", "would change the path"),
        ("/.{% if true %}{{ '.x'[:1] }}{% endif %}", "would change the path"),
        ("/%2e./{{ attrs.id }}", 'a segment ".."'),
        ("/{{ attrs.nothing }}", "attrs.nothing is null"),
        ("/{{ attrs.nope }}", "no field attrs.nope"),
        ("/{{ attrs.group_id }}", "is a list"),
        ("/{{ attrs }}", "is an object"),
    ],
)
def test_a_value_that_would_change_the_path_is_an_error(templates, source, message):
    assert message in failure(templates.path(TemplateText(source, HERE)), FACTS)


def test_a_query_value_is_percent_encoded_whole(templates):
    render = templates.query(TemplateText("a&b={{ attrs.bad }}", HERE))
    assert render(FACTS) == "a%26b%3D%3C%21channel%3E%20%22A%22%0A%26%5C"
    assert "is null" in failure(templates.query(TemplateText("{{ attrs.nothing }}", HERE)), FACTS)
    assert "at most 32,768" in failure(templates.query(TemplateText("{{ payload.long }}", HERE)), FACTS)


@pytest.mark.parametrize("value", ["a\nb", "a\rb", "a\0b", "ü", "a\x7fb", "\ud800"])
def test_a_header_value_holds_printable_ascii_only(templates, value):
    render = templates.header(TemplateText("x {{ attrs.x }} y", HERE))
    assert render({"attrs": {"x": "b"}}) == "x b y"
    assert "a header value cannot hold" in failure(render, {"attrs": {"x": value}})


# --- limits ---

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
    "a padded text": "{{ '%1000000000d' % 1 }}",
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
    "payload.text | last",
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
    assert names.budget.work > MAX_WORK - 100_000


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


# --- Slack's angle brackets ---


@pytest.mark.parametrize(
    "source",
    [
        "<{{ attrs.firstname }}>",
        "<{{ attrs.firstname }}|link>",
        "<@{{ attrs.id }}>",
        "<#{{ attrs.id }}>",
        "<!subteam^{{ attrs.id }}>",
        "<https://crm.example/{{ attrs.id }}|open>",
        "<{% if attrs.vip %}{{ attrs.id }}{% endif %}>",
        "<{% for n in attrs.group_id %}{{ n }}{% endfor %}>",
        "<https://e|{{ attrs.firstname }}>",
    ],
)
def test_a_value_inside_slacks_angle_brackets_is_refused(templates, folder, source):
    problem = refusal(templates.text, TemplateText(source, HERE), slack.escape)
    assert "live markup" in problem.message
    assert "slack_link(url, label)" in problem.hint
    (folder / "case.json.j2").write_text(f'{{"text": "{source}"}}')
    refusal(templates.file, "case.json.j2", HERE, slack.escape)
    templates.text(TemplateText(source, HERE), no_escape)


@pytest.mark.parametrize(
    "source",
    [
        "{{ attrs.id }} < {{ attrs.score }}",
        "<!here> {{ attrs.firstname }}",
        "<https://e.example|open> {{ attrs.firstname }} <#C1>",
        "<{{ attrs.firstname | mrkdwn_raw }}>",
        "{{ slack_link('https://e.example/' ~ attrs.id, attrs.firstname) }}",
    ],
)
def test_a_value_beside_them_is_not(text, source):
    assert text(source)


def test_the_ends_of_a_value_are_kept(text):
    assert text("{{ ' lead trail ' }}\n\n") == " lead trail "
    assert text("\n  \n {{ 'a' }} \n \n") == " a "


# --- a second load ---


def test_a_second_load_sees_what_has_changed_in_a_file_and_in_what_it_includes(folder):
    def rendered(name, roots=ROOTS):
        return Templates(folder, roots=roots).file(name, HERE, no_escape)(FACTS).body.decode()

    (folder / "part.txt.j2").write_text("one")
    (folder / "whole.txt.j2").write_text("{% include 'part.txt.j2' %} {{ attrs.firstname }}")
    assert rendered("whole.txt.j2") == "one Ann"
    (folder / "part.txt.j2").write_text("two")
    assert rendered("whole.txt.j2") == "two Ann"
    assert rendered("part.txt.j2") == "two"
    (folder / "part.txt.j2").write_text("{{ attrs.id }}")
    assert rendered("part.txt.j2") == "451"
    with pytest.raises(TemplateRefused):
        rendered("part.txt.j2", roots={"event"})
