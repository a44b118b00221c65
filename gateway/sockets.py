"""The listening sockets: inherited from systemd or bound to an address."""

import contextlib
import os
import re
import socket
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from gateway.errors import GatewayError

BACKLOG = 2048
#: The first descriptor that systemd passes (sd_listen_fds(3)).
_FIRST_INHERITED_FD = 3
_FLAGS = {"ingest": "--bind", "admin": "--admin-bind"}


class BindFailed(GatewayError):
    """A listener cannot have its address; nothing was started."""


def address_of(sock: socket.socket) -> str:
    """Where a socket listens, as a URL."""
    host, port = sock.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


@contextlib.contextmanager
def listening(ingest_bind: str, admin_bind: str, environ: Mapping[str, str]) -> Iterator[Sequence[socket.socket]]:
    """Both sockets, listening; closed at the end, or if the second one fails."""
    with contextlib.ExitStack() as stack:
        inherited = _inherited(environ)
        sockets = []
        for name, bind in (("ingest", ingest_bind), ("admin", admin_bind)):
            sock = _adopt(name, inherited[name]) if name in inherited else _bind(name, bind)
            sockets.append(stack.enter_context(sock))
        yield sockets


def _inherited(environ: Mapping[str, str]) -> Mapping[str, int]:
    """Descriptors that systemd passed to this very process, by listener."""
    if environ.get("LISTEN_PID") != str(os.getpid()):
        return {}
    count = environ.get("LISTEN_FDS", "")
    if re.fullmatch("[0-9]{1,9}", count) is None:
        raise BindFailed(f'LISTEN_FDS is "{count}", not a number; leave it to systemd or unset LISTEN_PID')
    fds = range(_FIRST_INHERITED_FD, _FIRST_INHERITED_FD + int(count))
    names = environ.get("LISTEN_FDNAMES", "").split(":")
    named = {name: fd for fd, name in zip(fds, names, strict=False) if name in ("ingest", "admin")}
    return named or dict(zip(("ingest", "admin"), fds, strict=False))


def _adopt(name: str, fd: int) -> socket.socket:
    try:
        sock = socket.socket(fileno=fd)
        listens = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    except OSError as error:
        raise BindFailed(
            f"descriptor {fd} for the {name} listener: {error.strerror}; check the .socket unit"
        ) from error
    if not listens or sock.family not in (socket.AF_INET, socket.AF_INET6):
        sock.close()
        raise BindFailed(
            f"descriptor {fd} for the {name} listener is not a listening TCP socket; use ListenStream=host:port"
        )
    sock.set_inheritable(False)
    sock.setblocking(False)
    return sock


def _bind(name: str, bind: str) -> socket.socket:
    host, port = _host_and_port(name, bind)
    sock: socket.socket | None = None
    try:
        family, address = _resolve(host, port)
        sock = socket.socket(family, socket.SOCK_STREAM)
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address)
        sock.listen(BACKLOG)
    except (OSError, UnicodeError) as error:  # UnicodeError: a host that cannot be a DNS name
        if sock is not None:
            sock.close()
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise BindFailed(
            f"cannot listen on {bind} for {name}: {reason}; "
            f"choose another address with {_FLAGS[name]}, or stop the process that uses it"
        ) from error
    return sock


def _host_and_port(name: str, bind: str) -> tuple[str, int]:
    written = re.fullmatch(r"(?:\[([0-9a-fA-F:.%]+)\]|([^:\[\]]+)):([0-9]{1,5})", bind)
    if written is None or int(written[3]) > 65535:
        raise BindFailed(
            f'"{bind}" for {name} is not a valid address; write {_FLAGS[name]} host:port, as in 127.0.0.1:8080'
        )
    return written[1] or written[2], int(written[3])


def _resolve(host: str, port: int) -> tuple[socket.AddressFamily, tuple[Any, ...]]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    # IPv4 first: that is where people expect "localhost".
    family, _, _, _, address = min(found, key=lambda info: info[0] != socket.AF_INET)
    return family, address
