"""The fields of an e-mail: a plain text, HTML, and a subject.

HTML as Telegram's dialect reads it: a value is text between tags, or in the quotes of an attribute.
"""

from typing import Final

from msgspec.structs import replace

from gateway.destinations.dialects import telegram
from gateway.destinations.dialects.plain import PLAIN
from gateway.destinations.escapes import one_line
from gateway.destinations.fields import Fields
from gateway.destinations.markup import name


def escape(text: str) -> str:
    r"""``text`` as plain text on one line.

    >>> escape("Ann\nDoe")
    'Ann Doe'
    """
    return one_line(text)


HTML: Final = replace(telegram.HTML, line_break="<br>")

FIELDS: Final = Fields(
    page="https://www.rfc-editor.org/rfc/rfc5322",
    text=PLAIN,
    known={("", "html"): HTML, ("", "subject"): name},
)
