"""What went wrong, in words that hold no secret: libcurl's codes, and the system's exceptions, as errors of ours."""

import errno
import os
import re
import socket
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from gateway.errors import AnswerBroken, ConnectFailed, EgressError, TimedOut, TLSFailed


class NameNotResolved(ConnectFailed):
    """The host name does not resolve."""

    reason = "dns"


#: Whose fault a code of libcurl is (curl/include/curl/curl.h); any other is AnswerBroken.
FAULTS: Final[Mapping[int, type[EgressError]]] = MappingProxyType(
    {
        1: ConnectFailed,  # UNSUPPORTED_PROTOCOL
        3: ConnectFailed,  # URL_MALFORMAT
        5: ConnectFailed,  # COULDNT_RESOLVE_PROXY
        6: NameNotResolved,  # COULDNT_RESOLVE_HOST
        7: ConnectFailed,  # COULDNT_CONNECT
        28: TimedOut,  # OPERATION_TIMEDOUT
        35: TLSFailed,  # SSL_CONNECT_ERROR
        45: ConnectFailed,  # INTERFACE_FAILED
        53: TLSFailed,  # SSL_ENGINE_NOTFOUND
        54: TLSFailed,  # SSL_ENGINE_SETFAILED
        58: TLSFailed,  # SSL_CERTPROBLEM
        59: TLSFailed,  # SSL_CIPHER
        60: TLSFailed,  # PEER_FAILED_VERIFICATION
        64: TLSFailed,  # USE_SSL_FAILED
        66: TLSFailed,  # SSL_ENGINE_INITFAILED
        77: TLSFailed,  # SSL_CACERT_BADFILE
        80: TLSFailed,  # SSL_SHUTDOWN_FAILED
        82: TLSFailed,  # SSL_CRL_BADFILE
        83: TLSFailed,  # SSL_ISSUER_ERROR
        90: TLSFailed,  # SSL_PINNEDPUBKEYNOTMATCH
        91: TLSFailed,  # SSL_INVALIDCERTSTATUS
        97: ConnectFailed,  # PROXY
        98: TLSFailed,  # SSL_CLIENTCERT
        101: TLSFailed,  # ECH_REQUIRED
    }
)

#: What is said of a code; libcurl's own words can hold an address.
REASONS: Final[Mapping[int, str]] = MappingProxyType(
    {
        1: "the url is neither http nor https",
        3: "the url cannot be used",
        5: "the proxy's name was not found",
        6: "name not found",
        7: "no connection",
        8: "the answer is not HTTP",
        18: "the answer was cut off",
        27: "out of memory",
        28: "no answer in time",
        52: "the connection was closed before an answer arrived",
        55: "the connection was closed while the request was being sent",
        56: "the answer was cut off",
        64: "the mail server does not offer STARTTLS: write smtps://, or insecure: true to send without TLS",
        61: "the answer is in an encoding that nobody asked for",
        65: "the connection was closed before an answer arrived",
        88: "the answer is not HTTP: its chunks are broken",
        97: "the proxy refused",
        100: "the answer is not HTTP, or its header is too large",
    }
)
#: What libcurl says more of than its code; the first that its words contain.
_WORDS: Final = (
    ("Invalid Content-Length", "the answer is not HTTP: its length is not a number"),
    ("Content-Length", "the answer is not HTTP: it has two lengths"),
    ("chunk", "the answer is not HTTP: its chunks are broken"),
    ("Too large response headers", "the answer is not HTTP, or its header is too large"),
    ("Header without colon", "the answer is not HTTP"),
    ("Nul byte in header", "the answer is not HTTP"),
    ("HTTP version", "the answer is not HTTP"),
    ("HTTP/0.9", "the answer is not HTTP"),
    ("Unsupported response code", "the answer is not HTTP: its status code is invalid"),
)
#: What a Unix socket refuses, by the system's error number.
_SOCKET_FAULTS: Final = MappingProxyType(
    {
        errno.ENOENT: "the socket does not exist: start what listens there, or correct url",
        errno.ECONNREFUSED: "nothing listens on the socket: start what should",
        errno.EACCES: "the socket may not be used by this user: change its permissions",
    }
)
#: What a proxy's status means, and what helps.
_PROXY_STATUSES: Final = MappingProxyType(
    {
        403: "it does not allow this destination: allow it there",
        407: "it needs a user and a password: write them into proxy, as http://user:password@host:port",
        502: "it could not connect to the destination",
        503: "it could not connect to the destination",
        504: "the destination did not answer it in time",
    }
)
_NO_SOCKS_LOGIN: Final = ("User was rejected by the SOCKS5 server", "No authentication method was acceptable")
#: What a server's TLS alert means; over TLS 1.3 one about the client certificate comes only after the handshake.
_ALERTS: Final = (
    ("alert certificate required", "the server requires a client certificate: set tls.cert and tls.key"),
    ("alert unknown ca", "the server does not trust the authority of the client certificate: use one that it trusts"),
    ("alert certificate expired", "the client certificate has expired: replace it"),
    ("alert certificate revoked", "the client certificate was revoked: replace it"),
    ("alert bad certificate", "the server refused the client certificate"),
    ("alert certificate unknown", "the server refused the client certificate"),
    (
        "alert handshake failure",
        "the server refused the handshake: it may require a client certificate or other ciphers",
    ),
    ("alert protocol version", "the server and the gateway share no version of TLS"),
)
_NO_STARTTLS: Final = 64
_ABOUT_ANSWERS: Final = frozenset({1, 8, 16, 43, 52, 56, 61, 63, 88, 92})
_BY_PROXY: Final = re.compile(r"CONNECT tunnel failed, response ([0-9]{3})")
_NUMBER_BEHIND: Final = re.compile(r" \([0-9]+\)$")
#: What the system's resolver says of a name that does not exist, or has no address.
NO_SUCH_NAME: Final = (socket.EAI_NONAME, socket.EAI_NODATA)


