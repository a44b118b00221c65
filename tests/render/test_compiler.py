"""Template files, what they include, and what a second load sees."""

import pytest

from gateway.destinations import slack
from gateway.destinations.escapes import no_escape
from gateway.errors import Place, TemplateRefused
from gateway.model import Raw
from gateway.render import Templates
from tests.render.given import FACTS, HERE, ROOTS, failure, refusal


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
    assert refusal(templates.file, "a.txt.j2", HERE, no_escape).hint == "put it into templates/"


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
        '&lt;!channel&gt; "A"\n&amp;\\',
    ]


def test_an_error_in_an_included_file_names_that_file(templates, folder):
    (folder / "part.txt.j2").write_text("\n{{ attrs.nope }}")
    (folder / "all.txt.j2").write_text('{% include "part.txt.j2" %}')
    assert failure(templates.file("all.txt.j2", HERE, no_escape), FACTS).startswith("templates/part.txt.j2:2: ")
    (folder / "typo.txt.j2").write_text("\n\n{{ atrs }}")
    (folder / "more.txt.j2").write_text('{% include "typo.txt.j2" %}')
    assert refusal(templates.file, "more.txt.j2", HERE, no_escape).place == Place("templates/typo.txt.j2", 3, 4)


def test_a_file_that_includes_itself_is_refused(templates, folder):
    (folder / "a.txt.j2").write_text('{% include "b.txt.j2" %}')
    (folder / "b.txt.j2").write_text('\n{% include "a.txt.j2" %}')
    problem = refusal(templates.file, "a.txt.j2", HERE, no_escape)
    assert problem.place == Place("templates/b.txt.j2", 2)
    assert "a.txt.j2 > b.txt.j2 > a.txt.j2" in problem.message


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
