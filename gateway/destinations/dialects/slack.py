"""Slack's markup, and the fields of its messages.

Pages of docs.slack.dev: "Formatting message text" (mrkdwn, its escapes, secondary attachments, ``link_names``), "Block Kit
reference" with a page for each block, element and composition object, and "chat.postMessage".
"""

import re
from typing import Final

from msgspec.structs import replace

from gateway.destinations.dialects import markdown
from gateway.destinations.dialects.markdown import escape_markdown, in_markdown_address
from gateway.destinations.escapes import one_line
from gateway.destinations.fields import Fields, table
from gateway.destinations.markup import ANGLE_LINK, Dialect, data, in_code
from gateway.destinations.previews import Message

_ACTIVE = re.compile("[&<>\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def escape(text: str) -> str:
    r"""``text`` as inert mrkdwn on one line: no mention, link, line break, control or bidi character of its own.

    ``&``, ``<`` and ``>`` are all that Slack lets one escape (docs.slack.dev, "Formatting message text");
    The asterisk, the underscore and the backtick have no escape and can still change how the text looks.

    >>> escape("<!channel> Tom & Ann\nLtd")
    '&lt;!channel&gt; Tom &amp; Ann Ltd'
    """
    if _ACTIVE.search(text) is None:
        return text
    return _entities(one_line(text))


def _entities(line: str) -> str:
    return line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


#: What ``link_names`` and ``parse`` make into a mention, or a link to a channel.
_NAME: Final = re.compile(r"(?<!\w)[@#](?=\w)")


_QUOTE: Final = re.compile("^(?= *&gt;)", re.MULTILINE)


def _begin(lines: str) -> str:
    """Lines of a value that begin no quote and no code."""
    inert = lines.replace("```", "`\N{ZERO WIDTH SPACE}`\N{ZERO WIDTH SPACE}`")
    return _QUOTE.sub("\N{ZERO WIDTH SPACE}", inert)


def _without_names(text: str) -> str:
    return _NAME.sub("\\g<0>\N{ZERO WIDTH SPACE}", text)


def _bold(text: str) -> str:
    # Slack reads an asterisk next to a blank as itself.
    return f"*{text.strip()}*" if text.strip() else text


#: Text of type mrkdwn, and the text of a message.
MRKDWN: Final = Dialect(
    reads=frozenset({ANGLE_LINK}),
    escape=escape,
    begin=_begin,
    signs=(" ", ">", "```"),
    code=lambda line: escape(in_code(line)),
    # The label begins after the first "|"; a second one has no escape.
    link=lambda address, label: f"<{_entities(address)}|{label.replace('|', '¦')}>",
    bold=_bold,
)
#: Text of type plain_text: it has entities and emoji, and nothing else.
PLAIN: Final = Dialect(
    escape=escape,
    keeps_lines=False,
    link=lambda address, label: f"{label} ({_entities(address)})",
    bold=lambda text: text,
)
#: The text of a block of type markdown: Markdown, with Slack's mentions.
MARKDOWN: Final = replace(
    markdown.MARKDOWN,
    escape=lambda text: _entities(escape_markdown(text)),
    code=lambda line: _entities(in_code(line)),
    link=lambda address, label: f"[{label}]({_entities(in_markdown_address(address))})",
    in_address=lambda address: _entities(in_markdown_address(address)),
)

FIELDS: Final = Fields(
    page="https://docs.slack.dev/reference/block-kit",
    text=MRKDWN,
    known={
        ("mrkdwn", "text"): MRKDWN,
        ("plain_text", "text"): PLAIN,
        ("markdown", "text"): MARKDOWN,
        ("fields", "value"): MRKDWN,
        **table(
            addresses="url image_url thumb_url title_link author_link author_icon footer_icon icon_url title_url thumbnail_url"
            " video_url provider_icon_url from_url original_url service_icon",
            names="username alt_text author_name author_subname provider_name accessibility_label",
            plain="type style value action_id block_id callback_id channel thread_ts ts color icon_emoji external_id mrkdwn_in"
            " parse link.text text.text emoji.name broadcast.range user.user_id usergroup.usergroup_id channel.channel_id"
            " color.value date.format date.fallback client_msg_id initial_date initial_time language",
        ),
    },
    below={"metadata": data, "slack_file": data, "trigger": data, "dispatch_action_config": data},
    # A block without its address is left out, too.
    leaves_out_addresses=False,
    variant=lambda message: _WITH_NAMES if _finds_names(message) else None,
)


def _finds_names(message: Message) -> bool:
    """Whether Slack looks for names in the texts of a message."""
    return bool(message.get("link_names")) or message.get("parse") in ("full", "client")


def _nameless(dialect: Dialect) -> Dialect:
    inner = dialect.escape
    return replace(dialect, escape=lambda text: _without_names(inner(text)))


_WITH_NAMES: Final[Fields] = replace(
    FIELDS,
    text=_nameless(MRKDWN),
    known={at: _nameless(each) if isinstance(each, Dialect) else each for at, each in FIELDS.known.items()},
    variant=lambda _message: None,
)
