"""Discord's Markdown, and the fields of its messages.

Markdown: Discord's help page "Markdown Text 101"; forms of mentions: its reference, "Message Formatting". Fields: its
pages "Webhook Resource" (execute webhook), "Message Resource" (embeds), "Component Reference" and "Poll Resource".
"""

import re
from typing import Final

from msgspec.structs import replace

from gateway.destinations.dialects import markdown
from gateway.destinations.dialects.markdown import parted
from gateway.destinations.escapes import one_line, with_backslashes
from gateway.destinations.fields import Fields, table
from gateway.destinations.markup import data

_MENTION = re.compile(r"@(?=everyone|here|[!&]?[0-9]{15})")
_ACTIVE = "\\*_~`|>#[]()<-"
#: What comes before the sign that makes a line begin a numbered list.
_NUMBERED = re.compile(r"^[ \t]*[0-9]{1,9}(?=\.(?:\s|\Z))", re.MULTILINE)
_SPECIAL = re.compile(r"[\\*_~`|>#\[\]()<@-]")


def escape(text: str) -> str:
    r"""``text`` as inert Discord Markdown on one line: no mention, masked link, heading, list or style of its own.

    >>> escape("**Tom** <@&1> [x](https://a.example/b_c)")
    '\\*\\*Tom\\*\\* \\<@&1\\> \\[x\\]\\(https://a.example/b_c)'
    """
    line = one_line(text)
    if _SPECIAL.search(line) is None:
        return _begin(line)
    pieces = parted(line)
    # Every second piece is an address, in which a mention would count.
    pieces[::2] = (with_backslashes(piece, _ACTIVE) for piece in pieces[::2])
    # Nothing escapes a mention but a character that nobody sees.
    return _begin(_MENTION.sub("@\N{ZERO WIDTH SPACE}", "".join(pieces)))


def _begin(lines: str) -> str:
    """Lines of a value that begin no numbered list; nothing else is left that could."""
    return _NUMBERED.sub(r"\g<0>\\", lines)


MARKDOWN: Final = replace(markdown.MARKDOWN, escape=escape, begin=_begin)

FIELDS: Final = Fields(
    page="https://discord.com/developers/docs/resources/message#embed-object",
    text=MARKDOWN,
    known=table(
        addresses="url icon_url proxy_url proxy_icon_url avatar_url",
        names="author.name footer.text username thread_name label placeholder filename answers.text question.text"
        " poll_media.text provider.name",
        plain="timestamp color type custom_id nonce style id value.custom_id emoji.name emoji.id applied_tags options.value",
    ),
    below={"allowed_mentions": data},
)
