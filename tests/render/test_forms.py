"""Functions, filters and tests of other languages: what is to be written instead does the same."""

import json

import pytest

from gateway.destinations.escapes import no_escape
from gateway.render import TemplateText
from tests.render.given import FACTS, HERE, refusal

AS_FILTERS = [
    # A filter with its arguments, the value, what is to be written, and the value of that.
    ("d('x')", "attrs.nothing", "attrs.nothing | default('x')", "x"),
    ("default_if_none('x')", "attrs.nothing", "attrs.nothing | default('x')", "x"),
    ("startswith('A')", "attrs.firstname", "attrs.firstname.startswith('A')", True),
    ("starts_with('B')", "attrs.firstname", "attrs.firstname.startswith('B')", False),
    ("endsWith('n')", "attrs.firstname", "attrs.firstname.endswith('n')", True),
    ("contains('nn')", "attrs.firstname", "'nn' in attrs.firstname", True),
    ("toUpperCase", "attrs.firstname", "attrs.firstname | upper", "ANN"),
    ("ucfirst", "attrs.firstname", "attrs.firstname | capitalize", "Ann"),
    ("append('a')", "attrs.firstname", "attrs.firstname ~ 'a'", "Anna"),
    ("prepend('Jo')", "attrs.firstname", "'Jo' ~ attrs.firstname", "JoAnn"),
    ("remove('n')", "attrs.firstname", "attrs.firstname | replace('n', \"\")", "A"),
    ("replace_first('n', 'm')", "attrs.firstname", "attrs.firstname | replace('n', 'm', 1)", "Amn"),
    ("split('n')", "attrs.firstname", "attrs.firstname.split('n')", ["A","",""]),
    ("basename", "'a/b/c'", "'a/b/c'.rpartition(\"/\")[2]", "c"),
    ("dirname", "'a/b/c'", "'a/b/c'.rpartition(\"/\")[0]", "a/b"),
    ("plus(1)", "attrs.id", "attrs.id + 1", 452),
    ("times(2)", "attrs.id", "attrs.id * 2", 902),
    ("divided_by(2)", "attrs.score", "attrs.score / 2", 0.75),
    ("modulo(2)", "attrs.id", "attrs.id % 2", 1),
    ("floor", "attrs.score", "(attrs.score // 1) | int", 1),
    ("ceil", "attrs.score", "(-(-attrs.score // 1)) | int", 2),
    ("at_least(500)", "attrs.id", "[attrs.id, 500] | max", 500),
    ("at_most(500)", "attrs.id", "[attrs.id, 500] | min", 451),
    ("ternary('a', 'b')", "attrs.vip", "'a' if attrs.vip else 'b'", "a"),
    ("bool", "'yes'", "'yes' in [true, 1, \"true\", \"yes\", \"on\", \"1\"]", True),
    ("wordcount", "'a b c'", "'a b c'.split() | length", 3),
    ("pluck('sku')", "payload.items", "payload.items | map('sku')", ["A","B"]),
    ("sum_by('n')", "payload.items", "payload.items | sum_of('n')", 3),
    ("where('sku', 'B')", "payload.items", "payload.items | selectattr('sku', \"eq\", 'B')", [{"sku":"B","n":2}]),
    ("nth(1)", "attrs.group_id", "attrs.group_id[1]", 2),
    ("limit(1)", "attrs.group_id", "attrs.group_id[:1]", [1]),
    ("to_nice_json", "attrs.group_id", "attrs.group_id | tojson", "[1, 2]"),
    ("timestamp_custom('YYYY-MM-DD')", "86400", "86400 | date('%Y-%m-%d')", "1970-01-02"),
    # What a pattern finds, with the pattern's own groups.
    ("regex_search('[0-9]{3}')", "attrs.phone", r"attrs.phone | regex_replace('(?s)^.*?(?:([0-9]{3}).*)?$', '\\1')", "141"),
    ("regex_search('x|y')", "attrs.phone", r"attrs.phone | regex_replace('(?s)^.*?(?:(x|y).*)?$', '\\1')", ""),
    (r"regex_search('(\\d)5+')", "attrs.phone", r"attrs.phone | regex_replace('(?s)^.*?(?:((\\d)5+).*)?$', '\\1')", "15555"),
    ("regex_search('^n')", "attrs.firstname", r"attrs.firstname | regex_replace('(?s)^.*?(?:(^n).*)?$', '\\1')", ""),
    ("regex_match('An')", "attrs.firstname", r"attrs.firstname | regex_replace('(?s)^(?:(An).*|.*)$', '\\1')", "An"),
    ("regex_match('nn')", "attrs.firstname", r"attrs.firstname | regex_replace('(?s)^(?:(nn).*|.*)$', '\\1')", ""),
]  # fmt: skip

