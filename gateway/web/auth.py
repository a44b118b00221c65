"""Access to the admin listener: hosts, origins, two tokens and the console's cookie."""

import hashlib
import hmac
import math
from collections.abc import Callable, Collection, Mapping
from typing import Any, Final
from urllib.parse import quote

from litestar import Response
from litestar.connection import ASGIConnection
from litestar.datastructures import Cookie
from litestar.exceptions import NotAuthorizedException, PermissionDeniedException, TooManyRequestsException
from litestar.handlers.base import BaseRouteHandler
from litestar.response import Redirect
from msgspec import Struct

from gateway import telemetry
from gateway.model import Secret
from gateway.web.sessions import SESSION_S, Role, Sessions, Tries

COOKIE: Final = "gateway_session"
_READING: Final = frozenset({"GET", "HEAD", "OPTIONS"})
#: Probes use the pod's address and no token.
PROBES: Final = frozenset({"/healthz", "/readyz"})
#: Allowed without a login, or with a read-only one: what it takes to log in and out.
_LOGIN: Final = frozenset({"/login", "/logout", "/console.css", "/console.js"})
#: Allowed with a read-only token although it is a POST: what somebody tries out is too long for an address. It changes
#: and sends nothing.
_TRYING: Final = frozenset({"/playground"})

Connection = ASGIConnection[Any, Any, Any, Any]


class AdminOptions(Struct, frozen=True, kw_only=True):
    """Who may talk to the admin listener."""

    #: Host names it answers to, in lower case, without a port.
    hosts: Collection[str]
    #: Allows everything; None: everybody who reaches the listener may do everything, or read if there is a read token.
    token: Secret | None = None
    #: Allows reading only.
    read_token: Secret | None = None
    metrics_token: Secret | None = None

    def tokens(self) -> Mapping[Role, Secret]:
        """The token of each role that has one."""
        known: Mapping[Role, Secret | None] = {"full": self.token, "read": self.read_token}
        return {role: token for role, token in known.items() if token is not None}


class LoginNeeded(NotAuthorizedException):
    """No valid token: people get the login page, programs an error."""


class Access:
    """Refuses a foreign Host (DNS rebinding), pages of other sites, and requests beyond the client's role."""

    def __init__(
        self, options: AdminOptions, sessions: Sessions, clock: Callable[[], float], console_url: Callable[[], str]
    ) -> None:
        """``clock`` is the wall clock, seconds since the epoch; ``console_url`` the one in force."""
        self._options = options
        self._clock = clock
        self._console_url = console_url
        self._sessions = sessions
        self._tries = Tries()

    @property
    def needs_login(self) -> bool:
        return self._options.token is not None

    async def guard(self, connection: Connection, _: BaseRouteHandler) -> None:
        path = connection.scope["path"]
        if path in PROBES:
            return
        self._refuse_strangers(connection)
        if path == "/metrics":
            known = self._options.metrics_token
            if known is not None and not _is_token(_bearer(connection), known):
                raise NotAuthorizedException("send the header Authorization: Bearer <GATEWAY_METRICS_TOKEN>")
        elif path not in _LOGIN:
            if session := connection.cookies.get(_cookie_name(connection)):
                await self._sessions.look(session)
            self._refuse_by_role(connection, self.role_of(connection))

    def may_look(self, connection: Connection) -> bool:
        """Whether the guard would allow reading; for answers given before or instead of the guard."""
        try:
            self._refuse_strangers(connection)
        except PermissionDeniedException:
            return False
        return self.role_of(connection) is not None

    def role_of(self, connection: Connection) -> Role | None:
        """The role of a request by its bearer token or cookie; None if it has none."""
        if self._options.token is None:
            return "full" if self._options.read_token is None else "read"
        if token := _bearer(connection):
            role = role_of_token(token, self._options)
            if role is None:
                _denied(connection, "a wrong token")
            return role
        session = connection.cookies.get(_cookie_name(connection))
        role = self._sessions.role(session) if session else None
        if session and role is None:
            _denied(connection, "a cookie whose session is over")
        return role

    def _refuse_strangers(self, connection: Connection) -> None:
        host = connection.headers.get("host", "").lower()
        if _host_name(host) not in self._options.hosts:
            raise PermissionDeniedException(f"unknown Host {host[:100]}: add it to GATEWAY_ADMIN_HOSTS")
        origin = connection.headers.get("origin")
        if origin is not None and origin.lower().partition("://")[2] != host:
            raise PermissionDeniedException("pages of another origin are not allowed here")
        if connection.headers.get("sec-fetch-site") == "cross-site" and not _is_navigation(connection):
            raise PermissionDeniedException("pages of another site are not allowed here")

    def _refuse_by_role(self, connection: Connection, role: Role | None) -> None:
        if role is None:
            raise LoginNeeded("send the header Authorization: Bearer <token>")
        path = connection.scope["path"]
        if role == "read" and _method(connection) not in _READING and path not in _TRYING:
            if self._options.token is None:
                raise PermissionDeniedException(
                    "only GATEWAY_READ_TOKEN is set, so nobody can change anything: set GATEWAY_ADMIN_TOKEN, too"
                )
            raise PermissionDeniedException("GATEWAY_READ_TOKEN is read-only: use GATEWAY_ADMIN_TOKEN")

    # the console's session

    async def log_in(self, connection: Connection, token: str, to: str) -> Response[Any] | None:
        """The answer to a login: the cookie and a redirect to the page ``to``; None if the token is wrong.

        Raises TooManyTries.
        """
        address, now = client_of(connection), self._clock()
        if wait_s := self._tries.wait_s(address, now):
            raise TooManyTries(wait_s)
        role = role_of_token(token.strip().encode("utf-8", "replace"), self._options)
        if role is None:
            self._tries.failed(address, now)
            _denied(connection, "a login with a wrong token")
            return None
        self._tries.succeeded(address)
        cookie = self._cookie(connection, await self._sessions.begin(role), SESSION_S)
        return Redirect(local_page(to), status_code=303, cookies=[cookie])

    async def log_out(self, connection: Connection) -> Response[Any]:
        """The answer that ends a session, here and in its browser."""
        await self._sessions.end(connection.cookies.get(_cookie_name(connection), ""))
        return Redirect("/login", status_code=303, cookies=[self._cookie(connection, "", 0)])

    def _cookie(self, connection: Connection, value: str, max_age: int) -> Cookie:
        return Cookie(
            key=_cookie_name(connection),
            value=value,
            max_age=max_age,
            path="/",
            httponly=True,
            samesite="strict",
            secure=self._is_https(connection),
        )

    def _is_https(self, connection: Connection) -> bool:
        """Whether browsers reach the console through TLS: what a trusted proxy says is in the scheme."""
        return connection.scope["scheme"] == "https" or self._console_url().startswith("https:")


