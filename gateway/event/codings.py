"""Bodies that arrive compressed: gzip and deflate (zlib), told by their own first bytes.

No signature covers ``Content-Encoding``. So what a body means depends on its bytes alone, and the header is only
compared with them: a captured request that is sent again under another header is still the same event.
"""

import zlib
from collections.abc import Callable, Iterator
from typing import Final

from gateway.errors import BodyTooLarge, NoRoom, Unparsable

#: What a sender may write into ``Content-Encoding``, and the coding that it means.
NAMES: Final = {"gzip": "gzip", "x-gzip": "gzip", "deflate": "deflate", "identity": "", "": ""}
#: The extension of a listener's requests that holds room for more bytes, or says that there is none.
HOLD: Final = "gateway.hold"
#: Bytes that one compressed byte may become.
RATIO: Final = 100
#: Bytes that a body may become where its source's ``max_body`` is not known: the largest that a file can allow.
MOST: Final = 64 * 1024 * 1024
#: Other requests have a turn after this many bytes.
TURN: Final = 256 * 1024
_PIECE: Final = 64 * 1024
#: Streams that may follow each other in one body of gzip; senders write one.
_MOST_MEMBERS: Final = 16

_GZIP: Final = b"\x1f\x8b\x08"
_FIRST: Final = (b"\x1f", b"x")


def unbounded(_size: int) -> bool:
    """Room for any number of bytes: where nobody counts them."""
    return True


def declared(values: list[bytes]) -> str | None:
    """The coding that the ``Content-Encoding`` fields of a request name, ``""`` for none; None if it is not accepted."""
    names = [name.strip().lower() for value in values for name in value.decode("latin-1").split(",")]
    codings = [NAMES.get(name, name) for name in names]
    found = [each for each in codings if each]
    if len(found) > 1 or (found and found[0] not in NAMES):
        return None
    return found[0] if found else ""


def coding_of(body: bytes) -> str:
    """How a body seems to be compressed; empty: it is not."""
    if body[:1] not in _FIRST:
        return ""
    if body.startswith(_GZIP):
        return "gzip"
    # A header of zlib (RFC 1950): its window, and two bytes that are a multiple of 31.
    return "deflate" if len(body) > 2 and body[0] == 0x78 and not (body[0] << 8 | body[1]) % 31 else ""


def plain(body: bytes, most: int = MOST) -> bytes:
    """The body as it was before it was compressed; the same object if it was not.

    Raises BodyTooLarge beyond ``most`` bytes or 100 for each one received, and Unparsable for a broken stream.
    """
    coding = coding_of(body)
    if not coding:
        return body
    try:
        return b"".join(_inflated(body, coding, most))
    except Unparsable:
        if coding == "gzip":
            raise
        # A text may begin like zlib does.
        return body


async def unpacked(body: bytes, named: str, most: int, hold: Callable[[int], bool]) -> bytes:
    """``plain``, in turns with other requests; ``named`` is the coding that the request declares.

    ``hold`` is asked before more bytes are kept. Raises NoRoom if it refuses, and Unparsable if the body is not what
    its request says.
    """
    # Not by verbs that only look at a running gateway.
    import asyncio

    coding = coding_of(body)
    if named and coding != named:
        raise Unparsable(f"the body is declared as {named}, but does not begin as {named} does")
    if not coding:
        return body
    pieces: list[bytes] = []
    since = 0
    try:
        for piece in _inflated(body, coding, most):
            if not hold(len(piece)):
                raise NoRoom("no room for the body once it is decompressed")
            pieces.append(piece)
            since += len(piece)
            if since >= TURN:
                await asyncio.sleep(0)
                since = 0
    except Unparsable:
        if named or coding == "gzip":
            raise
        return body
    return b"".join(pieces)


def _inflated(body: bytes, coding: str, most: int) -> Iterator[bytes]:
    """The bytes that a body was made of, in pieces of at most 64 KiB."""
    most_out = min(most, len(body) * RATIO)
    size, at = 0, 0
    for _ in range(_MOST_MEMBERS):
        stream = zlib.decompressobj(31 if coding == "gzip" else 15)
        given: bytes = b""
        while not stream.eof:
            if not given:
                # By pieces as well: what a stream leaves of its input is copied.
                given = body[at : at + _PIECE]
                at += len(given)
            try:
                piece, given = stream.decompress(given, _PIECE), stream.unconsumed_tail
            except zlib.error as error:
                raise Unparsable(f"the body is not valid {coding}: {error}") from None
            if not piece and not given and at >= len(body) and not stream.eof:
                raise Unparsable(f"the body is not valid {coding}: the stream has no end")
            size += len(piece)
            if size > most_out:
                by_ratio = f"over {RATIO} times its size once decompressed"
                raise BodyTooLarge(f"over {most} bytes once decompressed" if most_out == most else by_ratio)
            if piece:
                yield piece
        at -= len(stream.unused_data)
        if at >= len(body):
            return
    raise Unparsable(f"the body is not valid {coding}: more than {_MOST_MEMBERS} streams follow each other")
