"""``gateway dev`` records requests here instead of sending them."""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final
from urllib.parse import urlsplit

from gateway.hiding.requests import PUBLIC_HEADERS
from gateway.model import HttpRequest, Reply

#: Requests that an inbox keeps.
INBOX_SIZE: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class InboxEntry:
    """One request that was recorded instead of sent."""

    destination: str
    method: str
    #: With its query.
    path: str
    #: Lower-case names; a value that might be a secret is masked.
    headers: Mapping[str, str] = field(repr=False)
    body: str = field(repr=False)
    #: Wall clock, seconds since the epoch.
    received_at: float


class Inbox:
    """A transport that records requests for ``inbox://<destination>/...`` and answers each with 200 ``ok``."""

    def __init__(self, *, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._entries: deque[InboxEntry] = deque(maxlen=INBOX_SIZE)

    def entries(self) -> Sequence[InboxEntry]:
        """The newest 200, newest first."""
        return tuple(reversed(self._entries))

    async def exchange(self, request: HttpRequest, most: int) -> Reply:  # noqa: ARG002  a carrier's
        address = urlsplit(request.url)
        headers = {name: value if name in PUBLIC_HEADERS else "***" for name, value in request.headers}
        self._entries.append(
            InboxEntry(
                destination=address.netloc,
                method=request.method,
                path=(address.path or "/") + (f"?{address.query}" if address.query else ""),
                headers=MappingProxyType(headers),
                body=request.body.decode("utf-8", "replace"),
                received_at=self._clock(),
            )
        )
        return Reply(status=200, headers={"content-length": "2"}, body=b"ok")

    async def close(self) -> None:
        """Nothing is open."""
