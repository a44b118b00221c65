"""A problem in a text is reported on the line of the file that it is written on, in every style of YAML."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.config import load
from gateway.errors import ConfigError, RenderError
from tests.config.given import HEAD, build

ENVIRON = {"TWO_LINES": "a\nb", "WORD": "a"}

FOLDED, PARAGRAPH = "\n        ", "\n\n        "
#: How each style is opened and closed, what can be between two words of it, and words that it writes in its own way.
STYLES = {
    "plain": ("", "", (" ", FOLDED, PARAGRAPH), ()),
    "below its key": (FOLDED, "", (" ", FOLDED, PARAGRAPH), ()),
    "single": ("'", "'", (" ", FOLDED, PARAGRAPH), ("it''s", '"')),
    "double": ('"', '"', (" ", FOLDED, PARAGRAPH, r"\n", r"\r\n", r"\t", "\\" + FOLDED, r" \ ", r"\N"), (r"\"", r"\x41\u00e9", r"\\n")),
    **{
        f"{style} {indicators}".strip(): (f"{style}{indicators}{FOLDED}", "\n\n", (" ", FOLDED, PARAGRAPH, f"{FOLDED}  "), ())
        for style in "|>"
        for indicators in ("", "-", "+", "2", "-2", "2+", "- # a comment")
    },
}  # fmt: skip
WORDS = ("word", "{{ attrs.id }}", "{% if attrs.id %}a{% endif %}", "${WORD}", "${TWO_LINES}", "{#- a -#}", "{{- attrs.id -}}", "é")  # fmt: skip

#: What is wrong, each with a word of the message.
REFUSED = {
    "{{ attrs.id | nofilter }}": "nofilter",
    "{{ nope }}": "nope",
    "{{ attrs.id | }}": "name",
    "{{ attrs.id & 1 }}": "&",
    "{{ attrs.id x": "closed",
    "{{ .Name }}": "Go",
    "{% endfor %}": "endfor",
    "<{{ attrs.id }}>": "markup",
    "{{ event.time }}": "time",
}
WARNED = {
    "{ attrs.email }}": "attrs.email",
    "**bold**": "markup",
    "{{ attrs.fristname }}": "fristname",
    "{{ headers.x_nope }}": "x_nope",
    "{{ 12.5 | round(2) }}": "round",
}
FAILING = "{{ attrs.fristname }}"


@st.composite
def files(draw, wrong):
    """A file with one text that has ``wrong`` in it, and the line of that."""
    opened, closed, gaps, own = STYLES[draw(st.sampled_from(sorted(STYLES)))]
    words = st.lists(st.sampled_from([*WORDS, *own]), max_size=4)
    before, after = draw(words), draw(words)
    if wrong == "{{ attrs.id x":
        # Jinja reads on to the next tag.
        after = []
    written = "begins"
    for word in (*before, None, *after):
        written += draw(st.sampled_from(gaps)) + (word or wrong)
    key = draw(st.sampled_from(["text: ", "body:\n      text: "]))
    text = (
        f"{HEAD}routes:\n  - name: a\n    match: contact.created\n    to: leads\n    {key}{opened}{written}{closed}\n"
    )
    return text, text.count("\n", 0, text.index(wrong)) + 1


def loaded(folder, text):
    path = folder / "routes.yaml"
    path.write_text(text, encoding="utf-8", newline="")
    return load(path, environ=ENVIRON)


def over_files(wrong):
    quick = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
    return lambda test: quick(given(file=st.sampled_from(sorted(wrong)).flatmap(lambda one: st.tuples(st.just(one), files(one))))(test))  # fmt: skip


@over_files(REFUSED)
def test_what_is_refused_is_on_its_line(tmp_path, file):
    wrong, (text, line) = file
    with pytest.raises(ConfigError) as caught:
        loaded(tmp_path, text)
    found = [(each.place.line, each.message) for each in caught.value.problems if each.severity == "error"]
    assert [at for at, _ in found] == [line], (text, found)
    assert REFUSED[wrong] in found[0][1]


@over_files(WARNED)
def test_what_is_warned_about_is_on_its_line(tmp_path, file):
    wrong, (text, line) = file
    found = [(each.place.line, each.message) for each in loaded(tmp_path, text).warnings]
    assert {at for at, message in found if WARNED[wrong] in message} == {line}, (text, found)


@over_files([FAILING])
def test_what_fails_with_an_event_names_its_line(tmp_path, file):
    _, (text, line) = file
    with pytest.raises(RenderError) as caught:
        build(loaded(tmp_path, text), "a", "leads")
    assert caught.value.place.line == line, text


def test_each_of_several_recipients_has_its_own_line(tmp_path):
    text = (
        HEAD
        + "  mail: {type: email, url: 'smtp://mail.example.com', insecure: true, from: a@b.example, recipients: [a@b.example, \"a{{ 1 }}\n@b.example\",\n\n\n   '{{ nope }}'], subject: x}\nroutes: [{name: a, to: mail, text: hi}]\n"
    )
    with pytest.raises(ConfigError) as caught:
        loaded(tmp_path, text)
    assert [each.place.line for each in caught.value.problems if "nope" in each.message] == [
        text.count("\n", 0, text.index("nope")) + 1
    ]


def test_braces_around_a_condition_do_not_move_its_lines(tmp_path):
    text = HEAD + 'routes:\n  - name: a\n    to: leads\n    text: hi\n    if: "{{\n      attrs.id ==\n      nope }}"\n'
    with pytest.raises(ConfigError) as caught:
        loaded(tmp_path, text)
    assert [each.place.line for each in caught.value.problems if "nope" in each.message] == [
        text.count("\n", 0, text.index("nope")) + 1
    ]