AS_TESTS = [
    ("contains('nn')", "attrs.firstname", "'nn' in attrs.firstname", True),
    ("startswith('A')", "attrs.firstname", "attrs.firstname.startswith('A')", True),
    ("sameas(1)", "attrs.id", "attrs.id == 1", False),
    ("blank", "attrs.empty", "not attrs.empty", True),
    ("nil", "attrs.nothing", "attrs.nothing is none", True),
    ("present", "attrs.other", "attrs.other is defined", False),
    ("object", "attrs", "attrs is mapping", True),
    ("str", "attrs.id", "attrs.id is string", False),
    ("int", "attrs.id", "attrs.id is integer", True),
    ("bool", "attrs.vip", "attrs.vip is boolean", True),
    ("falsy", "attrs.empty", "not attrs.empty", True),
    ("list", "attrs.group_id", "attrs.group_id is sequence and attrs.group_id is not string and attrs.group_id is not mapping", True),
    ("list", "attrs.phone", "attrs.phone is sequence and attrs.phone is not string and attrs.phone is not mapping", False),
    (r"match('^\\+1')", "attrs.phone", "attrs.phone.startswith('+1')", True),
    ("match('41')", "attrs.phone", "attrs.phone.startswith('41')", False),
    ("search('41')", "attrs.phone", "'41' in attrs.phone", True),
    ("search('4$')", "attrs.phone", "attrs.phone.endswith('4')", True),
    ("search('^Ann$')", "attrs.firstname", "attrs.firstname == 'Ann'", True),
]  # fmt: skip

AS_FUNCTIONS = [
    ("upper(attrs.firstname)", "attrs.firstname | upper", "ANN"),
    ("toUpper(attrs.firstname)", "attrs.firstname | upper", "ANN"),
    ("replace(attrs.firstname, 'n', 'm')", "attrs.firstname | replace('n', 'm')", "Amm"),
    ("iif(attrs.vip and attrs.id > 1, 1, 2)", "1 if (attrs.vip and (attrs.id > 1)) else 2", 1),
    ("if(attrs.empty, 'a', 'b')", "'a' if attrs.empty else 'b'", "b"),
    ("ifempty(attrs.empty, 'x')", "attrs.empty | default('x', true)", "x"),
    ("coalesce(attrs.nothing, attrs.id)", "attrs.nothing | default(attrs.id, true)", 451),
    ("max(attrs.id, 500)", "[attrs.id, 500] | max", 500),
    ("round(attrs.score * 2)", "(attrs.score * 2) | round", 3),
    ("substring(attrs.firstname, 0, 2)", "attrs.firstname[0:2]", "An"),
    ("concat(attrs.firstname, 'a', 'b')", "attrs.firstname ~ 'a' ~ 'b'", "Annab"),
    ("get(attrs, 'id')", "attrs.id", 451),
    ("sorted(attrs.group_id)", "attrs.group_id | sort", [1, 2]),
    ("String(attrs.id)", "attrs.id | string", "451"),
    ("Math.round(attrs.score)", "attrs.score | round", 2),
    ("Math.max(attrs.id, 1)", "[attrs.id, 1] | max", 451),
    ("formatDate(86400, 'DD.MM.YYYY')", "86400 | date('%d.%m.%Y')", "02.01.1970"),
]

AS_METHODS = [
    ("attrs.firstname.upcase()", "attrs.firstname | upper", "ANN"),
    ("payload.items[0].sku.toLowerCase()", "payload.items[0].sku | lower", "a"),
    ("attrs.firstname.startsWith('A')", "attrs.firstname.startswith('A')", True),
    ("attrs.firstname.contains('nn')", "'nn' in attrs.firstname", True),
    ("attrs.firstname.equals('Ann')", "attrs.firstname == 'Ann'", True),
    ("attrs.firstname.concat('a')", "attrs.firstname ~ 'a'", "Anna"),
    ("attrs.firstname.gsub('n', 'm')", "attrs.firstname | replace('n', 'm')", "Amm"),
    ("attrs.phone.substr(2, 3)", "attrs.phone[2:5]", "415"),
    ("attrs.phone.substring(2, 5)", "attrs.phone[2:5]", "415"),
    ("attrs.firstname.size()", "attrs.firstname | length", 3),
    ("attrs.id.toString()", "attrs.id | string", "451"),
    ("attrs.id.plus(1)", "attrs.id + 1", 452),
    ("attrs.group_id.join('-')", "attrs.group_id | join('-')", "1-2"),
    ("'-'.join(attrs.group_id)", "attrs.group_id | join('-')", "1-2"),
    ("attrs.group_id.sorted()", "attrs.group_id | sort", [1, 2]),
    ("(86400).strftime('YYYY-MM-DD')", "86400 | date('%Y-%m-%d')", "1970-01-02"),
    ("(attrs.id if attrs.vip else 0).toString()", "(attrs.id if attrs.vip else 0) | string", "451"),
    ("(attrs.firstname[:2]).upcase()", "attrs.firstname[:2] | upper", "AN"),
]


