"""In a .html.j2 no value becomes a tag, an attribute or code, whatever the template around it looks like."""

from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.destinations.escapes import no_escape
from gateway.errors import Place, TemplateRefused
from gateway.render import Templates

HOSTILE = (
    '"><script>x</script>', "'><img src=x onerror=x>", "--><b>", "x onload=y", "javascript:x", " java\tscript:x", "</script><b>",
    "data:text/html,<b>", "]]><b>", "&quot;><b>", "`<b>", "/x", "=x", ">", "",
)  # fmt: skip


def loaded(tmp_path, text, **others):
    for name, content in {"it": text, **others}.items():
        (tmp_path / f"{name}.html.j2").write_text(content)
    return Templates(tmp_path, roots=["payload"]).file("it.html.j2", Place("routes.yaml", 1), no_escape)


def rendered(render, value):
    return render({"payload": {"v": value, "yes": True, "no": False, "list": [1, 2]}}).body.decode()


ACCEPTED = [
    "<p>{{ payload.v }}</p>",
    '<a title="{{ payload.v }}" href="https://x.example/{{ payload.v }}">{{ payload.v }}</a>',
    "<a title='{{ payload.v }}'>a</a>",
    '<a href="{{ payload.v }}">a</a><img src="{{ payload.v }}?x=1">',
    "<a href = \n \"{{ payload.v }}\"\tdata-a='{{ payload.v }}'/>",
    "<title>{{ payload.v }}</title><textarea>{{ payload.v }}</textarea>",
    "a < b {{ payload.v }} <3",
    "<!-- a note --><!--> {{ payload.v }}",
    "<!doctype html><p>{{ payload.v }}",
    "<script>var a = '<b>';</script>{{ payload.v }}<style>b {}</style>",
    "<p {% if payload.yes %}class=\"a\"{% else %}class='b'{% endif %}>{{ payload.v }}</p>",
    '{% for one in payload.list %}<b title="{{ payload.v }}">{{ one }}</b>{% endfor %}',
    "{% macro m(x) %}<i>{{ x }}</i>{% endmacro %}{{ m(payload.v) }}",
]
REFUSED = {
    "<a title={{ payload.v }}>": (1, "the value of title has no quotes", 'write title="{{ ... }}"'),
    "<a title=a{{ payload.v }}>": (1, "the value of title has no quotes", ""),
    "<b>{{ payload.v }}</b><script>x = '{{ payload.v }}'</script>": (2, "a value inside <script> would be code", ""),
    "<style>b { color: {{ payload.v }} }</style>": (1, "a value inside <style> would be code", ""),
    "<a onclick=\"f('{{ payload.v }}')\">": (1, "a value inside onclick= would be code", ""),
    '<a style="color: {{ payload.v }}">': (1, "a value inside style= would be code", ""),
    '<iframe srcdoc="{{ payload.v }}">': (1, "a value inside srcdoc= would be code", ""),
    '<a href="javascript:f({{ payload.v }})">': (1, "could make the address in href= into code", "begin it with https://"),
    '<a href="java{{ payload.v }}">': (1, "could make the address in href= into code", ""),
    '<a href="{{ payload.v }}{{ payload.v }}">': (2, "could make the address in href= into code", ""),
    "<!-- {{ payload.v }} -->": (1, "a value inside <!-- --> can end the comment", ""),
    "<!doctype {{ payload.v }}>": (1, "a value inside <! > can end it", ""),
    "<{{ payload.v }}>": (1, "cannot be the name of a tag", ""),
    "</{{ payload.v }}>": (1, "cannot be the name of a tag", ""),
    "<h{{ payload.v }}>": (1, "cannot be the name of a tag", ""),
    "<a {{ payload.v }}>": (1, "cannot be the name of a tag", ""),
    "<a data-{{ payload.v }}='x'>": (1, "cannot be the name of a tag", ""),
    "<a title{% if payload.v %} = {% endif %}{{ payload.v }}>": (0, "", ""),
    '<meta http-equiv=refresh content="0; url={{ payload.v }}">': (1, "would be an address of the sender's choice", ""),
    '<a {% if payload.v %}title="{% endif %}x': (0, "the branches of this {% if %} do not agree", ""),
    "{% for one in payload.list %}<a title='{% endfor %}": (0, "begins in one place of HTML and ends in another", ""),
    "<p>{{ payload.v }}<a title='": (0, "the file ends inside", "close it"),
    "{% macro m(x) %}<i title='{% endmacro %}{{ m(1) }}": (0, "this block ends inside a tag", ""),
    "<scr{% if payload.v %}ipt>{% else %}ipt>{% endif %}{{ payload.v }}</script>": (0, "a value inside <script>", ""),
}  # fmt: skip


