"""Check names markup of another chat, and numbers that are printed without their decimals."""

import pytest

from gateway.config import load
from gateway.destinations import KINDS
from tests.destinations import examples

FILE = """\
version: 1
sources: {{xobito: {{preset: xobito, secret: a-secret-that-is-long-enough}}}}
destinations:
  people: {{{keys}}}
routes:
  - name: a
    match: contact.created
    to: people
    {content}
"""
LINK, STARS, TAGS, ANGLE = "[a](https://a.example)", "**a**", "<b>a</b>", "<https://a.example|a>"
#: The forms that a text of each chat shows as they are written.
FOREIGN = {
    "slack": [LINK, STARS, TAGS],
    "discord": [TAGS, ANGLE],
    "teams": [TAGS, ANGLE],
    "googlechat": [LINK, STARS, TAGS],
    "telegram": [LINK, STARS, ANGLE],
}


def warnings(folder, kind, content):
    path = folder / "routes.yaml"
    path.write_text(FILE.format(keys=examples.written(KINDS[kind], "s3cr3t"), content=content))
    said = ("markup", "round", "date(")
    return [each for each in load(path, environ={}).warnings if any(word in each.message for word in said)]


@pytest.mark.parametrize("kind", FOREIGN)
@pytest.mark.parametrize("form", [LINK, STARS, TAGS, ANGLE])
def test_markup_of_another_chat_is_named(tmp_path, kind, form):
    found = warnings(tmp_path, kind, f"text: 'see {form} {{{{ attrs.id }}}}'")
    assert len(found) == (form in FOREIGN[kind])
    assert all("which every chat can show" in each.hint and KINDS[kind].title in each.message for each in found)


@pytest.mark.parametrize("kind", FOREIGN)
def test_slacks_functions_are_named_where_their_markup_is_not_read(tmp_path, kind):
    content = "text: \"{{ slack_link('https://a.example', attrs.id) }}\""
    assert len(warnings(tmp_path, kind, content)) == (kind not in ("slack", "googlechat"))


@pytest.mark.parametrize(
    ("kind", "body", "count"),
    [
        ("slack", '{text: "**a**"}', 1),
        ("slack", '{blocks: [{type: markdown, text: "**a**"}]}', 0),
        ("slack", '{text: a, metadata: {event_type: x, event_payload: {t: "**a**"}}}', 0),
        ("telegram", '{text: "[a](https://a.example)", parse_mode: MarkdownV2}', 0),
        ("telegram", '{text: "[a](https://a.example)"}', 1),
        (
            "googlechat",
            '{cardsV2: [{cardId: a, card: {sections: [{widgets: [{textParagraph: {text: "<b>a</b>"}}]}]}}]}',
            0,
        ),
        ("discord", '{content: "<b>a</b>", username: "<b>"}', 1),
        ("http", '{text: "**a** <b>a</b> [a](https://a.example)"}', 0),
    ],
)
def test_a_field_of_a_body_has_its_own_markup(tmp_path, kind, body, count):
    assert len(warnings(tmp_path, kind, f"body: {body}")) == count


@pytest.mark.parametrize(
    ("name", "text", "count"),
    [("a.txt.j2", "one\n**a**", 1), ("a.json.j2", '{"text": "**a**"}', 0), ("a.json.j2", '{"text":\n "<b>a</b>"}', 1)],
)
def test_a_file_is_looked_at_too(tmp_path, name, text, count):
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates" / name).write_text(text)
    found = warnings(tmp_path, "slack", f"template: {name}")
    assert [(each.place.file, each.place.line) for each in found] == [(f"templates/{name}", 2)] * count


@pytest.mark.parametrize(
    ("kind", "content", "count"),
    [
        ("slack", 'text: "{{ attrs.id | round(2) }} EUR"', 1),
        ("slack", 'text: "{{ attrs.id | round }} {{ attrs.id | round(0) }} {{ attrs.id | round(2) | string }}"', 0),
        ("http", 'body: {n: "{{ attrs.id | round(2) }}", t: "{{ attrs.id | round(2) }} EUR"}', 1),
        ("http", 'text: "{{ attrs.id | number(2) }}"', 0),
    ],
)
def test_a_number_that_is_printed_rounded_gets_its_decimals_as_advice(tmp_path, kind, content, count):
    found = warnings(tmp_path, kind, content)
    assert [each.hint for each in found] == ["write number(2) to print decimals"] * count


@pytest.mark.parametrize("content", ["text: |\n      {}", "body:\n      n: |\n        {}"])
@pytest.mark.parametrize(
    ("format", "right"),
    [
        ("DD.MM.YYYY", "%d.%m.%Y"),
        ("dd.MM.yyyy", "%d.%m.%Y"),
        ("YYYY-MM-DD HH:mm", "%Y-%m-%d %H:%M"),
        ("yyyy-MM-dd'T'HH:mm:ss", "%Y-%m-%dT%H:%M:%S"),
        ("YYYY-MM-DDTHH:mm:ssZ", "%Y-%m-%dT%H:%M:%S%z"),
        ("MMM D, YYYY h:mm A", "%b %d, %Y %I:%M %p"),
        ("d.m.Y H:i", "%d.%m.%Y %H:%M"),
        ("short", "%d.%m.%Y"),
    ],
)
def test_a_format_of_a_date_without_its_signs_is_reported_with_them(tmp_path, content, format, right):
    tag = f'{{{{ attrs.created_at | date("{format}") }}}}'
    (found,) = warnings(tmp_path, "http", content.replace("{}", tag))
    assert found.message == f'date("{format}") prints the format itself: the parts of a date begin with %'
    assert found.hint == f'write date("{right}")'
    pasted = content.replace("{}", tag.replace(format, right))
    assert warnings(tmp_path, "http", pasted) == []


@pytest.mark.parametrize("name", ["a.txt.j2", "a.json.j2"])
def test_a_format_of_a_date_is_read_in_files_too(tmp_path, name):
    (tmp_path / "templates").mkdir()
    text = "{{ attrs.created_at | date('YYYY') }}"
    (tmp_path / "templates" / name).write_text(f'{{"at": "{text}"}}' if "json" in name else text)
    (found,) = warnings(tmp_path, "http", f"template: {name}")
    assert found.hint == "write date('%Y')"
