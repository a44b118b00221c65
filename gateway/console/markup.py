"""Chat formatting (bold, links, mentions and so on) as safe markup.

Each dialect finds its own pieces in the text; everything else stays text. Nothing a sender writes becomes a tag, and
only http, https and mailto addresses become links.
"""

import re
from collections.abc import Callable, Iterator
from functools import partial
from html.parser import HTMLParser
from typing import Final

from markupsafe import Markup

from gateway.console.emoji import with_emoji
from gateway.console.text import flat, marked

#: Makes markup from a match, with the dialect for the text inside.
Replacement = Callable[[re.Match[str], Callable[[str], Markup]], Markup]

#: Pieces inside of pieces that are formatted.
_DEEPEST: Final = 4

_SAFE_ADDRESS: Final = re.compile(r"(?:https?://|mailto:)[^\s]+", re.IGNORECASE)


def _link(address: str, label: str) -> Markup:
    if not _SAFE_ADDRESS.fullmatch(address):
        return marked(label)
    return _opened(address) + marked(label) + Markup("</a>")


def _opened(address: str) -> Markup:
    """The title shows where the link leads."""
    return Markup('<a href="{}" title="{}" rel="noopener noreferrer nofollow">').format(address, flat(address))


def _spanned(tag: str) -> Replacement:
    return lambda found, inside: Markup(f"<{tag}>{{}}</{tag}>").format(inside(found[1]))  # noqa: S704  the tag is ours


def _code(tag: str, plain: Callable[[str], str] = str) -> Replacement:
    """Nothing inside is formatted."""
    return lambda found, _: Markup(f"<{tag}>{{}}</{tag}>").format(marked(plain(found[1].strip("\n"))))  # noqa: S704


class _Dialect:
    """An ordered list of pieces: if two could match, the earlier one in the list wins."""

    def __init__(self, *pieces: tuple[str, Replacement], leaf: Callable[[str], Markup]) -> None:
        self._pieces = [(re.compile(pattern, re.DOTALL | re.MULTILINE), replace) for pattern, replace in pieces]
        self._leaf = leaf

    def __call__(self, text: str, depth: int = 0) -> Markup:
        return self._leaf(text) if depth > _DEEPEST else Markup().join(self._parts(text, 0, depth))

    def _parts(self, text: str, level: int, depth: int) -> Iterator[Markup]:
        if level == len(self._pieces):
            yield self._leaf(text)
            return
        pattern, replace = self._pieces[level]
        at = 0
        for found in pattern.finditer(text):
            yield from self._parts(text[at : found.start()], level + 1, depth)
            yield replace(found, partial(self, depth=depth + 1))
            at = found.end()
        yield from self._parts(text[at:], level + 1, depth)


# --- Slack and Google Chat ---


def _slack_leaf(text: str) -> Markup:
    return marked(with_emoji(_slack_plain(text)))


def _slack_plain(text: str) -> str:
    """Decodes Slack's three entities; there are no others."""
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


def _slack_angle(found: re.Match[str], _: object) -> Markup:
    inside, _, label = found[1].partition("|")
    if inside[:1] in "@#!":
        name = label or inside[1:].partition("^")[0]
        name = name if name[:1] in "@#" else f"{'#' if inside[0] == '#' else '@'}{name}"
        return Markup('<span class="mention">{}</span>').format(marked(_slack_plain(name)))
    return _link(_slack_plain(inside), _slack_plain(label or inside))


# As in Slack, a mark counts only at the edge of a word.
_EDGED: Final = r"(?<![\w{0}]){0}(?![\s{0}])([^\n{0}]+?)(?<!\s){0}(?![\w{0}])"

#: Slack's mrkdwn; Google Chat's is the same to the eye.
slack: Final = _Dialect(
    (r"```(.+?)```\n?", _code("pre", _slack_plain)),
    (r"^(?:&gt;|>) ?([^\n]*)\n?", _spanned("blockquote")),
    (r"`([^`\n]+)`", _code("code", _slack_plain)),
    (r"<([^<>\n]+)>", _slack_angle),
    (_EDGED.format(r"\*"), _spanned("strong")),
    (_EDGED.format("_"), _spanned("em")),
    (_EDGED.format("~"), _spanned("del")),
    leaf=_slack_leaf,
)


