"""In a .html.j2 no value becomes a tag, an attribute or code, whatever the template around it looks like."""

import re
from html.parser import HTMLParser
from itertools import product

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gateway.destinations.escapes import no_escape
from gateway.errors import Place, TemplateRefused
from gateway.render import Templates

HOSTILE = (
    '"><script>x</script>', "'><img src=x onerror=x>", "--><b>", "x onload=y", "javascript:x", " java\tscript:x", "</script><b>",
    "javascript", "data:text/html,<b>", "58;x", "]]><b>", "&quot;><b>", "`<b>", "/x", "=x", ">", "",
)  # fmt: skip


def loaded(tmp_path, text, **others):
    for name, content in {"it": text, **others}.items():
        (tmp_path / f"{name}.html.j2").write_text(content)
    return Templates(tmp_path, roots=["payload"]).file("it.html.j2", Place("routes.yaml", 1), no_escape)


def rendered(render, value, **facts):
    return render({"payload": {"v": value, "yes": True, "no": False, "list": [1, 2], **facts}}).body.decode()


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
    '{% macro m(x) %}" onclick="{{ x }}{% endmacro %}<a title="{{ m(payload.v) }}">',
    '{% set m %}" onclick="{{ payload.v }}{% endset %}<a title="{{ m }}">',
    '<a href="{% if payload.no %}{% else %}https://x/{% endif %}{{ payload.v }}">',
    '<a href="{% if payload.no %}https://x/{% endif %}{{ payload.v }}">',
    '<a href="{% for one in payload.list %}{{ payload.v }}/{% endfor %}">',
    '<a title="{% for one in payload.list %}{{ payload.v }} {% endfor %}">',
    '<a href="{{ payload.v }}&amp;a=1">',
    '<a {% if payload.yes %}title{% else %}href{% endif %}="{{ payload.v }}">',
    '<a title={##}"a" href="{{ payload.v }}">',
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
    '<a href="{% if payload.yes %}x{% else %}https://x/{% endif %}{{ payload.v }}">': (1, "could make the address in href= into code", ""),
    '<a href="{% if payload.yes %}{{ payload.v }}{% endif %}{{ payload.v }}">': (2, "could make the address in href= into code", ""),
    '<a href="{% for one in payload.list %}{{ payload.v }}{% endfor %}">': (1, "could make the address in href= into code", ""),
    '<a href="{% for one in payload.list %}{{ payload.v }}x{% else %}{{ payload.v }}{% endfor %}/">': (1, "could make the address in href= into code", ""),
    '<a href="{% for one in payload.list %}{{ payload.v }}{% else %}x{% endfor %}/{{ payload.v }}">': (1, "could make the address in href= into code", ""),
    '<a {% if payload.yes %}on{% else %}data-{% endif %}click="{{ payload.v }}">': (1, "a value inside onclick= would be code", ""),
    '<a {% if payload.yes %}data-{% else %}on{% endif %}click="{{ payload.v }}">': (1, "a value inside onclick= would be code", ""),
    '<a {% if payload.yes %}title{% else %}style{% endif %}="{{ payload.v }}">': (1, "a value inside style= would be code", ""),
    '<a {% if payload.yes %}title="{% else %}title=\'{% endif %}a" href="{{ payload.v }}">': (0, "the file ends inside the attribute title of <a>", "close it"),
    '<a {% for one in payload.list %}x{% endfor %}y="{{ payload.v }}">': (0, "can be in more than 1,000 places of HTML", ""),
    '<a href="{{ payload.v }}:alert(1)">': (0, "the : makes the value before it the scheme of the address", ""),
    '<a href="{{ payload.v }}{% if payload.yes %}x{% endif %}&#58;alert(1)">': (0, "makes the value before it the scheme", ""),
    '<a href="javascript&#58;{{ payload.v }}">': (1, "could make the address in href= into code", ""),
    '<a href="javascript&#{{ payload.v }}">': (1, "could make the address in href= into code", ""),
    '<script src="{{ payload.v }}"></script>': (1, "a value inside src= would be code", ""),
    '<base href="https://{{ payload.v }}">': (1, "a value inside href= would be code", ""),
    '<animate attributeName=href values="{{ payload.v }}">': (1, "a value inside values= would be code", ""),
    '<a title={##}"a href="{{ payload.v }}">': (1, "cannot be the name of a tag", ""),
    "<a title=x\xa0alt='{{ payload.v }}'>": (1, "the value of title has no quotes", ""),
    '<title><a title="</title><script>{{ payload.v }}</script>">': (1, "a value inside <script> would be code", ""),
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
    problem = refused.value.problems[0]
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
            if name in ("style", "srcdoc") or name.startswith("on") or (tag, name) == ("script", "src"):
                self.found.append((name, value))
            scheme, colon, _ = re.sub(r"[\x00-\x20]", "", value or "").partition(":")
            if name in ("href", "src") and colon and scheme.lower() in ("javascript", "vbscript", "data"):
                self.found.append((name, value))

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
    VALUE, VALUE, VALUE, "<p>", "</p>", "<a ", "<a href=", "title=", "href=", "src=", "on", "click=", "style=", "data-", '"', '"', "'", ">", '">',
    " ", "=", "x", "<script ", "<script>", "</script>", "<!--", "-->", "<style>", "</style>", "https://x/", "java", "script", ":", "&#58;", "&#", "58;",
    "/", "<", "/>", "\n", "\xa0", "{##}",
]  # fmt: skip
WHOLE = [
    f"<p>{VALUE}</p>", f'<a title="{VALUE}">', f"<a href='{VALUE}'>", f'<a href="https://x/{VALUE}">', "<!-- x -->", "<script>x</script>",
    f"{{{{ m({VALUE[3:-3]}) }}}}", '<a title="{{ m(1) }}">', '<a href="', "<a ", 'click="', f'{VALUE}">',
]  # fmt: skip
CHOICES = ("yes", "no")
LENGTHS = (0, 1, 3)


