"""Frames: what two processes write into the socket between them.

A frame is its length (four bytes, the most significant first) and a MessagePack array of messages. Whatever waits at one
end when the socket can take it is one frame. A message is a number, a word and a value that is decoded later, by whoever
knows its type: a value of another type fails the one call that it belongs to.
"""

import struct
from collections.abc import Iterator, Sequence
from typing import Any, Final

import msgspec
from msgspec import Raw

from gateway.errors import GatewayError
from gateway.model import Secret

#: (the number of the call, what it is about, the value)
Message = tuple[int, str, Raw]

_LENGTH: Final = struct.Struct(">I")
#: A frame is sent once it has this many bytes, even if more waits; so one is seldom much longer.
FULL_BYTES: Final = 1024 * 1024
#: A body has at most 64 MiB, and no message carries more than four of the largest.
LONGEST_BYTES: Final = 512 * 1024 * 1024
#: What a message takes beside its value, at most: its number, its word and the lengths.
_BESIDE: Final = 128

_decode: Final = msgspec.msgpack.Decoder(list[Message]).decode


class FrameBroken(GatewayError):
    """What came is not a frame: the other end is another program, or has a defect."""


class TooLong(GatewayError):
    """A value is longer than any frame."""


def _plain(value: object) -> object:
    """Values that MessagePack has no word for."""
    if isinstance(value, Secret):
        return value.reveal()
    if isinstance(value, Exception):
        return str(value)
    if isinstance(value, (set, frozenset)):
        return list(value)
    raise NotImplementedError(f"a {type(value).__name__} does not cross the socket")


def _typed(kind: type, value: Any) -> Any:
    if kind is Secret:
        return Secret(value)
    raise NotImplementedError(f"a {kind.__name__} does not cross the socket")


_encode: Final = msgspec.msgpack.Encoder(enc_hook=_plain).encode


def packed(value: object) -> Raw:
    """A value for a message; what UTF-8 cannot encode in its texts is replaced. Raises TooLong."""
    try:
        data = _encode(value)
    except UnicodeEncodeError:
        data = _encode(_storable(msgspec.to_builtins(value, builtin_types=(bytes,), enc_hook=_plain)))
    if len(data) > LONGEST_BYTES - _BESIDE:
        raise TooLong(f"{len(data)} bytes are more than the {LONGEST_BYTES} that a store is asked at one time")
    return Raw(data)


def _storable(value: Any) -> Any:
    """The same value with texts that UTF-8 can encode."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {_storable(key): _storable(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return tuple(_storable(each) for each in value)
    return value


def decoder(kind: Any) -> msgspec.msgpack.Decoder[Any]:
    """Reads values of a type; raises msgspec.MsgspecError for others."""
    return msgspec.msgpack.Decoder(kind, dec_hook=_typed)


def frames(messages: Sequence[Message]) -> Iterator[bytes]:
    """Messages as they are written, in as few frames as may be."""
    part: list[Message] = []
    size = 0
    for message in messages:
        weight = len(memoryview(message[2])) + _BESIDE
        if part and size + weight > FULL_BYTES:
            yield _frame(part)
            part, size = [], 0
        part.append(message)
        size += weight
    if part:
        yield _frame(part)


def _frame(messages: Sequence[Message]) -> bytes:
    data = _encode(messages)
    return _LENGTH.pack(len(data)) + data


class Reader:
    """Cuts what arrives into frames; what is incomplete waits for the rest."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def read(self, data: bytes) -> Iterator[Sequence[Message]]:
        """The messages of every frame that is complete now. Raises FrameBroken, and nothing may be read any more."""
        self._buffer += data
        at = 0
        try:
            while len(self._buffer) - at >= _LENGTH.size:
                (length,) = _LENGTH.unpack_from(self._buffer, at)
                if length > LONGEST_BYTES:
                    raise FrameBroken(f"a frame of {length} bytes is longer than any")
                begins = at + _LENGTH.size
                if len(self._buffer) - begins < length:
                    return
                # A copy: values refer to it until they are decoded.
                frame = bytes(memoryview(self._buffer)[begins : begins + length])
                at = begins + length
                try:
                    messages = _decode(frame)
                except (msgspec.MsgspecError, RecursionError) as error:
                    raise FrameBroken(f"a frame cannot be read: {error}") from None
                yield messages
        finally:
            del self._buffer[:at]
