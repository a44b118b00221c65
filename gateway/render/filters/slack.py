"""Filters and functions that write Slack's markup."""

import re
from urllib.parse import quote

from gateway.destinations import slack
from gateway.render.values import Escaped, Trouble, readable


def mrkdwn_raw(value: object) -> Escaped:
    """Unescaped, so that ``<``, ``>`` and ``&`` act as markup: only for text that no stranger can write.

    >>> mrkdwn_raw("<!here>")
    '<!here>'
    """
    return Escaped(readable(value))


def slack_link(url: object, label: object = None) -> Escaped:
    """A Slack link; ``url`` must be http, https or mailto, and ``label`` defaults to the url.

    >>> slack_link("https://crm.example.com/?id=1&x=2", "Ann <VIP>")
    '<https://crm.example.com/?id=1&amp;x=2|Ann &lt;VIP&gt;>'
    """
    address = readable(url, "the url of slack_link").strip()
    if not re.match(r"(?:https?://|mailto:)[^\s/]", address, re.IGNORECASE):
        raise Trouble("slack_link: {} is not an http, https or mailto address", address)
    # "|" and ">" end an address, whitespace and control characters break it, and "&" is escaped as in text.
    target = quote(address, safe="%/:?#[]@!$&'()*+,;=~", errors="replace").replace("&", "&amp;")
    # The label begins after the first "|"; a second one has no escape.
    shown = readable(address if label is None else label, "the label of slack_link")[: slack.LONGEST_TEXT]
    return Escaped(f"<{target}|{slack.escape(shown.replace('|', '¦'))}>")


def slack_user(id: object) -> Escaped:
    """A mention of a person in Slack.

    >>> slack_user("U024BE7LH")
    '<@U024BE7LH>'
    """
    name = readable(id, "the id of slack_user")
    if not re.fullmatch(r"[UW][A-Z0-9]{1,30}", name):
        raise Trouble("slack_user: {} is not a member id such as U024BE7LH", name)
    return Escaped(f"<@{name}>")
