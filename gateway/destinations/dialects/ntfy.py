"""The fields of an ntfy message, which is plain unless it says ``markdown: true``.

Page: ntfy's "Publishing" (publish as JSON, Markdown formatting, action buttons).
"""

from typing import Final

from msgspec.structs import replace

from gateway.destinations.dialects.markdown import MARKDOWN
from gateway.destinations.dialects.plain import PLAIN
from gateway.destinations.escapes import one_line
from gateway.destinations.fields import Fields, table


def escape(text: str) -> str:
    r"""``text`` as plain text on one line.

    >>> escape("Ann\nDoe")
    'Ann Doe'
    """
    return one_line(text)


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
