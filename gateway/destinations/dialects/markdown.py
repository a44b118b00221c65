r"""Markdown (CommonMark 0.31): what several vendors share. A backslash makes any ASCII punctuation inert (2.4).

Where a vendor reads it in another way, its own dialect replaces a part of MARKDOWN.
"""

import re
from typing import Final

from gateway.destinations.escapes import one_line, with_backslashes
from gateway.destinations.markup import MARKDOWN_LINK, TWO_STARS, VALUE, Dialect, in_code

#: An address stays whole: a backslash in it would be a part of it.
_ADDRESS: Final = re.compile(r"(https?://[\w./:?&=%+~#;,!$'()@-]+)", re.ASCII)
_SPECIAL: Final = re.compile(r"[\\*_~`|>#\[\]()<!+-]")
_ACTIVE: Final = "\\*_~`|>#[]()<!"
#: What comes before the sign that makes a line begin a list, or underline a heading.
_BEGINS: Final = re.compile(r"^[ \t]*(?:[0-9]{1,9}(?=[.)](?:\s|\Z))|(?=[-+=]))", re.MULTILINE)


def parted(text: str) -> list[str]:
    """``text`` in pieces, every second of which is an address."""
    return _ADDRESS.split(text)


def escape_markdown(text: str) -> str:
    r"""``text`` as inert Markdown on one line: no link, heading, list, style or code of its own.

    >>> escape_markdown("- [x](https://a.example/b_(c)) **y**")
    '\\- \\[x\\]\\(https://a.example/b_(c)) \\*\\*y\\*\\*'
    """
    line = one_line(text)
    pieces = parted(line)
    pieces[::2] = (with_backslashes(piece, _ACTIVE) if _SPECIAL.search(piece) else piece for piece in pieces[::2])
    return begin_markdown("".join(pieces))


def begin_markdown(lines: str) -> str:
    r"""Lines of a value that begin no list, and underline no heading.

    >>> begin_markdown("a\n- b\n===")
    'a\n\\- b\n\\==='
    """
    return _BEGINS.sub(r"\g<0>\\", lines)


#: A value after the beginning of an inline link's address.
NEAR_ADDRESS: Final = re.compile(rf"\]\(<?[^()\s<>]*{VALUE}")
#: The address of an inline link that is not complete (CommonMark, 6.3).
_IN_LINK: Final = re.compile(r"\]\(<?([^()\s<>]*)\Z")


def markdown_address(before: str) -> str | None:
    """The beginning of an address of ``[label](address)`` that a text ends with; None: it ends with none."""
    found = _IN_LINK.search(before)
    return found[1] if found else None


def in_markdown_address(address: str) -> str:
    """An address that cannot end the one of a link.

    >>> in_markdown_address("https://a.example/b_(c)")
    'https://a.example/b_%28c%29'
    """
    return address.replace("(", "%28").replace(")", "%29")


MARKDOWN: Final = Dialect(
    reads=frozenset({MARKDOWN_LINK, TWO_STARS}),
    escape=escape_markdown,
    begin=begin_markdown,
    code=in_code,
    link=lambda address, label: f"[{label}]({in_markdown_address(address)})",
    # An asterisk next to a space is only an asterisk.
    bold=lambda text: f"**{text.strip()}**" if text.strip() else text,
    near_address=NEAR_ADDRESS,
    address_before=markdown_address,
    in_address=in_markdown_address,
)
