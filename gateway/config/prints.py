"""Warnings about what a message prints: markup of another chat, and numbers that lose their decimals."""

import re
from collections.abc import Iterator, Mapping
from typing import Final

from gateway.config.schema.reading import Reading
from gateway.config.text.disk import TEMPLATES
from gateway.destinations import Kind
from gateway.destinations.markup import ANGLE_LINK, MARKDOWN_LINK, TAGS, TWO_STARS, Dialect, Writer
from gateway.errors import Place, Problem
from gateway.render import TemplateText, Tree
from gateway.render.formats import USUAL, strftime

#: The author's own markup, by form: how it is recognized once every tag of Jinja is one character.
_FORMS: Final[Mapping[str, re.Pattern[str]]] = {
    MARKDOWN_LINK: re.compile(r"\[[^\[\]\n]+\]\((?:https?:|mailto:|\0)"),
    TWO_STARS: re.compile(r"\*\*[^\s*](?:[^*\n]*[^\s*])?\*\*"),
    TAGS: re.compile(r"<(?:a\s+href|b|i|u|s|strong|em|code|pre)\b[^<>]*>", re.IGNORECASE),
    ANGLE_LINK: re.compile(r"<(?:https?:|mailto:)[^<>|\s]*\|"),
}
#: What a template writes whatever the chat.
_INSTEAD: Final[Mapping[str, str]] = {
    MARKDOWN_LINK: "write {{ link(url, label) }}, which every chat can show",
    TWO_STARS: "write {{ bold(text) }}, which every chat can show",
    TAGS: "write {{ link(url, label) }} or {{ bold(text) }}, which every chat can show",
    ANGLE_LINK: "write {{ link(url, label) }}, which every chat can show",
}
_TAG: Final = re.compile(r"\{\{.*?\}\}|\{%.*?%\}|\{#.*?#\}", re.DOTALL)
_BUT_LINE_BREAKS: Final = re.compile(r"[^\n]")
_OF_SLACK: Final = re.compile(r"\{\{[^{}]*\b(slack_link|slack_user|mrkdwn_raw)\b", re.DOTALL)
_ROUNDED: Final = re.compile(r"\|\s*round\s*\(\s*(?:precision\s*=\s*)?([1-9][0-9]?)\s*\)\s*-?\}\}")

#: A format of the filter date without the signs of strftime.
_FORMAT: Final = re.compile(
    r"""\|\s*date\s*\(\s*(?:format\s*=\s*)?(?P<quote>["'])(?P<format>(?:(?!(?P=quote))[^%\n])*)(?P=quote)"""
)

#: Every form of markup that some field of a kind of message reads, whatever the message.
_Reads = frozenset[str]


def advise_text(reading: Reading, text: TemplateText, kind: Kind) -> None:
    """Warn about a text for people."""
    _rounded(reading, text)
    _without_signs(reading, text)
    if kind.fields is not None:
        _foreign(reading, text, kind, kind.fields.text.reads)


def advise_tree(reading: Reading, tree: Tree, kind: Kind) -> None:
    """Warn about the texts of a body."""
    fields = kind.fields
    for each in _leaves(tree):
        _without_signs(reading, each)
    if fields is None:
        for each in _leaves(tree):
            _rounded(reading, each)
        return
    for writer, leaf in fields.texts(_as_message(tree)):
        assert isinstance(leaf, _Leaf)
        _rounded(reading, leaf.source)
        if isinstance(writer, Dialect):
            _foreign(reading, leaf.source, kind, writer.reads)


def advise_file(reading: Reading, text: str, place: Place, kind: Kind, *, is_json: bool) -> None:
    """Warn about a template file; of JSON, only about markup that no field of such a message reads."""
    source = TemplateText(text, place)
    if not is_json:
        advise_text(reading, source, kind)
        return
    _without_signs(reading, source)
    if kind.fields is not None:
        _foreign(reading, source, kind, _any_reads(kind))


class _Leaf(str):
    """A text of a body, with its place."""

    __slots__ = ("source",)

    source: TemplateText


def _as_message(tree: Tree) -> object:
    match tree:
        case TemplateText(text):
            leaf = _Leaf(text)
            leaf.source = tree
            return leaf
        case Mapping():
            return {key if isinstance(key, str) else key.text: _as_message(each) for key, each in tree.items()}
        case list() | tuple():
            return [_as_message(each) for each in tree]
    return tree


def _leaves(tree: Tree) -> Iterator[TemplateText]:
    match tree:
        case TemplateText():
            yield tree
        case Mapping():
            for each in tree.values():
                yield from _leaves(each)
        case list() | tuple():
            for each in tree:
                yield from _leaves(each)


def _any_reads(kind: Kind) -> _Reads:
    assert kind.fields is not None
    writers: list[Writer] = [kind.fields.text, *kind.fields.known.values()]
    return frozenset().union(*(each.reads for each in writers if isinstance(each, Dialect)))


def _foreign(reading: Reading, text: TemplateText, kind: Kind, reads: _Reads) -> None:
    plain = _TAG.sub(lambda tag: _BUT_LINE_BREAKS.sub("\0", tag[0]), text.text)
    for form, pattern in _FORMS.items():
        if form not in reads and (found := pattern.search(plain)):
            message = f"{kind.title} shows {form} as it is written: it is the markup of another chat"
            _warn(reading, text, found.start(), message, _INSTEAD[form])
    if (found := _OF_SLACK.search(text.text)) and ANGLE_LINK not in reads:
        message = f"{kind.title} shows what {found[1]} writes as it is: it is Slack's markup"
        _warn(reading, text, found.start(1), message, _INSTEAD[ANGLE_LINK])


def _rounded(reading: Reading, text: TemplateText) -> None:
    """A rounded number is printed without the zeros at its end."""
    found = _ROUNDED.search(text.text)
    whole = text.text.strip()
    is_whole = whole.startswith("{{") and whole.endswith("}}") and whole.count("{{") == 1
    if found and not is_whole:
        message = f"round({found[1]}) makes a number: 12.50 is printed as 12.5"
        _warn(reading, text, found.start(), message, f"write number({found[1]}) to print decimals")


def _without_signs(reading: Reading, text: TemplateText) -> None:
    """A format of other languages is printed as it is."""
    for found in _FORMAT.finditer(text.text):
        message = f'date("{found["format"]}") prints the format itself: the parts of a date begin with %'
        right = strftime(found["format"]) or USUAL
        _warn(reading, text, found.start(), message, f"write date({found['quote']}{right}{found['quote']})")


def _warn(reading: Reading, text: TemplateText, offset: int, message: str, hint: str) -> None:
    place = text.at(offset)
    # The report knows the lines of routes.yaml, and none of a template file.
    shown = text.lines()[text.line(offset) - 1] if place.file.startswith(f"{TEMPLATES}/") else ""
    reading.report.add(Problem(place, message, hint, "warning", line_text=shown))
