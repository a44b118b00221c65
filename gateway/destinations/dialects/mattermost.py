"""Mattermost's Markdown, and the fields of its posts.

Markdown: Mattermost's page "Format messages"; mentions, and Slack's angle brackets, which it translates: its page "Incoming
webhooks". Fields: its page "Message attachments".
"""

import re
from typing import Final

from gateway.destinations.dialects.markdown import (
    NEAR_ADDRESS,
    begin_markdown,
    escape_markdown,
    in_markdown_address,
    markdown_address,
)
from gateway.destinations.fields import Fields, table
from gateway.destinations.markup import MARKDOWN_LINK, TWO_STARS, Dialect, data, in_code

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


MARKDOWN: Final = Dialect(
    reads=frozenset({MARKDOWN_LINK, TWO_STARS}),
    escape=escape,
    begin=begin_markdown,
    code=_in_code,
    link=lambda address, label: f"[{label}]({in_markdown_address(address)})",
    bold=lambda text: f"**{text.strip()}**" if text.strip() else text,
    near_address=NEAR_ADDRESS,
    address_before=markdown_address,
    in_address=in_markdown_address,
)

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
