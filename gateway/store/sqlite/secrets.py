"""Secrets that senders chose in a handshake: a private file beside the store, so that no copy of the store has them."""

import asyncio
import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from gateway.errors import StoreUnavailable
from gateway.model import Secret

#: Of the file, after the name of the store's.
ENDING: Final = ".secrets"


class _Line(Struct, frozen=True):
    source: str
    secret: str


_decode = msgspec.json.Decoder(_Line).decode


class SecretsFile:
    """Only grows, by whole lines; it is read again when it has grown."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._size = -1
        self._found: dict[str, tuple[Secret, ...]] = {}

    async def of(self, source: str) -> tuple[Secret, ...]:
        return self._read().get(source, ())

    async def add(self, source: str, secret: Secret) -> None:
        await asyncio.to_thread(self.extend, [(source, secret)])

    def pairs(self) -> list[tuple[str, Secret]]:
        """Every source with each of its secrets, the oldest of a source first. Raises StoreUnavailable."""
        return [(source, secret) for source, secrets in sorted(self._read().items()) for secret in reversed(secrets)]

    def extend(self, pairs: Iterable[tuple[str, Secret]]) -> None:
        """Keep those that are not known yet, on disk before this returns. Raises StoreUnavailable."""
        known = self._read()
        if new := [_Line(source, secret.reveal()) for source, secret in pairs if secret not in known.get(source, ())]:
            self._append(new)

    def remove(self) -> None:
        """Forget all of them."""
        with suppress(FileNotFoundError):
            self._path.unlink()

    def _read(self) -> dict[str, tuple[Secret, ...]]:
        try:
            size = self._path.lstat().st_size
            if size != self._size:
                with os.fdopen(os.open(self._path, os.O_RDONLY | os.O_NOFOLLOW), "rb") as file:
                    self._found, self._size = _by_source(file.read()), size
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise StoreUnavailable(f"{self._path} cannot be read: {error.strerror}") from None
        return self._found

    def _append(self, lines: list[_Line]) -> None:
        try:
            file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600)
            try:
                # The empty line ends what a crash cut off.
                os.write(file, b"\n" + b"".join(msgspec.json.encode(each) + b"\n" for each in lines))
                os.fsync(file)
            finally:
                os.close(file)
        except OSError as error:
            raise StoreUnavailable(f"{self._path} cannot be written: {error.strerror}") from None


def _by_source(data: bytes) -> dict[str, tuple[Secret, ...]]:
    found: dict[str, tuple[Secret, ...]] = {}
    for text in filter(None, data.split(b"\n")):
        try:
            line = _decode(text)
        except msgspec.MsgspecError:
            continue
        found[line.source] = (Secret(line.secret), *found.get(line.source, ()))
    return found
