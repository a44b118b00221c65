"""Secrets that senders chose in a handshake: one private file beside the store, which every replica reads."""

import os
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from gateway.errors import StoreUnavailable
from gateway.model import Secret
from gateway.store.base import Store

#: A secret that comes in a handshake is accepted for this long after somebody said that it will, seconds.
EXPECTED_S: Final = 600.0
#: Seconds between two looks whether somebody has.
AGAIN_S: Final = 1.0


class _Line(Struct, frozen=True):
    source: str
    secret: str


_decode = msgspec.json.Decoder(_Line).decode


class LearnedSecrets:
    """The secrets by source, the newest first. The file only grows, by whole lines; it is read again when it has grown."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._size = -1
        self._found: dict[str, tuple[Secret, ...]] = {}
        #: When nobody expected a secret of a source: strangers must not make the store look all the time.
        self._unexpected: dict[str, float] = {}

    async def is_expected(self, store: Store, source: str, now: float) -> bool:
        """Whether somebody has run ``gateway handshake`` for a source within the last ten minutes. Raises StoreError."""
        if 0 <= now - self._unexpected.get(source, -AGAIN_S) < AGAIN_S:
            return False
        before, is_over = "", False
        while not is_over:
            page = await store.activities(before=before)
            recent = [each for each in page.rows if 0 <= now - each.at <= EXPECTED_S]
            if any(each.verb == "handshake" and each.subject == source for each in recent):
                return True
            before, is_over = page.next, len(recent) < len(page.rows) or not page.next
        self._unexpected[source] = now
        return False

    def of(self, source: str) -> tuple[Secret, ...]:
        """What its sender has chosen. Raises StoreUnavailable if the file cannot be read."""
        try:
            size = self._path.lstat().st_size
            if size != self._size:
                self._found, self._size = _by_source(self._read()), size
        except FileNotFoundError:
            return ()
        except OSError as error:
            raise StoreUnavailable(f"{self._path} cannot be read: {error.strerror}") from None
        return self._found.get(source, ())

    def _read(self) -> bytes:
        with os.fdopen(os.open(self._path, os.O_RDONLY | os.O_NOFOLLOW), "rb") as file:
            return file.read()

    def add(self, source: str, secret: Secret) -> None:
        """Keep another one, on disk before this returns. Raises StoreUnavailable."""
        if secret in self.of(source):
            return
        line = msgspec.json.encode(_Line(source, secret.reveal())) + b"\n"
        try:
            file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600)
            try:
                # One write, so that two replicas never mix their lines; the empty line ends what a crash cut off.
                os.write(file, b"\n" + line)
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