def branched(texts):
    """One or two choices between templates, or one in a loop: their conditions and lists are independent of each other."""
    choice = st.sampled_from([f"payload.{name}" for name in CHOICES])
    return (
        st.builds("{{% if {} %}}{}{{% else %}}{}{{% endif %}}".format, choice, texts, texts)
        | st.builds("{{% if {} %}}{}{{% endif %}}".format, choice, texts)
        | st.builds("{{% for one in payload.list %}}{}{{% else %}}{}{{% endfor %}}".format, texts, texts)
        | st.builds("{{% for one in payload.list %}}{}{{% endfor %}}".format, texts)
    )


def joined(texts, most):
    return st.lists(texts, max_size=most).map("".join)


ANY = st.recursive(st.sampled_from(PIECES + WHOLE), lambda texts: branched(joined(texts, 3)), max_leaves=6)
#: Inside one tag, where the branches of most templates that are accepted differ.
IN_TAG = st.sampled_from(
    ["on", "data-", "click=", "title=", "href=", '"', VALUE, f'"{VALUE}"', "https://x/", "java", "x", ":", "/", " "]
)
TAGS = st.builds(
    "<a {}>{}".format, joined(IN_TAG | branched(joined(IN_TAG, 2)), 5), st.sampled_from(["", VALUE])
) | st.builds('<a {}="{}">'.format, *[joined(IN_TAG | branched(joined(IN_TAG, 2)), 3)] * 2)
MACRO = "{% macro m(x) %}" + "{}" + "{% endmacro %}"


@settings(max_examples=400)
@given(
    joined(ANY, 7) | TAGS, st.sampled_from(["{{ x }}", '" onclick="{{ x }}', "<b>{{ x }}</b>", "javascript:{{ x }}"])
)
@example('<a href="{% if payload.yes %}{% else %}https://x/{% endif %}{{ payload.v }}">', "{{ x }}")
@example('<a {% if payload.yes %}on{% else %}data-{% endif %}click="{{ payload.v }}">', "{{ x }}")
@example('<a title="{{ m(payload.v) }}">', '" onclick="{{ x }}')
@example('<a href="{{ payload.v }}:alert(1)">', "{{ x }}")
def test_no_value_changes_the_structure_of_any_template_that_is_accepted(tmp_path_factory, text, macro):
    whole = MACRO.replace("{}", macro) + text
    try:
        render = loaded(tmp_path_factory.mktemp("html"), whole)
    except TemplateRefused:
        return
    for yes, no, length in product((True, False), (True, False), LENGTHS):
        facts = {"yes": yes, "no": no, "list": [0] * length}
        expected = structure(rendered(render, "x", **facts))
        for value in HOSTILE:
            assert structure(rendered(render, value, **facts)) == expected