class TooManyTries(TooManyRequestsException):
    """Too many wrong tokens from one address."""

    def __init__(self, wait_s: float) -> None:
        after = str(math.ceil(wait_s))
        super().__init__(
            f"Too many wrong tokens from your address: try again in {after} s", headers={"retry-after": after}
        )


def client_of(connection: Connection) -> str:
    """The address of a client: that of the connection, or the one that a trusted proxy names."""
    return connection.client.host if connection.client else ""


def _is_navigation(connection: Connection) -> bool:
    """Whether somebody follows a link; a foreign page cannot make a browser do anything else here."""
    return _method(connection) == "GET" and connection.headers.get("sec-fetch-mode") == "navigate"


def _method(connection: Connection) -> str:
    return str(connection.scope.get("method", ""))


def _host_name(host: str) -> str:
    """``[::1]:8081`` -> ``::1``; ``localhost:8081`` -> ``localhost``."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.rpartition(":")[0] or host


def _cookie_name(connection: Connection) -> str:
    """With the port that the browser asked: it sends a cookie to every port of a host, and there may be two gateways.

    Replicas behind one address have the same one, whichever ports they listen on.
    """
    port = connection.headers.get("host", "").rpartition(":")[2]
    return f"{COOKIE}_{port if port.isdecimal() else 0}"


def role_of_token(token: bytes, options: AdminOptions) -> Role | None:
    """The role of a token. It is compared with every known one, each time in constant time."""
    roles = [role for role, known in options.tokens().items() if _is_token(token, known)]
    return roles[0] if roles else None


def _is_token(token: bytes, known: Secret) -> bool:
    # Digests, since comparing texts of two lengths tells the length.
    given, wanted = (hashlib.sha256(each).digest() for each in (token, known.reveal().encode()))
    return hmac.compare_digest(given, wanted)


def _bearer(connection: Connection) -> bytes:
    kind, _, token = connection.headers.get("authorization", "").partition(" ")
    return token.encode("latin-1", "replace") if kind.lower() == "bearer" else b""


def _denied(connection: Connection, reason: str) -> None:
    telemetry.log("admin.denied", client=client_of(connection), path=connection.scope["path"], reason=reason)


def login_page(connection: Connection) -> str:
    """The login page, which will return to the address requested."""
    path, query = connection.scope["path"], connection.scope.get("query_string", b"").decode("latin-1")
    asked = f"{path}?{query}" if query else path
    return f"/login?to={quote(asked, safe='/')}" if _method(connection) == "GET" and path != "/" else "/login"


def local_page(to: str) -> str:
    """``to`` if it is a path on this host, else the first page: it may come from anybody's link."""
    is_local = to.startswith("/") and not to.startswith("//") and "\\" not in to and to.isascii() and to.isprintable()
    return to if is_local else "/"
