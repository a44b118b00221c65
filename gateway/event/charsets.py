"""Texts in another charset than UTF-8, and why a body is not JSON. Total on any bytes.

UTF-8 comes first: a declared charset counts only for a body that is not valid UTF-8, as senders often declare one that
they do not use.
"""

import re
from typing import Final

#: U+FEFF in UTF-8, which some senders put before their JSON (RFC 8259, 8.1: a reader may ignore it).
BOM: Final = b"\xef\xbb\xbf"

_CHARSET: Final = re.compile(r";\s*charset\s*=\s*[\"']?([\w.:-]{1,40})", re.IGNORECASE)
_EIGHT_BITS: Final = re.compile(r"iso[-_]?8859[-_](\d{1,2})|(?:windows-|cp-?)(125[0-8])")
#: A whole escape of a backslash or of a pair, or else half of a pair.
_UNPAIRED: Final = re.compile(
    rb"\\\\|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(\\u[dD][89a-fA-F][0-9a-fA-F]{2})"
)
_UTF_16_OR_32: Final = (b"\xff\xfe", b"\xfe\xff", b"\x00", b"{\x00", b"[\x00")


def charset_of(content_type: str) -> str:
    """The charset that a content type declares, in lower case; empty: none."""
    found = _CHARSET.search(content_type) if ";" in content_type else None
    return found[1].lower() if found else ""


def codec_of(charset: str) -> str:
    """The codec of a charset of eight bits that contains ASCII; empty for any other.

    >>> codec_of("iso-8859-1"), codec_of("windows-1252"), codec_of("utf-16")
    ('iso8859-1', 'cp1252', '')
    """
    if charset in ("latin1", "latin-1"):
        return "iso8859-1"
    found = _EIGHT_BITS.fullmatch(charset)
    if found is None:
        return ""
    if found[2]:
        return f"cp{found[2]}"
    return f"iso8859-{int(found[1])}" if 0 < int(found[1]) < 17 and int(found[1]) != 12 else ""


def text(body: bytes, charset: str) -> str:
    """A body as text: in UTF-8, else in its declared charset, else with a mark for each byte that is neither."""
    try:
        return body.decode()
    except UnicodeDecodeError:
        return body.decode(codec_of(charset) or "utf-8", "replace")


def as_utf8(body: bytes, charset: str) -> bytes | None:
    """A body that was not valid JSON, without a BOM and in UTF-8; None if it was both before."""
    if body.startswith(BOM):
        return body[len(BOM) :]
    codec = codec_of(charset)
    if not codec or is_utf8(body):
        return None
    try:
        return body.decode(codec).encode()
    except UnicodeDecodeError:
        return None


def is_utf8(body: bytes) -> bool:
    try:
        body.decode()
    except UnicodeDecodeError:
        return False
    return True


def why_not_json(body: bytes, charset: str, error: Exception) -> str:
    """What is wrong with a body, in the words of its sender's developer."""
    if not body.strip():
        return "it is empty"
    if body.startswith(_UTF_16_OR_32):
        return "it is UTF-16 or UTF-32, and JSON is UTF-8"
    try:
        body.decode()
    except UnicodeDecodeError as found:
        where = f"byte {found.start} (0x{body[found.start]:02x})"
        if not charset or charset in ("utf-8", "utf8"):
            return f"{where} is not UTF-8: declare the charset, as in application/json; charset=iso-8859-1"
        known = "" if codec_of(charset) else f", and the charset {charset} is not supported"
        return f"{where} is not UTF-8{known}" if known else f"{where} is not valid in UTF-8 nor in {charset}"
    if half := next((each for each in _UNPAIRED.finditer(body) if each[1]), None):
        return f"byte {half.start(1)} begins an unpaired surrogate, {half[1].decode()}: half of a character such as an emoji"
    if "truncated" in str(error):
        return "it ends before its last bracket or quote is closed"
    return str(error)