def remedy(templates, source):
    return refusal(templates.text, TemplateText(source, HERE), no_escape).hint.removeprefix("write ")


@pytest.mark.parametrize(("name", "value", "right", "made"), AS_FILTERS)
def test_a_filter_of_other_templates(templates, text, name, value, right, made):
    assert remedy(templates, f"{{{{ {value} | {name} }}}}") == right
    assert json.loads(text(f"{{{{ ({right}) | tojson }}}}")) == made


@pytest.mark.parametrize(("expression", "right", "made"), AS_FUNCTIONS + AS_METHODS)
def test_a_function_or_a_method_of_other_languages(templates, text, expression, right, made):
    assert remedy(templates, f"{{{{ {expression} }}}}") == right
    assert json.loads(text(f"{{{{ ({right}) | tojson }}}}")) == made


@pytest.mark.parametrize(("name", "value", "right", "holds"), AS_TESTS)
def test_a_test_of_other_templates_and_its_opposite(templates, name, value, right, holds):
    assert remedy(templates, f"{{% if {value} is {name} %}}x{{% endif %}}") == right
    opposite = remedy(templates, f"{{% if {value} is not {name} %}}x{{% endif %}}")
    assert templates.truth(TemplateText(right, HERE))(FACTS) is holds
    assert templates.truth(TemplateText(opposite, HERE))(FACTS) is not holds


@pytest.mark.parametrize(
    ("test", "where", "pattern"),
    [
        (r"match('^\\+4\\d')", r"'^\+4\d'", r"^(?:(^\\+4\\d).*|.*)$"),
        (r"search('a.c')", r"'a.c'", r"^.*?(?:(a.c).*)?$"),
        (r"match('a|b')", r"'^(?:a|b)'", r"^(?:(a|b).*|.*)$"),
    ],
)
def test_a_pattern_that_is_more_than_a_text_is_a_condition_of_a_route_or_a_filter(templates, test, where, pattern):
    expression = f"attrs.phone is {test}"
    in_template = f"attrs.phone | regex_replace('(?s){pattern}', '\\\\1')"
    assert remedy(templates, f"{{% if {expression} %}}x{{% endif %}}") == in_template
    of_route = refusal(templates.truth, TemplateText(expression, HERE)).hint
    assert of_route == f"write where: {{attrs.phone: {{regex: {where}}}}} in the route, or {in_template}"
    assert templates.truth(TemplateText(in_template, HERE)) is not None


@pytest.mark.parametrize("name", ["times", "d", "where", "append", "formatDate", "split", "nth", "sumBy"])
def test_a_remedy_is_a_template_where_arguments_are_left_out(templates, name):
    right = remedy(templates, f"{{{{ attrs.a | {name} }}}}")
    assert templates.text(TemplateText(f"{{{{ {right} }}}}", HERE), no_escape) is not None


@pytest.mark.parametrize("name", ["equals", "sameas", "startswith", "contains", "inlist", "match", "list"])
def test_a_test_without_its_arguments_is_refused_as_any_other(templates, name):
    assert remedy(templates, f"{{% if attrs.a is {name} %}}x{{% endif %}}") is not None


@pytest.mark.parametrize("name", ["contains('a', 'b')", "endsWith('a', 'b')"])
@pytest.mark.parametrize("before", ["attrs.a |", "attrs.a is", "attrs.a is not"])
def test_a_filter_or_a_test_is_not_taken_for_a_function_of_the_same_name(templates, before, name):
    problem = refusal(templates.truth, TemplateText(f"{before} {name}", HERE))
    assert "GitHub" not in problem.message


@pytest.mark.parametrize("name", ["floor", "pluralize", "pprint", "contains", "bool", "combine", "from_json", "remove"])
def test_a_filter_is_not_taken_for_one_that_does_something_else(templates, name):
    assert "did you mean" not in remedy(templates, f"{{{{ attrs.a | {name}('x') }}}}")
