"""Telegram's markup, and the fields of its messages.

Page: "Telegram Bot API" (formatting options: HTML, MarkdownV2 and the older Markdown; ``sendMessage``, keyboards).
"""

import re
from collections.abc import Mapping
from typing import Final

from msgspec.structs import replace

from gateway.destinations.dialects.markdown import NEAR_ADDRESS, markdown_address
from gateway.destinations.escapes import html_escape, one_line, with_backslashes
from gateway.destinations.fields import Fields, table
from gateway.destinations.markup import MARKDOWN_LINK, TAGS, VALUE, Dialect, data, in_code, said
from gateway.errors import BuildError


def escape(text: str) -> str:
    r"""``text`` as inert HTML on one line.

    >>> escape("<b> & \nc")
    '&lt;b&gt; &amp;  c'
    """
    return html_escape(one_line(text))


_OPEN_TAG: Final = re.compile(r"<(?:[A-Za-z/][^<>]*)?\Z")
_HREF: Final = re.compile(r"""<a\s+href\s*=\s*(?:"([^"<>]*)|'([^'<>]*))\Z""", re.IGNORECASE)


def _href(before: str) -> str | None:
    """The beginning of an address in ``<a href="...">`` that a text ends with; None: it is not inside a tag."""
    tag = _OPEN_TAG.search(before)
    if tag is None:
        return None
    if found := _HREF.search(before):
        return str(found[1] if found[1] is not None else found[2])
    if tag[0].count('"') % 2 or tag[0].count("'") % 2:
        return None
    raise BuildError("a value inside a tag is only possible in the quotes of an attribute")


HTML: Final = Dialect(
    reads=frozenset({TAGS}),
    escape=escape,
    link=lambda address, label: f'<a href="{html_escape(address)}">{label}</a>',
    bold=lambda text: f"<b>{text}</b>",
    near_address=re.compile(f"<[^<>]*{VALUE}"),
    address_before=_href,
    in_address=html_escape,
)

_SIGNS: Final = "\\_*[]()~`>#+-=|{}.!"


def escape_v2(text: str) -> str:
    r"""``text`` as inert MarkdownV2 on one line.

    >>> escape_v2("1. [x](y)")
    '1\\. \\[x\\]\\(y\\)'
    """
    return with_backslashes(one_line(text), _SIGNS)


def escape_v1(text: str) -> str:
    r"""``text`` as inert text of the older Markdown on one line; inside bold or code of the author's, it has no escape.

    >>> escape_v1("a_b [x](y)")
    'a\\_b \\[x](y)'
    """
    return with_backslashes(one_line(text), "_*`[")


def _in_link(address: str) -> str:
    return with_backslashes(address, "\\)")


MARKDOWN_V2: Final = Dialect(
    reads=frozenset({MARKDOWN_LINK}),
    escape=escape_v2,
    code=lambda line: in_code(line).replace("\\", "\\\\"),
    link=lambda address, label: f"[{label}]({_in_link(address)})",
    bold=lambda text: f"*{text}*" if text else text,
    near_address=NEAR_ADDRESS,
    address_before=markdown_address,
    in_address=_in_link,
)
MARKDOWN: Final = replace(
    MARKDOWN_V2,
    escape=escape_v1,
    code=in_code,
    link=lambda address, label: f"[{label}]({address.replace(')', '%29')})",
    in_address=lambda address: address.replace(")", "%29"),
)
#: Without a parse_mode.
PLAIN: Final = Dialect(
    escape=one_line,
    link=lambda address, label: f"{label} ({address})",
    bold=lambda text: text,
)

FIELDS: Final = Fields(
    page="https://core.telegram.org/bots/api#sendmessage",
    text=HTML,
    known=table(
        addresses="url photo_url",
        names="inline_keyboard.text keyboard.text input_field_placeholder",
        plain="chat_id message_thread_id business_connection_id message_effect_id parse_mode callback_data copy_text.text"
        " switch_inline_query switch_inline_query_current_chat forward_text type",
    ),
    below={"entities": data, "chosen_chat": data},
    variant=lambda message: (
        _OF_MODE.get(said(str(message["parse_mode"])).lower(), _PLAIN) if "parse_mode" in message else None
    ),
)


def _with(dialect: Dialect) -> Fields:
    return replace(FIELDS, text=dialect, variant=lambda _message: None)


_PLAIN: Final[Fields] = _with(PLAIN)
_OF_MODE: Final[Mapping[str, Fields]] = {
    "html": _with(HTML),
    "markdownv2": _with(MARKDOWN_V2),
    "markdown": _with(MARKDOWN),
}
