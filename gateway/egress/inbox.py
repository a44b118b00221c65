"""``gateway dev`` records requests here instead of sending them."""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from gateway.hiding.requests import masked_headers

if TYPE_CHECKING:
    import httpx

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

    async def handle_async_request(self, request: "httpx.Request") -> "httpx.Response":
        import httpx

        self._entries.append(
            InboxEntry(
                destination=request.url.host,
                method=request.method,
                path=request.url.raw_path.decode("ascii"),
                headers=MappingProxyType(masked_headers(request.headers.items())),
                body=request.content.decode("utf-8", "replace"),
                received_at=self._clock(),
            )
        )
        return httpx.Response(200, content=b"ok")

    async def aclose(self) -> None:
        """Nothing is open."""
