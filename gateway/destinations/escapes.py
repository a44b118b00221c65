"""Making a value of an event inert for its reader: what the kinds of destination share."""

import re
from collections.abc import Callable

from markupsafe import escape

#: Turns a value's text into text that is inert for its reader.
Escaper = Callable[[str], str]

# Line and paragraph breaks of every alphabet become a space; C0 and C1 controls and bidi marks are dropped.
_BREAKS = re.compile("\r\n|[\t\n\v\f\r\x85\u2028\u2029]")
_UNSEEN = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def no_escape(text: str) -> str:
    """``text`` unchanged: to its reader no character is special."""
    return text


def one_line(text: str) -> str:
    r"""``text`` without line breaks, controls and bidi marks.

    >>> one_line("Ann\nLtd\u202e")
    'Ann Ltd'
    """
    return _UNSEEN.sub("", _BREAKS.sub(" ", text))


def html_escape(text: str) -> str:
    """``text`` as inert HTML, between tags or inside a quoted attribute.

    >>> html_escape("<b> & 'c'")
    '&lt;b&gt; &amp; &#39;c&#39;'
    """
    return str(escape(text))
