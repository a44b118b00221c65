"""Google Chat's markup, and the fields of its messages.

Markup: Google's page "Format messages": a text is in Chat's own syntax or, where an app chose that, in Markdown; a card in a
subset of HTML, or in Markdown where ``textSyntax`` says so. Fields: "Cards v2" and "spaces.messages".
"""

import re
from typing import Final

from msgspec.structs import replace

from gateway.destinations.dialects import markdown
from gateway.destinations.escapes import html_escape, one_line
from gateway.destinations.fields import Fields, table
from gateway.destinations.markup import ANGLE_LINK, TAGS, Dialect, in_code

#: What ends the label of a link in Markdown, and the label of its address elsewhere.
_LABEL_END: Final = re.compile(r"\](?=[(:\[])")
_APART: Final = "\N{ZERO WIDTH SPACE}"


def escape(text: str) -> str:
    r"""``text`` as text of Google Chat on one line: no mention and no link with another label of its own.

    Markup has no escape there: signs are parted from what they would begin, and the asterisk, the underscore, the tilde
    and the backtick can still change how the text looks.

    >>> escape("<users/all> [x](https://a.example)")
    '<\u200busers/all> [x]\u200b(https://a.example)'
    """
    line = one_line(text).replace("<", f"<{_APART}").replace("![", f"!{_APART}[")
    return _LABEL_END.sub(f"]{_APART}", line) if "]" in line else line


#: A line that begins a list, a quote or a heading in either syntax.
_BEGINS: Final = re.compile(r"^(?=[ \t]*(?:[-+*>#=]|[0-9]{1,9}[.)]))", re.MULTILINE)


def _begin(lines: str) -> str:
    """Lines of a value that begin no list, quote, heading or code."""
    inert = lines.replace("```", "`\N{ZERO WIDTH SPACE}`\N{ZERO WIDTH SPACE}`")
    return _BEGINS.sub("\N{ZERO WIDTH SPACE}", inert)


def _starred(text: str) -> str:
    return f"*{text.strip()}*" if text.strip() else text


MARKDOWN: Final = replace(
    markdown.MARKDOWN,
    escape=escape,
    begin=_begin,
    signs=(*" -+*>#=0123456789", "```"),
    code=lambda line: escape(in_code(line)),
)
CHAT: Final = replace(
    MARKDOWN,
    reads=frozenset({ANGLE_LINK}),
    link=lambda address, label: f"<{address}|{label.replace('|', '¦')}>",
    bold=_starred,
)
#: A text of a card.
CARD: Final = Dialect(
    reads=frozenset({TAGS}),
    escape=escape,
    line_break="<br>",
    link=lambda address, label: f'<a href="{html_escape(address)}">{label}</a>',
    bold=lambda text: f"<b>{text}</b>",
)

FIELDS: Final = Fields(
    page="https://developers.google.com/workspace/chat/api/reference/rest/v1/cards",
    text=CHAT,
    known={
        ("MARKDOWN", "text"): MARKDOWN,
        ("textParagraph", "text"): CARD,
        ("decoratedText", "text"): CARD,
        ("topLabelText", "text"): CARD,
        ("bottomLabelText", "text"): CARD,
        ("contentText", "text"): CARD,
        ("sections", "header"): CARD,
        **table(
            addresses="url imageUrl iconUrl image.imageUri",
            names="header.title header.subtitle buttons.text button.text topLabel bottomLabel altText imageAltText hintText label"
            " items.text chips.label placeholderText",
            plain="cardId name key value knownIcon threadKey function type textSyntax",
        ),
    },
    tag="textSyntax",
)
