"""What a store looks like from outside, without opening it: for ``gateway doctor``."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from msgspec import Struct


class Owner(Struct, frozen=True):
    """The process that has a store open, or had it when it died."""

    #: ``pid 4711, started 2026-12-31T12:00:00+00:00``.
    name: str
    #: Whether it still has the store open.
    is_alive: bool


class Sign(Struct, frozen=True):
    """Something about a server that people should know, with the remedy if it is not as it should be."""

    check: str
    verdict: Literal["ok", "warn", "fail"]
    said: str
    remedy: str = ""


class Health(Struct, frozen=True, kw_only=True):
    """A store as seen from outside."""

    #: What people call it: its file, or the URL of its database without the password.
    name: str
    #: ``empty``: it exists, but nothing was ever stored; ``emptied``: there is nothing in it any more.
    state: Literal["missing", "empty", "emptied", "in use"]
    #: Bytes.
    size: int
    #: None if no process has it open and the last one closed it.
    owner: Owner | None = None
    #: Why the owner is unknown; "" if it is known.
    owner_unknown: str = ""
    #: The folder whose disk it fills; None: it is on another machine.
    folder: Path | None = None
    #: Files with what senders sent.
    files: Sequence[Path] = ()
    #: What keeps the data, and its version: ``sqlite``, ``3.51.3``.
    engine: str
    version: str
    #: A defect of this version and the remedy; "" if it has none.
    defect: str = ""
    remedy: str = ""
    #: What a server says of itself.
    signs: Sequence[Sign] = ()
