"""Texts with markup: line breaks, code, links and bold in the dialect of each chat."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.destinations import KINDS
from gateway.destinations.chat import shortened, units, whole_markdown
from gateway.destinations.dialects import discord, googlechat, slack, teams, telegram
from gateway.destinations.markup import BOLD, END, LABEL, LINES, LINK, VALUE, marked, pieces
from gateway.errors import BuildError

TEXTS = {
    "slack": slack.MRKDWN,
    "slack plain": slack.PLAIN,
    "slack markdown": slack.MARKDOWN,
    "discord": discord.MARKDOWN,
    "teams": teams.MARKDOWN,
    "googlechat": googlechat.CHAT,
    "googlechat card": googlechat.CARD,
    "googlechat markdown": googlechat.MARKDOWN,
    "telegram": telegram.HTML,
    "telegram v2": telegram.MARKDOWN_V2,
    "telegram v1": telegram.MARKDOWN,
    "telegram plain": telegram.PLAIN,
}
V = marked("first\nsecond")


def lines(text: str) -> str:
    return f"{LINES}{text}{END}"


def link(address: str, label: str) -> str:
    return f"{LINK}{address}{LABEL}{label}{END}"


@pytest.mark.parametrize("dialect", [name for name in TEXTS if name != "slack plain"])
@pytest.mark.parametrize("text", [V, f"{V}\nend", f"Note:\n{V}\n", f"a\n  {V}  \nb"])
def test_a_value_on_lines_of_its_own_keeps_its_line_breaks(dialect, text):
    line_break = TEXTS[dialect].line_break
    assert f"first{line_break}second" in TEXTS[dialect](text)


@pytest.mark.parametrize("dialect", TEXTS)
@pytest.mark.parametrize("text", [f"Name: {V}", f"{V}!", f"{marked('a')}{V}", f"a\n{V} {marked('b')}\nc", f"> {V}"])
def test_a_value_beside_other_text_stays_on_its_line(dialect, text):
    assert "first second" in TEXTS[dialect](text)


@pytest.mark.parametrize("dialect", TEXTS)
def test_lines_keeps_line_breaks_anywhere(dialect):
    line_break = TEXTS[dialect].line_break
    shown = TEXTS[dialect](f"Name: {lines('a' + chr(13) + chr(10) + 'b' + chr(0x2028) + 'c')}!")
    assert shown == f"Name: a{line_break}b{line_break}c!"


@pytest.mark.parametrize(
    ("dialect", "forged"),
    [
        ("slack", r"^(?:>|&gt;)|^```"),
        ("slack markdown", r"^\s*(?:[-+>#=*]|\d+[.)]|```|~~~)"),
        ("discord", r"^(?:[-#>*+]{1,3} |\d+\. |```)"),
        ("teams", r"^(?:[-+]|\d+\.)\s"),
        ("googlechat", r"^\s*(?:[-+*>#=]|\d+[.)])|```"),
        ("telegram", r"<"),
        ("telegram v2", r"^(?:>|```)"),
    ],
)
@given(
    st.lists(
        st.sampled_from(["> quote", "# head", "- item", "1. item", "```", "===", "* item", "<b>", "~~~"]), min_size=1
    )
)
def test_a_value_on_several_lines_forges_no_structure(dialect, forged, made):
    shown = TEXTS[dialect](f"Note:\n{lines(chr(10).join(made))}\n").partition("\n")[2]
    assert not re.search(forged, shown.replace("\\\\", ""), re.MULTILINE)


@pytest.mark.parametrize("dialect", ["discord", "slack", "slack markdown", "googlechat", "telegram v2"])
def test_a_fence_keeps_the_lines_of_a_value_which_cannot_end_it(dialect):
    shown = TEXTS[dialect](f"```\n{marked('a' + chr(10) + '```' + chr(10) + 'b')}\n```\n{V} end")
    assert shown.count("```") == 2
    assert "a\n" in shown
    assert shown.endswith("first second end")


def test_code_of_discord_shows_a_value_as_it_is():
    odd = "a_b *c* <@1> [x](y)"
    assert discord.MARKDOWN(f"```\n{marked(odd)}\n```") == f"```\n{odd}\n```"
    assert discord.MARKDOWN(f"id `{marked(odd)}`") == f"id `{odd}`"
    assert discord.MARKDOWN(f"id `{marked('x`**y**')}`") == "id `xˋ**y**`"


@pytest.mark.parametrize("text", ["it`s {}", "```\n{}", "`a\n{}` b", "``a` {} `b", "a``` {} `"])
def test_backticks_that_are_never_closed_are_no_code(text):
    assert r"\*x\*" in discord.MARKDOWN(text.format(marked("*x*")))


@given(
    st.text(st.sampled_from("`*_[]()<@a\\ \n"), max_size=60),
    st.integers(8, 40),
    st.sampled_from(["`{}`", "```\n{}\n```", "{}"]),
)
def test_a_cut_never_takes_a_value_out_of_its_code(text, limit, around):
    whole = discord.MARKDOWN(around.format(marked(text)))
    cut = shortened(whole, limit, whole_markdown)
    assert units(cut) <= limit
    if around != "{}" and cut != whole:
        body = cut.removesuffix("…")
        assert body.startswith("`") is (len(body) > 0)
        assert len(body) < 2 or body.endswith("`")


@pytest.mark.parametrize(
    ("dialect", "shown"),
    [
        ("slack", "<https://a.example/b_(c)?d=1&amp;e|x &lt;y&gt;> *a*"),
        ("slack plain", "x &lt;y&gt; (https://a.example/b_(c)?d=1&amp;e) a"),
        ("slack markdown", r"[x \&lt;y\&gt;](https://a.example/b_%28c%29?d=1&amp;e) **a**"),
        ("discord", r"[x \<y\>](https://a.example/b_%28c%29?d=1&e) **a**"),
        ("teams", "[x <y>](https://a.example/b_%28c%29?d=1&e) **a**"),
        ("googlechat", "<https://a.example/b_(c)?d=1&e|x <\u200by>> *a*"),
        ("googlechat card", '<a href="https://a.example/b_(c)?d=1&amp;e">x <\u200by></a> <b>a</b>'),
        ("googlechat markdown", "[x <\u200by>](https://a.example/b_%28c%29?d=1&e) **a**"),
        ("telegram", '<a href="https://a.example/b_(c)?d=1&amp;e">x &lt;y&gt;</a> <b>a</b>'),
        ("telegram v2", r"[x <y\>](https://a.example/b_(c\)?d=1&e) *a*"),
        ("telegram v1", "[x <y>](https://a.example/b_(c%29?d=1&e) *a*"),
        ("telegram plain", "x <y> (https://a.example/b_(c)?d=1&e) a"),
    ],
)
def test_a_link_and_bold_are_written_in_every_dialect(dialect, shown):
    text = f"{link('https://a.example/b_(c)?d=1&e', marked('x <y>'))} {BOLD}{marked('a')}{END}"
    assert TEXTS[dialect](text) == shown


@pytest.mark.parametrize(
    ("dialect", "text", "shown"),
    [
        ("telegram", '<a href="{}">x</a>', '<a href="https://a.example/?a&amp;b">x</a>'),
        ("discord", "[x]({})", "[x](https://a.example/?a&b)"),
        ("teams", "[x]({})", "[x](https://a.example/?a&b)"),
        ("telegram v2", "[x]({})", "[x](https://a.example/?a&b)"),
        ("slack markdown", "[x]({})", "[x](https://a.example/?a&amp;b)"),
        ("googlechat markdown", "[x]({})", "[x](https://a.example/?a&b)"),
    ],
)
def test_a_value_that_is_the_address_of_a_link_must_be_one(dialect, text, shown):
    assert TEXTS[dialect](text.format(marked("https://a.example/?a&b"))) == shown
    for bad in ("javascript:alert(1)", "tg://user?id=1", "x", "https://"):
        with pytest.raises(BuildError):
            TEXTS[dialect](text.format(marked(bad)))
    inside = TEXTS[dialect](text.format(f"https://crm.example/{marked('1) [evil](https://e.example)')}"))
    # An escaped parenthesis and one in quotes end nothing.
    assert inside.replace(r"\)", "").count(")") == (2 if dialect == "telegram" else 1)


@pytest.mark.parametrize("text", ["<a href={}>x</a>", "<{}>", "<b {}>x</b>"])
def test_a_value_inside_a_tag_of_telegram_is_refused(text):
    with pytest.raises(BuildError, match="quotes of an attribute"):
        telegram.HTML(text.format(marked("https://a.example")))


def test_a_value_inside_pre_of_telegram_keeps_its_lines():
    assert telegram.HTML(f"<pre>{lines('a' + chr(10) + '<b>')}</pre>") == "<pre>a\n&lt;b&gt;</pre>"


@pytest.mark.parametrize("dialect", TEXTS)
@given(st.text(st.sampled_from(f"{VALUE}{LINES}{LINK}{LABEL}{BOLD}{END}a`\n")))
def test_whatever_is_between_marks_becomes_a_text_without_them(dialect, text):
    try:
        assert not re.search("[\ufdd0-\ufdd5]", TEXTS[dialect](text))
    except BuildError:
        assert pieces(text)


@pytest.mark.parametrize("kind", [name for name, kind in KINDS.items() if kind.fields])
@pytest.mark.parametrize("text", ["Ann Doe", "https://a.example/b_c/@d(e)", "a\nb", "Ünal"])
def test_what_has_no_mark_is_the_authors_own(kind, text):
    assert KINDS[kind].fields.text(text) == text
