"""HTTP from the command line to one gateway. Proxies of the environment are for other machines, and are not used."""

import http.client
from collections.abc import Mapping
from typing import Final, Self
from urllib.parse import urlsplit

from gateway.errors import GatewayError

#: What goes wrong on the way to a gateway and back.
FAILURES: Final = (OSError, http.client.HTTPException)

_CONNECTIONS: Final = {"http": http.client.HTTPConnection, "https": http.client.HTTPSConnection}


class Unreachable(GatewayError):
    """No gateway answers at the given address."""

    exit_code = 3


class NobodyListens(Unreachable):
    """No gateway listens at the address."""


class Client:
    """One connection, for one request or for many. Every method raises FAILURES."""

    def __init__(self, url: str, *, timeout_s: float) -> None:
        """``timeout_s`` is the longest silence. Raises ValueError for a text that is not an http or https address."""
        parts = urlsplit(url)
        if parts.scheme not in _CONNECTIONS or not parts.hostname or not url.isascii() or not url.isprintable():
            raise ValueError(url)
        #: Path and query of the address.
        self.path, self.query = parts.path.rstrip("/"), parts.query
        kind: type[http.client.HTTPConnection] = _CONNECTIONS[parts.scheme]
        self._connection = kind(parts.hostname, parts.port, timeout=timeout_s)
        self._has_answered = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def answer(
        self, method: str, target: str, *, body: bytes | None = None, headers: Mapping[str, str]
    ) -> tuple[int, bytes]:
        """Status and body of the answer. Asked again if the other side has closed the connection since the last one."""
        try:
            response = self.open(method, target, body=body, headers=headers)
        except http.client.RemoteDisconnected:
            if not self._has_answered:
                raise
            self._connection.close()
            response = self.open(method, target, body=body, headers=headers)
        self._has_answered = True
        return response.status, response.read()

    def open(
        self, method: str, target: str, *, body: bytes | None = None, headers: Mapping[str, str]
    ) -> http.client.HTTPResponse:
        """An answer whose body is still to be read."""
        self._connection.request(method, target, body, dict(headers))
        return self._connection.getresponse()