def slack_plain(text: str) -> Markup:
    """A ``plain_text`` object: emoji and nothing else."""
    return marked(with_emoji(text))


# --- Discord and Teams ---


def _unescaped(text: str) -> Markup:
    return marked(re.sub(r"\\([\\`*_{}\[\]()#+\-.!~|<>])", r"\1", text))


def _mention(found: re.Match[str], _: object) -> Markup:
    return Markup('<span class="mention">{}</span>').format(marked(found[1]))


_UNLESS_ESCAPED: Final = r"(?<!\\)"
#: Discord's Markdown, and the part of it that Teams cards support.
markdown: Final = _Dialect(
    (r"```(?:\w+\n)?(.+?)```\n?", _code("pre")),
    (r"^#{1,3} ([^\n]*)\n?", _spanned("strong")),
    (r"^> ?([^\n]*)\n?", _spanned("blockquote")),
    (_UNLESS_ESCAPED + r"`([^`\n]+)`", _code("code")),
    (_UNLESS_ESCAPED + r"\[([^\[\]\n]+)\]\(<?([^\s()<>]+)>?\)", lambda found, _: _link(found[2], found[1])),
    (_UNLESS_ESCAPED + r"<([@#][!&]?\d+)>", _mention),
    (_UNLESS_ESCAPED + r"\*\*(.+?)(?<!\\)\*\*", _spanned("strong")),
    (_UNLESS_ESCAPED + r"__(.+?)(?<!\\)__", _spanned("u")),
    (_UNLESS_ESCAPED + r"~~(.+?)(?<!\\)~~", _spanned("del")),
    (_UNLESS_ESCAPED + r"\*(\S[^*\n]*?)(?<!\\)\*", _spanned("em")),
    (r"(?<![\w\\])_(\S[^_\n]*?)(?<!\\)_(?!\w)", _spanned("em")),
    leaf=_unescaped,
)


# --- Telegram ---

_TELEGRAM_TAGS: Final = {
    "b": "strong", "strong": "strong", "i": "em", "em": "em", "u": "u", "ins": "u", "s": "del", "strike": "del",
    "del": "del", "code": "code", "pre": "pre", "blockquote": "blockquote",
}  # fmt: skip


#: A sign that begins no whole tag: the parser would look for its end in all of the rest, for each of them.
_NO_TAG: Final = re.compile(r"<(?!/?[a-zA-Z][^<>]*>)")


class _Telegram(HTMLParser):
    """Keeps Telegram's own tags, drops all others, closes those left open."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[Markup] = []
        self._open: list[tuple[str, str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        address = dict(attrs).get("href") or ""
        if tag == "a" and _SAFE_ADDRESS.fullmatch(address):
            self._begin(tag, "a", _opened(address))
        elif tag in _TELEGRAM_TAGS:
            self._begin(tag, _TELEGRAM_TAGS[tag], Markup(f"<{_TELEGRAM_TAGS[tag]}>"))  # noqa: S704  the tag is ours

    def _begin(self, tag: str, ours: str, markup: Markup) -> None:
        if len(self._open) < 32:
            self._open.append((tag, ours))
            self.parts.append(markup)

    def handle_endtag(self, tag: str) -> None:
        if self._open and self._open[-1][0] == tag:
            self.parts.append(Markup(f"</{self._open.pop()[1]}>"))  # noqa: S704  the tag is ours

    def handle_data(self, data: str) -> None:
        self.parts.append(marked(data))

    def closed(self) -> Markup:
        self.close()
        rest = (Markup(f"</{ours}>") for _, ours in reversed(self._open))  # noqa: S704  the tag is ours
        return Markup().join([*self.parts, *rest])


def telegram(text: str) -> Markup:
    """Telegram's HTML."""
    parser = _Telegram()
    parser.feed(_NO_TAG.sub("&lt;", text))
    return parser.closed()


def card_html(text: str) -> Markup:
    """The small subset of HTML in Google's cards: Telegram's and ``<br>``."""
    return telegram(re.sub(r"<br\s*/?>", "\n", text))
