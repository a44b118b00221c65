"""Functions that write a chat's markup; the chat, and the field that they are printed in, decide how it looks."""

import re
from collections.abc import Callable
from typing import Final
from urllib.parse import quote

from msgspec import Struct

from gateway.destinations.dialects.slack import escape
from gateway.destinations.markup import ADDRESS, BOLD, END, LABEL, LINES, LINK, marked, unmarked
from gateway.destinations.slack import LONGEST_TEXT
from gateway.render.values import Escaped, Trouble, readable

#: What no address has, and what an address in any markup may end with.
_SAFE: Final = "%/:?#[]@!$&'()*+,;=~"


class Markup(Struct, frozen=True):
    """How links, bold texts and lines are written where a template is printed."""

    link: Callable[[str, object], str]
    bold: Callable[[object], str]
    lines: Callable[[str], str]


def _inner(value: object, role: str) -> str:
    text = readable(value, role)
    return text.output if isinstance(text, Escaped) else marked(text)


def _marked_link(address: str, label: object) -> Escaped:
    shown = readable(label, "the label of link")
    return Escaped(f"{LINK}{address}{LABEL}{_inner(label, '')}{END}", shown)


#: In the messages of chats.
MARKED: Final = Markup(
    link=_marked_link,
    bold=lambda value: Escaped(f"{BOLD}{_inner(value, 'the text of bold')}{END}", readable(value)),
    lines=lambda text: Escaped(f"{LINES}{unmarked(text)}{END}", text),
)
#: Anywhere else: without markup.
NONE: Final = Markup(
    link=lambda address, label: address if label == address else f"{readable(label)} ({address})",
    bold=readable,
    lines=lambda text: text,
)


def link(url: object, label: object = None, *, markup: Markup = NONE) -> str:
    """A link in the markup of any chat; ``url`` must be http, https or mailto, and ``label`` defaults to the url.

    >>> link("https://crm.example.com/451", "Ann")
    'Ann (https://crm.example.com/451)'
    """
    address = _address(url, "link")
    # A link that shows nothing cannot be followed.
    is_blank = label is None or not readable(label, "the label of link").strip()
    return markup.link(address, address if is_blank else label)


def bold(value: object, *, markup: Markup = NONE) -> str:
    """In bold, in the markup of any chat.

    >>> bold("Ann")
    'Ann'
    """
    return markup.bold(value)


def lines(value: object, *, markup: Markup = NONE) -> str:
    r"""With its line breaks kept, where the place can hold them; each line is escaped by itself.

    >>> lines("first\nsecond")
    'first\nsecond'
    """
    return markup.lines(readable(value))


def mrkdwn_raw(value: object) -> Escaped:
    """Unescaped, so that ``<``, ``>`` and ``&`` act as markup: only for text that no stranger can write.

    >>> mrkdwn_raw("<!here>")
    '<!here>'
    """
    return Escaped(unmarked(readable(value)))


def slack_link(url: object, label: object = None) -> Escaped:
    """A link in Slack; ``link`` writes one in every chat.

    >>> slack_link("https://crm.example.com/?id=1&x=2", "Ann <VIP>")
    '<https://crm.example.com/?id=1&amp;x=2|Ann &lt;VIP&gt;>'
    """
    address = _address(url, "slack_link")
    # The label begins after the first "|"; a second one has no escape.
    text = "" if label is None else readable(label, "the label of slack_link")
    shown = unmarked((text if text.strip() else address)[:LONGEST_TEXT])
    return Escaped(f"<{address.replace('&', '&amp;')}|{escape(shown.replace('|', '¦'))}>")


def slack_user(id: object) -> Escaped:
    """A mention of a person in Slack.

    >>> slack_user("U024BE7LH")
    '<@U024BE7LH>'
    """
    name = readable(id, "the id of slack_user")
    if not re.fullmatch(r"[UW][A-Z0-9]{1,30}", name):
        raise Trouble("slack_user: {} is not a member id such as U024BE7LH", name)
    return Escaped(f"<@{name}>")


def _address(url: object, function: str) -> str:
    """An address that no markup ends early. Raises Trouble."""
    address = readable(url, f"the url of {function}").strip()
    if not ADDRESS.match(address):
        raise Trouble(f"{function}: {{}} is not an http, https or mailto address", address)
    # "|" and ">" end an address, and whitespace and control characters break it.
    return quote(address, safe=_SAFE, errors="replace")