@pytest.mark.parametrize("text", ACCEPTED)
def test_a_value_as_text_or_in_a_quoted_attribute_stays_one(tmp_path, text):
    render = loaded(tmp_path, text)
    for value in HOSTILE:
        assert structure(rendered(render, value)) == structure(rendered(render, "x"))


@pytest.mark.parametrize(("text", "expected"), REFUSED.items(), ids=REFUSED.keys())
def test_a_value_where_no_escape_helps_is_refused_with_its_place_and_the_remedy(tmp_path, text, expected):
    at, message, hint = expected
    column = 1 + len("{{".join(text.split("{{")[:at])) if at else 0
    with pytest.raises(TemplateRefused) as refused:
        loaded(tmp_path, f"<p>\n{text}\n")
    problem = refused.value.problem
    assert (problem.place.file, problem.place.line) == (
        f"{tmp_path.name}/it.html.j2",
        2 if column else problem.place.line,
    )
    assert problem.place.column == column or not column
    assert message in problem.message
    assert hint in problem.hint
    assert problem.hint


def test_what_is_included_is_checked_too_and_only_where_text_is(tmp_path):
    with pytest.raises(TemplateRefused, match="no quotes"):
        loaded(tmp_path, '{% include "other.html.j2" %}', other="<a title={{ payload.v }}>")
    with pytest.raises(TemplateRefused, match="not supported inside the attribute title of <a>"):
        loaded(tmp_path, "<a title='{% include \"other.html.j2\" %}'>", other="{{ payload.v }}")


def test_an_address_that_is_a_value_leads_nowhere_if_it_would_run_code(tmp_path):
    render = loaded(tmp_path, '<a href="{{ payload.v }}">')
    for value in (
        "javascript:alert(1)",
        " JaVa\tScript:x",
        "data:text/html,x",
        "vbscript:x",
        "\x01javascript:x",
        "blob:x",
    ):
        assert rendered(render, value) == '<a href="#">'
    for value in ("https://a.example/?b=c:d", "/a:b", "a/b", "mailto:a@b.example", "?a:b", "#a:b", "a"):
        assert rendered(render, value) == f'<a href="{value}">'


# --- any template ---


class Structure(HTMLParser):
    """Everything but what values may be: text, and the content of attributes that are not code."""

    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.found = []

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, [name for name, _ in attrs]))
        for name, value in attrs:
            code = "".join((value or "").split()).lower()
            if name in ("href", "src") and code.startswith(("javascript:", "data:")):
                self.found.append("code")

    def handle_endtag(self, tag):
        self.found.append(f"/{tag}")

    def handle_comment(self, data):
        self.found.append(f"!{data}")

    def handle_data(self, data):
        if self.cdata_elem:
            self.found.append(data)


def structure(text):
    parser = Structure()
    parser.feed(text)
    parser.close()
    return parser.found


VALUE = "{{ payload.v }}"
PIECES = [
    VALUE, VALUE, VALUE, "<p>", "</p>", "<a ", "<a href=", "title=", "href=", "src=", "onclick=", "style=", '"', "'", ">", " ", "=", "x",
    "<script>", "</script>", "<!--", "-->", "<style>", "</style>", "https://x/", "javascript:", "<", "/>", "\n",
    "{% if payload.yes %}", "{% if payload.no %}", "{% else %}", "{% endif %}",
]  # fmt: skip
WHOLE = [
    f"<p>{VALUE}</p>", f'<a title="{VALUE}">', f"<a href='{VALUE}'>", f'<a href="https://x/{VALUE}">', "<!-- x -->", "<script>x</script>",
    "{% if payload.yes %}<b>{% else %}<i>{% endif %}",
]  # fmt: skip


@settings(max_examples=400)
@given(st.lists(st.sampled_from(PIECES + WHOLE), max_size=9).map("".join))
def test_no_value_changes_the_structure_of_any_template_that_is_accepted(tmp_path_factory, text):
    try:
        render = loaded(tmp_path_factory.mktemp("html"), text)
    except TemplateRefused:
        return
    expected = structure(rendered(render, "x"))
    for value in HOSTILE:
        assert structure(rendered(render, value)) == expected
