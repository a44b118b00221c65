"""What proxies noted about a request: X-Forwarded-For and X-Forwarded-Proto, or else Forwarded (RFC 7239).

Read from the end, where the nearest proxy wrote: nothing that a client sent can change how that part is read. Total, and
bounded in time, whatever the headers hold.
"""

import re
from collections.abc import Iterator, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final

Address = IPv4Address | IPv6Address
RawHeaders = Sequence[tuple[bytes, bytes]]

#: Proxies of one request that are looked at, from the nearest on.
MOST_HOPS: Final = 32
#: Characters that are read, from the end on: 256 for each of these proxies.
MOST_READ: Final = 8192

#: ``name=value`` of an element, where the value may be in quotes (RFC 7239, 4). An IPv6 address should be, and often is not.
_PAIR: Final = re.compile(
    r'[ \t]*+(?:([\w!#$%&\'*+.^`|~-]++)=("(?:[^"\\]|\\.)*+"|[^\s;,"]*+))?[ \t]*+(?:;|\Z)', re.ASCII
)
#: An address in brackets, or one of IPv4, with a port, which may be obfuscated (RFC 7239, 6).
_WITH_PORT: Final = re.compile(r"(?:\[([^\[\]]*)\]|([0-9.]+))(?::(?:[0-9]{1,5}|_[\w.-]+))?", re.ASCII)


def clients(headers: RawHeaders) -> Iterator[Address | None]:
    """The clients that proxies noted, the nearest first: of X-Forwarded-For, or of Forwarded if there is none.

    None for one that is no address: ``unknown``, ``_hidden``, or anything that is not written as it should be.
    """
    if any(name == b"x-forwarded-for" for name, _ in headers):
        yield from (_node(_unquoted(each)) for each in _elements(headers, b"x-forwarded-for"))
    else:
        yield from (_node(_parameter(each, "for")) for each in _elements(headers, b"forwarded"))


def scheme(headers: RawHeaders) -> str:
    """The scheme that the nearest proxy noted, in lower case: in X-Forwarded-Proto, or in Forwarded; empty: none."""
    for element in _elements(headers, b"x-forwarded-proto"):
        return _unquoted(element).lower()
    for element in _elements(headers, b"forwarded"):
        return _parameter(element, "proto").lower()
    return ""


def address_of(host: str) -> Address | None:
    """An address without its zone; the IPv4 address of a mapped one."""
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def _elements(headers: RawHeaders, name: bytes) -> Iterator[str]:
    """The elements of a header that is a list, the last one first; several header lines are one list (RFC 9110, 5.3)."""
    lines = [value for header, value in headers if header == name]
    if not lines:
        return
    text = b",".join(lines).decode("latin-1")
    is_cut = len(text) > MOST_READ
    text = text[-MOST_READ:]
    for _ in range(MOST_HOPS):
        comma = _last_comma(text)
        if comma < 0:
            # What is left of an element could look like another one.
            yield "" if is_cut else text.strip(" \t")
            return
        yield text[comma + 1 :].strip(" \t")
        text = text[:comma]


def _last_comma(text: str) -> int:
    """The position of the last comma outside of quotes; -1 if there is none."""
    comma, end = text.rfind(","), len(text)
    while (quote := text.rfind('"', 0, end)) > comma:
        end = _opening(text, quote)
        if end < 0:
            # A quote without another one ends nothing.
            return comma
        if end < comma:
            comma = text.rfind(",", 0, end)
    return comma


def _opening(text: str, end: int) -> int:
    r"""The position of the quote that opens what the one at ``end`` closes; ``\"`` is a character in it. -1: none does."""
    at = end
    while (at := text.rfind('"', 0, at)) >= 0:
        before = at
        while before and text[before - 1] == "\\":
            before -= 1
        if (at - before) % 2 == 0:
            return at
    return -1


def _parameter(element: str, name: str) -> str:
    """The value of a parameter; empty if the element does not have it exactly once, or is not written as it should be."""
    found, at = [], 0
    while at < len(element):
        pair = _PAIR.match(element, at)
        if pair is None:
            return ""
        if pair[1] and pair[1].lower() == name:
            found.append(_unquoted(pair[2]))
        at = pair.end()
    return found[0] if len(found) == 1 else ""


def _unquoted(text: str) -> str:
    if len(text) < 2 or not (text[0] == text[-1] == '"'):
        return text
    return re.sub(r"\\(.)", r"\1", text[1:-1], flags=re.DOTALL)


def _node(written: str) -> Address | None:
    """The address of ``192.0.2.1``, ``192.0.2.1:80``, ``[2001:db8::1]:80`` and ``2001:db8::1``."""
    found = _WITH_PORT.fullmatch(written)
    return address_of((found[1] or found[2] or "") if found else written)
