"""The fields of an ntfy message, which is plain unless it says ``markdown: true``.

Page: ntfy's "Publishing" (publish as JSON, Markdown formatting, action buttons).
"""

from typing import Final

from msgspec.structs import replace

from gateway.destinations.dialects.markdown import (
    NEAR_ADDRESS,
    begin_markdown,
    escape_markdown,
    in_markdown_address,
    markdown_address,
)
from gateway.destinations.dialects.plain import PLAIN
from gateway.destinations.escapes import one_line
from gateway.destinations.fields import Fields, table
from gateway.destinations.markup import MARKDOWN_LINK, TWO_STARS, Dialect, in_code


def escape(text: str) -> str:
    r"""``text`` as plain text on one line.

    >>> escape("Ann\nDoe")
    'Ann Doe'
    """
    return one_line(text)


MARKDOWN: Final = Dialect(
    reads=frozenset({MARKDOWN_LINK, TWO_STARS}),
    escape=escape_markdown,
    begin=begin_markdown,
    code=in_code,
    link=lambda address, label: f"[{label}]({in_markdown_address(address)})",
    bold=lambda text: f"**{text.strip()}**" if text.strip() else text,
    near_address=NEAR_ADDRESS,
    address_before=markdown_address,
    in_address=in_markdown_address,
)

_MARKED: Final = Fields(
    page="https://docs.ntfy.sh/publish/#publish-as-json",
    text=MARKDOWN,
    known=table(
        addresses="click attach icon url",
        names="title label tags filename",
        plain="topic delay email call action method body headers intent extras value",
    ),
)
FIELDS: Final = replace(
    _MARKED, text=PLAIN, variant=lambda message: _MARKED if message.get("markdown") is True else None
)
