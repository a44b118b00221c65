"""What went wrong, in words without secrets: the HTTP libraries' exceptions as our own errors."""

import os
import socket
import ssl
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from gateway.errors import AnswerBroken, ConnectFailed, EgressError, NameNotResolved, TimedOut, TLSFailed

#: Our error for each exception of the HTTP libraries, by the name of its class or nearest base class; any other is
#: AnswerBroken.
FAULTS: Final[Mapping[str, type[EgressError]]] = MappingProxyType(
    {
        "aiohttp.ClientConnectorError": ConnectFailed,
        "aiohttp.ClientConnectorDNSError": NameNotResolved,
        "aiohttp.ClientConnectorSSLError": TLSFailed,
        "aiohttp.ClientConnectorCertificateError": TLSFailed,
        "aiohttp.ClientSSLError": TLSFailed,
        "aiohttp.ClientProxyConnectionError": ConnectFailed,
        "aiohttp.ClientHttpProxyError": ConnectFailed,
        "aiohttp.UnixClientConnectorError": ConnectFailed,
        "aiohttp.ServerFingerprintMismatch": TLSFailed,
        "aiohttp.InvalidURL": ConnectFailed,
        "aiohttp.InvalidUrlClientError": ConnectFailed,
        "aiohttp.NonHttpUrlClientError": ConnectFailed,
        "aiohttp.ConnectionTimeoutError": TimedOut,
        "aiohttp.ServerTimeoutError": TimedOut,
        "aiohttp.SocketTimeoutError": TimedOut,
        "httpx.ConnectError": ConnectFailed,
        "httpx.ProxyError": ConnectFailed,
        "httpx.UnsupportedProtocol": ConnectFailed,
        "httpx.InvalidURL": ConnectFailed,
        "httpx.ConnectTimeout": TimedOut,
        "httpx.PoolTimeout": TimedOut,
        "httpx.ReadTimeout": TimedOut,
        "httpx.TimeoutException": TimedOut,
        "httpx.WriteTimeout": TimedOut,
    }
)

#: The reason for an exception whose own text says too much or too little.
REASONS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "ClientConnectorError": "the connection was closed while it was being opened",
        "ClientPayloadError": "the answer was cut off",
        "ClientResponseError": "the answer is not HTTP, or its header is too large",
        "ConnectError": "no connection",
        "ConnectTimeout": "no connection in time",
        "EofStream": "the connection was closed before an answer arrived",
        "InvalidURL": "the url cannot be used",
        "InvalidUrlClientError": "the url cannot be used",
        "NonHttpUrlClientError": "the url is neither http nor https",
        "ReadError": "the answer was cut off",
        "ReadTimeout": "no answer in time",
        "RemoteProtocolError": "the answer is not HTTP",
        "ServerDisconnectedError": "the connection was closed before an answer arrived",
        "UnsupportedProtocol": "the url is neither http nor https",
    }
)

_NO_SUCH_NAME = (socket.EAI_NONAME, socket.EAI_NODATA)


def explained(error: Exception) -> EgressError:
    """Our own error for an exception; AnswerBroken with the name of its class if that is unknown."""
    original = error.__cause__ if _library(type(error)) == "httpx" else None
    if isinstance(original, Exception):
        error = original
    names = (f"{_library(base)}.{base.__name__}" for base in type(error).__mro__)
    fault = next((FAULTS[name] for name in names if name in FAULTS), AnswerBroken)
    return fault(_reason(error))


def _library(kind: type) -> str:
    return kind.__module__.partition(".")[0]


def _reason(error: Exception) -> str:
    system = getattr(error, "certificate_error", None) or getattr(error, "os_error", None) or error
    match system:
        case ssl.SSLCertVerificationError():
            return f"TLS: {system.verify_message}"
        case ssl.SSLError():
            return f"TLS: {(system.reason or 'the handshake failed').replace('_', ' ').lower()}"
        case socket.gaierror():
            return "name not found" if system.errno in _NO_SUCH_NAME else "the name server did not answer"
        case OSError(errno=int(number)):
            return os.strerror(number).lower()
    return REASONS.get(type(error).__name__, type(error).__name__)
