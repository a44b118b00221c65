"""Rocket.Chat's markup, and the fields of its messages.

Markup: the grammar of its parser (``@rocket.chat/message-parser``). Fields: its pages "Create webhooks" and
"Post message".
"""

import re
from typing import Final

from msgspec.structs import replace

from gateway.destinations.dialects import markdown
from gateway.destinations.escapes import one_line
from gateway.destinations.fields import Fields, table
from gateway.destinations.markup import in_code

_APART: Final = "\N{ZERO WIDTH SPACE}"
#: What ends the title of a link; the beginning of a mention, a spoiler or a formula.
_ACTIVE: Final = re.compile(r"\](?=\()|!(?=\[)|<|(?<!\w)@(?=\w)|\|(?=\|)|\$(?=\$)|\\(?=[(\[])")
#: A line that begins a quote, a heading or a list.
_BEGINS: Final = re.compile(r"^(?=[ \t]*(?:[>#*-]|[0-9]{1,9}\.))", re.MULTILINE)


def escape(text: str) -> str:
    r"""``text`` as text of Rocket.Chat on one line: no mention, and no link with another label of its own.

    Markup has no escape there: signs are parted from what they would begin, and the asterisk, the underscore, the tilde
    and the backtick can still change how the text looks.

    >>> escape("@all [x](https://a.example)")
    '@\u200ball [x]\u200b(https://a.example)'
    """
    return _ACTIVE.sub(rf"\g<0>{_APART}", one_line(text))


def _begin(lines: str) -> str:
    """Lines of a value that begin no quote, heading, list or code."""
    return _BEGINS.sub(_APART, lines.replace("```", f"`{_APART}`{_APART}`"))


MARKDOWN: Final = replace(
    markdown.MARKDOWN,
    escape=escape,
    begin=_begin,
    signs=(*" >#*-0123456789", "```"),
    code=lambda line: escape(in_code(line)),
)

FIELDS: Final = Fields(
    page="https://developer.rocket.chat/apidocs/post-message",
    text=MARKDOWN,
    known=table(
        addresses="avatar author_link author_icon title_link image_url thumb_url audio_url video_url message_link",
        names="alias username author_name title fields.title",
        plain="channel roomId emoji color ts tmid",
    ),
)