def explained(code: int, said: str, os_errno: int) -> EgressError:
    """Our own error for a code of libcurl, with what it said of it and the system's error number, if there was one."""
    if code == 1 and "HTTP/" in said:
        return AnswerBroken("the answer is not HTTP")
    if refused := _BY_PROXY.search(said):
        return by_proxy(int(refused[1]))
    if code == 97 and any(words in said for words in _NO_SOCKS_LOGIN):
        return ConnectFailed("the proxy refused the login: write it into proxy, as socks5h://user:password@host:port")
    fault = TLSFailed if "SSL routines::" in said and " alert " in said else FAULTS.get(code, AnswerBroken)
    if os_errno and fault is not TLSFailed and code in (7, 52, 55, 56, 65):
        return fault(os.strerror(os_errno).lower())
    if fault is TLSFailed and code != _NO_STARTTLS:
        return _about_tls(said, os_errno)
    if code in _ABOUT_ANSWERS:
        for words, reason in _WORDS:
            if words in said:
                return fault(reason)
    return fault(REASONS.get(code, f"libcurl's error {code}"))


def by_socket(os_errno: int) -> EgressError | None:
    """Our own error for a Unix socket that takes no connection; None for a fault that any connection may have."""
    reason = _SOCKET_FAULTS.get(os_errno)
    return ConnectFailed(reason) if reason else None


def by_proxy(status: int) -> EgressError:
    """Our own error for the answer of a proxy that did not let a request through."""
    meaning = _PROXY_STATUSES.get(status)
    return ConnectFailed(f"the proxy answered {status}" + (f": {meaning}" if meaning else ""))


def _about_tls(said: str, os_errno: int) -> EgressError:
    """``SSL certificate problem: self-signed certificate``, ``TLS connect error: error:...:wrong version number``."""
    if os_errno:
        return TLSFailed(f"TLS: {os.strerror(os_errno).lower()}")
    if "no alternative certificate subject name" in said or "does not match" in said:
        return TLSFailed("TLS: the certificate is for another host")
    if "unexpected eof" in said:
        return TLSFailed("TLS: the connection was closed during the handshake")
    for words, meaning in _ALERTS:
        if words in said:
            return TLSFailed(f"TLS: {meaning}")
    reason = _NUMBER_BEHIND.sub("", said.rpartition("problem: " if "problem: " in said else ":")[2]).strip()
    return TLSFailed(f"TLS: {reason[:100] or 'no handshake'}")


def of_exception(error: Exception) -> EgressError:
    """Our own error for an exception of the system's; AnswerBroken with the name of a class that is unknown."""
    match error:
        case socket.gaierror():
            found = error.errno in NO_SUCH_NAME
            return NameNotResolved("name not found" if found else "the name server did not answer")
        case OSError(errno=int(number)):
            return ConnectFailed(os.strerror(number).lower())
    return AnswerBroken(type(error).__name__)
