"""Filters that choose, group, sum and rewrite, and what they may cost."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jinja2.utils import missing

from gateway.destinations.escapes import no_escape
from gateway.render import TemplateText
from gateway.render.filters.groups import at
from gateway.render.filters.regexes import regex_replace
from gateway.render.filters.sums import sum_of
from gateway.render.sandbox import MAX_OUTPUT
from gateway.render.values import Trouble
from tests.render.given import FACTS, HERE, failure, refusal

ITEMS = [
    {"sku": "A", "qty": 2, "price": "0.10", "tag": {"name": "new"}},
    {"sku": "B", "qty": 1, "price": 5, "tag": {"name": "old"}},
    {"sku": "C", "qty": 3, "price": 1.5, "tag": {"name": "new"}},
]
SHOP = {**FACTS, "payload": {"items": ITEMS, "tags": ["vip", "new", "vip"], "html": "<p>a &amp; <b>b</b></p>"}}


@pytest.mark.parametrize(
    ("source", "value"),
    [
        ('{{ payload.items | selectattr("qty", "gt", 1) | map("sku") | join }}', "AC"),
        ('{{ payload.items | selectattr("tag.name", "eq", "new") | map("sku") | join }}', "AC"),
        ('{{ payload.items | rejectattr("tag.name", "in", ["old"]) | map("sku") | join }}', "AC"),
        ('{{ payload.items | selectattr("nope") | length }}', 0),
        ('{{ payload.items | selectattr("nope", "defined") | length }}', 0),
        ('{{ payload.items | rejectattr("nope") | length }}', 3),
        (
            '{% for name, found in payload.items | groupby("tag.name") %}{{ name }}:{{ found | map("sku") | join }} {% endfor %}',
            "new:AC old:B ",
        ),
        ('{{ {"b": 1, "A": 2} | dictsort }}', [["A", 2], ["b", 1]]),
        ('{{ {"b": 1, "A": 2} | dictsort(by="value", reverse=true) }}', [["A", 2], ["b", 1]]),
        ("{{ [1, 2, 3] | batch(2) }}", [[1, 2], [3]]),
        ('{{ [1, 2, 3] | batch(2, "-") }}', [[1, 2], [3, "-"]]),
        ("{{ payload.tags | unique }}", ["vip", "new"]),
        ('{{ payload.items | unique("tag") }}', None),
        ('{{ payload.items | map(attribute="sku") }}', ["A", "B", "C"]),
        ('{{ payload.tags | map("upper") }}', ["VIP", "NEW", "VIP"]),
        ('{{ payload.tags | map("truncate", 2) }}', ["v…", "n…", "v…"]),
        ('{{ [1.26, 2] | map("number", 1) }}', ["1.3", "2.0"]),
        ("{{ payload.html | striptags }}", "a & b"),
        ('{{ "a-b-c" | replace("-", "+", 1) }}', "a+b-c"),
        ('{{ "a long story" | truncate(7, true, "...") }}', "a lo..."),
        ('{{ "+1 (415) 555" | regex_replace("[^0-9+]") }}', "+1415555"),
        (r'{{ "Doe, Ann" | regex_replace("(\\w+), (\\w+)", "\\2 \\1") }}', "Ann Doe"),
        ('{{ payload.items | sum_of("price * qty") }}', 9.7),
        ('{{ payload.items | sum_of("(price - 1) * 2 / qty") }}', 7.433333333333334),
        ('{{ [] | sum_of("price") }}', 0),
        ("{% set s = namespace(n=0) %}{% for i in payload.items %}{% set s.n = s.n + i.qty %}{% endfor %}{{ s.n }}", "6"),
    ],
)  # fmt: skip
def test_lists_are_chosen_grouped_and_summed(templates, source, value):
    render = templates.tree(TemplateText(source, HERE), no_escape)
    if value is None:
        assert "unhashable" in failure(render, SHOP)
    else:
        assert render(SHOP).value == value


@pytest.mark.parametrize(
    ("path", "found"),
    [("1", 2), ("01", 2), ("2", missing), ("-1", missing), ("\u0661", missing), ("x", missing), ("9" * 5_000, missing)],
)
def test_an_element_of_a_list_is_found_by_its_position(path, found):
    assert at([1, 2], path) is found
    assert at({"list": [1, 2]}, f"list.{path}") is found


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ('{{ payload.items | sum_of("price *") }}', "is not an expression such as"),
        ('{{ payload.items | sum_of("price | int") }}', "sum_of has fields, numbers"),
        ('{{ payload.items | sum_of("price ** 9") }}', "sum_of has fields, numbers"),
        ("{{ payload.items | sum_of(attrs.x) }}", "cannot be computed"),
        ('{{ attrs.x | regex_replace("(") }}', "the pattern of regex_replace cannot be compiled"),
        ('{{ attrs.x | regex_replace("a(?=b)") }}', "RE2 has no lookaheads"),
    ],
)
def test_a_wrong_expression_is_found_when_the_template_is_loaded(templates, source, message):
    problem = refusal(templates.text, TemplateText(source, HERE), no_escape)
    assert message in problem.message


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ('{{ payload.items | sum_of("nope") }}', "an element has no nope"),
        ('{{ payload.items | sum_of("sku") }}', "has text as sku, which is not a number"),
        ('{{ payload.items | sum_of("1 / (qty - 1)") }}', "sum_of divides by zero"),
        ('{{ payload.items | groupby("nope") | length }}', 'write groupby(..., default="...")'),
        ('{{ payload.items | groupby("tag") | length }}', "groupby needs texts or numbers"),
        ('{{ payload.items | selectattr("qty", "nope") }}', 'unknown test "nope"'),
        ('{{ payload.tags | map("nope") }}', '"nope" is neither a field of an object nor a filter'),
        ("{{ [1] | batch(0) }}", "write 1 to 1,000"),
        ("{{ [1] | dictsort }}", "dictsort needs an object"),
        ('{{ "aa" | regex_replace("a", "\\\\1") }}', "has no group 1"),
        ("{% set s = namespace() %}{{ s }}", "cannot be"),
        ("{% set s = namespace(a=1) %}{{ s.__class__ }}", "no field s.__class__"),
    ],
)
def test_what_does_not_fit_is_an_error_that_says_so(templates, source, message):
    assert message in failure(templates.text(TemplateText(source, HERE), no_escape), SHOP)


LONG = {
    **FACTS,
    "payload": {"list": [{"n": number, "t": "x" * 10} for number in range(50_000)], "text": "ab" * 500_000},
}


@pytest.mark.parametrize(
    "expression",
    [
        'payload.list | selectattr("n", "in", payload.list) | length',
        'payload.list | groupby("n") | length',
        'payload.list | sum_of("n * n + n * n + n * n")',
        'payload.text | regex_replace("a", "b") | length',
        'payload.text | regex_replace("", "xxxxxxxxxx") | length',
        'payload.list | map("t") | map("upper") | map("upper") | map("upper") | join | length',
        "payload.list | unique('n') | length",
    ],
)
def test_no_new_filter_escapes_the_budget(templates, expression):
    many = f"{{% for i in range(90) %}}{{{{ {expression} }}}}{{% endfor %}}"
    assert "characters handled" in failure(templates.text(TemplateText(many, HERE), no_escape), LONG)


@pytest.mark.parametrize("grown", ["s.x ~ s.x", "s.x + s.x"])
@pytest.mark.parametrize("start", ["'ab'", "[1, 2]"])
def test_a_namespace_cannot_keep_doubling(templates, start, grown):
    if start == "[1, 2]" and "~" in grown:
        return
    source = f"{{% set s = namespace(x={start}) %}}{{% for i in range(1000) %}}{{% set s.x = {grown} %}}{{% endfor %}}"
    assert "characters handled" in failure(templates.text(TemplateText(source, HERE), no_escape), FACTS)


def test_a_replacement_never_grows_without_bound():
    with pytest.raises(Trouble, match="would add more"):
        regex_replace("a" * 100_000, "a", "x" * 200)
    assert len(regex_replace("a" * 5_000, "a", "x" * 200)) <= MAX_OUTPUT


@given(st.lists(st.fixed_dictionaries({"price": st.decimals(0, 10**6, places=2).map(str), "qty": st.integers(0, 99)})))
def test_a_sum_of_prices_is_exact_to_the_cent(items):
    cents = sum(int(item["price"].replace(".", "")) * item["qty"] for item in items)
    assert round(sum_of(items, "price * qty") * 100) == cents


@given(st.text(), st.text(max_size=20))
def test_a_regular_expression_reads_any_text(text, new):
    try:
        assert isinstance(regex_replace(text, "[a-c]*", new), str)
    except Trouble:
        assert "\\" in new
