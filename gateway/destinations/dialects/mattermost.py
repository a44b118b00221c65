"""Mattermost's Markdown, and the fields of its posts.

Markdown: Mattermost's page "Format messages"; mentions, and Slack's angle brackets, which it translates: its page "Incoming
webhooks". Fields: its page "Message attachments".
"""

import re
from typing import Final

from msgspec.structs import replace

from gateway.destinations.dialects import markdown
from gateway.destinations.dialects.markdown import escape_markdown
from gateway.destinations.fields import Fields, table
from gateway.destinations.markup import data, in_code

#: Somebody is mentioned by a name that no word is before. An address is left as it is: it is no mention.
_MENTION: Final = re.compile(r"(?<!\w)@(?=\w)")
#: Angle brackets are translated before backslashes are read.
_SLACK: Final = re.compile(r"<(?=[^\s])")
_APART: Final = "\N{ZERO WIDTH SPACE}"


def escape(text: str) -> str:
    r"""``text`` as inert Markdown of Mattermost on one line: no mention, link, heading, list or style of its own.

    >>> escape("@all <!here> [x](https://a.example)")
    '@\u200ball \\<\u200b!here\\> \\[x\\]\\(https://a.example)'
    """
    return _apart(escape_markdown(text))


def _apart(text: str) -> str:
    if "@" in text:
        text = _MENTION.sub(f"@{_APART}", text)
    return _SLACK.sub(f"<{_APART}", text).replace("\\!", "!") if "<" in text else text.replace("\\!", "!")


def _in_code(text: str) -> str:
    return _apart(in_code(text))


MARKDOWN: Final = replace(markdown.MARKDOWN, escape=escape, code=_in_code)

FIELDS: Final = Fields(
    page="https://developers.mattermost.com/integrate/reference/message-attachments/",
    text=MARKDOWN,
    known=table(
        addresses="icon_url author_link author_icon title_link image_url thumb_url footer_icon url",
        names="username author_name footer actions.name options.text fields.title",
        plain="channel icon_emoji color type id style priority.priority options.value default_option",
    ),
    below={"context": data},
)
